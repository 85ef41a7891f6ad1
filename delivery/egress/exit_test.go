package egress

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/atoship/caddy-webhooks/delivery/retry"
)

// Every address of 127.0.0.0/8 is the machine's on Linux, so that a pool of
// them needs no right and no interface.
func needsLoopbackAddresses(t *testing.T) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("SKIPPED: source addresses are tested with 127.0.0.2 and its neighbours, which only Linux has by itself")
	}
}

// peers notes from where each endpoint's requests came.
type peers struct {
	mu   sync.Mutex
	seen map[string][]string
}

func (p *peers) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.seen == nil {
		p.seen = make(map[string][]string)
	}
	p.seen[r.URL.Path] = append(p.seen[r.URL.Path], host)
}

// of returns what was seen of an endpoint, each run of one address once.
func (p *peers) of(endpoint string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Compact(slices.Clone(p.seen["/"+endpoint]))
}

// startPeers starts a plain receiver.
func startPeers(t *testing.T) (*peers, string) {
	t.Helper()
	p := new(peers)
	s := httptest.NewServer(p)
	t.Cleanup(s.Close)
	return p, s.URL
}

// sendBy sends a request and reads its answer.
func sendBy(t *testing.T, rt http.RoundTripper, req *http.Request) (answer, error) {
	t.Helper()
	resp, err := rt.RoundTrip(req)
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

func delivery(t *testing.T, url string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// postAs sends one request of an endpoint.
func postAs(t *testing.T, tr *Transport, endpoint, base string) (answer, error) {
	t.Helper()
	return sendBy(t, tr.For(endpoint), delivery(t, base+"/"+endpoint))
}

func TestReceiverSeesPoolAddressesOnly(t *testing.T) {
	t.Parallel()
	needsLoopbackAddresses(t)
	seen, url := startPeers(t)
	p := pool(t, "127.0.0.2", "127.0.0.3", "2001:db8::1") // the last is not the machine's, and of no use for IPv4
	tr := transport(t, Profile{Guard: loopback, PlainHTTP: true, Sources: p}, nil)
	for round := range 4 {
		for i := range 20 {
			if _, err := postAs(t, tr, fmt.Sprint("e", i), url); err != nil {
				t.Fatal(err)
			}
		}
		if round == 1 {
			tr.CloseIdleConnections()
		}
	}
	used := make(map[string]bool)
	for i := range 20 {
		name := fmt.Sprint("e", i)
		from := seen.of(name)
		if want := picked(t, p, name).four.String(); !slices.Equal(from, []string{want}) {
			t.Errorf("%s came from %v, want %v only", name, from, want)
		}
		used[from[0]] = true
	}
	if len(used) != 2 || !used["127.0.0.2"] || !used["127.0.0.3"] {
		t.Errorf("%v were used, want both", used)
	}
	// What is sent for no endpoint, like a request for a token, is no exception.
	if _, err := sendBy(t, tr, delivery(t, url+"/nobody")); err != nil || !used[seen.of("nobody")[0]] {
		t.Errorf("error %v, came from %v", err, seen.of("nobody"))
	}
}

func TestAddressThatCannotBeBoundIsReplacedWithinTheAttempt(t *testing.T) {
	t.Parallel()
	needsLoopbackAddresses(t)
	seen, url := startPeers(t)
	p := pool(t, "192.0.2.1", "127.0.0.2") // the machine does not have the first
	actual := p.probe
	var asked atomic.Int32
	p.probe = func(a netip.Addr) error {
		if !a.IsLoopback() && asked.Add(1) == 1 {
			return nil // it goes right after
		}
		return actual(a)
	}
	tr := transport(t, Profile{Guard: loopback, PlainHTTP: true, Sources: p}, nil)
	for i := range 8 {
		name := fmt.Sprint("e", i)
		if _, err := postAs(t, tr, name, url); err != nil {
			t.Fatal(err)
		}
		if from := seen.of(name); !slices.Equal(from, []string{"127.0.0.2"}) {
			t.Errorf("%s came from %v", name, from)
		}
	}
	if asked.Load() < 2 {
		t.Error("no endpoint prefers the lost address: this test shows nothing")
	}
}

func TestDestinationOfAFamilyThatThePoolLacksIsALocalFault(t *testing.T) {
	t.Parallel()
	seen, url := startPeers(t)
	for what, addr := range map[string]string{
		"no member of the family":      "::1",
		"one that is not ours to bind": "192.0.2.1",
	} {
		tr := transport(t, Profile{Guard: loopback, PlainHTTP: true, Sources: pool(t, addr)}, nil)
		_, err := postAs(t, tr, "orders", url)
		if fault, ok := errors.AsType[*SourceError](err); !ok || fault.Outcome() != "local" {
			t.Errorf("%s: error %v", what, err)
		}
	}
	if from := seen.of("orders"); len(from) != 0 {
		t.Errorf("reached from %v", from)
	}
}

// The host has addresses of both families and the pool only IPv4: IPv6 is left
// out, and what IPv4 says counts.
func TestFamilyWithoutASourceDoesNotHideTheOther(t *testing.T) {
	t.Parallel()
	needsLoopbackAddresses(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close() // nothing listens there now
	four := netip.MustParseAddrPort(l.Addr().String())
	d := &dialer{pool: pool(t, "127.0.0.2"), check: func(netip.AddrPort) error { return nil }}
	d.source = sourcePair{four: netip.MustParseAddr("127.0.0.2")}
	targets, err := d.reachable([]netip.AddrPort{netip.AddrPortFrom(netip.IPv6Loopback(), four.Port()), four})
	if err != nil || !slices.Equal(targets, []netip.AddrPort{four}) {
		t.Fatalf("%v, %v", targets, err)
	}
	if _, err := d.connect(t.Context(), targets, nil); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("error %v", err)
	}
}

// A hanging family loses to the other after a moment, and a refused one at once.
func TestFirstFamilyToConnectWins(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	four := netip.MustParseAddrPort(l.Addr().String())
	refused := netip.AddrPortFrom(netip.IPv6Loopback(), four.Port())
	d := new(dialer)
	for _, targets := range [][]netip.AddrPort{{refused, four}, {four, refused}} {
		conn, err := d.connect(t.Context(), targets, nil)
		if err != nil {
			t.Errorf("%v: %v", targets, err)
			continue
		}
		_ = conn.Close()
	}
	_ = l.Close()
	if _, err := d.connect(t.Context(), []netip.AddrPort{refused, four}, nil); err == nil {
		t.Error("connected to nothing")
	}
}

// A kept connection breaks or hangs when its source address is taken away. The
// attempt that finds out costs the endpoint nothing; the next leaves from another.
func TestAddressLostDuringAnAttemptIsNotTheEndpointsFault(t *testing.T) {
	t.Parallel()
	needsLoopbackAddresses(t)
	m := new(machine)
	p := m.of(pool(t, "127.0.0.2", "127.0.0.3"))
	home := picked(t, p, "orders").four.String()
	var seen peers
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen.ServeHTTP(w, r)
		if len(seen.of("orders")) == 1 {
			m.lose(home)
			panic(http.ErrAbortHandler) // breaks the connection
		}
	}))
	t.Cleanup(s.Close)
	tr := transport(t, Profile{Guard: loopback, PlainHTTP: true, Sources: p}, nil)
	_, err := postAs(t, tr, "orders", s.URL)
	if fault, ok := errors.AsType[*SourceError](err); !ok || fault.Addr.String() != home {
		t.Fatalf("error %v, want the lost source address", err)
	}
	if _, err := postAs(t, tr, "orders", s.URL); err != nil {
		t.Fatal(err)
	}
	if from := seen.of("orders"); len(from) != 2 || from[0] != home || from[1] == home {
		t.Errorf("came from %v, want %s and then the other: what was sent is not repeated by itself", from, home)
	}
}

