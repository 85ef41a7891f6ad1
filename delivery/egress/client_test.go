package egress

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// host is a server of the far end of pipes: it runs a script for each connection.
type host struct {
	dialled int
	serve   func(n int, conn net.Conn, r *bufio.Reader)
}

func (h *host) client(most, perHost int) *client {
	return &client{most: most, perHost: perHost, idle: make(map[string][]*wire), dial: func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		h.dialled++
		n := h.dialled
		go func() {
			defer far.Close()
			h.serve(n, far, bufio.NewReader(far))
		}()
		return near, nil
	}}
}

// echo answers every request of a connection with its body.
func echo(_ int, conn net.Conn, r *bufio.Reader) {
	for {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		body, _ := io.ReadAll(req.Body)
		_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	}
}

// says answers each request with the same text.
func says(text string) func(int, net.Conn, *bufio.Reader) {
	return func(_ int, conn net.Conn, r *bufio.Reader) {
		for {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, req.Body)
			_, _ = io.WriteString(conn, text)
		}
	}
}

// caller makes a call of each request, as attempts are made. The context of the request is the call's stop, and what it
// says of the connection goes to the request's trace.
type caller struct{ c *client }

func (c caller) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	end, ok := req.Context().Deadline()
	if !ok {
		end = time.Now().Add(time.Hour)
	}
	k := &Call{URL: req.URL, Header: req.Header, Body: body, End: end, Stop: req.Context(), Read: 2 << 20, Keep: 2 << 20}
	if stop, ok := req.Context().Value(stopKey{}).(context.Context); ok {
		k.Stop = stop
	}
	err = k.Make(req.Context(), straight{c.c})
	if trace := httptrace.ContextClientTrace(req.Context()); trace != nil {
		trace.GotConn(httptrace.GotConnInfo{Reused: k.Reused})
	}
	if err != nil && k.Status == 0 {
		return nil, err
	}
	var rest io.Reader = bytes.NewReader(k.Excerpt)
	if err != nil {
		rest = io.MultiReader(rest, failing{err})
	}
	return &http.Response{StatusCode: k.Status, Header: http.Header{"Retry-After": {k.RetryAfter}, "Location": {k.Location}}, Body: io.NopCloser(rest)}, nil
}

// straight is a transport that has nothing to choose.
type straight struct{ *client }

func (s straight) direct(*url.URL) *client { return s.client }

// stopKey finds a call's stop in the context of its request, where that is another one.
type stopKey struct{}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// way to send requests by a client.
type means func(*client) http.RoundTripper

// bothWays runs a test for requests that make a round trip and for calls: the connection's side of both is the same.
func bothWays(t *testing.T, f func(t *testing.T, by means)) {
	t.Helper()
	for name, by := range map[string]means{
		"by round trip": func(c *client) http.RoundTripper { return c },
		"by call":       func(c *client) http.RoundTripper { return caller{c} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, by)
		})
	}
}

