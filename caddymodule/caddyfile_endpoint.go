package caddymodule

import (
	"net/http"
	"slices"
	"strconv"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddytls"
)

// parseDefaults reads options of all endpoints.
func (a *App) parseDefaults(d *caddyfile.Dispenser) error {
	a.Defaults = new(EndpointOptions)
	return a.Defaults.words("defaults").parse(d)
}

// parseEndpoint reads an endpoint:
//
//	endpoint <name> {
//		url <url>
//		secret <secret> [until <time>]
//		<options, as in defaults>
//	}
func (a *App) parseEndpoint(d *caddyfile.Dispenser) error {
	e := Endpoint{Pos: position(d)}
	if err := newName(d, "endpoint", &e.Name, a.endpointPos); err != nil {
		return err
	}
	w := e.words("endpoint " + e.Name)
	w.options["url"] = func(d *caddyfile.Dispenser) error { return one(d, &e.URL) }
	w.options["secret"] = e.parseSecret
	w.repeat = append(w.repeat, "secret")
	if err := w.parse(d); err != nil {
		return err
	}
	a.Endpoint = append(a.Endpoint, e)
	return nil
}

// endpointPos is where the endpoint of this name stands.
func (a *App) endpointPos(name string) string {
	for i := range a.Endpoint {
		if a.Endpoint[i].Name == name {
			return a.Endpoint[i].Pos
		}
	}
	return ""
}

func (o *EndpointOptions) words(block string) words {
	return words{
		block: block,
		options: map[string]option{
			"description":   func(d *caddyfile.Dispenser) error { return one(d, &o.Description) },
			"events":        func(d *caddyfile.Dispenser) error { return some(d, &o.Events) },
			"when":          func(d *caddyfile.Dispenser) error { return expression(d, &o.When, &o.WhenPos) },
			"environment":   func(d *caddyfile.Dispenser) error { return some(d, &o.Environment) },
			"tenant":        func(d *caddyfile.Dispenser) error { return one(d, &o.Tenant) },
			"signature":     o.parseSignature,
			"retry":         o.parseRetry,
			"jitter":        o.parseJitter,
			"timeout":       func(d *caddyfile.Dispenser) error { return duration(d, &o.Timeout) },
			"concurrency":   func(d *caddyfile.Dispenser) error { return number(d, &o.Concurrency, 1, maxConcurrency) },
			"breaker":       o.parseBreaker,
			"backup":        func(d *caddyfile.Dispenser) error { return some(d, &o.Backup) },
			"rate_limit":    func(d *caddyfile.Dispenser) error { return rateLimit(d, &o.RateLimit) },
			"ordered_by":    func(d *caddyfile.Dispenser) error { return expression(d, &o.OrderedBy, &o.OrderedByPos) },
			"transform":     func(d *caddyfile.Dispenser) error { return expression(d, &o.Transform, &o.TransformPos) },
			"backup_after":  func(d *caddyfile.Dispenser) error { return number(d, &o.BackupAfter, 1, maxTries) },
			"disable_after": func(d *caddyfile.Dispenser) error { return offOrDuration(d, &o.DisableAfter) },
			"paused":        func(d *caddyfile.Dispenser) error { return bare(d, &o.Paused) },
			"trace_context": func(d *caddyfile.Dispenser) error { return bare(d, &o.TraceContext) },
			"trace":         func(d *caddyfile.Dispenser) error { return choice(d, &o.Trace, traceLink, traceParent) },
			"header":        o.parseHeader,
			"egress":        func(d *caddyfile.Dispenser) error { return one(d, &o.Egress) },
			"tls":           o.parseTLS,
			"oauth2":        o.parseOAuth2,
		},
		repeat: []string{"header"},
	}
}

// parseSecret reads `secret <value> [until <time>]`.
func (e *Endpoint) parseSecret(d *caddyfile.Dispenser) error {
	var s Secret
	if err := secretText(d, &s.Value); err != nil {
		return err
	}
	if d.NextArg() {
		if d.Val() != "until" {
			return d.Errf("endpoint %s: surplus word after the secret, which may be followed by `until <time>` only", e.Name)
		}
		if err := instant(d, &s.Until); err != nil {
			return err
		}
	}
	e.Secret = append(e.Secret, s)
	return nil
}

// parseSignature reads scheme names. A scheme with options of its own is for JSON only: a line holds several schemes.
func (o *EndpointOptions) parseSignature(d *caddyfile.Dispenser) error {
	var names []string
	if err := some(d, &names); err != nil {
		return err
	}
	for i, name := range names {
		if err := knownSigner(d, name); err != nil {
			return err
		}
		if slices.Contains(names[:i], name) {
			return d.Errf("signature scheme '%s' is given twice", name)
		}
		o.SignatureRaw = append(o.SignatureRaw, caddyconfig.JSONModuleObject(struct{}{}, "module", name, nil))
	}
	return nil
}

