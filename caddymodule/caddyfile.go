package caddymodule

import (
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
)

func init() {
	httpcaddyfile.RegisterGlobalOption(appID, parseApp)

	httpcaddyfile.RegisterHandlerDirective("webhooks_ingest", parseIngest)
	httpcaddyfile.RegisterDirectiveOrder("webhooks_ingest", httpcaddyfile.Before, "respond")
	httpcaddyfile.RegisterDirective("webhooks_dashboard", parseDashboard)
	httpcaddyfile.RegisterDirectiveOrder("webhooks_dashboard", httpcaddyfile.Before, "respond")
	httpcaddyfile.RegisterHandlerDirective("webhooks_egress_list", parseEgressList)
	httpcaddyfile.RegisterDirectiveOrder("webhooks_egress_list", httpcaddyfile.Before, "respond")
	httpcaddyfile.RegisterHandlerDirective("webhooks_health", parseHealth)
	httpcaddyfile.RegisterDirectiveOrder("webhooks_health", httpcaddyfile.Before, "respond")
	httpcaddyfile.RegisterHandlerDirective("webhooks_verify", parseVerify)
	httpcaddyfile.RegisterDirectiveOrder("webhooks_verify", httpcaddyfile.After, "forward_auth")
}

// option reads what follows an option's name.
type option = func(d *caddyfile.Dispenser) error

// parseApp reads the global option:
//
//	webhooks {
//		store <module> …
//		retention|dedupe|expire|drain <duration>
//		environment <name>…
//		catalog <file>
//		max_body <size>
//		max_in_flight <n>
//		header_prefix|user_agent <word>
//		secret_key <secret>…
//		trace_url <url with {trace_id}>
//		egress [<name>] { … }
//		match all|first
//		defaults { … }
//		endpoint <name> { … }
//		route <name> { … }
//	}
func parseApp(d *caddyfile.Dispenser, before any) (any, error) {
	d.Next() // the option's name
	if before != nil {
		return nil, d.Err("the global option webhooks is given twice; put everything into one block")
	}
	if d.NextArg() {
		return nil, d.Errf("webhooks: surplus word '%s', the options go into a block", d.Val())
	}
	a := new(App)
	if err := a.words().parse(d); err != nil {
		return nil, err
	}
	return httpcaddyfile.App{Name: appID, Value: caddyconfig.JSON(a, nil)}, nil
}

func (a *App) words() words {
	return words{
		block: "webhooks",
		options: map[string]option{
			"store":         a.parseStore,
			"retention":     func(d *caddyfile.Dispenser) error { return duration(d, &a.Retention) },
			"dedupe":        func(d *caddyfile.Dispenser) error { return duration(d, &a.Dedupe) },
			"expire":        func(d *caddyfile.Dispenser) error { return duration(d, &a.Expire) },
			"drain":         func(d *caddyfile.Dispenser) error { return duration(d, &a.Drain) },
			"environment":   func(d *caddyfile.Dispenser) error { return some(d, &a.Environment) },
			"catalog":       func(d *caddyfile.Dispenser) error { return onePath(d, &a.Catalog) },
			"max_body":      func(d *caddyfile.Dispenser) error { return size(d, &a.MaxBody) },
			"rate_limit":    func(d *caddyfile.Dispenser) error { return rateLimit(d, &a.RateLimit) },
			"max_pending":   func(d *caddyfile.Dispenser) error { return offOrNumber(d, &a.MaxPending, 1, maxPending) },
			"max_in_flight": func(d *caddyfile.Dispenser) error { return number(d, &a.MaxInFlight, 1, maxInFlight) },
			"header_prefix": func(d *caddyfile.Dispenser) error { return one(d, &a.HeaderPrefix) },
			"user_agent":    func(d *caddyfile.Dispenser) error { return one(d, &a.UserAgent) },
			"secret_key":    func(d *caddyfile.Dispenser) error { return secrets(d, &a.SecretKey) },
			"trace_url":     func(d *caddyfile.Dispenser) error { return one(d, &a.TraceURL) },
			"match":         func(d *caddyfile.Dispenser) error { return choice(d, &a.Match, matchAll, matchFirst) },
			"egress":        a.parseEgress,
			"defaults":      a.parseDefaults,
			"endpoint":      a.parseEndpoint,
			"route":         a.parseRoute,
		},
		repeat: []string{"egress", "endpoint", "route"},
	}
}

// choice reads one of the given words.
func choice(d *caddyfile.Dispenser, dst *string, allowed ...string) error {
	if !d.NextArg() {
		return d.ArgErr()
	}
	for _, a := range allowed {
		if d.Val() == a {
			*dst = a
			return nil
		}
	}
	return d.Errf("'%s' is not one of: %s", d.Val(), strings.Join(allowed, ", "))
}

// guest reads a guest module: its name, words and block. The module's own UnmarshalCaddyfile reports what it does not know.
func guest(d *caddyfile.Dispenser, namespace string) (caddyfile.Unmarshaler, error) {
	if !d.NextArg() {
		return nil, d.ArgErr()
	}
	if _, err := caddy.GetModule(namespace + "." + d.Val()); err != nil {
		return nil, d.Errf("%s '%s' is not available in this version; there are %s",
			namespace, d.Val(), strings.Join(guestNames(namespace), ", "))
	}
	return caddyfile.UnmarshalModule(d, namespace+"."+d.Val())
}

// guestNames lists the modules of a namespace.
func guestNames(namespace string) []string {
	var names []string
	for _, m := range caddy.GetModules(namespace) {
		names = append(names, m.ID.Name())
	}
	return names
}

func (a *App) parseStore(d *caddyfile.Dispenser) error {
	m, err := guest(d, storeNamespace)
	if err != nil {
		return err
	}
	a.StoreRaw = caddyconfig.JSONModuleObject(m, "module", m.(caddy.Module).CaddyModule().ID.Name(), nil)
	return nil
}
