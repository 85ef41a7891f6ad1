package caddymodule

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/egress"
)

const (
	// portsAny is the word that lifts the restriction of ports.
	portsAny = "any"

	// defaultEgress is the profile of endpoints that name none; it exists even if the config says nothing of it.
	defaultEgress = "default"

	// egressNotice is how long before its first day customers should know an address.
	egressNotice = 7 * 24 * time.Hour
)

// egressProfile is a way out, ready to use.
type egressProfile struct {
	name    string
	policy  egress.URLPolicy
	profile egress.Profile
	rules   string // what the guard goes by; two profiles with equal ones are one identity
	exit    *exit  // nil if there are neither sources nor proxies
	listed  []egress.Listed
	// unlisted says what customers will see beside the listed addresses, "" for nothing.
	unlisted string
}

// release gives up what configs share.
func (p *egressProfile) release() {
	if p.exit != nil {
		p.exit.release()
	}
}

// buildEgress translates every profile and reports the mistakes of all of them.
func (a *App) buildEgress(ctx caddy.Context) error {
	all := a.Egress
	if !slices.ContainsFunc(all, func(e Egress) bool { return cmp.Or(e.Name, defaultEgress) == defaultEgress }) {
		all = append([]Egress{{}}, all...)
	}
	a.profiles = make(map[string]*egressProfile, len(all))
	var errs []error
	for i := range all {
		e := &all[i]
		name := cmp.Or(e.Name, defaultEgress)
		p, err := a.egressProfile(ctx, name, e)
		switch {
		case err != nil:
			err = fmt.Errorf("egress profile %s: %w", name, err)
		case a.profiles[name] != nil:
			err = fmt.Errorf("egress profile %s exists already", name)
			p.release()
		default:
			a.profiles[name] = p
			continue
		}
		errs = append(errs, placed(e.Pos, err))
	}
	return errors.Join(errs...)
}

// egressNamed finds the profile that an endpoint asks for; "" is the default one.
func (a *App) egressNamed(name string) (*egressProfile, error) {
	if p := a.profiles[cmp.Or(name, defaultEgress)]; p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("egress profile %s does not exist; there are %s",
		name, strings.Join(slices.Sorted(maps.Keys(a.profiles)), ", "))
}

func (a *App) egressProfile(ctx caddy.Context, name string, e *Egress) (*egressProfile, error) {
	if err := checkName("the", name); err != nil {
		return nil, err
	}
	p := &egressProfile{name: name}
	if err := p.guard(e); err != nil {
		return nil, err
	}
	if err := e.ports(&p.policy); err != nil {
		return nil, err
	}
	p.profile = egress.Profile{Guard: p.policy.Guard, PlainHTTP: e.PlainHTTP}
	a.keepConnections(&p.profile, name)

	sources, err := e.sources()
	if err != nil {
		return nil, err
	}
	proxies, err := a.egressProxies(ctx, name, e)
	if err != nil {
		return nil, err
	}
	if err := p.list(sources, e); err != nil {
		return nil, err
	}
	if len(sources) == 0 && len(proxies) == 0 {
		return p, nil
	}
	exit, made, err := sharedExit(name, sources, proxies)
	if err != nil {
		return nil, err
	}
	if made {
		warnShortNotice(a.logger.With(zap.String("egress", name)), sources)
	}
	p.exit = exit
	p.profile.Sources, p.profile.Proxies = exit.sources, exit.proxies
	return p, nil
}

// guard makes the rules of which addresses may be reached.
func (p *egressProfile) guard(e *Egress) error {
	allow, err := prefixes("allow", e.Allow, egress.ParseAllow)
	if err != nil {
		return err
	}
	deny, err := prefixes("deny", e.Deny, egress.ParseDeny)
	if err != nil {
		return err
	}
	nat64, err := prefixes("nat64", e.NAT64, netip.ParsePrefix)
	if err != nil {
		return err
	}
	own, err := egress.OwnListeners() // all that listens on this machine: firewalls outside do not see what it sends to itself
	if err != nil {
		return fmt.Errorf("finding this machine's addresses: %w", err)
	}
	guard, err := egress.Rules{Allow: allow, Deny: deny, NAT64: nat64, Own: own}.Guard()
	if err != nil {
		return err
	}
	p.rules = fmt.Sprint(allow, deny, nat64)
	p.policy = egress.URLPolicy{Guard: guard, PlainHTTP: e.PlainHTTP}
	return nil
}

// prefixes reads the networks of an option and sorts them.
func prefixes(option string, texts []string, parse func(string) (netip.Prefix, error)) ([]netip.Prefix, error) {
	all := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		text, err := resolve(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", option, err)
		}
		if all[i], err = parse(text); err != nil {
			return nil, fmt.Errorf("%s: %w", option, err)
		}
	}
	slices.SortFunc(all, netip.Prefix.Compare)
	return all, nil
}

// sources are the addresses to bind, now and later.
func (e *Egress) sources() ([]egress.Source, error) {
	var sources []egress.Source
	for _, text := range e.Address {
		addr, err := parseAddr(text)
		if err != nil {
			return nil, fmt.Errorf("address: %w", err)
		}
		sources = append(sources, egress.Source{Addr: addr})
	}
	for _, u := range e.Upcoming {
		addr, err := parseAddr(u.Address)
		if err != nil {
			return nil, fmt.Errorf("upcoming: %w", err)
		}
		from, err := parseDay(u.NotBefore)
		if err != nil {
			return nil, fmt.Errorf("upcoming %s: %w", addr, err)
		}
		sources = append(sources, egress.Source{Addr: addr, From: from})
	}
	if len(e.Upcoming) > 0 && len(e.Address) == 0 {
		return nil, errors.New("upcoming needs `address` beside it: until its day no address could be used")
	}
	return sources, nil
}

