package egress

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// overTLS makes a client of the host speak TLS with it; h.serve then gets the connection inside of TLS.
func overTLS(t *testing.T, c *client, h *host) {
	t.Helper()
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS() // for its certificate
	s.Close()
	serve := h.serve
	h.serve = func(n int, conn net.Conn, _ *bufio.Reader) {
		secure := tls.Server(conn, s.TLS.Clone())
		serve(n, secure, bufio.NewReader(secure))
	}
	config := s.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	config.ServerName = certName
	c.tls = config
}

// heldBack collects what is written until it is told to send: one segment then carries several TLS records.
type heldBack struct {
	net.Conn

	held []byte
	hold bool
}

func (c *heldBack) Write(b []byte) (int, error) {
	if c.hold {
		c.held = append(c.held, b...)
		return len(b), nil
	}
	if _, err := c.Conn.Write(append(c.held, b...)); err != nil {
		return 0, err
	}
	c.held = nil
	return len(b), nil
}

// The second record of a segment waits inside of crypto/tls, where neither the socket nor our reader shows it.
func TestRecordBehindAnAnswerIsNotTheNextAnswer(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, by means) {
		synctest.Test(t, func(t *testing.T) {
			h := &host{}
			h.serve = func(_ int, conn net.Conn, r *bufio.Reader) {
				inner := conn.(*tls.Conn).NetConn().(*heldBack)
				for {
					req, err := http.ReadRequest(r)
					if err != nil {
						return
					}
					_, _ = io.Copy(io.Discard, req.Body)
					inner.hold = true
					_, _ = io.WriteString(conn, "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")
					inner.hold = false
					_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				}
			}
			c := h.client(2, 2)
			overTLS(t, c, h)
			serve := h.serve
			h.serve = func(n int, conn net.Conn, r *bufio.Reader) { serve(n, &heldBack{Conn: conn}, r) }
			for i := range 3 {
				if status, _, err := exchanged(t.Context(), by(c), "a.example", "{}"); err != nil || status != 500 {
					t.Errorf("request %d was answered with %d, meant for the one before it (%v)", i, status, err)
				}
			}
			if h.dialled != 3 {
				t.Errorf("%d connections: one that has more to say is not to be kept", h.dialled)
			}
			c.CloseIdleConnections()
			time.Sleep(2 * idleTimeout)
		})
	})
}

// A kept connection over TLS is used again, whatever its host's session tickets do.
func TestConnectionOverTLSIsKept(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, by means) {
		synctest.Test(t, func(t *testing.T) {
			h := &host{serve: echo}
			c := h.client(2, 2)
			overTLS(t, c, h)
			for i := range 5 {
				if _, body, err := exchanged(t.Context(), by(c), "a.example", strings.Repeat("x", i)); err != nil || len(body) != i {
					t.Fatalf("%q (%v)", body, err)
				}
			}
			if h.dialled != 1 {
				t.Errorf("%d connections", h.dialled)
			}
			c.CloseIdleConnections()
			time.Sleep(2 * idleTimeout)
		})
	})
}

// TLS says good-bye when it is closed, and waits for that to be taken.
func TestNobodyWaitsForAReceiverThatReadsNothing(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, by means) {
		for name, use := range map[string]func(t *testing.T, c *client){
			"an attempt whose answer is cut off": func(t *testing.T, c *client) {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://a.example/", strings.NewReader("{}"))
				if err != nil {
					t.Fatal(err)
				}
				resp, err := c.RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				_, _ = resp.Body.Read(make([]byte, 1))
				_ = resp.Body.Close()
			},
			"an attempt that runs out of time": func(t *testing.T, c *client) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
				defer cancel()
				_, _, _ = exchanged(ctx, by(c), "silent.example", "{}")
			},
			"an attempt that another's connection makes room for": func(t *testing.T, c *client) {
				_, _, _ = exchanged(t.Context(), by(c), "a.example", "")
				_, _, _ = exchanged(t.Context(), by(c), "b.example", "")
			},
			"a reload that closes kept connections": func(t *testing.T, c *client) {
				_, _, _ = exchanged(t.Context(), by(c), "a.example", "")
				c.CloseIdleConnections()
			},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					over := make(chan struct{})
					h := &host{serve: func(_ int, conn net.Conn, r *bufio.Reader) {
						if req, err := http.ReadRequest(r); err == nil {
							n, _ := io.Copy(io.Discard, req.Body)
							answer := "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no"
							if n == 0 {
								answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
							}
							_, _ = io.WriteString(conn, answer)
						}
						<-over // and reads no more
					}}
					c := h.client(1, 1)
					overTLS(t, c, h)
					start := time.Now()
					use(t, c)
					if took := time.Since(start); took > time.Second {
						t.Errorf("took %v", took)
					}
					close(over)
					c.CloseIdleConnections()
					time.Sleep(2 * idleTimeout)
				})
			})
		}
	})
}

