package retry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"sync"
	"testing"
	"time"
)

// The errors below come from real servers on loopback, as net/http of this
// Go release words them.

// rawServer answers each connection with serve and returns its URL.
func rawServer(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns sync.WaitGroup
	t.Cleanup(func() { _ = l.Close(); conns.Wait() })
	conns.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() { defer c.Close(); serve(c) })
		}
	})
	return "http://" + l.Addr().String()
}

// answering reads a request and writes text.
func answering(text string) func(net.Conn) {
	return func(c net.Conn) {
		_, _ = c.Read(make([]byte, 4096))
		_, _ = io.WriteString(c, text)
	}
}

// post makes one attempt and classifies it.
func post(ctx context.Context, t *testing.T, tr *http.Transport, url string) Verdict {
	t.Helper()
	t.Cleanup(tr.CloseIdleConnections)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	r := Result{}
	resp, err := tr.RoundTrip(req)
	if err == nil {
		r.Status = resp.StatusCode
		_, err = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
	r.Err, r.Now = err, time.Now()
	v := Classify(r)
	t.Logf("%v -> %s %s", err, v.Outcome, v.Detail)
	return v
}

func want(t *testing.T, v Verdict, o Outcome, detail string) {
	t.Helper()
	if v.Outcome != o || v.Detail != detail {
		t.Errorf("got %s %q, want %s %q", v.Outcome, v.Detail, o, detail)
	}
}

func TestBrokenServers(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name   string
		serve  func(net.Conn)
		want   Outcome
		detail string
	}{
		{"it closes at once", func(net.Conn) {}, ConnectionReset, ""},
		{"it closes after reading", answering(""), ConnectionReset, ""},
		{"it resets", func(c net.Conn) {
			_, _ = c.Read(make([]byte, 4096))
			_ = c.(*net.TCPConn).SetLinger(0)
		}, ConnectionReset, ""},
		{"it breaks off within the status line", answering("HTTP/1.1 2"), ProtocolError, ""},
		{"it breaks off within the body", answering("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"), ConnectionReset, ""},
		{"it does not speak HTTP", answering("220 mail.example.com ESMTP ready\r\n"), ProtocolError, ""},
		{"its status is no number", answering("HTTP/1.1 two OK\r\n\r\n"), ProtocolError, ""},
		{"its header has no colon", answering("HTTP/1.1 200 OK\r\nnonsense\r\n\r\n"), ProtocolError, ""},
		{"its chunks are garbage", answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcdefgh\r\n0\r\n\r\n"), ProtocolError, ""},
		{"its headers never end", answering("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("a", 100<<10) + "\r\n\r\n"), ResponseTooLarge, "headers"},
		{"it answers in order", answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), Delivered, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			tr := &http.Transport{MaxResponseHeaderBytes: 64 << 10}
			want(t, post(t.Context(), t, tr, rawServer(t, c.serve)), c.want, c.detail)
		})
	}
}

func TestNobodyListens(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + l.Addr().String()
	_ = l.Close()
	want(t, post(t.Context(), t, &http.Transport{}, url), ConnectionRefused, "")
}

func TestServerThatNeverAnswers(t *testing.T) {
	t.Parallel()
	url := rawServer(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }) // until we hang up
	t.Run("until the attempt's deadline", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, ErrTimeout)
		defer cancel()
		want(t, post(ctx, t, &http.Transport{}, url), Timeout, "")
	})
	t.Run("until we stop it", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(20*time.Millisecond, cancel)
		defer cancel()
		want(t, post(ctx, t, &http.Transport{}, url), Cancelled, "")
	})
}

func TestServerThatDripsItsBody(t *testing.T) {
	t.Parallel()
	url := rawServer(t, func(c net.Conn) {
		answering("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")(c)
		_, _ = io.Copy(io.Discard, c)
	})
	ctx, cancel := context.WithTimeoutCause(t.Context(), 100*time.Millisecond, ErrTimeout)
	defer cancel()
	want(t, post(ctx, t, &http.Transport{}, url), Timeout, "")
}

