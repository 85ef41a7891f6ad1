package caddymodule

import (
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/egress"
)

// emitter raises an event in Caddy's event app.
type emitter func(name string, data map[string]any)

// newEmitter raises events in the name of the config's webhooks app. It may be used until the config is cleaned up.
func newEmitter(ctx caddy.Context) (emitter, error) {
	app, err := ctx.App("events")
	if err != nil {
		return nil, fmt.Errorf("loading the events app: %w", err)
	}
	events := app.(*caddyevents.App)
	return func(name string, data map[string]any) { events.Emit(ctx, name, data) }, nil
}

// liveNews passes an engine's operational events to the config in force, whose handlers run in the engine's goroutine for
// them: a slow one delays the next event, not a delivery.
type liveNews struct {
	delivery.NopObserver

	current atomic.Pointer[emitter] // written under handover
}

// use sends operational events to emit from now on.
func (l *liveNews) use(emit emitter) { l.current.Store(&emit) }

// Noticed implements delivery.Observer.
func (l *liveNews) Noticed(n delivery.Notice) {
	emit := l.current.Load()
	if emit == nil || *emit == nil {
		return
	}
	data := maps.Clone(n.Data)
	if data == nil {
		data = make(map[string]any, 2)
	}
	if n.Endpoint != "" {
		data["endpoint"] = n.Endpoint
	}
	data["at"] = n.At
	(*emit)(n.Type, data)
}

// reportEgress makes operational events of what changes on the ways out. A proxy that refuses one endpoint is not among
// them: it is in that endpoint's attempts.
func (a *App) reportEgress(e *delivery.Engine) {
	report := func(profile string, c egress.Change) {
		if c.Kind == egress.ProxyRefused {
			return
		}
		data := map[string]any{"profile": profile, "change": string(c.Kind)}
		if c.Addr.IsValid() {
			data["address"] = c.Addr.String()
		}
		if c.Proxy != "" {
			data["proxy"] = c.Proxy
		}
		e.Notify(delivery.Notice{Type: delivery.NoticeEgressChanged, Data: data})
	}
	for _, p := range a.profiles {
		if p.exit != nil {
			p.exit.tell(report)
		}
	}
}

// What happened to the list for customers, beside the kinds of [egress.Change].
const (
	changeListed   = "listed"
	changeUnlisted = "unlisted"
)

// listed are the addresses of all profiles that customers see.
func (a *App) listed() []egress.Listed {
	var all []egress.Listed
	for _, p := range a.profiles {
		all = append(all, p.listed...)
	}
	return all
}

// reportListed makes operational events of what a config changes in the list for customers by taking another one's place.
// An address with another day than before is listed again.
func reportListed(e *delivery.Engine, before, after []egress.Listed) {
	report := func(change string, entries, known []egress.Listed) {
		for _, entry := range entries {
			same := func(other egress.Listed) bool {
				return other.Profile == entry.Profile && other.Addr == entry.Addr &&
					(change == changeUnlisted || other.From.Equal(entry.From))
			}
			if slices.ContainsFunc(known, same) {
				continue
			}
			data := map[string]any{"profile": entry.Profile, "change": change, "address": entry.Addr.String()}
			if change == changeListed && entry.From.After(time.Now()) {
				data["not_before"] = entry.From.Format(time.DateOnly)
			}
			e.Notify(delivery.Notice{Type: delivery.NoticeEgressChanged, Data: data})
		}
	}
	report(changeUnlisted, before, after)
	report(changeListed, after, before)
}

var _ delivery.Observer = (*liveNews)(nil)
