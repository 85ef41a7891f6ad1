package delivery

import (
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/atoship/caddy-webhooks/delivery/retry"
)

// Rates, breakers, pauses and timeouts go by the monotonic clock, which nobody sets. What is stored cannot: due times, holds and
// ages are wall time, and wrong after the wall clock was set. Set forward, all is due at once, which the rate limits pace, and all
// seems old, so for a while nothing is expired, deleted or disabled for its age. Set back, all seems far off, so nothing may be
// further off than the longest wait there is.

const (
	// clockStep is a difference between wall and monotonic clock, from one look to the next, that no drift explains.
	clockStep = time.Minute
	// clockDoubt is how long no age is believed after such a step: a wrong clock is usually put right within it.
	clockDoubt = time.Hour
	// longestWait is the longest that a delivery can be put off: the longest delay of a schedule with all its jitter.
	longestWait = 2 * retry.MaxDelay
)

// clock tells the time and notices when somebody sets it.
type clock struct {
	now func() time.Time // with a monotonic reading
	set func(step time.Duration)

	mu         sync.Mutex
	last       time.Time // guarded by mu, as the next one
	doubtUntil time.Time
}

func newClock(now func() time.Time, set func(time.Duration)) *clock {
	if now == nil {
		now = time.Now
	}
	return &clock{now: now, set: set, last: now()}
}

// doubtful tells whether the wall clock was set lately. It looks for itself: a delivery that seems too old a second after the
// clock was set must not end because nobody has noticed yet.
func (c *clock) doubtful() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	step := now.Round(0).Sub(c.last.Round(0)) - now.Sub(c.last)
	c.last = now
	if step.Abs() > clockStep {
		c.doubtUntil = now.Add(clockDoubt)
		c.set(step)
	}
	return now.Before(c.doubtUntil)
}

// clockSet has every lane look for what a step of the wall clock put out of reach.
func (e *Engine) clockSet(step time.Duration) {
	e.log.Warn("the wall clock was set: nothing is expired or deleted for an hour", slog.Duration("step", step))
	e.tasks.run(func() { // whoever noticed may have locked a lane
		for _, l := range e.allLanes() {
			l.clockSet()
		}
	})
}

func (l *lane) clockSet() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.boundHoldLocked(l.e.clock.now()) {
		l.publishLocked()
		l.saveLocked()
	}
	l.stranded = l.stranded || !l.nextDue.IsZero() || l.refilling // else nothing waits in the store
	l.pumpLocked()
}

// boundHoldLocked shortens a hold that is longer than an endpoint can ask for.
func (l *lane) boundHoldLocked(now time.Time) (changed bool) {
	if longest := stamp(now.Add(retry.MaxHold)); l.state.HoldUntil.After(longest) {
		l.state.HoldUntil = longest
		return true
	}
	return false
}

// strandedLocked tells whether deliveries may be due later than any can be, parked ones aside. All are when the first is; they
// may also stand behind others that are due soon, and on a busy lane would stand there for ever.
func (l *lane) strandedLocked(now time.Time) bool {
	return l.stranded || l.nextDue.After(now.Add(longestWait)) && l.nextDue.Before(parkedDue)
}

// strandedClaim takes what is due later than anything can be, and nothing that is parked.
func strandedClaim(now time.Time, most, bytes int) Claim {
	before := Place{Due: stamp(now.Add(longestWait)), Key: Key{Seq: math.MaxUint64, Ord: math.MaxUint16}}
	return Claim{Now: parkedDue.Add(-time.Millisecond), Max: most, MaxBytes: bytes, After: before}
}
