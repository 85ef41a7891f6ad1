package egress

import (
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

var loopback = NewGuard(netip.MustParsePrefix("127.0.0.1/32"))

// receiver is a TLS server on loopback and the TLS settings that trust it.
func receiver(t *testing.T, h http.HandlerFunc, change ...func(*httptest.Server)) (*httptest.Server, *tls.Config) {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.EnableHTTP2 = true // it offers HTTP/2; we do not take it
	for _, f := range change {
		f(s)
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return s, &tls.Config{RootCAs: pool}
}

// certName is a name in the certificate of httptest's servers.
const certName = "example.com"

func transport(t *testing.T, p Profile, base *tls.Config) *Transport {
	t.Helper()
	tr, err := New(p, base)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

// answer is what is left of a response.
type answer struct {
	status   int
	body     string
	unpacked bool
}

// post sends one request and reads its answer.
func post(t *testing.T, tr *Transport, target string) (answer, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, target, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, string(body), resp.Uncompressed}, nil
}

// nameServer answers every question for an address with what answers gives
// for the n-th such question, from 0, and returns a resolver that asks it.
func nameServer(t *testing.T, answers func(n int) []string) *net.Resolver {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	t.Cleanup(func() { _ = pc.Close(); served.Wait() })
	served.Go(func() {
		buf := make([]byte, 1500)
		for asked := 0; ; {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buf[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			q := m.Questions[0]
			m.Response, m.Authoritative, m.Additionals = true, true, nil
			if q.Type == dnsmessage.TypeA {
				for _, a := range answers(asked) {
					m.Answers = append(m.Answers, dnsmessage.Resource{
						Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 0},
						Body:   &dnsmessage.AResource{A: netip.MustParseAddr(a).As4()},
					})
				}
				asked++
			}
			if out, err := m.Pack(); err == nil {
				_, _ = pc.WriteTo(out, from)
			}
		}
	})
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", pc.LocalAddr().String())
	}}
}

// at returns the server's URL under another host name.
func at(s *httptest.Server, host string) string {
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	return "https://" + net.JoinHostPort(host, port) + "/in"
}

func TestLoopbackIsBlockedUnlessAllowed(t *testing.T) {
	t.Parallel()
	var hits atomic.Int32
	var proto atomic.Value
	s, trust := receiver(t, func(_ http.ResponseWriter, r *http.Request) {
		hits.Add(1)
		proto.Store(r.Proto)
	})
	resolver := nameServer(t, func(int) []string { return []string{"127.0.0.1"} })

	for _, target := range []string{s.URL, at(s, certName)} {
		_, err := post(t, transport(t, Profile{Resolver: resolver}, trust), target)
		if !errors.Is(err, ErrBlocked) {
			t.Errorf("%s: error %v, want it blocked", target, err)
		}
	}
	if n := hits.Load(); n != 0 {
		t.Fatalf("the receiver was reached %d times", n)
	}
	for _, target := range []string{s.URL, at(s, certName)} {
		got, err := post(t, transport(t, Profile{Guard: loopback, Resolver: resolver}, trust), target)
		if err != nil || got.status != 200 || proto.Load() != "HTTP/1.1" {
			t.Errorf("%s: %v, error %v, want it delivered over HTTP/1.1", target, proto.Load(), err)
		}
	}
}

// The name is public when it is looked at and private when it is dialled.
func TestRebinding(t *testing.T) {
	t.Parallel()
	var hits atomic.Int32
	s, trust := receiver(t, func(http.ResponseWriter, *http.Request) { hits.Add(1) })
	resolver := nameServer(t, func(n int) []string {
		if n == 0 {
			return []string{"8.8.8.8"}
		}
		return []string{"127.0.0.1"}
	})
	addrs, err := resolver.LookupNetIP(t.Context(), "ip4", certName)
	if err != nil || len(addrs) != 1 || new(Guard).Check(addrs[0]) != nil {
		t.Fatalf("first look: %v, %v", addrs, err)
	}
	if _, err := post(t, transport(t, Profile{Resolver: resolver}, trust), at(s, certName)); !errors.Is(err, ErrBlocked) {
		t.Errorf("error %v, want it blocked", err)
	}
	if n := hits.Load(); n != 0 {
		t.Errorf("the receiver was reached %d times", n)
	}
}

