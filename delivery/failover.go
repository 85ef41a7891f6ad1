package delivery

import (
	"iter"
	"log/slog"
	"math/bits"
	"time"

	"github.com/atoship/caddy-webhooks/delivery/gate"
)

// evacuation is a held lane's search for deliveries that can go elsewhere.
//
// It looks through the lane in passes, a window at a time, from the head to the end of what is due. What has no open target
// is left where it is, unclaimed, and must not keep those behind it from theirs.
type evacuation struct {
	// pending: the store may hold movable deliveries nobody looked at since the lane is held, or was refused a target.
	pending bool
	// after is where the present pass goes on; zero: none is under way.
	after Place
	// left counts the deliveries that the present pass found no open target for.
	left int
	// next is when the earliest movable one known falls due; zero: none known.
	next time.Time
	// pause: not before. misses counts the passes in a row that moved nothing.
	pause  time.Time
	misses int
}

// A held lane whose other targets are down as well looks again after a second, then after twice as long each time, up to
// eight: a look reads every movable delivery that is due, some microseconds each.
const (
	evacuatePause    = time.Second
	maxEvacuatePause = 8 * time.Second
)

// idle forgets what was found: the lane is worked, and what waits changes.
func (v *evacuation) idle() { *v = evacuation{pending: true} }

func (v *evacuation) missed(now time.Time) {
	v.pause = now.Add(min(evacuatePause<<min(v.misses, 3), maxEvacuatePause))
	v.misses++
}

func (v *evacuation) underway() bool { return v.after != Place{} }

func (v *evacuation) due(now time.Time) bool {
	return !now.Before(v.pause) && (v.pending || v.underway() || (!v.next.IsZero() && !v.next.After(now)))
}

// claimed notes what a window of a pass found, and how many that could have moved found no open target.
func (v *evacuation) claimed(c *Claimed, left int, now time.Time) {
	v.next = c.Next
	v.left += left
	if v.after = (Place{}); c.More {
		v.after = c.Last
		return
	}
	if v.left > 0 {
		v.pending = true
		v.missed(now)
	}
	v.left = 0
}

// wake is when to look again; zero: a commit will tell.
func (v *evacuation) wake(now time.Time) time.Time {
	at := v.next
	if v.pending || v.underway() {
		at = now
	}
	if !at.IsZero() && at.Before(v.pause) {
		at = v.pause
	}
	return at
}

// movesOn tells which holds send deliveries to their next target: an open breaker, a disabled endpoint, and one that was
// removed. The others wait.
func movesOn(h gate.Hold) bool {
	return h.Reason == gate.ReasonBreakerOpen || h.Reason == gate.ReasonDisabled || h.Reason == gate.ReasonRemoved
}

// stays tells what waits whatever the hold: deliveries at home at an endpoint that was removed, until it returns or an
// operator cancels them. It is only a backup to the others.
func (l *lane) stays(d *Delivery, hold gate.Hold) bool {
	return hold.Reason == gate.ReasonRemoved && d.Chain[0] == l.name
}

// parkLocked empties the window of a lane that is held: what has an open target moves there, the rest goes back to the
// store. Then, window by window, it looks for deliveries in the store that could move.
func (l *lane) parkLocked(now time.Time, hold gate.Hold) {
	if !movesOn(hold) {
		l.evac.idle()
		l.returnLocked(l.emptyLocked())
		return
	}
	l.placeLocked(now, hold, l.emptyLocked())
	if l.refilling || !l.evac.due(now) || now.Before(l.refillAt) || !l.e.settler.ready() || !l.loaded || !l.e.tasks.begin() {
		return
	}
	l.refilling = true
	l.noted = time.Time{}
	if !l.evac.underway() {
		l.evac.pending = false
	}
	go l.evacuate(hold, Claim{Now: now, Max: windowPerSlot, MaxBytes: l.e.window.room(claimBytes), After: l.evac.after})
}

// evacuate claims one window of movable deliveries and places them.
func (l *lane) evacuate(hold gate.Hold, c Claim) {
	defer l.e.tasks.end()
	left := 0
	c.Movable = func(d *Delivery) bool {
		switch {
		case l.stays(d, hold):
			return false
		case l.e.couldMove(d, c.Now):
			return true
		}
		left++
		return false
	}
	claimed, err := l.lease.Claim(l.e.abort, c)

	l.mu.Lock()
	defer l.mu.Unlock()
	l.refilling = false
	if err != nil {
		l.evac.pending = true
		l.claimFailedLocked(err)
		return
	}
	l.takeInLocked(claimed.Deliveries)
	l.evac.claimed(&claimed, left, l.e.clock.now())
	if len(claimed.Deliveries) > 0 {
		l.caughtUp = false
		l.nextDue = earliest(l.nextDue, c.Now)
	}
	l.pumpLocked() // parks again, which places the window; or the breaker closed meanwhile and it is tried
}

