package egress

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// hangs is what a tunneller is told to say nothing at all.
const hangs = "hangs"

// tunneller is a CONNECT proxy that can be told to misbehave.
type tunneller struct {
	*httptest.Server
	trust *tls.Config

	mu     sync.Mutex
	answer string // sent instead of making a tunnel
	asked  []string
	auth   []string
	from   []string
	conns  []net.Conn
}

func newTunneller(t *testing.T, secure bool) *tunneller {
	t.Helper()
	p := new(tunneller)
	p.Server = httptest.NewUnstartedServer(p)
	p.Config.ErrorLog = log.New(io.Discard, "", 0)
	if secure {
		p.StartTLS()
		roots := x509.NewCertPool()
		roots.AddCert(p.Certificate())
		p.trust = &tls.Config{RootCAs: roots}
	} else {
		p.Start()
	}
	t.Cleanup(func() { p.cut(); p.Close() })
	return p
}

func (p *tunneller) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	p.mu.Lock()
	p.asked = append(p.asked, r.Method+" "+r.Host)
	p.auth = append(p.auth, r.Header.Get("Proxy-Authorization"))
	p.from = append(p.from, host)
	answer := p.answer
	p.mu.Unlock()
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	p.keep(conn)
	switch answer {
	case hangs:
	case "":
		target, err := net.Dial("tcp", r.Host) //nolint:gosec // that is what a proxy does
		if err != nil {
			_, _ = io.WriteString(conn, "HTTP/1.1 502 Bad Gateway\r\n\r\n")
			_ = conn.Close()
			return
		}
		p.keep(target)
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
		go func() { _, _ = io.Copy(target, conn); _ = target.Close() }()
		go func() { _, _ = io.Copy(conn, target); _ = conn.Close() }()
	default:
		_, _ = io.WriteString(conn, answer)
		_ = conn.Close()
	}
}

func (p *tunneller) keep(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns = append(p.conns, c)
}

// cut breaks every tunnel.
func (p *tunneller) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		_ = c.Close()
	}
}

func (p *tunneller) says(answer string) *tunneller {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = answer
	return p
}

// names is what it was asked for.
func (p *tunneller) names() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.asked)
}

func (p *tunneller) proxy(t *testing.T) Proxy {
	t.Helper()
	u, err := url.Parse(p.URL)
	if err != nil {
		t.Fatal(err)
	}
	return Proxy{URL: u, TLS: p.trust}
}

func proxies(t *testing.T, list ...Proxy) *Proxies {
	t.Helper()
	ps, err := NewProxies(list...)
	if err != nil {
		t.Fatal(err)
	}
	return ps
}

const proxyPassword = "s3cret-of-the-proxy"

func TestTunnel(t *testing.T) {
	t.Parallel()
	for _, secure := range []bool{true, false} {
		t.Run(fmt.Sprintf("TLS to the proxy: %t", secure), func(t *testing.T) {
			t.Parallel()
			var leaked []string
			s, trust := receiver(t, func(_ http.ResponseWriter, r *http.Request) {
				leaked = append(leaked, r.Header.Get("Proxy-Authorization"), r.Header.Get("Authorization"))
			})
			proxy := newTunneller(t, secure)
			with := proxy.proxy(t)
			with.User, with.Password = "gateway", proxyPassword
			resolver := nameServer(t, func(int) []string { return []string{"10.0.0.1", "127.0.0.1"} })
			tr := transport(t, Profile{Guard: loopback, Resolver: resolver, Proxies: proxies(t, with)}, trust)
			for range 3 {
				if _, err := post(t, tr, at(s, certName)); err != nil {
					t.Fatal(err)
				}
			}
			// The address that the guard judged, and not the name, which could mean another one there.
			if got, want := proxy.names(), []string{"CONNECT " + s.Listener.Addr().String()}; !slices.Equal(got, want) {
				t.Errorf("the proxy was asked for %v, want %v once for three requests", got, want)
			}
			if want := "Basic " + base64.StdEncoding.EncodeToString([]byte("gateway:"+proxyPassword)); proxy.auth[0] != want {
				t.Errorf("credentials %q", proxy.auth[0])
			}
			if strings.Join(leaked, "") != "" {
				t.Errorf("the receiver saw %q", leaked)
			}
		})
	}
}

func TestGuardHoldsBehindAProxy(t *testing.T) {
	t.Parallel()
	s, trust := receiver(t, func(http.ResponseWriter, *http.Request) {})
	proxy := newTunneller(t, true)
	resolver := nameServer(t, func(int) []string { return []string{"127.0.0.1", "169.254.169.254"} })
	// The proxy itself is on loopback, which is the operator's choice and not judged.
	tr := transport(t, Profile{Resolver: resolver, Proxies: proxies(t, proxy.proxy(t))}, trust)
	for _, target := range []string{s.URL, at(s, certName)} {
		if _, err := post(t, tr, target); !errors.Is(err, ErrBlocked) {
			t.Errorf("%s: error %v, want it blocked", target, err)
		}
	}
	if got := proxy.names(); len(got) != 0 {
		t.Errorf("the proxy was asked for %v", got)
	}
}

