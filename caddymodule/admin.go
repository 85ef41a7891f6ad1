package caddymodule

import (
	"context"
	"net/http"

	"github.com/caddyserver/caddy/v2"

	"github.com/atoship/caddy-webhooks/delivery/httpapi"
)

// adminPath is where the management API is at Caddy's admin endpoint.
const adminPath = "/webhooks"

func init() { caddy.RegisterModule((*Admin)(nil)) }

// Admin serves the management API at Caddy's admin endpoint, under `/webhooks/`. Who reaches the admin endpoint reads
// events with their payloads: keep it local, or on a unix socket.
type Admin struct {
	api http.Handler
}

// CaddyModule implements caddy.Module.
func (*Admin) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "admin.api.webhooks", New: func() caddy.Module { return new(Admin) }}
}

// Provision implements caddy.Provisioner.
func (a *Admin) Provision(ctx caddy.Context) error {
	api := httpapi.NewAPI(activeEngine, ctx.Slogger()).AllowBackup()
	// A reload gives the admin endpoint a new server, and the old one waits for its requests: those that follow would hold it up.
	// These routers are not the apps' to stop, and one made for a config that fails goes on serving.
	context.AfterFunc(ctx, api.BreakStreams)
	a.api = http.StripPrefix(adminPath, api)
	return nil
}

// Routes implements caddy.AdminRouter.
func (a *Admin) Routes() []caddy.AdminRoute {
	return []caddy.AdminRoute{{
		Pattern: adminPath + "/",
		Handler: caddy.AdminHandlerFunc(func(w http.ResponseWriter, r *http.Request) error {
			a.api.ServeHTTP(w, r)
			return nil
		}),
	}}
}

// activeEngine is the engine of the config in force, nil without one. It is asked for with each request: routers are made
// before the apps of their config, and stay when a later config fails.
func activeEngine() httpapi.Gateway {
	app, err := caddy.ActiveContext().AppIfConfigured(appID)
	if err != nil {
		return nil
	}
	e, err := app.(*App).engine()
	if err != nil {
		return nil
	}
	return e
}

// Interface guards.
var (
	_ caddy.Provisioner = (*Admin)(nil)
	_ caddy.AdminRouter = (*Admin)(nil)
)
