// Package caddymodule is the Caddy side of the gateway. It translates and decides nothing: a Caddyfile becomes JSON, JSON
// becomes a delivery.Plan, and requests go to the handlers of delivery/httpapi.
//
//	caddyfile*.go    Caddyfile -> JSON config, one small function per block
//	config.go app.go the JSON config; its comments are the manual
//	plan*.go         JSON config -> delivery.Plan: all that can fail fails here, before anything running is touched
//	maker*.go        settings given by API -> delivery.Endpoint, through plan_endpoint.go
//	engine_pool.go   one engine per store, handed from config to config
//	news.go          operational events -> Caddy's event app
//	telemetry.go     metrics and traces: Caddy's registry, the OTEL_* environment
//	events.go        Caddy's own events -> events of the gateway
//	ingest.go verify.go health.go admin.go   HTTP handlers and admin routes
//	command*.go      caddy webhooks …
//	stores.go signers.go routers.go   the three namespaces for guest modules
package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/atoship/caddy-webhooks/delivery"
)

// appID names the app in Caddy's config, and the global option.
const appID = "webhooks"

func init() { caddy.RegisterModule((*App)(nil)) }

// App is the webhook delivery gateway: it takes events, keeps them, and delivers them to endpoints until each is settled.
//
// A reload changes rules, not fate: as long as `store` names the same place, the engine goes on with what it has, and a
// config that fails to load or start leaves the running one as it is.
type App struct {
	// Where events and deliveries are kept, a module of `webhooks.stores`. Default: `embedded`.
	StoreRaw json.RawMessage `json:"store,omitempty" caddy:"namespace=webhooks.stores inline_key=module"`

	// What decides which endpoints get an event, a module of `webhooks.routers`. Default: `expr`, which evaluates the
	// routes and subscriptions of this config.
	RouterRaw json.RawMessage `json:"router,omitempty" caddy:"namespace=webhooks.routers inline_key=module"`

	// How long settled events, deliveries and attempts are kept; pending ones are never dropped. Default: `30d`.
	Retention caddy.Duration `json:"retention,omitempty"`

	// How long the id that a publisher gave its event is remembered. Default: `72h`.
	Dedupe caddy.Duration `json:"dedupe,omitempty"`

	// A delivery still pending after this long is given up, with the reason `expired`. Default: `7d`.
	Expire caddy.Duration `json:"expire,omitempty"`

	// The names an event's `environment` may have; the first is for events that name none. Default: any name is allowed
	// and `production` is for events that name none.
	Environment []string `json:"environment,omitempty"`

	// The file that lists the event types, with examples and JSON Schemas; types it does not list are refused. Read at
	// load. Default: none, every type is accepted.
	Catalog string `json:"catalog,omitempty"`

	// The most bytes one event may have. A batch may have 16 times as many. Default: `262144` (256 KiB).
	MaxBody int64 `json:"max_body,omitempty"`

	// How many attempts may begin in a time, over all endpoints and shared fairly among them. Default: off.
	RateLimit *RateLimit `json:"rate_limit,omitempty"`

	// The most deliveries that may be pending for one endpoint; past it events for it are refused with status 429. `0` is
	// no bound. Default: `1000000`.
	MaxPending *int `json:"max_pending,omitempty"`

	// Attempts at once over all endpoints, shared fairly. Default: `1024`.
	MaxInFlight int `json:"max_in_flight,omitempty"`

	// What the names of the gateway's own headers begin with. Default: `X-AtoShip`.
	HeaderPrefix string `json:"header_prefix,omitempty"`

	// The User-Agent of deliveries; a slash and the gateway's version are added to one without a slash.
	// Default: `AtoShip-Webhooks`.
	UserAgent string `json:"user_agent,omitempty"`

	// The keys that encrypt the settings and secrets of endpoints made by API in the store, at least 32 bytes each, as
	// `{env.NAME}` or `{file./path}`: the first encrypts, all decrypt. Default: none, the API makes no endpoints.
	SecretKey []string `json:"secret_key,omitempty"`

	// Where people look at a trace: a URL with `{trace_id}` in it. The API shows it with each attempt that has a trace.
	// Placeholders like `{env.X}` are replaced at load. Default: none.
	TraceURL string `json:"trace_url,omitempty"`

	// How long a stop waits for attempts in flight; what is cut off is tried again after the next start. Service managers
	// often allow 5s in all. Default: `4s`.
	Drain caddy.Duration `json:"drain,omitempty"`

	// The ways out. Default: one named `default`, to public addresses on port 443.
	Egress []Egress `json:"egress,omitempty"`

	// How routes combine: `all` that match apply, or the `first` alone decides. Subscriptions always apply.
	// Default: `all`.
	Match string `json:"match,omitempty"`

	// Options of every endpoint that does not say otherwise. Default: none.
	Defaults *EndpointOptions `json:"defaults,omitempty"`

	// The endpoints. Default: none; events are kept and reach nobody.
	Endpoint []Endpoint `json:"endpoint,omitempty"`

	// The routes, in order. Default: none; endpoints get what they subscribe to.
	Route []Route `json:"route,omitempty"`

	logger     *zap.Logger
	logHandler slog.Handler
	emit       emitter
	plan       *delivery.Plan
	store      Store
	transports []*transport
	trusted    trustPools                // while the config is read
	profiles   map[string]*egressProfile // by name

	lease    atomic.Pointer[lease] // set once, by Start or the first request, and kept for requests that outlive Stop
	mu       sync.Mutex            // guards setting lease, and released
	released bool                  // by Stop or Cleanup; a released app never opens anything again
}

