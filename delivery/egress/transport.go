package egress

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"
)

const (
	// maxResponseHeaderBytes bounds the header of a response, 1xx responses
	// before it included; net/http's own limit is 10 MiB, which a hostile
	// receiver could make each attempt hold.
	maxResponseHeaderBytes = 64 << 10

	// connectTimeout bounds dialling, and once more the TLS handshake.
	// net/http detaches both from the request: they go on after the attempt
	// has given up, for the next one to use, and must end by themselves.
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
	tlsSessions = 256
)

// Profile says how requests leave. The zero value is usable: public addresses
// over TLS.
type Profile struct {
	// Guard judges each address. Nil: public ones only.
	Guard *Guard
	// PlainHTTP permits http, to the guard's exceptions only.
	PlainHTTP bool
	// IdlePerHost is how many connections to one host are kept for reuse.
	// Fewer than an endpoint's concurrency costs handshakes (40 instead of
	// 23 µs per request even without TLS). Default [DefaultIdlePerHost].
	IdlePerHost int
	// Idle is the same over all hosts. Default [DefaultIdle].
	Idle int
	// Resolver looks names up. Nil: the system's.
	Resolver *net.Resolver
}

// Transport sends requests of one identity: one profile, one set of trusted
// authorities, one client certificate. Endpoints that differ in any of these
// need transports of their own, since connections are shared within one.
// It is an [http.RoundTripper], safe for concurrent use.
type Transport struct {
	secure *http.Transport
	plain  *http.Transport // nil unless the profile permits plain HTTP
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
	t := &Transport{secure: p.transport(p.Guard.Check)}
	t.secure.TLSClientConfig = config
	if p.PlainHTTP {
		t.plain = p.transport(p.Guard.checkPlain)
	}
	return t, nil
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

// transport makes net/http's part. It speaks HTTP/1.1 only: for many small
// POSTs to one host kept connections cost less (26 against 31 µs measured),
// and one stalled HTTP/2 connection would stop all attempts at an endpoint.
func (p Profile) transport(check func(netip.Addr) error) *http.Transport {
	dialer := &net.Dialer{
		Timeout:        connectTimeout,
		Resolver:       p.Resolver,
		ControlContext: control(check),
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	t := &http.Transport{
		Proxy:                  nil, // never the environment's
		DialContext:            dialer.DialContext,
		Protocols:              protocols,
		TLSHandshakeTimeout:    connectTimeout,
		DisableCompression:     true, // 100 KB of gzip can unpack to 100 MB
		MaxResponseHeaderBytes: maxResponseHeaderBytes,
		MaxIdleConns:           p.Idle,
		MaxIdleConnsPerHost:    p.IdlePerHost,
		IdleConnTimeout:        idleTimeout,
	}
	if t.MaxIdleConns <= 0 {
		t.MaxIdleConns = DefaultIdle
	}
	if t.MaxIdleConnsPerHost <= 0 {
		t.MaxIdleConnsPerHost = DefaultIdlePerHost
	}
	return t
}

// control runs between socket() and connect(), once per address tried, and
// sees the address that connect() gets: no later lookup can change it.
func control(check func(netip.Addr) error) func(context.Context, string, string, syscall.RawConn) error {
	return func(_ context.Context, network, address string, _ syscall.RawConn) error {
		if network != "tcp4" && network != "tcp6" {
			return &BlockedError{Why: "not TCP"}
		}
		ap, err := netip.ParseAddrPort(address)
		if err != nil {
			return &BlockedError{Why: "not an IP address and port"}
		}
		return check(ap.Addr())
	}
}

// checkPlain is Check for plain HTTP: being public is not enough.
func (g *Guard) checkPlain(a netip.Addr) error {
	if g.Allowed(a) {
		return nil
	}
	if err := g.Check(a); err != nil {
		return err
	}
	return &BlockedError{a, "plain HTTP is for allowed addresses only"}
}

// RoundTrip sends one request and returns its answer, whatever the status. A
// refused address is an error that is [ErrBlocked].
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	rt := t.secure
	if req.URL.Scheme == "http" {
		rt = t.plain
	}
	if rt == nil {
		if req.Body != nil {
			_ = req.Body.Close() // as RoundTripper promises
		}
		return nil, &BlockedError{Why: "the egress profile does not permit plain HTTP"}
	}
	return rt.RoundTrip(req)
}

// CloseIdleConnections closes what is not in use. Call it when the transport
// is replaced: kept connections were judged by its guard.
func (t *Transport) CloseIdleConnections() {
	t.secure.CloseIdleConnections()
	if t.plain != nil {
		t.plain.CloseIdleConnections()
	}
}

var _ http.RoundTripper = (*Transport)(nil)
