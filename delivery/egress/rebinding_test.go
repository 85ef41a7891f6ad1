package egress

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// twins are two receivers at one port of two loopback addresses: 127.0.0.1,
// which the guard in these tests allows and which stands for a public one,
// and 127.0.0.2, which nobody should reach.
type twins struct {
	open, inside atomic.Int32 // requests that reached them
	port         string
	trust        *tls.Config
}

func startTwins(t *testing.T) *twins {
	t.Helper()
	w := new(twins)
	for range 20 { // until a port is free at both
		inside, err := net.Listen("tcp", "127.0.0.2:0")
		if err != nil {
			t.Skipf("127.0.0.2 is not an address here: %v", err)
		}
		_, w.port, _ = net.SplitHostPort(inside.Addr().String())
		open, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", w.port))
		if err != nil {
			_ = inside.Close()
			continue
		}
		listenAt := func(l net.Listener) func(*httptest.Server) {
			return func(s *httptest.Server) { _ = s.Listener.Close(); s.Listener = l }
		}
		receiver(t, func(http.ResponseWriter, *http.Request) { w.inside.Add(1) }, listenAt(inside))
		_, w.trust = receiver(t, func(http.ResponseWriter, *http.Request) { w.open.Add(1) }, listenAt(open))
		return w
	}
	t.Fatal("no port is free at both addresses")
	return nil
}

func (w *twins) url() string { return "https://" + net.JoinHostPort(certName, w.port) + "/in" }

// A name server changes its answer from an address that may be dialled to one
// inside, between two deliveries.
func TestFlippedAnswerIsBlockedWhenDialled(t *testing.T) {
	t.Parallel()
	w := startTwins(t)
	var asked atomic.Int32
	resolver := nameServer(t, func(n int) []string {
		asked.Add(1)
		if n == 0 {
			return []string{"127.0.0.1"}
		}
		return []string{"127.0.0.2"}
	})
	tr := transport(t, Profile{Guard: loopback, Resolver: resolver}, w.trust)
	if _, err := post(t, tr, w.url()); err != nil || w.open.Load() != 1 {
		t.Fatalf("before: error %v, %d requests arrived, want one", err, w.open.Load())
	}
	tr.CloseIdleConnections()
	if _, err := post(t, tr, w.url()); !errors.Is(err, ErrBlocked) || !strings.Contains(err.Error(), "127.0.0.2") {
		t.Errorf("after: error %v, want 127.0.0.2 blocked", err)
	}
	if w.inside.Load() != 0 || w.open.Load() != 1 {
		t.Errorf("%d requests reached the inside, %d the outside", w.inside.Load(), w.open.Load())
	}
	if n := asked.Load(); n != 2 { // a second look between judging and dialling is what rebinding needs
		t.Errorf("the name was looked up %d times for two deliveries, want 2", n)
	}
}

// Of several answers each is judged alone: what is blocked is passed over and
// never dialled, what is left may be.
func TestMixedAnswersAreJudgedOneByOne(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name    string
		answers []string
		reached int32
	}{
		{"the address inside first", []string{"127.0.0.2", "127.0.0.1"}, 1},
		{"the address inside last", []string{"127.0.0.1", "127.0.0.2"}, 1},
		{"metadata first", []string{"169.254.169.254", "10.0.0.1", "127.0.0.1"}, 1},
		{"addresses inside only", []string{"127.0.0.2", "10.0.0.1"}, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := startTwins(t)
			resolver := nameServer(t, func(int) []string { return c.answers })
			_, err := post(t, transport(t, Profile{Guard: loopback, Resolver: resolver}, w.trust), w.url())
			if blocked := errors.Is(err, ErrBlocked); blocked != (c.reached == 0) {
				t.Errorf("error %v", err)
			}
			if w.open.Load() != c.reached || w.inside.Load() != 0 {
				t.Errorf("%d requests reached the outside, %d the inside", w.open.Load(), w.inside.Load())
			}
		})
	}
}
