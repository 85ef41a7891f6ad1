package egress

import (
	"container/list"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync"
	"time"
)

// client speaks HTTP/1.1 with the hosts of one route, over connections that
// it keeps for each.
//
// It is used in place of [http.Transport], whose two goroutines per
// connection hand every request and every answer on: on one goroutine an
// attempt costs 12 % less of the gateway's CPU, and one that hangs a third of
// the memory. What an attempt does not need is left out: HTTP/2, redirects,
// decompression, cookies, upgrades, 100-continue, and repeating a request of
// which a byte has gone out. Reading answers is [http.ReadResponse]'s.
type client struct {
	dial          func(ctx context.Context, network, address string) (net.Conn, error)
	tls           *tls.Config // nil: plain HTTP
	most, perHost int         // idle connections kept

	mu     sync.Mutex
	idle   map[string][]*wire // by "host:port"; the last is the one used last
	age    list.List          // of *wire, all that are idle, the one idle for longest first
	reaper *time.Timer        // set while any is idle
}

// RoundTrip sends one request and returns its answer. The request's body is
// closed, and may be read until the answer's body is closed.
func (c *client) RoundTrip(req *http.Request) (*http.Response, error) {
	host := c.address(req.URL)
	w, err := c.wire(req.Context(), host)
	if err != nil {
		closeBody(req)
		return nil, err
	}
	if trace := httptrace.ContextClientTrace(req.Context()); trace != nil && trace.GotConn != nil {
		trace.GotConn(httptrace.GotConnInfo{Conn: w.conn, Reused: w.used})
	}
	w.used = true
	return w.roundTrip(req)
}

// address is the host and port to dial.
func (c *client) address(u *url.URL) string {
	port := u.Port()
	switch {
	case port != "":
		return u.Host
	case c.tls != nil:
		port = "443"
	default:
		port = "80"
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// wire takes a kept connection, or makes one.
func (c *client) wire(ctx context.Context, host string) (*wire, error) {
	if w := c.kept(host, nil); w != nil {
		return w, nil
	}
	return c.connect(ctx, host)
}

// kept takes a connection on which nothing has come since its last use; nil:
// there is none. It is watched for stop, nil: for nothing.
func (c *client) kept(host string, stop context.Context) *wire { //nolint:revive // not what the look-up ends with
	for {
		w := c.take(host)
		if w == nil || w.watch(stop) && w.quiet() {
			return w
		}
		w.close() // by the other side, most likely
	}
}

func (c *client) connect(ctx context.Context, host string) (*wire, error) {
	conn, err := c.dial(ctx, "tcp", host)
	if err != nil {
		return nil, failure(ctx, fmt.Errorf("connecting: %w", err))
	}
	w := newWire(c, host, conn)
	if c.tls == nil {
		return w, nil
	}
	config := c.tls
	if config.ServerName == "" {
		name, _, err := net.SplitHostPort(host)
		if err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		config = config.Clone()
		config.ServerName = name
	}
	within, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	begun := time.Now()
	secure, err := shake(within, conn, config)
	timing(ctx).TLS += time.Since(begun)
	if err != nil {
		_ = conn.Close()
		return nil, failure(ctx, fmt.Errorf("shaking hands: %w", err))
	}
	w.speak(secure)
	return w, nil
}

// failure is why a step failed: the attempt's end if that came first.
func failure(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return errors.Join(context.Cause(ctx), err)
	}
	return err
}

// take removes the connection of a host that was used last: the others may
// grow old and go.
func (c *client) take(host string) *wire {
	c.mu.Lock()
	defer c.mu.Unlock()
	kept := c.idle[host]
	if len(kept) == 0 {
		return nil
	}
	w := kept[len(kept)-1]
	c.remove(w, len(kept)-1)
	return w
}

// put keeps a connection for the next request. Too many of its host, or in
// all, push out the one idle for longest.
func (c *client) put(w *wire) {
	var out []*wire
	defer func() { closeAll(out) }()
	c.mu.Lock()
	defer c.mu.Unlock()
	if kept := c.idle[w.host]; len(kept) >= c.perHost {
		out = append(out, c.oldest(kept[0]))
	}
	if c.age.Len() >= c.most {
		out = append(out, c.oldest(c.age.Front().Value.(*wire)))
	}
	w.since = time.Now()
	w.aged = c.age.PushBack(w)
	c.idle[w.host] = append(c.idle[w.host], w)
	if c.reaper == nil {
		c.reaper = time.AfterFunc(idleTimeout, c.reap)
	}
}

// closeAll closes connections. Not under the lock, which all attempts need.
func closeAll(wires []*wire) {
	for _, w := range wires {
		w.close()
	}
}

// remove takes a connection out of the books; i is its place among its host's.
func (c *client) remove(w *wire, i int) {
	c.age.Remove(w.aged)
	w.aged = nil
	kept := c.idle[w.host]
	copy(kept[i:], kept[i+1:])
	kept[len(kept)-1] = nil
	if kept = kept[:len(kept)-1]; len(kept) == 0 {
		delete(c.idle, w.host)
	} else {
		c.idle[w.host] = kept
	}
}

// oldest removes the connection that its host used first of all it has.
func (c *client) oldest(w *wire) *wire {
	c.remove(w, 0)
	return w
}

// reap closes what was idle for too long, and comes again for what is left.
func (c *client) reap() {
	var out []*wire
	defer func() { closeAll(out) }()
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.age.Len() > 0 {
		w := c.age.Front().Value.(*wire)
		if left := idleTimeout - time.Since(w.since); left > 0 {
			c.reaper.Reset(left)
			return
		}
		out = append(out, c.oldest(w))
	}
	c.reaper = nil
}

// CloseIdleConnections closes what is not in use.
func (c *client) CloseIdleConnections() {
	var out []*wire
	defer func() { closeAll(out) }()
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.age.Len() > 0 {
		out = append(out, c.oldest(c.age.Front().Value.(*wire)))
	}
}

var _ http.RoundTripper = (*client)(nil)
