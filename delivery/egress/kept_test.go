package egress

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// fieldsOf makes a call that is answered with a status and lines of a header, read by us and by net/http alike.
func fieldsOf(t *testing.T, status, lines string) (own, theirs *Call) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		for i, framing := range []string{"Content-Length: 2\r\n\r\nok", "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"} {
			c := (&host{serve: says("HTTP/1.1 " + status + "\r\n" + lines + framing)}).client(2, 2)
			k := callTo("a.example", t.Context(), time.Minute)
			if err := k.Make(t.Context(), straight{c}); err != nil {
				t.Fatal(err)
			}
			c.CloseIdleConnections()
			if i == 0 {
				own = k
			} else {
				theirs = k
			}
		}
	})
	return own, theirs
}

func TestWhatIsKeptOfAnAnswersHeader(t *testing.T) {
	t.Parallel()
	const all = "Date: Mon, 30 Nov 2026 10:00:00 GMT\r\nServer: nginx\r\nContent-Type:  text/html \r\nvia: 1.1 edge\r\nX-Request-Id: r-1\r\n" +
		"X-Amzn-RequestId: a-1\r\nCF-Ray: c-1\r\nReport-To: {}\r\nSet-Cookie: sid=planted; Secure\r\nX-Auth-Token: planted\r\n" +
		"WWW-Authenticate: Bearer realm=x\r\nSession-Id: planted\r\n"
	for name, c := range map[string]struct {
		status, lines string
		want          map[string]string
		without       []string
	}{
		"of a success, who gave it": {
			"200 OK", all,
			map[string]string{"Server": "nginx", "Content-Type": "text/html", "Via": "1.1 edge", "X-Request-Id": "r-1", "X-Amzn-Requestid": "a-1", "Cf-Ray": "c-1", "Session-Id": Hidden},
			[]string{"Date", "Report-To", "Set-Cookie", "X-Auth-Token"},
		},
		"of a failure all, without what lets somebody in": {
			"503 No", all,
			map[string]string{
				"Date": "Mon, 30 Nov 2026 10:00:00 GMT", "Server": "nginx", "Report-To": "{}", "Set-Cookie": Hidden, "X-Auth-Token": Hidden, "Session-Id": Hidden,
				"Www-Authenticate": "Bearer realm=x",
			},
			nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			own, theirs := fieldsOf(t, c.status, c.lines)
			for _, k := range []*Call{own, theirs} {
				h, left := Fields(k.Fields)
				for name, want := range c.want {
					if got := h.Get(name); got != want {
						t.Errorf("%s: %q, want %q", name, got, want)
					}
				}
				for _, name := range c.without {
					if h.Get(name) != "" {
						t.Errorf("%s is kept: %q", name, h.Get(name))
					}
				}
				if left || strings.Contains(string(k.Fields), "planted") || string(k.Excerpt) != "ok" {
					t.Errorf("left %t, %q, body %q", left, k.Fields, k.Excerpt)
				}
			}
		})
	}
}

func TestTheKeptHeaderIsBounded(t *testing.T) {
	t.Parallel()
	long := "X-Long: " + strings.Repeat("a", 600) + "\r\n"
	many := strings.Repeat("X-Many-Id: "+strings.Repeat("b", 90)+"\r\n", 40)
	for name, c := range map[string]struct {
		status, lines string
		most          int
		left          bool
	}{
		"a long value of a failure is cut":      {"500 No", long, maxKeptValue + 30, false},
		"a long header of a failure has an end": {"500 No", long + many, maxKept, true},
		"and one of a success sooner":           {"200 OK", many, maxKeptOfSuccess, true},
	} {
		own, theirs := fieldsOf(t, c.status, c.lines)
		for _, k := range []*Call{own, theirs} {
			h, left := Fields(k.Fields)
			if len(k.Fields) > c.most || len(k.Fields) < c.most-110 || left != c.left || h == nil {
				t.Errorf("%s: %d bytes, more left %t", name, len(k.Fields), left)
			}
		}
	}
	if h, _ := Fields([]byte("X-Long: " + strings.Repeat("a", 9) + Hidden + "\n")); h.Get("X-Long") != "aaaaaaaaa"+Hidden {
		t.Errorf("read as %q", h)
	}
}

func TestSecretsThatAnAnswerRepeatsAreNotKept(t *testing.T) {
	t.Parallel()
	const secret = "planted-secret-0123456789"
	synctest.Test(t, func(t *testing.T) {
		body := `{"authorization":"Bearer ` + secret + `","again":"` + secret + `"}`
		c := (&host{serve: says(fmt.Sprintf("HTTP/1.1 400 No\r\nX-Echo: %s\r\nContent-Length: %d\r\n\r\n%s", secret, len(body), body))}).client(2, 2)
		k := callTo("a.example", t.Context(), time.Minute)
		k.Secrets = []string{"Bearer " + secret, "short"}
		if err := k.Make(t.Context(), straight{c}); err != nil {
			t.Fatal(err)
		}
		c.CloseIdleConnections()
		if kept := string(k.Fields) + string(k.Excerpt); strings.Contains(kept, "planted") || !strings.Contains(kept, "authorization") || strings.Count(kept, "****") < 3 {
			t.Errorf("kept %q", kept)
		}
	})
}

func TestATokenThatAnAnswerRepeatsIsNotKept(t *testing.T) {
	t.Parallel()
	const secret = "planted-token-0123456789"
	k := callTo("a.example", t.Context(), time.Minute)
	err := k.Make(t.Context(), roundTrip(func(req *http.Request) (*http.Response, error) {
		sent := req.Clone(req.Context())
		sent.Header.Set("Authorization", "Bearer "+secret)
		body := io.NopCloser(strings.NewReader("you sent " + sent.Header.Get("Authorization")))
		return &http.Response{StatusCode: http.StatusOK, Body: body, ContentLength: -1, Request: sent}, nil
	}))
	if err != nil || strings.Contains(string(k.Excerpt), "planted") || string(k.Excerpt) != "you sent Bearer "+strings.Repeat("*", len(secret)) {
		t.Errorf("kept %q, %v", k.Excerpt, err)
	}
}
