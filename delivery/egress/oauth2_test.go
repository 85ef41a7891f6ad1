package egress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atoship/caddy-webhooks/delivery/retry"
)

const (
	clientSecret = "cl13nt-s3cr3t"
	tokenPrefix  = "t0k3n-"
)

// roundTrip is a RoundTripper by itself.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func respond(status int, contentType, body string) *http.Response {
	return &http.Response{
		StatusCode: status, Status: http.StatusText(status), Header: http.Header{"Content-Type": {contentType}},
		Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
	}
}

func tokenResponse(n, life int) *http.Response {
	return respond(200, "application/json", fmt.Sprintf(`{"access_token":"%s%d","token_type":"bearer","expires_in":%d}`, tokenPrefix, n, life))
}

func credentials() ClientCredentials {
	return ClientCredentials{
		TokenURL: &url.URL{Scheme: "https", Host: "login.example.com", Path: "/token"},
		ID:       "client", Secret: clientSecret, Scopes: []string{"hooks", "hooks:write"},
	}
}

// bearer is one whose token endpoint and endpoint are functions. asked counts
// the requests to the token endpoint.
func bearer(t *testing.T, endpoint roundTrip, tokenEndpoint func(n int, req *http.Request) (*http.Response, error)) (b *Bearer, asked *atomic.Int32) {
	t.Helper()
	asked = new(atomic.Int32)
	tokens, err := NewTokens(credentials(), roundTrip(func(req *http.Request) (*http.Response, error) {
		return tokenEndpoint(int(asked.Add(1)), req)
	}))
	if err != nil {
		t.Fatal(err)
	}
	return &Bearer{Tokens: tokens, Next: endpoint}, asked
}

func accepted(*http.Request) (*http.Response, error) { return respond(200, "", ""), nil }

// send makes one request and returns its status.
func send(ctx context.Context, b *Bearer) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://hooks.example.com/in", strings.NewReader("{}"))
	if err != nil {
		return 0, err
	}
	resp, err := b.RoundTrip(req)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}

func TestTokenIsAskedForOnceAndUsedUntilShortlyBeforeItsEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		used := map[string]int{}
		b, asked := bearer(t, func(req *http.Request) (*http.Response, error) {
			mu.Lock()
			defer mu.Unlock()
			used[req.Header.Get("Authorization")]++
			return accepted(req)
		}, func(n int, req *http.Request) (*http.Response, error) {
			time.Sleep(2 * time.Second) // so that all of them wait
			id, secret, _ := req.BasicAuth()
			body, err := io.ReadAll(req.Body)
			if err != nil || id != "client" || secret != clientSecret || string(body) != "grant_type=client_credentials&scope=hooks+hooks%3Awrite" ||
				req.Method != http.MethodPost || req.URL.String() != "https://login.example.com/token" {
				t.Errorf("asked %s with %s, %s, %s, error %v", req.URL, id, secret, body, err)
			}
			return tokenResponse(n, 3600), nil
		})
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				if _, err := send(t.Context(), b); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if asked.Load() != 1 || used["Bearer "+tokenPrefix+"1"] != 50 {
			t.Fatalf("asked %d times for 50 deliveries, which used %v", asked.Load(), used)
		}
		time.Sleep(time.Hour - tokenMargin - 3*time.Second) // 2 s went by for the answer
		if _, err := send(t.Context(), b); err != nil || asked.Load() != 1 {
			t.Errorf("just before the margin: error %v, asked %d times", err, asked.Load())
		}
		time.Sleep(2 * time.Second)
		if _, err := send(t.Context(), b); err != nil || asked.Load() != 2 || used["Bearer "+tokenPrefix+"2"] != 1 {
			t.Errorf("within the margin: error %v, asked %d times, used %v", err, asked.Load(), used)
		}
	})
}

func TestTokenLife(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ life, used time.Duration }{
		"an hour":            {time.Hour, 59 * time.Minute},
		"a tenth of little":  {100 * time.Second, 90 * time.Second},
		"over at once":       {0, minTokenLife},
		"over long ago":      {-time.Hour, minTokenLife},
		"more than a decade": {1 << 31 * time.Second, 1<<31*time.Second - tokenMargin},
	} {
		if got := usable(c.life); got != c.used {
			t.Errorf("%s: used for %s, want %s", name, got, c.used)
		}
	}
}

func TestWaitersLeaveByTheirOwnContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, asked := bearer(t, accepted, func(n int, _ *http.Request) (*http.Response, error) {
			time.Sleep(5 * time.Second)
			return tokenResponse(n, 3600), nil
		})
		late, stop := context.WithTimeoutCause(t.Context(), time.Second, retry.ErrTimeout)
		defer stop()
		stopped, stopNow := context.WithCancel(t.Context())
		var all sync.WaitGroup
		start := time.Now()
		all.Go(func() {
			_, err := send(late, b)
			if took := time.Since(start); took != time.Second || !errors.Is(err, context.DeadlineExceeded) || outcomeOf(err) != retry.Local {
				t.Errorf("the first, with a deadline: after %s error %v, want a local fault after 1s", took, err)
			}
		})
		all.Go(func() {
			_, err := send(stopped, b)
			if took := time.Since(start); took != 2*time.Second || outcomeOf(err) != retry.Cancelled {
				t.Errorf("one that is cancelled: after %s error %v, want just that after 2s", took, err)
			}
		})
		all.Go(func() {
			if status, err := send(t.Context(), b); err != nil || status != 200 {
				t.Errorf("one that waits: %d, error %v", status, err)
			}
		})
		time.Sleep(2 * time.Second)
		stopNow()
		all.Wait()
		if asked.Load() != 1 {
			t.Errorf("asked %d times, want once: who asked first left first", asked.Load())
		}
	})
}

func outcomeOf(err error) retry.Outcome { return retry.Classify(retry.Result{Err: err}).Outcome }

func TestUnauthorizedDiscardsATokenOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		revoked := ""
		b, asked := bearer(t, func(req *http.Request) (*http.Response, error) {
			time.Sleep(time.Second)
			if revoked == "all" || req.Header.Get("Authorization") == revoked {
				return respond(401, "", ""), nil
			}
			return accepted(req)
		}, func(n int, _ *http.Request) (*http.Response, error) { return tokenResponse(n, 3600), nil })
		expect := func(when string, status, asks int) {
			t.Helper()
			if got, err := send(t.Context(), b); err != nil || got != status || int(asked.Load()) != asks {
				t.Errorf("%s: status %d, error %v, asked %d times, want %d and %d", when, got, err, asked.Load(), status, asks)
			}
		}
		expect("the first token", 200, 1)
		time.Sleep(2 * minTokenAge)
		revoked = "Bearer " + tokenPrefix + "1"
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() { expect("a revoked token, ten times at once", 401, 1) })
		}
		all.Wait()
		expect("the next token", 200, 2)

		revoked = "all" // the endpoint refuses whatever it gets
		for range 20 {
			expect("a fresh token refused", 401, 2)
		}
		time.Sleep(minTokenAge)
		expect("an older token refused", 401, 2)
		for range 20 {
			expect("its successor refused", 401, 3)
		}
	})
}

// The 401 to a token comes when that one has been replaced already.
func TestLateUnauthorizedLeavesTheNextTokenAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b, asked := bearer(t, func(req *http.Request) (*http.Response, error) {
			if req.Header.Get("Authorization") == "Bearer "+tokenPrefix+"1" {
				time.Sleep(20 * time.Second)
				return respond(401, "", ""), nil
			}
			return accepted(req)
		}, func(n int, _ *http.Request) (*http.Response, error) { return tokenResponse(n, 100), nil })
		var late sync.WaitGroup
		late.Go(func() { // the first token, which is old when it is refused
			time.Sleep(80 * time.Second)
			if status, err := send(t.Context(), b); status != 401 {
				t.Errorf("the late one: %d, error %v", status, err)
			}
		})
		if status, err := send(t.Context(), b); status != 401 || asked.Load() != 1 {
			t.Errorf("the first: %d, error %v, asked %d times", status, err, asked.Load())
		}
		time.Sleep(75 * time.Second) // past the first token's margin
		if status, err := send(t.Context(), b); status != 200 || asked.Load() != 2 {
			t.Errorf("the second token: %d, error %v, asked %d times", status, err, asked.Load())
		}
		late.Wait()
		if status, err := send(t.Context(), b); status != 200 || asked.Load() != 2 {
			t.Errorf("after the late refusal: %d, error %v, asked %d times", status, err, asked.Load())
		}
	})
}

