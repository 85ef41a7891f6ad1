package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"

	"github.com/atoship/caddy-webhooks/delivery"
)

func init() { caddy.RegisterModule((*Events)(nil)) }

// caddyEventPrefix begins the types of events that come from Caddy: cert_obtained becomes caddy.cert_obtained.
const caddyEventPrefix = "caddy."

// Events turns Caddy's own events (`cert_obtained`, `cert_failed`, `unhealthy`, …) into events of this gateway, of the types
// `caddy.cert_obtained` and so on; routes and subscriptions send them on like any other. An endpoint that is subscribed to
// `*` gets them too: give them an environment or a tenant of their own where such endpoints are customers'.
//
// It never holds up what raised the event: up to 256 wait to be stored, and what is over is dropped with a line in the log.
// Events that the gateway raised itself are left out, and so is `tls_get_certificate`, which every TLS handshake raises, a
// delivery to this same server included.
type Events struct {
	// The environment of the events. Default: that of events that name none.
	Environment string `json:"environment,omitempty"`

	// The tenant of the events. Default: none.
	Tenant string `json:"tenant,omitempty"`

	log    *slog.Logger
	noLoop sync.Once
}

// CaddyModule implements caddy.Module.
func (*Events) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "events.handlers.webhooks", New: func() caddy.Module { return new(Events) }}
}

// Provision implements caddy.Provisioner. It must not ask for the webhooks app, which asks for the events app.
func (h *Events) Provision(ctx caddy.Context) error {
	h.log = ctx.Slogger()
	if len(h.Environment) > maxName || len(h.Tenant) > maxName {
		return fmt.Errorf("environment and tenant have at most %d bytes", maxName)
	}
	return nil
}

// UnmarshalCaddyfile reads
//
//	on <event> webhooks {
//		environment <name>
//		tenant <name>
//	}
func (h *Events) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the module's name
	if d.NextArg() {
		return d.Errf("webhooks: surplus word '%s', the options go into a block", d.Val())
	}
	return words{
		block: "webhooks",
		options: map[string]option{
			"environment": func(d *caddyfile.Dispenser) error { return one(d, &h.Environment) },
			"tenant":      func(d *caddyfile.Dispenser) error { return one(d, &h.Tenant) },
		},
	}.parse(d)
}

// everyHandshake is raised by each TLS handshake of a server: a delivery to this very server would raise the next one.
const everyHandshake = "tls_get_certificate"

// Handle implements caddyevents.Handler. It is called by whatever raised the event, perhaps within a handshake: all it does
// there is copy.
func (h *Events) Handle(ctx context.Context, e caddy.Event) error {
	origin := ""
	if m := e.Origin(); m != nil {
		origin = string(m.CaddyModule().ID)
	}
	switch {
	case origin == appID || strings.HasPrefix(origin, appID+".") || delivery.IsNotice(e.Name()):
		return nil // ours: endpoints hear it from the gateway, by name
	case e.Name() == everyHandshake:
		h.noLoop.Do(func() {
			h.log.Warn("an event that every TLS handshake raises makes no webhooks: deliveries to this server would never end", slog.String("event", e.Name()))
		})
		return nil
	}
	shared := runningEngine(ctx)
	if shared == nil {
		h.log.Warn("an event of Caddy was dropped: the webhooks app is not running", slog.String("event", e.Name()))
		return nil
	}
	shared.inbox.put(shared, caddyEvent{
		id: e.ID().String(), kind: caddyEventPrefix + e.Name(), origin: origin, at: e.Timestamp(),
		environment: h.Environment, tenant: h.Tenant, data: copied(e.Data),
	})
	return nil
}

// runningEngine is the engine of the config that an event belongs to, or else of the one in force.
func runningEngine(ctx context.Context) *sharedEngine {
	contexts := []caddy.Context{caddy.ActiveContext()}
	if own, ok := ctx.(caddy.Context); ok {
		contexts = append(contexts, own)
	}
	for _, c := range contexts {
		app, err := c.AppIfConfigured(appID)
		if err != nil {
			continue
		}
		if l := app.(*App).lease.Load(); l != nil && !l.shared.closed.Load() {
			return l.shared
		}
	}
	return nil
}

// Bounds of what is copied of an event's data: it is news for people, not a transport.
const (
	maxFields = 64
	maxField  = 4 << 10
)

