package delivery_test

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/gate"
)

// wallClock is the bubble's clock, of which the wall time can be set; the monotonic one goes on, as a machine's does. (Inside a
// bubble time.Now has no monotonic reading.)
type wallClock struct{ seconds atomic.Int64 }

func (c *wallClock) step(d time.Duration) { c.seconds.Add(int64(d / time.Second)) }

// now makes a time with both readings, which nothing but time.Now can: it writes the fields that package time describes.
// TestAStepMovesTheWallClockOnly tells when that has changed.
func (c *wallClock) now() time.Time {
	const hasMonotonic, wallBegins = 1 << 63, -2682288000 // January 1, 1885, in Unix seconds
	t := time.Now()
	seconds := t.Unix() + c.seconds.Load() - wallBegins
	made := struct {
		wall uint64
		ext  int64
		loc  *time.Location
	}{hasMonotonic | uint64(seconds)<<30 | uint64(t.Nanosecond()), t.UnixNano(), time.Local}
	return *(*time.Time)(unsafe.Pointer(&made)) //nolint:gosec // see above
}

const year = 365 * 24 * time.Hour

// steps are what the wall clock is set by.
var steps = []struct {
	name string
	by   time.Duration
}{{"an hour forward", time.Hour}, {"a year forward", year}, {"an hour back", -time.Hour}, {"a year back", -year}}

func TestAStepMovesTheWallClockOnly(t *testing.T) {
	t.Parallel()
	for _, s := range steps {
		synctest.Test(t, func(t *testing.T) {
			c := new(wallClock)
			before := c.now()
			if !before.Round(0).Equal(time.Now()) {
				t.Errorf("reads %v, want %v", before, time.Now())
			}
			c.step(s.by)
			time.Sleep(time.Second)
			after := c.now()
			if mono, wall := after.Sub(before), after.Round(0).Sub(before.Round(0)); mono != time.Second || wall != s.by+time.Second {
				t.Errorf("%s: %v by the monotonic clock, %v by the wall clock", s.name, mono, wall)
			}
		})
	}
}

// afterSteps runs f in a world for each step, which f takes with jump: as the engine runs, and while it is down.
func afterSteps(t *testing.T, f func(t *testing.T, w *world, by time.Duration, jump func())) {
	t.Helper()
	for _, s := range steps {
		for _, down := range []bool{false, true} {
			name := s.name
			if down {
				name += " while the engine is down"
			}
			if down && s.by > delivery.DefaultExpire {
				continue // nobody can tell it from a gateway that was down for so long, whose deliveries expire
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				clock := new(wallClock)
				inWorldLike(t, func(w *world) { w.clock = clock.now }, func(t *testing.T, w *world) {
					f(t, w, s.by, func() {
						clock.step(s.by)
						if down {
							plan := w.e.Plan()
							w.crash()
							w.apply(plan)
						}
					})
				})
			})
		}
	}
}

// checkRate looks into every window of a unit for more requests than the rate allows, by the clock that nobody set.
func checkRate(t *testing.T, sends []sent, rate gate.RateSettings) {
	t.Helper()
	for i := range sends {
		if j := i + rate.N; j < len(sends) && sends[j].at.Sub(sends[i].at) < rate.Unit {
			t.Errorf("requests %d to %d within %v, want no more than %v", i, j, sends[j].at.Sub(sends[i].at), rate)
			return
		}
	}
}

func TestWhatIsDueSurvivesTheClock(t *testing.T) {
	t.Parallel()
	afterSteps(t, func(t *testing.T, w *world, by time.Duration, jump func()) {
		const n = 300
		rate := gate.RateSettings{N: 60, Unit: time.Minute, Burst: 6}
		up := false
		w.answer("a", func(int, *http.Request) (*http.Response, error) {
			if up {
				return status(200)
			}
			return down(0, nil)
		})
		w.apply(w.plan(routeTo{targets: []delivery.Target{to("a")}}, w.endpoint("a", noBreaker, retries(2*time.Hour),
			func(ep *delivery.Endpoint) { ep.Rate = rate })))
		var receipts []delivery.Receipt
		for i := range n {
			receipts = append(receipts, w.publish(fmt.Sprint("evt-", i))...)
		}
		pass(3 * time.Minute) // most have failed once and wait for their retry, the others for their turn
		before := len(w.seen("a"))
		if before < n/2 || before == n {
			t.Errorf("%d tries before the step, want some to be outstanding", before)
		}
		up = true
		e := w.e
		jump()
		// Set back by an hour, the clock keeps what is due waiting for that hour; by a year, for no year.
		pass(2*time.Hour + max(0, min(-by, time.Hour)) + 10*time.Minute)
		for i, r := range receipts {
			if rec := w.record(r); rec.Delivery.State != delivery.Delivered {
				t.Errorf("event %d is %v (%s), due %v", i, rec.Delivery.State, rec.Delivery.Reason, rec.Delivery.Due)
				break
			}
		}
		sends := w.seen("a")
		if w.e != e { // a new engine knows of no window before it
			checkRate(t, sends[:before], rate)
			sends = sends[before:]
		}
		checkRate(t, sends, rate)
	})
}