func TestMixedAnswers(t *testing.T) {
	t.Parallel()
	s, trust := receiver(t, func(http.ResponseWriter, *http.Request) {})
	t.Run("none of several private addresses is dialled", func(t *testing.T) {
		t.Parallel()
		resolver := nameServer(t, func(int) []string { return []string{"10.0.0.1", "127.0.0.1", "169.254.169.254"} })
		if _, err := post(t, transport(t, Profile{Resolver: resolver}, trust), at(s, certName)); !errors.Is(err, ErrBlocked) {
			t.Errorf("error %v, want it blocked", err)
		}
	})
	t.Run("the permitted one among them is", func(t *testing.T) {
		t.Parallel()
		resolver := nameServer(t, func(int) []string { return []string{"10.0.0.1", "127.0.0.1"} })
		if _, err := post(t, transport(t, Profile{Guard: loopback, Resolver: resolver}, trust), at(s, certName)); err != nil {
			t.Error(err)
		}
	})
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	for _, status := range []int{301, 302, 303, 307, 308} {
		var hits atomic.Int32
		s, trust := receiver(t, func(w http.ResponseWriter, r *http.Request) {
			hits.Add(1)
			http.Redirect(w, r, "/elsewhere", status)
		})
		got, err := post(t, transport(t, Profile{Guard: loopback}, trust), s.URL)
		if err != nil || got.status != status || hits.Load() != 1 {
			t.Errorf("%d: error %v, reached %d times, want once", status, err, hits.Load())
		}
	}
}

func TestBombs(t *testing.T) {
	t.Parallel()
	t.Run("a header past 64 KiB ends the attempt", func(t *testing.T) {
		t.Parallel()
		s, trust := receiver(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Bomb", strings.Repeat("a", 70<<10))
		})
		if _, err := post(t, transport(t, Profile{Guard: loopback}, trust), s.URL); err == nil {
			t.Error("it was accepted")
		}
	})
	t.Run("endless 1xx responses count as one header", func(t *testing.T) {
		t.Parallel()
		s, trust := receiver(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Link", strings.Repeat("a", 1000))
			for range 100 {
				w.WriteHeader(http.StatusEarlyHints)
			}
		})
		if _, err := post(t, transport(t, Profile{Guard: loopback}, trust), s.URL); err == nil {
			t.Error("they were accepted")
		}
	})
	t.Run("gzip is not asked for and stays packed", func(t *testing.T) {
		t.Parallel()
		var asked atomic.Value
		s, trust := receiver(t, func(w http.ResponseWriter, r *http.Request) {
			asked.Store(r.Header.Get("Accept-Encoding"))
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			_, _ = z.Write(make([]byte, 10<<20))
			_ = z.Close()
		})
		got, err := post(t, transport(t, Profile{Guard: loopback}, trust), s.URL)
		if err != nil || len(got.body) > 64<<10 || got.unpacked {
			t.Errorf("error %v, %d bytes", err, len(got.body))
		}
		if asked.Load() != "" {
			t.Errorf("asked for %q", asked.Load())
		}
	})
}

func TestTLSIsVerified(t *testing.T) {
	t.Parallel()
	s, trust := receiver(t, func(http.ResponseWriter, *http.Request) {})
	resolver := nameServer(t, func(int) []string { return []string{"127.0.0.1"} })
	p := Profile{Guard: loopback, Resolver: resolver}

	t.Run("an authority we do not know", func(t *testing.T) {
		t.Parallel()
		_, err := post(t, transport(t, p, nil), s.URL)
		if _, ok := errors.AsType[x509.UnknownAuthorityError](err); !ok {
			t.Errorf("error %v", err)
		}
	})
	t.Run("a certificate for another host", func(t *testing.T) {
		t.Parallel()
		_, err := post(t, transport(t, p, trust), at(s, "hooks.example.org"))
		if _, ok := errors.AsType[x509.HostnameError](err); !ok {
			t.Errorf("error %v", err)
		}
	})
	t.Run("a server name of its own", func(t *testing.T) {
		t.Parallel()
		base := trust.Clone()
		base.ServerName = certName
		if _, err := post(t, transport(t, p, base), at(s, "hooks.example.org")); err != nil {
			t.Error(err)
		}
	})
	t.Run("TLS 1.1, even if the base permits it", func(t *testing.T) {
		t.Parallel()
		old, trust := receiver(t, func(http.ResponseWriter, *http.Request) {}, func(s *httptest.Server) {
			s.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
		})
		trust.MinVersion = tls.VersionTLS10
		if _, err := post(t, transport(t, p, trust), old.URL); err == nil {
			t.Error("TLS 1.1 was accepted")
		}
	})
	t.Run("a client certificate is shown", func(t *testing.T) {
		t.Parallel()
		mutual, trust := receiver(t, func(w http.ResponseWriter, r *http.Request) {
			if len(r.TLS.PeerCertificates) != 1 {
				w.WriteHeader(http.StatusForbidden)
			}
		}, func(s *httptest.Server) { s.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert} })
		trust.Certificates = mutual.TLS.Certificates
		got, err := post(t, transport(t, p, trust), mutual.URL)
		if err != nil || got.status != 200 {
			t.Errorf("%v, error %v", got.status, err)
		}
	})
}