func TestFailingTokenEndpointIsLeftAloneForAWhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		down := true
		b, asked := bearer(t, accepted, func(n int, _ *http.Request) (*http.Response, error) {
			if down {
				return respond(500, "text/html", "down"), nil
			}
			return tokenResponse(n, 3600), nil
		})
		// Each round asks twice while it is not known how the server takes the
		// secret: in the header, then in the body.
		rounds := func() int { return int(asked.Load()+1) / 2 }
		for second := range 3 * 60 {
			for range 10 {
				if _, err := send(t.Context(), b); outcomeOf(err) != retry.Local {
					t.Fatalf("error %v", err)
				}
			}
			// After 0, 1, 3, 7, 15, 31, 63 and 123 seconds.
			want := map[int]int{0: 1, 1: 2, 2: 2, 3: 3, 7: 4, 15: 5, 31: 6, 62: 6, 63: 7, 122: 7, 123: 8, 179: 8}[second]
			if want != 0 && rounds() != want {
				t.Errorf("after %d s: asked %d times, want %d", second, rounds(), want)
			}
			time.Sleep(time.Second)
		}
		down = false
		time.Sleep(maxTokenPause)
		if _, err := send(t.Context(), b); err != nil {
			t.Errorf("it is up again: %v", err)
		}
	})
}

func TestSecretIsSentInTheBodyToServersThatWantItThere(t *testing.T) {
	t.Parallel()
	b, asked := bearer(t, accepted, func(n int, req *http.Request) (*http.Response, error) {
		if _, _, ok := req.BasicAuth(); ok || req.FormValue("client_id") != "client" || req.FormValue("client_secret") != clientSecret {
			return respond(401, "application/json", `{"error":"invalid_client"}`), nil
		}
		return tokenResponse(n, 3600), nil
	})
	if _, err := send(t.Context(), b); err != nil || asked.Load() != 2 {
		t.Errorf("error %v, asked %d times", err, asked.Load())
	}
}

// Each row is an answer of the token endpoint that gives no token, and a part
// of the error. Many hold what must not be in an error.
func TestFailuresToGetATokenAreLocalAndTellNothing(t *testing.T) {
	t.Parallel()
	const js = "application/json"
	leak := clientSecret + " " + tokenPrefix + "9"
	cases := []struct {
		name   string
		answer *http.Response
		err    error
		want   string
	}{
		{"a known error code", respond(400, js, `{"error":"invalid_scope","error_description":"`+leak+`"}`), nil, "answered 400, invalid_scope"},
		{"an unknown error code", respond(401, js, `{"error":"`+leak+`"}`), nil, "answered 401"},
		{"an error code with 200", respond(200, js, `{"error":"invalid_client","access_token":"`+tokenPrefix+`9"}`), nil, "answered 200, invalid_client"},
		{"a page that echoes the request", respond(500, "text/html", leak), nil, "answered 500"},
		{"a form that echoes it", respond(403, "application/x-www-form-urlencoded", "error="+url.QueryEscape(leak)), nil, "answered 403"},
		{"a redirect", &http.Response{StatusCode: 307, Header: http.Header{"Location": {"https://evil.example/" + clientSecret}}, Body: http.NoBody}, nil, "answered 307"},
		{"not JSON", respond(200, js, leak), nil, "not a token response"},
		{"a token that is no string", respond(200, js, `{"access_token":9090909090}`), nil, "not a token response"},
		{"a life that is no number", respond(200, js, `{"access_token":"`+tokenPrefix+`9","expires_in":"`+leak+`"}`), nil, "not a token response"},
		{"no token", respond(200, js, `{}`), nil, "not a token response"},
		{"an endless answer", respond(200, js, `{"access_token":"abc","a":"`+strings.Repeat("a", maxTokenResponseBytes)+`"}`), nil, "not a token response"},
		{"a token of another type", respond(200, js, `{"access_token":"`+tokenPrefix+`9","token_type":"mac"}`), nil, "not of type Bearer"},
		{"a token with a line break", respond(200, js, `{"access_token":"`+tokenPrefix+`9\r\nHost: x"}`), nil, "characters"},
		{"a token with a space", respond(200, js, `{"access_token":"`+leak+`"}`), nil, "characters"},
		{"a token too long", respond(200, js, `{"access_token":"`+strings.Repeat(tokenPrefix, maxTokenBytes/len(tokenPrefix)+1)+`"}`), nil, "at most"},
		{"no connection", nil, io.ErrUnexpectedEOF, "asking the token endpoint: unexpected EOF"},
		{"an address that the guard blocks", nil, &BlockedError{Why: "private"}, "address blocked"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b, _ := bearer(t, func(*http.Request) (*http.Response, error) {
				t.Error("the endpoint was reached without a token")
				return respond(200, "", ""), nil
			}, func(_ int, req *http.Request) (*http.Response, error) {
				if req.URL.Host != "login.example.com" {
					t.Errorf("the redirect to %s was followed", req.URL)
				}
				if c.answer == nil {
					return nil, c.err
				}
				again := *c.answer
				text, _ := io.ReadAll(c.answer.Body)
				c.answer.Body = io.NopCloser(strings.NewReader(string(text)))
				again.Body = io.NopCloser(strings.NewReader(string(text)))
				return &again, nil
			})
			_, err := send(t.Context(), b)
			failed, ok := errors.AsType[*TokenError](err)
			if !ok || failed.Detail() != "oauth2" || outcomeOf(err) != retry.Local || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, outcome %s, want a local fault about %q", err, outcomeOf(err), c.want)
			}
			for _, hidden := range []string{clientSecret, tokenPrefix, "9090909090", "evil"} {
				if strings.Contains(err.Error(), hidden) {
					t.Errorf("the error tells %s: %v", hidden, err)
				}
			}
		})
	}
}