// parseRetry reads `retry <delay>…` or `retry off`.
func (o *EndpointOptions) parseRetry(d *caddyfile.Dispenser) error {
	var delays []string
	if err := some(d, &delays); err != nil {
		return err
	}
	o.Retry = []caddy.Duration{}
	if len(delays) == 1 && delays[0] == "off" {
		return nil
	}
	for _, text := range delays {
		v, err := parseDuration(text)
		if err != nil {
			return d.WrapErr(err)
		}
		o.Retry = append(o.Retry, v)
	}
	return nil
}

func (o *EndpointOptions) parseJitter(d *caddyfile.Dispenser) error {
	o.Jitter = new(int)
	return number(d, o.Jitter, 0, 100)
}

// parseBreaker reads
//
//	breaker off
//	breaker {
//		failures <n>
//		ratio <share> over <duration> min <n>
//		open <duration>
//	}
//
// What the block leaves out keeps its default; `failures 0` and `ratio 0` switch a condition off.
func (o *EndpointOptions) parseBreaker(d *caddyfile.Dispenser) error {
	b := new(Breaker)
	o.Breaker = b
	if d.NextArg() {
		if d.Val() != "off" {
			return d.Errf("breaker is followed by `off` or a block, not by '%s'", d.Val())
		}
		b.Off = true
		return nil
	}
	err := words{
		block: "breaker",
		options: map[string]option{
			"failures": b.parseFailures,
			"ratio":    b.parseRatio,
			"open":     func(d *caddyfile.Dispenser) error { return duration(d, &b.Open) },
		},
	}.parse(d)
	if err == nil && *b == (Breaker{}) {
		return d.Err("breaker needs `off` or a block with failures, ratio or open")
	}
	return err
}

func (b *Breaker) parseFailures(d *caddyfile.Dispenser) error {
	b.Failures = new(int)
	return number(d, b.Failures, 0, maxCount)
}

// parseRatio reads `ratio <share> over <duration> min <n>`.
func (b *Breaker) parseRatio(d *caddyfile.Dispenser) error {
	if !d.NextArg() {
		return d.ArgErr()
	}
	share, err := strconv.ParseFloat(d.Val(), 64)
	if err != nil || !(share >= 0 && share <= 1) { // NaN is neither
		return d.Errf("'%s' is not a share from 0 to 1", d.Val())
	}
	b.Ratio = &share
	for d.NextArg() {
		switch word := d.Val(); {
		case word == "over" && b.Over == 0:
			err = duration(d, &b.Over)
		case word == "min" && b.Min == 0:
			err = number(d, &b.Min, 1, maxCount)
		default:
			err = d.Errf("unexpected '%s', the form is `ratio <share> over <duration> min <n>`", word)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// parseHeader reads `header <Name> <value>`; one name may be given several values.
func (o *EndpointOptions) parseHeader(d *caddyfile.Dispenser) error {
	var name string
	if err := one(d, &name); err != nil {
		return err
	}
	if !d.NextArg() {
		return d.ArgErr()
	}
	if o.Header == nil {
		o.Header = make(map[string][]string)
	}
	name = http.CanonicalHeaderKey(name)
	o.Header[name] = append(o.Header[name], d.Val())
	return nil
}

// parseTLS reads
//
//	tls {
//		trust_pool <module> …
//		client_auth <cert_file> <key_file>
//		server_name <name>
//	}
func (o *EndpointOptions) parseTLS(d *caddyfile.Dispenser) error {
	o.TLS = new(EndpointTLS)
	return o.TLS.parse(d)
}

func (t *EndpointTLS) parse(d *caddyfile.Dispenser) error {
	return words{
		block: "tls",
		options: map[string]option{
			"trust_pool":  t.parseTrustPool,
			"client_auth": t.parseClientAuth,
			"server_name": func(d *caddyfile.Dispenser) error { return one(d, &t.ServerName) },
		},
	}.parse(d)
}

func (t *EndpointTLS) parseTrustPool(d *caddyfile.Dispenser) error {
	m, err := guest(d, trustPoolNamespace)
	if err != nil {
		return err
	}
	if f, ok := m.(*caddytls.FileCAPool); ok {
		for i, path := range f.TrustedCACertPEMFiles {
			if f.TrustedCACertPEMFiles[i], err = besideFile(d, path); err != nil {
				return err
			}
		}
	}
	t.TrustPoolRaw = caddyconfig.JSONModuleObject(m, "module", m.(caddy.Module).CaddyModule().ID.Name(), nil)
	return nil
}

func (t *EndpointTLS) parseClientAuth(d *caddyfile.Dispenser) error {
	t.ClientAuth = new(ClientAuth)
	if err := onePath(d, &t.ClientAuth.Cert); err != nil {
		return err
	}
	return onePath(d, &t.ClientAuth.Key)
}
