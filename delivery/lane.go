package delivery

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/atoship/caddy-webhooks/delivery/gate"
)

const (
	// windowPerSlot deliveries are kept in memory for each attempt that may run at once: enough to stay busy over a group
	// commit (some 5 ms) at a few thousand deliveries a second.
	windowPerSlot = 64
	// windowMax bounds a lane's window whatever its slots.
	windowMax = 1024
	// windowFloor deliveries a lane may always hold, even when the byte budget of all windows is spent: no lane starves
	// because others hold large bodies.
	windowFloor = 4
	// maxNap bounds how long a lane sleeps: timers run on the monotonic clock and due times on the wall clock, so a step of
	// the wall clock is noticed within a minute.
	maxNap = time.Minute
	// minNap bounds how often a lane looks again while something else is in its way: a store that cannot commit.
	minNap = 5 * time.Millisecond
)

// lane is one endpoint at work: what waits in memory, what runs, and what holds it back. Fields below mu are guarded by
// it; nothing blocks while it is held.
type lane struct {
	e    *Engine
	name string

	// avail is what other lanes may know without the lock: can this endpoint be tried?
	avail atomic.Pointer[availability]
	// quiet counts attempts with operational events that are just telling the breaker their outcome: what that changes is no
	// news. told is set while an open breaker has been in the news.
	quiet atomic.Int32
	told  atomic.Bool
	// opened is set while an open breaker has been in the log.
	opened atomic.Bool
	// probePromised is when a delivery was last moved here to probe a half-open breaker (Unix ms), 0 after an attempt.
	probePromised atomic.Int64

	mu     sync.Mutex
	ep     *Endpoint // nil: not in the plan
	lease  Lane      // set by load
	loaded bool
	state  LaneState
	saving bool // a goroutine writes state
	dirty  bool // state changed since that goroutine read it

	// writing is held around each write of state, and taken before mu: an older state must not land on a newer one.
	writing sync.Mutex

	breaker    *gate.Breaker
	breakerURL string
	breakerSet gate.BreakerSettings

	slots     gate.Slots
	rate      gate.Rate
	rateUntil time.Time   // when the rate limit lets the next attempt pass; zero or past: it is not what holds the lane
	window    []*Delivery // handed over, not started; in order
	replays   replayQueue // beside it: handed over, of replays
	running   int
	class     gate.Class // what its attempts tell of the endpoint; see classLocked

	// caughtUp: the last claim found the store's end and every fresh delivery since was handed over. While it holds, the
	// committer may hand over more; what is in the store all the same (a retry, a delivery moved here) is known by nextDue.
	caughtUp bool
	reserved int // promised to the committer, not yet here
	passedBy int // refused to the committer, not yet in the store: nothing may be handed over before them

	refilling bool
	refillAt  time.Time // not before: a claim failed
	nextDue   time.Time // no delivery in the store is due before; zero: nothing waits there
	noted     time.Time // earliest one that came to the store during the present claim
	unpark    bool      // what is parked in the store is to be tried again
	stranded  bool      // what is due too far off is to be looked for

	evac evacuation

	timer *time.Timer

	// See rest.go. ready: loaded, and following the plan. worked: an attempt began since idleSince, which is when the lane was
	// found busy last. gone: another lane may have taken the name.
	ready     atomic.Bool
	worked    bool
	idleSince time.Time
	gone      bool
}

// availability of an endpoint as a target for deliveries of other lanes.
type availability struct {
	usable  bool      // in the plan, not disabled, not paused
	until   time.Time // it asked to be left alone until then
	breaker *gate.Breaker
}

// newLane makes the lane of an endpoint that has nothing waiting in the store as far as we know: it is caught up. Open
// tells lanes with a backlog by waiting().
func newLane(e *Engine, name string) *lane {
	l := &lane{e: e, name: name, caughtUp: true, class: gate.ClassFresh}
	l.avail.Store(&availability{})
	return l
}

// waiting notes that the store holds deliveries, the earliest due at the given time.
func (l *lane) waiting(at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.caughtUp = false
	l.nextDue = at
	l.stranded = true // the clock may have been set while we were away
	l.evac.pending = true
}

// windowSize is how many deliveries the lane may hold in memory now. While the endpoint is silent the few next ones do: an
// attempt may take 30 s, and a thousand such lanes would hold 100 MB for nothing.
func (l *lane) windowSize() int {
	if l.slots.Silent() {
		return windowFloor
	}
	return min(windowPerSlot*max(l.slots.Size(), 1), windowMax)
}