func exchanged(ctx context.Context, c http.RoundTripper, host, body string) (status int, answer string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+host+"/hooks", strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	resp, err := c.RoundTrip(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

// kept counts idle connections: in all, and of one host.
func kept(c *client, host string) (all, its int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.age.Len(), len(c.idle[host+":80"])
}

func TestConnectionIsKeptWhileItsAnswersEnd(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, by means) {
		for name, c := range map[string]struct {
			answer string
			status int
			body   string
			kept   bool
		}{
			"a length":                          {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, "ok", true},
			"chunks":                            {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 200, "ok", true},
			"no body":                           {"HTTP/1.1 204 No Content\r\n\r\n", 204, "", true},
			"a length of zero":                  {"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", 500, "", true},
			"early hints first":                 {"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 202 OK\r\nContent-Length: 0\r\n\r\n", 202, "", true},
			"the receiver wants to close":       {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", 200, "ok", false},
			"HTTP/1.0":                          {"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, "ok", false},
			"more than was announced":           {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok?", 200, "ok", false},
			"another protocol, which none asks": {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", 101, "", false},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				h := &host{serve: says(c.answer)}
				client := h.client(10, 10)
				for range 2 {
					status, body, err := exchanged(t.Context(), by(client), "a.example", "{}")
					if err != nil || status != c.status || body != c.body {
						t.Fatalf("%d %q (%v)", status, body, err)
					}
				}
				if kept := h.dialled == 1; kept != c.kept {
					t.Errorf("kept: %t, want %t", kept, c.kept)
				}
			})
		}
	})
}

func TestAnswerThatIsNoneEndsTheAttempt(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, by means) {
		for name, c := range map[string]struct{ answer, want string }{
			"nothing":                    {"", "unexpected EOF"},
			"half a header":              {"HTTP/1.1 200 OK\r\nX-A: b\r\n", "unexpected EOF"},
			"half a body":                {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", "unexpected EOF"},
			"something else":             {"SSH-2.0-OpenSSH\r\n\r\n", "malformed HTTP"},
			"two lengths":                {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok", "Content-Length"},
			"a header without end":       {"HTTP/1.1 200 OK\r\n" + strings.Repeat("X-Pad: "+strings.Repeat("a", 1000)+"\r\n", 70), errHeaderTooLarge.Error()},
			"hints without end":          {strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: "+strings.Repeat("a", 1000)+"\r\n\r\n", 70), errHeaderTooLarge.Error()},
			"a chunk of nonsense length": {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "chunk"},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				h := &host{serve: func(_ int, conn net.Conn, r *bufio.Reader) {
					if req, err := http.ReadRequest(r); err == nil {
						_, _ = io.Copy(io.Discard, req.Body)
					}
					_, _ = io.WriteString(conn, c.answer)
				}}
				client := h.client(10, 10)
				_, _, err := exchanged(t.Context(), by(client), "a.example", "{}")
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%v, want %q", err, c.want)
				}
				if all, _ := kept(client, ""); all > 0 {
					t.Error("its connection is kept")
				}
			})
		}
	})
}

// On real sockets, where the end of a connection shows before it is used.
func TestClosedConnectionIsNotUsedAgain(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, by means) {
		var lc net.ListenConfig
		ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = ln.Close() })
		closed := make(chan struct{}, 3)
		for _, unasked := range []string{"", "HTTP/1.1 408 Request Timeout\r\n\r\n", ""} {
			go func() {
				conn, err := ln.Accept()
				if err != nil {
					return
				}
				req, err := http.ReadRequest(bufio.NewReader(conn))
				if err == nil {
					_, _ = io.Copy(io.Discard, req.Body)
					_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"+unasked)
				}
				_ = conn.Close()
				closed <- struct{}{}
			}()
		}
		c := &client{most: 2, perHost: 2, idle: make(map[string][]*wire), dial: (&net.Dialer{}).DialContext}
		for i := range 3 {
			var reused bool
			ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { reused = i.Reused }})
			if status, _, err := exchanged(ctx, by(c), ln.Addr().String(), "{}"); err != nil || status != 200 || reused {
				t.Fatalf("request %d: %d, on a kept connection: %t (%v)", i, status, reused, err)
			}
			<-closed
		}
	})
}

func TestTheOldestConnectionMakesRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := &host{serve: echo}
		c := h.client(3, 2)
		open := func(host string) *http.Response {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+host+"/", strings.NewReader("ok"))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := c.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			return resp
		}
		finish := func(all ...*http.Response) {
			for _, resp := range all {
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				time.Sleep(time.Second)
			}
		}
		want := func(what string, all, its int) {
			t.Helper()
			if gotAll, gotIts := kept(c, "a.example"); gotAll != all || gotIts != its {
				t.Errorf("%s: %d are kept, %d of them a.example's; want %d and %d", what, gotAll, gotIts, all, its)
			}
		}
		finish(open("a.example"), open("a.example"), open("a.example"))
		want("three at once to one host", 2, 2)
		finish(open("b.example"), open("c.example"))
		want("two to others", 3, 1)
		time.Sleep(idleTimeout - 2*time.Second)
		synctest.Wait()
		want("when all but the last were idle too long", 1, 0)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		want("and the last", 0, 0)
		finish(open("a.example"))
		want("another one", 1, 1)
		c.CloseIdleConnections()
		want("closed", 0, 0)
		time.Sleep(2 * idleTimeout)
		if h.dialled != 6 {
			t.Errorf("%d connections were made", h.dialled)
		}
	})
}

