package delivery

import (
	"context"
	"sync"
	"time"
)

// Activity goes back ActivitySteps of ActivityStep each: a day, since most receivers get a few events an hour.
const (
	ActivitySteps = 48
	ActivityStep  = 30 * time.Minute
)

// Activity is what some endpoints did lately and have before them.
type Activity struct {
	// Deliveries at home at them that are kept, by state; Events is 0.
	Deliveries Counts
	// Due is since when the first of what is due waits at them; zero when nothing is.
	Due time.Time
	// Steps of the last day, oldest first, the last one under way; from when the engine was opened.
	Steps []ActivityCount
}

// ActivityCount are the attempts that ended in one step, without tests, local faults and our own stops.
type ActivityCount struct {
	At                time.Time // its beginning, UTC
	Succeeded, Failed uint64
}

// activity counts the attempts at each endpoint. It is an Observer that costs an attempt a look-up and an uncontended lock, and
// 600 bytes for each endpoint that was tried within a day.
type activity struct {
	NopObserver
	known sync.Map // endpoint -> *tally
}

// tally is what is counted of one endpoint.
type tally struct {
	mu    sync.Mutex
	steps [ActivitySteps]struct {
		number            int64 // since 1970
		succeeded, failed uint32
	}
}

func stepOf(at time.Time) int64 { return at.Unix() / int64(ActivityStep/time.Second) }

// Attempted implements Observer.
func (c *activity) Attempted(d *Delivery, a *Attempt) {
	if d.Event.Test || a.Outcome == "local" || a.Outcome == "cancelled" {
		return
	}
	v, ok := c.known.Load(a.Endpoint)
	if !ok {
		v, _ = c.known.LoadOrStore(a.Endpoint, new(tally))
	}
	t, n := v.(*tally), stepOf(a.Started.Add(a.Duration))
	t.mu.Lock()
	defer t.mu.Unlock()
	step := &t.steps[n%ActivitySteps]
	if step.number != n {
		step.number, step.succeeded, step.failed = n, 0, 0
	}
	if a.Outcome == "delivered" {
		step.succeeded++
	} else {
		step.failed++
	}
}

// addTo adds what was counted from the step first on.
func (t *tally) addTo(steps []ActivityCount, first int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.steps {
		if i := s.number - first; i >= 0 && i < int64(len(steps)) {
			steps[i].Succeeded += uint64(s.succeeded)
			steps[i].Failed += uint64(s.failed)
		}
	}
}

// forget lets the endpoints go at which there was nothing for a day. An attempt that is counted meanwhile may be lost.
func (c *activity) forget(now time.Time) {
	first := stepOf(now) - ActivitySteps + 1
	c.known.Range(func(name, v any) bool {
		t := v.(*tally)
		t.mu.Lock()
		defer t.mu.Unlock()
		for _, s := range t.steps {
			if s.number >= first {
				return true
			}
		}
		c.known.Delete(name)
		return true
	})
}

// Activity sums up the endpoints of which of answers true. It reads a row per lane.
func (e *Engine) Activity(ctx context.Context, of func(name string) bool) (Activity, error) {
	counts, err := e.store.LaneCounts(ctx)
	if err != nil {
		return Activity{}, err
	}
	due, err := e.Oldest(ctx)
	if err != nil {
		return Activity{}, err
	}
	out := Activity{Steps: make([]ActivityCount, ActivitySteps)}
	first := stepOf(time.Now()) - ActivitySteps + 1
	for i := range out.Steps {
		out.Steps[i].At = time.Unix(0, 0).UTC().Add(time.Duration(first+int64(i)) * ActivityStep)
	}
	e.activity.known.Range(func(name, v any) bool {
		if of(name.(string)) {
			v.(*tally).addTo(out.Steps, first)
		}
		return true
	})
	for name, n := range counts {
		if of(name) {
			out.Deliveries.Pending += n.Pending
			out.Deliveries.Delivered += n.Delivered
			out.Deliveries.Exhausted += n.Exhausted
			out.Deliveries.Cancelled += n.Cancelled
		}
	}
	for name, at := range due {
		if of(name) {
			out.Due = earliest(out.Due, at)
		}
	}
	return out, nil
}

var _ Observer = (*activity)(nil)
