package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"time"
)

// Event is an event; Payload or PayloadBase64 of a single one only.
type Event struct {
	ID            string          `json:"id"`
	Type          string          `json:"type"`
	Environment   string          `json:"environment"`
	Tenant        string          `json:"tenant"`
	Source        string          `json:"source"`
	Timestamp     string          `json:"timestamp"`
	Accepted      time.Time       `json:"accepted"`
	Routing       string          `json:"routing"` // routed, unrouted, undecided
	Held          []string        `json:"held"`
	Digest        string          `json:"digest"`
	Test          bool            `json:"test"`
	TraceParent   string          `json:"traceparent"` // that it came with
	TraceID       string          `json:"trace_id"`    // of the gateway's own span
	TraceURL      string          `json:"trace_url"`   // where to look at that, if the configuration says
	ContentType   string          `json:"content_type"`
	Erased        bool            `json:"erased"` // its payload was
	Payload       json.RawMessage `json:"payload"`
	PayloadBase64 *string         `json:"payload_base64"`
}

// EventRecord is an event with its deliveries.
type EventRecord struct {
	Event

	Deliveries []Delivery `json:"deliveries"`
}

// ListedEvent is an event of a list, with the number of its deliveries by state.
type ListedEvent struct {
	Event

	Deliveries struct {
		Total     int `json:"total"`
		Pending   int `json:"pending"`
		Delivered int `json:"delivered"`
		Exhausted int `json:"exhausted"`
		Cancelled int `json:"cancelled"`
	} `json:"deliveries"`
}

// EventFilter narrows a list of events; zero values do not. A Tenant that is empty, but not nil, means events of no tenant.
type EventFilter struct {
	Type, Environment string
	Tenant            *string
	Routing           string // routed, unrouted, undecided
	Since, Until      time.Time
}

// Events lists events, newest first.
func (c *Client) Events(ctx context.Context, f EventFilter, p Page) (List[ListedEvent], error) {
	v := p.values()
	set(v, "type", f.Type)
	set(v, "environment", f.Environment)
	set(v, "routing", f.Routing)
	setTenant(v, f.Tenant)
	setTime(v, "since", f.Since)
	setTime(v, "until", f.Until)
	return get[List[ListedEvent]](ctx, c, "events", v)
}

func setTenant(v url.Values, tenant *string) {
	if tenant != nil {
		v.Set("tenant", *tenant)
	}
}

// Event shows one event with its payload and deliveries; tenant, if not nil, tells which of several with the id.
func (c *Client) Event(ctx context.Context, id string, tenant *string) (EventRecord, error) {
	v := url.Values{}
	setTenant(v, tenant)
	return get[EventRecord](ctx, c, at("events", id), v)
}

// Delivery is an event on its way to an endpoint.
type Delivery struct {
	ID            string    `json:"id"`
	Event         *Event    `json:"event"`
	Endpoint      string    `json:"endpoint"`
	Backups       []string  `json:"backups"`
	Route         string    `json:"route"`
	Replay        string    `json:"replay"`  // the replay or redelivery that made it
	Planned       time.Time `json:"planned"` // when that was
	State         string    `json:"state"`   // pending, delivered, exhausted, cancelled
	Target        string    `json:"target"`
	AttemptsCount int       `json:"attempts_count"`
	Due           time.Time `json:"due"`
	Waiting       string    `json:"waiting"` // transform: why a pending one is not due
	Reason        string    `json:"reason"`
}

// DeliveryRecord is a delivery with all that happened to it, oldest first.
type DeliveryRecord struct {
	Delivery

	Attempts    []Attempt    `json:"attempts"`
	Transitions []Transition `json:"transitions"`
}

