package egress

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"time"
)

const (
	// fallbackDelay is the head start of a host's first address family over
	// the other (RFC 8305 has 250 ms, package net 300).
	fallbackDelay = 300 * time.Millisecond

	// maxTargets bounds the addresses of one name that are tried. A hostile
	// name server can give hundreds, each of them a packet to a third party.
	maxTargets = 8

	// minShare is the least time for one address of several.
	minShare = 2 * time.Second
)

// dialer makes the connections of one route.
type dialer struct {
	resolver *net.Resolver
	check    func(netip.AddrPort) error // judges destinations
	pool     *Pool                      // nil: the kernel chooses the source
	source   sourcePair                 // with a pool
	proxy    *proxy                     // nil: straight to the destination
}

// dial connects to "host:port" for net/http.
func (d *dialer) dial(ctx context.Context, _, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	t, since := timing(ctx), time.Now()
	targets, err := d.targets(ctx, address)
	t.DNS += lap(&since)
	if err != nil {
		return nil, err
	}
	defer func() { t.Connect += lap(&since) }()
	if d.proxy != nil {
		return d.tunnel(ctx, targets)
	}
	return d.connect(ctx, targets, control(d.check))
}

// targets resolves a destination to the addresses that may be dialled, in the
// order to try them.
func (d *dialer) targets(ctx context.Context, address string) ([]netip.AddrPort, error) {
	found, err := d.resolve(ctx, address)
	if err != nil {
		return nil, err
	}
	var targets []netip.AddrPort
	var blocked error
	for _, target := range found {
		if err := d.check(target); err == nil {
			targets = append(targets, target)
		} else if blocked == nil {
			blocked = err
		}
	}
	if len(targets) == 0 {
		return nil, blocked
	}
	if d.proxy != nil {
		return targets, nil
	}
	return d.reachable(targets)
}

// resolve looks a host up; it may be an address.
func (d *dialer) resolve(ctx context.Context, address string) ([]netip.AddrPort, error) {
	host, portText, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("reading the destination: %w", err)
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("reading the destination's port: %w", err)
	}
	var addrs []netip.Addr
	if a, err := netip.ParseAddr(host); err == nil {
		addrs = []netip.Addr{a}
	} else if addrs, err = d.resolver.LookupNetIP(ctx, "ip", host); err != nil {
		return nil, fmt.Errorf("resolving the destination: %w", err)
	}
	found := make([]netip.AddrPort, len(addrs))
	for i, a := range addrs {
		if a.Zone() == "" { // which Unmap would hide from who judges it
			a = a.Unmap()
		}
		found[i] = netip.AddrPortFrom(a, uint16(port))
	}
	return found, nil
}

// reachable leaves the targets for which there is a source of their family.
func (d *dialer) reachable(targets []netip.AddrPort) ([]netip.AddrPort, error) {
	var left []netip.AddrPort
	for _, t := range targets {
		if len(left) < maxTargets && (d.pool == nil || d.source.of(t.Addr()).IsValid()) {
			left = append(left, t)
		}
	}
	if len(left) > 0 {
		return left, nil
	}
	family := "IPv6"
	if targets[0].Addr().Is4() {
		family = "IPv4"
	}
	return nil, &SourceError{Err: fmt.Errorf("the pool has no %s address to use, and the destination has no other", family)}
}

// dialProxy connects to a proxy: from the pool, and to whatever address the
// operator's name for it has.
func (d *dialer) dialProxy(ctx context.Context, address string) (net.Conn, error) {
	found, err := d.resolve(ctx, address)
	if err != nil {
		return nil, err
	}
	targets, err := d.reachable(found)
	if err != nil {
		return nil, err
	}
	return d.connect(ctx, targets, nil)
}

// controller sees a socket between socket() and bind() or connect().
type controller = func(context.Context, string, string, syscall.RawConn) error

// dialled is what became of one address family.
type dialled struct {
	conn net.Conn
	err  error
}

func (r dialled) close() {
	if r.conn != nil {
		_ = r.conn.Close()
	}
}

// connect tries the targets one by one, and after a moment those of the other
// address family beside them (RFC 8305). The first connection wins.
func (d *dialer) connect(ctx context.Context, targets []netip.AddrPort, look controller) (net.Conn, error) {
	var first, other []netip.AddrPort
	for _, t := range targets {
		if t.Addr().Is4() == targets[0].Addr().Is4() {
			first = append(first, t)
		} else {
			other = append(other, t)
		}
	}
	if len(other) == 0 {
		return d.serial(ctx, first, look)
	}

	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the loser
	results := make(chan dialled, 2)
	start := func(list []netip.AddrPort) {
		conn, err := d.serial(ctx, list, look)
		results <- dialled{conn, err}
	}
	go start(first)
	running := 1
	fallback := time.NewTimer(fallbackDelay)
	defer fallback.Stop()
	var failed error
	for {
		select {
		case <-fallback.C:
		case r := <-results:
			running--
			if r.err == nil {
				if running > 0 {
					go func() { (<-results).close() }()
				}
				return r.conn, nil
			}
			failed = telling(failed, r.err)
			if running == 0 && other == nil {
				return nil, failed
			}
		}
		if other != nil {
			go start(other)
			running++
			other = nil
		}
	}
}

// telling is the error to report of two: a lost source address, because there
// are others to try with, else the first.
func telling(first, second error) error {
	_, lost := errors.AsType[*SourceError](second)
	if first == nil || lost {
		return second
	}
	return first
}

// serial tries targets of one family in turn, each for a fair share of the time.
func (d *dialer) serial(ctx context.Context, targets []netip.AddrPort, look controller) (net.Conn, error) {
	var failed error
	for i, target := range targets {
		share := connectTimeout
		if end, ok := ctx.Deadline(); ok {
			share = max(time.Until(end)/time.Duration(len(targets)-i), minShare)
		}
		conn, err := d.one(ctx, target, share, look)
		if err == nil {
			return conn, nil
		}
		failed = telling(failed, err)
		if _, lost := errors.AsType[*SourceError](err); lost || ctx.Err() != nil {
			break
		}
	}
	return nil, failed
}

// one connects to one address, from its source.
func (d *dialer) one(ctx context.Context, target netip.AddrPort, timeout time.Duration, look controller) (net.Conn, error) {
	nd := net.Dialer{Timeout: timeout, ControlContext: look}
	if d.pool == nil {
		return nd.DialContext(ctx, "tcp", target.String())
	}
	from := d.source.of(target.Addr())
	nd.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
	nd.ControlContext = func(ctx context.Context, network, address string, c syscall.RawConn) error {
		if look != nil {
			if err := look(ctx, network, address, c); err != nil {
				return err
			}
		}
		return c.Control(bindAddressOnly)
	}
	conn, err := nd.DialContext(ctx, "tcp", target.String())
	// EADDRNOTAVAIL means that the address has gone, or that it has no port
	// left. If it goes between bind and connect, connect fails with EINVAL.
	if (isGone(err) || errors.Is(err, syscall.EINVAL)) && d.pool.gone(from) {
		return nil, &SourceError{Addr: from, Err: err}
	}
	return conn, err
}
