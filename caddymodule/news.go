package caddymodule

import (
	"fmt"
	"maps"
	"sync/atomic"

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

var _ delivery.Observer = (*liveNews)(nil)