// Attempt is one HTTP try.
type Attempt struct {
	N          int       `json:"n"`
	Endpoint   string    `json:"endpoint"`
	Address    string    `json:"address"`
	Started    time.Time `json:"started"`
	DurationMS int64     `json:"duration_ms"`
	Timing     Timing    `json:"timing"`
	Status     int       `json:"status"`
	Outcome    string    `json:"outcome"`
	Detail     string    `json:"detail"`
	Request    *Request  `json:"request"` // nil in lists, and when none was made
	Response   Response  `json:"response"`
	RetryAfter time.Time `json:"retry_after"`
	TraceID    string    `json:"trace_id"`
	TraceURL   string    `json:"trace_url"`
	BodySHA256 string    `json:"body_sha256"` // of the body, when a transform made it
}

// Timing splits an attempt's duration, in milliseconds. A phase that was not needed, or not reached, is zero.
type Timing struct {
	DNS       float64 `json:"dns_ms"`
	Connect   float64 `json:"connect_ms"`
	TLS       float64 `json:"tls_ms"`
	FirstByte float64 `json:"first_byte_ms"` // from the request to the beginning of the answer
}

// Request is how an attempt's request looked, without what is secret.
type Request struct {
	Method  string      `json:"method"`
	URL     string      `json:"url"`
	Headers http.Header `json:"headers"`
}

// Response is what is kept of an answer.
type Response struct {
	Headers          http.Header `json:"headers"` // of a success only those that tell who answered
	HeadersTruncated bool        `json:"headers_truncated"`
	Excerpt          string      `json:"excerpt"`
	Base64           bool        `json:"base64"` // Excerpt is, because it is not UTF-8
	Bytes            int         `json:"bytes"`
	Truncated        bool        `json:"truncated"`
}

// Transition is one step in a delivery's life, and what was so after it.
type Transition struct {
	At      time.Time `json:"at"`
	Kind    string    `json:"kind"`
	Attempt int       `json:"attempt"`
	Note    string    `json:"note"`
	State   string    `json:"state"`
	Target  string    `json:"target"`
	Due     time.Time `json:"due"`
	Reason  string    `json:"reason"`
}

// DeliveryFilter narrows a list of deliveries; zero values do not.
type DeliveryFilter struct {
	State, Endpoint, Type, Event string
	Tenant                       *string
	Latest                       bool      // only an event's last delivery to each endpoint, and no tests
	Since, Until                 time.Time // accepted
}

// Deliveries lists deliveries, newest event first.
func (c *Client) Deliveries(ctx context.Context, f DeliveryFilter, p Page) (List[Delivery], error) {
	v := p.values()
	set(v, "state", f.State)
	set(v, "endpoint", f.Endpoint)
	set(v, "type", f.Type)
	set(v, "event", f.Event)
	setTenant(v, f.Tenant)
	if f.Latest {
		set(v, "latest", "true")
	}
	setTime(v, "since", f.Since)
	setTime(v, "until", f.Until)
	return get[List[Delivery]](ctx, c, "deliveries", v)
}

// Delivery shows one delivery with its attempts.
func (c *Client) Delivery(ctx context.Context, id string) (DeliveryRecord, error) {
	return get[DeliveryRecord](ctx, c, at("deliveries", id), nil)
}

// ListedAttempt is an attempt of a list, with what it belongs to.
type ListedAttempt struct {
	Delivery string    `json:"delivery"`
	Event    Event     `json:"event"`
	At       time.Time `json:"at"`
	State    string    `json:"state"`
	Attempt
}

// AttemptFilter narrows a list of attempts; zero values do not.
type AttemptFilter struct {
	Endpoint, Outcome string
	Status            string // such as 503, or 5xx
	Tenant            *string
	Since, Until      time.Time // ended
}

// Attempts lists attempts, the one that ended last first.
func (c *Client) Attempts(ctx context.Context, f AttemptFilter, p Page) (List[ListedAttempt], error) {
	v := p.values()
	set(v, "endpoint", f.Endpoint)
	set(v, "outcome", f.Outcome)
	set(v, "status", f.Status)
	setTenant(v, f.Tenant)
	setTime(v, "since", f.Since)
	setTime(v, "until", f.Until)
	return get[List[ListedAttempt]](ctx, c, "attempts", v)
}

