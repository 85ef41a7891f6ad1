package caddymodule

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/egress"
)

// portsAny is the word that lifts the restriction of ports.
const portsAny = "any"

// egressProfile is a way out, ready to use.
type egressProfile struct {
	policy  egress.URLPolicy
	profile egress.Profile
	allow   []netip.Prefix // sorted; two profiles with equal ones are one identity
}

// egressProfile translates the profile `default`.
func (a *App) egressProfile() (*egressProfile, error) {
	var e Egress
	switch {
	case len(a.Egress) > 1:
		return nil, errors.New("only one egress profile is available in this version")
	case len(a.Egress) == 1:
		e = a.Egress[0]
	}
	if e.Name != "" && e.Name != "default" {
		return nil, fmt.Errorf("egress profile %q: only `default` is available in this version", e.Name)
	}
	p := new(egressProfile)
	for _, text := range e.Allow {
		text, err := resolve(text)
		if err != nil {
			return nil, fmt.Errorf("egress allow: %w", err)
		}
		prefix, err := egress.ParseAllow(text)
		if err != nil {
			return nil, err
		}
		p.allow = append(p.allow, prefix)
	}
	slices.SortFunc(p.allow, netip.Prefix.Compare)
	p.policy = egress.URLPolicy{Guard: egress.NewGuard(p.allow...), PlainHTTP: e.PlainHTTP}
	if err := e.ports(&p.policy); err != nil {
		return nil, err
	}
	p.profile = egress.Profile{Guard: p.policy.Guard, PlainHTTP: e.PlainHTTP}
	a.keepConnections(&p.profile)
	return p, nil
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
			return fmt.Errorf("egress ports: %q is not a port from 1 to 65535 (`ports any` permits all)", text)
		}
		p.Ports = append(p.Ports, uint16(n))
	}
	return nil
}

// keepConnections lets as many connections stay open between attempts as attempts may be in flight: fewer would make every
// burst shake hands anew.
func (a *App) keepConnections(p *egress.Profile) {
	p.IdlePerHost, p.Idle = egress.DefaultIdlePerHost, max(a.MaxInFlight, delivery.DefaultMaxInFlight)
	for i := range a.Endpoint {
		p.IdlePerHost = max(p.IdlePerHost, a.Endpoint[i].over(a.Defaults).Concurrency)
	}
}

func (p *egressProfile) checkURL(text string) (*url.URL, error) {
	return egress.CheckURL(text, p.policy)
}