// The certificate behind the tunnel is checked against the host of the URL,
// whatever the address that the proxy was told.
func TestCertificateBehindAProxyIsVerified(t *testing.T) {
	t.Parallel()
	s, trust := receiver(t, func(http.ResponseWriter, *http.Request) {})
	resolver := nameServer(t, func(int) []string { return []string{"127.0.0.1"} })
	tr := transport(t, Profile{Guard: loopback, Resolver: resolver, Proxies: proxies(t, newTunneller(t, true).proxy(t))}, trust)
	_, err := post(t, tr, at(s, "hooks.example.org"))
	if _, ok := errors.AsType[x509.HostnameError](err); !ok {
		t.Errorf("error %v", err)
	}
}

func TestPlainHTTPGoesThroughATunnelToo(t *testing.T) {
	t.Parallel()
	_, target := startPeers(t)
	proxy := newTunneller(t, true)
	tr := transport(t, Profile{Guard: loopback, PlainHTTP: true, Proxies: proxies(t, proxy.proxy(t))}, nil)
	want := []string{"CONNECT " + strings.TrimPrefix(target, "http://")}
	if _, err := post(t, tr, target); err != nil || !slices.Equal(proxy.names(), want) {
		t.Errorf("error %v, the proxy was asked for %v", err, proxy.names())
	}
}

func TestProxyIsReachedFromThePool(t *testing.T) {
	t.Parallel()
	needsLoopbackAddresses(t)
	s, trust := receiver(t, func(http.ResponseWriter, *http.Request) {})
	proxy := newTunneller(t, true)
	p := pool(t, "127.0.0.2", "127.0.0.3")
	tr := transport(t, Profile{Guard: loopback, Sources: p, Proxies: proxies(t, proxy.proxy(t))}, trust)
	for i := range 8 {
		if _, err := postAs(t, tr, fmt.Sprint("e", i), s.URL); err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(proxy.from)
	if got := slices.Compact(proxy.from); !slices.Equal(got, []string{"127.0.0.2", "127.0.0.3"}) {
		t.Errorf("the proxy was reached from %v", got)
	}
}

// What a proxy answers and what that means if it is the only one; in any case
// the next is asked, and no error repeats what could be the password.
func TestWhatProxiesAnswer(t *testing.T) {
	t.Parallel()
	const echo = "Proxy-Authorization: Basic " + proxyPassword
	for what, c := range map[string]struct{ answer, outcome string }{
		"wrong credentials":                         {"HTTP/1.1 407 " + echo + "\r\n\r\n", "local"},
		"forbidden":                                 {"HTTP/1.1 403 Forbidden\r\n\r\n", "local"},
		"an error of its own":                       {"HTTP/1.1 500 Oops\r\n\r\n", "local"},
		"a redirect":                                {"HTTP/1.1 302 Found\r\nLocation: https://x/\r\n\r\n", "local"},
		"not HTTP":                                  {echo + "\r\n\r\n", "local"},
		"an empty line":                             {"\r\n", "local"},
		"an endless header":                         {"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("a", maxTunnelHeader) + "\r\n\r\n", "local"},
		"early answers":                             {strings.Repeat("HTTP/1.1 103 Early\r\n\r\n", 1000), "local"},
		"data before we asked the destination":      {"HTTP/1.1 200 OK\r\n\r\nSSH-2.0", "local"},
		"it cannot reach the destination":           {"HTTP/1.1 502 Bad Gateway\r\n\r\n", "unreachable"},
		"it cannot reach the destination, or serve": {"HTTP/1.1 503 Unavailable\r\n\r\n", "unreachable"},
		"the destination does not answer it":        {"HTTP/1.1 504 Gateway Timeout\r\n\r\n", "timeout"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			s, trust := receiver(t, func(http.ResponseWriter, *http.Request) {})
			bad, good := newTunneller(t, true).says(c.answer), newTunneller(t, true)
			with := bad.proxy(t)
			with.User, with.Password = "gateway", proxyPassword

			_, err := postAs(t, transport(t, Profile{Guard: loopback, Proxies: proxies(t, with)}, trust), "orders", s.URL)
			named, ok := errors.AsType[interface {
				error
				Outcome() string
			}](err)
			if !ok || named.Outcome() != c.outcome {
				t.Errorf("alone: error %v, want the outcome %s", err, c.outcome)
			}
			if err != nil && strings.Contains(err.Error(), proxyPassword) {
				t.Errorf("the error shows the password: %v", err)
			}

			tr := transport(t, Profile{Guard: loopback, Proxies: proxies(t, with, good.proxy(t))}, trust)
			orders := tr.For("orders")
			for range 3 {
				if _, err := sendBy(t, orders, delivery(t, s.URL)); err != nil {
					t.Errorf("with another: %v", err)
				}
			}
			if n := len(bad.names()); n != 2 {
				t.Errorf("the proxy was asked %d times, want once alone and once before the other", n)
			}
			// What it refused to one endpoint it may do for another.
			if _, err := postAs(t, tr, "audit", s.URL); err != nil || len(bad.names()) != 3 {
				t.Errorf("error %v, the proxy was asked %d times, want once more for another endpoint", err, len(bad.names()))
			}
		})
	}
}

func TestProxyThatCannotBeReached(t *testing.T) {
	t.Parallel()
	s, trust := receiver(t, func(http.ResponseWriter, *http.Request) {})
	good := newTunneller(t, true)
	closed := newTunneller(t, true)
	closed.Close()
	stranger := newTunneller(t, true).proxy(t)
	stranger.TLS = nil
	misnamed := newTunneller(t, true).proxy(t)
	misnamed.TLS = misnamed.TLS.Clone()
	misnamed.TLS.ServerName = "proxy.example.org"
	notTLS := newTunneller(t, false).proxy(t)
	notTLS.URL.Scheme = "https"
	for what, p := range map[string]Proxy{
		"nothing listens":                 closed.proxy(t),
		"a certificate of unknown origin": stranger,
		"a certificate of another name":   misnamed,
		"it does not speak TLS":           notTLS,
		"a name that does not resolve":    {URL: &url.URL{Scheme: "https", Host: "proxy.invalid:1"}},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			resolver := nameServer(t, func(int) []string { return nil })
			var mu sync.Mutex
			var news []ChangeKind
			ps := proxies(t, p, good.proxy(t))
			ps.OnChange(func(c Change) {
				mu.Lock()
				defer mu.Unlock()
				news = append(news, c.Kind)
			})
			tr := transport(t, Profile{Guard: loopback, Resolver: resolver, Proxies: ps}, trust)
			for i := range 5 {
				if _, err := postAs(t, tr, fmt.Sprint("e", i), s.URL); err != nil {
					t.Fatal(err)
				}
			}
			if !slices.Equal(news, []ChangeKind{ProxyDown}) {
				t.Errorf("told %v, want it down once for all endpoints", news)
			}
			alone := transport(t, Profile{Guard: loopback, Resolver: resolver, Proxies: proxies(t, p)}, trust)
			for range 2 { // the second does not even try
				_, err := postAs(t, alone, "orders", s.URL)
				if fault, ok := errors.AsType[*ProxyError](err); !ok || fault.Outcome() != "local" || fault.Detail() != "proxy" {
					t.Errorf("alone: %v, want it local", err)
				}
			}
		})
	}
}

