package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/dashboard"
	"github.com/atoship/caddy-webhooks/delivery/httpapi"
)

func init() { caddy.RegisterModule((*Dashboard)(nil)) }

// Dashboard serves pages to work with the gateway, and the management API below `api/`. It needs the app `webhooks`.
type Dashboard struct {
	// The path it is at, without a final slash, which is taken off requests; the Caddyfile's matcher sets it. Default: none,
	// requests come with the path that they are to have.
	Prefix string `json:"prefix,omitempty"`

	// Who may enter: `token` asks for one of the bearer tokens in `token`, or one that was made by API for a tenant; `caddy`
	// leaves it to a handler before this one, such as basic_auth, forward_auth, or to client certificates; `none` lets everybody
	// do everything. Required.
	Auth string `json:"auth"`

	// The bearer tokens. Required with `auth` `token`.
	Token []DashboardToken `json:"token,omitempty"`

	// Origins that may show the pages in a frame, such as `https://shop.example.com`: a portal link opens there with one tenant's
	// webhooks. Default: none.
	FrameAncestors []string `json:"frame_ancestors,omitempty"`

	app   *App
	guard *httpapi.Guard
	api   *httpapi.API
	pages *dashboard.Handler
}

// DashboardToken is a bearer token and what it opens.
type DashboardToken struct {
	// The token, as `{env.NAME}` or `{file./path}`; read at load. Required.
	Value string `json:"value"`

	// Limits who bears it to the endpoints, events and deliveries of one tenant. Default: no limit.
	Tenant string `json:"tenant,omitempty"`

	// `viewer` sees everything but secrets; `operator` also changes, sends and reveals. Default: `operator`.
	Role string `json:"role,omitempty"`
}

// CaddyModule implements caddy.Module.
func (*Dashboard) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.webhooks_dashboard", New: func() caddy.Module { return new(Dashboard) }}
}

// Provision finds the app and resolves the tokens. The app's engine is asked for with each request: now it is not running.
func (d *Dashboard) Provision(ctx caddy.Context) error {
	app, err := ctx.AppIfConfigured(appID)
	switch {
	case errors.Is(err, caddy.ErrNotConfigured):
		return errors.New("webhooks_dashboard needs the global option webhooks, of which it shows what it does")
	case err != nil: // the app's own mistakes, told in full
		return err
	}
	d.app = app.(*App)
	if d.guard, err = d.newGuard(ctx.Logger()); err != nil {
		return fmt.Errorf("webhooks_dashboard: %w", err)
	}
	d.api = httpapi.NewAPI(d.gateway, ctx.Slogger())
	d.pages = &dashboard.Handler{Who: d.guard.Access, SignsIn: d.Auth == authToken, Frames: d.FrameAncestors}
	return endStreams(ctx, d.api)
}

// endStreams ends an API's event streams when Caddy begins to stop the config: its server waits for requests to end.
func endStreams(ctx caddy.Context, api *httpapi.API) error {
	app, err := ctx.App("events")
	if err != nil {
		return fmt.Errorf("loading the events app: %w", err)
	}
	return app.(*caddyevents.App).On("stopping", streamEnder{api})
}

type streamEnder struct{ api *httpapi.API }

// Handle implements caddyevents.Handler.
func (s streamEnder) Handle(context.Context, caddy.Event) error {
	s.api.EndStreams()
	return nil
}

// Validate refuses what no request could be served with.
func (d *Dashboard) Validate() error {
	for _, origin := range d.FrameAncestors {
		if u, err := url.Parse(origin); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.Path+u.RawQuery+u.Fragment != "" || strings.ContainsAny(origin, " ;,'") {
			return fmt.Errorf("webhooks_dashboard: frame_ancestors '%s' is no origin such as https://shop.example.com", origin)
		}
	}
	if d.Prefix != "" && (!strings.HasPrefix(d.Prefix, "/") || strings.HasSuffix(d.Prefix, "/")) {
		return fmt.Errorf("webhooks_dashboard: the prefix '%s' must start with a slash and not end in one", d.Prefix)
	}
	return nil
}

func (d *Dashboard) newGuard(log *zap.Logger) (*httpapi.Guard, error) {
	switch {
	case d.Auth == authToken && len(d.Token) == 0:
		return nil, errors.New("auth token needs at least one token")
	case d.Auth != authToken && len(d.Token) > 0:
		return nil, errors.New("tokens are for auth token only")
	}
	switch d.Auth {
	case authToken:
		guard := httpapi.TokenGuard(d.documents)
		for i, t := range d.Token {
			if err := t.addTo(guard, log, fmt.Sprintf("auth token %d", i+1)); err != nil {
				return nil, err
			}
		}
		return guard, nil
	case authCaddy:
		return httpapi.OpenGuard(authenticated), nil
	case authNone:
		return httpapi.OpenGuard(nil), nil
	case "":
		return nil, errors.New("say who may enter: auth token <secret>, auth caddy or auth none")
	}
	return nil, fmt.Errorf("auth is token, caddy or none, not '%s'", d.Auth)
}

func (t *DashboardToken) addTo(guard *httpapi.Guard, log *zap.Logger, where string) error {
	value, err := resolveSecret(log, t.Value, where)
	if err != nil {
		return err
	}
	access := httpapi.Full(where)
	if access.Tenant = t.Tenant; len(t.Tenant) > maxName {
		return fmt.Errorf("%s: a tenant has at most %d bytes", where, maxName)
	}
	if t.Role != "" {
		if access.Role, err = httpapi.ParseRole(t.Role); err != nil {
			return fmt.Errorf("%s: %w", where, err)
		}
	}
	guard.Add(value, access)
	return nil
}

// authenticated is the user that a handler before this one found.
func authenticated(r *http.Request) string {
	repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if !ok {
		return ""
	}
	user, _ := repl.GetString("http.auth.user.id")
	return user
}

// gateway is what the API asks for with each request; nil is answered 503.
func (d *Dashboard) gateway() httpapi.Gateway {
	e, err := d.app.engine()
	if err != nil {
		return nil
	}
	return e
}

func (d *Dashboard) documents() delivery.Documents {
	e, err := d.app.engine()
	if err != nil {
		return nil
	}
	return e.Documents()
}

// ServeHTTP implements caddyhttp.MiddlewareHandler. It always answers; nothing after it runs.
func (d *Dashboard) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	full := r.URL.Path
	if original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok {
		full = original.URL.Path
	}
	rest := strings.TrimPrefix(r.URL.Path, d.Prefix)
	if rest == "" {
		target := *r.URL
		target.Scheme, target.Host, target.Path, target.RawPath = "", "", full+"/", ""
		http.Redirect(w, r, target.String(), http.StatusPermanentRedirect) //nolint:gosec // its own path, with a slash
		return nil
	}
	base := strings.TrimSuffix(full, strings.TrimPrefix(rest, "/"))
	if strings.HasPrefix(rest, "/api/") {
		r = dashboard.Authorize(r)
		access, p := d.guard.Access(w, r)
		if p != nil {
			p.Write(w)
			return nil
		}
		http.StripPrefix(d.Prefix+"/api", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			d.api.ServeAs(w, r, access)
		})).ServeHTTP(w, r)
		return nil
	}
	d.pages.Serve(w, r, rest, base)
	return nil
}

// Interface guards.
var (
	_ caddy.Provisioner           = (*Dashboard)(nil)
	_ caddy.Validator             = (*Dashboard)(nil)
	_ caddyhttp.MiddlewareHandler = (*Dashboard)(nil)
)
