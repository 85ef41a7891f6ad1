package delivery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/atoship/caddy-webhooks/rules"
)

// Router decides which endpoints want an event; RuleRouter is the built-in one, a guest module can replace it. Route is
// called concurrently, must not keep or change ev, and must be quick: it runs before the publisher is answered.
type Router interface {
	Route(ctx context.Context, ev *Event) (Decision, error)
	// Digest identifies the rules; it is stored with what they decided.
	Digest() string
}

// Decision is what a Router found.
type Decision struct {
	// Targets in order; an endpoint occurs at most once as a primary.
	Targets []Target
	// Idle names routes that matched and add no target, since others reached their endpoints.
	Idle []string
	// Held names routes that could not decide and must not be passed over: the event stays undecided for them.
	Held []string
	// Errors tells what went wrong, held or not, for the log; a *RuleError also tells where.
	Errors []error
}

// RuleError is a rule that could not be evaluated on an event.
type RuleError struct {
	// Route that the rule belongs to; SubscriptionPrefix and the endpoint for a subscription's.
	Route string
	Text  string
}

func (e *RuleError) Error() string { return e.Route + ": " + e.Text }

// Target is one delivery to plan: a primary and its backups. OwnBackups tells that the route named the backups itself;
// otherwise the primary's own are used.
type Target struct {
	Route      string
	Primary    string
	Backups    []string
	OwnBackups bool
}

// RuleRouter is the built-in router over a compiled set of rules.
type RuleRouter struct{ Set *rules.Set }

// Digest implements Router.
func (r RuleRouter) Digest() string { return r.Set.Digest() }

// Route implements Router.
func (r RuleRouter) Route(_ context.Context, ev *Event) (Decision, error) {
	m := r.Set.Match(ruleEvent(ev))
	d := Decision{Idle: m.Idle, Held: m.Held}
	if len(m.Targets) > 0 {
		d.Targets = make([]Target, len(m.Targets))
		for i, t := range m.Targets {
			d.Targets[i] = Target{Route: t.Route, Primary: t.Endpoint, Backups: t.Backups, OwnBackups: t.BackupsSet}
		}
	}
	for _, err := range m.Errors {
		d.Errors = append(d.Errors, &RuleError{Route: err.Route, Text: err.Text})
	}
	return d, nil
}

// ruleEvent is an event as rules see it.
func ruleEvent(ev *Event) *rules.Event {
	return &rules.Event{
		ID: ev.ID, Type: ev.Type, Environment: ev.Environment, Tenant: ev.Tenant, Source: ev.Source,
		Timestamp: ev.Timestamp, Data: ev.Data(),
	}
}

// route asks the router and plans the deliveries. It sets the event's Routing, Held and Digest.
func (e *Engine) route(ctx context.Context, plan *Plan, ev *Event) ([]*Delivery, error) {
	decision, err := plan.Router.Route(ctx, ev)
	if err != nil {
		return nil, fmt.Errorf("routing: %w", err)
	}
	for _, err := range decision.Errors {
		rule, _ := errors.AsType[*RuleError](err)
		if rule == nil {
			rule = new(RuleError)
		}
		e.obs.RuleFailed(ev, rule.Route)
		e.uses.failed(rule.Route)
		e.hot.Warn("rule failed", slog.String("event", ev.ID), slog.String("type", ev.Type), slog.Any("error", err))
	}
	e.uses.decided(&decision, ev.Accepted)
	ev.Digest = plan.Router.Digest()
	ev.Held = decision.Held
	switch {
	case len(decision.Held) > 0:
		ev.Routing = Undecided
	case len(decision.Targets) == 0:
		ev.Routing = Unrouted
	default:
		ev.Routing = Routed
	}
	ds := make([]*Delivery, len(decision.Targets))
	for i, t := range decision.Targets {
		ds[i] = &Delivery{Event: ev, Ord: uint16(i), Route: t.Route, Chain: plan.chain(t)}
		ds[i].Due = ev.Accepted
		ds[i].OrderKey = e.orderKey(plan.Endpoints[t.Primary], ev)
	}
	return ds, e.wakeTargets(ctx, plan, ds)
}

// chain lists a target's endpoints: the primary, then the route's backups or, when it names none, the primary's own.
func (p *Plan) chain(t Target) []string {
	backups := t.Backups
	if !t.OwnBackups {
		if ep := p.Endpoints[t.Primary]; ep != nil {
			backups = ep.Backups
		}
	}
	chain := make([]string, 1, 1+len(backups))
	chain[0] = t.Primary
	for _, b := range backups {
		if len(chain) < MaxChain && !slices.Contains(chain, b) {
			chain = append(chain, b)
		}
	}
	return chain
}

// undecidedPage is how many undecided events are read at once: 64 events of the largest size are 16 MiB.
const undecidedPage = 64

// reroutePause is how long re-routing waits for a store that is unavailable.
const reroutePause = time.Second

// rerouteUndecided starts routing undecided events again: after a change of rules, and after an event was accepted under
// rules that had changed meanwhile. One run at a time; a call during a run makes it go through all of them once more.
func (e *Engine) rerouteUndecided() {
	if e.reroutes.Add(1) > 1 {
		return
	}
	e.tasks.run(func() {
		for e.work.Err() == nil {
			n := e.reroutes.Load()
			e.rerouteWith(e.plan.Load())
			if e.reroutes.CompareAndSwap(n, 0) {
				return
			}
		}
	})
}

// rerouteWith routes every undecided event with the plan. Routes that already made a delivery stay decided; an endpoint
// the event already has as a primary is left out by the store.
func (e *Engine) rerouteWith(plan *Plan) {
	after := uint64(0)
	for e.work.Err() == nil {
		evs, err := e.store.Undecided(e.work, after, undecidedPage)
		for _, ev := range evs {
			if ev.Digest != plan.Router.Digest() && !ev.Erased { // else these very rules could not decide
				err = e.reroute(e.work, plan, ev)
			}
			if errors.Is(err, ErrUnavailable) {
				break
			}
			if after = ev.Seq; err != nil && e.work.Err() == nil {
				e.log.Error("routing an undecided event again", slog.String("event", ev.ID), slog.Any("error", err))
			}
			err = nil
		}
		switch {
		case errors.Is(err, ErrUnavailable):
			select {
			case <-time.After(reroutePause):
			case <-e.work.Done():
			}
		case err != nil:
			e.log.Error("reading undecided events", slog.Any("error", err))
			return
		case len(evs) < undecidedPage:
			return
		}
	}
}

func (e *Engine) reroute(ctx context.Context, plan *Plan, ev *Event) error {
	record, err := e.store.Event(ctx, ev.ID, &ev.Tenant)
	if err != nil {
		return err
	}
	ds, err := e.route(ctx, plan, ev)
	if err != nil {
		return err
	}
	// Ids may repeat over sources, and after the dedupe time: then the record is another event's, and only the store, which
	// leaves out endpoints this event already has, knows what was decided.
	same := record.Event.Seq == ev.Seq
	planned := slices.DeleteFunc(record.Deliveries, func(d *Delivery) bool { return d.Replay != "" }) // those decide nothing
	ds = slices.DeleteFunc(ds, func(d *Delivery) bool {
		return same && slices.ContainsFunc(planned, func(have *Delivery) bool { return have.Route == d.Route })
	})
	if ev.Routing == Unrouted && same && len(planned) > 0 {
		ev.Routing = Routed
	}
	return e.store.Decide(ctx, ev.Seq, ev.Routing, ev.Held, ev.Digest, ds)
}
