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
// the operator allows. It never changes; the zero value and nil allow public
// ones only.
type Guard struct {
	allow []netip.Prefix
}

// NewGuard makes a guard with exceptions. An allowed prefix overrides every
// other rule, but an address with a zone is refused all the same.
func NewGuard(allow ...netip.Prefix) *Guard {
	g := &Guard{}
	for _, p := range allow {
		g.allow = append(g.allow, unmapPrefix(p))
	}
	return g
}

// ParseAllow reads one exception: an address or a prefix. A prefix with bits
// set past its length is an error, as it is more likely a typing error than meant.
func ParseAllow(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		if a.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("egress allow %q: an address with a zone cannot be allowed", s)
		}
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("egress allow %q is neither an address nor a prefix such as 10.1.0.0/16", s)
	}
	if p != p.Masked() {
		return netip.Prefix{}, fmt.Errorf("egress allow %q: did you mean %s?", s, p.Masked())
	}
	return unmapPrefix(p), nil
}

// unmapPrefix turns a prefix of IPv4-mapped addresses into the IPv4 one, since
// addresses are judged unmapped.
func unmapPrefix(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96).Masked()
	}
	return p.Masked()
}

// Check returns nil if a may be dialled, else a [*BlockedError].
func (g *Guard) Check(a netip.Addr) error {
	if !a.IsValid() {
		return &BlockedError{a, "not an IP address"}
	}
	if a.Zone() != "" {
		return &BlockedError{a, "zone (a link of this machine)"}
	}
	a = a.Unmap()
	if g.Allowed(a) {
		return nil
	}
	if a.Is4() {
		if i := slices.IndexFunc(denied4, func(d denied) bool { return d.Contains(a) }); i >= 0 {
			return &BlockedError{a, denied4[i].why}
		}
		return nil
	}
	if !global6.Contains(a) {
		return &BlockedError{a, "not global unicast (outside 2000::/3)"}
	}
	if i := slices.IndexFunc(denied6, func(d denied) bool { return d.Contains(a) }); i >= 0 {
		return &BlockedError{a, denied6[i].why}
	}
	return nil
}

// Allowed reports whether a is one of the exceptions.
func (g *Guard) Allowed(a netip.Addr) bool {
	if g == nil || a.Zone() != "" {
		return false
	}
	a = a.Unmap()
	return slices.ContainsFunc(g.allow, func(p netip.Prefix) bool { return p.Contains(a) })
}

type denied struct {
	netip.Prefix
	why string
}

func deny(prefix, why string) denied {
	return denied{netip.MustParsePrefix(prefix), why + " (" + prefix + ")"}
}

// denied4 is the IANA IPv4 Special-Purpose Address Registry (RFC 6890) with
// multicast and class E, and one address that is in no registry.
var denied4 = []denied{
	deny("0.0.0.0/8", "this network"), // Linux takes 0.0.0.0 for the machine itself
	deny("10.0.0.0/8", "private"),
	deny("100.64.0.0/10", "carrier NAT"), // and the metadata address of some clouds
	deny("127.0.0.0/8", "loopback"),
	deny("169.254.0.0/16", "link-local"), // 169.254.169.254 is the usual metadata address
	deny("172.16.0.0/12", "private"),
	deny("192.0.0.0/24", "protocol assignments"),
	deny("192.0.2.0/24", "documentation"),
	deny("192.31.196.0/24", "AS112"),
	deny("192.52.193.0/24", "AMT"),
	deny("192.88.99.0/24", "6to4 relay"),
	deny("192.168.0.0/16", "private"),
	deny("192.175.48.0/24", "AS112"),
	deny("198.18.0.0/15", "benchmarking"),
	deny("198.51.100.0/24", "documentation"),
	deny("203.0.113.0/24", "documentation"),
	deny("224.0.0.0/4", "multicast"),
	deny("240.0.0.0/4", "reserved or broadcast"),
	deny("168.63.129.16/32", "Azure WireServer"), // a public address that means the host below each Azure VM
}

// global6 is all of IPv6 that is routed. What it leaves out includes ::1,
// IPv4-compatible ::/96, NAT64 64:ff9b::/96 and 64:ff9b:1::/48, discard
// 100::/64, 5f00::/16, unique local fc00::/7 (with fd00:ec2::254), link-local
// fe80::/10, site-local fec0::/10 and multicast ff00::/8.
var global6 = netip.MustParsePrefix("2000::/3")

// denied6 are the special ranges within global6 (IANA IPv6 Special-Purpose
// Address Registry). Teredo and 6to4 carry an IPv4 address inside.
var denied6 = []denied{
	deny("2001::/23", "protocol assignments, Teredo, ORCHID"),
	deny("2001:db8::/32", "documentation"),
	deny("2002::/16", "6to4"),
	deny("2620:4f:8000::/48", "AS112"),
	deny("3fff::/20", "documentation"),
}
