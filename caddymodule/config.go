package caddymodule

import (
	"encoding/json"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// Endpoint is one URL that events are delivered to, with its secrets, limits and schedule.
type Endpoint struct {
	// How routes, logs, metrics and the API call the endpoint: 1 to 64 of `A-Z a-z 0-9 _ -`, not starting with `ep_`.
	// Required.
	Name string `json:"name"`

	// Where the endpoint stands in the Caddyfile it was adapted from, as `file:line`; errors at load name it.
	// Default: none.
	Pos string `json:"pos,omitempty"`

	// The https URL that receives the events, without user info and fragment. Placeholders like `{env.X}` and `{file.X}`
	// are replaced at load. Required.
	URL string `json:"url"`

	// The signing secrets, newest first. At least one is required, of the form that each scheme takes: one that starts with
	// `whsk_` is an Ed25519 key for `standard_ed25519` and `rfc9421`, any other is shared with the receiver.
	Secret []Secret `json:"secret,omitempty"`

	EndpointOptions
}

// EndpointOptions are what an endpoint and the `defaults` may both say. What an endpoint leaves out is taken from the
// defaults, option by option: a list or block replaces the default one whole.
type EndpointOptions struct {
	// Words for people, shown wherever the endpoint is listed. Default: none.
	Description string `json:"description,omitempty"`

	// Subscribes the endpoint to event types: exact ones (`label.created`), all under a prefix (`label.*`), or `*`.
	// Default: none, the endpoint is reached by routes only.
	Events []string `json:"events,omitempty"`

	// Narrows the subscription to events for which this expression is true. It must not contain placeholders: braces are
	// part of the language. Default: none.
	When string `json:"when,omitempty"`

	// Where the text of `when` begins in the Caddyfile it was adapted from, as `file:line`. Default: none.
	WhenPos string `json:"when_pos,omitempty"`

	// Restricts the subscription to events of these environments. Default: all.
	Environment []string `json:"environment,omitempty"`

	// Restricts the subscription to events of this tenant. Default: all.
	Tenant string `json:"tenant,omitempty"`

	// Signature schemes; each adds its headers to every attempt. Two that write one header are refused; `standard` and
	// `standard_ed25519` share theirs. Default: `atoship` and `standard`.
	SignatureRaw []json.RawMessage `json:"signature,omitempty" caddy:"namespace=webhooks.signers inline_key=module"`

	// The delays between tries: one try is made at once, and one after each delay. An empty list means that nothing is
	// tried again. Default: 1m, 5m, 30m, 2h, 24h.
	Retry []caddy.Duration `json:"retry,omitzero"`

	// Each delay is lengthened by a random share of up to this many percent, 0 to 100, never shortened. Default: `10`.
	Jitter *int `json:"jitter,omitempty"`

	// How long one attempt may take, from the first packet to the last byte of the answer. Default: `30s`.
	Timeout caddy.Duration `json:"timeout,omitempty"`

	// Attempts at once, 1 to 1000; the number grows from 2 as long as the endpoint answers 2xx. Default: `16`.
	Concurrency int `json:"concurrency,omitempty"`

	// Makes the body to send: an expression that gives any JSON value, evaluated for each attempt. A route's replaces it.
	// Default: none, the event's own body is sent.
	Transform string `json:"transform,omitempty"`

	// Where the text of `transform` begins in the Caddyfile it was adapted from, as `file:line`. Default: none.
	TransformPos string `json:"transform_pos,omitempty"`

	// When to stop trying for a while because the endpoint only fails. Default: 5 failures in a row, or half of at least
	// 20 attempts within 1m; then nothing is sent for 30s.
	Breaker *Breaker `json:"breaker,omitempty"`

	// Endpoints that take a delivery over when this one cannot, in order. A route's own `backup` replaces the list.
	// Default: none.
	Backup []string `json:"backup,omitempty"`

	// An expression that gives a string: deliveries of events with the same string go one at a time, in the order of their
	// acceptance, through retries and failover. An event for which it gives nothing goes in no order. Default: none.
	OrderedBy string `json:"ordered_by,omitempty"`

	// Where the text of `ordered_by` begins in the Caddyfile it was adapted from, as `file:line`. Default: none.
	OrderedByPos string `json:"ordered_by_pos,omitempty"`

	// After how many failed tries here a delivery moves on to a backup that is up, for good. Default: when all tries of
	// `retry` have failed.
	BackupAfter int `json:"backup_after,omitempty"`

	// How many attempts may begin in a time. What is over the limit waits. Default: off.
	RateLimit *RateLimit `json:"rate_limit,omitempty"`

	// Takes the endpoint out of service after nothing but failures for so long; its deliveries go to the backups, or wait
	// until it is resumed. `0` is never. Default: `5d`.
	DisableAfter *caddy.Duration `json:"disable_after,omitempty"`

	// Hold the endpoint back when it is first seen. After that whoever pauses and resumes it decides. Default: `false`.
	Paused bool `json:"paused,omitempty"`

	// Send the trace context to the endpoint with each attempt, as `traceparent`: that of the attempt or, when traces are
	// not exported, the one that the event came with. Default: `false`.
	TraceContext bool `json:"trace_context,omitempty"`

	// What the trace of an attempt has to do with the event's: `link` makes it a trace of its own with a link, `parent` a
	// part of the event's. Default: `link`.
	Trace string `json:"trace,omitempty"`

	// Extra request headers. Hop-by-hop, content, signature and the gateway's own headers are refused. Placeholders like
	// `{env.X}` and `{file.X}` in values are replaced at load. Default: none.
	Header map[string][]string `json:"header,omitempty"`

	// The name of the egress profile that deliveries leave by. Default: `default`.
	Egress string `json:"egress,omitempty"`

	// How the endpoint is verified, and how we identify ourselves to it. Default: the system's authorities, no client
	// certificate.
	TLS *EndpointTLS `json:"tls,omitempty"`

	// The bearer token to send with every attempt. Default: none.
	OAuth2 *OAuth2 `json:"oauth2,omitempty"`
}

// RateLimit is a number of attempts in a time. In no such time, wherever it begins, do more begin.
type RateLimit struct {
	// No limit, where `defaults` sets one. Default: `false`.
	Off bool `json:"off,omitempty"`

	// The number, and per `s`, `m` or `h`: `1000/m`. Required unless off.
	Rate string `json:"rate,omitempty"`

	// How many of them may begin at once after a quiet time. Default: a tenth.
	Burst int `json:"burst,omitempty"`
}

// Secret is one signing secret of an endpoint.
type Secret struct {
	// The secret, as `{env.NAME}` or `{file./path}`; it is read at load and must not be empty. A literal secret works and
	// is warned about: it would be in every copy of the config. Required.
	Value string `json:"value"`

	// Until when an older secret signs beside the newer ones, in RFC 3339. Default: no end.
	Until time.Time `json:"until,omitzero"`
}

// Breaker stops attempts to an endpoint that only fails. What is held back spends no tries.
type Breaker struct {
	// Never stop trying. Default: `false`.
	Off bool `json:"off,omitempty"`

	// Failures in a row that open the breaker; 0 means that only the ratio does. Default: `5`.
	Failures *int `json:"failures,omitempty"`

	// Share of failures, 0 to 1, that opens the breaker; 0 means that only failures in a row do. Default: `0.5`.
	Ratio *float64 `json:"ratio,omitempty"`

	// The time over which the ratio is taken. Default: `1m`.
	Over caddy.Duration `json:"over,omitempty"`

	// The fewest attempts within that time that a ratio is taken of. Default: `20`.
	Min int `json:"min,omitempty"`

	// How long nothing is sent before a single attempt probes the endpoint. Default: `30s`.
	Open caddy.Duration `json:"open,omitempty"`
}

// EndpointTLS is the TLS of connections to an endpoint: 1.2 or later, always verified.
type EndpointTLS struct {
	// The authorities that may vouch for the endpoint, a module of `tls.ca_pool.source`. Its `pki_root` needs
	// Caddy's PKI app in the config, which `skip_install_trust` or a `pki` block brings in. Default: the system's.
	TrustPoolRaw json.RawMessage `json:"trust_pool,omitempty" caddy:"namespace=tls.ca_pool.source inline_key=module"`

	// A certificate to show to the endpoint. Default: none.
	ClientAuth *ClientAuth `json:"client_auth,omitempty"`

	// The name that the endpoint's certificate must carry. Default: the host of the URL.
	ServerName string `json:"server_name,omitempty"`
}

// ClientAuth is a client certificate in PEM files, read at load.
type ClientAuth struct {
	// File of the certificate, followed by its intermediates. Required.
	Cert string `json:"cert"`

	// File of its private key. Required.
	Key string `json:"key"`
}

// Route sends the events it matches to endpoints. Routes are evaluated in their order.
type Route struct {
	// How logs, metrics and deliveries call the route: 1 to 64 of `A-Z a-z 0-9 _ -`. Required.
	Name string `json:"name"`

	// Where the route stands in the Caddyfile it was adapted from, as `file:line`; errors at load name it. Default: none.
	Pos string `json:"pos,omitempty"`

	// The events wanted: an expression over `event` and `data` that is true or false. Default: every event.
	When string `json:"when,omitempty"`

	// Where the text of `when` begins in the Caddyfile it was adapted from, as `file:line`. Default: none.
	WhenPos string `json:"when_pos,omitempty"`

	// Apply only to events that no other route and no subscription matched; excludes `when`. Default: `false`.
	Otherwise bool `json:"otherwise,omitempty"`

	// The endpoints; each item makes a delivery of its own. One of `to`, `pick` and `split` is required.
	To []Target `json:"to,omitempty"`

	// An expression that names the endpoint, or a list of endpoints: a primary and its backups. Default: none.
	Pick string `json:"pick,omitempty"`

	// Where the text of `pick` begins in the Caddyfile it was adapted from, as `file:line`. Default: none.
	PickPos string `json:"pick_pos,omitempty"`

	// Sends each event to one of several endpoints. Default: none.
	Split *Split `json:"split,omitempty"`

	// Makes the body to send in place of the endpoints' own `transform`: an expression that gives any JSON value, evaluated
	// for each attempt. Default: none.
	Transform string `json:"transform,omitempty"`

	// Where the text of `transform` begins in the Caddyfile it was adapted from, as `file:line`. Default: none.
	TransformPos string `json:"transform_pos,omitempty"`

	// After a match, leave out the routes that follow. Default: `false`.
	Stop bool `json:"stop,omitempty"`

	// What to do when an expression fails on an event: `skip` the route, or `hold` the event, undecided, until it can be
	// routed. Default: `skip` with `match all`, `hold` with `match first`.
	OnError string `json:"on_error,omitempty"`
}

// Split divides events among endpoints by a stable hash: what shares a key goes to one endpoint, on every machine and after
// every reload, and moving weight from one of two endpoints to the other moves nothing back.
type Split struct {
	// The endpoints and their shares, 2 to 100. Required.
	To []Share `json:"to"`

	// The key: an expression that gives a string or an integer. Events without it are divided by their id.
	// Default: `event.id`.
	By string `json:"by,omitempty"`

	// Where the text of `by` begins in the Caddyfile it was adapted from, as `file:line`. Default: none.
	ByPos string `json:"by_pos,omitempty"`
}

// Share is an endpoint's part of a split.
type Share struct {
	// The endpoint. Required.
	Endpoint string `json:"endpoint"`

	// Its part of the sum of all weights, 0 to 1000000. Required.
	Weight int `json:"weight"`
}

// Target is one delivery of a route.
type Target struct {
	// The endpoint that gets the event. Required.
	Endpoint string `json:"endpoint"`

	// The endpoints that take over when it cannot, in order. Default: the endpoint's own `backup`.
	Backup []string `json:"backup,omitempty"`
}
