package caddymodule

import (
	"sync"
	"weak"

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

// Router implements Router. Rules that the config before this one has too are not compiled again.
func (*ExprRouter) Router(c rules.Config) (delivery.Router, error) {
	set, err := compiled.compile(c)
	if err != nil {
		return nil, err
	}
	return delivery.RuleRouter{Set: set}, nil
}

// compiled knows the rules of the running config: when the next one is loaded, this one is still there.
var compiled lastRules

// lastRules remembers the rule set compiled last for as long as something uses it.
type lastRules struct {
	mu  sync.Mutex
	set weak.Pointer[rules.Set]
}

func (l *lastRules) compile(c rules.Config) (*rules.Set, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	compile := rules.Compile
	if set := l.set.Value(); set != nil {
		compile = set.Recompile
	}
	set, err := compile(c)
	if err == nil {
		l.set = weak.Make(set)
	}
	return set, err
}

var _ Router = (*ExprRouter)(nil)
