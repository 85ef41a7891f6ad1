package delivery

import (
	"errors"
	"log/slog"
	"time"

	"github.com/atoship/caddy-webhooks/delivery/gate"
)

// claimBytes bounds the bodies one claim brings in.
const claimBytes = 4 << 20

// claimPause is how long a lane waits after a claim the store could not answer.
const claimPause = time.Second

// refillLocked starts claiming from the store when something there is due and half the window is free: one claim is one
// commit, so small ones would cost a sync for a handful of deliveries. A half-open breaker wants one delivery only.
func (l *lane) refillLocked(now time.Time) {
	due, stranded := !l.nextDue.IsZero() && !l.nextDue.After(now), l.strandedLocked(now)
	if l.refilling || !due && !stranded && !l.unpark || now.Before(l.refillAt) {
		return
	}
	size := l.windowSize()
	if state, _, _ := l.breaker.State(); state == gate.StateHalfOpen {
		size = 1
	}
	free := size - l.inMemoryLocked() - l.reserved
	if free < (size+1)/2 || !l.e.tasks.begin() {
		return
	}
	l.refilling = true
	l.noted = time.Time{}
	c := Claim{Now: now, Max: free, MaxBytes: l.e.window.room(claimBytes)}
	switch {
	case l.unpark:
		c = parkedClaim(c.Max, c.MaxBytes)
	case stranded:
		c = strandedClaim(now, c.Max, c.MaxBytes)
	}
	go l.refill(c)
}

// refill claims once. Whatever reaches the store while it runs is noted by Committed and Queued, so nothing is stranded:
// the next claim comes when the earliest of it is due.
func (l *lane) refill(c Claim) {
	defer l.e.tasks.end()
	claimed, err := l.lease.Claim(l.e.abort, c)

	l.mu.Lock()
	defer l.mu.Unlock()
	l.refilling = false
	if err != nil {
		l.claimFailedLocked(err)
		return
	}
	l.takeInLocked(claimed.Deliveries)
	if c.After != (Place{}) { // of what is due now nothing was seen
		if c.Now.Equal(parkedDue) {
			l.unpark = claimed.More
		} else {
			l.stranded = claimed.More
			if !claimed.More && l.nextDue.After(c.After.Due) {
				l.nextDue = claimed.Next // what is parked: the others were taken
			}
		}
		l.nextDue = earliest(l.nextDue, l.noted)
		l.pumpLocked()
		return
	}
	l.nextDue = earliest(claimed.Next, l.noted)
	l.caughtUp = !claimed.More
	if claimed.More {
		l.nextDue = c.Now
	}
	l.pumpLocked()
}

// takeInLocked appends claimed deliveries to the window.
func (l *lane) takeInLocked(ds []*Delivery) {
	for _, d := range ds {
		l.e.window.force(heldBytes(d))
		l.keepLocked(d)
	}
}

func (l *lane) claimFailedLocked(err error) {
	if l.e.work.Err() != nil {
		return
	}
	if !errors.Is(err, ErrUnavailable) { // the store itself says when it is unavailable
		l.e.log.Error("claiming deliveries", slog.String("endpoint", l.name), slog.Any("error", err))
	}
	l.refillAt = l.e.clock.now().Add(claimPause)
	if l.nextDue.IsZero() {
		l.nextDue = l.refillAt
	}
	l.pumpLocked()
}
