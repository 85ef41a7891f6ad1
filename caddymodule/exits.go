package caddymodule

import (
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/atoship/caddy-webhooks/delivery/egress"
)

// exit is the source addresses and proxies of a profile. Configs share it while nothing about it changes, so that a reload
// forgets neither what is lost or down nor the connections.
type exit struct {
	name    string
	sources *egress.Pool    // nil: the operating system chooses
	proxies *egress.Proxies // nil: none

	key   [sha256.Size]byte
	roots []*x509.CertPool // of the proxies, which the key cannot hold
	refs  int              // guarded by exits
	also  atomic.Pointer[func(profile string, c egress.Change)]
}

// exits are those in use by any config.
var exits struct {
	sync.Mutex
	known []*exit
}

// sharedExit finds or makes an exit, and tells which. It must be released.
func sharedExit(name string, sources []egress.Source, proxies []egress.Proxy) (x *exit, made bool, err error) {
	x = &exit{name: name, refs: 1}
	text := fmt.Appendf(nil, "%q %v", name, sources)
	for _, p := range proxies {
		var roots *x509.CertPool
		text = fmt.Appendf(text, " %s %q %q", p.URL, p.User, p.Password)
		if p.TLS != nil {
			roots = p.TLS.RootCAs
			text = fmt.Appendf(text, " %q %x", p.TLS.ServerName, certificateID(p.TLS))
		}
		x.roots = append(x.roots, roots)
	}
	x.key = sha256.Sum256(text) // not the text, which holds passwords

	exits.Lock()
	defer exits.Unlock()
	for _, known := range exits.known {
		if known.key == x.key && slices.EqualFunc(known.roots, x.roots, (*x509.CertPool).Equal) {
			known.refs++
			return known, false, nil
		}
	}
	if len(sources) > 0 {
		if x.sources, err = egress.NewPool(sources...); err != nil {
			return nil, false, err
		}
		x.sources.OnChange(x.changed)
	}
	if len(proxies) > 0 {
		if x.proxies, err = egress.NewProxies(proxies...); err != nil {
			return nil, false, err
		}
		x.proxies.OnChange(x.changed)
	}
	exits.known = append(exits.known, x)
	return x, true, nil
}

// release gives up one use.
func (x *exit) release() {
	exits.Lock()
	defer exits.Unlock()
	if x.refs--; x.refs == 0 {
		exits.known = slices.DeleteFunc(exits.known, func(other *exit) bool { return other == x })
	}
}

// tell has f called for every change from now on, instead of the function before; nil for none. f runs within an attempt
// and must be quick and safe for concurrent use.
func (x *exit) tell(f func(profile string, c egress.Change)) {
	if f == nil {
		x.also.Store(nil)
		return
	}
	x.also.Store(&f)
}

// changed logs a change. It goes to Caddy's own log: the exit outlives the config, and the config's logger does not.
func (x *exit) changed(c egress.Change) {
	log := caddy.Log().Named("webhooks.egress")
	fields := []zap.Field{zap.String("egress", x.name)}
	if c.Addr.IsValid() {
		fields = append(fields, zap.Stringer("address", c.Addr))
	}
	if c.Proxy != "" {
		fields = append(fields, zap.String("proxy", c.Proxy))
	}
	if c.Endpoint != "" {
		fields = append(fields, zap.String("endpoint", c.Endpoint))
	}
	if c.Err != nil {
		fields = append(fields, zap.Error(c.Err))
	}
	switch c.Kind {
	case egress.SourceJoined:
		log.Info("an announced source address came into use", fields...)
	case egress.SourceLost:
		log.Error("this machine has lost a source address; its endpoints use others of the profile", fields...)
	case egress.SourceBack:
		log.Info("a lost source address is back", fields...)
	case egress.ProxyDown:
		log.Error("a proxy cannot be reached", fields...)
	case egress.ProxyBack:
		log.Info("a proxy can be reached again", fields...)
	case egress.ProxyRefused:
		log.Warn("a proxy refused an endpoint", fields...)
	}
	if f := x.also.Load(); f != nil {
		(*f)(x.name, c)
	}
}
