package caddymodule

import (
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// parseDashboard reads the directive. A path as its matcher is where the dashboard is, as with handle_path; the path without
// its final slash is matched, too, and redirected.
func parseDashboard(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	if !h.Next() {
		return nil, h.ArgErr()
	}
	d := new(Dashboard)
	if h.NextArg() {
		if path := h.Val(); strings.HasPrefix(path, "/") {
			if !strings.HasSuffix(path, "/*") || strings.Contains(strings.TrimSuffix(path, "/*"), "*") {
				return nil, h.Errf("webhooks_dashboard: the path must be a prefix such as /webhooks/*, not '%s'", path)
			}
			d.Prefix = strings.TrimSuffix(path, "/*")
		}
		h.Prev()
	}
	matchers, err := h.ExtractMatcherSet()
	if err != nil {
		return nil, err
	}
	if d.Prefix != "" {
		matchers = caddy.ModuleMap{"path": h.JSON(caddyhttp.MatchPath{d.Prefix, d.Prefix + "/*"})}
	}
	if err := d.UnmarshalCaddyfile(h.Dispenser); err != nil {
		return nil, err
	}
	return h.NewRoute(matchers, d), nil
}

// UnmarshalCaddyfile reads
//
//	webhooks_dashboard [<matcher>] {
//		auth token <secret>… [tenant <name>] [role viewer|operator]
//		auth caddy | auth none
//		frame_ancestors <origin>…
//	}
//
// `auth token` may be repeated.
func (d *Dashboard) UnmarshalCaddyfile(h *caddyfile.Dispenser) error {
	h.Next() // the directive
	if h.NextArg() {
		return h.Errf("webhooks_dashboard: surplus word '%s', the options go into a block", h.Val())
	}
	err := words{
		block: "webhooks_dashboard",
		options: map[string]option{
			"auth":            d.parseAuth,
			"frame_ancestors": func(h *caddyfile.Dispenser) error { return some(h, &d.FrameAncestors) },
		},
		repeat: []string{"auth"},
	}.parse(h)
	if err == nil && d.Auth == "" {
		err = h.Err("webhooks_dashboard: say who may enter: auth token <secret>, auth caddy or auth none")
	}
	return err
}

func (d *Dashboard) parseAuth(h *caddyfile.Dispenser) error {
	before := d.Auth
	if err := choice(h, &d.Auth, authToken, authCaddy, authNone); err != nil {
		return err
	}
	if before != "" && (before != authToken || d.Auth != authToken) {
		return h.Errf("webhooks_dashboard: auth %s and auth %s exclude each other, and only auth token can be repeated", before, d.Auth)
	}
	if d.Auth != authToken {
		return nil
	}
	return d.parseTokens(h)
}

func (d *Dashboard) parseTokens(h *caddyfile.Dispenser) error {
	var values []string
	var opens DashboardToken
	for h.CountRemainingArgs() > 0 {
		var word string
		if err := secretText(h, &word); err != nil {
			return err
		}
		var err error
		switch word {
		case "tenant":
			err = one(h, &opens.Tenant)
		case "role":
			err = choice(h, &opens.Role, "viewer", "operator")
		default:
			if opens != (DashboardToken{}) {
				return h.Errf("webhooks_dashboard: tenant and role come after the tokens; '%s' is neither", word)
			}
			values = append(values, word)
		}
		if err != nil {
			return err
		}
	}
	if len(values) == 0 {
		return h.ArgErr()
	}
	for _, v := range values {
		t := opens
		t.Value = v
		d.Token = append(d.Token, t)
	}
	return nil
}

var _ caddyfile.Unmarshaler = (*Dashboard)(nil)
