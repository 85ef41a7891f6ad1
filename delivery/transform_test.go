package delivery_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/sign"
	"github.com/atoship/caddy-webhooks/rules"
)

// made is a transform that makes a body of the event's id, or fails for some.
type made struct {
	name  string
	fails string // ids that begin so
}

func (m made) Digest() string { return m.name + m.fails }

func (m made) Transform(ev *delivery.Event) ([]byte, error) {
	if m.fails != "" && strings.HasPrefix(ev.ID, m.fails) {
		return nil, errors.New("data.x is missing")
	}
	return []byte(fmt.Sprintf(`{%q:%q}`, m.name, ev.ID)), nil
}

func makes(name, fails string) option {
	return func(ep *delivery.Endpoint) { ep.Transform = made{name, fails} }
}

func TestTransformedBodiesAreSentAndSigned(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.endpoint("a", makes("endpoint", ""), retries(time.Minute)), w.endpoint("b")
		p := w.plan(routeTo{targets: []delivery.Target{to("a"), to("b")}}, a, b)
		w.answer("a", always(500))
		w.apply(p)
		r := w.publish("evt_1")[0]
		pass(time.Second)

		// The route's replaces the endpoint's, and retries use the rules of their time.
		p = w.plan(p.Router, a, b)
		p.Transforms = map[string]delivery.Transformer{"r-a": made{"route", ""}}
		w.apply(p)
		w.answer("a", always(200))
		pass(time.Hour)
		sends := w.seen("a")
		if len(sends) != 2 {
			t.Fatalf("sent %d times", len(sends))
		}
		scheme, _ := sign.Lookup("atoship")
		verifier, err := scheme.NewVerifier([]sign.Secret{{Value: "a secret for tests only"}}, sign.Options{})
		if err != nil {
			t.Fatal(err)
		}
		want(t, "bodies", []string{sends[0].body, sends[1].body}, []string{`{"endpoint":"evt_1"}`, `{"route":"evt_1"}`})
		for _, s := range sends {
			if s.header.Get("Content-Type") != "application/json" {
				t.Errorf("content type %s", s.header.Get("Content-Type"))
			}
			if _, err := verifier.Verify(s.header, []byte(s.body), s.at); err != nil {
				t.Errorf("the signature of %s: %v", s.body, err)
			}
		}
		if got := w.seen("b")[0].body; got != string(newEvent("evt_1").Body) {
			t.Errorf("b, without a transform, got %s", got)
		}
		for i, tr := range w.record(r).Transitions {
			if sum := sha256.Sum256([]byte(sends[i].body)); !slices.Equal(tr.Attempt.BodyHash, sum[:]) {
				t.Errorf("attempt %d has the hash %x", i+1, tr.Attempt.BodyHash)
			}
		}
		rec, err := w.e.Journal().Delivery(t.Context(), r.Deliveries[1].ID)
		if err != nil || rec.Transitions[0].Attempt.BodyHash != nil {
			t.Errorf("the attempt at b has a hash: %v", err)
		}
	})
}

func TestAFailedTransformWaitsForAnotherConfiguration(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		router := routeTo{targets: []delivery.Target{to("a", "b")}}
		broken := w.endpoint("a", makes("v1", "bad"))
		b := w.endpoint("b")
		w.apply(w.plan(router, broken, b))
		var bad []delivery.Receipt
		for i := range 20 { // more failures than the breaker takes
			bad = append(bad, w.publish(fmt.Sprintf("bad-%d", i))...)
		}
		w.publish("good-1")
		pass(4 * 24 * time.Hour)
		want(t, "what was sent", events(w.seen("")), []string{"good-1"})
		rec := w.record(bad[7])
		want(t, "attempts", outcomes(rec), []string{"a:transform_error"})
		if p := rec.Delivery.Progress; !p.Parked() || p.Tries[0] != 0 || p.State != delivery.Pending {
			t.Errorf("progress %+v", p)
		}
		if d := rec.Transitions[0].Attempt.Detail; d != "data.x is missing" {
			t.Errorf("detail %q", d)
		}

		// Another plan with the same transforms changes nothing for them.
		w.apply(w.plan(router, w.endpoint("a", makes("v1", "bad"), retries(time.Minute)), b))
		pass(time.Hour)
		want(t, "attempts after a plan with the same transforms", outcomes(w.record(bad[7])), []string{"a:transform_error"})

		w.apply(w.plan(router, w.endpoint("a", makes("v2", "bad-1")), b))
		pass(time.Minute)
		want(t, "attempts after a better transform", outcomes(w.record(bad[7])), []string{"a:transform_error", "a:delivered"})
		want(t, "attempts of one it still fails for", outcomes(w.record(bad[13])), []string{"a:transform_error", "a:transform_error"})

		// A process that starts has not tried its transforms yet.
		w.crash()
		w.apply(w.plan(router, w.endpoint("a", makes("v2", "bad-1")), b))
		pass(time.Minute)
		want(t, "attempts after a restart", outcomes(w.record(bad[13])), []string{"a:transform_error", "a:transform_error", "a:transform_error"})

		w.apply(w.plan(router, w.endpoint("a"), b)) // none at all
		pass(time.Minute)
		if n := len(w.seen("a")); n != 21 {
			t.Errorf("%d of 21 were sent", n)
		}
		if n := len(w.seen("b")); n != 0 {
			t.Errorf("%d went to the backup, to which a transform is no reason to go", n)
		}
	})
}

