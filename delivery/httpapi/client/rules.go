package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"time"
)

// Route is a route in force, with what it did since the gateway started.
type Route struct {
	Name string `json:"name"`
	Pos  string `json:"pos"` // where it stands in the configuration
	// When, Pick and By are the expressions as written.
	When      string   `json:"when"`
	Pick      string   `json:"pick"`
	To        []Target `json:"to"`
	Split     []Share  `json:"split"`
	By        string   `json:"by"`
	Otherwise bool     `json:"otherwise"`
	Stop      bool     `json:"stop"`
	OnError   string   `json:"on_error"` // hold, skip
	// Hits counts the events that it matched, Errors those on which it could not be evaluated; LastHit is when the last one that
	// it matched was accepted.
	Hits    uint64    `json:"hits"`
	Errors  uint64    `json:"errors"`
	LastHit time.Time `json:"last_hit"`
}

// Target is a delivery that a rule asks for.
type Target struct {
	Endpoint string   `json:"endpoint"`
	Backups  []string `json:"backups"`
	Route    string   `json:"route"`
	Dropped  string   `json:"dropped"` // the rule that made it before, so that this one does not
}

// Share of the events of a route that splits them.
type Share struct {
	Endpoint string `json:"endpoint"`
	Weight   int    `json:"weight"`
}

// Routes is one page of the rules in force, in their order. Digest names the whole set, as on events.
type Routes struct {
	Digest string `json:"digest"`
	List[Route]
}

// Routes lists the rules in force.
func (c *Client) Routes(ctx context.Context, p Page) (Routes, error) {
	return get[Routes](ctx, c, "routes", p.values())
}

// Explanation says what the rules make of an event, and why.
type Explanation struct {
	Event struct {
		ID          string `json:"id"`
		Type        string `json:"type"`
		Environment string `json:"environment"`
		Tenant      string `json:"tenant"`
	} `json:"event"`
	Digest    string   `json:"digest"`
	Targets   []Target `json:"targets"`
	Undecided bool     `json:"undecided"`
	Held      []string `json:"held"` // by these rules
	// Total counts the rules, Eligible those that type, tenant and environment leave, Omitted those of them not in Rules;
	// Candidates counts those that the index left, which were evaluated.
	Total      int             `json:"total"`
	Eligible   int             `json:"eligible"`
	Candidates int             `json:"candidates"`
	Rules      []ExplainedRule `json:"rules"`
	Omitted    int             `json:"omitted"`
}

// ExplainedRule says what one rule made of the event.
type ExplainedRule struct {
	Rule    string         `json:"rule"` // a route, or endpoint:NAME for a subscription
	Pos     string         `json:"pos"`
	Outcome string         `json:"outcome"` // true, false, missing, error
	Skipped string         `json:"skipped"` // why it had no say
	Held    bool           `json:"held"`
	When    *ExplainedPart `json:"when"`
	Pick    *ExplainedPart `json:"pick"`
	By      *ExplainedPart `json:"by"`
	Targets []Target       `json:"targets"`
	Error   string         `json:"error"`
}

// ExplainedPart is one part of a condition, with the values it read.
type ExplainedPart struct {
	Text    string           `json:"text"`
	Pos     string           `json:"pos"`
	Outcome string           `json:"outcome"` // for a pick, what it picked, in JSON
	Op      string           `json:"op"`      // and, or, not: of Parts
	Parts   []ExplainedPart  `json:"parts"`
	Values  []ExplainedValue `json:"values"`
	Error   string           `json:"error"`
}

// ExplainedValue is what the event has at a path; of a long one the beginning of its JSON, as a string.
type ExplainedValue struct {
	Path      string          `json:"path"`
	Value     json.RawMessage `json:"value"`
	Missing   bool            `json:"missing"`
	Truncated bool            `json:"truncated"`
}

// Explain says who would get an event, in the form that ingest takes, and why: nothing is kept or sent. With the name of a rule
// it is about that one.
func (c *Client) Explain(ctx context.Context, event json.RawMessage, rule string) (out Explanation, err error) {
	v := url.Values{}
	set(v, "route", rule)
	_, err = c.do(ctx, request{method: http.MethodPost, path: "routes/explain", query: v, body: event}, &out)
	return out, err
}
