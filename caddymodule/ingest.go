package caddymodule

import (
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/atoship/caddy-webhooks/delivery/httpapi"
)

// Ways to say who may publish.
const (
	authToken = "token"
	authCaddy = "caddy"
	authNone  = "none"
)

func init() { caddy.RegisterModule((*Ingest)(nil)) }

// Ingest takes events from publishers. It answers 202 once they would survive a power cut, and every error as
// application/problem+json. It needs the app `webhooks`.
type Ingest struct {
	// Who may publish: `token` asks for one of the bearer tokens in `token`; `caddy` leaves it to a handler before this
	// one, such as basic_auth, forward_auth, or to client certificates; `none` lets everybody in. Required.
	Auth string `json:"auth"`

	// The bearer tokens, as `{env.NAME}` or `{file./path}`; read at load. Required with `auth` `token`.
	Token []string `json:"token,omitempty"`

	// The environment of every event taken here; events that name another are refused. Default: events name their own.
	Environment string `json:"environment,omitempty"`

	// The tenant of every event taken here; events that name another are refused. Default: events name their own.
	Tenant string `json:"tenant,omitempty"`

	// The status of an accepted event, 202 or 200. Default: `202`.
	Status int `json:"status,omitempty"`

	// The type of the event that each request becomes, with the whole body as its data: for webhooks of others.
	// Default: none, requests are events.
	Wrap string `json:"wrap,omitempty"`

	app     *App
	handler httpapi.Ingest
}

// CaddyModule implements caddy.Module.
func (*Ingest) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.webhooks_ingest", New: func() caddy.Module { return new(Ingest) }}
}

// Provision finds the app and resolves the tokens. The app's engine is asked for with each request: now it is not running.
func (i *Ingest) Provision(ctx caddy.Context) error {
	app, err := ctx.AppIfConfigured(appID)
	switch {
	case errors.Is(err, caddy.ErrNotConfigured):
		return errors.New("webhooks_ingest needs the global option webhooks, which says where events go")
	case err != nil: // the app's own mistakes, told in full
		return err
	}
	i.app = app.(*App)
	auth, err := i.auth(ctx.Logger())
	if err != nil {
		return err
	}
	i.handler = httpapi.Ingest{
		Engine:      i.engine,
		Auth:        auth,
		Environment: i.Environment,
		Tenant:      i.Tenant,
		Status:      i.Status,
		Wrap:        i.Wrap,
		VerifiedID:  verifiedID,
		Refused:     meters.Rejected,
		Logger:      ctx.Slogger(),
	}
	return nil
}

// Validate refuses what no request could be served with.
func (i *Ingest) Validate() error {
	switch {
	case i.Status != 0 && i.Status != http.StatusOK && i.Status != http.StatusAccepted:
		return fmt.Errorf("status is 202 or 200, not %d", i.Status)
	case len(i.Environment) > maxName || len(i.Tenant) > maxName:
		return fmt.Errorf("environment and tenant have at most %d bytes", maxName)
	}
	if declared := i.app.Environment; i.Environment != "" && len(declared) > 0 && !slices.Contains(declared, i.Environment) {
		return fmt.Errorf("environment '%s' is not one of those declared: %v", i.Environment, declared)
	}
	return nil
}

func (i *Ingest) auth(log *zap.Logger) (httpapi.Auth, error) {
	switch {
	case i.Auth == authToken && len(i.Token) == 0:
		return httpapi.Auth{}, errors.New("webhooks_ingest: auth token needs at least one token")
	case i.Auth != authToken && len(i.Token) > 0:
		return httpapi.Auth{}, errors.New("webhooks_ingest: tokens are for auth token only")
	}
	switch i.Auth {
	case authToken:
		tokens := make([]string, len(i.Token))
		for n, text := range i.Token {
			var err error
			if tokens[n], err = resolveSecret(log, text, fmt.Sprintf("webhooks_ingest, auth token %d", n+1)); err != nil {
				return httpapi.Auth{}, err
			}
		}
		return httpapi.TokenAuth(tokens...), nil
	case authCaddy, authNone:
		return httpapi.OpenAuth(), nil
	case "":
		return httpapi.Auth{}, errors.New("webhooks_ingest: say who may publish: auth token <secret>, auth caddy or auth none")
	}
	return httpapi.Auth{}, fmt.Errorf("webhooks_ingest: auth is token, caddy or none, not '%s'", i.Auth)
}

// engine is what the handler asks for with each request; nil is answered 503.
func (i *Ingest) engine() httpapi.Engine {
	e, err := i.app.engine()
	if err != nil {
		return nil
	}
	return e
}

// ServeHTTP implements caddyhttp.MiddlewareHandler. It always answers; nothing after it runs.
func (i *Ingest) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	i.handler.ServeHTTP(w, i.app.joined(r))
	return nil
}

// Interface guards.
var (
	_ caddy.Provisioner           = (*Ingest)(nil)
	_ caddy.Validator             = (*Ingest)(nil)
	_ caddyhttp.MiddlewareHandler = (*Ingest)(nil)
)
