package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Endpoint is an endpoint and what it is doing.
type Endpoint struct {
	ID          string `json:"id"`
	Source      string `json:"source"` // config, api
	Description string `json:"description"`
	Tenant      string `json:"tenant"`
	URL         string `json:"url"` // with "…" for the values of its query
	// State is active, paused, disabled, removed or invalid; Hold tells what keeps it from being tried, whatever its state.
	State        string      `json:"state"`
	Hold         *Hold       `json:"hold"`
	Disabled     *Disabled   `json:"disabled"`
	FailingSince time.Time   `json:"failing_since"`
	Breaker      Breaker     `json:"breaker"`
	Concurrency  Concurrency `json:"concurrency"`
	RateLimit    string      `json:"rate_limit"`
	Backups      []string    `json:"backups"`
	Pending      uint64      `json:"pending"` // deliveries of which it is the primary
	NextDue      time.Time   `json:"next_due"`
	// The rest is of endpoints made by API; Settings only of a single one, with "…" where a credential stands.
	Version  uint64          `json:"version"`
	Created  time.Time       `json:"created"`
	Updated  time.Time       `json:"updated"`
	Problem  string          `json:"problem"`
	Settings json.RawMessage `json:"settings"`
	// ETag names the version to the methods that change it; of a single endpoint only.
	ETag string `json:"-"`
}

// Hold is what keeps an endpoint from being tried.
type Hold struct {
	Reason string    `json:"reason"`
	Until  time.Time `json:"until"`
}

// Disabled tells why and when an endpoint was taken out of service.
type Disabled struct {
	Reason string    `json:"reason"` // gone, failing
	At     time.Time `json:"at"`
}

// Breaker of an endpoint: closed, open, half_open or off.
type Breaker struct {
	State   string    `json:"state"`
	ProbeAt time.Time `json:"probe_at"`
	Probing bool      `json:"probing"`
}

// Concurrency of an endpoint: its limit, how many attempts may run now, and how many do.
type Concurrency struct {
	Limit    int `json:"limit"`
	Now      int `json:"now"`
	InFlight int `json:"in_flight"`
}

// Secret is a signing secret, where it is shown.
type Secret struct {
	Value string `json:"value"`
	// Standard is the same in the form that Standard Webhooks libraries take, where Value is not; PublicKey what verifies the
	// signatures of an Ed25519 key.
	Standard  string    `json:"standard,omitempty"`
	PublicKey string    `json:"public_key,omitempty"`
	Until     time.Time `json:"until,omitzero"`
}

// NewEndpoint is an endpoint that was made, with its secrets. They are shown here and by RevealSecret only.
type NewEndpoint struct {
	Endpoint

	Secrets []Secret `json:"secrets"`
}

// Endpoints lists endpoints by id.
func (c *Client) Endpoints(ctx context.Context, p Page) (List[Endpoint], error) {
	return get[List[Endpoint]](ctx, c, "endpoints", p.values())
}

// FailingEndpoints lists those that something is wrong with, by id.
func (c *Client) FailingEndpoints(ctx context.Context, p Page) (List[Endpoint], error) {
	v := p.values()
	set(v, "failing", "true")
	return get[List[Endpoint]](ctx, c, "endpoints", v)
}

// Endpoint shows one.
func (c *Client) Endpoint(ctx context.Context, id string) (Endpoint, error) {
	return c.oneEndpoint(ctx, request{method: http.MethodGet, path: at("endpoints", id)})
}

func (c *Client) oneEndpoint(ctx context.Context, rq request) (e Endpoint, err error) {
	e.ETag, err = c.do(ctx, rq, &e)
	return e, err
}

// CreateEndpoint makes an endpoint of settings as the JSON configuration has them: anything that encodes to such an object.
func (c *Client) CreateEndpoint(ctx context.Context, settings any) (e NewEndpoint, err error) {
	e.ETag, err = c.do(ctx, request{method: http.MethodPost, path: "endpoints", body: settings}, &e)
	return e, err
}

