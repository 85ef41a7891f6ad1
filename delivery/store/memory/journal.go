package memory

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
)

// Event implements delivery.Journal.
func (s *Store) Event(ctx context.Context, id string, tenant *string) (*delivery.EventRecord, error) {
	if err := s.enter(ctx, "event"); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	var newest uint64
	for k, seq := range s.ids {
		if k.id == id && (tenant == nil || k.tenant == *tenant) {
			newest = max(newest, seq)
		}
	}
	if newest == 0 {
		return nil, fmt.Errorf("event %s: %w", id, delivery.ErrNotFound)
	}
	ev, ds := s.events[newest].views()
	return &delivery.EventRecord{Event: ev, Deliveries: ds}, nil
}

// Delivery implements delivery.Journal.
func (s *Store) Delivery(ctx context.Context, id string) (*delivery.DeliveryRecord, error) {
	if err := s.enter(ctx, "delivery"); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	for _, ev := range s.events {
		for _, r := range ev.rows {
			if r.ID == id {
				return &delivery.DeliveryRecord{Delivery: r.view(ev.copy()), Transitions: slices.Clone(r.transitions)}, nil
			}
		}
	}
	return nil, fmt.Errorf("delivery %s: %w", id, delivery.ErrNotFound)
}

// Counts implements delivery.Journal.
func (s *Store) Counts(ctx context.Context) (delivery.Counts, error) {
	if err := s.enter(ctx, "counts"); err != nil {
		return delivery.Counts{}, err
	}
	defer s.mu.Unlock()
	c := delivery.Counts{Events: s.accepted}
	for _, ev := range s.events {
		for _, r := range ev.rows {
			tally(&c, r.State)
		}
	}
	return c, nil
}

func tally(c *delivery.Counts, s delivery.State) {
	switch s {
	case delivery.Pending:
		c.Pending++
	case delivery.Delivered:
		c.Delivered++
	case delivery.Exhausted:
		c.Exhausted++
	case delivery.Cancelled:
		c.Cancelled++
	}
}

// LaneCounts implements delivery.Journal.
func (s *Store) LaneCounts(ctx context.Context) (map[string]delivery.Counts, error) {
	if err := s.enter(ctx, "lane counts"); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	lanes := map[string]delivery.Counts{}
	for _, ev := range s.events {
		for _, r := range ev.rows {
			c := lanes[r.Chain[0]]
			tally(&c, r.State)
			lanes[r.Chain[0]] = c
		}
	}
	return lanes, nil
}

// Prune implements delivery.Journal. Deliveries in the engine's hands are left alone.
func (s *Store) Prune(ctx context.Context, p delivery.Prune) (expired, deleted int, err error) {
	if err := s.enter(ctx, "prune"); err != nil {
		return 0, 0, err
	}
	defer s.mu.Unlock()
	now := p.Now.UTC().Truncate(time.Millisecond)
	// Newest first, so that a line's successors go before its head: else each would be promoted for nothing.
	for _, seq := range slices.Backward(slices.Sorted(maps.Keys(s.events))) {
		ev := s.events[seq]
		if p.Expire > 0 {
			for _, r := range slices.Backward(ev.rows) {
				if !r.State.Final() && !r.handed && r.Since().Before(now.Add(-p.Expire)) {
					if p.Expired != nil {
						was := r.Delivery
						p.Expired(&was)
					}
					s.end(r, now, delivery.Exhausted, delivery.ReasonExpired, "")
					expired++
				}
			}
		}
		if p.Retention > 0 && ev.settledBefore(now.Add(-p.Retention)) {
			if k := (idKey{ev.ID, ev.Tenant, ev.Source}); s.ids[k] == seq {
				delete(s.ids, k)
			}
			delete(s.events, seq)
			deleted++
		}
	}
	return expired, deleted, nil
}

// settledBefore tells that nothing about the event is open and the last of it ended before t. An event without
// deliveries goes by its acceptance; an undecided one is never settled.
func (e *event) settledBefore(t time.Time) bool {
	if e.Routing == delivery.Undecided {
		return false
	}
	last := e.Accepted
	for _, r := range e.rows {
		if !r.State.Final() {
			return false
		}
		if at := r.transitions[len(r.transitions)-1].At; at.After(last) {
			last = at
		}
	}
	return last.Before(t)
}
