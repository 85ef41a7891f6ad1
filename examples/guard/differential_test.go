package guard

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"code.dny.dev/ssrf"

	"github.com/atoship/caddy-webhooks/delivery/egress"
)

// registered are the entries of IANA's IPv4 and IPv6 special-purpose address registries, multicast, what IPv6 does not route,
// the addresses of metadata services, and the prefixes under which an IPv4 address is carried.
var registered = []string{
	"0.0.0.0/8", "0.0.0.0/32", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
	"192.0.0.0/24", "192.0.0.0/29", "192.0.0.8/32", "192.0.0.9/32", "192.0.0.10/32", "192.0.0.170/31", "192.0.2.0/24",
	"192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.88.99.2/32", "192.168.0.0/16", "192.175.48.0/24",
	"198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4", "255.255.255.255/32",
	"168.63.129.16/32", "169.254.169.254/32", "100.100.100.200/32", "192.0.0.192/32",

	"::/128", "::1/128", "::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64",
	"100:0:0:1::/64", "2000::/3", "2001::/23", "2001::/32", "2001:1::1/128", "2001:1::2/128", "2001:1::3/128", "2001:2::/48",
	"2001:3::/32", "2001:4:112::/48", "2001:10::/28", "2001:20::/28", "2001:30::/28", "2001:db8::/32", "2002::/16",
	"2620:4f:8000::/48", "3fff::/20", "4000::/3", "5f00::/16", "fc00::/7", "fd00:ec2::254/128", "fd20:ce::254/128",
	"fe80::/10", "fec0::/10", "ff00::/8",
}

// azure is the one difference between two lists of ranges.
var azure = netip.MustParseAddr("168.63.129.16")

// intended says why our verdict on an address differs, or nothing if it should not. Each difference is one to the strict
// side, but the last.
func intended(a netip.Addr, ours bool) string {
	switch {
	case a == azure && !ours:
		return "Azure's host agent: a public address in no registry, which means the machine below ours"
	case isatap(a) && !ours:
		return "ISATAP: a tunnel would take the last 32 bits for the address to send to"
	case a.Is4In6() && ours:
		return "IPv4-mapped: it is judged as the IPv4 address it is, the dialler makes the same of it"
	}
	return ""
}

func isatap(a netip.Addr) bool {
	b := a.As16()
	return a.Is6() && (b[8] == 0 || b[8] == 2) && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe
}

// comparison counts what it compared.
type comparison struct {
	ours   *egress.Guard
	theirs *ssrf.Guardian
	same   int
	apart  map[string]int // by reason
}

func newComparison() *comparison {
	return &comparison{ours: egress.NewGuard(), theirs: ssrf.New(), apart: make(map[string]int)}
}

func (c *comparison) judge(t *testing.T, a netip.Addr) {
	t.Helper()
	err := c.ours.CheckDial(netip.AddrPortFrom(a, 443))
	if err != nil && !errors.Is(err, egress.ErrBlocked) {
		t.Errorf("%s: %v is no refusal", a, err)
	}
	ours, theirs := err == nil, c.theirs.SafeAddrPort(netip.AddrPortFrom(a, 443)) == nil
	if ours == theirs {
		c.same++
		return
	}
	why := intended(a, ours)
	if why == "" {
		t.Errorf("%s: we say open %v (%v), they say %v", a, ours, err, theirs)
	}
	c.apart[why]++
}

// report fails unless exactly these many reasons occurred: one that never does is not tested.
func (c *comparison) report(t *testing.T, reasons int) {
	t.Helper()
	t.Logf("%d addresses judged alike", c.same)
	for why, n := range c.apart {
		t.Logf("%d apart: %s", n, why)
	}
	if len(c.apart) != reasons {
		t.Errorf("%d reasons to differ, want %d", len(c.apart), reasons)
	}
}

