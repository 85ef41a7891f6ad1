package delivery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// Errors of redelivering and replaying.
var (
	// ErrNoTarget: the event has no delivery to repeat, and no endpoint was named.
	ErrNoTarget = errors.New("no delivery to repeat")
	// ErrRouted: the event is routed already, so that there is nothing to route.
	ErrRouted = errors.New("event is routed already")
	// ErrTooManyReplays: as many replays are running as may.
	ErrTooManyReplays = errors.New("too many replays are running")
)

// Redeliver sends a delivery once more: a new delivery of the same event, with the same event id, along the same chain. It
// begins at once and has a schedule of its own; the delivery it repeats stays as it is, whatever its state. The answer is
// durable. Errors: ErrNotFound for the delivery or its endpoint, *BacklogError, ErrUnavailable, or the context's.
func (e *Engine) Redeliver(ctx context.Context, id string) (*Delivery, error) {
	rec, err := e.store.Delivery(ctx, id)
	if err != nil {
		return nil, err
	}
	d := rec.Delivery
	ds, err := e.repeat(ctx, d.Event, []*Delivery{d})
	if err != nil {
		return nil, fmt.Errorf("redelivering %s: %w", id, err)
	}
	return ds[0], nil
}

// ReplayEvent sends an event once more: to the endpoint, which need not have got it before, or, when that is empty, to every
// endpoint it was for. The tenant narrows the id as for Journal.Event. Errors as of Redeliver, and ErrNoTarget.
func (e *Engine) ReplayEvent(ctx context.Context, id string, tenant *string, endpoint string) ([]*Delivery, error) {
	rec, err := e.store.Event(ctx, id, tenant)
	if err != nil {
		return nil, err
	}
	plan := e.plan.Load()
	if plan == nil {
		return nil, ErrStopping
	}
	var again []*Delivery
	if endpoint == "" {
		again = LatestOf(rec.Deliveries)
	} else {
		again = []*Delivery{plan.addressed(rec, endpoint)}
	}
	if len(again) == 0 {
		return nil, fmt.Errorf("event %s: %w", id, ErrNoTarget)
	}
	ds, err := e.repeat(ctx, rec.Event, again)
	if err != nil {
		return nil, fmt.Errorf("replaying event %s: %w", id, err)
	}
	return ds, nil
}

// LatestOf leaves, of the deliveries of one event, the last for each home endpoint, in their order. Its state is what became of
// the event there: one that was repeated since tells nothing any more.
func LatestOf(ds []*Delivery) (latest []*Delivery) {
	last := make(map[string]*Delivery, len(ds))
	for _, d := range ds {
		last[d.Chain[0]] = d
	}
	for _, d := range ds {
		if last[d.Chain[0]] == d {
			latest = append(latest, d)
		}
	}
	return latest
}

// addressed is the delivery of an event to one endpoint: as it was planned last, or as the plan would now.
func (p *Plan) addressed(rec *EventRecord, endpoint string) *Delivery {
	for _, d := range slices.Backward(rec.Deliveries) {
		if d.Chain[0] == endpoint {
			return d
		}
	}
	return &Delivery{Chain: p.chain(Target{Primary: endpoint})}
}

// repeat plans deliveries like the ones given anew, as one redelivery, and stores them.
func (e *Engine) repeat(ctx context.Context, ev *Event, like []*Delivery) ([]*Delivery, error) {
	plan := e.plan.Load()
	if plan == nil || e.work.Err() != nil {
		return nil, ErrStopping
	}
	if ev.Erased {
		return nil, ErrErased
	}
	now := stamp(time.Now())
	replay := newReplayID(now)
	ds := make([]*Delivery, len(like))
	batch := make([]Extension, len(like))
	for i, d := range like {
		if plan.Endpoints[d.Chain[0]] == nil {
			return nil, fmt.Errorf("endpoint %s: %w", d.Chain[0], ErrNotFound)
		}
		ds[i] = e.again(plan, ev, d, replay, now)
		batch[i] = Extension{Seq: ev.Seq, Delivery: ds[i]}
	}
	if err := e.checkBacklog(plan, ds); err != nil {
		return nil, err
	}
	if err := e.wakeTargets(ctx, plan, ds); err != nil {
		return nil, err
	}
	out, err := e.store.Extend(ctx, batch)
	if err != nil {
		return nil, err
	}
	for i, x := range out {
		if x.Err != nil {
			return nil, x.Err
		}
		ds[i] = x.Delivery
	}
	e.log.Info("an operator sends an event again", slog.String("event", ev.ID), slog.String("replay", replay), slog.Int("deliveries", len(ds)))
	return ds, nil
}

// again plans a delivery like another, for a replay. Its first attempt links to the last one of the other.
func (e *Engine) again(plan *Plan, ev *Event, like *Delivery, replay string, now time.Time) *Delivery {
	return &Delivery{
		Route: like.Route, Chain: like.Chain, Replay: replay, Planned: now, OrderKey: e.orderKey(plan.Endpoints[like.Chain[0]], ev),
		Progress: Progress{Due: now, Span: like.Span},
	}
}

// Cancel ends a pending delivery for an operator; what it does is durable on return. Cancelled: it ended now. Pending: an
// attempt is under way, or about to be, and the delivery ends when that did. Errors as of Journal.Cancel.
func (e *Engine) Cancel(ctx context.Context, id string) (State, error) {
	state, err := e.store.Cancel(ctx, id)
	if err == nil {
		e.log.Info("an operator cancelled a delivery", slog.String("delivery", id))
	}
	return state, err
}

// Route routes an undecided or unrouted event again, by the rules in force, and returns what became of it. Errors: ErrNotFound,
// ErrRouted, *BacklogError, ErrUnavailable, or the context's.
func (e *Engine) Route(ctx context.Context, id string, tenant *string) (*EventRecord, error) {
	rec, err := e.store.Event(ctx, id, tenant)
	if err != nil {
		return nil, err
	}
	if rec.Event.Erased {
		return nil, fmt.Errorf("event %s: %w", id, ErrErased)
	}
	if rec.Event.Routing == Routed {
		return nil, fmt.Errorf("event %s: %w", id, ErrRouted)
	}
	plan := e.plan.Load()
	if plan == nil {
		return nil, ErrStopping
	}
	if err := e.reroute(ctx, plan, rec.Event); err != nil {
		return nil, fmt.Errorf("routing event %s: %w", id, err)
	}
	return e.store.Event(ctx, id, tenant)
}