func TestParkedDeliveriesAreManyAndLargerThanAWindow(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		router := routeTo{targets: []delivery.Target{to("a")}}
		w.apply(w.plan(router, w.endpoint("a", makes("v1", "bad"))))
		const n = 3000
		for i := range n {
			w.publish(fmt.Sprintf("bad-%d", i))
		}
		pass(time.Hour)
		w.apply(w.plan(router, w.endpoint("a", makes("v2", ""))))
		w.publish("good")
		pass(time.Minute)
		if got := len(w.seen("a")); got != n+1 {
			t.Errorf("%d of %d were sent", got, n+1)
		}
	})
}

func TestAParkedDeliveryExpires(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		w.apply(w.plan(routeTo{targets: []delivery.Target{to("a")}}, w.endpoint("a", makes("v1", "bad"))))
		r := w.publish("bad")[0]
		pass(delivery.DefaultExpire + 24*time.Hour)
		if p := w.record(r).Delivery.Progress; p.State != delivery.Exhausted || p.Reason != delivery.ReasonExpired {
			t.Errorf("progress %+v", p)
		}
	})
}

func TestAParkedDeliveryHoldsItsKeyAndNoOther(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		router := routeTo{targets: []delivery.Target{to("a")}}
		w.apply(w.plan(router, w.endpoint("a", ordered, makes("v1", "parcel-1"))))
		w.publish("parcel-1", "parcel-2", "other-1")
		pass(time.Hour)
		want(t, "before", events(w.seen("a")), []string{"other-1"})
		w.apply(w.plan(router, w.endpoint("a", ordered, makes("v2", ""))))
		pass(time.Hour)
		want(t, "after", events(w.seen("a")), []string{"other-1", "parcel-1", "parcel-2"})
	})
}

func TestRuleTransformerPrintsWhatJavaScriptWould(t *testing.T) {
	t.Parallel()
	ev := newEvent("evt_1")
	const body = `{"data":{"b":1,"a":{"10":1,"9":2},"n":1.50,"text":"<\u00e9>"}}`
	ev.Body, ev.DataStart, ev.DataEnd = []byte(body), 8, uint32(len(body)-1)
	for text, want := range map[string]string{
		"data":                                  `{"b":1,"a":{"9":2,"10":1},"n":1.5,"text":"<é>"}`,
		`{"z": data.b, "1": data.n, "a": 1e21}`: `{"1":1.5,"z":1,"a":1e+21}`,
		`[9007199254740992 + 1]`:                "error: the result/0: ",
		`{"x": data.none + 1}`:                  "error: data.none is missing",
		`0 * -1.0`:                              `0`,
	} {
		tr, err := rules.CompileTransform("x", "transform", rules.Expr{Text: text})
		if err != nil {
			t.Fatal(err)
		}
		got, err := delivery.RuleTransformer{Expr: tr}.Transform(ev)
		if prefix, fails := strings.CutPrefix(want, "error: "); fails {
			if err == nil || !strings.HasPrefix(err.Error(), prefix) {
				t.Errorf("%s gave %s, %v", text, got, err)
			}
			continue
		}
		if err != nil || string(got) != want {
			t.Errorf("%s gave %s (%v), want %s", text, got, err, want)
		}
	}
}

func events(sends []sent) []string {
	var ids []string
	for _, s := range sends {
		ids = append(ids, s.event)
	}
	return ids
}
