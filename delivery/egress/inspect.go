package egress

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"time"
)

// inspectTimeout bounds one connection of an inspection, its TLS handshake
// included: long enough for a far and busy host, short enough that a person
// waits for it.
const inspectTimeout = 10 * time.Second

// Inspector looks how connections to a host come about, layer by layer, by
// the same way that an endpoint's attempts take. [Transport], what
// [Transport.For] returns, and [Bearer] are inspectors.
type Inspector interface {
	// Inspect never dials what an attempt could not dial.
	Inspect(ctx context.Context, u *url.URL) *Inspection
}

// Inspection is what was found, from the name down to the certificate. A layer
// that was not reached is the zero value.
type Inspection struct {
	// Sources are the addresses that connections may come from, which a
	// firewall must let in. Empty: those of the machine, unknown to us.
	Sources []netip.Addr
	// Proxy names the proxy that was used; empty for none.
	Proxy string
	// RouteErr tells that there is no way out at all: every source address is
	// lost or every proxy down. Nothing else was looked at.
	RouteErr error
	// Resolved are the host's addresses, in the resolver's order. ResolveErr
	// is why there are none.
	Resolved    []Resolved
	ResolveErr  error
	ResolveTook time.Duration
	// Reached tells of connections to the first address of each family that
	// may be dialled.
	Reached []Reached
	// Handshake is that over the first connection that came up; nil for plain
	// HTTP, or when none did.
	Handshake *Handshake
}

// Resolved is one address of a host.
type Resolved struct {
	Addr netip.Addr
	// Blocked tells that the guard refuses it, and why; nil: it may be dialled.
	// See [BlockedError] for who may read it.
	Blocked error
}

// Reached is one connection that was tried.
type Reached struct {
	Addr netip.AddrPort
	Took time.Duration
	Err  error // nil: it came up
}

// Handshake is what a server said of itself.
type Handshake struct {
	Took time.Duration
	// Err is why the handshake failed, or why its certificate is not to be
	// trusted; an attempt fails of it.
	Err error
	// Version and Certificates, the server's own first, also of a handshake
	// whose certificate is not to be trusted. None when it got not so far.
	Version      uint16
	Certificates []*x509.Certificate
}

// Inspect implements [Inspector] for requests of no particular endpoint.
func (t *Transport) Inspect(ctx context.Context, u *url.URL) *Inspection {
	return t.nobody.Inspect(ctx, u)
}

// Inspect implements [Inspector]. Tokens are not asked for.
func (b *Bearer) Inspect(ctx context.Context, u *url.URL) *Inspection {
	if next, ok := b.Next.(Inspector); ok {
		return next.Inspect(ctx, u)
	}
	return &Inspection{RouteErr: errors.New("the way out cannot be inspected")}
}

// Inspect implements [Inspector].
func (e *exit) Inspect(ctx context.Context, u *url.URL) *Inspection {
	in := &Inspection{}
	r, err := e.choose(nil)
	if err != nil {
		in.RouteErr = err
		return in
	}
	d := e.dialer(r, e.profile.Guard.CheckDial)
	if u.Scheme == "http" {
		d.check = e.profile.Guard.checkPlain
	}
	in.Sources = e.leavesFrom(r)
	if d.proxy != nil {
		in.Proxy = d.proxy.name
	}
	port := "443"
	if u.Scheme == "http" {
		port = "80"
	}
	start := time.Now()
	found, err := d.resolve(ctx, net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), port)))
	in.ResolveTook = time.Since(start)
	if err != nil {
		in.ResolveErr = err
		return in
	}
	var conn net.Conn
	for _, target := range d.judge(in, found) {
		c := d.look(ctx, in, target)
		if conn == nil {
			conn = c
		} else if c != nil {
			_ = c.Close()
		}
	}
	if conn != nil {
		if u.Scheme == "https" {
			in.Handshake = shakeHands(ctx, conn, e.tls, u.Hostname())
		}
		_ = conn.Close()
	}
	return in
}

// leavesFrom lists the addresses that an endpoint's connections may come from.
func (e *exit) leavesFrom(r route) []netip.Addr {
	var all []netip.Addr
	for _, a := range []netip.Addr{r.source.four, r.source.six} {
		if a.IsValid() {
			all = append(all, a)
		}
	}
	return all
}

// judge notes what the guard says of each address, and picks one of each
// family to connect to.
func (d *dialer) judge(in *Inspection, found []netip.AddrPort) []netip.AddrPort {
	var targets []netip.AddrPort
	var four, six bool
	for _, target := range found[:min(len(found), maxTargets)] {
		err := d.check(target)
		in.Resolved = append(in.Resolved, Resolved{target.Addr(), err})
		seen := &six
		if target.Addr().Is4() {
			seen = &four
		}
		if err == nil && !*seen {
			*seen = true
			targets = append(targets, target)
		}
	}
	return targets
}

// look connects to one address, and notes how it went.
func (d *dialer) look(ctx context.Context, in *Inspection, target netip.AddrPort) net.Conn {
	ctx, cancel := context.WithTimeout(ctx, inspectTimeout)
	defer cancel()
	start := time.Now()
	conn, err := d.via(ctx, []netip.AddrPort{target})
	in.Reached = append(in.Reached, Reached{Addr: target, Took: time.Since(start), Err: err})
	return conn
}

// via connects to targets as dial does.
func (d *dialer) via(ctx context.Context, targets []netip.AddrPort) (net.Conn, error) {
	if d.proxy != nil {
		return d.tunnel(ctx, targets)
	}
	targets, err := d.reachable(targets)
	if err != nil {
		return nil, err
	}
	return d.connect(ctx, targets, control(d.check))
}

// shakeHands makes a TLS handshake that shows the server's certificates even
// if they are not to be trusted. Nothing is sent over the connection.
func shakeHands(ctx context.Context, conn net.Conn, base *tls.Config, host string) *Handshake {
	config := base.Clone()
	config.ServerName = cmp.Or(config.ServerName, host)
	config.ClientSessionCache = nil // a resumed session shows no certificates
	config.InsecureSkipVerify = true
	h := &Handshake{}
	config.VerifyConnection = func(s tls.ConnectionState) error {
		h.Version, h.Certificates = s.Version, s.PeerCertificates
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, inspectTimeout)
	defer cancel()
	start := time.Now()
	h.Err = tls.Client(conn, config).HandshakeContext(ctx)
	h.Took = time.Since(start)
	if h.Err == nil {
		h.Err = verify(h.Certificates, config.RootCAs, config.ServerName)
	}
	return h
}

// verify is what crypto/tls does with a server's certificates.
func verify(certs []*x509.Certificate, roots *x509.CertPool, name string) error {
	if len(certs) == 0 {
		return errors.New("the server showed no certificate")
	}
	o := x509.VerifyOptions{Roots: roots, DNSName: name, Intermediates: x509.NewCertPool()}
	for _, c := range certs[1:] {
		o.Intermediates.AddCert(c)
	}
	_, err := certs[0].Verify(o)
	return err //nolint:wrapcheck // the caller classifies it
}

// Interface guards.
var (
	_ Inspector = (*Transport)(nil)
	_ Inspector = (*exit)(nil)
	_ Inspector = (*Bearer)(nil)
)
