package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/retry"
)

func TestFirstTryIsDeliveredAndOnRecord(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		w.apply(w.plan(routeTo{targets: []delivery.Target{to("orders")}}, w.endpoint("orders")))
		r := w.publish("evt_1")[0]
		pass(time.Second)
		seen := w.seen("")
		if len(seen) != 1 || seen[0].body != string(newEvent("evt_1").Body) || seen[0].attempt != "1" || seen[0].delivery != r.Deliveries[0].ID {
			t.Fatalf("the endpoint saw %+v", seen)
		}
		if seen[0].header.Get("X-AtoShip-Signature") == "" || seen[0].header.Get("X-AtoShip-Event") != "label.created" {
			t.Errorf("headers: %v", seen[0].header)
		}
		rec := w.record(r)
		want(t, "attempts", outcomes(rec), []string{"orders:delivered"})
		if rec.Delivery.State != delivery.Delivered || string(rec.Transitions[0].Attempt.Excerpt) != "answer" {
			t.Errorf("record: %+v", rec.Delivery)
		}
	})
}

func TestScheduleOfSixTries(t *testing.T) {
	t.Parallel()
	gaps := []time.Duration{time.Minute, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 24 * time.Hour}
	inWorld(t, func(t *testing.T, w *world) {
		w.answer("orders", always(500))
		ep := w.endpoint("orders", noBreaker)
		if ep.Retry.JitterPercent != 10 {
			t.Fatalf("default jitter is %d", ep.Retry.JitterPercent)
		}
		w.apply(w.plan(routeTo{targets: []delivery.Target{to("orders")}}, ep))
		r := w.publish("evt_1")[0]
		pass(48 * time.Hour)
		seen := w.seen("")
		if len(seen) != 6 {
			t.Fatalf("%d tries, want 6", len(seen))
		}
		for i, gap := range gaps {
			got := seen[i+1].at.Sub(seen[i].at)
			if got < gap || got > gap+gap/10+time.Second {
				t.Errorf("try %d came %v after the one before, want %v to +10 %%", i+2, got, gap)
			}
			if seen[i+1].attempt != fmt.Sprint(i+2) || seen[i+1].event != "evt_1" {
				t.Errorf("try %d says attempt %s of %s", i+2, seen[i+1].attempt, seen[i+1].event)
			}
		}
		rec := w.record(r)
		if rec.Delivery.State != delivery.Exhausted || rec.Delivery.Reason != delivery.ReasonSchedule {
			t.Errorf("ended %v, %q", rec.Delivery.State, rec.Delivery.Reason)
		}
	})
}

func TestExhaustedPrimaryGoesToItsBackupWithAScheduleOfItsOwn(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		w.answer("a", always(500))
		w.answer("b", func(n int, _ *http.Request) (*http.Response, error) {
			if n < 3 {
				return status(502)
			}
			return status(200)
		})
		delays := retries(time.Minute, time.Hour)
		w.apply(w.plan(routeTo{targets: []delivery.Target{to("a", "b")}}, w.endpoint("a", delays, noBreaker), w.endpoint("b", delays, noBreaker)))
		r := w.publish("evt_1")[0]
		pass(10 * time.Hour)
		rec := w.record(r)
		want(t, "attempts", outcomes(rec), []string{
			"a:server_error", "a:server_error", "a:server_error", "b:server_error", "b:server_error", "b:delivered",
		})
		if seen := w.seen(""); seen[5].attempt != "6" {
			t.Errorf("attempt header counts over all targets: got %s", seen[5].attempt)
		}
	})
}

func TestOpenBreakerFailsOverAndBack(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		w.answer("a", down)
		w.apply(w.plan(routeTo{targets: []delivery.Target{to("a", "b")}}, w.endpoint("a"), w.endpoint("b")))
		for i := range 5 { // five failures in a row open a's breaker
			w.publish(fmt.Sprintf("evt_%d", i))
			pass(time.Millisecond)
		}
		r := w.publish("evt_moved")[0]
		pass(2 * time.Second)
		rec := w.record(r)
		want(t, "moved at once", outcomes(rec), []string{"moved", "b:delivered"})
		if got := rec.Transitions[0].Note; got != "breaker_open at a" {
			t.Errorf("the log tells %q", got)
		}
		w.answer("a", always(200))
		pass(5 * time.Minute) // a's probe is one of the five waiting for their second try, or of those moved to b
		before := len(w.seen("b"))
		r = w.publish("evt_back")[0]
		pass(time.Second)
		rec = w.record(r)
		if rec.Delivery.State != delivery.Delivered {
			t.Fatalf("state %v", rec.Delivery.State)
		}
		r = w.publish("evt_back2")[0]
		pass(time.Second)
		want(t, "new deliveries go to the primary again", outcomes(w.record(r)), []string{"a:delivered"})
		if len(w.seen("b"))-before > 1 {
			t.Errorf("b got %d more after a recovered", len(w.seen("b"))-before)
		}
	})
}

