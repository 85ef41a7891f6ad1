package delivery

import (
	"log/slog"
	"time"

	"github.com/atoship/caddy-webhooks/delivery/gate"
)

// evacuation is a held lane's search for deliveries that can go elsewhere.
type evacuation struct {
	// pending: the store may hold movable deliveries nobody looked at since the lane is held.
	pending bool
	// next is when the earliest movable one known falls due; zero: none known.
	next time.Time
	// pause: not before; the last windows found no open target, misses of them in a row.
	pause  time.Time
	misses int
}

// A held lane asks again whether another target opened after a second, then after twice as long each time, up to half a
// minute: each question claims and returns a window, so a thousand lanes with all targets down must not ask every second.
const (
	evacuatePause    = time.Second
	maxEvacuatePause = 30 * time.Second
)

func (v *evacuation) idle() { v.pause, v.misses = time.Time{}, 0 }

func (v *evacuation) missed(now time.Time) {
	v.pause = now.Add(min(evacuatePause<<min(v.misses, 5), maxEvacuatePause))
	v.misses++
}

func (v *evacuation) due(now time.Time) bool {
	return !now.Before(v.pause) && (v.pending || (!v.next.IsZero() && !v.next.After(now)))
}

// wake is when to look again; zero: a commit will tell.
func (v *evacuation) wake(now time.Time) time.Time {
	at := v.next
	if v.pending {
		at = now
	}
	if !at.IsZero() && at.Before(v.pause) {
		at = v.pause
	}
	return at
}

// movesOn tells which holds send deliveries to their next target: an open breaker and a disabled endpoint. The others
// wait.
func movesOn(h gate.Hold) bool {
	return h.Reason == gate.ReasonBreakerOpen || h.Reason == gate.ReasonDisabled
}

// parkLocked empties the window of a lane that is held: what has an open target moves there, the rest goes back to the
// store. Then, window by window, it looks for movable deliveries in the store.
func (l *lane) parkLocked(now time.Time, hold gate.Hold) {
	if !movesOn(hold) {
		l.evac.pending, l.evac.next = true, time.Time{} // unknown by the time the hold changes
		l.returnLocked(l.window)
		l.window = nil
		return
	}
	l.placeLocked(now, hold, l.window)
	l.window = nil
	if l.refilling || !l.evac.due(now) || now.Before(l.refillAt) || !l.e.settler.ready() || !l.loaded || !l.e.tasks.begin() {
		return
	}
	l.refilling = true
	l.noted = time.Time{}
	l.evac.pending = false
	go l.evacuate(Claim{Now: now, Max: windowPerSlot, MaxBytes: l.e.window.room(claimBytes), MovableOnly: true})
}

// evacuate claims one window of movable deliveries and places them.
func (l *lane) evacuate(c Claim) {
	defer l.e.tasks.end()
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
	l.evac.next = claimed.Next
	l.evac.pending = l.evac.pending || claimed.More
	if len(claimed.Deliveries) > 0 {
		l.caughtUp = false
		l.nextDue = earliest(l.nextDue, c.Now)
	}
	l.pumpLocked() // parks again, which places the window; or the breaker closed meanwhile and it is tried
}

// placeLocked moves each delivery to its first open target, or gives it back. When none of a window could move, the lane
// pauses: otherwise it would claim and return the same rows for as long as all targets are down.
func (l *lane) placeLocked(now time.Time, hold gate.Hold, ds []*Delivery) {
	if len(ds) == 0 {
		return
	}
	var stay []*Delivery
	for _, d := range ds {
		target, ok := l.e.openTarget(d, now)
		if !ok || target == d.Target {
			stay = append(stay, d)
			continue
		}
		l.e.window.give(len(d.Event.Body))
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

// openTarget is the first target of the chain, from the lowest still allowed, whose endpoint could be tried now. A
// half-open breaker counts as open for all but one delivery at a time, which is to be its probe.
func (e *Engine) openTarget(d *Delivery, now time.Time) (uint8, bool) {
	for i := int(d.Floor); i < len(d.Chain); i++ {
		e.mu.RLock()
		l := e.lanes[d.Chain[i]]
		e.mu.RUnlock()
		if l != nil && l.open(now) {
			return uint8(i), true
		}
	}
	return 0, false
}

// probePatience is how long a promised probe keeps others away if nothing comes of it.
const probePatience = 30 * time.Second

func (l *lane) open(now time.Time) bool {
	a := l.avail.Load()
	if !a.usable || a.breaker == nil {
		return false
	}
	switch state, _, probing := a.breaker.State(); state {
	case gate.StateClosed:
		return true
	case gate.StateHalfOpen:
		last := l.probePromised.Load()
		return !probing && now.UnixMilli()-last > probePatience.Milliseconds() &&
			l.probePromised.CompareAndSwap(last, now.UnixMilli())
	default:
		return false
	}
}
