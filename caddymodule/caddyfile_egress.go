package caddymodule

import (
	"cmp"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// parseEgress reads a way out; without a name it is the default one:
//
//	egress [<name>] {
//		address <address>…
//		upcoming <address> <day>
//		proxy <url> { … }
//		allow <address|network>…
//		deny <address|network>…
//		nat64 <network>…
//		ports <port>… | any
//		plain_http
//	}
func (a *App) parseEgress(d *caddyfile.Dispenser) error {
	e := Egress{Pos: position(d)}
	block := "egress"
	switch {
	case d.CountRemainingArgs() > 0:
		if err := newName(d, "egress profile", &e.Name, a.egressPos); err != nil {
			return err
		}
		block += " " + e.Name
	case a.egressPos(defaultEgress) != "":
		return d.Errf("egress profile %s exists already, see %s", defaultEgress, a.egressPos(defaultEgress))
	}
	err := words{
		block: block,
		options: map[string]option{
			"address":    func(d *caddyfile.Dispenser) error { return some(d, &e.Address) },
			"upcoming":   e.parseUpcoming,
			"proxy":      e.parseProxy,
			"allow":      func(d *caddyfile.Dispenser) error { return some(d, &e.Allow) },
			"deny":       func(d *caddyfile.Dispenser) error { return some(d, &e.Deny) },
			"nat64":      func(d *caddyfile.Dispenser) error { return some(d, &e.NAT64) },
			"ports":      func(d *caddyfile.Dispenser) error { return some(d, &e.Ports) },
			"plain_http": func(d *caddyfile.Dispenser) error { return bare(d, &e.PlainHTTP) },
		},
		repeat: []string{"upcoming", "proxy"},
	}.parse(d)
	if err != nil {
		return err
	}
	a.Egress = append(a.Egress, e)
	return nil
}

// egressPos is where the profile of this name stands.
func (a *App) egressPos(name string) string {
	for _, e := range a.Egress {
		if cmp.Or(e.Name, defaultEgress) == name {
			return e.Pos
		}
	}
	return ""
}

// parseUpcoming reads `upcoming <address> <day>`.
func (e *Egress) parseUpcoming(d *caddyfile.Dispenser) error {
	var u EgressUpcoming
	if err := one(d, &u.Address); err != nil {
		return err
	}
	if err := one(d, &u.NotBefore); err != nil {
		return err
	}
	if _, err := parseDay(u.NotBefore); err != nil {
		return d.WrapErr(err)
	}
	e.Upcoming = append(e.Upcoming, u)
	return nil
}

// parseProxy reads
//
//	proxy <url> {
//		basic_auth <user> <password>
//		address <address>…
//		tls { … }
//	}
func (e *Egress) parseProxy(d *caddyfile.Dispenser) error {
	var p EgressProxy
	if err := one(d, &p.URL); err != nil {
		return err
	}
	err := words{
		block: "proxy",
		options: map[string]option{
			"basic_auth": p.parseAuth,
			"address":    func(d *caddyfile.Dispenser) error { return some(d, &p.Address) },
			"tls": func(d *caddyfile.Dispenser) error {
				p.TLS = new(EndpointTLS)
				return p.TLS.parse(d)
			},
		},
	}.parse(d)
	e.Proxy = append(e.Proxy, p)
	return err
}

func (p *EgressProxy) parseAuth(d *caddyfile.Dispenser) error {
	p.BasicAuth = new(ProxyAuth)
	if err := secretText(d, &p.BasicAuth.User); err != nil {
		return err
	}
	return secretText(d, &p.BasicAuth.Password)
}

func parseEgressList(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	l := new(EgressList)
	return l, l.UnmarshalCaddyfile(h.Dispenser)
}

// UnmarshalCaddyfile reads `webhooks_egress_list [<matcher>]`.
func (*EgressList) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the directive
	if d.NextArg() {
		return d.Errf("webhooks_egress_list: surplus word '%s'; it has no options", d.Val())
	}
	return words{block: "webhooks_egress_list"}.parse(d)
}

var _ caddyfile.Unmarshaler = (*EgressList)(nil)
