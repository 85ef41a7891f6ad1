package delivery

import (
	"time"

	"github.com/atoship/caddy-webhooks/delivery/gate"
)

// Reserve implements Handover: may the committer hand this delivery straight to its lane?
func (e *Engine) Reserve(d *Delivery) bool {
	if d.Event.Test && d.Replay == "" {
		return true // whoever sends it waits for it
	}
	l := e.lockedLane(d.Lane())
	defer l.mu.Unlock()
	if d.Replay != "" {
		return l.reserveReplayLocked(d)
	}
	held, now := len(l.window)+l.reserved, l.e.clock.now()
	// What is due in the store was there first: a fresh delivery goes behind it, or retries would starve on a busy lane.
	behind := !l.nextDue.IsZero() && !l.nextDue.After(now)
	if l.caughtUp && !behind && l.passedBy == 0 && held < l.windowSize() && e.work.Err() == nil &&
		l.holdLocked(now).Reason == gate.ReasonNone &&
		e.window.take(heldBytes(d), held < windowFloor) {
		l.reserved++
		return true
	}
	l.caughtUp = false
	l.passedBy++
	return false
}

// Committed implements Handover.
func (e *Engine) Committed(d *Delivery, handed bool, err error) {
	if d.Event.Test && d.Replay == "" {
		return
	}
	l := e.lockedLane(d.Lane())
	defer l.mu.Unlock()
	switch {
	case d.Replay != "" && handed:
		l.replays.reserved--
	case d.Replay != "": // no fresh one waits for it
	case handed:
		l.reserved--
	default:
		l.passedBy--
	}
	switch {
	case handed && err != nil:
		e.window.give(heldBytes(d))
		return
	case err != nil:
		return
	case handed:
		l.keepLocked(d)
	default:
		l.evac.pending = l.evac.pending || d.Movable()
		l.dueLocked(d.Due)
	}
	l.pumpLocked()
}

// Queued implements Handover.
func (e *Engine) Queued(name string, due time.Time) {
	l := e.lockedLane(name)
	defer l.mu.Unlock()
	l.evac.pending = true
	l.dueLocked(due)
	l.pumpLocked()
}

// Lost implements Handover.
func (e *Engine) Lost(name string) { e.obs.Lost(name) }

// dueLocked notes that something in the store is due at t.
func (l *lane) dueLocked(t time.Time) {
	l.nextDue = earliest(l.nextDue, t)
	if l.refilling {
		l.noted = earliest(l.noted, t)
	}
}

// earliest of two times, of which zero means never.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}

// later puts a time off to another one; zero still means never.
func later(t, notBefore time.Time) time.Time {
	if !t.IsZero() && t.Before(notBefore) {
		return notBefore
	}
	return t
}

// returnLocked puts deliveries back in the store as they were.
func (l *lane) returnLocked(ds []*Delivery) {
	for _, d := range ds {
		l.e.window.give(heldBytes(d))
		l.e.settler.add(Settlement{Delivery: d, Step: d.Step, Return: true})
	}
	if len(ds) > 0 {
		l.caughtUp = false
	}
}

var _ Handover = (*Engine)(nil)
