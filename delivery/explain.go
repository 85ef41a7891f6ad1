package delivery

import (
	"time"

	"github.com/atoship/caddy-webhooks/delivery/payload"
	"github.com/atoship/caddy-webhooks/rules"
)

// Explainer is a Router whose decisions can be looked into.
type Explainer interface {
	Router
	// Explain says what becomes of an event, and why; with names, of these rules only. A name that is none is an error.
	Explain(ev *rules.Event, names ...string) (*rules.Explanation, error)
	// Routes tells about the routes from a place on, at most n.
	Routes(from, n int) []rules.RouteInfo
}

// Explain implements Explainer.
func (r RuleRouter) Explain(ev *rules.Event, names ...string) (*rules.Explanation, error) {
	if err := r.Set.Known(names...); err != nil {
		return nil, err
	}
	return r.Set.Explain(ev, names...), nil
}

// Routes implements Explainer.
func (r RuleRouter) Routes(from, n int) []rules.RouteInfo { return r.Set.Routes(from, n) }

// RuleEvent reads an event as ingest does, and fills in what ingest would, for rules to look at. Neither the catalog nor the
// size is checked. The error is a *payload.Error.
func (i *Intake) RuleEvent(src []byte, now time.Time) (*rules.Event, error) {
	env, err := payload.ParseEnvelope(src, payload.Options{Environments: i.Environments})
	if err != nil {
		return nil, err
	}
	ev := &rules.Event{
		ID: env.ID, Type: env.Type, Environment: env.Environment, Tenant: env.Tenant, Source: env.Source,
		Timestamp: env.Timestamp, Data: env.Data,
	}
	if ev.Environment == "" {
		ev.Environment = i.DefaultEnvironment()
	}
	if ev.Timestamp == "" {
		ev.Timestamp = now.UTC().Format(time.RFC3339)
	}
	return ev, nil
}

var _ Explainer = RuleRouter{}
