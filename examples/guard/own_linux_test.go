package guard

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/atoship/caddy-webhooks/delivery/egress"
)

// inNamespace is set for the test's second run, in a network of its own.
const inNamespace = "GUARD_TEST_IN_NAMESPACE"

// A public address that is this machine's own, with a server at it: nothing but the rule about own sockets stops a delivery.
// It needs a network namespace, since no test has such an address otherwise.
func TestOwnPublicAddress(t *testing.T) {
	if os.Getenv(inNamespace) != "" {
		testOwnPublicAddress(t)
		return
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("SKIP: iproute2 is needed to give a network namespace an address")
	}
	again := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestOwnPublicAddress$", "-test.v")
	again.Env = append(os.Environ(), inNamespace+"=1")
	again.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := again.CombinedOutput()
	if errors.Is(err, syscall.EPERM) {
		t.Skip("SKIP: namespaces are not permitted here")
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func testOwnPublicAddress(t *testing.T) {
	for _, args := range []string{"link set lo up", "addr add 9.9.9.9/32 dev lo", "addr add 2a00:9::9/128 dev lo"} {
		if out, err := exec.CommandContext(t.Context(), "ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v, %s", args, err, out)
		}
	}
	own, err := egress.OwnListeners()
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{"9.9.9.9:443", "[2a00:9::9]:443"} {
		at := netip.MustParseAddrPort(address)
		server, hits := serveAt(t, address)
		for name, c := range map[string]struct {
			rules egress.Rules
			open  bool
		}{
			"without the rule":             {egress.Rules{}, true},
			"with it":                      {egress.Rules{Own: own}, false},
			"with it and an exception":     {egress.Rules{Own: own, Allow: []netip.Prefix{netip.PrefixFrom(at.Addr(), at.Addr().BitLen())}}, true},
			"with another exception":       {egress.Rules{Own: own, Allow: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}, false},
			"with a rule about other ones": {egress.Rules{Own: func(ap netip.AddrPort) bool { return ap.Port() != 443 }}, true},
		} {
			guard, err := c.rules.Guard()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := egress.CheckURL(server.URL, egress.URLPolicy{Guard: guard}); (err == nil) != c.open || err != nil && !errors.Is(err, egress.ErrBlocked) {
				t.Errorf("%s, %s: read as a URL: %v", address, name, err)
			}
			before := hits.Load()
			err = post(t, guard, server)
			if (err == nil) != c.open || err != nil && !errors.Is(err, egress.ErrBlocked) {
				t.Errorf("%s, %s: dialled: %v", address, name, err)
			}
			if reached := hits.Load() > before; reached != c.open {
				t.Errorf("%s, %s: the server was reached: %v", address, name, reached)
			}
		}
	}
}

// serveAt is a TLS server at an address, and how many connections it had.
func serveAt(t *testing.T, address string) (*httptest.Server, *atomic.Int32) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	hits := new(atomic.Int32)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			hits.Add(1)
		}
	}
	_ = s.Listener.Close()
	s.Listener = l
	s.StartTLS()
	t.Cleanup(s.Close)
	return s, hits
}

func post(t *testing.T, guard *egress.Guard, to *httptest.Server) error {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(to.Certificate())
	transport, err := egress.New(egress.Profile{Guard: guard}, &tls.Config{RootCAs: pool, ServerName: "example.com"})
	if err != nil {
		t.Fatal(err)
	}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, to.URL, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}
