package egress

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

const (
	// maxResponseHeaderBytes bounds the header of a response, 1xx responses
	// before it included; net/http's own limit is 10 MiB, which a hostile
	// receiver could make each attempt hold.
	maxResponseHeaderBytes = 64 << 10

	// connectTimeout bounds dialling, the lookup included, and once more the
	// TLS handshake, for requests without a deadline of their own.
	connectTimeout = 30 * time.Second

	// idleTimeout is how long a connection is kept without use: long enough
	// for steady traffic, short enough that a changed DNS answer is seen.
	idleTimeout = 90 * time.Second

	// DefaultIdlePerHost suits the default concurrency of an endpoint.
	DefaultIdlePerHost = 16

	// DefaultIdle is as many as attempts may be in flight by default; past
	// it the connection idle for longest is closed, so that a thousand
	// endpoints do not use up our descriptors.
	DefaultIdle = 1024

	// tlsSessions bounds the tickets kept to resume sessions, about 2 KiB each.
	// Fewer than the hosts that are called in turn would be of no use at all.
	tlsSessions = 2048
)

// Profile says how requests leave. The zero value is usable: public addresses
// over TLS, from the address that the kernel chooses.
type Profile struct {
	// Guard judges each address. Nil: public ones only.
	Guard *Guard
	// PlainHTTP permits http, to the guard's exceptions only.
	PlainHTTP bool
	// Sources is the pool of addresses to send from. Nil: the kernel chooses.
	Sources *Pool
	// Proxies to send through, always by tunnels. Nil: none.
	Proxies *Proxies
	// IdlePerHost is how many connections to one host are kept for reuse.
	// Fewer than an endpoint's concurrency costs handshakes (40 instead of
	// 23 µs per request even without TLS). Default [DefaultIdlePerHost].
	IdlePerHost int
	// Idle is the same over all hosts. Endpoints are spread over the sources,
	// and so is this number. Default [DefaultIdle].
	Idle int
	// Resolver looks names up. Nil: the system's.
	Resolver *net.Resolver
}

// Transport sends requests of one identity: one profile, one set of trusted
// authorities, one client certificate. Endpoints that differ in any of these
// need transports of their own, since connections are shared within one; but
// never between requests that leave from different addresses or through
// different proxies.
// It is an [http.RoundTripper], safe for concurrent use.
type Transport struct {
	profile Profile
	tls     *tls.Config
	nobody  *exit // for requests of no endpoint

	mu   sync.Mutex
	ways map[route]*way // made when first used; at most as many as pairs of sources times proxies
}

// way is the connections of one route.
type way struct {
	secure *client
	plain  *client // nil unless the profile permits plain HTTP
}

// New makes a transport. base holds what an endpoint's TLS needs beyond the
// defaults: RootCAs, ServerName, client certificates; nil for none. It is
// cloned. Whatever it says, TLS is 1.2 or newer and verified: a base that
// turns verification off is an error, and so is one that permits no TLS 1.2
// or newer.
func New(p Profile, base *tls.Config) (*Transport, error) {
	config, err := clientTLS(base)
	if err != nil {
		return nil, err
	}
	t := &Transport{profile: p, tls: config, ways: make(map[route]*way)}
	t.nobody = newExit(t, "")
	return t, nil
}

// For returns the way out for one endpoint, which sticks to its source
// addresses by its name. It is safe for concurrent use and shares the
// connections of t.
func (t *Transport) For(endpoint string) http.RoundTripper {
	if t.profile.Sources == nil && t.profile.Proxies == nil {
		return t // there is nothing to choose
	}
	return newExit(t, endpoint)
}

