package caddymodule

import (
	"cmp"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"

	"github.com/caddyserver/caddy/v2"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/payload"
	"github.com/atoship/caddy-webhooks/delivery/sign"
)

// makerBasis is what endpoints made by API are made by, beside their own settings, as it is when the config is loaded: of
// files and variables it has what was read. A reload that leaves it as it was leaves the endpoints as they are.
type makerBasis struct {
	text   string      // of the config: header_prefix, defaults; and the catalog's digest
	header http.Header // that the defaults add
	tls    *tls.Config // of the defaults
}

func (a *App) makerBasis(ctx caddy.Context, catalog delivery.Catalog) (b makerBasis, err error) {
	digest := ""
	if listed, ok := catalog.(*payload.Catalog); ok {
		digest = listed.Digest()
	}
	text, err := json.Marshal([]any{a.HeaderPrefix, a.Defaults, digest})
	if err != nil {
		return b, fmt.Errorf("putting them together: %w", err)
	}
	b.text, b.tls = string(text), new(tls.Config)
	d := a.Defaults
	if d == nil {
		return b, nil
	}
	if b.header, err = d.headers(cmp.Or(a.HeaderPrefix, delivery.DefaultHeaderPrefix)); err != nil {
		return b, err
	}
	// Modules that the defaults name are loaded now: loading one can change the config's list of apps, which is fixed later.
	if b.tls, err = d.TLS.clientConfig(ctx, a.trusted); err != nil {
		return b, fmt.Errorf("tls: %w", err)
	}
	return b, nil
}

// Same implements delivery.EndpointMaker.
func (m *endpointMaker) Same(before delivery.EndpointMaker) bool {
	was, ok := before.(*endpointMaker)
	if !ok || was.basis.text != m.basis.text || !reflect.DeepEqual(was.basis.header, m.basis.header) {
		return false
	}
	if d := m.app.Defaults; d != nil && (d.OAuth2 != nil || !builtInSchemes(d.SignatureRaw)) {
		return false // a client secret may have changed where it is kept, and what a guest module reads is its own affair
	}
	a, b := was.basis.tls, m.basis.tls
	return a.ServerName == b.ServerName && a.RootCAs.Equal(b.RootCAs) && certificateID(a) == certificateID(b) &&
		maps.EqualFunc(was.app.profiles, m.app.profiles, (*egressProfile).same)
}

// same tells that endpoints may be reached through one profile as through the other.
func (p *egressProfile) same(q *egressProfile) bool {
	return p.exit == q.exit && p.rules == q.rules && p.profile.Idle == q.profile.Idle && p.profile.IdlePerHost == q.profile.IdlePerHost &&
		p.policy.PlainHTTP == q.policy.PlainHTTP && p.policy.AnyPort == q.policy.AnyPort && slices.Equal(p.policy.Ports, q.policy.Ports)
}

// builtInSchemes tells that none of an endpoint's signature schemes is a guest module of another's.
func builtInSchemes(signatures []json.RawMessage) bool {
	return !slices.ContainsFunc(signatures, func(raw json.RawMessage) bool {
		var scheme struct {
			Module string `json:"module"`
		}
		if json.Unmarshal(raw, &scheme) != nil {
			return true
		}
		_, known := sign.Lookup(scheme.Module)
		return !known
	})
}
