package egress

import (
	"net/netip"
	"sync/atomic"
)

// ChangeKind is what happened to a profile; the words are stable.
type ChangeKind string

// The kinds of changes. Each is told once, at the transition.
const (
	// SourceJoined: an announced address came into use on its day.
	SourceJoined ChangeKind = "source_joined"
	// SourceLost: the machine does not have the address any more.
	SourceLost ChangeKind = "source_lost"
	// SourceBack: a lost address can be used again.
	SourceBack ChangeKind = "source_back"
	// ProxyDown: the proxy cannot be reached, by any endpoint.
	ProxyDown ChangeKind = "proxy_down"
	// ProxyBack: it can be reached again.
	ProxyBack ChangeKind = "proxy_back"
	// ProxyRefused: the proxy took the connection and refused one endpoint.
	ProxyRefused ChangeKind = "proxy_refused"
)

// Change is news about a profile's way out.
type Change struct {
	Kind     ChangeKind
	Addr     netip.Addr // of a source
	Proxy    string     // scheme, host and port
	Endpoint string     // that the proxy refused
	Err      error      // why, where something failed; holds no credentials
}

// news tells changes to whoever asked last.
type news struct {
	tell atomic.Pointer[func(Change)]
}

// OnChange has f called for every change from now on, instead of the function
// before; nil for none. f runs within an attempt, without any lock held: it
// must be quick and safe for concurrent use.
func (n *news) OnChange(f func(Change)) {
	if f == nil {
		n.tell.Store(nil)
		return
	}
	n.tell.Store(&f)
}

func (n *news) changed(c Change) {
	if f := n.tell.Load(); f != nil {
		(*f)(c)
	}
}
