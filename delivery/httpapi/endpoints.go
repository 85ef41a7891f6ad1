package httpapi

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/gate"
)

type endpointView struct {
	ID          string `json:"id"`
	Source      string `json:"source"` // config
	Description string `json:"description,omitempty"`
	// URL without the query's values, which may be credentials.
	URL string `json:"url,omitempty"`
	// State is active, paused, disabled or removed; Hold says what keeps it from being tried now, whatever its state.
	State    string        `json:"state"`
	Hold     *holdView     `json:"hold,omitempty"`
	Disabled *disabledView `json:"disabled,omitempty"`
	// FailingSince is when the present run of nothing but failures began.
	FailingSince moment          `json:"failing_since,omitzero"`
	Breaker      breakerView     `json:"breaker"`
	Concurrency  concurrencyView `json:"concurrency"`
	RateLimit    string          `json:"rate_limit,omitempty"`
	Backups      []string        `json:"backups"`
	// NextDue is when the first of what waits in the store falls due, or earlier.
	NextDue moment `json:"next_due,omitzero"`
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
		FailingSince: moment{s.State.FailingSince}, NextDue: moment{s.NextDue},
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
	switch {
	case ep == nil:
		v.State = "removed"
		return v
	case s.State.Paused:
		v.State = "paused"
	case s.State.Disabled != "":
		v.State = "disabled"
	}
	v.Description, v.URL = ep.Description, shownURL(ep.URL)
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

// shownURL leaves the values of a query out.
func shownURL(u *url.URL) string {
	shown := *u
	if q := shown.Query(); len(q) > 0 {
		for name := range q {
			q[name] = []string{"…"}
		}
		shown.RawQuery = strings.ReplaceAll(q.Encode(), url.QueryEscape("…"), "…")
	}
	return shown.String()
}

// endpoints lists by name; the cursor is the last name of the page before.
func (a *API) endpoints(_ context.Context, g Gateway, r *http.Request) (any, error) {
	q, p := parseQuery(r, "limit", "cursor")
	if p != nil {
		return nil, p
	}
	limit := defaultLimit
	if v, given := q["limit"]; given {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > maxLimit {
			return nil, badParameter("limit", "must be a number from 1 to "+strconv.Itoa(maxLimit))
		}
		limit = n
	}
	all := g.Endpoints()
	after := q["cursor"]
	from, found := slices.BinarySearchFunc(all, after, func(s delivery.EndpointStatus, name string) int { return strings.Compare(s.Name, name) })
	if found {
		from++
	}
	page := struct {
		Items []endpointView `json:"items"`
		Next  string         `json:"next,omitempty"`
	}{Items: []endpointView{}}
	all = all[from:]
	for i := range all[:min(limit, len(all))] {
		page.Items = append(page.Items, viewEndpoint(&all[i]))
	}
	if len(all) > limit {
		page.Next = all[limit-1].Name
	}
	return page, nil
}

func (a *API) endpoint(_ context.Context, g Gateway, r *http.Request) (any, error) {
	if _, p := parseQuery(r); p != nil {
		return nil, p
	}
	s, err := g.Endpoint(r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	return viewEndpoint(&s), nil
}

// operate makes the handler of an operator's step; it answers with the endpoint as it is then.
func (a *API) operate(do func(Gateway, context.Context, string) error) func(context.Context, Gateway, *http.Request) (any, error) {
	return func(ctx context.Context, g Gateway, r *http.Request) (any, error) {
		if err := do(g, ctx, r.PathValue("id")); err != nil {
			return nil, err
		}
		return a.endpoint(ctx, g, r)
	}
}
