package httpapi

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/gate"
)

type endpointView struct {
	ID          string `json:"id"`
	Source      string `json:"source"` // config, api
	Description string `json:"description,omitempty"`
	Tenant      string `json:"tenant,omitempty"`
	// URL without the query's values, which may be credentials.
	URL string `json:"url,omitempty"`
	// State is active, paused, disabled, removed from the configuration, or invalid: made by API and not possible under the
	// present configuration, see Problem. Hold says what keeps it from being tried now, whatever its state.
	State    string        `json:"state"`
	Hold     *holdView     `json:"hold,omitempty"`
	Disabled *disabledView `json:"disabled,omitempty"`
	// FailingSince is when the present run of nothing but failures began.
	FailingSince moment          `json:"failing_since,omitzero"`
	Breaker      breakerView     `json:"breaker"`
	Concurrency  concurrencyView `json:"concurrency"`
	RateLimit    string          `json:"rate_limit,omitempty"`
	Backups      []string        `json:"backups"`
	// Pending counts the deliveries of which it is the primary and that have not ended, wherever they wait.
	Pending uint64 `json:"pending"`
	// NextDue is when the first of what waits in the store falls due, or earlier.
	NextDue moment `json:"next_due,omitzero"`
	// The rest is of endpoints made by API. Settings are shown for one only, with "…" where a credential stands.
	Version  uint64          `json:"version,omitempty"`
	Created  moment          `json:"created,omitzero"`
	Updated  moment          `json:"updated,omitzero"`
	Problem  string          `json:"problem,omitempty"`
	Settings json.RawMessage `json:"settings,omitempty"`
}

type endpointPageView struct {
	Items []endpointView `json:"items"`
	Next  string         `json:"next,omitempty"` // none on the last page
}

type holdView struct {
	Reason string `json:"reason"`
	Until  moment `json:"until,omitzero"`
}

type disabledView struct {
	Reason string `json:"reason"` // gone, failing
	At     moment `json:"at"`
}

type breakerView struct {
	State string `json:"state"` // closed, open, half_open, off
	// ProbeAt is when an open one lets a probe pass; Probing that one is under way.
	ProbeAt moment `json:"probe_at,omitzero"`
	Probing bool   `json:"probing,omitempty"`
}

type concurrencyView struct {
	Limit    int `json:"limit"`
	Now      int `json:"now"` // it grows with success
	InFlight int `json:"in_flight"`
}

func viewEndpoint(s *delivery.EndpointStatus) endpointView {
	v := endpointView{
		ID: s.Name, Source: "config", State: "active", Backups: []string{},
		FailingSince: moment{s.State.FailingSince}, Pending: s.Pending, NextDue: moment{s.NextDue},
		Breaker:     breakerView{State: s.Breaker.String(), ProbeAt: moment{s.Probe}, Probing: s.Probing},
		Concurrency: concurrencyView{Now: s.Slots, InFlight: s.InFlight},
	}
	if s.Hold.Reason != gate.ReasonNone {
		v.Hold = &holdView{Reason: s.Hold.Reason.String(), Until: moment{s.Hold.Until}}
	}
	if s.State.Disabled != "" {
		v.Disabled = &disabledView{Reason: s.State.Disabled, At: moment{s.State.DisabledAt}}
	}
	ep := s.Endpoint
	if m := s.Managed; m != nil {
		v.Source, v.Version, v.Tenant, v.Problem = "api", m.Version, m.Tenant, m.Problem
		v.Created, v.Updated = moment{m.Created}, moment{m.Updated}
	}
	switch {
	case ep == nil && s.Managed != nil:
		v.State = "invalid"
		return v
	case ep == nil:
		v.State = "removed"
		return v
	case s.State.Paused:
		v.State = "paused"
	case s.State.Disabled != "":
		v.State = "disabled"
	}
	v.Description, v.URL, v.Tenant = ep.Description, delivery.ShownURL(ep.URL), ep.Tenant
	v.Concurrency.Limit = ep.Concurrency
	v.Backups = append(v.Backups, ep.Backups...)
	if ep.Breaker.Off {
		v.Breaker = breakerView{State: "off"}
	}
	if ep.Rate.N > 0 {
		v.RateLimit = ep.Rate.String()
	}
	return v
}

// endpoints lists by name, with failing=true those that fail; the cursor is the last name of the page before.
func (*API) endpoints(_ context.Context, c *call) (any, error) {
	q, limit, p := pageQuery(c.Request, "failing")
	if p != nil {
		return nil, p
	}
	all := c.gateway.Endpoints()
	switch q["failing"] {
	case "":
	case "true":
		all = slices.DeleteFunc(all, func(s delivery.EndpointStatus) bool { return !ails(&s) })
	default:
		return nil, badParameter("failing", "is true, or left out")
	}
	after := q["cursor"]
	from, found := slices.BinarySearchFunc(all, after, func(s delivery.EndpointStatus, name string) int { return strings.Compare(s.Name, name) })
	if found {
		from++
	}
	page := endpointPageView{Items: []endpointView{}}
	all = all[from:]
	for i := range all[:min(limit, len(all))] {
		page.Items = append(page.Items, viewEndpoint(&all[i]))
	}
	if len(all) > limit {
		page.Next = all[limit-1].Name
	}
	return page, nil
}

// ails tells that something is wrong with an endpoint: it is disabled or not possible, its breaker is not closed, or all that
// was tried lately failed.
func ails(s *delivery.EndpointStatus) bool {
	return s.State.Disabled != "" || s.Breaker != gate.StateClosed || !s.State.FailingSince.IsZero() || s.Endpoint == nil && s.Managed != nil
}

func (*API) endpoint(_ context.Context, c *call) (any, error) {
	if _, p := parseQuery(c.Request); p != nil {
		return nil, p
	}
	return c.endpoint(c.PathValue("id"))
}

// endpoint is the answer that shows one, with what it was made of.
func (c *call) endpoint(name string) (*reply, error) {
	s, err := c.gateway.Endpoint(name)
	if err != nil {
		return nil, err
	}
	v := viewEndpoint(&s)
	out := &reply{body: v}
	if s.Managed != nil {
		v.Settings = shownSettings(s.Managed.Settings)
		out.body, out.etag = v, etagOf(s.Managed.Version)
	}
	return out, nil
}

// operate makes the handler of an operator's step; it answers with the endpoint as it is then.
func (a *API) operate(do func(Gateway, context.Context, string) error) func(context.Context, *call) (any, error) {
	return func(ctx context.Context, c *call) (any, error) {
		if err := do(c.gateway, ctx, c.PathValue("id")); err != nil {
			return nil, err
		}
		return a.endpoint(ctx, c)
	}
}