// Redeliver sends a delivery once more and answers with the new one.
func (c *Client) Redeliver(ctx context.Context, id string) (Delivery, error) {
	return post[Delivery](ctx, c, at("deliveries", id, "redeliver"), nil)
}

// CancelDelivery ends a pending delivery; it is still pending while an attempt is under way, and ends after that.
func (c *Client) CancelDelivery(ctx context.Context, id string) (DeliveryRecord, error) {
	return post[DeliveryRecord](ctx, c, at("deliveries", id, "cancel"), nil)
}

// ReplayEvent sends an event once more, to every endpoint it was for or, if not empty, to one; tenant, if not nil, tells which
// of several events with the id. It answers with the new deliveries.
func (c *Client) ReplayEvent(ctx context.Context, id string, tenant *string, endpoint string) (out EventRecord, err error) {
	v := url.Values{}
	setTenant(v, tenant)
	rq := request{method: "POST", path: at("events", id, "replay"), query: v}
	if endpoint != "" {
		rq.body = map[string]string{"endpoint": endpoint}
	}
	_, err = c.do(ctx, rq, &out)
	return out, err
}

// RouteEvent routes an undecided or unrouted event again, by the rules in force.
func (c *Client) RouteEvent(ctx context.Context, id string, tenant *string) (out EventRecord, err error) {
	v := url.Values{}
	setTenant(v, tenant)
	_, err = c.do(ctx, request{method: "POST", path: at("events", id, "route"), query: v}, &out)
	return out, err
}

// NewReplay says what a bulk replay is to send again; zero values do not narrow it.
type NewReplay struct {
	Endpoint string  `json:"endpoint,omitempty"`
	Type     string  `json:"type,omitempty"`
	Tenant   *string `json:"tenant,omitempty"`
	// State of an event's last delivery to the endpoint: exhausted (the default), cancelled, delivered, or missing for events
	// that it would get now and never got.
	State  string    `json:"state,omitempty"`
	Since  time.Time `json:"since,omitzero"`
	Until  time.Time `json:"until,omitzero"`
	Rate   string    `json:"rate,omitempty"` // such as 50/s
	DryRun bool      `json:"dry_run,omitempty"`
}

// Replay is a bulk replay and how far it got.
type Replay struct {
	ID       string            `json:"id"`
	Status   string            `json:"status"` // running, done, cancelled
	Endpoint string            `json:"endpoint"`
	Type     string            `json:"type"`
	Tenant   *string           `json:"tenant"`
	State    string            `json:"state"`
	Since    time.Time         `json:"since"`
	Until    time.Time         `json:"until"`
	Rate     string            `json:"rate"`
	DryRun   bool              `json:"dry_run"`
	Created  time.Time         `json:"created"`
	Ended    time.Time         `json:"ended"`
	Matched  uint64            `json:"matched"`
	Replayed uint64            `json:"replayed"`
	Skipped  uint64            `json:"skipped"`
	Progress float64           `json:"progress"` // 0 to 1
	Waiting  map[string]string `json:"waiting"`  // endpoints that are held, and by what
}

// StartReplay begins a bulk replay.
func (c *Client) StartReplay(ctx context.Context, r NewReplay) (Replay, error) {
	return post[Replay](ctx, c, "replays", r)
}

// Replays lists replays, newest first.
func (c *Client) Replays(ctx context.Context, p Page) (List[Replay], error) {
	return get[List[Replay]](ctx, c, "replays", p.values())
}

// Replay tells how far one got.
func (c *Client) Replay(ctx context.Context, id string) (Replay, error) {
	return get[Replay](ctx, c, at("replays", id), nil)
}

// CancelReplay stops one; what it made goes on.
func (c *Client) CancelReplay(ctx context.Context, id string) (Replay, error) {
	return post[Replay](ctx, c, at("replays", id, "cancel"), nil)
}
