package httpapi

import (
	"context"
	"encoding/json"
	"time"

	"github.com/atoship/caddy-webhooks/delivery/payload"
)

// catalogView lists event types; Closed tells that other types are refused.
type catalogView struct {
	Closed bool                `json:"closed"`
	Events []payload.EventType `json:"events"`
}

// egressView is the shape of egress.List's JSON.
type egressView struct {
	SyncToken  string       `json:"syncToken"`
	CreateDate string       `json:"createDate"`
	Prefixes   []prefixView `json:"prefixes"`
	Prefixes6  []prefixView `json:"ipv6_prefixes"`
}

type prefixView struct {
	IPv4      string `json:"ip_prefix,omitempty"`
	IPv6      string `json:"ipv6_prefix,omitempty"`
	Profile   string `json:"profile"`
	Status    string `json:"status"`
	NotBefore string `json:"not_before,omitempty"`
}

// catalog lists the event types, in the shape of the catalog file; without a catalog there are none and every type is taken.
func (*API) catalog(_ context.Context, c *call) (any, error) {
	if _, p := parseQuery(c.Request); p != nil {
		return nil, p
	}
	plan := c.gateway.Plan()
	if plan == nil {
		return nil, notReady()
	}
	v := catalogView{Closed: plan.Intake.Catalog != nil, Events: []payload.EventType{}}
	if listed, ok := plan.Intake.Catalog.(interface{ Types() []payload.EventType }); ok {
		v.Events = listed.Types()
	}
	return v, nil
}

// egress is the list of addresses that deliveries come from, as the egress list shows it to customers.
func (*API) egress(_ context.Context, c *call) (any, error) {
	if _, p := parseQuery(c.Request); p != nil {
		return nil, p
	}
	plan := c.gateway.Plan()
	if plan == nil || plan.Egress == nil {
		return nil, notReady()
	}
	text, err := plan.Egress.JSON(time.Now(), plan.PlannedAt)
	if err != nil {
		return nil, err
	}
	return json.RawMessage(text), nil
}

// health tells how the gateway is; see Health.
func (*API) health(_ context.Context, c *call) (any, error) {
	h := &Health{Engine: func() Gateway { return c.gateway }, Terse: c.access.Tenant != ""}
	h.ServeHTTP(c.w, c.Request)
	return answered, nil
}
