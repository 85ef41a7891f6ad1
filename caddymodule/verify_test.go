package caddymodule

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/atoship/caddy-webhooks/delivery/sign"
)

// verifying is a provisioned Verify with a handler behind it.
type verifying struct {
	*Verify
	next caddyhttp.Handler
	ids  []string // that reached next
}

func newReceiver(t *testing.T, v *Verify) *verifying {
	t.Helper()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	t.Cleanup(cancel)
	if v.Secret == nil {
		v.Secret = []string{testSecret}
	}
	if err := v.Provision(ctx); err != nil {
		t.Fatal(err)
	}
	r := &verifying{Verify: v}
	r.answers(http.StatusOK)
	return r
}

// answers makes the handler behind answer with this status, after reading the body.
func (r *verifying) answers(status int) {
	r.next = caddyhttp.HandlerFunc(func(w http.ResponseWriter, req *http.Request) error {
		body, err := io.ReadAll(req.Body)
		if err != nil || int64(len(body)) != req.ContentLength {
			return errors.New("the body was not restored")
		}
		r.ids = append(r.ids, verifiedID(req))
		w.WriteHeader(status)
		_, err = w.Write(body)
		return err
	})
}

// send passes a request and returns the status, and the answer's header and body.
func (r *verifying) send(t *testing.T, req *http.Request) (int, *httptest.ResponseRecorder) {
	t.Helper()
	w := httptest.NewRecorder()
	err := r.ServeHTTP(w, req, r.next)
	if err == nil {
		return w.Code, w
	}
	if e, ok := errors.AsType[caddyhttp.HandlerError](err); ok {
		return e.StatusCode, w
	}
	return http.StatusInternalServerError, w
}

// signed is a webhook as the sender makes it.
func signed(t *testing.T, scheme, secret, id, body string, at time.Time) *http.Request {
	t.Helper()
	req := httptest.NewRequest(http.MethodPost, "/hooks", strings.NewReader(body))
	s, _ := sign.Lookup(scheme)
	signer, err := s.NewSigner([]sign.Secret{{Value: secret}}, sign.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := signer.Sign(req.Header, &sign.Message{ID: id, Timestamp: at, Body: []byte(body)}); err != nil {
		t.Fatal(err)
	}
	if scheme == "atoship" {
		req.Header.Set("X-AtoShip-Event-Id", id)
	}
	return req
}

func TestOnlySignedWebhooksPass(t *testing.T) {
	t.Parallel()
	const other = "whsec_b3RoZXIgc2VjcmV0IG90aGVyIHNlY3JldCBvdGhlcg=="
	now := time.Now()
	cases := []struct {
		what, scheme string
		change       func(*http.Request) *http.Request
		want         int
	}{
		{"a genuine one passes", "standard", nil, 200},
		{"a genuine one passes", "atoship", nil, 200},
		// The signature of somebody who does not know the secret.
		{"another secret is refused", "standard", func(*http.Request) *http.Request { return signed(t, "standard", other, "evt_1", "{}", now) }, 401},
		{"another secret is refused", "atoship", func(*http.Request) *http.Request { return signed(t, "atoship", other, "evt_1", "{}", now) }, 401},
		// A body changed on the way, whose length stays.
		{"another body is refused", "standard", func(r *http.Request) *http.Request { r.Body = io.NopCloser(strings.NewReader("[]")); return r }, 401},
		{"another body is refused", "atoship", func(r *http.Request) *http.Request { r.Body = io.NopCloser(strings.NewReader("[]")); return r }, 401},
		// A captured request sent again under a fresh id: standard signs the id.
		{"another id is refused", "standard", func(r *http.Request) *http.Request { r.Header.Set("Webhook-Id", "evt_2"); return r }, 401},
		// A captured request sent again later.
		{"an old one is refused", "standard", func(*http.Request) *http.Request {
			return signed(t, "standard", testSecret, "evt_1", "{}", now.Add(-6*time.Minute))
		}, 401},
		{"one from the future is refused", "standard", func(*http.Request) *http.Request {
			return signed(t, "standard", testSecret, "evt_1", "{}", now.Add(6*time.Minute))
		}, 401},
		{"a missing signature is a bad request", "standard", func(r *http.Request) *http.Request { r.Header.Del("Webhook-Signature"); return r }, 400},
		{"a missing id is a bad request", "atoship", func(r *http.Request) *http.Request { r.Header.Del("X-AtoShip-Event-Id"); return r }, 400},
		// Memory filled by somebody without a secret, with an announced length and without.
		{"a large body is refused", "standard", func(*http.Request) *http.Request {
			return signed(t, "standard", testSecret, "evt_1", strings.Repeat("x", 65), now)
		}, 413},
		{"a large body of unknown length is refused", "standard", func(*http.Request) *http.Request {
			r := signed(t, "standard", testSecret, "evt_1", strings.Repeat("x", 65), now)
			r.ContentLength = -1
			return r
		}, 413},
		{"a body of unknown length passes", "standard", func(r *http.Request) *http.Request { r.ContentLength = -1; return r }, 200},
	}
	for _, c := range cases {
		t.Run(c.scheme+": "+c.what, func(t *testing.T) {
			t.Parallel()
			r := newReceiver(t, &Verify{Signature: c.scheme, Secret: []string{"whsec_bmV3ZXIgc2VjcmV0IG5ld2VyIHNlY3JldCBuZXdlcg==", testSecret}, MaxBody: 64})
			req := signed(t, c.scheme, testSecret, "evt_1", "{}", now)
			if c.change != nil {
				req = c.change(req)
			}
			status, w := r.send(t, req)
			if status != c.want {
				t.Fatalf("answered %d, want %d", status, c.want)
			}
			switch passed := len(r.ids) == 1; {
			case passed != (c.want == 200):
				t.Errorf("reached the next handler: %v", r.ids)
			case passed && (r.ids[0] != "evt_1" || w.Body.String() != "{}"):
				t.Errorf("the next handler saw the id %q and the body %q", r.ids[0], w.Body)
			}
		})
	}
}

func TestKnownIDGoesNoFurther(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, &Verify{Signature: "standard"})
	send := func(id string) int {
		status, _ := r.send(t, signed(t, "standard", testSecret, id, "{}", time.Now()))
		return status
	}
	r.answers(http.StatusBadGateway)
	if status := send("evt_1"); status != http.StatusBadGateway {
		t.Errorf("the next handler's 502 came out as %d", status)
	}
	r.next = caddyhttp.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) error {
		r.ids = append(r.ids, verifiedID(req))
		return errors.New("failed")
	})
	send("evt_1")
	r.next = caddyhttp.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) error {
		r.ids = append(r.ids, verifiedID(req))
		return nil // nothing answered: Caddy will, with an empty 200
	})
	send("evt_1")
	r.answers(http.StatusAccepted)
	if status := send("evt_1"); status != http.StatusAccepted {
		t.Errorf("after failures the id was taken for known: %d", status)
	}
	if status := send("evt_1"); status != http.StatusOK {
		t.Errorf("the known id was answered %d", status)
	}
	send("evt_2")
	if got := strings.Join(r.ids, " "); got != "evt_1 evt_1 evt_1 evt_1 evt_2" {
		t.Errorf("the next handler saw %s", got)
	}
}

