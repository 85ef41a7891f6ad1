package egress

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"time"
)

const (
	// tunnelTimeout bounds a proxy's answer to CONNECT. It dials meanwhile;
	// a third of the default attempt leaves time to ask another.
	tunnelTimeout = 10 * time.Second

	// maxTunnelHeader bounds that answer. net/http would read 10 MiB.
	maxTunnelHeader = 16 << 10

	// maxTunnelTargets is how many addresses of one host are asked for.
	maxTunnelTargets = 2
)

// tunnel connects to one of the targets through the dialer's proxy. The proxy
// is told an address and never a name: it would look the name up itself, and
// the answer could be one that the guard never saw.
func (d *dialer) tunnel(ctx context.Context, targets []netip.AddrPort) (net.Conn, error) {
	// Whether the proxy has IPv6 we cannot know; IPv4 it most likely has.
	slices.SortStableFunc(targets, func(a, b netip.AddrPort) int { return a.Addr().BitLen() - b.Addr().BitLen() })
	var failed error
	for _, target := range targets[:min(len(targets), maxTunnelTargets)] {
		conn, err := d.proxy.reach(ctx, d.dialProxy)
		if err != nil {
			return nil, err
		}
		tunnelled, err := d.proxy.tunnel(ctx, conn, target)
		if err == nil {
			return tunnelled, nil
		}
		_ = conn.Close()
		failed = err
		if _, ok := errors.AsType[*TunnelError](err); !ok {
			break
		}
	}
	return nil, failed
}

// tunnel asks for a tunnel to target over a connection to the proxy.
func (p *proxy) tunnel(ctx context.Context, conn net.Conn, target netip.AddrPort) (net.Conn, error) {
	_ = conn.SetDeadline(time.Now().Add(within(ctx, tunnelTimeout)))
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	head := "CONNECT " + target.String() + " HTTP/1.1\r\nHost: " + target.String() + "\r\n"
	if p.auth != "" {
		head += "Proxy-Authorization: " + p.auth + "\r\n"
	}
	if _, err := io.WriteString(conn, head+"\r\n"); err != nil {
		return nil, p.fault(true, fmt.Errorf("asking for a tunnel: %w", err))
	}
	r := bufio.NewReader(io.LimitReader(conn, maxTunnelHeader))
	resp, err := http.ReadResponse(r, &http.Request{Method: http.MethodConnect})
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, &TunnelError{Proxy: p.name, Err: errors.New("no answer in time")}
	case err != nil:
		// net/http quotes what it cannot read, and a proxy may send our own
		// header back.
		return nil, p.fault(true, errors.New("it broke off, or answered with something other than HTTP or with more than 16 KiB"))
	}
	_ = resp.Body.Close()
	switch code := resp.StatusCode; {
	case code == http.StatusBadGateway || code == http.StatusServiceUnavailable || code == http.StatusGatewayTimeout:
		return nil, &TunnelError{Proxy: p.name, Status: code, Err: errors.New(statusText(code))}
	case code < 200 || code > 299:
		return nil, p.fault(true, errors.New("it refused the tunnel: "+statusText(code)))
	case r.Buffered() > 0:
		return nil, p.fault(true, errors.New("it sent data before the destination was asked anything"))
	}
	if !stop() {
		return nil, context.Cause(ctx)
	}
	_ = conn.SetDeadline(time.Time{})
	return &tunnelConn{conn, target}, nil
}

// statusText is a status in our words: the proxy's own could repeat what we
// sent it.
func statusText(code int) string { return fmt.Sprintf("%d %s", code, http.StatusText(code)) }

// tunnelConn is a connection to its destination, whoever it goes through:
// what is recorded as an attempt's address is where it went.
type tunnelConn struct {
	net.Conn
	to netip.AddrPort
}

func (c *tunnelConn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.to) }

// NetConn is the connection to the proxy.
func (c *tunnelConn) NetConn() net.Conn { return c.Conn }