func TestClientCredentialsAreChecked(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*ClientCredentials){
		"client_id is required":     func(c *ClientCredentials) { c.ID = "" },
		"client_secret is required": func(c *ClientCredentials) { c.Secret = "" },
		"token_url must begin":      func(c *ClientCredentials) { c.TokenURL = nil },
		"token_url must begin with": func(c *ClientCredentials) { c.TokenURL = &url.URL{Scheme: "http", Host: "login.example.com"} },
		"scope \"a b\"":             func(c *ClientCredentials) { c.Scopes = []string{"a b"} },
		"scope \"\"":                func(c *ClientCredentials) { c.Scopes = []string{""} },
		"65 scopes":                 func(c *ClientCredentials) { c.Scopes = make([]string, 65) },
	} {
		c := credentials()
		change(&c)
		if _, err := NewTokens(c, nil); err == nil || !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), clientSecret) {
			t.Errorf("error %v, want one about %s", err, name)
		}
	}
}

func TestBearerLeavesTheRequestAsItWas(t *testing.T) {
	t.Parallel()
	b, _ := bearer(t, func(req *http.Request) (*http.Response, error) {
		if req.GetBody == nil || req.Header.Get("X-A") != "1" || req.ContentLength != 2 {
			t.Errorf("sent %+v", req)
		}
		return accepted(req)
	}, func(n int, _ *http.Request) (*http.Response, error) { return tokenResponse(n, 3600), nil })
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://hooks.example.com/in", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-A", "1")
	if _, err := b.RoundTrip(req); err != nil || len(req.Header) != 1 {
		t.Errorf("error %v, the request's header is now %v", err, req.Header)
	}
	req.Header = nil
	if _, err := (&Bearer{Tokens: b.Tokens, Next: roundTrip(accepted)}).RoundTrip(req); err != nil || req.Header != nil {
		t.Errorf("without a header: error %v, now %v", err, req.Header)
	}
}

// Both ways through real TLS, and the guard before the token endpoint.
func TestTokensOverTLS(t *testing.T) {
	t.Parallel()
	login, loginTrust := receiver(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"access_token":"abc","token_type":"Bearer","expires_in":60}`)
	})
	endpoint, trust := receiver(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer abc" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	c := credentials()
	var err error
	if c.TokenURL, err = url.Parse(login.URL); err != nil {
		t.Fatal(err)
	}
	for _, open := range []bool{true, false} {
		var p Profile
		if open {
			p.Guard = loopback
		}
		tokens, err := NewTokens(c, transport(t, p, loginTrust))
		if err != nil {
			t.Fatal(err)
		}
		b := &Bearer{Tokens: tokens, Next: transport(t, Profile{Guard: loopback}, trust)}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, endpoint.URL, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := b.RoundTrip(req)
		if open && (err != nil || resp.StatusCode != 200) || !open && (!errors.Is(err, ErrBlocked) || outcomeOf(err) != retry.Local) {
			t.Errorf("token endpoint allowed %v: %v, error %v", open, resp, err)
		}
		if err == nil {
			_ = resp.Body.Close()
		}
	}
}
