package egress

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// late answers each request of a connection after a while, with the texts in turn; with none it says nothing.
func late(after time.Duration, texts ...string) func(int, net.Conn, *bufio.Reader) {
	return func(_ int, conn net.Conn, r *bufio.Reader) {
		for n := 0; ; n++ {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, req.Body)
			time.Sleep(after)
			if len(texts) > 0 {
				_, _ = io.WriteString(conn, texts[n%len(texts)])
			}
		}
	}
}

func TestTimingTellsHowLongTheAnswerTookToBegin(t *testing.T) {
	t.Parallel()
	const plain, chunked = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
	for name, c := range map[string]struct {
		texts []string
		body  int
		want  time.Duration
	}{
		"an answer that everybody reads the same way": {[]string{plain}, 2, 40 * time.Millisecond},
		"an answer that net/http reads":               {[]string{chunked}, 2, 40 * time.Millisecond},
		"a request that is written beside":            {[]string{plain}, inlineBody + 1, 40 * time.Millisecond},
		"no answer at all":                            {nil, 2, 30 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c0 := (&host{serve: late(40*time.Millisecond, c.texts...)}).client(2, 2)
				for range 2 {
					k := callTo("a.example", t.Context(), 30*time.Second)
					k.Body = []byte(strings.Repeat(" ", c.body))
					err := k.Make(t.Context(), straight{c0})
					if want := (Timing{FirstByte: c.want}); k.Timing != want || (err == nil) != (c.texts != nil) {
						t.Errorf("%+v, want %+v; %v", k.Timing, want, err)
					}
				}
				c0.CloseIdleConnections()
			})
		})
	}
}

func TestTimingHasTheConnectionsPhasesOnlyWhenOneIsMade(t *testing.T) {
	t.Parallel()
	s, base := receiver(t, func(http.ResponseWriter, *http.Request) {})
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	resolver := nameServer(t, func(int) []string { return []string{"127.0.0.1"} })
	tr := transport(t, Profile{Guard: NewGuard(netip.MustParsePrefix("127.0.0.1/32")), Resolver: resolver}, base)
	for name, rt := range map[string]http.RoundTripper{"a call": tr, "a round trip": struct{ http.RoundTripper }{tr}} {
		tr.CloseIdleConnections()
		for n := range 2 {
			k := callTo("", t.Context(), 30*time.Second)
			k.URL = &url.URL{Scheme: "https", Host: net.JoinHostPort(certName, port), Path: "/"}
			if err := k.Make(t.Context(), rt); err != nil {
				t.Fatal(err)
			}
			made := k.Timing.DNS > 0 && k.Timing.Connect > 0 && k.Timing.TLS > 0
			kept := k.Timing == Timing{FirstByte: k.Timing.FirstByte}
			if k.Timing.FirstByte <= 0 || n == 0 && !made || n == 1 && !kept {
				t.Errorf("%s, request %d: %+v", name, n+1, k.Timing)
			}
		}
	}
}

func TestTimingEndsWithThePhaseThatFailed(t *testing.T) {
	t.Parallel()
	s, base := receiver(t, func(http.ResponseWriter, *http.Request) {})
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	resolver := nameServer(t, func(int) []string { return []string{"127.0.0.1"} })
	tr := transport(t, Profile{Guard: NewGuard(netip.MustParsePrefix("127.0.0.1/32")), Resolver: resolver}, base)
	guarded := transport(t, Profile{Resolver: resolver}, base)
	for name, c := range map[string]struct {
		rt   *Transport
		host string
		tls  bool
	}{
		"a name the certificate has not": {tr, "elsewhere.example", true},
		"an address that is blocked":     {guarded, certName, false},
	} {
		k := callTo("", t.Context(), 30*time.Second)
		k.URL = &url.URL{Scheme: "https", Host: net.JoinHostPort(c.host, port), Path: "/"}
		err := k.Make(t.Context(), c.rt)
		if err == nil || k.Timing.DNS == 0 || (k.Timing.TLS > 0) != c.tls || (k.Timing.Connect > 0) != c.tls || k.Timing.FirstByte != 0 {
			t.Errorf("%s: %+v, %v", name, k.Timing, err)
		}
	}
}