// The words of those that were asked decide, also beside a proxy that is down.
func TestDestinationThatNoProxyReachesIsTheEndpointsFault(t *testing.T) {
	t.Parallel()
	closed := newTunneller(t, true)
	closed.Close()
	const unreachable = "HTTP/1.1 502 Bad Gateway\r\n\r\n"
	first, second := newTunneller(t, true).says(unreachable), newTunneller(t, true).says(unreachable)
	tr := transport(t, Profile{Guard: loopback, Proxies: proxies(t, first.proxy(t), closed.proxy(t), second.proxy(t))}, nil)
	orders := tr.For("orders")
	for range 3 {
		_, err := sendBy(t, orders, delivery(t, "https://127.0.0.1:9"))
		if fault, ok := errors.AsType[*TunnelError](err); !ok || fault.Outcome() != "unreachable" {
			t.Errorf("error %v", err)
		}
	}
	if len(first.names()) != 3 || len(second.names()) != 3 {
		t.Errorf("asked %d and %d times, want all three attempts to ask both", len(first.names()), len(second.names()))
	}
}

func TestProxyThatHangsLeavesTimeForTheNext(t *testing.T) {
	t.Parallel()
	s, trust := receiver(t, func(http.ResponseWriter, *http.Request) {})
	mute, good := newTunneller(t, true).says(hangs), newTunneller(t, true)
	// This one takes connections and never says a word, TLS included.
	deaf, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = deaf.Close() })
	silent := Proxy{URL: &url.URL{Scheme: "https", Host: deaf.Addr().String()}}
	tr := transport(t, Profile{Guard: loopback, Proxies: proxies(t, silent, mute.proxy(t), good.proxy(t))}, trust)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if _, err := sendBy(t, tr.For("orders"), delivery(t, s.URL).WithContext(ctx)); err != nil {
		t.Error(err)
	}
}

