package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/gate"
)

func TestLaneFallsBehindAndCatchesUpLosingNothing(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		release := make(chan struct{})
		w.answer("a", func(_ int, _ *http.Request) (*http.Response, error) {
			<-release
			return status(200)
		})
		w.apply(w.plan(routeTo{targets: []delivery.Target{to("a")}}, w.endpoint("a")))
		const n = 3000 // many windows of 128
		for i := range n {
			w.publish(fmt.Sprintf("evt_%d", i))
		}
		synctest.Wait()
		if got := len(w.seen("a")); got != 2 {
			t.Fatalf("a lane starts with 2 slots, %d requests are under way", got)
		}
		close(release)
		pass(time.Second)
		got := map[string]int{}
		for _, s := range w.seen("a") {
			got[s.event]++
		}
		for i := range n {
			if c := got[fmt.Sprintf("evt_%d", i)]; c != 1 {
				t.Fatalf("evt_%d was sent %d times", i, c)
			}
		}
		// Caught up again: a fresh delivery goes out at once.
		w.publish("evt_fresh")
		pass(time.Millisecond)
		if seen := w.seen("a"); seen[len(seen)-1].event != "evt_fresh" {
			t.Errorf("the last request was for %s", seen[len(seen)-1].event)
		}
	})
}

func TestConcurrencyGrowsToItsLimitAndNoFurther(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		inFlight, most := 0, 0
		w.answer("a", func(_ int, _ *http.Request) (*http.Response, error) {
			w.mu.Lock()
			inFlight++
			most = max(most, inFlight)
			w.mu.Unlock()
			time.Sleep(100 * time.Millisecond)
			w.mu.Lock()
			inFlight--
			w.mu.Unlock()
			return status(200)
		})
		w.apply(w.plan(routeTo{targets: []delivery.Target{to("a")}}, w.endpoint("a", func(ep *delivery.Endpoint) { ep.Concurrency = 5 })))
		for i := range 100 {
			w.publish(fmt.Sprintf("evt_%d", i))
		}
		pass(time.Minute)
		if most != 5 {
			t.Errorf("at most %d at once, want 5", most)
		}
	})
}

func TestMaxInFlightIsSharedFairly(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		slow := func(_ int, _ *http.Request) (*http.Response, error) {
			time.Sleep(time.Second)
			return status(200)
		}
		targets := []delivery.Target{to("busy")}
		eps := []*delivery.Endpoint{w.endpoint("busy")}
		w.answer("busy", slow)
		for i := range 10 {
			name := fmt.Sprintf("quiet%d", i)
			eps = append(eps, w.endpoint(name))
			w.answer(name, slow)
			targets = append(targets, to(name))
		}
		n := 0
		p := w.plan(routeTo{decide: func(*delivery.Event) delivery.Decision {
			n++
			if n <= 100 {
				return delivery.Decision{Targets: targets[:1]}
			}
			return delivery.Decision{Targets: targets[1:]}
		}}, eps...)
		p.MaxInFlight = 3
		w.apply(p)
		for i := range 101 {
			w.publish(fmt.Sprintf("evt_%d", i))
		}
		pass(8 * time.Second)
		for i := range 10 {
			if len(w.seen(fmt.Sprintf("quiet%d", i))) != 1 {
				t.Errorf("quiet%d starves behind the busy lane", i)
			}
		}
		pass(time.Minute)
		if got := len(w.seen("busy")); got != 100 {
			t.Errorf("busy got %d of 100", got)
		}
	})
}

func TestRemovedEndpointKeepsWhatItHasUntilItReturns(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		w.answer("a", down)
		router := routeTo{targets: []delivery.Target{to("a")}}
		w.apply(w.plan(router, w.endpoint("a", noBreaker)))
		r := w.publish("evt_1")[0]
		pass(time.Second)
		w.apply(w.plan(router))
		pass(time.Hour)
		if n := len(w.seen("a")); n != 1 {
			t.Fatalf("%d requests to a removed endpoint", n-1)
		}
		w.answer("a", always(200))
		w.apply(w.plan(router, w.endpoint("a", noBreaker)))
		pass(time.Second)
		if rec := w.record(r); rec.Delivery.State != delivery.Delivered {
			t.Errorf("after its return: %v", rec.Delivery.State)
		}
	})
}

func TestReloadKeepsAnUnchangedBreakerAndResetsAChangedURL(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		w.answer("a", down)
		router := routeTo{targets: []delivery.Target{to("a")}}
		w.apply(w.plan(router, w.endpoint("a")))
		for i := range 6 {
			w.publish(fmt.Sprintf("evt_%d", i))
			pass(time.Millisecond)
		}
		before := len(w.seen("a"))
		w.apply(w.plan(router, w.endpoint("a")))
		pass(time.Second)
		if n := len(w.seen("a")); n != before {
			t.Errorf("a reload with equal settings let %d requests through an open breaker", n-before)
		}
		w.answer("a", always(200))
		w.apply(w.plan(router, w.endpoint("a", func(ep *delivery.Endpoint) { ep.URL = &url.URL{Scheme: "https", Host: "a", Path: "/new"} })))
		pass(time.Second)
		if n := len(w.seen("a")); n != before+1 {
			t.Errorf("%d requests after the url changed, want the one that was due", n-before)
		}
	})
}

