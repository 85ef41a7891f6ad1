// Package httpapi is the gateway's HTTP face without the server: plain net/http handlers that any mux or server module can
// mount.
//
//	Ingest  takes events from publishers: one, a batch, or CloudEvents. It answers 2xx only after the engine said the
//	        events are durable.
//	API     shows what became of them: events, deliveries, attempts.
//
// Every error of both is application/problem+json (RFC 9457) and names the place of the mistake by a JSON pointer
// (RFC 6901) and, in batches, by the index of the event. No answer repeats a payload, a token or a secret.
//
// The path of a request through ingest, one file per step:
//
//	ingest.go       order of the checks, and the answer to what the engine says
//	auth.go loop.go who may publish; no delivery of ours comes back in
//	media.go        what kind of body this claims to be
//	body.go         read it, under a cap
//	batch.go        one event or several
//	event.go        members -> delivery.Event
//	cloudevents.go  CloudEvents attributes -> the same members (ce_binary.go, ce_structured.go)
//	receipt.go      the answer
//
// and of a request through the API: api.go (table of routes), route.go and access.go (who may use them), tenant.go (what
// callers of one tenant get to see), query.go (what was asked), view.go (what is shown).
package httpapi

import (
	"context"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
)

// Engine is what the handlers need of *delivery.Engine.
type Engine interface {
	// Plan is the one in force; nil before the first was applied.
	Plan() *delivery.Plan
	// Accept makes events durable, all or nothing, and plans their deliveries. Receipts come in the order of the events.
	Accept(ctx context.Context, evs []*delivery.Event) ([]delivery.Receipt, error)
	// Journal is where to read back.
	Journal() delivery.Journal
}

// Gateway is what the API needs of *delivery.Engine beside that.
type Gateway interface {
	Engine
	Tester
	Watcher
	Condition
	Redeliverer
	Replayer
	Manager
	Keeper
	// Endpoints tells what every endpoint is doing, by name; Endpoint one of the plan, or delivery.ErrNotFound.
	Endpoints() []delivery.EndpointStatus
	Endpoint(name string) (delivery.EndpointStatus, error)
	// Pause and Resume are durable on return.
	Pause(ctx context.Context, name string) error
	Resume(ctx context.Context, name string) error
	// Documents are where tokens are kept.
	Documents() delivery.Documents
}

// Condition is what Health asks of *delivery.Engine.
type Condition interface {
	// Healthy tells whether an Accept could succeed now.
	Healthy() bool
	// Stats counts what the store keeps, and tells what it costs.
	Stats(ctx context.Context) (delivery.Stats, error)
	// Oldest tells since when deliveries are due, by endpoint.
	Oldest(ctx context.Context) (map[string]time.Time, error)
}
