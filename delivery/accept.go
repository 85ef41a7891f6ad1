package delivery

import (
	"context"
	"fmt"
	"slices"
)

// Accept takes a batch of events, all or nothing. When it returns without error the events and their deliveries would
// survive a power cut; receipts come one per event, in order. Errors: ErrStopping, ErrUnavailable, *ConflictError,
// *BacklogError, ErrTooLarge, or the context's. After an error nothing is promised: send again with the same ids.
func (e *Engine) Accept(ctx context.Context, evs []*Event) ([]Receipt, error) {
	if e.tracer != nil {
		return e.acceptTraced(ctx, evs)
	}
	return e.accept(ctx, evs)
}

func (e *Engine) accept(ctx context.Context, evs []*Event) ([]Receipt, error) {
	e.intake.RLock()
	defer e.intake.RUnlock()
	plan := e.plan.Load()
	if e.intake.closed || plan == nil {
		return nil, ErrStopping
	}
	batch := make([]Accept, len(evs))
	total := 0
	for i, ev := range evs {
		ds, err := e.route(ctx, plan, ev)
		if err != nil {
			return nil, fmt.Errorf("event %s: %w", ev.ID, err)
		}
		if total += len(ds); total > MaxBatch {
			return nil, ErrTooLarge
		}
		if err := e.checkBacklog(plan, ds); err != nil {
			return nil, err
		}
		batch[i] = Accept{Event: ev, Deliveries: ds, Dedupe: plan.Dedupe}
	}
	receipts, err := e.store.Append(ctx, batch)
	e.rerouteLate(plan, evs)
	if err != nil {
		return nil, err
	}
	for i := range receipts {
		if !receipts[i].Duplicate {
			e.obs.Accepted(evs[i], receipts[i].Deliveries)
		}
	}
	return receipts, nil
}

// rerouteLate looks after events that old rules left undecided and that were stored after the new ones went through the
// undecided ones. They may be stored even if Append failed.
func (e *Engine) rerouteLate(plan *Plan, evs []*Event) {
	undecided := func(ev *Event) bool { return ev.Routing == Undecided }
	if slices.ContainsFunc(evs, undecided) && e.plan.Load().Router.Digest() != plan.Router.Digest() {
		e.rerouteUndecided()
	}
}

// checkBacklog refuses an event for an endpoint that has too much pending. It asks before the commit, so that batches
// accepted at the same time may go past the bound together.
func (e *Engine) checkBacklog(plan *Plan, ds []*Delivery) error {
	if plan.MaxPending <= 0 {
		return nil
	}
	for _, d := range ds {
		if e.store.Pending(d.Chain[0]) >= uint64(plan.MaxPending) {
			return &BacklogError{Endpoint: d.Chain[0], Max: plan.MaxPending}
		}
	}
	return nil
}