func clientTLS(base *tls.Config) (*tls.Config, error) {
	config := &tls.Config{}
	if base != nil {
		config = base.Clone()
	}
	switch {
	case config.InsecureSkipVerify:
		return nil, errors.New("tls: verification cannot be turned off: trust the endpoint's authority instead")
	case config.MaxVersion != 0 && config.MaxVersion < tls.VersionTLS12:
		return nil, errors.New("tls: version must be at least 1.2")
	}
	config.MinVersion = max(config.MinVersion, tls.VersionTLS12)
	config.Renegotiation = tls.RenegotiateNever
	config.NextProtos = nil // HTTP/1.1
	config.KeyLogWriter = nil
	config.ClientSessionCache = tls.NewLRUClientSessionCache(tlsSessions)
	return config, nil
}

// way finds or makes the connections of a route.
func (t *Transport) way(r route) *way {
	t.mu.Lock()
	defer t.mu.Unlock()
	w := t.ways[r]
	if w == nil {
		w = &way{secure: t.client(t.dialer(r, t.profile.Guard.CheckDial), t.tls)}
		if t.profile.PlainHTTP {
			w.plain = t.client(t.dialer(r, t.profile.Guard.checkPlain), nil)
		}
		t.ways[r] = w
	}
	return w
}

func (t *Transport) dialer(r route, check func(netip.AddrPort) error) *dialer {
	d := &dialer{resolver: t.profile.Resolver, check: check, pool: t.profile.Sources, source: r.source}
	if r.proxy != direct {
		d.proxy = t.profile.Proxies.list[r.proxy]
	}
	return d
}

// client makes what speaks HTTP: HTTP/1.1 only, because for many small POSTs
// to one host kept connections cost less (26 against 31 µs measured), and one
// stalled HTTP/2 connection would stop all attempts at an endpoint.
func (t *Transport) client(d *dialer, config *tls.Config) *client {
	all, perHost := t.profile.idle()
	return &client{dial: d.dial, tls: config, most: all, perHost: perHost, idle: make(map[string][]*wire)}
}

// idle is how many connections one route keeps, in all and per host.
func (p *Profile) idle() (all, perHost int) {
	all, perHost = p.Idle, p.IdlePerHost
	if all <= 0 {
		all = DefaultIdle
	}
	if perHost <= 0 {
		perHost = DefaultIdlePerHost
	}
	if p.Sources != nil {
		four, six := p.Sources.families()
		pairs := max(four, 1) * max(six, 1)
		all = max((all+pairs-1)/pairs, perHost)
	}
	return all, perHost
}

// control runs between socket() and connect(), once per address tried, and
// sees the address that connect() gets: no later lookup can change it.
func control(check func(netip.AddrPort) error) controller {
	return func(_ context.Context, network, address string, _ syscall.RawConn) error {
		if network != "tcp4" && network != "tcp6" {
			return &BlockedError{Why: "not TCP"}
		}
		ap, err := netip.ParseAddrPort(address)
		if err != nil {
			return &BlockedError{Why: "not an IP address and port"}
		}
		return check(ap)
	}
}

// checkPlain is CheckDial for plain HTTP: being public is not enough.
func (g *Guard) checkPlain(ap netip.AddrPort) error {
	if g.Allowed(ap.Addr()) {
		return nil
	}
	if err := g.CheckDial(ap); err != nil {
		return err
	}
	return &BlockedError{ap.Addr(), "plain HTTP is for allowed addresses only"}
}

// RoundTrip sends one request of no particular endpoint and returns its
// answer, whatever the status. A refused address is an error that is
// [ErrBlocked]; a fault of our own side is a [*SourceError] or a
// [*ProxyError]. Where it is one of these, or a [*TunnelError], before
// anything was sent, the next source or proxy is tried, given that the body
// can be read again by GetBody.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	return t.nobody.RoundTrip(req)
}

func (w *way) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme == "http" {
		return w.plain.RoundTrip(req)
	}
	return w.secure.RoundTrip(req)
}

// CloseIdleConnections closes what is not in use. Call it when the transport
// is replaced: kept connections were judged by its guard.
func (t *Transport) CloseIdleConnections() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, w := range t.ways {
		w.secure.CloseIdleConnections()
		if w.plain != nil {
			w.plain.CloseIdleConnections()
		}
	}
}

var _ http.RoundTripper = (*Transport)(nil)