func parseAddr(text string) (netip.Addr, error) {
	text, err := resolve(text)
	if err != nil {
		return netip.Addr{}, err
	}
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return addr, fmt.Errorf("'%s' is not an address like 203.0.113.10 or 2001:db8::10", text)
	}
	return addr.Unmap(), nil
}

// parseDay reads a day, which begins at midnight UTC.
func parseDay(text string) (time.Time, error) {
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return t, fmt.Errorf("'%s' is not a day like 2026-12-24", text)
	}
	return t, nil
}

// egressProxies resolves what the proxies of a profile need.
func (a *App) egressProxies(ctx caddy.Context, name string, e *Egress) ([]egress.Proxy, error) {
	proxies := make([]egress.Proxy, len(e.Proxy))
	for i, p := range e.Proxy {
		var err error
		if proxies[i], err = p.translate(ctx, a.logger.With(zap.String("egress", name))); err != nil {
			return nil, fmt.Errorf("proxy %d: %w", i+1, err)
		}
	}
	return proxies, nil
}

func (p *EgressProxy) translate(ctx caddy.Context, log *zap.Logger) (egress.Proxy, error) {
	var out egress.Proxy
	text, err := resolve(p.URL)
	if err != nil {
		return out, fmt.Errorf("url: %w", err)
	}
	if out.URL, err = egress.ParseProxyURL(text); err != nil {
		return out, err
	}
	where := "proxy " + out.URL.String()
	secure := out.URL.Scheme == "https"
	if p.BasicAuth != nil {
		if p.BasicAuth.User == "" {
			return out, errors.New("basic_auth: the user is empty")
		}
		if out.User, err = resolve(p.BasicAuth.User); err != nil {
			return out, fmt.Errorf("basic_auth: user: %w", err)
		}
		if out.Password, err = resolveSecret(log, p.BasicAuth.Password, where+", basic_auth"); err != nil {
			return out, err
		}
		if !secure {
			log.Warn("the proxy's password goes over the network in the clear; use an https proxy", zap.String("where", where))
		}
	}
	if p.TLS != nil {
		if !secure {
			return out, errors.New("tls is for https proxies")
		}
		if out.TLS, err = p.TLS.clientConfig(ctx, nil); err != nil {
			return out, fmt.Errorf("tls: %w", err)
		}
	}
	return out, nil
}

// list says what customers see: what is bound here, or the addresses of the proxies.
func (p *egressProfile) list(sources []egress.Source, e *Egress) error {
	if len(e.Proxy) == 0 {
		for _, s := range sources {
			p.listed = append(p.listed, egress.Listed{Profile: p.name, Source: s})
		}
		if len(sources) == 0 {
			p.unlisted = "it binds no address"
		}
		return nil
	}
	for i, proxy := range e.Proxy {
		for _, text := range proxy.Address {
			addr, err := parseAddr(text)
			if err != nil {
				return fmt.Errorf("proxy %d: address: %w", i+1, err)
			}
			p.listed = append(p.listed, egress.Listed{Profile: p.name, Source: egress.Source{Addr: addr}})
		}
		if len(proxy.Address) == 0 {
			p.unlisted = "it has a proxy without an address"
		}
	}
	return nil
}

// warnShortNotice is for addresses that customers cannot know for long enough. A reload of the same addresses is no news.
func warnShortNotice(log *zap.Logger, sources []egress.Source) {
	now := time.Now()
	for _, s := range sources {
		if s.From.After(now) && s.From.Sub(now) < egressNotice {
			log.Warn("customers have less than 7 days to let this source address in",
				zap.Stringer("address", s.Addr), zap.String("not_before", s.From.Format(time.DateOnly)))
		}
	}
}

// ports reads the permitted ports into the policy.
func (e *Egress) ports(p *egress.URLPolicy) error {
	if len(e.Ports) == 1 && e.Ports[0] == portsAny {
		p.AnyPort = true
		return nil
	}
	for _, text := range e.Ports {
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil || n == 0 {
			return fmt.Errorf("ports: %q is not a port from 1 to 65535 (`ports any` permits all)", text)
		}
		p.Ports = append(p.Ports, uint16(n))
	}
	return nil
}

// keepConnections lets as many connections stay open between attempts as attempts may be in flight: fewer would make every
// burst shake hands anew.
func (a *App) keepConnections(p *egress.Profile, name string) {
	p.IdlePerHost, p.Idle = egress.DefaultIdlePerHost, max(a.MaxInFlight, delivery.DefaultMaxInFlight)
	for i := range a.Endpoint {
		if o := a.Endpoint[i].over(a.Defaults); cmp.Or(o.Egress, defaultEgress) == name {
			p.IdlePerHost = max(p.IdlePerHost, o.Concurrency)
		}
	}
}

func (p *egressProfile) checkURL(text string) (*url.URL, error) {
	return egress.CheckURL(text, p.policy)
}
