package gate

import (
	"errors"
	"sync"
	"time"

	"github.com/sony/gobreaker/v2"
)

// State of a breaker.
type State uint8

// The states.
const (
	StateClosed   State = iota // attempts pass
	StateOpen                  // nothing passes
	StateHalfOpen              // one probe passes, and decides
)

// String returns closed, open or half_open.
func (s State) String() string {
	switch s {
	case StateClosed:
		return "closed"
	case StateOpen:
		return "open"
	case StateHalfOpen:
		return "half_open"
	}
	return "unknown"
}

// Result is what an attempt says about its endpoint.
type Result uint8

// The results. Excluded is the zero value on purpose: forgetting to set a
// result neither closes a breaker nor opens one.
const (
	Excluded Result = iota // it says nothing: our own fault, or it was not made
	Success                // the endpoint lives
	Failure                // it is unreachable, overloaded or broken
)

// errFailure and errExcluded are how gobreaker is told.
var (
	errFailure  = errors.New("failure")
	errExcluded = errors.New("excluded")
)

func (r Result) err() error {
	switch r {
	case Success:
		return nil
	case Failure:
		return errFailure
	case Excluded:
	}
	return errExcluded
}

// windowBuckets is how finely the rolling window forgets: a tenth at a time.
const windowBuckets = 10

// Breaker is the circuit breaker of one endpoint: gobreaker's two-step one,
// plus what it lacks (when it reopens, failures in a row beyond its window,
// opening by order, notices outside of its lock). It may be used from several
// goroutines. Time is time.Now.
type Breaker struct {
	settings BreakerSettings
	onChange func(State, time.Time)
	cb       *gobreaker.TwoStepCircuitBreaker[struct{}] // nil when off

	// mu guards what follows, and is held around every call of cb. So its
	// callbacks, which run under cb's own lock, run under mu as well; they
	// only note, and must never call cb.
	mu          sync.Mutex
	state       State
	until       time.Time // while open: when a probe may pass
	generation  uint64    // counts the changes of state
	probing     bool      // half-open: the probe is under way
	consecutive uint32    // failures in a row, in this generation
	tripNow     bool      // the next failure opens it, whatever the counts
	changes     []change  // not told yet, in order
	telling     bool      // a goroutine is telling them
}

type change struct {
	state State
	until time.Time
}

// NewBreaker makes a closed breaker. onChange, which may be nil, is told each
// change of state in order, with the time a probe may pass if it is open; it
// is also told half_open again when a probe ended without a result, since
// another may pass. It is called by whoever calls Enter, leave or ForceOpen,
// with no lock of the breaker held. Nothing happens by itself when the open
// time is over: ask again then.
func NewBreaker(s BreakerSettings, onChange func(s State, until time.Time)) *Breaker {
	b := &Breaker{settings: s, onChange: onChange}
	if s.Off {
		return b
	}
	g := gobreaker.Settings{
		MaxRequests:   1,
		Timeout:       s.Open,
		ReadyToTrip:   b.readyToTrip,
		OnStateChange: b.stateChanged,
		IsSuccessful:  b.isSuccessful,
		IsExcluded:    func(err error) bool { return errors.Is(err, errExcluded) },
	}
	if s.Ratio > 0 {
		g.Interval = s.Window
		g.BucketPeriod = max(s.Window/windowBuckets, 1)
	}
	b.cb = gobreaker.NewTwoStepCircuitBreaker[struct{}](g)
	return b
}

// pass is the leave function of a breaker that is off.
func pass(Result) {}

// Enter asks for one attempt. Without a hold, leave must be called exactly
// once with the attempt's result, made or not: a probe that never leaves
// keeps the endpoint closed off. A second call does nothing.
//
// While open, the hold ends at the next probe's time; while a probe is under
// way it has no time, since the probe's end tells (onChange).
func (b *Breaker) Enter(now time.Time) (leave func(Result), hold Hold) {
	if b.cb == nil {
		return pass, Hold{}
	}
	b.mu.Lock()
	if b.state == StateOpen && now.Before(b.until) {
		hold = Hold{Reason: ReasonBreakerOpen, Until: b.until}
		b.mu.Unlock()
		return nil, hold
	}
	done, err := b.cb.Allow()
	switch {
	case errors.Is(err, gobreaker.ErrOpenState): // now is ahead of the clock
		hold = Hold{Reason: ReasonBreakerOpen, Until: b.until}
	case err != nil:
		hold = Hold{Reason: ReasonBreakerOpen}
	default:
		leave = b.leaveLocked(done)
	}
	b.unlockAndTell()
	return leave, hold
}

