package delivery_test

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/egress"
	"github.com/atoship/caddy-webhooks/delivery/retry"
	"github.com/atoship/caddy-webhooks/delivery/sign"
	"github.com/atoship/caddy-webhooks/delivery/store/memory"
)

const checkSecret = "whsec_Y2hlY2sgc2VjcmV0IDAwMDAwMDAwMDAwMDAwMDAwMDE="

// authority signs certificates for the servers of this file.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, parent *authority) *authority {
	t.Helper()
	a := &authority{}
	a.cert, a.key = issue(t, parent, &x509.Certificate{
		Subject: pkix.Name{CommonName: "Checks"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(1000 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	})
	return a
}

func issue(t *testing.T, by *authority, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	parent, signer := template, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

// server makes a certificate for a name, good until then.
func (a *authority) server(t *testing.T, name string, from, until time.Time, chain ...*authority) tls.Certificate {
	t.Helper()
	cert, key := issue(t, a, &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotBefore: from, NotAfter: until,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	c := tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
	for _, link := range chain {
		c.Certificate = append(c.Certificate, link.cert.Raw)
	}
	return c
}

// checkedEndpoint runs a check of an endpoint at a URL, over the real way out with loopback allowed.
func checkedEndpoint(t *testing.T, target string, trust *authority, profile egress.Profile) (*delivery.Check, *delivery.Engine) {
	t.Helper()
	e, err := delivery.Open(t.Context(), delivery.Config{Store: memory.New(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Shutdown(context.Background()) })
	pool := x509.NewCertPool()
	pool.AddCert(trust.cert)
	way, err := egress.New(profile, &tls.Config{RootCAs: pool})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(way.CloseIdleConnections)
	scheme, _ := sign.Lookup("standard")
	signer, err := scheme.NewSigner([]sign.Secret{{Value: checkSecret}}, sign.Options{})
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t}
	ep := w.endpoint("a", func(ep *delivery.Endpoint) {
		ep.URL, ep.Transport, ep.Signer, ep.Retry = u, way, signer, retry.Schedule{}
		ep.Timeout = 2 * time.Second
	})
	if err := e.Apply(w.plan(routeTo{}, ep)); err != nil {
		t.Fatal(err)
	}
	ev := newEvent(delivery.NewEventID(time.Now()))
	ev.GivenID = false
	c, err := e.Check(t.Context(), "a", ev)
	if err != nil {
		t.Fatal(err)
	}
	return c, e
}

// verified answers as told by whether a signature holds; known tells events seen before.
func verified(good, bad, known int) http.HandlerFunc {
	scheme, _ := sign.Lookup("standard")
	verifier, err := scheme.NewVerifier([]sign.Secret{{Value: checkSecret}}, sign.Options{})
	if err != nil {
		panic(err)
	}
	seen := map[string]bool{} // requests of a check come one after another
	return func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		id, err := verifier.Verify(r.Header, body, time.Now())
		switch {
		case err != nil:
			w.WriteHeader(bad)
		case seen[id]:
			w.WriteHeader(known)
		default:
			seen[id] = true
			w.WriteHeader(good)
		}
	}
}

func TestCheckTellsWhatIsWrongAndWhatToDo(t *testing.T) {
	t.Parallel()
	root := newAuthority(t, nil)
	middle := newAuthority(t, root)
	now := time.Now()
	good := root.server(t, "hooks.test", now.Add(-time.Hour), now.Add(90*24*time.Hour))
	redirect := func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/new?token=secret", http.StatusMovedPermanently)
	}
	for name, tc := range map[string]struct {
		cert   tls.Certificate
		plain  bool
		serve  http.HandlerFunc
		host   string   // default hooks.test
		want   []string // name result, and a word of what is said
		result delivery.CheckResult
	}{
		"a careful receiver": {
			cert: good, serve: verified(200, 401, 200), result: delivery.CheckOK,
			want: []string{"dns ok 127.0.0.1", "connect_ipv4 ok accepts", "tls ok 89 days", "test_event ok answered 200", "wrong_signature ok refused with 401", "repeated_event ok which is right"},
		},
		"one that verifies nothing": {
			cert: good, serve: verified(204, 204, 204), result: delivery.CheckWarn,
			want: []string{"dns ok", "connect_ipv4 ok", "tls ok", "test_event ok answered 204", "wrong_signature warn does not verify", "repeated_event ok"},
		},
		"one that fails on what it should refuse or know": {
			cert: good, serve: verified(200, 500, 409), result: delivery.CheckWarn,
			want: []string{"dns ok", "connect_ipv4 ok", "tls ok", "test_event ok", "wrong_signature warn 401", "repeated_event warn skip it"},
		},
		"another secret": {
			cert: good, serve: verified(401, 401, 401), result: delivery.CheckFail,
			want: []string{"dns ok", "connect_ipv4 ok", "tls ok", "test_event fail signing secret"},
		},
		"a redirect": {
			cert: good, serve: redirect, result: delivery.CheckFail,
			want: []string{"dns ok", "connect_ipv4 ok", "tls ok", "test_event fail /new"},
		},
		"a wrong path": {
			cert: good, serve: http.NotFound, result: delivery.CheckFail,
			want: []string{"dns ok", "connect_ipv4 ok", "tls ok", "test_event fail path"},
		},
		"an expired certificate": {
			cert: root.server(t, "hooks.test", now.Add(-48*time.Hour), now.Add(-24*time.Hour)), result: delivery.CheckFail,
			want: []string{"dns ok", "connect_ipv4 ok", "tls fail expired on " + now.Add(-24*time.Hour).UTC().Format(time.DateOnly)},
		},
		"a certificate soon to expire": {
			cert: root.server(t, "hooks.test", now.Add(-480*time.Hour), now.Add(73*time.Hour)), serve: verified(200, 401, 200), result: delivery.CheckWarn,
			want: []string{"dns ok", "connect_ipv4 ok", "tls warn 3 days", "test_event ok", "wrong_signature ok", "repeated_event ok"},
		},
		"a certificate made this hour for twelve": {
			cert: root.server(t, "hooks.test", now.Add(-time.Hour), now.Add(11*time.Hour)), serve: verified(200, 401, 200), result: delivery.CheckOK,
			want: []string{"dns ok", "connect_ipv4 ok", "tls ok", "test_event ok", "wrong_signature ok", "repeated_event ok"},
		},
		"a certificate of another name": {
			cert: root.server(t, "www.test", now.Add(-time.Hour), now.Add(time.Hour)), result: delivery.CheckFail,
			want: []string{"dns ok", "connect_ipv4 ok", "tls fail www.test"},
		},
		"no intermediate certificate": {
			cert: middle.server(t, "hooks.test", now.Add(-time.Hour), now.Add(time.Hour)), result: delivery.CheckFail,
			want: []string{"dns ok", "connect_ipv4 ok", "tls fail fullchain.pem"},
		},
		"a full chain": {
			cert: middle.server(t, "hooks.test", now.Add(-time.Hour), now.Add(1000*time.Hour), middle), serve: verified(200, 401, 200), result: delivery.CheckOK,
			want: []string{"dns ok", "connect_ipv4 ok", "tls ok", "test_event ok", "wrong_signature ok", "repeated_event ok"},
		},
		"an authority nobody knows": {
			cert: newAuthority(t, nil).server(t, "hooks.test", now.Add(-time.Hour), now.Add(time.Hour)), result: delivery.CheckFail,
			want: []string{"dns ok", "connect_ipv4 ok", "tls fail"},
		},
		"plain HTTP on the port": {
			plain: true, serve: verified(200, 401, 200), result: delivery.CheckFail,
			want: []string{"dns ok", "connect_ipv4 ok", "tls fail plain HTTP"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := httptest.NewUnstartedServer(tc.serve)
			s.Config.ErrorLog = log.New(io.Discard, "", 0)
			if tc.plain {
				s.Start()
			} else {
				s.TLS = &tls.Config{Certificates: []tls.Certificate{tc.cert}}
				s.StartTLS()
			}
			t.Cleanup(s.Close)
			c, _ := checkedEndpoint(t, "https://hooks.test:"+port(t, s.Listener.Addr())+"/in", root, egress.Profile{
				Guard: egress.NewGuard(netip.MustParsePrefix("127.0.0.1/32")), Resolver: answering(t, "127.0.0.1"),
			})
			compare(t, c, tc.want)
			if c.Result() != tc.result {
				t.Errorf("the check came to %s, want %s", c.Result(), tc.result)
			}
		})
	}
}

func TestCheckTellsWhyAConnectionDoesNotComeUp(t *testing.T) {
	t.Parallel()
	root := newAuthority(t, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := port(t, l.Addr())
	_ = l.Close()
	loopback := egress.NewGuard(netip.MustParsePrefix("127.0.0.0/8"))
	sources, err := egress.NewPool(egress.Source{Addr: netip.MustParseAddr("127.0.0.1")})
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		profile egress.Profile
		want    []string
		secret  string // must not be told
		host    string // default hooks.test
	}{
		"nothing listens, and the addresses to let in are named": {
			profile: egress.Profile{Guard: loopback, Resolver: answering(t, "127.0.0.2"), Sources: sources},
			want:    []string{"dns ok", "connect_ipv4 fail at the firewall: 127.0.0.1"},
		},
		"a private address, which is not named": {
			profile: egress.Profile{Resolver: answering(t, "10.1.2.3")},
			want:    []string{"dns fail no address that deliveries may go to"}, secret: "10.1.2.3",
		},
		"a private address beside one that is allowed": {
			profile: egress.Profile{Guard: loopback, Resolver: answering(t, "10.1.2.3", "127.0.0.2")},
			want:    []string{"dns warn 1 address more", "connect_ipv4 fail refuses"}, secret: "10.1.2.3",
		},
		"an address instead of a name": {
			profile: egress.Profile{Guard: loopback}, host: "127.0.0.2",
			want: []string{"dns ok the URL has an address", "connect_ipv4 fail refuses"},
		},
		"a name that does not exist": {
			profile: egress.Profile{Resolver: answering(t)},
			want:    []string{"dns fail does not exist"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, _ := checkedEndpoint(t, "https://"+cmp.Or(tc.host, "hooks.test")+":"+closed+"/", root, tc.profile)
			compare(t, c, tc.want)
			for _, s := range c.Steps {
				if told := s.Summary + s.Advice + s.Facts["addresses"]; tc.secret != "" && strings.Contains(told, tc.secret) {
					t.Errorf("%s tells of %s: %s", s.Name, tc.secret, told)
				}
			}
		})
	}
}

func TestCheckIsNoWayToProbeHosts(t *testing.T) {
	t.Parallel()
	_, e := checkedEndpoint(t, "https://hooks.test/", newAuthority(t, nil), egress.Profile{Resolver: answering(t, "10.1.2.3")})
	if _, err := e.Check(t.Context(), "a", newEvent("again")); !errors.Is(err, delivery.ErrBusy) {
		t.Errorf("a second check at once: %v", err)
	}
	if _, err := e.Check(t.Context(), "z", newEvent("other")); !errors.Is(err, delivery.ErrNotFound) {
		t.Errorf("a check of no endpoint: %v", err)
	}
}

// compare holds the steps against "name result words".
func compare(t *testing.T, c *delivery.Check, want []string) {
	t.Helper()
	if len(c.Steps) != len(want) {
		t.Fatalf("%d steps, want %d: %+v", len(c.Steps), len(want), c.Steps)
	}
	for i, s := range c.Steps {
		parts := strings.SplitN(want[i]+" ", " ", 3)
		words := strings.TrimSpace(parts[2])
		if s.Name != parts[0] || string(s.Result) != parts[1] || !strings.Contains(s.Summary+" / "+s.Advice, words) {
			t.Errorf("step %d is %s %s: %s / %s; want %s", i, s.Name, s.Result, s.Summary, s.Advice, want[i])
		}
		if s.Result != delivery.CheckOK && s.Advice == "" {
			t.Errorf("step %s %s advises nothing", s.Name, s.Result)
		}
		if strings.Contains(s.Summary+s.Advice, "secret=") || strings.Contains(s.Advice, "token") {
			t.Errorf("step %s repeats what may be secret: %s", s.Name, s.Advice)
		}
	}
}

func port(t *testing.T, a net.Addr) string {
	t.Helper()
	_, p, err := net.SplitHostPort(a.String())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// answering is a resolver whose name server knows every name by these IPv4 addresses; without any it knows none.
func answering(t *testing.T, addrs ...string) *net.Resolver {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	t.Cleanup(func() { _ = pc.Close(); <-served })
	go func() {
		defer close(served)
		buf := make([]byte, 1500)
		for {
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
			if len(addrs) == 0 {
				m.RCode = dnsmessage.RCodeNameError
			}
			if q.Type == dnsmessage.TypeA {
				for _, a := range addrs {
					m.Answers = append(m.Answers, dnsmessage.Resource{
						Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class},
						Body:   &dnsmessage.AResource{A: netip.MustParseAddr(a).As4()},
					})
				}
			}
			if out, err := m.Pack(); err == nil {
				_, _ = pc.WriteTo(out, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", pc.LocalAddr().String())
	}}
}
