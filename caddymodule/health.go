package caddymodule

import (
	"errors"
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/atoship/caddy-webhooks/delivery/httpapi"
)

func init() { caddy.RegisterModule((*HealthCheck)(nil)) }

// HealthCheck tells load balancers and supervisors, who cannot reach Caddy's admin endpoint, whether the gateway works:
// 200 or 503. At a path that ends in `/live` it tells whether it runs at all, at any other whether it takes events now. It
// names no endpoint and no number, and asks nobody who they are. It needs the app `webhooks`.
type HealthCheck struct {
	handler httpapi.Health
}

// CaddyModule implements caddy.Module.
func (*HealthCheck) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.webhooks_health", New: func() caddy.Module { return new(HealthCheck) }}
}

// Provision finds the app. Its engine is asked for with each request: now it is not running.
func (h *HealthCheck) Provision(ctx caddy.Context) error {
	app, err := ctx.AppIfConfigured(appID)
	switch {
	case errors.Is(err, caddy.ErrNotConfigured):
		return errors.New("webhooks_health needs the global option webhooks, whose health it tells")
	case err != nil: // the app's own mistakes, told in full
		return err
	}
	a := app.(*App)
	h.handler = httpapi.Health{Terse: true, Engine: func() httpapi.Gateway {
		e, err := a.engine()
		if err != nil {
			return nil
		}
		return e
	}}
	return nil
}

// ServeHTTP implements caddyhttp.MiddlewareHandler. It always answers; nothing after it runs.
func (h *HealthCheck) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	h.handler.ServeHTTP(w, r)
	return nil
}

// parseHealth reads `webhooks_health [<matcher>]`.
func parseHealth(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	d := h.Dispenser
	d.Next() // the directive's name
	if d.NextArg() {
		return nil, d.Errf("webhooks_health: surplus word '%s'; it has no options", d.Val())
	}
	return new(HealthCheck), words{block: "webhooks_health", options: map[string]option{}}.parse(d)
}

// Interface guards.
var (
	_ caddy.Provisioner           = (*HealthCheck)(nil)
	_ caddyhttp.MiddlewareHandler = (*HealthCheck)(nil)
)