// leaveLocked makes the leave function of an attempt that was just allowed.
func (b *Breaker) leaveLocked(done func(error)) func(Result) {
	generation, probe := b.generation, b.state == StateHalfOpen
	b.probing = probe
	return func(r Result) {
		b.mu.Lock()
		if done == nil {
			b.mu.Unlock()
			return
		}
		report := done
		done = nil
		report(r.err())
		if probe && generation == b.generation { // no state followed: it was excluded
			b.probing = false
			b.noteLocked()
		}
		b.unlockAndTell()
	}
}

// ForceOpen opens the breaker at once. It does nothing if it is off, open
// already, or a probe is under way: that one's result decides.
func (b *Breaker) ForceOpen() {
	if b.cb == nil {
		return
	}
	b.mu.Lock()
	if done, err := b.cb.Allow(); err == nil {
		b.tripNow = true
		done(errFailure)
		b.tripNow = false
	}
	b.unlockAndTell()
}

// State tells how it stands, at the time of asking: an open one whose time is
// over is half_open, though nobody asked for the probe yet. until is set
// while open; probing tells that the probe is under way.
func (b *Breaker) State() (s State, until time.Time, probing bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.state == StateOpen && !time.Now().Before(b.until) {
		return StateHalfOpen, time.Time{}, false
	}
	return b.state, b.until, b.probing
}

// isSuccessful is asked by gobreaker about each result that counts, late ones
// of an earlier generation excepted. Counting failures in a row here makes
// them independent of the window: gobreaker's own count forgets with its
// buckets, and would never see five failures of an endpoint that takes 30 s
// to time out and is tried once at a time.
func (b *Breaker) isSuccessful(err error) bool {
	if err != nil {
		b.consecutive++
		return false
	}
	b.consecutive = 0
	return true
}

// readyToTrip is asked after each failure while closed. It counts answers
// only: attempts still in flight say nothing yet.
func (b *Breaker) readyToTrip(c gobreaker.Counts) bool {
	s := b.settings
	if b.tripNow || s.Failures > 0 && b.consecutive >= s.Failures {
		return true
	}
	answered := c.TotalSuccesses + c.TotalFailures
	return s.Ratio > 0 && answered >= max(s.Min, 1) && float64(c.TotalFailures) >= s.Ratio*float64(answered)
}

// stateChanged is told by gobreaker, under its lock.
func (b *Breaker) stateChanged(_ string, _, to gobreaker.State) {
	b.generation++
	b.consecutive = 0
	b.probing = false
	b.until = time.Time{}
	switch to {
	case gobreaker.StateClosed:
		b.state = StateClosed
	case gobreaker.StateOpen:
		b.state = StateOpen
		// gobreaker lets a probe pass strictly after its own expiry, which
		// it took from a clock reading no later than this one.
		b.until = time.Now().Add(b.settings.Open + 1)
	case gobreaker.StateHalfOpen:
		b.state = StateHalfOpen
	}
	b.noteLocked()
}

func (b *Breaker) noteLocked() {
	if b.onChange != nil {
		b.changes = append(b.changes, change{b.state, b.until})
	}
}

// unlockAndTell releases mu and then tells what was noted. One goroutine at a
// time tells, so that the order holds; what others note meanwhile, the
// callback itself included, it tells as well.
func (b *Breaker) unlockAndTell() {
	if len(b.changes) == 0 || b.telling {
		b.mu.Unlock()
		return
	}
	b.telling = true
	for len(b.changes) > 0 {
		c := b.changes[0]
		b.changes = b.changes[1:]
		b.mu.Unlock()
		b.onChange(c.state, c.until)
		b.mu.Lock()
	}
	b.telling = false
	b.mu.Unlock()
}
