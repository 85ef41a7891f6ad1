package egress

import (
	"crypto/tls"
	"net"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

func TestHandshakesComputeInTurn(t *testing.T) {
	t.Parallel()
	const many = 100
	s, config := receiver(t, func(http.ResponseWriter, *http.Request) {})
	var now, most atomic.Int64
	config.VerifyConnection = func(tls.ConnectionState) error {
		n := now.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		for range 100 { // as long as a computation: others would begin theirs
			runtime.Gosched()
		}
		now.Add(-1)
		return nil
	}
	var wg sync.WaitGroup
	for range many {
		wg.Go(func() {
			if _, err := postOnce(t, Profile{Guard: loopback}, config, s.URL); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got, bound := most.Load(), int64(cap(computing)); got > bound {
		t.Errorf("%d of %d handshakes computed at once; want at most %d", got, many, bound)
	}
}

func TestHandshakeThatIsNotAnsweredHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	many := 2 * cap(computing)
	ln, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // returns at once
	if err != nil {
		t.Fatal(err)
	}
	s, config := receiver(t, func(http.ResponseWriter, *http.Request) {})
	var wg sync.WaitGroup
	for range many {
		wg.Go(func() {
			if _, err := postOnce(t, Profile{Guard: loopback}, config, "https://"+ln.Addr().String()); err == nil {
				t.Error("a handshake was answered by nobody")
			}
		})
	}
	hellos := make([]net.Conn, many)
	for i := range hellos { // from here on the other side waits
		if hellos[i], err = ln.Accept(); err != nil {
			t.Fatal(err)
		}
		if _, err := hellos[i].Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := postOnce(t, Profile{Guard: loopback}, config, s.URL); err != nil {
		t.Errorf("a call beside %d handshakes without an answer: %v", many, err)
	}
	for _, conn := range hellos {
		_ = conn.Close()
	}
	_ = ln.Close()
	wg.Wait()
}

// postOnce posts over a transport of its own.
func postOnce(t *testing.T, p Profile, config *tls.Config, target string) (answer, error) {
	t.Helper()
	tr, err := New(p, config)
	if err != nil {
		return answer{}, err
	}
	defer tr.CloseIdleConnections()
	return post(t, tr, target)
}