// placeLocked moves each delivery to its first open target, or gives it back. When none of a window could move, because
// others took the probe they were claimed for, the lane pauses.
func (l *lane) placeLocked(now time.Time, hold gate.Hold, ds []*Delivery) {
	if len(ds) == 0 {
		return
	}
	var stay []*Delivery
	for _, d := range ds {
		if l.stays(d, hold) {
			stay = append(stay, d)
			continue
		}
		target, ok := l.e.openTarget(d, now)
		if !ok || target == d.Target {
			stay = append(stay, d)
			continue
		}
		l.e.window.give(heldBytes(d))
		l.e.settler.add(moved(d, target, now, hold.Reason.String()+" at "+l.name))
	}
	if len(stay) < len(ds) {
		l.e.log.Debug("moved deliveries to another target", slog.String("endpoint", l.name), slog.Int("deliveries", len(ds)-len(stay)))
	}
	l.returnLocked(stay)
	for _, d := range stay {
		l.evac.pending = l.evac.pending || d.Movable()
	}
	if len(stay) == len(ds) {
		l.evac.missed(now)
	} else {
		l.evac.misses = 0
	}
}

// moved settles a delivery into the lane of another target of its chain, without a try.
func moved(d *Delivery, target uint8, now time.Time, why string) Settlement {
	p := d.Progress
	p.Step++
	p.Target = target
	p.Due = now
	return Settlement{
		Delivery: d, Step: d.Step,
		Transition: Transition{At: now, Kind: Moved, Note: why, Progress: p},
	}
}

// openTarget is the first target of the chain that is not spent and whose endpoint could be tried now. A half-open breaker
// counts as open for one delivery at a time, which is to be its probe.
func (e *Engine) openTarget(d *Delivery, now time.Time) (uint8, bool) {
	for i, l := range e.targets(d, d.Spent) {
		if l.open(now) {
			return i, true
		}
	}
	return 0, false
}

// hasOpenTarget tells whether openTarget would find one beside those in the mask; it promises nothing.
func (e *Engine) hasOpenTarget(d *Delivery, spent uint8, now time.Time) bool {
	for _, l := range e.targets(d, spent) {
		if l.mayOpen(now) {
			return true
		}
	}
	return false
}

// nextTarget is where a delivery goes whose present target is spent: to the first open target or, when none is, to the one
// that opens earliest and waits there. Endpoints that are disabled, paused or removed are a last resort.
func (e *Engine) nextTarget(d *Delivery, spent uint8, now time.Time) uint8 {
	best, bestAt := uint8(bits.TrailingZeros8(^spent)), time.Time{}
	for i, l := range e.targets(d, spent) {
		if l.open(now) {
			return i
		}
		if at, ok := l.opens(now); ok && (bestAt.IsZero() || at.Before(bestAt)) {
			best, bestAt = i, at
		}
	}
	return best
}

// couldMove tells whether another target of a delivery may be open; unlike openTarget it promises nothing.
func (e *Engine) couldMove(d *Delivery, now time.Time) bool {
	for i, l := range e.targets(d, d.Spent) {
		if i != d.Target && l.mayOpen(now) {
			return true
		}
	}
	return false
}

// targets yields the index and the lane of each target that is not in the mask and that the plan has, or that has work left.
func (e *Engine) targets(d *Delivery, spent uint8) iter.Seq2[uint8, *lane] {
	return func(yield func(uint8, *lane) bool) {
		for i, name := range d.Chain {
			if spent&(1<<i) != 0 {
				continue
			}
			e.mu.RLock()
			l := e.lanes[name]
			e.mu.RUnlock()
			if plan := e.plan.Load(); l == nil && plan != nil && plan.Endpoints[name] != nil {
				l = e.lane(name) // it is ready in a moment
			}
			if l != nil && !yield(uint8(i), l) {
				return
			}
		}
	}
}

// probePatience is how long a promised probe keeps others away if nothing comes of it.
const probePatience = 30 * time.Second

// lapsed tells that nothing came of a probe promised at that time; or the clock was set, and nobody knows.
func lapsed(promised int64, now time.Time) bool {
	return time.UnixMilli(promised).Sub(now).Abs() > probePatience
}

// ready tells whether the endpoint could be tried now as far as its breaker allows.
func (a *availability) ready(now time.Time) bool {
	return a.usable && a.breaker != nil && !now.Before(a.until)
}

func (l *lane) open(now time.Time) bool {
	a := l.avail.Load()
	if !a.ready(now) {
		return false
	}
	switch state, _, probing := a.breaker.State(); state {
	case gate.StateClosed:
		return true
	case gate.StateHalfOpen:
		last := l.probePromised.Load()
		return !probing && lapsed(last, now) &&
			l.probePromised.CompareAndSwap(last, now.UnixMilli())
	default:
		return false
	}
}

// opens tells when the endpoint could be tried, now or later; false when an operator or a reload has to decide that.
func (l *lane) opens(now time.Time) (time.Time, bool) {
	a := l.avail.Load()
	if !a.usable || a.breaker == nil {
		return time.Time{}, false
	}
	at := now
	if state, until, _ := a.breaker.State(); state == gate.StateOpen {
		at = until
	}
	if a.until.After(at) {
		at = a.until
	}
	return at, true
}

// mayOpen is open without a promise: the endpoint could be tried now, or its half-open breaker waits for a probe.
func (l *lane) mayOpen(now time.Time) bool {
	a := l.avail.Load()
	if !a.ready(now) {
		return false
	}
	switch state, _, probing := a.breaker.State(); state {
	case gate.StateClosed:
		return true
	case gate.StateHalfOpen:
		return !probing && lapsed(l.probePromised.Load(), now)
	default:
		return false
	}
}
