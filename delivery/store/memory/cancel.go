package memory

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
)

// Cancel implements delivery.Journal.
func (s *Store) Cancel(ctx context.Context, id string) (delivery.State, error) {
	if err := s.enter(ctx, "cancel"); err != nil {
		return 0, err
	}
	defer s.mu.Unlock()
	for _, ev := range s.events {
		for _, r := range ev.rows {
			switch {
			case r.ID != id:
			case r.State.Final():
				return r.State, fmt.Errorf("cancel %s: %w", id, delivery.ErrFinal)
			default:
				s.cancel(r)
				return r.State, nil
			}
		}
	}
	return 0, fmt.Errorf("cancel %s: %w", id, delivery.ErrNotFound)
}

// cancel ends a pending row, or marks it while the engine holds it.
func (s *Store) cancel(r *row) {
	if r.handed {
		r.cancelled = true
		return
	}
	s.end(r, time.Now().UTC().Truncate(time.Millisecond), delivery.Cancelled, "", delivery.NoteCancelled)
}

// CancelLane implements delivery.Queue.
func (s *Store) CancelLane(ctx context.Context, lane string, limit int) (n int, more bool, err error) {
	if err := s.enter(ctx, "cancel lane"); err != nil {
		return 0, false, err
	}
	defer s.mu.Unlock()
	limit = min(max(limit, 1), delivery.MaxBatch)
	for _, seq := range slices.Backward(slices.Sorted(maps.Keys(s.events))) { // newest first: successors before their head
		for _, r := range slices.Backward(s.events[seq].rows) {
			if r.State.Final() || r.cancelled || r.Chain[0] != lane || r.Lane() != lane {
				continue
			}
			if n == limit {
				return n, true, nil
			}
			s.cancel(r)
			n++
		}
	}
	return n, false, nil
}
