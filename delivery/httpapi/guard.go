package httpapi

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"

	"github.com/atoship/caddy-webhooks/delivery"
)

// Guard finds out who calls the API. The zero value lets nobody in.
type Guard struct {
	open   func(*http.Request) string
	tokens []guardToken
	docs   func() delivery.Documents
}

type guardToken struct {
	hash   [sha256.Size]byte
	access Access
}

// OpenGuard lets everybody do everything: something before decided, or the user said so in as many words. name tells who it is,
// for the audit log; nil: nobody knows.
func OpenGuard(name func(*http.Request) string) *Guard {
	if name == nil {
		name = func(*http.Request) string { return "" }
	}
	return &Guard{open: name}
}

// TokenGuard lets in who bears a token added to it, or one made by API for a tenant; docs is where those are, nil while the
// gateway does not run.
func TokenGuard(docs func() delivery.Documents) *Guard { return &Guard{docs: docs} }

// Add lets a token in with this access. An empty one is left out, so that an unset variable never becomes a password.
func (g *Guard) Add(token string, access Access) {
	if token != "" {
		g.tokens = append(g.tokens, guardToken{sha256.Sum256([]byte(token)), access})
	}
}

// Access tells who calls. Its time tells nothing about the tokens added: both sides are hashed to one length, and every one is
// compared whatever the ones before it said.
func (g *Guard) Access(w http.ResponseWriter, r *http.Request) (Access, *Problem) {
	if g.open != nil {
		return Full(g.open(r)), nil
	}
	given, ok := bearer(r)
	if !ok {
		w.Header().Set("WWW-Authenticate", `Bearer realm="webhooks"`)
		return Access{}, &Problem{Status: http.StatusUnauthorized, Detail: "this needs an Authorization header with a bearer token"}
	}
	sum := sha256.Sum256([]byte(given))
	var found *Access
	for i := range g.tokens {
		if subtle.ConstantTimeCompare(sum[:], g.tokens[i].hash[:]) == 1 {
			found = &g.tokens[i].access
		}
	}
	if found == nil && strings.HasPrefix(given, tokenPrefix) {
		var p *Problem
		if found, p = g.made(r.Context(), given); p != nil {
			return Access{}, p
		}
	}
	if found == nil {
		w.Header().Set("WWW-Authenticate", `Bearer realm="webhooks", error="invalid_token"`)
		return Access{}, &Problem{Status: http.StatusUnauthorized, Detail: "the bearer token is not one of those allowed here, or it has ended"}
	}
	return *found, nil
}

// made looks a token up that was made by API.
func (g *Guard) made(ctx context.Context, given string) (*Access, *Problem) {
	var docs delivery.Documents
	if g.docs != nil {
		docs = g.docs()
	}
	if docs == nil {
		return nil, notReady()
	}
	access, err := TokenAccess(ctx, docs, given)
	if err != nil {
		return nil, &Problem{Status: http.StatusServiceUnavailable, RetryAfter: retryUnavailable, Detail: "the store cannot be read now"}
	}
	return access, nil
}