// clientCertificate makes one that says who it is.
func clientCertificate(t *testing.T, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// Endpoints of two addresses, and those with different certificates, never
// share a connection.
func TestConnectionsNeverCrossIdentities(t *testing.T) {
	t.Parallel()
	needsLoopbackAddresses(t)
	var mu sync.Mutex
	conns := make(map[string]map[string]bool) // who was seen on which connection
	s, trust := receiver(t, func(_ http.ResponseWriter, r *http.Request) {
		who := r.URL.Path + " without a certificate"
		if len(r.TLS.PeerCertificates) > 0 {
			who = r.URL.Path + " " + r.TLS.PeerCertificates[0].Subject.CommonName
		}
		mu.Lock()
		defer mu.Unlock()
		if conns[r.RemoteAddr] == nil {
			conns[r.RemoteAddr] = make(map[string]bool)
		}
		conns[r.RemoteAddr][who] = true
	}, func(s *httptest.Server) { s.TLS = &tls.Config{ClientAuth: tls.RequestClientCert} })

	p := pool(t, "127.0.0.2", "127.0.0.3")
	names := map[string]string{} // one endpoint per address
	for i := 0; len(names) < 2; i++ {
		name := fmt.Sprint("e", i)
		names[picked(t, p, name).four.String()] = name
	}
	profile := Profile{Guard: loopback, Sources: p}
	identities := []*Transport{transport(t, profile, trust)}
	for _, name := range []string{"A", "B"} {
		with := trust.Clone()
		with.Certificates = []tls.Certificate{clientCertificate(t, name)}
		identities = append(identities, transport(t, profile, with))
	}
	for range 3 {
		for _, tr := range identities {
			for _, name := range names {
				if _, err := postAs(t, tr, name, s.URL); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if len(conns) != 6 {
		t.Errorf("%d connections, want one for each of two addresses and three certificates", len(conns))
	}
	for conn, who := range conns {
		host, _, _ := net.SplitHostPort(conn)
		for w := range who {
			if len(who) != 1 || !strings.HasPrefix(w, "/"+names[host]+" ") {
				t.Errorf("connection from %s carried %v", host, who)
			}
		}
	}
}

// A body that cannot be read twice is not sent empty to the next source.
func TestBodyThatCannotBeReadAgainEndsTheAttempt(t *testing.T) {
	t.Parallel()
	needsLoopbackAddresses(t)
	var bodies []string
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		bodies = append(bodies, string(b))
	}))
	t.Cleanup(s.Close)
	for _, again := range []bool{false, true} {
		p := pool(t, "192.0.2.1", "127.0.0.2")
		p.sources[0].checked = time.Now() // and was found there
		name := "e"
		for p.order(name)[0] != 0 {
			name += "e"
		}
		tr := transport(t, Profile{Guard: loopback, PlainHTTP: true, Sources: p}, nil)
		req := delivery(t, s.URL)
		if !again {
			req.GetBody = nil
		}
		_, err := sendBy(t, tr.For(name), req)
		if _, lost := errors.AsType[*SourceError](err); lost == again {
			t.Errorf("readable again: %t: error %v", again, err)
		}
	}
	if !slices.Equal(bodies, []string{"{}"}) {
		t.Errorf("received %q", bodies)
	}
}

// What the engine makes of them, however they are wrapped on their way.
func TestFaultsHaveTheirClass(t *testing.T) {
	t.Parallel()
	cause := &net.OpError{Op: "dial", Err: context.DeadlineExceeded}
	for want, err := range map[retry.Outcome]error{
		retry.Local:       &SourceError{Err: cause},
		retry.Unreachable: &TunnelError{Status: 502, Err: cause},
		retry.Timeout:     &TunnelError{Err: cause},
	} {
		if got := outcomeOf(errors.Join(fmt.Errorf("sending: %w", err), retry.ErrTimeout)); got != want {
			t.Errorf("%v is %s, want %s", err, got, want)
		}
	}
	v := retry.Classify(retry.Result{Err: &ProxyError{Err: cause}})
	if v.Outcome != retry.Local || v.Spend || v.BreakerFailure || !v.BreakerExcluded || v.Silent {
		t.Errorf("a proxy's fault costs the endpoint something: %+v", v)
	}
}
