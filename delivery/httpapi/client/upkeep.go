package client

import (
	"context"
	"net/url"
	"strconv"
	"time"
)

// EndpointStats counts the deliveries of one endpoint by state.
type EndpointStats struct {
	Endpoint  string    `json:"endpoint"`
	Pending   uint64    `json:"pending"`
	Delivered uint64    `json:"delivered"`
	Exhausted uint64    `json:"exhausted"`
	Cancelled uint64    `json:"cancelled"`
	OldestDue time.Time `json:"oldest_due"` // since when the first of what is due there waits
}

// StatsByEndpoint counts deliveries by endpoint, those with the most pending first: limit of them, 50 for 0. Total is how
// many endpoints there are.
func (c *Client) StatsByEndpoint(ctx context.Context, limit int) (items []EndpointStats, total int, err error) {
	v := url.Values{}
	if limit != 0 {
		v.Set("limit", strconv.Itoa(limit))
	}
	out, err := get[struct {
		Items []EndpointStats `json:"items"`
		Total int             `json:"total"`
	}](ctx, c, "stats/endpoints", v)
	return out.Items, out.Total, err
}

// Backup copies the store, at work, to a directory of the gateway's machine that must not exist yet, and answers when the
// copy is on disk. Caddy's admin endpoint alone does that; a dashboard refuses.
func (c *Client) Backup(ctx context.Context, directory string) error {
	_, err := c.do(ctx, request{method: "POST", path: "store/backup", body: map[string]string{"directory": directory}}, nil)
	return err
}

// Erasure tells what was erased.
type Erasure struct {
	Erased    int `json:"erased"`    // events
	Cancelled int `json:"cancelled"` // deliveries
	// Pending events were left as they are. Next is for the call that goes on; empty at the end.
	Pending int    `json:"pending"`
	Next    string `json:"next"`
}

// EraseEvent erases the payload of an event; tenant, if not nil, tells which of several with the id. With deliveries pending it
// is a *Problem with status 409, unless cancel says to cancel them.
func (c *Client) EraseEvent(ctx context.Context, id string, tenant *string, cancel bool) (out Erasure, err error) {
	v := url.Values{}
	setTenant(v, tenant)
	body := map[string]bool{"cancel_pending": cancel}
	_, err = c.do(ctx, request{method: "POST", path: at("events", id, "erase"), query: v, body: body}, &out)
	return out, err
}

// EraseTenant erases the payloads of a tenant's events, up to 20,000 in one call: repeat it with the Next of the answer, which
// is empty at first and at the end.
func (c *Client) EraseTenant(ctx context.Context, tenant string, cancel bool, next string) (Erasure, error) {
	return post[Erasure](ctx, c, "store/erase", map[string]any{"tenant": tenant, "cancel_pending": cancel, "next": next})
}

// PortalLink shows a tenant's webhooks and nothing else.
type PortalLink struct {
	// URL is relative to the dashboard's own.
	URL     string    `json:"url"`
	Expires time.Time `json:"expires"`
	// ID of the token in it: DeleteToken ends the link.
	ID string `json:"id"`
}

// CreatePortalLink makes a link for a tenant's people. A zero time is in an hour, an empty role operator.
func (c *Client) CreatePortalLink(ctx context.Context, tenant, role string, expires time.Time) (PortalLink, error) {
	return post[PortalLink](ctx, c, at("tenants", tenant, "portal-links"), struct {
		Role    string    `json:"role,omitempty"`
		Expires time.Time `json:"expires,omitzero"`
	}{role, expires})
}
