package delivery_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
)

func TestTestEventPassesWhateverHoldsTheEndpointAndCountsForNothing(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		w.apply(w.plan(routeTo{targets: []delivery.Target{to("a", "b")}}, w.endpoint("a"), w.endpoint("b")))
		w.answer("a", always(500))
		if err := w.e.Pause(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		for range 6 { // one more than opens the breaker
			ev := newEvent(delivery.NewEventID(time.Now()))
			rec, err := w.e.Test(t.Context(), "a", ev)
			if err != nil {
				t.Fatal(err)
			}
			if a := rec.Transitions[0].Attempt; a.Status != 500 || rec.Delivery.State != delivery.Exhausted || rec.Delivery.Reason != delivery.ReasonTest {
				t.Fatalf("%+v, %s because of %q", a, rec.Delivery.State, rec.Delivery.Reason)
			}
			pass(time.Second)
			stored, err := w.e.Journal().Delivery(t.Context(), rec.Delivery.ID)
			if err != nil || !stored.Delivery.Event.Test || stored.Delivery.State != delivery.Exhausted || len(stored.Transitions) != 1 {
				t.Fatalf("on record: %+v (%v)", stored, err)
			}
		}
		for _, s := range w.seen("") {
			if s.endpoint != "a" || s.header.Get("X-AtoShip-Test") != "true" || s.attempt != "1" {
				t.Errorf("sent to %s, attempt %s, header %q", s.endpoint, s.attempt, s.header.Get("X-AtoShip-Test"))
			}
		}
		s, err := w.e.Endpoint("a")
		if err != nil || s.Breaker.String() != "closed" || !s.State.FailingSince.IsZero() {
			t.Errorf("breaker %s, failing since %s (%v)", s.Breaker, s.State.FailingSince, err)
		}
	})
}

func TestTestEventOfNoEndpointOrKnownIdIsRefused(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		w.apply(w.plan(routeTo{targets: []delivery.Target{to("a")}}, w.endpoint("a")))
		if _, err := w.e.Test(t.Context(), "z", newEvent("one")); !errors.Is(err, delivery.ErrNotFound) {
			t.Errorf("an unknown endpoint: %v", err)
		}
		w.publish("one")
		pass(time.Second)
		_, err := w.e.Test(t.Context(), "a", newEvent("one"))
		if _, conflict := errors.AsType[*delivery.ConflictError](err); !conflict {
			t.Errorf("an id that is known: %v", err)
		}
		if n := len(w.seen("a")); n != 1 {
			t.Errorf("%d requests, want the published event's alone", n)
		}
	})
}

func TestTestEventThatACrashCutOffIsTriedOnceMoreAndNotRetried(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		plan := func() *delivery.Plan {
			return w.plan(routeTo{targets: []delivery.Target{to("a")}}, w.endpoint("a"))
		}
		w.apply(plan())
		w.answer("a", func(n int, r *http.Request) (*http.Response, error) {
			if n == 1 {
				return hang(n, r)
			}
			return status(500)
		})
		go func() { _, _ = w.e.Test(context.Background(), "a", newEvent("one")) }()
		synctest.Wait()
		w.crash()
		w.apply(plan())
		pass(48 * time.Hour)
		sends := w.seen("a")
		if len(sends) != 2 || sends[1].header.Get("X-AtoShip-Test") != "true" {
			t.Fatalf("%d requests, want the lost one and one more: %v", len(sends), sends)
		}
		rec, err := w.e.Journal().Delivery(t.Context(), sends[1].delivery)
		if err != nil || rec.Delivery.State != delivery.Exhausted {
			t.Errorf("%+v (%v)", rec, err)
		}
	})
}

func TestOnlySoManyTestsRunAtOnce(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		w.apply(w.plan(routeTo{targets: []delivery.Target{to("a")}}, w.endpoint("a")))
		w.answer("a", hang)
		refused := make(chan error, 40)
		for range 40 {
			go func() {
				if _, err := w.e.Test(t.Context(), "a", newEvent(delivery.NewEventID(time.Now()))); err != nil {
					refused <- err
				}
			}()
		}
		synctest.Wait()
		if n := len(w.seen("a")); n != 16 || len(refused) != 24 {
			t.Errorf("%d requests and %d refusals, want 16 and 24", n, len(refused))
		}
		if err := <-refused; !errors.Is(err, delivery.ErrBusy) {
			t.Error(err)
		}
		pass(time.Minute)
	})
}