func TestBreakerSettingsThatChangeStartAfresh(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		w.answer("a", down)
		router := routeTo{targets: []delivery.Target{to("a")}}
		w.apply(w.plan(router, w.endpoint("a", func(ep *delivery.Endpoint) {
			ep.Breaker = gate.BreakerSettings{Failures: 1, Open: time.Hour}
		})))
		w.publish("evt_1")
		pass(time.Millisecond)
		w.publish("evt_2")
		pass(time.Second)
		if n := len(w.seen("a")); n != 1 {
			t.Fatalf("%d requests, want one before the breaker opened", n)
		}
		w.apply(w.plan(router, w.endpoint("a", noBreaker)))
		pass(time.Second)
		if n := len(w.seen("a")); n != 2 {
			t.Errorf("%d requests after the breaker was switched off, want 2", n)
		}
	})
}

func TestStoreThatFailsStopsIntakeAndAttemptsAndRecovers(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		w.answer("a", func(n int, _ *http.Request) (*http.Response, error) {
			if n == 1 {
				time.Sleep(time.Second) // answers after the store failed
			}
			return status(200)
		})
		w.apply(w.plan(routeTo{targets: []delivery.Target{to("a")}}, w.endpoint("a", func(ep *delivery.Endpoint) { ep.Concurrency = 1 })))
		first := w.publish("evt_1")[0]
		second := w.publish("evt_2")[0]
		pass(100 * time.Millisecond)
		w.store.Fail()
		if _, err := w.e.Accept(context.Background(), []*delivery.Event{newEvent("evt_3")}); !errors.Is(err, delivery.ErrUnavailable) {
			t.Errorf("accepting with a failed store: %v", err)
		}
		if w.e.Healthy() {
			t.Error("healthy with a failed store")
		}
		pass(time.Minute)
		if n := len(w.seen("a")); n > 2 {
			t.Errorf("%d attempts while outcomes cannot be recorded", n)
		}
		w.store.Recover()
		pass(time.Minute)
		for _, r := range []delivery.Receipt{first, second} {
			want(t, r.EventID, outcomes(w.record(r)), []string{"a:delivered"})
		}
		w.publish("evt_3")
		pass(time.Second)
		if n := len(w.seen("a")); n != 3 {
			t.Errorf("%d attempts in all, want 3", n)
		}
	})
}

func TestUndecidedEventsAreRoutedAgainAfterTheRulesChange(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		eps := func() []*delivery.Endpoint { return []*delivery.Endpoint{w.endpoint("a"), w.endpoint("b")} }
		w.apply(w.plan(routeTo{digest: "1", decide: func(*delivery.Event) delivery.Decision {
			return delivery.Decision{Targets: []delivery.Target{to("a")}, Held: []string{"r-b"}, Errors: []error{errors.New("type changed")}}
		}}, eps()...))
		w.publish("evt_1")
		pass(time.Second)
		rec, err := w.e.Journal().Event(context.Background(), "evt_1", nil)
		if err != nil || rec.Event.Routing != delivery.Undecided || len(rec.Deliveries) != 1 {
			t.Fatalf("held: %+v, %v", rec, err)
		}
		w.apply(w.plan(routeTo{digest: "2", targets: []delivery.Target{to("a"), to("b")}}, eps()...))
		pass(time.Second)
		rec, _ = w.e.Journal().Event(context.Background(), "evt_1", nil)
		if rec.Event.Routing != delivery.Routed || len(rec.Deliveries) != 2 {
			t.Errorf("after the change: %v with %d deliveries", rec.Event.Routing, len(rec.Deliveries))
		}
		if len(w.seen("a")) != 1 || len(w.seen("b")) != 1 {
			t.Errorf("a got %d, b got %d", len(w.seen("a")), len(w.seen("b")))
		}
	})
}

func TestDuplicateIsAnsweredWithTheFirstReceiptAndDeliveredOnce(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		w.apply(w.plan(routeTo{targets: []delivery.Target{to("a")}}, w.endpoint("a")))
		first := w.publish("evt_1")[0]
		second := w.publish("evt_1")[0]
		pass(time.Second)
		if !second.Duplicate || second.Deliveries[0].ID != first.Deliveries[0].ID || len(w.seen("a")) != 1 {
			t.Errorf("duplicate %v, sent %d times", second.Duplicate, len(w.seen("a")))
		}
	})
}
