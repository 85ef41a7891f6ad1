package delivery

import (
	"github.com/atoship/caddy-webhooks/delivery/gate"
)

// replayQueue is what a lane holds of replays. They have a share of the lane of their own, and no more: live deliveries never
// stand behind a replay, and a replay goes on beside any amount of live ones.
//
//	live ones wait           every fourth attempt at most is a replay's, in at most a quarter of the slots
//	none waits               replays take up to three quarters of the slots, so that the next live one finds one free
type replayQueue struct {
	window   []*Delivery // handed over, not started; in order
	reserved int         // promised to the committer, not yet here
	running  int
	passed   int // attempts of live deliveries since the last of a replay
}

const (
	// replaysPerSlot are held in memory for each slot: what a slot needs until the next commit brings more.
	replaysPerSlot = 2
	// replayShare of attempts and slots is for replays while live deliveries wait: one in so many.
	replayShare = 4
)

// room is how many more replays the lane takes into memory.
func (q *replayQueue) room(slots int) int {
	return replaysPerSlot*max(slots, 1) - len(q.window) - q.reserved
}

// may tells whether the next attempt may be a replay's.
func (q *replayQueue) may(slots int, liveWaits bool) bool {
	switch {
	case len(q.window) == 0:
		return false
	case liveWaits:
		return q.passed >= replayShare-1 && q.running < max(1, slots/replayShare)
	default:
		return q.running < max(1, slots-max(1, slots/replayShare))
	}
}

func (q *replayQueue) started(d *Delivery) {
	if d.Replay == "" {
		q.passed++
		return
	}
	q.passed = 0
	q.running++
}

func (q *replayQueue) ended(d *Delivery) {
	if d.Replay != "" {
		q.running--
	}
}

// turnLocked tells which of the lane's queues the next attempt takes from; nil: from none.
func (l *lane) turnLocked() *[]*Delivery {
	switch {
	case l.replays.may(l.slots.Size(), len(l.window) > 0):
		return &l.replays.window
	case len(l.window) > 0:
		return &l.window
	default:
		return nil
	}
}

// reserveReplayLocked takes a replay straight into memory while there is room. Unlike live ones a replay is not kept back by
// what is due in the store: it has its own share.
func (l *lane) reserveReplayLocked(d *Delivery) bool {
	held := len(l.replays.window) + l.replays.reserved
	if l.e.work.Err() != nil || l.replays.room(l.slots.Size()) <= 0 || l.holdLocked(l.e.clock.now()).Reason != gate.ReasonNone ||
		!l.e.window.take(heldBytes(d), held == 0) {
		return false
	}
	l.replays.reserved++
	return true
}

// keepLocked puts a delivery that was handed over into the queue it belongs to.
func (l *lane) keepLocked(d *Delivery) {
	if d.Replay != "" {
		l.replays.window = append(l.replays.window, d)
		return
	}
	l.window = append(l.window, d)
}

// inMemoryLocked counts what was handed over and not started.
func (l *lane) inMemoryLocked() int { return len(l.window) + len(l.replays.window) }

// emptyLocked takes all of that out.
func (l *lane) emptyLocked() []*Delivery {
	ds := append(l.window, l.replays.window...) //nolint:gocritic // both are given up
	l.window, l.replays.window = nil, nil
	return ds
}

// replayRoom tells how many replays the lane would take now, or what holds it.
func (l *lane) replayRoom() (room int, hold gate.Hold) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if hold = l.holdLocked(l.e.clock.now()); hold.Reason != gate.ReasonNone {
		return 0, hold
	}
	return max(l.replays.room(l.slots.Size()), 0), hold
}
