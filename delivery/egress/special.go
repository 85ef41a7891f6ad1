package egress

import (
	"net/netip"
	"slices"
)

// special says why an address is not an ordinary public one, or nothing. It
// must be unmapped.
func special(a netip.Addr) string {
	ranges := denied4
	if a.Is6() {
		if !global6.Contains(a) {
			return "not global unicast (outside 2000::/3)"
		}
		ranges = denied6
	}
	if i := slices.IndexFunc(ranges, func(d denied) bool { return d.Contains(a) }); i >= 0 {
		return ranges[i].why
	}
	if isatap(a) {
		if why := special(low32(a)); why != "" {
			return "ISATAP of an address that is " + why
		}
	}
	return ""
}

// isatap tells addresses that a tunnel takes for the IPv4 address at their
// end, under any prefix (RFC 5214, section 6.1).
func isatap(a netip.Addr) bool {
	b := a.As16()
	return a.Is6() && b[8]&^2 == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe
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
