package memory

import (
	"context"
	"maps"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
)

// lane is one endpoint's line. It holds no state: the store does.
type lane struct {
	s    *Store
	name string
}

// Lease implements delivery.Queue; it always grants.
func (s *Store) Lease(ctx context.Context, name string) (delivery.Lane, error) {
	if err := s.enter(ctx, "lease"); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	return &lane{s, name}, nil
}

// Claim implements delivery.Lane.
func (l *lane) Claim(ctx context.Context, c delivery.Claim) (delivery.Claimed, error) {
	if err := l.s.enter(ctx, "claim"); err != nil {
		return delivery.Claimed{}, err
	}
	defer l.s.mu.Unlock()

	var out delivery.Claimed
	var take []*row
	now, bytes := c.Now.Truncate(time.Millisecond), 0
	for _, r := range l.s.waiting[l.name] {
		at := delivery.Place{Due: r.Due, Key: r.Key()}
		if c.Movable != nil && !r.Movable() {
			continue
		}
		if r.Due.After(now) {
			out.Next = r.Due
			break
		}
		size := len(r.Event.Body)
		switch {
		case !c.After.Before(at):
			continue
		case out.More || out.Left >= delivery.MaxScan:
			out.More = true // keep looking: Next is the first due after now
			continue
		case c.Movable != nil && !c.Movable(r.bare()):
			out.Left++
		case len(take) >= c.Max || len(take) > 0 && bytes+size > c.MaxBytes:
			out.More = true
			continue
		default:
			take, bytes = append(take, r), bytes+size
		}
		out.Last = at
	}
	events := map[uint64]*delivery.Event{}
	for _, r := range take {
		l.s.dequeue(r)
		r.handed, r.handedAt = true, now
		ev := events[r.Event.Seq]
		if ev == nil {
			ev = l.s.events[r.Event.Seq].copy()
			events[ev.Seq] = ev
		}
		out.Deliveries = append(out.Deliveries, r.view(ev))
	}
	return out, nil
}

// State implements delivery.Lane.
func (l *lane) State(ctx context.Context) (delivery.LaneState, error) {
	if err := l.s.enter(ctx, "lane state"); err != nil {
		return delivery.LaneState{}, err
	}
	defer l.s.mu.Unlock()
	return l.s.lanes[l.name], nil
}

// States implements delivery.Queue.
func (s *Store) States(ctx context.Context) (map[string]delivery.LaneState, error) {
	if err := s.enter(ctx, "lane states"); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	return maps.Clone(s.lanes), nil
}

// SetState implements delivery.Lane.
func (l *lane) SetState(ctx context.Context, st delivery.LaneState) error {
	if err := l.s.enter(ctx, "set lane state"); err != nil {
		return err
	}
	defer l.s.mu.Unlock()
	for _, t := range []*time.Time{&st.HoldUntil, &st.DisabledAt, &st.FailingSince} {
		*t = t.UTC().Truncate(time.Millisecond)
	}
	l.s.lanes[l.name] = st
	return nil
}

// Release implements delivery.Lane; there is nothing to give up.
func (*lane) Release(context.Context) error { return nil }
