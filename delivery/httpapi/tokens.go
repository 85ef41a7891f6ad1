package httpapi

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/payload"
)

// Tokens of tenants are made by API and end by themselves. What a token says is `whtok_<id>_<random>`; the store has its id,
// whose it is, and the SHA-256 of the whole: 256 random bits need no slower hash.
const (
	tokenKind   = "token"
	tokenPrefix = "whtok_"

	defaultTokenLife = 90 * 24 * time.Hour
	maxTokenLife     = 10 * 365 * 24 * time.Hour
	// maxTokens bounds the tokens of a tenant, and so what listing them costs.
	maxTokens = 100
)

// token is the document of one.
type token struct {
	Tenant      string    `json:"tenant"`
	Role        string    `json:"role"`
	Description string    `json:"description,omitempty"`
	Hash        string    `json:"hash"`
	Created     time.Time `json:"created"`
	Expires     time.Time `json:"expires"`
}

type tokenView struct {
	ID          string `json:"id"`
	Tenant      string `json:"tenant"`
	Role        string `json:"role"`
	Description string `json:"description,omitempty"`
	Created     moment `json:"created"`
	Expires     moment `json:"expires"`
	Expired     bool   `json:"expired,omitempty"`
	// Token is shown once, when it is made.
	Token string `json:"token,omitempty"`
}

func viewToken(id string, t *token) tokenView {
	return tokenView{
		ID: id, Tenant: t.Tenant, Role: t.Role, Description: t.Description, Created: moment{t.Created}, Expires: moment{t.Expires},
		Expired: !time.Now().Before(t.Expires),
	}
}

type tokenPageView struct {
	Items []tokenView `json:"items"`
	Next  string      `json:"next"` // empty on the last page
}

// tokenRequest is the body that asks for a token.
type tokenRequest struct {
	Role        string    `json:"role"`    // viewer, the default, or operator
	Expires     time.Time `json:"expires"` // default: in 90 days
	Description string    `json:"description"`
}

// createToken makes a token for a tenant.
func (a *API) createToken(ctx context.Context, c *call) (any, error) {
	tenant, p := c.tenant()
	if p != nil {
		return nil, p
	}
	var req tokenRequest
	if p := c.optional(&req); p != nil {
		return nil, p
	}
	t, p := req.token(tenant, time.Now().UTC().Truncate(time.Millisecond))
	if p != nil {
		return nil, p
	}
	v, err := a.keepToken(ctx, c, t)
	if err != nil {
		return nil, err
	}
	return &reply{status: http.StatusCreated, location: "tokens/" + v.ID, body: v}, nil
}

// keepToken draws a token, and stores what it opens.
func (a *API) keepToken(ctx context.Context, c *call, t *token) (v tokenView, err error) {
	docs := c.gateway.Documents()
	if all, err := tokensOf(ctx, docs, t.Tenant); err != nil {
		return v, err
	} else if len(all) >= maxTokens {
		return v, &Problem{Status: http.StatusConflict, Detail: fmt.Sprintf("the tenant has %d tokens already: delete one", maxTokens)}
	}
	id, text := newToken()
	sum := sha256.Sum256([]byte(text))
	t.Hash = hex.EncodeToString(sum[:])
	body, err := json.Marshal(t)
	if err != nil {
		return v, err
	}
	if _, err := docs.PutDocument(ctx, delivery.Document{Kind: tokenKind, Name: id, Body: body}); err != nil {
		return v, err
	}
	a.audit(ctx, c, "made a token for tenant "+t.Tenant, id)
	v = viewToken(id, t)
	v.Token = text
	return v, nil
}

// token checks what was asked for.
func (r *tokenRequest) token(tenant string, now time.Time) (*token, *Problem) {
	wrong := func(member, detail string) *Problem {
		return &Problem{Status: http.StatusUnprocessableEntity, Pointer: "/" + member, Detail: detail}
	}
	t := &token{Tenant: tenant, Role: r.Role, Description: r.Description, Created: now, Expires: now.Add(defaultTokenLife)}
	if t.Role == "" {
		t.Role = Viewer.String()
	}
	if _, err := ParseRole(t.Role); err != nil {
		return nil, wrong("role", err.Error())
	}
	if len(t.Description) > 256 {
		return nil, wrong("description", "longer than 256 bytes")
	}
	if !r.Expires.IsZero() {
		t.Expires = r.Expires.UTC().Truncate(time.Millisecond)
	}
	if !t.Expires.After(now) || t.Expires.Sub(now) > maxTokenLife {
		return nil, wrong("expires", "must lie ahead, at most ten years")
	}
	return t, nil
}

