package memory

import (
	"context"
	"fmt"
	"slices"

	"github.com/atoship/caddy-webhooks/delivery"
)

// Erase implements delivery.Journal.
func (s *Store) Erase(ctx context.Context, seqs []uint64, cancel bool) (out delivery.Erasure, err error) {
	if len(seqs) > delivery.MaxErase {
		return out, fmt.Errorf("erase %d events: %w", len(seqs), delivery.ErrTooLarge)
	}
	if err := s.enter(ctx, "erase"); err != nil {
		return out, err
	}
	defer s.mu.Unlock()
	for _, seq := range seqs {
		ev := s.events[seq]
		if ev == nil || ev.Erased {
			continue
		}
		if !cancel && slices.ContainsFunc(ev.rows, func(r *row) bool { return !r.State.Final() }) {
			out.Pending++
			continue
		}
		for _, r := range slices.Backward(ev.rows) { // successors before their head
			if !r.State.Final() {
				s.cancel(r)
				out.Cancelled++
			}
			if r.State.Final() {
				r.OrderKey = ""
			}
			for i := range r.transitions {
				r.transitions[i] = withoutAnswer(r.transitions[i])
			}
		}
		if ev.Routing == delivery.Undecided {
			ev.Routing, ev.Held = delivery.Unrouted, nil
		}
		ev.Erased, ev.Body, ev.DataStart, ev.DataEnd = true, nil, 0, 0
		out.Erased++
	}
	return out, nil
}

// withoutAnswer is a transition without what the endpoint said.
func withoutAnswer(t delivery.Transition) delivery.Transition {
	if t.Attempt != nil {
		a := *t.Attempt
		a.Excerpt, a.ResponseFields = nil, nil
		t.Attempt = &a
	}
	return t
}
