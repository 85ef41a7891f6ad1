package egress

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// interfacesAge is how old the list of this machine's addresses may be when a
// connection is judged by it. Reading it costs a round through the kernel,
// which thousands of connections a second should not each pay.
const interfacesAge = time.Second

// OwnListeners returns the rule ([Rules.Own]) that keeps deliveries away from
// our own sockets, where a customer's URL would reach what only the network
// outside keeps others from. An unspecified address (0.0.0.0 or ::) stands
// for every address of this machine's interfaces, and port 0 for every port;
// no listeners at all stand for the whole machine, which is what a gateway
// should use: other programs listen on it too, and the addresses that it
// sends from are on it.
//
// Addresses that interfaces gain or lose later are seen within a second. It
// fails where interfaces cannot be listed, as in a sandbox without netlink.
func OwnListeners(listeners ...netip.AddrPort) (func(netip.AddrPort) bool, error) {
	return ownListeners(listeners, net.InterfaceAddrs)
}

func ownListeners(listeners []netip.AddrPort, list func() ([]net.Addr, error)) (func(netip.AddrPort) bool, error) {
	o := &own{list: list, exact: make(map[netip.AddrPort]bool), anywhere: make(map[uint16]bool)}
	if len(listeners) == 0 {
		o.anywhere[0] = true
	}
	for _, l := range listeners {
		if l.Addr().IsUnspecified() {
			o.anywhere[l.Port()] = true
		} else {
			o.exact[netip.AddrPortFrom(l.Addr().Unmap(), l.Port())] = true
		}
	}
	if err := o.refresh(); err != nil {
		return nil, fmt.Errorf("listing the addresses of this machine, to keep deliveries away from them: %w", err)
	}
	return o.answersAt, nil
}

// own is what a rule knows.
type own struct {
	list     func() ([]net.Addr, error)
	exact    map[netip.AddrPort]bool // port 0: any
	anywhere map[uint16]bool         // ports of listeners at every address; 0: any

	mu    sync.Mutex
	addrs map[netip.Addr]bool
	read  time.Time
}

func (o *own) answersAt(ap netip.AddrPort) bool {
	switch {
	case o.exact[ap], o.exact[netip.AddrPortFrom(ap.Addr(), 0)]:
		return true
	case o.anywhere[ap.Port()], o.anywhere[0]:
		return o.has(ap.Addr())
	}
	return false
}

// has tells whether an interface has the address. If the list cannot be read
// any more, the last one goes on to count.
func (o *own) has(a netip.Addr) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if time.Since(o.read) > interfacesAge {
		_ = o.refresh()
	}
	return o.addrs[a]
}

// refresh reads the list anew. The caller holds mu, or nobody else has o yet.
func (o *own) refresh() error {
	o.read = time.Now()
	found, err := o.list()
	if err != nil {
		return err
	}
	addrs := make(map[netip.Addr]bool, len(found))
	for _, f := range found {
		if n, ok := f.(*net.IPNet); ok {
			if a, ok := netip.AddrFromSlice(n.IP); ok {
				addrs[a.Unmap()] = true
			}
		}
	}
	o.addrs = addrs
	return nil
}