// TestWhatIsStrandedBehindABusyLineIsFound accepts events while the clock is a year fast, at a lane that is behind with its work.
// Once it is put right they are due in a year, and some in the store are always due sooner: nobody who looks for what is due
// next comes across them.
func TestWhatIsStrandedBehindABusyLineIsFound(t *testing.T) {
	t.Parallel()
	for _, down := range []bool{false, true} {
		clock := new(wallClock)
		inWorldLike(t, func(w *world) { w.clock = clock.now }, func(t *testing.T, w *world) {
			w.answer("a", func(int, *http.Request) (*http.Response, error) {
				time.Sleep(time.Second)
				return nil, errDown
			})
			every := make([]time.Duration, 20)
			for i := range every {
				every[i] = time.Minute
			}
			plan := w.plan(routeTo{targets: []delivery.Target{to("a")}}, w.endpoint("a", noBreaker, retries(every...),
				func(ep *delivery.Endpoint) { ep.Concurrency = 1 }))
			w.apply(plan)
			for i := range 300 { // a minute's worth of work is 60, and 64 are in memory
				w.publish(fmt.Sprint("evt-busy-", i))
			}
			pass(45 * time.Second)
			if err := w.e.Pause(t.Context(), "a"); err != nil {
				t.Fatal(err)
			}
			clock.step(year)
			evs := make([]*delivery.Event, 100)
			for i := range evs {
				evs[i] = newEvent(fmt.Sprint("evt-far-", i))
				evs[i].Accepted = clock.now().UTC().Truncate(time.Millisecond)
			}
			receipts, err := w.e.Accept(t.Context(), evs)
			if err != nil {
				t.Fatal(err)
			}
			pass(2 * time.Minute)
			clock.step(-year)
			if down { // it learns nothing of the step
				w.crash()
				w.apply(plan)
			}
			pass(time.Minute)
			if err := w.e.Resume(t.Context(), "a"); err != nil {
				t.Fatal(err)
			}
			pass(10 * time.Minute)
			untried := 0
			for _, r := range receipts {
				if len(w.record(r).Transitions) == 0 {
					untried++
				}
			}
			if untried > 0 {
				t.Errorf("engine down %v: %d are not tried within ten minutes of the clock being put right", down, untried)
			}
		})
	}
}

func TestAPromisedProbeHoldsNoYear(t *testing.T) {
	t.Parallel()
	promised := time.UnixMilli(1_800_000_000_000)
	for after, want := range map[time.Duration]bool{time.Second: false, time.Minute: true, -time.Hour: true, -year: true, year: true} {
		if got := delivery.ProbeLapsed(promised.UnixMilli(), promised.Add(after)); got != want {
			t.Errorf("lapsed %v after it was promised: %v, want %v", after, got, want)
		}
	}
}

func TestHoldsSurviveTheClock(t *testing.T) {
	t.Parallel()
	afterSteps(t, func(t *testing.T, w *world, by time.Duration, jump func()) {
		w.answer("asks", func(n int, _ *http.Request) (*http.Response, error) {
			if n == 1 {
				return status(503, "Retry-After", "7200")
			}
			return status(200)
		})
		w.answer("broken", func(n int, _ *http.Request) (*http.Response, error) {
			if n <= 8 {
				return status(500)
			}
			return status(200)
		})
		targets := map[string]delivery.Target{"asks": to("asks"), "broken": to("broken")}
		w.apply(w.plan(byName(targets), w.endpoint("asks", retries(time.Minute)), w.endpoint("broken", retries(time.Minute, time.Minute, time.Minute, time.Minute))))
		waiting := w.publish("asks-1")
		for i := range 20 {
			waiting = append(waiting, w.publish(fmt.Sprint("broken-", i))...)
		}
		pass(time.Second)
		if s, err := w.e.Endpoint("broken"); err != nil || s.Hold.Reason != gate.ReasonBreakerOpen {
			t.Fatalf("%+v, %v: want an open breaker", s.Hold, err)
		}
		jump()
		waiting = append(waiting, w.publish("asks-2")...)
		pass(2*time.Hour + max(0, min(-by, 22*time.Hour)) + 2*time.Minute) // a day is the longest hold there is
		for _, r := range waiting {
			if rec := w.record(r); rec.Delivery.State != delivery.Delivered {
				t.Errorf("%s is %v, due %v, after %v", rec.Delivery.Event.ID, rec.Delivery.State, rec.Delivery.Due, outcomes(rec))
			}
		}
		if sends := w.seen("asks"); by < 0 && sends[1].at.Sub(sends[0].at) < 2*time.Hour {
			t.Errorf("tried again after %v, before the endpoint asked for", sends[1].at.Sub(sends[0].at))
		}
	})
}