func TestNameServerThatFails(t *testing.T) {
	t.Parallel()
	resolver := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("no name server here")
	}}
	tr := &http.Transport{DialContext: (&net.Dialer{Resolver: resolver}).DialContext}
	want(t, post(t.Context(), t, tr, "http://hooks.example.com/"), DNSError, "")
}

func TestTLSFailures(t *testing.T) {
	t.Parallel()
	pool := func(s *httptest.Server) *x509.CertPool {
		p := x509.NewCertPool()
		p.AddCert(s.Certificate())
		return p
	}
	cases := []struct {
		name   string
		server *tls.Config
		client func(*httptest.Server) *tls.Config
		detail string
	}{
		{"an authority we do not know", nil, func(*httptest.Server) *tls.Config { return &tls.Config{RootCAs: x509.NewCertPool()} }, "unknown_authority"},
		{"a certificate for another host", nil, func(s *httptest.Server) *tls.Config {
			return &tls.Config{RootCAs: pool(s), ServerName: "hooks.example.org"}
		}, "hostname_mismatch"},
		{"a certificate that has expired", nil, func(s *httptest.Server) *tls.Config {
			return &tls.Config{RootCAs: pool(s), Time: func() time.Time { return s.Certificate().NotAfter.Add(time.Hour) }}
		}, "certificate_expired"},
		{"a server that offers TLS 1.1 only", &tls.Config{MinVersion: tls.VersionTLS11, MaxVersion: tls.VersionTLS11}, func(s *httptest.Server) *tls.Config {
			return &tls.Config{RootCAs: pool(s), MinVersion: tls.VersionTLS12}
		}, "alert"},
		{"a server that wants a client certificate", &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, MaxVersion: tls.VersionTLS12}, func(s *httptest.Server) *tls.Config {
			return &tls.Config{RootCAs: pool(s)}
		}, "alert"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := httptest.NewUnstartedServer(http.NotFoundHandler())
			s.Config.ErrorLog = log.New(io.Discard, "", 0)
			s.TLS = c.server
			s.StartTLS()
			t.Cleanup(s.Close)
			want(t, post(t.Context(), t, &http.Transport{TLSClientConfig: c.client(s)}, s.URL), TLSError, c.detail)
		})
	}
	t.Run("a server that speaks plain HTTP", func(t *testing.T) {
		t.Parallel()
		url := rawServer(t, answering("HTTP/1.1 400 Bad Request\r\n\r\n"))
		want(t, post(t.Context(), t, &http.Transport{}, strings.Replace(url, "http:", "https:", 1)), TLSError, "not_tls")
	})
	t.Run("a server that answers with TLS 1.0 whatever was offered", func(t *testing.T) {
		t.Parallel()
		hello := "\x16\x03\x01\x00\x2a" + "\x02\x00\x00\x26\x03\x01" + strings.Repeat("r", 32) + "\x00\xc0\x13\x00"
		url := rawServer(t, answering(hello))
		want(t, post(t.Context(), t, &http.Transport{}, strings.Replace(url, "http:", "https:", 1)), TLSError, "handshake")
	})
}

// closeNoticer tells when the transport has closed its side.
type closeNoticer struct {
	net.Conn
	once   sync.Once
	closed chan struct{}
}

func (c *closeNoticer) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// A kept connection that its server closes in the instant we take it: net/http
// does not repeat a POST then, and the error has no type.
func TestKeptConnectionClosedByItsServer(t *testing.T) {
	t.Parallel()
	hangUp := make(chan struct{})
	url := rawServer(t, func(c net.Conn) {
		answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")(c)
		<-hangUp
	})
	closed := make(chan struct{})
	tr := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		return &closeNoticer{Conn: c, closed: closed}, err
	}}
	want(t, post(t.Context(), t, tr, url), Delivered, "")
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) {
		close(hangUp)
		<-closed
	}})
	want(t, post(ctx, t, tr, url), ConnectionReset, "")
}