func TestAttemptEndsWhenItsTimeDoes(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, by means) {
		for name, serve := range map[string]func(int, net.Conn, *bufio.Reader){
			"nothing is read": func(int, net.Conn, *bufio.Reader) { time.Sleep(time.Minute) },
			"no answer":       func(_ int, conn net.Conn, _ *bufio.Reader) { _, _ = io.Copy(io.Discard, conn) },
			"no end of the answer": func(_ int, conn net.Conn, r *bufio.Reader) {
				if req, err := http.ReadRequest(r); err == nil {
					_, _ = io.Copy(io.Discard, req.Body)
				}
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
				for {
					if _, err := io.WriteString(conn, "."); err != nil {
						return
					}
					time.Sleep(time.Second)
				}
			},
		} {
			for _, size := range []int{10, 100 << 10} {
				t.Run(fmt.Sprint(name, ", ", size, " bytes sent"), func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) {
						c := (&host{serve: serve}).client(2, 2)
						tooLong := errors.New("too long")
						ctx, cancel := context.WithTimeoutCause(t.Context(), 30*time.Second, tooLong)
						defer cancel()
						start := time.Now()
						_, _, err := exchanged(ctx, by(c), "a.example", strings.Repeat("x", size))
						if took := time.Since(start); took != 30*time.Second {
							t.Errorf("ended after %v with %v", took, err)
						}
						// The connection's own deadline may be first to tell.
						if timeout, ok := errors.AsType[net.Error](err); !errors.Is(err, tooLong) && (!ok || !timeout.Timeout()) {
							t.Errorf("%v is no timeout", err)
						}
						if all, _ := kept(c, ""); all > 0 {
							t.Error("its connection is kept")
						}
						time.Sleep(time.Minute) // until the host is through
					})
				})
			}
		}
		t.Run("a shutdown breaks it off", func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := (&host{serve: func(_ int, conn net.Conn, _ *bufio.Reader) { _, _ = io.Copy(io.Discard, conn) }}).client(2, 2)
				stopping := errors.New("stopping")
				ctx, cancel := context.WithCancelCause(t.Context())
				time.AfterFunc(time.Second, func() { cancel(stopping) })
				if _, _, err := exchanged(ctx, by(c), "a.example", "{}"); !errors.Is(err, stopping) {
					t.Errorf("%v", err)
				}
			})
		})
	})
}

// A receiver that refuses without reading is heard, whether it closes or keeps on talking.
func TestAnswerBeforeTheBodyIsRead(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, by means) {
		for _, size := range []int{10, inlineBody, 5 << 20} {
			h := &host{serve: func(_ int, conn net.Conn, r *bufio.Reader) {
				if _, err := http.ReadRequest(r); err == nil {
					_, _ = io.WriteString(conn, "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
				}
			}}
			c := h.client(2, 2)
			c.dial = overTCP(t, h)
			status, _, err := exchanged(t.Context(), by(c), "a.example", strings.Repeat("x", size))
			if err != nil || status != 413 {
				t.Errorf("%d bytes: %d (%v)", size, status, err)
			}
		}
	})
}

// overTCP dials the host over loopback, where what is sent waits in buffers.
func overTCP(t *testing.T, h *host) func(context.Context, string, string) (net.Conn, error) {
	t.Helper()
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				h.serve(0, conn, bufio.NewReader(conn))
				_ = conn.(*net.TCPConn).CloseWrite() // a reset would overtake the answer
				_, _ = io.Copy(io.Discard, conn)
				_ = conn.Close()
			}()
		}
	}()
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", ln.Addr().String())
	}
}

