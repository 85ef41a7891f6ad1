package egress

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// callTo makes a call that ends after a while.
func callTo(host string, stop context.Context, length time.Duration) *Call { //nolint:revive // the stop is the call's
	return &Call{
		URL: &url.URL{Scheme: "http", Host: host, Path: "/hooks"}, Header: http.Header{"X-A": {"b"}}, Body: []byte("{}"),
		End: time.Now().Add(length), Stop: stop, Read: 64 << 10, Keep: 16 << 10,
	}
}

// patchy answers each request of a connection but those that say hang.
func patchy(_ int, conn net.Conn, r *bufio.Reader) {
	for {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		if body, _ := io.ReadAll(req.Body); string(body) != "hang" {
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	}
}

func hanging(k *Call) *Call {
	k.Body = []byte("hang")
	return k
}

func TestCallEndsOnTimeOnAConnectionWithAnEarlierCallsDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := &host{serve: patchy}
		c := h.client(2, 2)
		if err := callTo("a.example", t.Context(), 30*time.Second).Make(t.Context(), straight{c}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		start := time.Now()
		err := hanging(callTo("a.example", t.Context(), 30*time.Second)).Make(t.Context(), straight{c})
		if took := time.Since(start); took != 30*time.Second || !errors.Is(err, os.ErrDeadlineExceeded) || h.dialled != 1 {
			t.Errorf("after %v, on connection %d: %v", took, h.dialled, err)
		}
	})
}

func TestStopBreaksACallOffAndLeavesOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := (&host{serve: patchy}).client(2, 2)
		stopping := errors.New("stopping")
		stop, cancel := context.WithCancelCause(t.Context())
		other := t.Context()
		for _, first := range []context.Context{stop, other} { // each has had an answer over its connection
			if err := callTo("a.example", first, time.Minute).Make(first, straight{c}); err != nil {
				t.Fatal(err)
			}
		}
		// One connection was used by both; the second call of stop makes it watch stop again.
		time.AfterFunc(time.Second, func() { cancel(stopping) })
		start := time.Now()
		if err := hanging(callTo("a.example", stop, time.Minute)).Make(stop, straight{c}); !errors.Is(err, stopping) || time.Since(start) != time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		if err := callTo("a.example", stop, time.Minute).Make(stop, straight{c}); !errors.Is(err, stopping) {
			t.Errorf("a call that began after the stop: %v", err)
		}
		if err := callTo("a.example", other, time.Minute).Make(other, straight{c}); err != nil {
			t.Errorf("a call with another stop: %v", err)
		}
		c.CloseIdleConnections()
	})
}

func TestConnectionWhoseStopHasComeIsNotUsedByOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := &host{serve: echo}
		c := h.client(2, 2)
		stop, cancel := context.WithCancel(t.Context())
		if err := callTo("a.example", stop, time.Minute).Make(stop, straight{c}); err != nil {
			t.Fatal(err)
		}
		cancel()
		synctest.Wait()
		for _, by := range []http.RoundTripper{c, caller{c}} {
			if status, _, err := exchanged(t.Context(), by, "a.example", "{}"); err != nil || status != 200 {
				t.Errorf("%d (%v)", status, err)
			}
		}
		if h.dialled != 2 {
			t.Errorf("%d connections", h.dialled)
		}
		c.CloseIdleConnections()
	})
}

func TestCallKeepsThePartOfAnAnswerThatIsWanted(t *testing.T) {
	t.Parallel()
	for name, head := range map[string]string{
		"of known length": "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n",
		"until the end":   "HTTP/1.0 200 OK\r\n\r\n",
	} {
		h := &host{serve: says(head + strings.Repeat("x", 5000))}
		c := h.client(2, 2)
		k := callTo("a.example", t.Context(), time.Minute)
		k.Read, k.Keep = 4000, 100
		if err := k.Make(t.Context(), straight{c}); err != nil || k.Status != 200 || k.Bytes != 4000 || len(k.Excerpt) != 100 {
			t.Errorf("%s: %d with %d bytes, %d of them kept (%v)", name, k.Status, k.Bytes, len(k.Excerpt), err)
		}
		if all, _ := kept(c, ""); all > 0 {
			t.Errorf("%s: the connection is kept, with the rest in it", name)
		}
	}
}

func TestCallOverAnyRoundTripper(t *testing.T) {
	t.Parallel()
	s := &recorded{}
	k := callTo("a.example", t.Context(), time.Minute)
	if err := k.Make(t.Context(), s); err != nil || k.Status != 429 || k.RetryAfter != "7" || string(k.Excerpt) != "later" || k.Bytes != 5 {
		t.Errorf("%+v (%v)", k, err)
	}
	k.Header["X-A"][0] = "the next attempt's"
	if got := s.req.Header.Get("X-A"); got != "b" || s.req.ContentLength != 2 || s.body != "{}" || s.req.Method != "POST" {
		t.Errorf("it was given %+v with %q", s.req, s.body)
	}
	again, err := s.req.GetBody()
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(again); err != nil || string(body) != "{}" {
		t.Errorf("the body again is %q (%v)", body, err)
	}
}

// recorded keeps the request it is given, as nobody should.
type recorded struct {
	req  *http.Request
	body string
}

func (r *recorded) RoundTrip(req *http.Request) (*http.Response, error) {
	b, err := io.ReadAll(req.Body)
	r.req, r.body = req, string(b)
	return &http.Response{
		StatusCode: 429, Header: http.Header{"Retry-After": {"7"}}, Body: io.NopCloser(strings.NewReader("later")), ContentLength: 5,
	}, err
}
