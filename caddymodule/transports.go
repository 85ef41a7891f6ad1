package caddymodule

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"slices"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddytls"

	"github.com/atoship/caddy-webhooks/delivery/egress"
)

const trustPoolNamespace = "tls.ca_pool.source"

// transport is a way out that configs share while its identity stays the same, so that a reload keeps the connections.
type transport struct {
	*egress.Transport
	id   transportID
	refs int // guarded by transports
}

// transportID is all that makes two transports different: where we come from, what may be dialed, who is believed, and who
// we say we are. Within one, the connections of each source address and proxy are apart.
type transportID struct {
	transportKey
	roots *x509.CertPool // nil: the system's
}

// transportKey is the part of an identity that can be looked up; roots can only be compared.
type transportKey struct {
	exit              *exit  // sources and proxies; nil: none
	rules             string // of the guard
	plainHTTP         bool
	idle, idlePerHost int
	serverName        string
	certificate       [sha256.Size]byte // of the client certificate's DER; zero without one
}

// transports are those in use by any config.
var transports = struct {
	sync.Mutex
	known map[transportKey][]*transport
}{known: make(map[transportKey][]*transport)}

// transport finds or makes the transport for an endpoint's TLS settings. It is released by the app's Cleanup.
func (a *App) transport(ctx caddy.Context, exit *egressProfile, settings *EndpointTLS) (*transport, error) {
	config, err := settings.clientConfig(ctx, a.trusted)
	if err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	id := transportID{
		transportKey: transportKey{
			exit:        exit.exit,
			rules:       exit.rules,
			plainHTTP:   exit.profile.PlainHTTP,
			idle:        exit.profile.Idle,
			idlePerHost: exit.profile.IdlePerHost,
			serverName:  config.ServerName,
			certificate: certificateID(config),
		},
		roots: config.RootCAs,
	}

	transports.Lock()
	defer transports.Unlock()
	same := transports.known[id.transportKey]
	i := slices.IndexFunc(same, func(t *transport) bool { return t.id.roots.Equal(id.roots) })
	if i < 0 {
		made, err := egress.New(exit.profile, config)
		if err != nil {
			return nil, err
		}
		i = len(same)
		same = append(same, &transport{Transport: made, id: id})
		transports.known[id.transportKey] = same
	}
	same[i].refs++
	a.transports = append(a.transports, same[i])
	return same[i], nil
}

// certificateID stands for the client certificate of a config; it is zero without one.
func certificateID(config *tls.Config) (id [sha256.Size]byte) {
	if len(config.Certificates) > 0 {
		id = sha256.Sum256(slices.Concat(config.Certificates[0].Certificate...))
	}
	return id
}

// release gives up one use. The last one closes the connections not in use: their addresses were judged by rules that no
// config has any more.
func (t *transport) release() {
	transports.Lock()
	defer transports.Unlock()
	if t.refs--; t.refs > 0 {
		return
	}
	rest := slices.DeleteFunc(transports.known[t.id.transportKey], func(other *transport) bool { return other == t })
	if len(rest) == 0 {
		delete(transports.known, t.id.transportKey)
	} else {
		transports.known[t.id.transportKey] = rest
	}
	t.CloseIdleConnections()
}

// clientConfig reads certificates and authorities; settings may be nil.
func (t *EndpointTLS) clientConfig(ctx caddy.Context, known trustPools) (*tls.Config, error) {
	config := new(tls.Config)
	if t == nil {
		return config, nil
	}
	s := *t // loading a module empties its field, and defaults are shared by endpoints
	config.ServerName = s.ServerName
	if s.TrustPoolRaw != nil {
		var err error
		if config.RootCAs, err = known.load(ctx, &s); err != nil {
			return nil, fmt.Errorf("trust_pool: %w", err)
		}
	}
	if s.ClientAuth != nil {
		cert, err := tls.LoadX509KeyPair(s.ClientAuth.Cert, s.ClientAuth.Key)
		if err != nil {
			return nil, fmt.Errorf("client_auth: %w", err)
		}
		config.Certificates = []tls.Certificate{cert}
	}
	return config, nil
}

// trustPools are those of a config by how they are configured: a thousand endpoints that trust one file read it once. Nil has
// none, and learns none.
type trustPools map[string]*x509.CertPool

func (known trustPools) load(ctx caddy.Context, s *EndpointTLS) (*x509.CertPool, error) {
	key := string(s.TrustPoolRaw)
	if pool := known[key]; pool != nil {
		return pool, nil
	}
	m, err := ctx.LoadModule(s, "TrustPoolRaw")
	if err != nil {
		return nil, err //nolint:wrapcheck // the caller says what for
	}
	ca, err := guestAs[caddytls.CA](m)
	if err != nil {
		return nil, err
	}
	pool := ca.CertPool()
	if known != nil {
		known[key] = pool
	}
	return pool, nil
}
