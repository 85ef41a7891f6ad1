package caddymodule

import (
	"github.com/caddyserver/caddy/v2"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/rules"
)

const routerNamespace = "webhooks.routers"

func init() { caddy.RegisterModule((*ExprRouter)(nil)) }

// Router is what modules in the namespace webhooks.routers implement.
type Router interface {
	// Router makes the decider of one config. It gets the routes, subscriptions and endpoint names as configured; with
	// which of them it works is its own matter. It must report every mistake it can find, because this is the last moment
	// at which a mistake stops the config instead of an event.
	Router(c rules.Config) (delivery.Router, error)
}

// ExprRouter evaluates the routes and subscriptions of the config, whose conditions are written in the expr language.
type ExprRouter struct{}

// CaddyModule implements caddy.Module.
func (*ExprRouter) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: routerNamespace + ".expr", New: func() caddy.Module { return new(ExprRouter) }}
}

// Router implements Router.
func (*ExprRouter) Router(c rules.Config) (delivery.Router, error) {
	set, err := rules.Compile(c)
	if err != nil {
		return nil, err
	}
	return delivery.RuleRouter{Set: set}, nil
}

var _ Router = (*ExprRouter)(nil)
