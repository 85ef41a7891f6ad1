package httpapi

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// portalLife is how long a portal link works unless it says otherwise: for the visit it was made for.
const portalLife = time.Hour

// portalRequest is the body that asks for a link; all of it is optional.
type portalRequest struct {
	Expires time.Time `json:"expires"` // default: in an hour
	Role    string    `json:"role"`    // operator, the default, or viewer
}

// portalView is a link that shows a tenant's webhooks and nothing else.
type portalView struct {
	// URL is relative to the dashboard's own, such as https://gateway.example.com/webhooks/. The token stands behind its #, which
	// browsers send to no server. accent, surface, text and radius may be added to set the page's colours: &accent=%23aa3377.
	URL     string `json:"url"`
	Expires moment `json:"expires"`
	// ID of the token in it: deleting it ends the link.
	ID string `json:"id"`
}

// createPortalLink makes a link for a tenant's people.
func (a *API) createPortalLink(ctx context.Context, c *call) (any, error) {
	tenant, p := c.tenant()
	if p != nil {
		return nil, p
	}
	var req portalRequest
	if p := c.optional(&req); p != nil {
		return nil, p
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	want := tokenRequest{Role: req.Role, Expires: req.Expires, Description: "portal link"}
	if want.Role == "" {
		want.Role = Operator.String()
	}
	if want.Expires.IsZero() {
		want.Expires = now.Add(portalLife)
	}
	t, p := want.token(tenant, now)
	if p != nil {
		return nil, p
	}
	v, err := a.keepToken(ctx, c, t)
	if err != nil {
		return nil, err
	}
	return &reply{status: http.StatusCreated, body: portalView{"#/portal?token=" + url.QueryEscape(v.Token), v.Expires, v.ID}}, nil
}