func TestCopyOfARequestUnderWayIsSentAway(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, &Verify{Signature: "standard"})
	next := r.next
	r.next = caddyhttp.HandlerFunc(func(w http.ResponseWriter, req *http.Request) error {
		inner := r.next
		r.next = next
		status, answer := r.send(t, signed(t, "standard", testSecret, "evt_1", "{}", time.Now()))
		if status != http.StatusServiceUnavailable || answer.Header().Get("Retry-After") == "" {
			t.Errorf("the copy was answered %d, Retry-After %q", status, answer.Header().Get("Retry-After"))
		}
		r.next = inner
		return next.ServeHTTP(w, req)
	})
	if status, _ := r.send(t, signed(t, "standard", testSecret, "evt_1", "{}", time.Now())); status != http.StatusOK {
		t.Errorf("the original was answered %d", status)
	}
	if len(r.ids) != 1 {
		t.Errorf("the next handler saw %v", r.ids)
	}
}

func TestPanicBehindDoesNotBlockTheID(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, &Verify{Signature: "standard"})
	next := r.next
	r.next = caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { panic("handler") })
	func() {
		defer func() { _ = recover() }()
		r.send(t, signed(t, "standard", testSecret, "evt_1", "{}", time.Now()))
	}()
	r.next = next
	if status, _ := r.send(t, signed(t, "standard", testSecret, "evt_1", "{}", time.Now())); status != http.StatusOK || len(r.ids) != 1 {
		t.Errorf("answered %d, the next handler saw %v", status, r.ids)
	}
}

func TestVerifyRefusesConfigsItCannotKeep(t *testing.T) {
	t.Setenv("TEST_WEBHOOKS_EMPTY", "")
	for what, c := range map[string]struct {
		v    Verify
		want string
	}{
		"tolerance without a signed time": {Verify{Signature: "atoship", Secret: []string{testSecret}, Tolerance: caddy.Duration(time.Minute)}, "signs no timestamp"},
		"no secret":                       {Verify{Signature: "standard"}, "secret"},
		"unset secret":                    {Verify{Signature: "standard", Secret: []string{"{env.TEST_WEBHOOKS_EMPTY}"}}, "{env.TEST_WEBHOOKS_EMPTY}: the environment variable is not set"},
		"missing file":                    {Verify{Signature: "standard", Secret: []string{"{file./nowhere/x}"}}, "{file./nowhere/x}: the file is missing"},
		"unknown scheme":                  {Verify{Signature: "rot13", Secret: []string{testSecret}}, "rot13"},
		"no scheme":                       {Verify{Secret: []string{testSecret}}, "signature is required"},
	} {
		ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
		if err := c.v.Provision(ctx); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), testSecret) {
			t.Errorf("%s: error %v, want it to contain %q", what, err, c.want)
		}
		cancel()
	}
}

func TestKnownIDsAreBoundedAndExpire(t *testing.T) {
	t.Parallel()
	now := time.Now()
	k := newKnownIDs(3, time.Hour)
	learn := func(id string, at time.Time) {
		if state := k.begin(id, at); state != idNew {
			t.Errorf("%s is %d before it was learnt", id, state)
		}
		k.end(id, true, at)
	}
	for _, id := range []string{"a", "b", "c", "d"} {
		learn(id, now)
	}
	if got := len(k.until); got != 3 {
		t.Errorf("%d ids are kept, 3 are allowed", got)
	}
	for id, want := range map[string]idState{"b": idKnown, "c": idKnown, "d": idKnown} {
		if got := k.begin(id, now.Add(59*time.Minute)); got != want {
			t.Errorf("%s is %d after 59 minutes, want %d", id, got, want)
		}
	}
	learn("a", now) // the oldest was forgotten, so a is new
	learn("d", now.Add(time.Hour))
	if len(k.until) != 3 || len(k.order) != 3 {
		t.Errorf("%d ids in a ring of %d", len(k.until), len(k.order))
	}
	learn(strings.Repeat("x", maxKnownID+1), now)
	if len(k.until) != 3 || len(k.underWay) != 0 {
		t.Errorf("an overlong id was kept: %d known, %d under way", len(k.until), len(k.underWay))
	}
}