// CaddyModule implements caddy.Module.
func (*App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: appID, New: func() caddy.Module { return new(App) }}
}

// Provision translates the config into a plan. It opens, locks and dials nothing, so that `caddy validate` works beside a
// running server.
func (a *App) Provision(ctx caddy.Context) error {
	a.logger = ctx.Logger()
	a.logHandler = ctx.Slogger().Handler()
	emit, err := newEmitter(ctx)
	if err != nil {
		return err
	}
	a.emit = emit
	if err := registerMetrics(ctx); err != nil {
		return err
	}

	store, err := a.loadStore(ctx)
	if err != nil {
		return err
	}
	a.trusted = make(trustPools) // endpoints that are made later find what their files say then
	plan, err := a.buildPlan(ctx)
	a.trusted = nil
	if err != nil {
		return err
	}
	a.store, a.plan = store, plan
	return nil
}

// Start opens the store unless a request was first, and puts the plan in force.
func (a *App) Start() error {
	_, err := a.engine()
	return err
}

// Stop gives the engine up: to the config that follows, back to the one before if this one is being rolled back, or for
// good, which waits for attempts in flight. Safe to call twice.
func (a *App) Stop() error { return a.release() }

// Cleanup does what Stop does, for a config that never started, and lets connections go that no other config uses.
func (a *App) Cleanup() error {
	err := a.release()
	for _, t := range a.transports {
		t.release()
	}
	for _, p := range a.profiles {
		p.release()
	}
	a.transports, a.profiles = nil, nil
	return err
}

// errNotRunning answers requests that reach a config which has stopped, or whose app never started.
var errNotRunning = errors.New("the webhooks app is not running")

// engine returns the running engine; the first caller of this config opens it. HTTP handlers may be faster than Start
// (apps start in random order) and outlive Stop (a reload does not wait for requests): a request of a stopped config is
// still served while a later config runs the same engine.
func (a *App) engine() (*delivery.Engine, error) {
	if l := a.lease.Load(); l != nil {
		return l.engine()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if l := a.lease.Load(); l != nil {
		return l.engine()
	}
	if a.released || a.plan == nil {
		return nil, errNotRunning
	}
	l, err := a.acquire()
	if err != nil {
		return nil, err
	}
	a.lease.Store(l)
	a.reportEgress(l.shared.Engine)
	return l.engine()
}

func (a *App) release() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.released {
		return nil
	}
	a.released = true
	l := a.lease.Load()
	if l == nil {
		return nil
	}
	if err := l.release(); err != nil {
		return fmt.Errorf("stopping the webhooks engine: %w", err)
	}
	return nil
}

// Interface guards.
var (
	_ caddy.App          = (*App)(nil)
	_ caddy.Provisioner  = (*App)(nil)
	_ caddy.CleanerUpper = (*App)(nil)
)
