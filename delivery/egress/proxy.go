package egress

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"
)

const (
	// maxProxies bounds a profile's failover order: each attempt may ask all.
	maxProxies = 16

	// proxyTimeout bounds reaching a proxy, its TLS included. Proxies are
	// near; an attempt must have time left for the next one.
	proxyTimeout = 5 * time.Second

	// proxyCheck bounds the look whether a proxy is still there after an
	// attempt through it broke off or ran out of time.
	proxyCheck = time.Second
)

// Proxy is an HTTP proxy that makes tunnels (CONNECT, RFC 9110, 9.3.6).
type Proxy struct {
	// URL is http or https, host and port; see [ParseProxyURL]. The host is
	// the operator's choice: the guard does not judge its address.
	URL *url.URL
	// User and Password are sent to the proxy alone (RFC 7617). Both empty:
	// none are sent.
	User, Password string
	// TLS holds what an https proxy's TLS needs beyond the defaults: roots,
	// server name, client certificates. Nil: none. The certificate is always
	// verified.
	TLS *tls.Config
}

// Proxies are the proxies of a profile in failover order, and what is known
// of them. They are safe for concurrent use.
type Proxies struct {
	news
	list []*proxy
}

// proxy is one of them.
type proxy struct {
	name    string      // for logs: scheme, host and port
	address string      // to dial
	auth    string      // the value of Proxy-Authorization, "" for none
	tls     *tls.Config // nil for http
	changed func(Change)

	// down remembers faults that came before the proxy was told where to:
	// those are about the proxy. What follows may be about the destination,
	// and an endpoint could take the proxy from all others with it.
	down backoff

	mu     sync.Mutex
	proven time.Time // when it last took a connection
}

// NewProxies prepares proxies.
func NewProxies(list ...Proxy) (*Proxies, error) {
	if len(list) == 0 || len(list) > maxProxies {
		return nil, fmt.Errorf("%d proxies: a profile has 1 to %d", len(list), maxProxies)
	}
	ps := new(Proxies)
	for _, p := range list {
		u, err := ParseProxyURL(p.URL.String())
		if err != nil {
			return nil, err
		}
		made := &proxy{name: u.Scheme + "://" + u.Host, address: u.Host, changed: ps.changed}
		if u.Scheme == "https" {
			if made.tls, err = clientTLS(p.TLS); err != nil {
				return nil, err
			}
			if made.tls.ServerName == "" {
				made.tls.ServerName = u.Hostname()
			}
		}
		if p.User != "" || p.Password != "" {
			if strings.Contains(p.User, ":") {
				return nil, errors.New("a proxy's user name cannot contain a colon")
			}
			made.auth = "Basic " + base64.StdEncoding.EncodeToString([]byte(p.User+":"+p.Password))
		}
		ps.list = append(ps.list, made)
	}
	return ps, nil
}

// ParseProxyURL reads scheme, host and port of a proxy; the port's default is
// that of the scheme. Errors do not repeat what was read, which may hold a
// password.
func ParseProxyURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return nil, errors.New("a proxy's URL looks like https://proxy.example.com:3128")
	case u.User != nil:
		return nil, errors.New("a proxy's URL takes no user and password: use basic_auth")
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("a proxy's URL ends with its port")
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return &url.URL{Scheme: u.Scheme, Host: net.JoinHostPort(u.Hostname(), port)}, nil
}

// dialFunc connects to "host:port" of a proxy.
type dialFunc func(ctx context.Context, address string) (net.Conn, error)

// reach connects to the proxy and remembers how that went.
func (p *proxy) reach(ctx context.Context, dial dialFunc) (net.Conn, error) {
	conn, err := p.connect(ctx, dial)
	if _, ours := errors.AsType[*SourceError](err); ours || errors.Is(err, context.Canceled) {
		return nil, err // says nothing about the proxy
	}
	if err != nil {
		p.failed(err)
		return nil, p.fault(false, err)
	}
	p.mu.Lock()
	p.proven = time.Now()
	p.mu.Unlock()
	if p.down.succeeded() {
		p.changed(Change{Kind: ProxyBack, Proxy: p.name})
	}
	return conn, nil
}

func (p *proxy) connect(ctx context.Context, dial dialFunc) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, within(ctx, proxyTimeout))
	defer cancel()
	conn, err := dial(ctx, p.address)
	if err != nil || p.tls == nil {
		return conn, err
	}
	secure, err := shake(ctx, conn, p.tls)
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("tls: %w", err)
	}
	return secure, nil
}

// gone looks whether the proxy still takes connections, unless it just did,
// and remembers it as down if not.
func (p *proxy) gone(ctx context.Context, dial dialFunc) error {
	p.mu.Lock()
	before := p.proven
	sure := time.Since(before) < sureFor
	if !sure {
		p.proven = time.Now() // one look is enough for all who ask meanwhile
	}
	p.mu.Unlock()
	if sure {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, proxyCheck)
	defer cancel()
	conn, err := dial(ctx, p.address)
	if err != nil {
		p.mu.Lock()
		p.proven = before
		p.mu.Unlock()
		if _, ours := errors.AsType[*SourceError](err); !ours {
			p.failed(err)
		}
		return err
	}
	return conn.Close()
}

func (p *proxy) failed(err error) {
	if p.down.failed(time.Now()) {
		p.changed(Change{Kind: ProxyDown, Proxy: p.name, Err: err})
	}
}

func (p *proxy) fault(named bool, err error) *ProxyError {
	return &ProxyError{Proxy: p.name, Err: err, named: named}
}

// attemptEnd is the key of the moment at which the attempt ends that a
// connection is made for. net/http dials without the request's deadline, for
// others to use the connection; but a proxy that fails must do so while there
// is time for the next.
type attemptEnd struct{}

// within returns at most half of the time that the attempt has left.
func within(ctx context.Context, most time.Duration) time.Duration {
	if end, ok := ctx.Value(attemptEnd{}).(time.Time); ok {
		return min(most, max(time.Until(end)/2, 10*time.Millisecond))
	}
	return most
}
