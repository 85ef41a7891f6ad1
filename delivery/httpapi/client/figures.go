package client

import (
	"context"
	"encoding/json"
	"time"
)

// Stats counts what the gateway keeps, and tells what the store costs.
type Stats struct {
	Events     uint64            `json:"events"`
	Deliveries map[string]uint64 `json:"deliveries"` // by state
	// Lost deliveries are pending and stand nowhere, as the last audit of the store found: a fault of the gateway.
	Lost  *int64 `json:"lost"`
	Store *struct {
		Kind    string `json:"kind"`
		Size    int64  `json:"size_bytes"`
		Written uint64 `json:"written_bytes"`
		Syncs   uint64 `json:"syncs"`
	} `json:"store"`
	// OldestEvent is when the oldest event kept was accepted, OldestDue since when the first delivery that is due waits.
	OldestEvent time.Time `json:"oldest_event"`
	OldestDue   time.Time `json:"oldest_due"`
}

// Stats asks for the figures of the gateway as a whole.
func (c *Client) Stats(ctx context.Context) (Stats, error) { return get[Stats](ctx, c, "stats", nil) }

// Minute is what happened in one: events accepted, attempts by their end, and how long they took.
type Minute struct {
	At        time.Time `json:"at"`
	Events    uint64    `json:"events"`
	Succeeded uint64    `json:"succeeded"`
	Failed    uint64    `json:"failed"`
	P50MS     float64   `json:"p50_ms"`
	P95MS     float64   `json:"p95_ms"`
}

// Pulse asks for the last hour by the minute.
func (c *Client) Pulse(ctx context.Context) ([]Minute, error) {
	out, err := get[struct {
		Minutes []Minute `json:"minutes"`
	}](ctx, c, "pulse", nil)
	return out.Minutes, err
}

// Activity is what endpoints did in the last day and have before them.
type Activity struct {
	Deliveries  map[string]uint64 `json:"deliveries"`   // kept, by state
	DeadLetters int               `json:"dead_letters"` // that were not sent again since
	More        bool              `json:"more_dead_letters"`
	OldestDue   time.Time         `json:"oldest_due"`   // since when the first that is due waits
	StepSeconds int               `json:"step_seconds"` // of each of Steps
	Steps       []struct {
		At        time.Time `json:"at"`
		Succeeded uint64    `json:"succeeded"`
		Failed    uint64    `json:"failed"`
	} `json:"steps"`
}

// Activity asks for that of one endpoint, or of all that the caller may see.
func (c *Client) Activity(ctx context.Context, endpoint string) (Activity, error) {
	v := Page{}.values()
	set(v, "endpoint", endpoint)
	return get[Activity](ctx, c, "activity", v)
}

// Catalog lists the event types.
type Catalog struct {
	// Closed tells that other types are refused.
	Closed bool        `json:"closed"`
	Events []EventType `json:"events"`
}

// EventType is one entry of the catalog.
type EventType struct {
	Type    string          `json:"type"`
	Group   string          `json:"group"`
	Trigger string          `json:"trigger"`
	Example json.RawMessage `json:"example"`
	Schema  json.RawMessage `json:"schema"`
}

// Catalog asks for the event types.
func (c *Client) Catalog(ctx context.Context) (Catalog, error) {
	return get[Catalog](ctx, c, "catalog", nil)
}

// Egress lists the addresses that deliveries come from.
type Egress struct {
	SyncToken  string   `json:"syncToken"`
	CreateDate string   `json:"createDate"`
	Prefixes   []Prefix `json:"prefixes"`
	Prefixes6  []Prefix `json:"ipv6_prefixes"`
}

// Prefix is one of them: IPv4 or IPv6, active or upcoming from a day on.
type Prefix struct {
	IPv4      string `json:"ip_prefix"`
	IPv6      string `json:"ipv6_prefix"`
	Profile   string `json:"profile"`
	Status    string `json:"status"`
	NotBefore string `json:"not_before"`
}

// Egress asks for the addresses to let in.
func (c *Client) Egress(ctx context.Context) (Egress, error) {
	return get[Egress](ctx, c, "egress", nil)
}

// Health says whether the gateway works, and how far behind it is.
type Health struct {
	Status        string `json:"status"` // ready, unavailable
	Live          bool   `json:"live"`
	StoreWritable bool   `json:"store_writable"`
	OldestDue     *struct {
		Endpoint string    `json:"endpoint"`
		Since    time.Time `json:"since"`
		Seconds  float64   `json:"seconds"`
	} `json:"oldest_due"`
	Pending *uint64 `json:"pending"`
	Lost    *int64  `json:"lost"`
}

// Health asks whether events are taken now; a *Problem with status 503 if not.
func (c *Client) Health(ctx context.Context) (Health, error) {
	return get[Health](ctx, c, "health", nil)
}
