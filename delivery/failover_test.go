package delivery_test

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/store/memory"
)

func TestDeliveryThatLeftAnOpenBreakerReturnsThereWhenItsBackupIsSpent(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		w.apply(w.plan(routeTo{targets: []delivery.Target{to("a", "b")}},
			w.endpoint("a", retries()), w.endpoint("b", retries(time.Minute))))
		w.answer("a", down)
		w.answer("b", always(404))
		for i := range 5 { // opens a's breaker for 30 s
			w.publish(fmt.Sprintf("evt_opens_%d", i))
			pass(10 * time.Millisecond)
		}
		before := len(w.seen("a"))
		r := w.publish("evt_1")
		pass(5 * time.Second)
		w.answer("a", nil)
		pass(10 * time.Minute)

		rec := w.record(r[0])
		want(t, "attempts", outcomes(rec), []string{"moved", "b:http_error", "b:http_error", "a:delivered"})
		if n := len(w.seen("a")) - before; n != 1 || rec.Delivery.State != delivery.Delivered {
			t.Errorf("a got %d requests, the delivery is %s", n, rec.Delivery.State)
		}
	})
}

func TestDeliveryWhoseOnlyTargetLeftIsDownWaitsThereWithoutAStep(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		w.apply(w.plan(routeTo{targets: []delivery.Target{to("a", "b")}}, w.endpoint("a"), w.endpoint("b", retries())))
		w.answer("a", down)
		w.answer("b", always(404))
		for i := range 6 {
			w.publish(fmt.Sprintf("evt_opens_%d", i))
			pass(10 * time.Millisecond)
		}
		r := w.publish("evt_1") // to b at once, which spends its schedule; then it waits at a
		pass(20 * time.Second)
		want(t, "attempts while a's breaker is open", outcomes(w.record(r[0])), []string{"moved", "b:http_error"})
	})
}

func TestBackupThatIsDownDoesNotHoldUpDeliveriesWithAnother(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		w.apply(w.plan(byName(map[string]delivery.Target{"b": to("b"), "ab": to("a", "b"), "ac": to("a", "c")}),
			w.endpoint("a"), w.endpoint("b"), w.endpoint("c")))
		w.answer("a", always(410))
		w.answer("b", always(410))
		w.publish("b-0")
		w.publish("ab-0")
		pass(time.Second)
		for i := range delivery.MaxScan + 100 { // more than one claim looks at
			w.publish(fmt.Sprintf("ab-%d", i+1))
		}
		w.publish("ac-1")
		pass(10 * time.Second)
		if n := len(w.seen("c")); n != 1 {
			t.Errorf("c got %d requests, want the one behind those for b", n)
		}
	})
}

func TestExhaustedPrimarySkipsABackupThatWasRemoved(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		router := routeTo{targets: []delivery.Target{to("a", "gone", "held")}}
		w.apply(w.plan(router, w.endpoint("a"), w.endpoint("gone"), w.endpoint("held")))
		w.apply(w.plan(router, w.endpoint("a", retries()), w.endpoint("held")))
		w.answer("a", always(404))
		w.answer("held", down)
		for i := range 6 { // opens the breaker of the one backup there is
			w.publish(fmt.Sprintf("evt_opens_%d", i))
			pass(10 * time.Millisecond)
		}
		r := w.publish("evt_1")
		pass(time.Second)
		w.answer("held", nil)
		pass(time.Hour)
		if rec := w.record(r[0]); rec.Delivery.State != delivery.Delivered {
			t.Errorf("it is %s after %v", rec.Delivery.State, outcomes(rec))
		}
	})
}

// countingStore counts claims and fails what it is told to.
type countingStore struct {
	*memory.Store

	claims, down atomic.Int64
}

func (s *countingStore) Lease(ctx context.Context, name string) (delivery.Lane, error) {
	l, err := s.Store.Lease(ctx, name)
	return countingLane{l, s}, err
}

func (s *countingStore) Settle(ctx context.Context, batch []delivery.Settlement) []error {
	if s.down.Load() > 0 {
		errs := make([]error, len(batch))
		for i := range errs {
			errs[i] = delivery.ErrUnavailable
		}
		return errs
	}
	return s.Store.Settle(ctx, batch)
}

type countingLane struct {
	delivery.Lane

	s *countingStore
}

func (l countingLane) Claim(ctx context.Context, c delivery.Claim) (delivery.Claimed, error) {
	l.s.claims.Add(1)
	if l.s.down.Load() > 0 {
		return delivery.Claimed{}, delivery.ErrUnavailable
	}
	return l.Lane.Claim(ctx, c)
}

func TestHeldLaneAsksAStoreThatIsDownOnceASecondAtMost(t *testing.T) {
	t.Parallel()
	var s *countingStore
	wrap := func(m *memory.Store) delivery.Store { s = &countingStore{Store: m}; return s }
	inWorldOver(t, wrap, func(t *testing.T, w *world) {
		w.apply(w.plan(routeTo{targets: []delivery.Target{to("a", "b")}}, w.endpoint("a"), w.endpoint("b")))
		for _, name := range []string{"a", "b"} {
			w.answer(name, always(410))
		}
		w.publish("evt_1")
		pass(time.Minute)
		w.publish("evt_2")
		s.down.Store(1)
		before := s.claims.Load()
		pass(100 * time.Second)
		if n := s.claims.Load() - before; n > 2*101 { // either lane's: the second event may be on its way to the backup
			t.Errorf("%d claims in 100 s by two lanes", n)
		}
		s.down.Store(0)
		w.answer("b", nil)
	})
}

func TestAllTargetsDownCostAClaimEveryEightSecondsAndNoWrite(t *testing.T) {
	t.Parallel()
	var s *countingStore
	wrap := func(m *memory.Store) delivery.Store { s = &countingStore{Store: m}; return s }
	inWorldOver(t, wrap, func(t *testing.T, w *world) {
		w.apply(w.plan(routeTo{targets: []delivery.Target{to("a", "b")}}, w.endpoint("a"), w.endpoint("b")))
		for _, name := range []string{"a", "b"} {
			w.answer(name, func(int, *http.Request) (*http.Response, error) { return status(410) })
		}
		for i := range 200 {
			w.publish(fmt.Sprintf("evt_%d", i))
		}
		pass(time.Minute)
		before := s.claims.Load()
		pass(80 * time.Second)
		if n := s.claims.Load() - before; n > 2*12 {
			t.Errorf("two held lanes made %d claims in 80 s", n)
		}
	})
}
