package egress

import (
	"bytes"
	"context"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// scripted is a connection whose far end says the same whatever it is sent, in pieces, once it was sent something.
type scripted struct {
	say   *bytes.Reader
	piece int
	asked chan struct{}
	once  sync.Once
}

func (c *scripted) Write(b []byte) (int, error) {
	c.once.Do(func() { close(c.asked) })
	return len(b), nil
}

func (c *scripted) Read(b []byte) (int, error) {
	<-c.asked
	return c.say.Read(b[:min(len(b), c.piece)])
}

func (c *scripted) Close() error {
	c.once.Do(func() { close(c.asked) })
	return nil
}

func (*scripted) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (*scripted) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (*scripted) SetDeadline(time.Time) error      { return nil }
func (*scripted) SetReadDeadline(time.Time) error  { return nil }
func (*scripted) SetWriteDeadline(time.Time) error { return nil }

// answered is what a client makes of an answer.
type answered struct {
	status  int
	header  http.Header
	body    string
	failed  bool // before there was a status
	cut     bool // after
	message string
}

func ask(t *testing.T, rt http.RoundTripper) answered {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://a.example/", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return answered{failed: true, message: err.Error()}
	}
	defer resp.Body.Close()
	a := answered{status: resp.StatusCode, header: resp.Header}
	if a.status == http.StatusSwitchingProtocols {
		return a // net/http would hand the connection over
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if a.body = string(body); err != nil {
		a.cut, a.message = true, err.Error()
	}
	return a
}

// FuzzAnswer holds our client against net/http's: both take an answer for the same, in pieces of any size.
func FuzzAnswer(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
		"HTTP/1.0 200 OK\r\n\r\nok until the end",
		"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello",
		"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n",
		"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nraw",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nok\r\n0\r\nX-Trailer: 1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n2\r\nok\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
		"HTTP/1.1 200 OK\r\n Folded: x\r\n\r\n",
		"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 999 Nonsense\r\n\r\n",
		"HTTP/1.1 20 OK\r\n\r\n",
		"HTTP/9.9 200 OK\r\n\r\n",
		"HTTP/1.1 099 Nonsense\r\n\r\n",
		"SSH-2.0-OpenSSH\r\n",
		"HTTP/1.1 503 No\r\nRetry-After:  120 \r\nretry-after: 5\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 302 Found\r\nLocation: https://b.example/\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 200 \r\nContent-Length:2\r\nConnection: Keep-Alive\r\n\r\nok",
		"HTTP/1.1 200\r\nContent-Length: 0002\r\nX:\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: \xff\t\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nok",
	} {
		f.Add([]byte(s), uint16(1000))
		f.Add([]byte(s), uint16(1))
	}
	f.Fuzz(func(t *testing.T, answer []byte, piece uint16) {
		dial := func(context.Context, string, string) (net.Conn, error) {
			return &scripted{say: bytes.NewReader(answer), piece: int(piece) + 1, asked: make(chan struct{})}, nil
		}
		c := &client{dial: dial, most: 1, perHost: 1, idle: make(map[string][]*wire)}
		got := ask(t, c)
		c.CloseIdleConnections()
		called := ask(t, caller{c})
		c.CloseIdleConnections()
		// A status of 000 is none to a call.
		same := func(name string) bool { return called.header.Get(name) == got.header.Get(name) }
		if got.status != 0 && (called.status != got.status || called.body != got.body || called.failed != got.failed ||
			called.cut != got.cut || !called.failed && (!same("Retry-After") || !same("Location"))) {
			t.Errorf("%q is taken by a call for\n%+v, by a round trip for\n%+v", answer, called, got)
		}

		theirs := &http.Transport{DialContext: dial, DisableCompression: true, MaxResponseHeaderBytes: maxResponseHeaderBytes}
		want := ask(t, theirs)
		theirs.CloseIdleConnections()
		if strings.Contains(want.message, "1xx") || strings.Contains(want.message, "headers exceeded") || strings.Contains(got.message, errHeaderTooLarge.Error()) {
			return // where each stops listening is its own affair
		}
		if got.status != want.status || got.body != want.body || got.failed != want.failed || got.cut != want.cut ||
			!maps.EqualFunc(got.header, want.header, slices.Equal[[]string]) {
			t.Errorf("%q is taken for\n%+v, by net/http for\n%+v", answer, got, want)
		}
	})
}
