package caddymodule

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/egress"
	"github.com/atoship/caddy-webhooks/delivery/gate"
	"github.com/atoship/caddy-webhooks/delivery/retry"
	"github.com/atoship/caddy-webhooks/delivery/sign"
	"github.com/atoship/caddy-webhooks/rules"
)

// buildEndpoints translates every endpoint and reports the mistakes of all of them.
func (a *App) buildEndpoints(ctx caddy.Context) (map[string]*delivery.Endpoint, error) {
	if err := a.buildEgress(ctx); err != nil {
		return nil, err
	}
	endpoints := make(map[string]*delivery.Endpoint, len(a.Endpoint))
	var errs []error
	for i := range a.Endpoint {
		e := &a.Endpoint[i]
		built, err := a.buildEndpoint(ctx, e)
		if err != nil {
			errs = append(errs, placed(e.Pos, fmt.Errorf("endpoint %s: %w", e.Name, err)))
			continue
		}
		endpoints[e.Name] = built
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	for _, e := range a.Endpoint {
		if err := checkBackups(endpoints[e.Name], endpoints); err != nil {
			errs = append(errs, placed(e.Pos, fmt.Errorf("endpoint %s: %w", e.Name, err)))
		}
	}
	return endpoints, errors.Join(errs...)
}

func (a *App) buildEndpoint(ctx caddy.Context, e *Endpoint) (*delivery.Endpoint, error) {
	o := e.over(a.Defaults)
	exit, err := a.egressNamed(o.Egress)
	if err != nil {
		return nil, at("/egress", err)
	}
	if e.URL == "" {
		return nil, at("/url", errors.New("url is required"))
	}
	text, err := resolve(e.URL)
	if err != nil {
		return nil, at("/url", fmt.Errorf("url: %w", err))
	}
	target, err := exit.checkURL(text)
	if err != nil {
		return nil, at("/url", err)
	}
	signer, err := a.buildSigner(ctx, e, o)
	if err != nil {
		return nil, at("/signature", err)
	}
	schedule, err := o.schedule()
	if err != nil {
		return nil, at("/retry", err)
	}
	breaker, err := o.breaker()
	if err != nil {
		return nil, at("/breaker", err)
	}
	header, err := o.headers(cmp.Or(a.HeaderPrefix, delivery.DefaultHeaderPrefix))
	if err != nil {
		return nil, at("/header", err)
	}
	order, err := o.order(e.Name)
	if err != nil {
		return nil, at("/ordered_by", err)
	}
	transform, err := buildTransform("endpoint "+strconv.Quote(e.Name), o.Transform, o.TransformPos)
	if err != nil {
		return nil, at("/transform", err)
	}
	rate, err := o.RateLimit.settings()
	if err != nil {
		return nil, at("/rate_limit", fmt.Errorf("rate_limit: %w", err))
	}
	if o.BackupAfter < 0 || o.BackupAfter > maxTries || valueOr(o.DisableAfter, 0) < 0 {
		return nil, fmt.Errorf("backup_after must be from 1 to %d, disable_after positive or 0", maxTries)
	}
	if o.Timeout < 0 || o.Concurrency < 0 || o.Concurrency > maxConcurrency {
		return nil, fmt.Errorf("timeout must be positive, concurrency from 1 to %d", maxConcurrency)
	}
	if !slices.Contains([]string{"", traceLink, traceParent}, o.Trace) {
		return nil, fmt.Errorf("trace is %s or %s, not %q", traceLink, traceParent, o.Trace)
	}
	out, err := a.transport(ctx, exit, o.TLS)
	if err != nil {
		return nil, at("/tls", err)
	}
	way, err := a.authorized(ctx, e, &o, exit, out.For(e.Name))
	if err != nil {
		return nil, at("/oauth2", err)
	}
	return &delivery.Endpoint{
		Name:         e.Name,
		Description:  o.Description,
		Pos:          e.Pos,
		Tenant:       o.Tenant,
		URL:          target,
		Signer:       signer,
		Retry:        schedule,
		Timeout:      cmp.Or(time.Duration(o.Timeout), delivery.DefaultTimeout),
		Concurrency:  cmp.Or(o.Concurrency, delivery.DefaultConcurrency),
		Breaker:      breaker,
		Backups:      o.Backup,
		BackupAfter:  o.BackupAfter,
		DisableAfter: time.Duration(valueOr(o.DisableAfter, caddy.Duration(delivery.DefaultDisableAfter))),
		Order:        order,
		Transform:    transform,
		Paused:       o.Paused,
		TraceContext: o.TraceContext,
		TraceParent:  o.Trace == traceParent,
		Notices:      slices.DeleteFunc(slices.Clone(o.Events), func(p string) bool { return !delivery.IsNotice(p) }),
		Rate:         rate,
		Header:       header,
		Transport:    way,
	}, nil
}

// over is what o says, filled up with what the defaults say.
func (o EndpointOptions) over(d *EndpointOptions) EndpointOptions {
	if d == nil {
		return o
	}
	o.Description = cmp.Or(o.Description, d.Description)
	o.Events = either(o.Events, d.Events)
	if o.When == "" {
		o.When, o.WhenPos = d.When, d.WhenPos
	}
	o.Environment = either(o.Environment, d.Environment)
	o.Tenant = cmp.Or(o.Tenant, d.Tenant)
	o.SignatureRaw = either(o.SignatureRaw, d.SignatureRaw)
	o.Retry = either(o.Retry, d.Retry)
	o.Jitter = cmp.Or(o.Jitter, d.Jitter)
	o.Timeout = cmp.Or(o.Timeout, d.Timeout)
	o.Concurrency = cmp.Or(o.Concurrency, d.Concurrency)
	o.Breaker = cmp.Or(o.Breaker, d.Breaker)
	o.Backup = either(o.Backup, d.Backup)
	if o.OrderedBy == "" {
		o.OrderedBy, o.OrderedByPos = d.OrderedBy, d.OrderedByPos
	}
	if o.Transform == "" {
		o.Transform, o.TransformPos = d.Transform, d.TransformPos
	}
	o.BackupAfter = cmp.Or(o.BackupAfter, d.BackupAfter)
	o.RateLimit = cmp.Or(o.RateLimit, d.RateLimit)
	o.DisableAfter = cmp.Or(o.DisableAfter, d.DisableAfter)
	o.Paused = o.Paused || d.Paused
	o.TraceContext = o.TraceContext || d.TraceContext
	o.Trace = cmp.Or(o.Trace, d.Trace)
	if o.Header == nil {
		o.Header = d.Header
	}
	o.Egress = cmp.Or(o.Egress, d.Egress)
	o.TLS = cmp.Or(o.TLS, d.TLS)
	o.OAuth2 = cmp.Or(o.OAuth2, d.OAuth2)
	return o
}

// either is a unless it is unset; an empty list is set.
func either[T any](a, b []T) []T {
	if a == nil {
		return b
	}
	return a
}

// buildSigner resolves the secrets and prepares every scheme with them.
func (a *App) buildSigner(ctx caddy.Context, e *Endpoint, o EndpointOptions) (sign.Signer, error) {
	if len(e.Secret) == 0 {
		return nil, errors.New("secret is required: receivers tell us from others by the signature")
	}
	secrets := make([]sign.Secret, len(e.Secret))
	for i, s := range e.Secret {
		where := fmt.Sprintf("secret %d", i+1)
		value, err := resolveSecret(a.logger.With(zap.String("endpoint", e.Name)), s.Value, where)
		if err != nil {
			return nil, err
		}
		for _, warning := range sign.Warnings(value) {
			a.logger.Warn(warning, zap.String("endpoint", e.Name), zap.String("where", where))
		}
		secrets[i] = sign.Secret{Value: value, Until: s.Until}
	}
	if !slices.ContainsFunc(secrets, func(s sign.Secret) bool { return s.Live(time.Now()) }) {
		return nil, errors.New("every secret has passed its `until`: no attempt could be signed")
	}
	schemes, err := loadSchemes(ctx, o.SignatureRaw)
	if err != nil {
		return nil, err
	}
	return sign.New(schemes, secrets, sign.Options{Prefix: a.HeaderPrefix})
}

// loadSchemes loads the signature schemes of one endpoint. It works on a copy of the list, because defaults are shared and
// loading a module empties its field.
func loadSchemes(ctx caddy.Context, raw []json.RawMessage) ([]Signer, error) {
	var host struct {
		Signature []json.RawMessage `caddy:"namespace=webhooks.signers inline_key=module"`
	}
	host.Signature = slices.Clone(raw)
	if len(raw) == 0 {
		for _, name := range sign.Default() {
			host.Signature = append(host.Signature, json.RawMessage(`{"module":"`+name+`"}`))
		}
	}
	mods, err := ctx.LoadModule(&host, "Signature")
	if err != nil {
		return nil, fmt.Errorf("signature: %w", err)
	}
	var schemes []Signer
	for _, m := range mods.([]any) {
		s, err := guestAs[Signer](m)
		if err != nil {
			return nil, err
		}
		schemes = append(schemes, s)
	}
	return schemes, nil
}

// order compiles ordered_by; nil without one.
func (o *EndpointOptions) order(endpoint string) (delivery.Keyer, error) {
	if o.OrderedBy == "" {
		return nil, nil //nolint:nilnil // no order is no mistake
	}
	key, err := rules.CompileKey("endpoint "+strconv.Quote(endpoint), "ordered_by", rules.Expr{Text: o.OrderedBy, Pos: parsePos(o.OrderedByPos)})
	if err != nil {
		return nil, err
	}
	return delivery.RuleKeyer{Expr: key}, nil
}

// buildTransform compiles a transform; nil without one.
func buildTransform(subject, text, pos string) (delivery.Transformer, error) {
	if text == "" {
		return nil, nil //nolint:nilnil // no transform is no mistake
	}
	t, err := rules.CompileTransform(subject, "transform", rules.Expr{Text: text, Pos: parsePos(pos)})
	if err != nil {
		return nil, err
	}
	return delivery.RuleTransformer{Expr: t}, nil
}

// buildTransforms compiles the transforms of routes, and reports the mistakes of all of them.
func (a *App) buildTransforms() (map[string]delivery.Transformer, error) {
	var out map[string]delivery.Transformer
	var errs []error
	for i := range a.Route {
		r := &a.Route[i]
		t, err := buildTransform("route "+strconv.Quote(r.Name), r.Transform, r.TransformPos)
		switch {
		case err != nil:
			errs = append(errs, err)
		case t != nil:
			if out == nil {
				out = make(map[string]delivery.Transformer)
			}
			out[r.Name] = t
		}
	}
	return out, errors.Join(errs...)
}

func (o *EndpointOptions) schedule() (retry.Schedule, error) {
	s := retry.Default()
	if o.Retry != nil {
		s.Delays = nil
		for _, d := range o.Retry {
			s.Delays = append(s.Delays, time.Duration(d))
		}
	}
	if o.Jitter != nil {
		s.JitterPercent = *o.Jitter
	}
	return s, s.Validate()
}

func (o *EndpointOptions) breaker() (gate.BreakerSettings, error) {
	s := gate.DefaultBreaker()
	b := o.Breaker
	if b == nil {
		return s, nil
	}
	if b.Off {
		return gate.BreakerSettings{Off: true}, nil
	}
	if b.Failures != nil {
		if *b.Failures < 0 || *b.Failures > maxCount {
			return s, fmt.Errorf("breaker failures must be from 0 to %d", maxCount)
		}
		s.Failures = uint32(*b.Failures)
	}
	if b.Ratio != nil {
		s.Ratio = *b.Ratio
	}
	if b.Min < 0 || b.Min > maxCount {
		return s, fmt.Errorf("breaker min must be from 1 to %d", maxCount)
	}
	s.Min = cmp.Or(uint32(b.Min), s.Min)
	s.Window = cmp.Or(time.Duration(b.Over), s.Window)
	s.Open = cmp.Or(time.Duration(b.Open), s.Open)
	return s, s.Validate()
}

// headers resolves and checks the extra request headers; prefix is that of the gateway's own.
func (o *EndpointOptions) headers(prefix string) (http.Header, error) {
	h := make(http.Header, len(o.Header))
	for name, values := range o.Header {
		for _, text := range values {
			value, err := resolve(text)
			if err != nil {
				return nil, fmt.Errorf("header %s: %w", name, err)
			}
			h.Add(name, value)
		}
	}
	return h, egress.CheckHeaders(h, prefix)
}

// checkBackups refuses chains that could not work.
func checkBackups(e *delivery.Endpoint, all map[string]*delivery.Endpoint) error {
	if len(e.Backups) >= delivery.MaxChain {
		return fmt.Errorf("backup names %d endpoints, at most %d are allowed", len(e.Backups), delivery.MaxChain-1)
	}
	for i, name := range e.Backups {
		switch {
		case all[name] == nil:
			return fmt.Errorf("backup %s is not an endpoint", name)
		case name == e.Name:
			return errors.New("an endpoint cannot be its own backup")
		case slices.Contains(e.Backups[:i], name):
			return fmt.Errorf("backup %s is named twice", name)
		}
	}
	return nil
}
