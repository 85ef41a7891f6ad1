package delivery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"

	"github.com/atoship/caddy-webhooks/rules"
)

// SubscriptionRouter is a Router that takes the subscriptions of endpoints made at run time. With one that does not, they can
// only be backups.
type SubscriptionRouter interface {
	Router
	// Change makes a router like this one, without the subscriptions of the endpoints named in remove and with those in add;
	// this one goes on as it is. A mistake in what is added is an error, and nothing is made.
	Change(remove []string, add []rules.Subscription) (Router, error)
}

// Change implements SubscriptionRouter.
func (r RuleRouter) Change(remove []string, add []rules.Subscription) (Router, error) {
	set, err := r.Set.Change(remove, add)
	if err != nil {
		return nil, err
	}
	return RuleRouter{Set: set}, nil
}

// resubscribe is Change on any router.
func resubscribe(r Router, remove []string, add []rules.Subscription) (Router, error) {
	if len(remove) == 0 && len(add) == 0 {
		return r, nil
	}
	sr, ok := r.(SubscriptionRouter)
	if !ok {
		if len(add) == 0 {
			return r, nil
		}
		return nil, &SettingError{"/events", errors.New("the configured router takes no subscriptions at run time")}
	}
	changed, err := sr.Change(remove, add)
	if err != nil {
		return nil, subscriptionError(err)
	}
	return changed, nil
}

// subscriptionError places a rule's mistake in the settings.
func subscriptionError(err error) error {
	if ds, ok := errors.AsType[rules.Diagnostics](err); ok && len(ds) > 0 && ds[0].Field != "" {
		return &SettingError{"/" + ds[0].Field, err}
	}
	return &SettingError{"", err}
}

// with is the plan with other endpoints and another router; all else is as it was.
func (p *Plan) with(endpoints map[string]*Endpoint, router Router) *Plan {
	return &Plan{
		Router: router, Endpoints: endpoints, HeaderPrefix: p.HeaderPrefix, UserAgent: p.UserAgent, Dedupe: p.Dedupe,
		Expire: p.Expire, Retention: p.Retention, Drain: p.Drain, MaxInFlight: p.MaxInFlight, Rate: p.Rate,
		MaxPending: p.MaxPending, TraceURL: p.TraceURL, Intake: p.Intake, Egress: p.Egress, PlannedAt: p.PlannedAt,
		Maker: p.Maker, Keys: p.Keys, Transforms: p.Transforms,
	}
}

// loadManaged reads the documents once; what is in them is for the first plan's keys to say. Called by Open.
func (e *Engine) loadManaged(ctx context.Context) error {
	e.managed = map[string]*managed{}
	after := ""
	for {
		page, err := e.store.ListDocuments(ctx, endpointKind, after, MaxDocuments)
		if err != nil {
			return fmt.Errorf("reading the endpoints made at run time: %w", err)
		}
		if len(page) == 0 {
			return nil
		}
		for _, d := range page {
			e.managed[d.Name] = &managed{name: d.Name, revision: d.Revision, sealed: d.Body}
			after = d.Name
		}
	}
}

// joined is what a configuration's plan and the managed endpoints make together. Until it is used it can be dropped.
type joined struct {
	plan    *Plan
	managed map[string]*managed
}

// drop releases what was made for nothing.
func (j *joined) drop() {
	for _, m := range j.managed {
		m.release()
	}
}

// join makes every managed endpoint anew for a configuration's plan, but for those that would come out as they are. One that
// cannot be made stays what it is, with a Problem, and what it has waiting is held: a configuration must not fail over what
// others made at run time. applying is held.
func (e *Engine) join(base *Plan) *joined {
	j := &joined{plan: base, managed: make(map[string]*managed, len(e.managed))}
	if len(e.managed) == 0 {
		return j
	}
	before := e.plan.Load()
	same := before != nil && before.Maker != nil && base.Maker != nil && base.Maker.Same(before.Maker)
	var made []*managed
	for _, name := range slices.Sorted(maps.Keys(e.managed)) {
		m := *e.managed[name]
		j.managed[name] = &m
		if same && m.made != nil && m.made.Lasting {
			m.made.uses++
			made = append(made, &m)
			continue
		}
		if m.sealed != nil {
			m.unseal(base.Keys)
		}
		if err := m.make(base.Maker); err != nil {
			m.fail(e.log, err)
			continue
		}
		made = append(made, &m)
	}
	router := subscribeAll(base.Router, made, e.log)
	endpoints := make(map[string]*Endpoint, len(base.Endpoints)+len(made))
	maps.Copy(endpoints, base.Endpoints)
	for _, m := range made {
		if m.made != nil {
			endpoints[m.name] = m.made.Endpoint
		}
	}
	for _, m := range made {
		if m.made != nil {
			endpoints[m.name] = withKnownBackups(m.made.Endpoint, endpoints, e.log)
		}
	}
	j.plan = base.with(endpoints, router)
	return j
}

// fail notes why the endpoint is not in force.
func (m *managed) fail(log *slog.Logger, err error) {
	m.release()
	if m.Problem == "" {
		m.Problem = err.Error()
	}
	log.Warn("an endpoint made at run time is not in force: what waits for it is held",
		slog.String("endpoint", m.name), slog.String("reason", m.Problem))
}

// subscribeAll adds all subscriptions at once or, should one be wrong under this configuration, one by one.
func subscribeAll(router Router, made []*managed, log *slog.Logger) Router {
	var subs []rules.Subscription
	for _, m := range made {
		if s := m.made.Subscription; s != nil {
			subs = append(subs, *s)
		}
	}
	if changed, err := resubscribe(router, nil, subs); err == nil {
		return changed
	}
	for _, m := range made {
		if m.made.Subscription == nil {
			continue
		}
		changed, err := resubscribe(router, nil, []rules.Subscription{*m.made.Subscription})
		if err != nil {
			m.fail(log, err)
			continue
		}
		router = changed
	}
	return router
}

// withKnownBackups leaves out backups that the configuration has no more.
func withKnownBackups(ep *Endpoint, all map[string]*Endpoint, log *slog.Logger) *Endpoint {
	unknown := func(name string) bool { return all[name] == nil }
	if !slices.ContainsFunc(ep.Backups, unknown) {
		return ep
	}
	log.Warn("an endpoint made at run time names backups that are gone", slog.String("endpoint", ep.Name), slog.Any("backup", ep.Backups))
	fewer := *ep
	fewer.Backups = slices.DeleteFunc(slices.Clone(ep.Backups), unknown)
	return &fewer
}

// use puts what was joined in force. All that can fail has been done. applying is held.
func (e *Engine) use(j *joined, only ...string) {
	e.managedMu.Lock()
	was := e.managed
	e.managed = j.managed
	e.managedMu.Unlock()
	before := e.plan.Swap(j.plan)
	e.fair.Set(limitsOf(j.plan.MaxInFlight), j.plan.Rate)
	lanes := e.allLanes()
	if only != nil {
		lanes = slices.DeleteFunc(lanes, func(l *lane) bool { return !slices.Contains(only, l.name) })
	}
	for _, l := range lanes {
		l.follow()
	}
	for name, m := range was {
		if j.managed[name] != m {
			m.release()
		}
	}
	if !j.plan.transformsLike(before, only) {
		e.unpark(lanes)
	}
	e.serveLine()
	if before == nil || before.Router.Digest() != j.plan.Router.Digest() {
		e.rerouteUndecided()
	}
}