func TestBodiesOfAnySizeArriveWhole(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, by means) {
		synctest.Test(t, func(t *testing.T) {
			h := &host{serve: echo}
			c := h.client(2, 2)
			for _, size := range []int{0, 1, inlineBody, inlineBody + 1, 1 << 20, 1} {
				body := strings.Repeat("x", size)
				if _, got, err := exchanged(t.Context(), by(c), "a.example", body); err != nil || got != body {
					t.Errorf("%d bytes came back as %d (%v)", size, len(got), err)
				}
				synctest.Wait()
			}
			if h.dialled != 1 {
				t.Errorf("%d connections", h.dialled)
			}
			c.CloseIdleConnections()
			time.Sleep(2 * idleTimeout)
		})
	})
}

func TestNothingGetsIntoTheHeaderThatEndsIt(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*http.Request){
		"a line break in a value":       func(r *http.Request) { r.Header["X-A"] = []string{"a\r\nX-B: b"} },
		"a zero byte in a value":        func(r *http.Request) { r.Header["X-A"] = []string{"a\x00"} },
		"a line break in a name":        func(r *http.Request) { r.Header["X-A\r\nX-B"] = []string{"a"} },
		"a space in a name":             func(r *http.Request) { r.Header["X A"] = []string{"a"} },
		"a line break in the host":      func(r *http.Request) { r.Host = "a.example\r\nX-B: b" },
		"a space in the path":           func(r *http.Request) { r.URL.Opaque = "//a.example/ HTTP/1.1" },
		"a method of two words":         func(r *http.Request) { r.Method = "POST /" },
		"a body without a known length": func(r *http.Request) { r.ContentLength = -1 },
		"a body shorter than it says":   func(r *http.Request) { r.ContentLength = 3 },
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://a.example/", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		change(req)
		arrived := make(chan []byte, 1)
		h := &host{serve: func(_ int, conn net.Conn, _ *bufio.Reader) {
			b, _ := io.ReadAll(conn)
			arrived <- b
		}}
		if resp, err := h.client(1, 1).RoundTrip(req); err == nil {
			_ = resp.Body.Close()
			t.Errorf("%s: sent", name)
		}
		if b := <-arrived; len(b) > 0 {
			t.Errorf("%s: %q arrived", name, b)
		}
	}
}

func TestRequestIsWrittenAsHTTPHasIt(t *testing.T) {
	t.Parallel()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://a.example:8443/in?x=%20y", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{
		"X-One": {"1", "2"}, "Connection": {"X-One"}, "Host": {"b.example"}, "Content-Length": {"9"}, "Transfer-Encoding": {"chunked"},
		"content-length": {"9"}, "TRANSFER-ENCODING": {"chunked"}, "host": {"b.example"}, "connection": {"X-One"}, "tRailer": {"X-One"},
	}
	head, err := appendHead(nil, req)
	if err != nil {
		t.Fatal(err)
	}
	got, err := http.ReadRequest(bufio.NewReader(io.MultiReader(bytes.NewReader(head), strings.NewReader("{}"))))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(got.Body)
	if err != nil || got.Method != "POST" || got.RequestURI != "/in?x=%20y" || got.Host != "a.example:8443" || got.ContentLength != 2 ||
		string(body) != "{}" || len(got.Header["X-One"]) != 2 || len(got.TransferEncoding) > 0 || got.Header.Get("Connection") != "" {
		t.Errorf("read back as %s %s of %s: %v, %q (%v)", got.Method, got.RequestURI, got.Host, got.Header, body, err)
	}
}

// The deadline of an attempt is no deadline of the connection: an endpoint with an event a minute shakes hands once.
func TestConnectionOutlivesTheAttemptsDeadline(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, by means) {
		c := (&host{serve: echo}).client(2, 2)
		c.dial = overTCP(t, &host{serve: echo})
		var reused bool
		for range 2 {
			ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), stopKey{}, t.Context()), 100*time.Millisecond)
			ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { reused = i.Reused }})
			if _, _, err := exchanged(ctx, by(c), "a.example", "{}"); err != nil {
				t.Fatal(err)
			}
			<-ctx.Done()
			cancel()
			time.Sleep(20 * time.Millisecond) // the connection's own deadline is a moment later
		}
		if !reused {
			t.Error("the second request made a connection of its own")
		}
	})
}
