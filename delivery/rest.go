package delivery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/atoship/caddy-webhooks/delivery/gate"
)

// Lanes come with work and go without. An endpoint that has had nothing to do for a while, and of which nothing is to be
// remembered that the store does not know, has none: it costs what its settings cost, and nothing at a start or a reload. So
// an endpoint without a lane has nothing waiting in the store, and nothing holds it.

// laneRest is how long a lane has nothing to do before it goes; longer if its breaker or its rate limit remember longer.
const laneRest = 10 * time.Minute

// lane finds the lane of an endpoint, or makes one that loads what is stored about it by itself.
func (e *Engine) lane(name string) *lane {
	l, made := e.findLane(name)
	if made && e.plan.Load() != nil { // before the first plan nothing is tried, and that loads all there are
		e.tasks.run(l.wake)
	}
	return l
}

// findLane finds the lane of an endpoint, or makes one that whoever asked has to load.
func (e *Engine) findLane(name string) (l *lane, made bool) {
	e.mu.RLock()
	l = e.lanes[name]
	e.mu.RUnlock()
	if l != nil {
		return l, false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if l = e.lanes[name]; l == nil {
		l, made = newLane(e, name), true
		e.lanes[name] = l
	}
	return l, made
}

// lockedLane finds or makes the lane of an endpoint, and locks it.
func (e *Engine) lockedLane(name string) *lane {
	for {
		l := e.lane(name)
		l.mu.Lock()
		if !l.gone {
			return l
		}
		l.mu.Unlock() // it went to rest just now; there is room for another
	}
}

// awake finds or makes the lane of an endpoint, ready for work. Errors: ErrUnavailable, or the context's.
func (e *Engine) awake(ctx context.Context, name string) (*lane, error) {
	l, made := e.findLane(name)
	if l.ready.Load() {
		return l, nil
	}
	if err := l.load(ctx); err != nil {
		if made {
			e.tasks.run(l.wake)
		}
		return nil, fmt.Errorf("endpoint %s: reading its state: %w", name, err)
	}
	l.follow()
	return l, nil
}

// writable is awake with the lane's writing locked, during which it does not go.
func (e *Engine) writable(ctx context.Context, name string) (*lane, error) {
	for {
		l, err := e.awake(ctx, name)
		if err != nil {
			return nil, err
		}
		l.writing.Lock()
		l.mu.Lock()
		gone := l.gone
		l.mu.Unlock()
		if !gone {
			return l, nil
		}
		l.writing.Unlock()
	}
}

// wakeTargets makes the lanes ready of all endpoints that deliveries may go to, so that the committer can hand the
// deliveries over and a failing one finds its backups.
func (e *Engine) wakeTargets(ctx context.Context, plan *Plan, ds []*Delivery) error {
	for _, d := range ds {
		for _, name := range d.Chain {
			if plan.Endpoints[name] == nil {
				continue
			}
			if _, err := e.awake(ctx, name); err != nil {
				return err
			}
		}
	}
	return nil
}

// wake loads a lane and puts the plan in force; it goes on until it can or the engine stops.
func (l *lane) wake() {
	for l.e.work.Err() == nil {
		err := l.load(l.e.work)
		if err == nil {
			l.follow()
			return
		}
		if !errors.Is(err, ErrUnavailable) && l.e.work.Err() == nil {
			l.e.log.Error("reading an endpoint's state", slog.String("endpoint", l.name), slog.Any("error", err))
		}
		select {
		case <-time.After(claimPause):
		case <-l.e.work.Done():
		}
	}
}

// restIdleLanes lets lanes go that have nothing to do for long.
func (e *Engine) restIdleLanes(now time.Time) {
	for _, l := range e.allLanes() {
		l.rest(now)
	}
}

// rest lets the lane go if it has nothing to do for long.
func (l *lane) rest(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.worked || l.idleSince.IsZero() || !l.idleLocked(now) {
		l.worked, l.idleSince = false, now
		return
	}
	long := laneRest
	if l.ep != nil {
		long = max(long, l.ep.Breaker.Window, l.ep.Rate.Unit)
	}
	if now.Sub(l.idleSince) < long || !l.writing.TryLock() {
		return
	}
	defer l.writing.Unlock()
	l.gone = true
	l.e.mu.Lock()
	delete(l.e.lanes, l.name)
	l.e.mu.Unlock()
	if l.timer != nil {
		l.timer.Stop()
	}
	if lease := l.lease; lease != nil {
		l.e.tasks.run(func() { _ = lease.Release(l.e.work) }) // the next lease takes it over if this fails
	}
}

// idleLocked tells that the lane has nothing to do and nothing to remember.
func (l *lane) idleLocked(now time.Time) bool {
	promised := l.reserved + l.replays.reserved + l.passedBy
	busy := l.inMemoryLocked() > 0 || l.running > 0 || promised > 0 || l.refilling || !l.nextDue.IsZero() || l.saving || l.dirty
	switch {
	case busy || !l.loaded:
		return false
	case l.ep == nil:
		return true // the store remembers, and is asked when the endpoint returns
	case !l.state.resting(now):
		return false
	}
	state, _, _ := l.breaker.State()
	return state == gate.StateClosed
}

// resting tells that the state says nothing that an endpoint without a lane would not do.
func (s *LaneState) resting(now time.Time) bool {
	return !s.Paused && s.Disabled == "" && s.FailingSince.IsZero() && !now.Before(s.HoldUntil)
}

// resting is the status of an endpoint without a lane.
func resting(name string, ep *Endpoint) EndpointStatus {
	s := EndpointStatus{Name: name, Endpoint: ep}
	if ep == nil {
		s.Hold = gate.Hold{Reason: gate.ReasonRemoved}
		return s
	}
	var slots gate.Slots
	slots.SetMax(ep.Concurrency)
	s.Slots = slots.Size()
	return s
}