func TestParkedLaneSendsOneProbeAndKeepsItsSchedule(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		w.answer("a", down)
		w.apply(w.plan(routeTo{targets: []delivery.Target{to("a")}}, w.endpoint("a")))
		var last delivery.Receipt
		for i := range 40 {
			last = w.publish(fmt.Sprintf("evt_%d", i))[0]
			pass(10 * time.Millisecond)
		}
		if n := len(w.seen("a")); n != 5 {
			t.Fatalf("%d tries before the breaker opened, want 5", n)
		}
		pass(31 * time.Second)
		if n := len(w.seen("a")); n != 6 {
			t.Errorf("%d tries after half-open, want one probe more", n)
		}
		if rec := w.record(last); len(rec.Transitions) != 0 || rec.Delivery.State != delivery.Pending {
			t.Errorf("a delivery that never left spent its schedule: %v", outcomes(rec))
		}
		w.answer("a", always(200))
		pass(10 * time.Minute)
		if rec := w.record(last); rec.Delivery.State != delivery.Delivered {
			t.Errorf("after recovery: %v", rec.Delivery.State)
		}
		counts, _ := w.e.Journal().Counts(context.Background())
		if counts.Delivered != 40 || counts.Pending != 0 {
			t.Errorf("counts: %+v", counts)
		}
	})
}

func TestAllTargetsDownThenTheBackupReturnsFirst(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		w.answer("a", down)
		w.answer("b", down)
		w.apply(w.plan(routeTo{targets: []delivery.Target{to("a", "b")}}, w.endpoint("a"), w.endpoint("b")))
		for i := range 30 {
			w.publish(fmt.Sprintf("evt_%d", i))
			pass(time.Millisecond)
		}
		pass(time.Minute)
		w.answer("b", always(200))
		pass(2 * time.Minute)
		if n := len(w.seen("b")); n < 20 {
			t.Errorf("two minutes after b is back it got %d requests", n)
		}
		w.answer("a", always(200))
		pass(30 * time.Hour) // those that were probes have spent steps of their schedule
		counts, _ := w.e.Journal().Counts(context.Background())
		if counts.Pending != 0 || counts.Delivered != 30 {
			t.Errorf("with both back everything is delivered: %+v", counts)
		}
	})
}

func TestRetryAfterHoldsTheLaneAndSurvivesARestart(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		w.answer("a", func(n int, _ *http.Request) (*http.Response, error) {
			if n == 1 {
				return status(429, "Retry-After", "3600")
			}
			return status(200)
		})
		plan := func() *delivery.Plan {
			return w.plan(routeTo{targets: []delivery.Target{to("a", "b")}}, w.endpoint("a"), w.endpoint("b"))
		}
		w.apply(plan())
		start := time.Now()
		first := w.publish("evt_1")[0]
		pass(time.Second)
		w.publish("evt_2")
		pass(time.Minute)
		w.crash()
		w.apply(plan())
		pass(50 * time.Minute)
		if n := len(w.seen("")); n != 1 {
			t.Fatalf("%d requests while told to wait, want 1 and none at the backup", n)
		}
		pass(20 * time.Minute)
		seen := w.seen("a")
		if len(seen) != 3 || seen[1].at.Sub(start) < time.Hour {
			t.Fatalf("after the hour: %d requests, second after %v", len(seen), seen[1].at.Sub(start))
		}
		want(t, "attempts", outcomes(w.record(first)), []string{"a:rate_limited", "a:delivered"})
	})
}

func TestGoneDisablesTheEndpointAndFailsOver(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		w.answer("a", always(410))
		w.apply(w.plan(routeTo{targets: []delivery.Target{to("a", "b")}}, w.endpoint("a"), w.endpoint("b")))
		first := w.publish("evt_1")[0]
		pass(time.Second)
		second := w.publish("evt_2")[0]
		pass(5 * time.Minute)
		want(t, "the one that met it", outcomes(w.record(first)), []string{"a:gone", "moved", "b:delivered"})
		want(t, "the next", outcomes(w.record(second)), []string{"moved", "b:delivered"})
	})
}

func TestLocalFaultsSpendNothing(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		w.answer("a", func(n int, _ *http.Request) (*http.Response, error) {
			if n <= 20 {
				return nil, &retry.LocalFault{Code: "proxy", Err: errors.New("refused")}
			}
			return status(200)
		})
		w.apply(w.plan(routeTo{targets: []delivery.Target{to("a")}}, w.endpoint("a", retries(time.Minute))))
		r := w.publish("evt_1")[0]
		pass(3 * time.Hour)
		rec := w.record(r)
		if rec.Delivery.State != delivery.Delivered || rec.Delivery.Tries[0] != 0 {
			t.Errorf("state %v, tries %d, attempts %v", rec.Delivery.State, rec.Delivery.Tries[0], outcomes(rec))
		}
	})
}

func TestExpireEndsWhatIsStillPending(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		w.answer("a", down)
		p := w.plan(routeTo{targets: []delivery.Target{to("a")}}, w.endpoint("a"))
		p.Expire = time.Hour
		w.apply(p)
		var rs []delivery.Receipt
		for i := range 10 {
			rs = append(rs, w.publish(fmt.Sprintf("evt_%d", i))...)
		}
		pass(90 * time.Minute)
		for _, r := range rs {
			if rec := w.record(r); rec.Delivery.State != delivery.Exhausted || rec.Delivery.Reason != delivery.ReasonExpired {
				t.Errorf("%s: %v %q", r.EventID, rec.Delivery.State, rec.Delivery.Reason)
			}
		}
	})
}