// newToken draws a token.
func newToken() (id, text string) {
	var b [48]byte
	_, _ = rand.Read(b[:]) // never fails: it ends the program instead
	id = "tok_" + hex.EncodeToString(b[:16])
	return id, tokenPrefix + id[len("tok_"):] + "_" + base64.RawURLEncoding.EncodeToString(b[16:])
}

// tokens lists a tenant's tokens, by id.
func (*API) tokens(ctx context.Context, c *call) (any, error) {
	q, limit, p := pageQuery(c.Request)
	if p != nil {
		return nil, p
	}
	tenant, p := c.tenantName()
	if p != nil {
		return nil, p
	}
	all, err := tokensOf(ctx, c.gateway.Documents(), tenant)
	if err != nil {
		return nil, err
	}
	page := tokenPageView{Items: []tokenView{}}
	for _, v := range all {
		switch {
		case v.ID <= q["cursor"]:
		case len(page.Items) == limit:
			page.Next = page.Items[limit-1].ID
			return page, nil
		default:
			page.Items = append(page.Items, v)
		}
	}
	return page, nil
}

// tokensOf reads the tokens of a tenant.
func tokensOf(ctx context.Context, docs delivery.Documents, tenant string) (all []tokenView, err error) {
	for after := ""; ; {
		page, err := docs.ListDocuments(ctx, tokenKind, after, delivery.MaxDocuments)
		if err != nil || len(page) == 0 {
			return all, err
		}
		for i := range page {
			after = page[i].Name
			if t, err := decodeToken(&page[i]); err == nil && t.Tenant == tenant {
				all = append(all, viewToken(after, t))
			}
		}
	}
}

// deleteToken ends a token at once. Tokens never change, so there is no version to name.
func (a *API) deleteToken(ctx context.Context, c *call) (any, error) {
	tenant, p := c.tenant()
	if p != nil {
		return nil, p
	}
	docs, id := c.gateway.Documents(), c.PathValue("id")
	d, err := docs.Document(ctx, tokenKind, id)
	if err != nil {
		return nil, err
	}
	if t, err := decodeToken(&d); err != nil || t.Tenant != tenant {
		return nil, delivery.ErrNotFound
	}
	if err := docs.DeleteDocument(ctx, tokenKind, id, d.Revision); err != nil {
		return nil, err
	}
	a.audit(ctx, c, "deleted a token of tenant "+tenant, id)
	return &reply{}, nil
}

func decodeToken(d *delivery.Document) (*token, error) {
	t := new(token)
	if err := json.Unmarshal(d.Body, t); err != nil {
		return nil, fmt.Errorf("token %s: %w", d.Name, err)
	}
	return t, nil
}

// tenant is the tenant of the path, where no parameters are taken.
func (c *call) tenant() (string, *Problem) {
	if _, p := parseQuery(c.Request); p != nil {
		return "", p
	}
	return c.tenantName()
}

func (c *call) tenantName() (string, *Problem) {
	tenant := c.PathValue("tenant")
	if tenant == "" || len(tenant) > payload.MaxName {
		return "", notFound("a tenant has a name of 1 to 128 bytes")
	}
	return tenant, nil
}

// TokenAccess is who holds a token that was made by API; nil: nobody, or nobody any more. Errors are those of the store.
func TokenAccess(ctx context.Context, docs delivery.Documents, text string) (*Access, error) {
	rest, ok := strings.CutPrefix(text, tokenPrefix)
	id, _, found := strings.Cut(rest, "_")
	if !ok || !found || len(id) != 32 {
		return nil, nil //nolint:nilnil // nobody
	}
	d, err := docs.Document(ctx, tokenKind, "tok_"+id)
	if errors.Is(err, delivery.ErrNotFound) {
		return nil, nil //nolint:nilnil // nobody
	}
	if err != nil {
		return nil, err
	}
	t, err := decodeToken(&d)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(text))
	role, err := ParseRole(t.Role)
	if err != nil || t.Tenant == "" || !time.Now().Before(t.Expires) ||
		subtle.ConstantTimeCompare([]byte(hex.EncodeToString(sum[:])), []byte(t.Hash)) != 1 {
		return nil, nil //nolint:nilerr,nilnil // nobody
	}
	return &Access{Name: d.Name, Tenant: t.Tenant, Role: role}, nil
}
