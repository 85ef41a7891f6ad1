package delivery_test

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
)

// pipeListener is a listener whose connections are net.Pipes: real HTTP inside a synctest bubble, where sockets hang.
type pipeListener struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
}

func (l *pipeListener) dial(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.conns <- server:
		return client, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { l.once.Do(func() { close(l.done) }); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

// withServer runs f in a world whose endpoint "a" is a real HTTP server over pipes.
func withServer(t *testing.T, handler http.HandlerFunc, f func(t *testing.T, w *world)) {
	t.Helper()
	inWorld(t, func(t *testing.T, w *world) {
		l := newPipeListener()
		server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
		go func() { _ = server.Serve(l) }()
		transport := &http.Transport{DialContext: l.dial, DisableCompression: true, MaxResponseHeaderBytes: 64 << 10}
		w.apply(w.plan(routeTo{targets: []delivery.Target{to("a")}}, w.endpoint("a", func(ep *delivery.Endpoint) {
			ep.URL = &url.URL{Scheme: "http", Host: "a.example", Path: "/hooks"}
			ep.Transport = transport
		})))
		f(t, w)
		transport.CloseIdleConnections()
		_ = server.Close()
		synctest.Wait()
	})
}

func firstAttempt(t *testing.T, w *world) *delivery.Attempt {
	t.Helper()
	r := w.publish("evt_1")[0]
	pass(40 * time.Second)
	rec := w.record(r)
	if len(rec.Transitions) == 0 {
		t.Fatal("no attempt on record")
	}
	return rec.Transitions[0].Attempt
}

func TestTimeoutCoversABodyThatDrips(t *testing.T) {
	t.Parallel()
	withServer(t, func(rw http.ResponseWriter, r *http.Request) {
		rw.WriteHeader(200)
		for r.Context().Err() == nil {
			if _, err := rw.Write([]byte(".")); err != nil {
				return
			}
			rw.(http.Flusher).Flush()
			time.Sleep(time.Second)
		}
	}, func(t *testing.T, w *world) {
		a := firstAttempt(t, w)
		if a.Outcome != "timeout" || a.Status != 200 || a.Duration != 30*time.Second {
			t.Errorf("%s after %v with status %d", a.Outcome, a.Duration, a.Status)
		}
		if len(a.Excerpt) < 29 {
			t.Errorf("what had come is kept: %d bytes", len(a.Excerpt))
		}
	})
}

func TestEndlessBodyIsCutOffAndStillASuccess(t *testing.T) {
	t.Parallel()
	chunk := bytes.Repeat([]byte("x"), 4096)
	written := 0
	withServer(t, func(rw http.ResponseWriter, _ *http.Request) {
		for {
			n, err := rw.Write(chunk)
			written += n
			if err != nil {
				return
			}
		}
	}, func(t *testing.T, w *world) {
		a := firstAttempt(t, w)
		if a.Outcome != "delivered" || a.ResponseBytes != delivery.ReadBytes || len(a.Excerpt) != delivery.ExcerptBytes {
			t.Errorf("%s, read %d, kept %d", a.Outcome, a.ResponseBytes, len(a.Excerpt))
		}
		if written > 2*delivery.ReadBytes {
			t.Errorf("the endpoint could write %d bytes", written)
		}
	})
}

func TestBodyThatBreaksOffIsAFailure(t *testing.T) {
	t.Parallel()
	withServer(t, func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Length", "100")
		_, _ = rw.Write([]byte("half"))
		rw.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}, func(t *testing.T, w *world) {
		if a := firstAttempt(t, w); a.Outcome == "delivered" || a.Status != 200 {
			t.Errorf("%s with status %d", a.Outcome, a.Status)
		}
	})
}

func TestRedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	requests := 0
	withServer(t, func(rw http.ResponseWriter, r *http.Request) {
		requests++
		http.Redirect(rw, r, "/elsewhere", http.StatusTemporaryRedirect)
	}, func(t *testing.T, w *world) {
		a := firstAttempt(t, w)
		if a.Outcome != "http_error" || a.Status != 307 || requests != 1 {
			t.Errorf("%s %d after %d requests", a.Outcome, a.Status, requests)
		}
	})
}

func TestRequestIsWhatTheContractSays(t *testing.T) {
	t.Parallel()
	var got *http.Request
	withServer(t, func(_ http.ResponseWriter, r *http.Request) { got = r }, func(t *testing.T, w *world) {
		firstAttempt(t, w)
		for name, value := range map[string]string{
			"Content-Type": "application/json", "User-Agent": "AtoShip-Webhooks/test", "X-AtoShip-Event": "label.created",
			"X-AtoShip-Event-Id": "evt_1", "X-AtoShip-Attempt": "1", "Cdn-Loop": "caddy-webhooks", "Accept-Encoding": "",
		} {
			if g := got.Header.Get(name); g != value {
				t.Errorf("%s: %q, want %q", name, g, value)
			}
		}
		if got.Host != "a.example" || got.Method != "POST" || got.URL.Path != "/hooks" || got.ContentLength != int64(len(newEvent("x").Body)) {
			t.Errorf("%s %s %s, length %d", got.Method, got.Host, got.URL, got.ContentLength)
		}
	})
}

func TestKeptConnectionThatItsServerClosedIsTriedAgainAtOnce(t *testing.T) {
	t.Parallel()
	requests := 0
	withServer(t, func(http.ResponseWriter, *http.Request) {
		if requests++; requests == 2 {
			panic(http.ErrAbortHandler) // as an idle timeout does at the wrong moment
		}
	}, func(t *testing.T, w *world) {
		w.publish("evt_1")
		pass(time.Second)
		r := w.publish("evt_2")[0]
		pass(time.Second)
		rec := w.record(r)
		want(t, "attempts", outcomes(rec), []string{"a:connection_reset", "a:delivered"})
		if rec.Delivery.Tries[0] != 0 {
			t.Errorf("it spent %d steps of the schedule", rec.Delivery.Tries[0])
		}
	})
}
