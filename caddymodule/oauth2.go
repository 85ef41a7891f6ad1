package caddymodule

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"weak"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"go.uber.org/zap"

	"github.com/atoship/caddy-webhooks/delivery/egress"
)

// OAuth2 sends a bearer token with every attempt, obtained with client credentials (RFC 6749, section 4.4). It is kept until
// shortly before its end. A token endpoint that fails costs the endpoint no tries.
type OAuth2 struct {
	// The https URL of the token endpoint. It is reached through the endpoint's egress profile, under the same rules for
	// addresses and ports. Placeholders like `{env.X}` and `{file.X}` are replaced at load. Required.
	TokenURL string `json:"token_url"`

	// The client's id. Placeholders are replaced at load. Required.
	ClientID string `json:"client_id"`

	// The client's secret, as `{env.NAME}` or `{file./path}`; a literal one works and is warned about. Required.
	ClientSecret string `json:"client_secret"`

	// The scopes to ask for. Default: none, the server chooses.
	Scopes []string `json:"scopes,omitempty"`

	// How the token endpoint is verified, and how we identify ourselves to it; the endpoint's own `tls` does not apply to
	// it. Default: the system's authorities, no client certificate.
	TLS *EndpointTLS `json:"tls,omitempty"`
}

// parseOAuth2 reads
//
//	oauth2 {
//		token_url <url>
//		client_id <id>
//		client_secret <secret>
//		scopes <scope>…
//		tls {
//			<as for the endpoint>
//		}
//	}
func (o *EndpointOptions) parseOAuth2(d *caddyfile.Dispenser) error {
	c := new(OAuth2)
	o.OAuth2 = c
	err := words{
		block: "oauth2",
		options: map[string]option{
			"token_url":     func(d *caddyfile.Dispenser) error { return one(d, &c.TokenURL) },
			"client_id":     func(d *caddyfile.Dispenser) error { return one(d, &c.ClientID) },
			"client_secret": func(d *caddyfile.Dispenser) error { return secretText(d, &c.ClientSecret) },
			"scopes":        func(d *caddyfile.Dispenser) error { return some(d, &c.Scopes) },
			"tls": func(d *caddyfile.Dispenser) error {
				c.TLS = new(EndpointTLS)
				return c.TLS.parse(d)
			},
		},
	}.parse(d)
	if err == nil && (c.TokenURL == "" || c.ClientID == "" || c.ClientSecret == "") {
		return d.Err("oauth2 needs a block with token_url, client_id and client_secret")
	}
	return err
}

// authorized adds the token to what next sends, if the endpoint is to get one.
func (a *App) authorized(ctx caddy.Context, e *Endpoint, o *EndpointOptions, exit *egressProfile, next http.RoundTripper) (http.RoundTripper, error) {
	if o.OAuth2 == nil {
		return next, nil
	}
	for name := range o.Header {
		if strings.EqualFold(name, "Authorization") {
			return nil, errors.New("oauth2 and a header Authorization exclude each other")
		}
	}
	credentials, err := o.OAuth2.credentials(a.logger.With(zap.String("endpoint", e.Name)), exit)
	if err != nil {
		return nil, fmt.Errorf("oauth2: %w", err)
	}
	through, err := a.transport(ctx, exit, o.OAuth2.TLS)
	if err != nil {
		return nil, fmt.Errorf("oauth2: %w", err)
	}
	tokens, err := sharedTokens(credentials, through)
	if err != nil {
		return nil, err
	}
	return &egress.Bearer{Tokens: tokens, Next: next}, nil
}

// credentials resolves and checks the settings.
func (c *OAuth2) credentials(log *zap.Logger, exit *egressProfile) (egress.ClientCredentials, error) {
	var out egress.ClientCredentials
	text, err := resolve(c.TokenURL)
	if err != nil {
		return out, fmt.Errorf("token_url: %w", err)
	}
	if out.TokenURL, err = exit.checkURL(text); err != nil {
		return out, fmt.Errorf("token_url: %w", err)
	}
	if out.ID, err = resolve(c.ClientID); err != nil {
		return out, fmt.Errorf("client_id: %w", err)
	}
	if out.Secret, err = resolveSecret(log, c.ClientSecret, "client_secret"); err != nil {
		return out, err
	}
	out.Scopes = c.Scopes
	return out, nil
}

// tokensKey is all that makes two sources of tokens different: the credentials, and the way to the token endpoint.
type tokensKey struct {
	credentials [sha256.Size]byte
	through     *transport
}

// tokens are the sources in use by any config, so that endpoints with one client's credentials share a token, and a reload
// keeps it: a thousand endpoints must not ask for theirs at once whenever a config changes. A source goes with the last plan
// that has it.
var tokens = struct {
	sync.Mutex
	known map[tokensKey]weak.Pointer[egress.Tokens]
}{known: make(map[tokensKey]weak.Pointer[egress.Tokens])}

func sharedTokens(c egress.ClientCredentials, through *transport) (*egress.Tokens, error) {
	key := tokensKey{
		credentials: sha256.Sum256(fmt.Appendf(nil, "%q %q %q %q", c.TokenURL, c.ID, c.Secret, c.Scopes)),
		through:     through,
	}
	tokens.Lock()
	defer tokens.Unlock()
	if known := tokens.known[key].Value(); known != nil {
		return known, nil
	}
	made, err := egress.NewTokens(c, through)
	if err != nil {
		return nil, err
	}
	entry := weak.Make(made)
	tokens.known[key] = entry
	runtime.AddCleanup(made, func(key tokensKey) {
		tokens.Lock()
		defer tokens.Unlock()
		if tokens.known[key] == entry { // not yet replaced
			delete(tokens.known, key)
		}
	}, key)
	return made, nil
}
