package caddymodule

import (
	"strconv"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// parseRoute reads a route:
//
//	route <name> {
//		when <expression>
//		otherwise
//		to <endpoint> [backup <endpoint>…]
//		pick <expression>
//		split <endpoint> <weight> <endpoint> <weight>… [by <expression>]
//		transform <expression>
//		stop
//		on_error hold|skip
//	}
func (a *App) parseRoute(d *caddyfile.Dispenser) error {
	r := Route{Pos: position(d)}
	if err := newName(d, "route", &r.Name, a.routePos); err != nil {
		return err
	}
	err := words{
		block: "route " + r.Name,
		options: map[string]option{
			"when":      func(d *caddyfile.Dispenser) error { return expression(d, &r.When, &r.WhenPos) },
			"otherwise": func(d *caddyfile.Dispenser) error { return bare(d, &r.Otherwise) },
			"to":        r.parseTo,
			"pick":      func(d *caddyfile.Dispenser) error { return expression(d, &r.Pick, &r.PickPos) },
			"split":     r.parseSplit,
			"transform": func(d *caddyfile.Dispenser) error { return expression(d, &r.Transform, &r.TransformPos) },
			"stop":      func(d *caddyfile.Dispenser) error { return bare(d, &r.Stop) },
			"on_error":  func(d *caddyfile.Dispenser) error { return choice(d, &r.OnError, onErrorHold, onErrorSkip) },
		},
		repeat: []string{"to"},
	}.parse(d)
	if err != nil {
		return err
	}
	a.Route = append(a.Route, r)
	return nil
}

// routePos is where the route of this name stands.
func (a *App) routePos(name string) string {
	for i := range a.Route {
		if a.Route[i].Name == name {
			return a.Route[i].Pos
		}
	}
	return ""
}

// parseTo reads one delivery: a primary and perhaps its backups.
func (r *Route) parseTo(d *caddyfile.Dispenser) error {
	var t Target
	if err := one(d, &t.Endpoint); err != nil {
		return err
	}
	if d.NextArg() {
		if d.Val() != "backup" {
			return d.Errf("route %s: '%s' after `to %s`: one line is one delivery, `to <endpoint> [backup <endpoint>…]`; further lines fan out",
				r.Name, d.Val(), t.Endpoint)
		}
		if err := some(d, &t.Backup); err != nil {
			return err
		}
	}
	r.To = append(r.To, t)
	return nil
}

// parseSplit reads the shares of a split and perhaps its key.
func (r *Route) parseSplit(d *caddyfile.Dispenser) error {
	r.Split = new(Split)
	for d.NextArg() {
		if d.Val() == "by" && !d.Token().Quoted() && len(r.Split.To) > 0 {
			return expression(d, &r.Split.By, &r.Split.ByPos)
		}
		s := Share{Endpoint: d.Val()}
		if !d.NextArg() {
			return d.Errf("route %s: %s has no weight; the form is `split <endpoint> <weight> <endpoint> <weight>… [by <expression>]`",
				r.Name, s.Endpoint)
		}
		var err error
		if s.Weight, err = strconv.Atoi(d.Val()); err != nil || s.Weight < 0 {
			return d.Errf("route %s: the weight '%s' of %s is not a whole number", r.Name, d.Val(), s.Endpoint)
		}
		r.Split.To = append(r.Split.To, s)
	}
	if len(r.Split.To) == 0 {
		return d.ArgErr()
	}
	return nil
}
