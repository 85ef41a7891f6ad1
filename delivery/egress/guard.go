package egress

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// ErrBlocked is what every refusal of the guard is, for errors.Is.
var ErrBlocked = errors.New("address blocked")

// BlockedError is a refused address. Its text is for the operator's log:
// shown to a customer, it would map the network behind the guard. They are
// shown Outcome.
type BlockedError struct {
	Addr netip.Addr // the zero Addr if there is none to name
	Why  string     // the range it is in
}

func (e *BlockedError) Error() string {
	if !e.Addr.IsValid() {
		return "address blocked: " + e.Why
	}
	return fmt.Sprintf("address %s blocked: %s", e.Addr, e.Why)
}

// Is reports whether target is [ErrBlocked].
func (e *BlockedError) Is(target error) bool { return target == ErrBlocked }

// Outcome names the class of the failed attempt.
func (e *BlockedError) Outcome() string { return "address_blocked" }

// Guard decides which addresses may be dialled: public unicast ones, and what
// the operator's [Rules] change about that. It never changes and is safe for
// concurrent use; the zero value and nil allow public ones only.
//
// Where a name has several addresses each is judged by itself: the blocked
// ones are passed over, the others may be dialled. To refuse the name for one
// of them would protect nothing more, and let a stray record stop an endpoint.
type Guard struct {
	allow, deny, nat64 []netip.Prefix
	own                func(netip.AddrPort) bool
}

// Rules are what an operator may change about a [Guard]. Of several that
// speak of one address the first of these decides: a zone, Deny, Allow, Own,
// the special ranges.
type Rules struct {
	// Allow holds exceptions: what is in them may be dialled.
	Allow []netip.Prefix
	// Deny holds public addresses that are not to be dialled, such as the
	// address that a router translates to this machine's.
	Deny []netip.Prefix
	// NAT64 holds the prefixes, of length 96, under which the network
	// translates to IPv4 (RFC 6052). An address in one is judged as the IPv4
	// address in its low 32 bits. For networks without IPv4, where a name
	// server makes such addresses up for every IPv4 endpoint.
	NAT64 []netip.Prefix
	// Own tells whether a socket of ours answers at an address and port. It
	// is asked for every connection, with the address unmapped: it must be
	// quick and safe for concurrent use. Nil: never. See [OwnListeners].
	Own func(netip.AddrPort) bool
}

// NewGuard makes a guard with exceptions and no other rules.
func NewGuard(allow ...netip.Prefix) *Guard {
	return &Guard{allow: unmapPrefixes(allow)}
}

// Guard makes a guard of the rules.
func (r Rules) Guard() (*Guard, error) {
	for _, p := range r.NAT64 {
		if !p.IsValid() || p.Addr().Is4() || p.Addr().Is4In6() || p.Bits() != 96 {
			return nil, fmt.Errorf("egress nat64: %s is not an IPv6 prefix of length 96, such as 64:ff9b::/96", p)
		}
	}
	return &Guard{
		allow: unmapPrefixes(r.Allow),
		deny:  unmapPrefixes(r.Deny),
		nat64: unmapPrefixes(r.NAT64),
		own:   r.Own,
	}, nil
}

// ParseAllow reads one exception: an address or a prefix. A prefix with bits
// set past its length is an error, as it is more likely a typing error than meant.
func ParseAllow(s string) (netip.Prefix, error) { return parsePrefix("allow", s) }

// ParseDeny reads one refusal, in the form that [ParseAllow] reads.
func ParseDeny(s string) (netip.Prefix, error) { return parsePrefix("deny", s) }

func parsePrefix(option, s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		if a.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("egress %s %q: an address with a zone is refused whatever the rules", option, s)
		}
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("egress %s %q is neither an address nor a prefix such as 10.1.0.0/16", option, s)
	}
	if p != p.Masked() {
		return netip.Prefix{}, fmt.Errorf("egress %s %q: did you mean %s?", option, s, p.Masked())
	}
	return unmapPrefix(p), nil
}

func unmapPrefixes(prefixes []netip.Prefix) []netip.Prefix {
	unmapped := make([]netip.Prefix, len(prefixes))
	for i, p := range prefixes {
		unmapped[i] = unmapPrefix(p)
	}
	return unmapped
}

// unmapPrefix turns a prefix of IPv4-mapped addresses into the IPv4 one, since
// addresses are judged unmapped.
func unmapPrefix(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96).Masked()
	}
	return p.Masked()
}

// CheckDial returns nil if a connection to ap may be made, else a
// [*BlockedError]. It is Check and the Own rule.
func (g *Guard) CheckDial(ap netip.AddrPort) error {
	a := ap.Addr()
	if err := g.Check(a); err != nil {
		return err
	}
	if g == nil || g.own == nil || g.Allowed(a) {
		return nil
	}
	if g.own(netip.AddrPortFrom(g.plain(a), ap.Port())) {
		return &BlockedError{a, "this machine's own (`allow` it to deliver there)"}
	}
	return nil
}

// Check returns nil if a may be dialled as far as its port does not matter,
// else a [*BlockedError].
func (g *Guard) Check(a netip.Addr) error {
	switch {
	case !a.IsValid():
		return &BlockedError{a, "not an IP address"}
	case a.Zone() != "":
		return &BlockedError{a, "zone (a link of this machine)"}
	case g.denied(a):
		return &BlockedError{a, "denied by the egress profile"}
	case g.Allowed(a):
		return nil
	}
	if why := special(g.plain(a)); why != "" {
		return &BlockedError{a, why}
	}
	return nil
}

// Allowed reports whether a is one of the exceptions, and not denied.
func (g *Guard) Allowed(a netip.Addr) bool {
	return g != nil && a.Zone() == "" && !g.denied(a) && g.in(g.allow, a)
}

func (g *Guard) denied(a netip.Addr) bool { return g != nil && g.in(g.deny, a) }

// in looks for a as it is and as it is judged: a rule may be about either.
func (g *Guard) in(prefixes []netip.Prefix, a netip.Addr) bool {
	return contains(prefixes, a.Unmap()) || contains(prefixes, g.plain(a))
}

// plain is the address that a means: IPv4 out of its mapped form, and out of
// the operator's NAT64.
func (g *Guard) plain(a netip.Addr) netip.Addr {
	a = a.Unmap()
	if g != nil && contains(g.nat64, a) {
		return low32(a)
	}
	return a
}

func contains(prefixes []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
}

// low32 is the IPv4 address at the end of an IPv6 one.
func low32(a netip.Addr) netip.Addr {
	b := a.As16()
	return netip.AddrFrom4([4]byte(b[12:]))
}