func TestAnEndpointIsNotDisabledByTheClock(t *testing.T) {
	t.Parallel()
	afterSteps(t, func(t *testing.T, w *world, by time.Duration, jump func()) {
		every := make([]time.Duration, 20)
		for i := range every {
			every[i] = 10 * time.Minute
		}
		w.answer("a", down)
		plan := w.plan(routeTo{targets: []delivery.Target{to("a")}}, w.endpoint("a", noBreaker, retries(every...),
			func(ep *delivery.Endpoint) { ep.DisableAfter = 4 * time.Hour }))
		plan.Expire = 3 * year
		w.apply(plan)
		w.publish("evt-1")
		pass(25 * time.Minute)
		jump()
		pass(2*time.Hour + max(0, min(-by, time.Hour)))
		if s, err := w.e.Endpoint("a"); err != nil || s.State.Disabled != "" {
			t.Errorf("disabled as %q, %v, after two hours of failures", s.State.Disabled, err)
		}
		if n := len(w.seen("a")); n < 10 {
			t.Errorf("%d tries, want one every ten minutes", n)
		}
		w.publish("evt-2")
		pass(6 * time.Hour)
		if s, err := w.e.Endpoint("a"); err != nil || s.State.Disabled != delivery.DisabledFailing {
			t.Errorf("disabled as %q, %v, after eight hours of failures", s.State.Disabled, err)
		}
	})
}

func TestAWrongClockDeletesNothing(t *testing.T) {
	t.Parallel()
	clock := new(wallClock)
	inWorldLike(t, func(w *world) { w.clock = clock.now }, func(t *testing.T, w *world) {
		targets := map[string]delivery.Target{"up": to("up"), "paused": to("paused")}
		w.apply(w.plan(byName(targets), w.endpoint("up"), w.endpoint("paused", func(ep *delivery.Endpoint) { ep.Paused = true })))
		settled, pending := w.publish("up-1")[0], w.publish("paused-1")[0]
		pass(90 * time.Second)
		for _, by := range []time.Duration{year, -year, -year, year, time.Hour, -time.Hour} { // each wrong for half an hour
			clock.step(by)
			pass(30 * time.Minute)
			if s := w.record(settled).Delivery.State; s != delivery.Delivered {
				t.Errorf("set by %v: what was delivered is %v", by, s)
			}
			if d := w.record(pending).Delivery; d.State != delivery.Pending {
				t.Errorf("set by %v: what waits is %v (%s)", by, d.State, d.Reason)
			}
		}
		clock.step(year) // nobody puts it right: it is believed
		pass(50 * time.Minute)
		if d := w.record(pending).Delivery; d.State != delivery.Pending {
			t.Errorf("50 minutes after the step: what waits is %v (%s)", d.State, d.Reason)
		}
		pass(20 * time.Minute)
		if c, err := w.e.Journal().Counts(t.Context()); err != nil || c.Pending != 0 {
			t.Errorf("70 minutes after the step: %+v, %v", c, err)
		}
	})
}

func TestAnAttemptTakesNoYear(t *testing.T) {
	t.Parallel()
	for _, s := range steps {
		clock := new(wallClock)
		inWorldLike(t, func(w *world) { w.clock = clock.now }, func(t *testing.T, w *world) {
			w.answer("a", func(int, *http.Request) (*http.Response, error) {
				clock.step(s.by)
				time.Sleep(time.Second)
				return status(200)
			})
			w.apply(w.plan(routeTo{targets: []delivery.Target{to("a")}}, w.endpoint("a")))
			r := w.publish("evt-1")[0]
			pass(2 * time.Second)
			if rec := w.record(r); len(rec.Transitions) != 1 || rec.Transitions[0].Attempt.Duration != time.Second {
				t.Errorf("set %s: %v, took %v", s.name, outcomes(rec), rec.Transitions[0].Attempt.Duration)
			}
		})
	}
}