// Return 200 immediately, the customer's guide says: some receivers do so before they have read all.
func TestReceiverThatAnswersBeforeItReadsGetsTheWholeEvent(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, by means) {
		const size = 5 << 20
		for name, answer := range map[string]string{
			"without a body": "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
			"with one":       "HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok",
			"and closes":     "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					got := make(chan int64, 1)
					c := (&host{serve: func(_ int, conn net.Conn, r *bufio.Reader) {
						req, err := http.ReadRequest(r)
						if err != nil {
							return
						}
						_, _ = io.WriteString(conn, answer)
						time.Sleep(3 * time.Second)
						n, _ := io.Copy(io.Discard, req.Body)
						got <- n
					}}).client(2, 2)
					ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
					defer cancel()
					status, _, err := exchanged(ctx, by(c), "a.example", strings.Repeat("x", size))
					if n := <-got; n != size || err != nil || status/100 != 2 {
						t.Errorf("it got %d of %d bytes; %d (%v)", n, size, status, err)
					}
					c.CloseIdleConnections()
				})
			})
		}
		t.Run("one that wants no more has answered all the same", func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := (&host{serve: func(_ int, conn net.Conn, r *bufio.Reader) {
					if _, err := http.ReadRequest(r); err == nil {
						_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
					}
					time.Sleep(time.Minute)
				}}).client(2, 2)
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				status, _, err := exchanged(ctx, by(c), "a.example", strings.Repeat("x", size))
				if status != 200 || err != nil {
					t.Errorf("%d (%v)", status, err)
				}
				if all, _ := kept(c, ""); all > 0 {
					t.Error("its connection is kept")
				}
				time.Sleep(time.Minute)
			})
		})
	})
}

func TestAnswerThatIsNoHTTPSaysSoItself(t *testing.T) {
	t.Parallel()
	bothWays(t, func(t *testing.T, by means) {
		for name, c := range map[string]struct{ answer, outcome string }{
			"a length that is no number": {"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "protocol_error"},
			"a negative length":          {"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "protocol_error"},
			"two lengths":                {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nok", "protocol_error"},
			"a coding nobody knows":      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "protocol_error"},
			"a chunk of no length":       {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "protocol_error"},
			"a chunk that does not end":  {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok!!\r\n", "protocol_error"},
			"a chunk longer than any":    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", "protocol_error"},
			"a trailer without end":      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + strings.Repeat("X-Pad: a\r\n", 1000), "protocol_error"},
			"another protocol":           {"220 mail.example ESMTP\r\n\r\n", "protocol_error"},
			"a header too large":         {"HTTP/1.1 200 OK\r\nX-A: " + strings.Repeat("a", 70<<10), "response_too_large"},
			"an end in the middle":       {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok", ""},
			"no answer":                  {"", ""},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				client := (&host{serve: func(_ int, conn net.Conn, r *bufio.Reader) {
					if req, err := http.ReadRequest(r); err == nil {
						_, _ = io.Copy(io.Discard, req.Body)
					}
					_, _ = io.WriteString(conn, c.answer)
				}}).client(1, 1)
				_, _, err := exchanged(t.Context(), by(client), "a.example", "{}")
				outcome := ""
				if named, ok := errors.AsType[interface {
					error
					Outcome() string
				}](err); ok {
					outcome = named.Outcome()
				}
				if err == nil || outcome != c.outcome {
					t.Errorf("%v is of class %q, want %q", err, outcome, c.outcome)
				}
			})
		}
	})
}