// The time that making a tunnel may take does not end it later.
func TestTunnelIsKeptForAnyTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		go func() {
			_, _ = http.ReadRequest(bufio.NewReader(far))
			_, _ = io.WriteString(far, "HTTP/1.1 200 OK\r\n\r\n")
			_, _ = io.Copy(far, far)
		}()
		ctx, cancel := context.WithCancel(t.Context())
		target := netip.MustParseAddrPort("192.0.2.1:443")
		conn, err := new(proxy).tunnel(ctx, near, target)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		cancel() // as net/http does when the attempt is over
		time.Sleep(time.Hour)
		echo := make([]byte, 4)
		if _, err := io.WriteString(conn, "ping"); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(conn, echo); err != nil || string(echo) != "ping" {
			t.Errorf("%q, %v", echo, err)
		}
		if got := conn.RemoteAddr().String(); got != target.String() {
			t.Errorf("the connection says it goes to %s", got)
		}
	})
}

// A proxy that dies takes its tunnels with it; the attempts in them are not
// the endpoints' failures.
func TestProxyThatDiesDuringAnAttempt(t *testing.T) {
	t.Parallel()
	proxy := newTunneller(t, true)
	s, trust := receiver(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/dies" {
			_ = proxy.Listener.Close()
			proxy.cut()
		}
	})
	ps := proxies(t, proxy.proxy(t))
	tr := transport(t, Profile{Guard: loopback, Proxies: ps}, trust)
	if _, err := postAs(t, tr, "lives", s.URL); err != nil {
		t.Fatal(err)
	}
	ps.list[0].mu.Lock()
	ps.list[0].proven = time.Now().Add(-sureFor) // it was a while ago
	ps.list[0].mu.Unlock()
	_, err := postAs(t, tr, "dies", s.URL)
	if fault, ok := errors.AsType[*ProxyError](err); !ok || fault.Outcome() != "local" {
		t.Errorf("error %v, want it local", err)
	}
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b backoff
		if !b.ready(time.Now()) || b.succeeded() {
			t.Error("it remembers something from the start")
		}
		if !b.failed(time.Now()) || b.failed(time.Now()) {
			t.Error("the first failure is the first, and no other is")
		}
		for _, want := range []time.Duration{1, 2, 4, 8, 16, 30, 30} {
			since := time.Now()
			for !b.ready(time.Now()) {
				time.Sleep(100 * time.Millisecond)
			}
			if got := time.Since(since); got != want*time.Second {
				t.Errorf("left alone for %v, want %v", got, want*time.Second)
			}
			if b.ready(time.Now()) {
				t.Error("two probe it at once")
			}
			b.failed(time.Now())
		}
		for range 2 { // a probe that never ends does not stop all others for good
			time.Sleep(backoffMost)
			if !b.ready(time.Now()) || b.ready(time.Now()) {
				t.Error("not exactly one probes it")
			}
		}
		if !b.succeeded() || !b.ready(time.Now()) || !b.ready(time.Now()) {
			t.Error("a success does not clear it")
		}
	})
}

func TestProxiesAreChecked(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"https://proxy.example.com:3128":                       "https://proxy.example.com:3128",
		"https://proxy.example.com":                            "https://proxy.example.com:443",
		"http://proxy.example.com/":                            "http://proxy.example.com:80",
		"http://[2001:db8::1]:3128":                            "http://[2001:db8::1]:3128",
		"socks5://proxy.example.com":                           "",
		"proxy.example.com:3128":                               "",
		"https://":                                             "",
		"https://proxy.example.com:3128/path":                  "",
		"https://proxy.example.com:3128?x":                     "",
		"https://user:" + proxyPassword + "@proxy.example.com": "",
		"https://" + proxyPassword + ":x":                      "",
	} {
		u, err := ParseProxyURL(raw)
		switch {
		case err != nil && strings.Contains(err.Error(), proxyPassword):
			t.Errorf("the error repeats what was read: %v", err)
		case want == "" && err == nil, want != "" && (err != nil || u.String() != want):
			t.Errorf("%s became %v, %v", raw, u, err)
		}
	}
	u := &url.URL{Scheme: "https", Host: "proxy.example.com:1"}
	for what, list := range map[string][]Proxy{
		"none":                    nil,
		"too many":                slices.Repeat([]Proxy{{URL: u}}, maxProxies+1),
		"a colon in the user":     {{URL: u, User: "a:b"}},
		"TLS that is not checked": {{URL: u, TLS: &tls.Config{InsecureSkipVerify: true}}},
	} {
		if _, err := NewProxies(list...); err == nil {
			t.Errorf("%s: accepted", what)
		}
	}
}
