package caddymodule

import "github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

// parseEgress reads the default way out:
//
//	egress {
//		allow <address|network>…
//		ports <port>… | any
//		plain_http
//	}
func (a *App) parseEgress(d *caddyfile.Dispenser) error {
	if d.NextArg() {
		return d.Errf("webhooks: egress profiles like '%s' are not available in this version; `egress { … }` sets the default one",
			d.Val())
	}
	var e Egress
	err := words{
		block: "egress",
		options: map[string]option{
			"allow":      func(d *caddyfile.Dispenser) error { return some(d, &e.Allow) },
			"ports":      func(d *caddyfile.Dispenser) error { return some(d, &e.Ports) },
			"plain_http": func(d *caddyfile.Dispenser) error { return bare(d, &e.PlainHTTP) },
		},
		later: []string{"address", "upcoming", "proxy"},
	}.parse(d)
	if err != nil {
		return err
	}
	a.Egress = append(a.Egress, e)
	return nil
}