// copied is the part of an event's data that JSON can show, small. The rest, such as handles of connections, is left out.
func copied(data map[string]any) map[string]any {
	c := make(map[string]any, min(len(data), maxFields))
	for name, value := range data {
		if len(c) == maxFields {
			break
		}
		if v, ok := plain(value); ok {
			c[name] = v
		}
	}
	return c
}

// plain is a value that can be kept and shown as it is.
func plain(value any) (any, bool) {
	switch v := value.(type) {
	case nil, bool, int, int64, uint, uint64, int32, uint32, uint16, int16, json.Number:
		return v, true
	case float64:
		return v, !math.IsNaN(v) && !math.IsInf(v, 0)
	case string:
		return cut(v), true
	case []string:
		list := make([]string, 0, min(len(v), maxFields))
		for _, s := range v[:cap(list)] {
			list = append(list, cut(s))
		}
		return list, true
	case time.Time:
		return v.UTC().Format(time.RFC3339), true
	case time.Duration:
		return v.String(), true
	case error:
		return cut(v.Error()), true
	case fmt.Stringer:
		return cut(v.String()), true
	default:
		return nil, false
	}
}

func cut(s string) string {
	return strings.ToValidUTF8(s[:min(len(s), maxField)], "")
}

// caddyEvent is an event of Caddy on its way into the store.
type caddyEvent struct {
	id, kind, origin    string
	at                  time.Time
	environment, tenant string
	data                map[string]any
}

// inboxSize is how many events of Caddy may wait to be stored: a thousand certificates may be renewed in one night, but not
// faster than the store takes events.
const inboxSize = 256

// inbox stores events of Caddy one after another, on a goroutine that runs only while there are any.
type inbox struct {
	mu      sync.Mutex
	waiting []caddyEvent
	running bool
	closed  bool
	idle    sync.WaitGroup // of the goroutine
	dropped int
}

// put queues an event, or drops it with a line in the log for the first of each run.
func (b *inbox) put(s *sharedEngine, e caddyEvent) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed:
	case len(b.waiting) >= inboxSize:
		if b.dropped++; b.dropped == 1 {
			slog.New(s.logs).Warn("too many events of Caddy at once: some are dropped", slog.String("type", e.kind))
		}
	default:
		b.waiting = append(b.waiting, e)
		if !b.running {
			b.running = true
			b.idle.Go(func() { b.run(s) })
		}
	}
}

func (b *inbox) run(s *sharedEngine) {
	for {
		b.mu.Lock()
		if len(b.waiting) == 0 {
			b.running, b.dropped = false, 0
			b.mu.Unlock()
			return
		}
		e := b.waiting[0]
		b.waiting = b.waiting[1:]
		b.mu.Unlock()
		if err := e.accept(s.Engine); err != nil && !errors.Is(err, delivery.ErrStopping) {
			slog.New(s.logs).Error("an event of Caddy was not stored", slog.String("type", e.kind), slog.Any("error", err))
		}
	}
}

// close takes nothing more and waits for the event that is being stored; with a store that works, the others are through.
func (b *inbox) close() {
	b.mu.Lock()
	b.closed, b.waiting = true, nil
	b.mu.Unlock()
	b.idle.Wait()
}

// acceptTimeout bounds the storing of one event: a store that hangs must not hold a stop up.
const acceptTimeout = 5 * time.Second

func (e *caddyEvent) accept(engine *delivery.Engine) error {
	plan := engine.Plan()
	if plan == nil {
		return delivery.ErrStopping
	}
	if names := plan.Intake.Environments; e.environment != "" && len(names) > 0 && !slices.Contains(names, e.environment) {
		return fmt.Errorf("environment '%s' is not one of those declared: %v", e.environment, names)
	}
	ev, err := plan.NewEvent(e.kind, e.at, map[string]any{"origin": e.origin, "data": e.data})
	if err != nil {
		return err
	}
	// Caddy's own id: an event that two handlers take is stored once.
	ev.ID, ev.GivenID, ev.Source, ev.Tenant = "caddy_"+e.id, true, "caddy", e.tenant
	if e.environment != "" {
		ev.Environment = e.environment
	}
	ctx, cancel := context.WithTimeout(context.Background(), acceptTimeout)
	defer cancel()
	_, err = engine.Accept(ctx, []*delivery.Event{ev})
	return err
}

// Interface guards.
var (
	_ caddyevents.Handler   = (*Events)(nil)
	_ caddy.Provisioner     = (*Events)(nil)
	_ caddyfile.Unmarshaler = (*Events)(nil)
)