// holdLocked tells why nothing may be tried now, and until when; the zero Hold means go. Slots and the engine's share are
// not asked: they free themselves.
func (l *lane) holdLocked(now time.Time) gate.Hold {
	switch {
	case l.ep == nil || !l.loaded:
		return gate.Hold{Reason: gate.ReasonRemoved}
	case l.state.Paused:
		return gate.Hold{Reason: gate.ReasonPaused}
	case l.state.Disabled != "":
		return gate.Hold{Reason: gate.ReasonDisabled}
	case now.Before(l.state.HoldUntil):
		return gate.Hold{Reason: gate.ReasonRetryAfter, Until: l.state.HoldUntil}
	}
	if state, until, probing := l.breaker.State(); state == gate.StateOpen || (state == gate.StateHalfOpen && probing) {
		return gate.Hold{Reason: gate.ReasonBreakerOpen, Until: until}
	}
	return gate.Hold{}
}

// pump looks at what the lane may do now. It is called whenever that may have changed.
func (l *lane) pump() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pumpLocked()
}

func (l *lane) pumpLocked() {
	if l.e.work.Err() != nil || l.gone {
		return
	}
	now := l.e.clock.now()
	hold := l.holdLocked(now)
	if hold.Reason == gate.ReasonNone {
		l.evac.idle()
		l.startLocked(now)
		l.refillLocked(now)
	} else {
		l.parkLocked(now, hold)
	}
	l.napLocked(now, hold)
}

// napLocked sets the timer for the next moment something may change by itself.
func (l *lane) napLocked(now time.Time, hold gate.Hold) {
	var wake time.Time
	switch {
	case hold.Reason == gate.ReasonNone && l.inMemoryLocked() > 0:
		if l.rateUntil.After(now) {
			wake = l.rateUntil
		}
	case hold.Reason == gate.ReasonNone:
		if !l.refilling {
			wake = later(l.nextDue, l.refillAt)
			if l.strandedLocked(now) {
				wake = later(now, l.refillAt)
			}
		}
	default:
		wake = hold.Until
		if !l.refilling && movesOn(hold) && l.e.settler.ready() { // else the settler wakes all lanes when it is
			wake = earliest(wake, later(l.evac.wake(now), l.refillAt))
		}
	}
	switch {
	case wake.IsZero(): // something else will wake it; a timer that still runs finds nothing to do
	case l.timer == nil:
		l.timer = time.AfterFunc(min(max(wake.Sub(now), minNap), maxNap), l.pump)
	default:
		l.timer.Reset(min(max(wake.Sub(now), minNap), maxNap))
	}
}

// follow puts the plan in force, in which there may be no endpoint of this name. Reading it under the lock, no older one
// comes after a newer one.
func (l *lane) follow() {
	l.mu.Lock()
	defer l.mu.Unlock()
	ep := l.e.plan.Load().Endpoints[l.name]
	l.ep = ep
	l.ready.Store(l.loaded)
	if ep != nil {
		url := ep.URL.String()
		if l.breaker == nil || l.breakerURL != url || l.breakerSet != ep.Breaker {
			l.breaker = gate.NewBreaker(ep.Breaker, l.breakerChanged)
			l.breakerURL, l.breakerSet = url, ep.Breaker
			l.newsOfBreaker(gate.StateClosed, time.Time{})
		}
		if l.state.URL != "" && l.state.URL != urlDigest(url) && l.state.URL != url { // as it was kept once
			l.state = LaneState{Paused: l.state.Paused, Seen: l.state.Seen}
			l.class = gate.ClassFresh
			l.saveLocked()
		}
		l.meetLocked()
		l.slots.SetMax(ep.Concurrency)
		l.rate.Set(ep.Rate)
		l.rateUntil = time.Time{}
	}
	l.publishLocked()
	l.pumpLocked()
}

// publishLocked refreshes what other lanes see.
func (l *lane) publishLocked() {
	l.avail.Store(&availability{
		usable:  l.ep != nil && l.loaded && l.state.Disabled == "" && !l.state.Paused,
		until:   l.state.HoldUntil,
		breaker: l.breaker,
	})
}

// close writes the state that a drained attempt changed, and gives back what was not started, so that it is not taken for
// lost after the restart. Nothing runs any more, but the store still tells of what settlements queue: the lane is not locked
// while the store writes.
func (l *lane) close(ctx context.Context) {
	l.writing.Lock()
	defer l.writing.Unlock()
	l.mu.Lock()
	if l.timer != nil {
		l.timer.Stop()
	}
	l.returnLocked(l.emptyLocked())
	lease, state, dirty := l.lease, l.state, l.dirty
	l.dirty = false
	l.mu.Unlock()
	if !dirty || lease == nil {
		return
	}
	if err := lease.SetState(ctx, state); err != nil {
		l.e.log.Error("writing an endpoint's state at the stop", slog.String("endpoint", l.name), slog.Any("error", err))
	}
}
