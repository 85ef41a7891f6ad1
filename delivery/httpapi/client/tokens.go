package client

import (
	"context"
	"time"
)

// Token opens the API for callers of one tenant.
type Token struct {
	ID          string    `json:"id"`
	Tenant      string    `json:"tenant"`
	Role        string    `json:"role"` // viewer, operator
	Description string    `json:"description"`
	Created     time.Time `json:"created"`
	Expires     time.Time `json:"expires"`
	Expired     bool      `json:"expired"`
	// Token is shown once, when it is made.
	Token string `json:"token"`
}

// NewToken says what a token is to be; the zero value is a viewer's for 90 days.
type NewToken struct {
	Role        string    `json:"role,omitempty"`
	Expires     time.Time `json:"expires,omitzero"`
	Description string    `json:"description,omitempty"`
}

// Tokens lists the tokens of a tenant.
func (c *Client) Tokens(ctx context.Context, tenant string, p Page) (List[Token], error) {
	return get[List[Token]](ctx, c, at("tenants", tenant, "tokens"), p.values())
}

// CreateToken makes a token for a tenant.
func (c *Client) CreateToken(ctx context.Context, tenant string, t NewToken) (Token, error) {
	return post[Token](ctx, c, at("tenants", tenant, "tokens"), t)
}

// DeleteToken ends a token at once.
func (c *Client) DeleteToken(ctx context.Context, tenant, id string) error {
	_, err := c.do(ctx, request{method: "DELETE", path: at("tenants", tenant, "tokens", id)}, nil)
	return err
}