// PatchEndpoint merges changes (RFC 7396) into the settings of the version that etag names; "*" stands for any.
func (c *Client) PatchEndpoint(ctx context.Context, id, etag string, changes any) (Endpoint, error) {
	return c.oneEndpoint(ctx, request{method: http.MethodPatch, path: at("endpoints", id), body: changes, match: etag})
}

// DeleteEndpoint ends an endpoint and answers how many pending deliveries that cancelled. If there are more than confirm, it
// is a *Problem that tells their number as Pending, and nothing is done.
func (c *Client) DeleteEndpoint(ctx context.Context, id, etag string, confirm uint64) (cancelled int, err error) {
	var out struct {
		Cancelled int `json:"cancelled"`
	}
	query := url.Values{}
	if confirm > 0 {
		query.Set("confirm", strconv.FormatUint(confirm, 10))
	}
	_, err = c.do(ctx, request{method: http.MethodDelete, path: at("endpoints", id), query: query, match: etag}, &out)
	return out.Cancelled, err
}

// PauseEndpoint holds an endpoint until it is resumed.
func (c *Client) PauseEndpoint(ctx context.Context, id string) (Endpoint, error) {
	return c.oneEndpoint(ctx, request{method: http.MethodPost, path: at("endpoints", id, "pause")})
}

// ResumeEndpoint ends a pause, or puts a disabled endpoint back into service.
func (c *Client) ResumeEndpoint(ctx context.Context, id string) (Endpoint, error) {
	return c.oneEndpoint(ctx, request{method: http.MethodPost, path: at("endpoints", id, "resume")})
}

// TestEvent is what a test sends: an event type and its data, both optional.
type TestEvent struct {
	Event string          `json:"event,omitempty"`
	Data  json.RawMessage `json:"data,omitempty"`
}

// TestEndpoint sends one marked event now and shows what the endpoint answered.
func (c *Client) TestEndpoint(ctx context.Context, id string, ev TestEvent) (DeliveryRecord, error) {
	return post[DeliveryRecord](ctx, c, at("endpoints", id, "test"), ev)
}

// Check is what looking at everything between the gateway and an endpoint found.
type Check struct {
	Endpoint string      `json:"endpoint"`
	At       time.Time   `json:"at"`
	Result   string      `json:"result"` // ok, warn, fail
	Steps    []CheckStep `json:"steps"`
}

// CheckStep is one step of a check.
type CheckStep struct {
	Name    string            `json:"name"`
	Result  string            `json:"result"`
	Summary string            `json:"summary"`
	Advice  string            `json:"advice"`
	Facts   map[string]string `json:"facts"`
	TookMS  int64             `json:"took_ms"`
}

// CheckEndpoint looks, step by step, why nothing arrives at an endpoint.
func (c *Client) CheckEndpoint(ctx context.Context, id string, ev TestEvent) (Check, error) {
	return post[Check](ctx, c, at("endpoints", id, "check"), ev)
}

// Rotation says how a secret is replaced; the zero value makes one and lets the old one go on for a day.
type Rotation struct {
	Secret  string    `json:"secret,omitempty"`
	Overlap string    `json:"overlap,omitempty"` // such as 24h, or 0s
	Until   time.Time `json:"until,omitzero"`
}

// Rotated is a replaced secret: the new one, and when those before it end.
type Rotated struct {
	ID       string    `json:"id"`
	Secret   Secret    `json:"secret"`
	OldUntil time.Time `json:"old_until"`
}

// RotateSecret gives an endpoint a new secret. An etag, if not empty, must name its version.
func (c *Client) RotateSecret(ctx context.Context, id, etag string, r Rotation) (out Rotated, err error) {
	_, err = c.do(ctx, request{method: http.MethodPost, path: at("endpoints", id, "rotate-secret"), body: r, match: etag}, &out)
	return out, err
}

// RevealSecret shows an endpoint's secrets, newest first. The gateway puts it on record.
func (c *Client) RevealSecret(ctx context.Context, id string) ([]Secret, error) {
	out, err := post[struct {
		Secrets []Secret `json:"secrets"`
	}](ctx, c, at("endpoints", id, "reveal-secret"), nil)
	return out.Secrets, err
}
