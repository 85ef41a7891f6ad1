package memory

import (
	"context"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
)

// Audit implements delivery.Audited.
func (s *Store) Audit(ctx context.Context) (delivery.Audit, error) {
	if err := s.enter(ctx, "audit"); err != nil {
		return delivery.Audit{}, err
	}
	defer s.mu.Unlock()
	a := delivery.Audit{At: time.Now()}
	for _, ev := range s.events {
		for _, r := range ev.rows {
			if !r.State.Final() {
				a.Pending++
			}
			if r.handed {
				a.Found++
			}
		}
	}
	for _, rows := range s.waiting {
		a.Found += uint64(len(rows))
	}
	for _, rows := range s.lines {
		a.Found += uint64(len(rows) - 1) // the head waits, or is handed over
	}
	return a, nil
}

var _ delivery.Audited = (*Store)(nil)