func TestTimeoutCoversAnEndpointThatNeverAnswers(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		w.answer("a", hang)
		w.apply(w.plan(routeTo{targets: []delivery.Target{to("a"), to("b")}}, w.endpoint("a"), w.endpoint("b")))
		r := w.publish("evt_1")[0]
		pass(31 * time.Second)
		rec := w.record(r)
		want(t, "attempts", outcomes(rec), []string{"a:timeout"})
		if d := rec.Transitions[0].Attempt.Duration; d != delivery.DefaultTimeout {
			t.Errorf("took %v", d)
		}
		if got := w.seen("b"); len(got) != 1 || got[0].at.Sub(rec.Delivery.Event.Accepted) > time.Second {
			t.Errorf("the neighbour got %+v", got)
		}
	})
}

func TestCrashLeavesUnknownOutcomesAndDeliversAll(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		w.answer("a", hang)
		plan := func() *delivery.Plan {
			return w.plan(routeTo{targets: []delivery.Target{to("a")}}, w.endpoint("a", noBreaker))
		}
		w.apply(plan())
		r := w.publish("evt_1")[0]
		pass(time.Second)
		w.crash()
		w.answer("a", always(200))
		w.apply(plan())
		pass(time.Second)
		want(t, "attempts", outcomes(w.record(r)), []string{"a:unknown", "a:delivered"})
		if seen := w.seen("a"); seen[1].attempt != "2" {
			t.Errorf("the second request says attempt %s", seen[1].attempt)
		}
	})
}

func TestThreeUnknownOutcomesCountAsOneFailure(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		w.answer("a", hang)
		plan := func() *delivery.Plan {
			return w.plan(routeTo{targets: []delivery.Target{to("a")}}, w.endpoint("a", retries(time.Minute), noBreaker))
		}
		w.apply(plan())
		r := w.publish("evt_1")[0]
		for range 3 {
			pass(time.Second)
			w.crash()
			w.apply(plan())
		}
		pass(time.Second)
		rec := w.record(r)
		if rec.Delivery.Tries[0] != 1 || rec.Delivery.Unknowns != 0 || time.Until(rec.Delivery.Due) < 50*time.Second {
			t.Errorf("tries %d, unknowns %d, due in %v: %v", rec.Delivery.Tries[0], rec.Delivery.Unknowns, time.Until(rec.Delivery.Due), outcomes(rec))
		}
	})
}

func TestGracefulStopLeavesNothingUnknown(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		w.answer("a", func(_ int, r *http.Request) (*http.Response, error) {
			select {
			case <-time.After(2 * time.Second):
				return status(200)
			case <-r.Context().Done():
				return nil, r.Context().Err()
			}
		})
		plan := func() *delivery.Plan { return w.plan(routeTo{targets: []delivery.Target{to("a")}}, w.endpoint("a")) }
		w.apply(plan())
		var rs []delivery.Receipt
		for i := range 50 {
			rs = append(rs, w.publish(fmt.Sprintf("evt_%d", i))...)
		}
		pass(time.Second)
		start := time.Now()
		w.crashAfterShutdown()
		if took := time.Since(start); took > delivery.DefaultDrain {
			t.Errorf("stopping took %v", took)
		}
		w.apply(plan())
		pass(time.Minute)
		for _, r := range rs {
			want(t, r.EventID, outcomes(w.record(r)), []string{"a:delivered"})
		}
	})
}

func TestStopCutsOffWhatDoesNotDrain(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		w.answer("a", hang)
		plan := func() *delivery.Plan { return w.plan(routeTo{targets: []delivery.Target{to("a")}}, w.endpoint("a")) }
		w.apply(plan())
		r := w.publish("evt_1")[0]
		pass(time.Second)
		start := time.Now()
		w.crashAfterShutdown()
		if took := time.Since(start); took != delivery.DefaultDrain {
			t.Errorf("stopping took %v", took)
		}
		w.answer("a", always(200))
		w.apply(plan())
		pass(time.Second)
		want(t, "attempts", outcomes(w.record(r)), []string{"a:cancelled", "a:delivered"})
	})
}

// crashAfterShutdown stops the engine properly and starts a new one on the same store.
func (w *world) crashAfterShutdown() {
	w.t.Helper()
	w.close()
	w.store = w.store.Crash()
	w.open()
}

func TestAcceptAfterShutdownPromisesNothing(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		if _, err := w.e.Accept(context.Background(), []*delivery.Event{newEvent("evt_1")}); !errors.Is(err, delivery.ErrStopping) {
			t.Errorf("before the first plan: %v", err)
		}
		w.apply(w.plan(routeTo{}))
		w.close()
		if _, err := w.e.Accept(context.Background(), []*delivery.Event{newEvent("evt_1")}); !errors.Is(err, delivery.ErrStopping) {
			t.Errorf("after shutdown: %v", err)
		}
	})
}