func TestNewRefusesWeakTLS(t *testing.T) {
	t.Parallel()
	for name, base := range map[string]*tls.Config{
		"no verification":      {InsecureSkipVerify: true},
		"nothing over TLS 1.1": {MaxVersion: tls.VersionTLS11},
	} {
		if _, err := New(Profile{}, base); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	base := &tls.Config{MinVersion: tls.VersionTLS10, NextProtos: []string{"h2"}, Renegotiation: tls.RenegotiateFreelyAsClient, KeyLogWriter: io.Discard}
	tr := transport(t, Profile{}, base)
	c := tr.way(route{proxy: direct}).secure.tls
	if c.MinVersion != tls.VersionTLS12 || c.NextProtos != nil || c.Renegotiation != tls.RenegotiateNever || c.KeyLogWriter != nil {
		t.Errorf("the base weakened TLS: %+v", c.MinVersion)
	}
	if base.MinVersion != tls.VersionTLS10 {
		t.Error("the base was changed")
	}
}

func TestPlainHTTP(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(s.Close)
	cases := []struct {
		name string
		p    Profile
		open bool
	}{
		{"to an allowed address where it is permitted", Profile{Guard: loopback, PlainHTTP: true}, true},
		{"to an allowed address where it is not", Profile{Guard: loopback}, false},
		{"to a blocked address", Profile{PlainHTTP: true}, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := post(t, transport(t, c.p, nil), s.URL)
			if c.open && err != nil || !c.open && !errors.Is(err, ErrBlocked) {
				t.Errorf("error %v", err)
			}
		})
	}
	// A public address is not dialled here: what the dialler asks is enough.
	if err := loopback.checkPlain(netip.MustParseAddrPort("8.8.8.8:80")); !errors.Is(err, ErrBlocked) {
		t.Errorf("plain HTTP to a public address: %v, want it blocked", err)
	}
}

// Not parallel: it sets the environment.
func TestTheEnvironmentsProxyIsIgnored(t *testing.T) {
	var hits atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	t.Cleanup(proxy.Close)
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"} {
		t.Setenv(name, proxy.URL)
	}
	s, trust := receiver(t, func(http.ResponseWriter, *http.Request) {})
	resolver := nameServer(t, func(int) []string { return []string{"127.0.0.1"} })
	if _, err := post(t, transport(t, Profile{Guard: loopback, Resolver: resolver}, trust), at(s, certName)); err != nil || hits.Load() != 0 {
		t.Errorf("error %v, the proxy was reached %d times", err, hits.Load())
	}
}

func TestConnectionsAreKeptAndClosed(t *testing.T) {
	t.Parallel()
	var opened atomic.Int32
	s, trust := receiver(t, func(http.ResponseWriter, *http.Request) {}, func(s *httptest.Server) {
		s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				opened.Add(1)
			}
		}
	})
	tr := transport(t, Profile{Guard: loopback}, trust)
	for range 5 {
		if _, err := post(t, tr, s.URL); err != nil {
			t.Fatal(err)
		}
	}
	if n := opened.Load(); n != 1 {
		t.Errorf("five requests opened %d connections, want 1", n)
	}
	tr.CloseIdleConnections()
	if _, err := post(t, tr, s.URL); err != nil || opened.Load() != 2 {
		t.Errorf("error %v, %d connections, want a second one", err, opened.Load())
	}
}

func TestIdleConnectionsFollowTheProfile(t *testing.T) {
	t.Parallel()
	keeps := func(p Profile, idle, perHost int) {
		t.Helper()
		got := transport(t, p, nil).way(route{proxy: direct}).secure
		if got.most != idle || got.perHost != perHost {
			t.Errorf("keeps %d in all and %d per host, want %d and %d", got.most, got.perHost, idle, perHost)
		}
	}
	keeps(Profile{IdlePerHost: 64, Idle: 2000}, 2000, 64)
	keeps(Profile{}, DefaultIdle, DefaultIdlePerHost)
	// Each pair of sources has connections of its own, and a share of what may be kept.
	keeps(Profile{Idle: 2000, Sources: pool(t, "192.0.2.1", "192.0.2.2", "2001:db8::1")}, 1000, DefaultIdlePerHost)
	keeps(Profile{Idle: 20, Sources: pool(t, "192.0.2.1", "192.0.2.2")}, DefaultIdlePerHost, DefaultIdlePerHost)
}
