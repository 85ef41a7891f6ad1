package caddymodule

import (
	"slices"
	"strconv"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func parseIngest(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	i := new(Ingest)
	return i, i.UnmarshalCaddyfile(h.Dispenser)
}

// UnmarshalCaddyfile reads
//
//	webhooks_ingest [<matcher>] {
//		auth token <secret>… | auth caddy | auth none
//		environment <name>
//		tenant <name>
//		status 200|202
//		wrap <type>
//	}
func (i *Ingest) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the directive
	if d.NextArg() {
		return d.Errf("webhooks_ingest: surplus word '%s', the options go into a block", d.Val())
	}
	err := words{
		block: "webhooks_ingest",
		options: map[string]option{
			"auth":        i.parseAuth,
			"environment": func(d *caddyfile.Dispenser) error { return one(d, &i.Environment) },
			"tenant":      func(d *caddyfile.Dispenser) error { return one(d, &i.Tenant) },
			"status":      i.parseStatus,
			"wrap":        func(d *caddyfile.Dispenser) error { return one(d, &i.Wrap) },
		},
	}.parse(d)
	if err == nil && i.Auth == "" {
		err = d.Err("webhooks_ingest: say who may publish: auth token <secret>, auth caddy or auth none")
	}
	return err
}

func (i *Ingest) parseAuth(d *caddyfile.Dispenser) error {
	if err := choice(d, &i.Auth, authToken, authCaddy, authNone); err != nil {
		return err
	}
	if i.Auth != authToken {
		return nil
	}
	return secrets(d, &i.Token)
}

func (i *Ingest) parseStatus(d *caddyfile.Dispenser) error {
	var text string
	if err := choice(d, &text, "200", "202"); err != nil {
		return err
	}
	i.Status, _ = strconv.Atoi(text) // one of the two
	return nil
}

func parseVerify(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	v := new(Verify)
	return v, v.UnmarshalCaddyfile(h.Dispenser)
}

// UnmarshalCaddyfile reads
//
//	webhooks_verify [<matcher>] {
//		signature <scheme>
//		secret <secret>…
//		tolerance <duration>
//		dedupe <duration>
//		max_body <size>
//		header_prefix <word>
//	}
func (v *Verify) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the directive
	if d.NextArg() {
		return d.Errf("webhooks_verify: surplus word '%s', the options go into a block", d.Val())
	}
	err := words{
		block: "webhooks_verify",
		options: map[string]option{
			"signature":     v.parseSignature,
			"secret":        func(d *caddyfile.Dispenser) error { return secrets(d, &v.Secret) },
			"tolerance":     func(d *caddyfile.Dispenser) error { return duration(d, &v.Tolerance) },
			"dedupe":        func(d *caddyfile.Dispenser) error { return duration(d, &v.Dedupe) },
			"max_body":      func(d *caddyfile.Dispenser) error { return size(d, &v.MaxBody) },
			"header_prefix": func(d *caddyfile.Dispenser) error { return one(d, &v.HeaderPrefix) },
		},
	}.parse(d)
	switch {
	case err != nil:
		return err
	case v.Signature == "":
		return d.Err("webhooks_verify: signature is required, such as standard")
	case len(v.Secret) == 0:
		return d.Err("webhooks_verify: secret is required")
	}
	return nil
}

func (v *Verify) parseSignature(d *caddyfile.Dispenser) error {
	if err := one(d, &v.Signature); err != nil {
		return err
	}
	return knownSigner(d, v.Signature)
}

// knownSigner refuses a signature scheme that no module provides.
func knownSigner(d *caddyfile.Dispenser, name string) error {
	if names := guestNames(signerNamespace); !slices.Contains(names, name) {
		return d.Errf("signature scheme '%s' is not available in this version; there are %v", name, names)
	}
	return nil
}

// secrets reads one or more secrets.
func secrets(d *caddyfile.Dispenser, dst *[]string) error {
	for {
		var text string
		if err := secretText(d, &text); err != nil {
			return err
		}
		*dst = append(*dst, text)
		if d.CountRemainingArgs() == 0 {
			return nil
		}
	}
}

// Interface guards.
var (
	_ caddyfile.Unmarshaler = (*Ingest)(nil)
	_ caddyfile.Unmarshaler = (*Verify)(nil)
)
