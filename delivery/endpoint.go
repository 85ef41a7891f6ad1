package delivery

import (
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/atoship/caddy-webhooks/delivery/egress"
	"github.com/atoship/caddy-webhooks/delivery/gate"
	"github.com/atoship/caddy-webhooks/delivery/retry"
	"github.com/atoship/caddy-webhooks/delivery/sign"
)

// Defaults of an endpoint, as the customer guide promises them.
const (
	DefaultTimeout     = 30 * time.Second
	DefaultConcurrency = 16
	// DefaultDisableAfter outlasts a long weekend.
	DefaultDisableAfter = 5 * 24 * time.Hour
)

// Endpoint is one URL with its secret, limits and schedule. It is part of a Plan and never changes; a reload brings a new
// one.
type Endpoint struct {
	Name        string // [A-Za-z0-9_-]{1,64}
	Description string
	// Pos is its place in the configuration, for people, such as "Caddyfile:10"; empty: unknown, or made at run time.
	Pos string
	// Tenant it belongs to: whose events its subscription is narrowed to, and who may see and change it by API. Empty: none.
	Tenant string
	URL    *url.URL
	// Signer signs each attempt with the endpoint's secrets (several schemes: sign.Join).
	Signer sign.Signer
	// Retry says when to try again. The zero value never does.
	Retry retry.Schedule
	// Timeout of one attempt, from dial to the last byte read of the answer.
	Timeout time.Duration
	// Concurrency bounds attempts at once, reached by growing from 2 on success.
	Concurrency int
	// Rate limits the attempts; the zero value does not. What passed under other settings counts after a reload.
	Rate gate.RateSettings
	// Breaker settings; comparable, so that an unchanged breaker keeps its state over a reload.
	Breaker gate.BreakerSettings
	// Backups is the chain for every delivery to this endpoint whose route names none of its own.
	Backups []string
	// Order makes deliveries at home here that share a key go one at a time, in order of acceptance; nil: in no order.
	Order Keyer
	// Transform makes the body to send; nil: the event's own. A route's replaces it.
	Transform Transformer
	// BackupAfter moves a delivery on to a backup that is up after so many failed tries here; 0: when the schedule is spent.
	BackupAfter int
	// DisableAfter takes the endpoint out of service after nothing but failures for so long; 0: never.
	DisableAfter time.Duration
	// Notices lists the operational events that the endpoint's subscription names: types, or "webhooks.*" for all.
	Notices []string
	// Paused holds the endpoint when it is first seen, which is before it has had any work; after that the operator decides.
	Paused bool
	// TraceContext sends traceparent and tracestate with each attempt: of the attempt's span or, without tracing, as they came
	// with the event. Never baggage.
	TraceContext bool
	// TraceParent makes the spans of attempts children of the event's publish span, all in one trace; otherwise each attempt
	// is a trace of its own, with links.
	TraceParent bool
	// Header is sent with each attempt, beside our own.
	Header http.Header
	// Transport is the way out: it judges addresses, verifies TLS and keeps connections of one identity together.
	Transport http.RoundTripper
}

// Plan is what a reload may change: an immutable snapshot, swapped as a whole. Endpoints not in it keep what they have
// waiting, held with the reason "removed".
type Plan struct {
	Router    Router
	Endpoints map[string]*Endpoint
	// Transforms make the bodies of deliveries, by the route that asked for them; nil: of none.
	Transforms map[string]Transformer
	// HeaderPrefix of our own headers, default X-AtoShip; UserAgent is sent as is.
	HeaderPrefix, UserAgent string
	// Dedupe is how long a publisher's event id is remembered.
	Dedupe time.Duration
	// Expire ends a delivery still pending after it; Retention deletes what was settled before it.
	Expire, Retention time.Duration
	// Drain is how long a stop waits for attempts in flight.
	Drain time.Duration
	// MaxInFlight bounds attempts at once over all endpoints, Rate how many begin per unit of time; both are shared fairly.
	MaxInFlight int
	Rate        gate.RateSettings
	// MaxPending bounds what is pending for one home endpoint; past it events for it are refused. 0: no bound.
	MaxPending int
	// TraceURL is where people look at a trace, with TraceIDPlace for its id; empty: nowhere.
	TraceURL string
	// Intake is what ingest checks before Accept.
	Intake Intake
	// Egress lists the addresses that deliveries come from, for customers; nil: nothing is known. PlannedAt is since when.
	Egress    *egress.List
	PlannedAt time.Time
	// Maker makes the endpoints that the API is asked for, and Keys encrypt them in the store; without them there are none.
	Maker EndpointMaker
	Keys  *Keys

	namesOnce sync.Once
	names     headerNames // of HeaderPrefix; see headers
	heads     headCache
}

// TraceIDPlace stands in Plan.TraceURL for the id of a trace.
const TraceIDPlace = "{trace_id}"

// TraceLink is where people look at a trace; empty if the plan does not say, or the id is.
func (p *Plan) TraceLink(id string) string {
	if p == nil || p.TraceURL == "" || id == "" {
		return ""
	}
	return strings.ReplaceAll(p.TraceURL, TraceIDPlace, id)
}

// Intake is the part of a Plan that ingest handlers ask for.
type Intake struct {
	// Environments declared; the first is the default. None: any name, default "production".
	Environments []string
	// Catalog of event types; nil accepts every type.
	Catalog Catalog
	// MaxBody bounds one event, in bytes.
	MaxBody int64
}

// DefaultEnvironment is that of an event that names none.
func (i *Intake) DefaultEnvironment() string {
	if len(i.Environments) > 0 {
		return i.Environments[0]
	}
	return "production"
}

// Catalog knows the event types that may be published.
type Catalog interface {
	// Check refuses an unknown type, or data that its schema refuses, with a located error.
	Check(eventType string, data []byte) error
}

// Config is fixed for an engine's life.
type Config struct {
	Store    Store
	Observer Observer     // default: none
	Tracer   Tracer       // default: none
	Logger   *slog.Logger // default: slog.Default()

	now func() time.Time // tests set the wall clock; nil: time.Now
}

// Defaults of a Plan.
const (
	DefaultHeaderPrefix = "X-AtoShip"
	DefaultDedupe       = 72 * time.Hour
	DefaultExpire       = 7 * 24 * time.Hour
	DefaultRetention    = 30 * 24 * time.Hour
	DefaultMaxInFlight  = 1024
	DefaultMaxPending   = 1_000_000
	DefaultMaxBody      = 256 << 10
	// DefaultDrain stays under the five seconds that a usual service unit gives Caddy to stop.
	DefaultDrain = 4 * time.Second
)