// last is the highest address of a prefix.
func last(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// edges are the addresses at both ends of a prefix, on either side, and one within.
func edges(p netip.Prefix) []netip.Addr {
	p = p.Masked()
	first, end := p.Addr(), last(p)
	return slices.DeleteFunc([]netip.Addr{first.Prev(), first, first.Next(), within(p), end.Prev(), end, end.Next()},
		func(a netip.Addr) bool { return !a.IsValid() })
}

// within is a random address of a prefix.
func within(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		if rand.IntN(2) == 1 {
			b[i/8] |= 0x80 >> (i % 8)
		}
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// carried are the IPv6 forms that have an IPv4 address inside.
func carried(a netip.Addr) []netip.Addr {
	four := a.As4()
	var forms []netip.Addr
	for _, form := range []struct {
		prefix string
		at     int
	}{
		{"::", 12},             // IPv4-compatible
		{"::ffff:0:0", 12},     // mapped
		{"::ffff:0:0:0", 12},   // translated
		{"64:ff9b::", 12},      // NAT64
		{"64:ff9b:1::", 12},    // NAT64 of the network's own
		{"2002::", 2},          // 6to4
		{"2001::", 4},          // Teredo, the server's address
		{"2a00::5efe:0:0", 12}, // ISATAP
		{"2a00::200:5efe:0:0", 12},
		{"fe80::5efe:0:0", 12},
		{"2a00::", 12}, // nothing but an address that ends so
	} {
		b := netip.MustParseAddr(form.prefix).As16()
		copy(b[form.at:], four[:])
		forms = append(forms, netip.AddrFrom16(b))
	}
	return forms
}

func TestEveryRangeAtItsEdges(t *testing.T) {
	t.Parallel()
	prefixes := slices.Concat(ssrf.IPv4DeniedPrefixes, ssrf.IPv6DeniedPrefixes, []netip.Prefix{ssrf.IPv6GlobalUnicast, ssrf.IPv6NAT64Prefix})
	for _, s := range registered {
		prefixes = append(prefixes, netip.MustParsePrefix(s))
	}
	c := newComparison()
	for _, p := range prefixes {
		for _, a := range edges(p) {
			c.judge(t, a)
			if a.Is4() {
				for _, form := range carried(a) {
					c.judge(t, form)
				}
			}
		}
	}
	c.report(t, 3)
}

func TestRandomAddresses(t *testing.T) {
	t.Parallel()
	c := newComparison()
	everything4, everything6 := netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")
	for range 500_000 {
		a := within(everything4)
		c.judge(t, a)
		c.judge(t, carried(a)[rand.IntN(11)])
		c.judge(t, within(everything6))
		c.judge(t, within(netip.MustParsePrefix(registered[rand.IntN(len(registered))])))
	}
	c.report(t, 3)
}

// What an operator may change, each with its counterpart.
func TestOperatorsRules(t *testing.T) {
	t.Parallel()
	ten, doc, nine := netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("9.0.0.0/8")
	ours, err := egress.Rules{Allow: []netip.Prefix{ten, doc}, Deny: []netip.Prefix{nine}}.Guard()
	if err != nil {
		t.Fatal(err)
	}
	c := newComparison()
	c.ours = ours
	c.theirs = ssrf.New(ssrf.WithAllowedV4Prefixes(ten), ssrf.WithAllowedV6Prefixes(doc), ssrf.WithDeniedV4Prefixes(nine))
	for _, s := range append(slices.Clone(registered), ten.String(), doc.String(), nine.String()) {
		for _, a := range edges(netip.MustParsePrefix(s)) {
			if !a.Is4In6() {
				c.judge(t, a)
			}
		}
	}
	c.report(t, 1) // Azure's
}

// Declaring NAT64 is not the same as allowing its prefix, which reaches inside: theirs leaves that to the translator.
func TestNAT64IsSeenThrough(t *testing.T) {
	t.Parallel()
	ours, err := egress.Rules{NAT64: []netip.Prefix{ssrf.IPv6NAT64Prefix}}.Guard()
	if err != nil {
		t.Fatal(err)
	}
	theirs := ssrf.New(ssrf.WithAllowedV6Prefixes(ssrf.IPv6NAT64Prefix))
	inside, outside := netip.MustParseAddr("64:ff9b::127.0.0.1"), netip.MustParseAddr("64:ff9b::8.8.8.8")
	if !errors.Is(ours.Check(inside), egress.ErrBlocked) || ours.Check(outside) != nil {
		t.Errorf("loopback through NAT64: %v, a public address: %v", ours.Check(inside), ours.Check(outside))
	}
	if theirs.SafeAddr(inside) != nil || theirs.SafeAddr(outside) != nil {
		t.Error("theirs sees through NAT64 now: compare them in full")
	}
}
