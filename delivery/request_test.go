package delivery_test

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/egress"
	"github.com/atoship/caddy-webhooks/delivery/sign"
)

// signedWith gives an endpoint these schemes.
func signedWith(t *testing.T, names ...string) option {
	t.Helper()
	var schemes []sign.Scheme
	for _, name := range names {
		scheme, ok := sign.Lookup(name)
		if !ok {
			t.Fatal(name)
		}
		schemes = append(schemes, scheme)
	}
	signer, err := sign.New(schemes, []sign.Secret{{Value: "whsec_YmVuY2htYXJrIHNlY3JldCAwMDAwMDAwMDAwMDAwMDE="}}, sign.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return func(ep *delivery.Endpoint) { ep.Signer = signer }
}

// shownRequest is how a delivery's attempt says its request looked.
func (w *world) shownRequest(r delivery.Receipt, n int) (string, http.Header) {
	w.t.Helper()
	rec := w.record(r)
	for _, t := range rec.Transitions {
		if t.Attempt != nil && int(t.Attempt.N) == n {
			if t.Attempt.Request == nil {
				w.t.Fatalf("attempt %d has no request", n)
			}
			return t.Attempt.Request.Of(rec.Delivery, t.Attempt)
		}
	}
	w.t.Fatalf("no attempt %d", n)
	return "", nil
}

func TestAnAttemptShowsTheRequestThatWasSent(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		const secret = "planted-0123456789"
		w.answer("a", always(503))
		w.apply(w.plan(routeTo{targets: []delivery.Target{to("a")}}, w.endpoint("a", signedWith(t, "atoship", "standard", "github", "stripe", "rfc9421"), noBreaker,
			func(ep *delivery.Endpoint) {
				ep.URL = &url.URL{Scheme: "https", Host: "a:8443", Path: "/hooks", RawQuery: "key=" + secret}
				ep.Header = http.Header{"X-Api-Key": {secret}, "X-Two": {"one", "two"}}
				ep.TraceContext = true
			})))
		r := w.publish("evt_1")[0]
		pass(2 * time.Minute)
		sent := w.seen("a")
		for n := 1; n <= 2; n++ {
			to, h := w.shownRequest(r, n)
			if to != "https://a:8443/hooks?key=…" {
				t.Errorf("attempt %d went to %s", n, to)
			}
			for name, want := range map[string]string{
				"X-Api-Key": egress.Hidden, "X-Two": egress.Hidden, "X-Atoship-Signature": "sha256=…", "Webhook-Signature": "v1,…",
				"X-Hub-Signature-256": "sha256=…", "Stripe-Signature": "t=" + h.Get("Webhook-Timestamp") + ",v1=…", "Signature": "sig1=:…",
				"Host": "a:8443", "Content-Length": strconv.Itoa(len(newEvent("evt_1").Body)),
				"X-Atoship-Attempt": strconv.Itoa(n),
			} {
				if got := h.Get(name); got != want {
					t.Errorf("attempt %d shows %s: %q, want %q", n, name, got, want)
				}
			}
			for name, values := range sent[n-1].header {
				got := h[name]
				if len(got) != len(values) {
					t.Errorf("attempt %d sent %s: %q, and shows %q", n, name, values, got)
				}
				if !strings.Contains(strings.Join(got, ""), egress.Hidden) && got[0] != values[0] {
					t.Errorf("attempt %d sent %s: %q, and shows %q", n, name, values, got)
				}
			}
			if len(h) != len(sent[n-1].header)+2 { // Host and Content-Length
				t.Errorf("attempt %d shows %v of %v", n, h, sent[n-1].header)
			}
			if text := w.record(r).Transitions[n-1].Attempt.Request.Text; strings.Contains(text, "planted") || strings.Contains(text, "evt_1") {
				t.Errorf("on record is %q", text)
			}
		}
	})
}

func TestAnAttemptShowsItsRequestAlsoWhenTheEndpointHasChanged(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		w.answer("a", always(503))
		router := routeTo{targets: []delivery.Target{to("a")}}
		w.apply(w.plan(router, w.endpoint("a", noBreaker)))
		r, other := w.publish("evt_1")[0], w.publish("evt_2")[0]
		pass(30 * time.Second)
		p := w.plan(router, w.endpoint("a", noBreaker, signedWith(t, "standard"), func(ep *delivery.Endpoint) {
			ep.URL = &url.URL{Scheme: "https", Host: "a", Path: "/v2"}
			ep.Header = http.Header{"X-New": {"new"}}
		}))
		p.UserAgent = "AtoShip-Webhooks/next"
		w.apply(p)
		pass(2 * time.Minute)
		to, h := w.shownRequest(r, 1)
		if to != "https://a/" || h.Get("User-Agent") != "AtoShip-Webhooks/test" || h.Get("X-Atoship-Signature") == "" || h.Get("X-New") != "" || h.Get("Webhook-Signature") != "" {
			t.Errorf("before the change: %s %v", to, h)
		}
		to, h = w.shownRequest(r, 2)
		if to != "https://a/v2" || h.Get("User-Agent") != "AtoShip-Webhooks/next" || h.Get("X-Atoship-Signature") != "" || h.Get("X-New") != egress.Hidden || h.Get("Webhook-Signature") != "v1,…" {
			t.Errorf("after it: %s %v", to, h)
		}
		one, two := w.record(r).Transitions[0].Attempt.Request, w.record(other).Transitions[0].Attempt.Request
		if one != two {
			t.Error("attempts under one configuration have heads of their own")
		}
	})
}

func TestARequestThatATransformMadeShowsNoLength(t *testing.T) {
	t.Parallel()
	inWorld(t, func(_ *testing.T, w *world) {
		w.apply(w.plan(routeTo{targets: []delivery.Target{to("a")}}, w.endpoint("a", func(ep *delivery.Endpoint) { ep.Transform = made{"fixed", ""} })))
		r := w.publish("evt_1")[0]
		pass(time.Second)
		if _, h := w.shownRequest(r, 1); h.Get("Content-Type") != "application/json" || len(h["Content-Length"]) > 0 {
			w.t.Errorf("shows %v", h)
		}
	})
}

func TestAnAnswersHeaderAndSecretsOfTheRequestInIt(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		const secret = "planted-0123456789"
		w.answer("a", func(_ int, r *http.Request) (*http.Response, error) {
			return status(400, "Server", "test", "X-Echo", r.Header.Get("X-Api-Key"), "Set-Cookie", "sid=planted")
		})
		w.apply(w.plan(routeTo{targets: []delivery.Target{to("a")}}, w.endpoint("a", func(ep *delivery.Endpoint) { ep.Header = http.Header{"X-Api-Key": {secret}} })))
		a := firstAttempt(t, w)
		h, _ := egress.Fields(a.ResponseFields)
		if h.Get("Server") != "test" || h.Get("Set-Cookie") != egress.Hidden || h.Get("X-Echo") != strings.Repeat("*", len(secret)) {
			t.Errorf("kept %v", h)
		}
	})
}
