package egress

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
)

// Each range with its first and last address, and the ones just outside. What is blocked is refused at load, where a URL spells
// it, and whenever it is dialled.
func TestGuardRanges(t *testing.T) {
	t.Parallel()
	cases := []struct {
		what    string
		blocked string // addresses, separated by spaces
		open    string
	}{
		// 0.0.0.0/8: 0.0.0.0 connects to the machine itself on Linux
		{"this network", "0.0.0.0 0.1.2.3 0.255.255.255", "1.0.0.0"},
		// 10.0.0.0/8
		{"private A", "10.0.0.0 10.255.255.255", "9.255.255.255 11.0.0.0"},
		// 100.64.0.0/10: with 100.100.100.200, a metadata address
		{"carrier NAT", "100.64.0.0 100.100.100.200 100.127.255.255", "100.63.255.255 100.128.0.0"},
		// 127.0.0.0/8, not only .1
		{"loopback", "127.0.0.0 127.0.0.1 127.8.9.10 127.255.255.255", "126.255.255.255 128.0.0.0"},
		// 169.254.0.0/16: the metadata address of most clouds
		{"link-local", "169.254.0.0 169.254.169.254 169.254.255.255", "169.253.255.255 169.255.0.0"},
		// 172.16.0.0/12
		{"private B", "172.16.0.0 172.31.255.255", "172.15.255.255 172.32.0.0"},
		// 192.0.0.0/24: with Oracle's metadata address
		{"protocol assignments", "192.0.0.0 192.0.0.192 192.0.0.255", "191.255.255.255 192.0.1.0"},
		// 192.0.2.0/24
		{"documentation 1", "192.0.2.0 192.0.2.255", "192.0.1.255 192.0.3.0"},
		// 192.31.196.0/24
		{"AS112 v4", "192.31.196.0 192.31.196.255", "192.31.195.255 192.31.197.0"},
		// 192.52.193.0/24
		{"AMT", "192.52.193.0 192.52.193.255", "192.52.192.255 192.52.194.0"},
		// 192.88.99.0/24
		{"6to4 relay", "192.88.99.0 192.88.99.255", "192.88.98.255 192.88.100.0"},
		// 192.168.0.0/16
		{"private C", "192.168.0.0 192.168.255.255", "192.167.255.255 192.169.0.0"},
		// 192.175.48.0/24
		{"AS112 direct", "192.175.48.0 192.175.48.255", "192.175.47.255 192.175.49.0"},
		// 198.18.0.0/15
		{"benchmarking", "198.18.0.0 198.19.255.255", "198.17.255.255 198.20.0.0"},
		// 198.51.100.0/24
		{"documentation 2", "198.51.100.0 198.51.100.255", "198.51.99.255 198.51.101.0"},
		// 203.0.113.0/24
		{"documentation 3", "203.0.113.0 203.0.113.255", "203.0.112.255 203.0.114.0"},
		// 224.0.0.0/4 and 240.0.0.0/4 up to broadcast
		{"multicast, reserved, broadcast", "224.0.0.0 239.255.255.255 240.0.0.0 255.255.255.255", "223.255.255.255"},
		// 168.63.129.16/32: in no registry, and the host below an Azure VM
		{"Azure WireServer", "168.63.129.16", "168.63.129.15 168.63.129.17"},

		// IPv4-mapped: judged as the IPv4 address they carry
		{"mapped", "::ffff:127.0.0.1 ::ffff:169.254.169.254 ::ffff:168.63.129.16", "::ffff:8.8.8.8"},
		// ::/8: unspecified, loopback, IPv4-compatible, IPv4-translated, NAT64 both
		{"below 2000::", ":: ::1 ::127.0.0.1 ::ffff:0:127.0.0.1 64:ff9b::7f00:1 64:ff9b:1::7f00:1 100:: 100:0:0:1:: 1fff:ffff::", ""},
		// above 2000::/3: unassigned, SRv6, unique local with AWS's metadata, link-local, site-local, multicast
		{"above 3fff::", "4000:: 5f00:: fc00:: fd00:ec2::254 fe80::1 fec0:: ff02::1 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", ""},
		// 2000::/3
		{"global unicast", "", "2000:: 2606:4700:4700::1111 3ffe:ffff::"},
		// 2001::/23: Teredo 2001::/32, benchmarking, ORCHID 2001:10::/28 and 2001:20::/28
		{"protocol assignments v6", "2001:: 2001:0:7f00:1:: 2001:2:: 2001:10:: 2001:20:: 2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "2000:ffff:ffff:: 2001:200::"},
		// 2001:db8::/32
		{"documentation v6", "2001:db8:: 2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db7:ffff:: 2001:db9::"},
		// 2002::/16: 6to4 carries an IPv4 address, here 127.0.0.1
		{"6to4", "2002:: 2002:7f00:1:: 2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:ffff:: 2003::"},
		// 2620:4f:8000::/48
		{"AS112 v6", "2620:4f:8000:: 2620:4f:8000:ffff:ffff:ffff:ffff:ffff", "2620:4f:7fff:: 2620:4f:8001::"},
		// 3fff::/20
		{"documentation v6, new", "3fff:: 3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff:1000:: 3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
		// RFC 5214: under any prefix, a tunnel takes the end for an IPv4 address; with the bit for "globally unique" as well
		{"ISATAP", "2a00::5efe:127.0.0.1 2a00::200:5efe:10.0.0.1 2a00:1:2:3:0:5efe:a9fe:a9fe", "2a00::5efe:8.8.8.8 2a00::5eff:127.0.0.1 2a00::100:5efe:127.0.0.1"},
		// metadata services: most clouds, Amazon's containers, Alibaba, Oracle, Amazon's and Google's in IPv6
		{"metadata services", "169.254.169.254 169.254.170.2 100.100.100.200 192.0.0.192 fd00:ec2::254 fd20:ce::254", ""},
		// zones: an address that is public without one is not with it
		{"zones", "fe80::1%eth0 2606:4700:4700::1111%eth0 ::ffff:8.8.8.8%1", ""},
	}
	dial := transport(t, Profile{}, nil).dialer(route{proxy: direct}, new(Guard).CheckDial)
	for _, c := range cases {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			for a := range strings.FieldsSeq(c.blocked) {
				host := strings.ReplaceAll(netip.AddrPortFrom(netip.MustParseAddr(a), 443).String(), "%", "%25")
				if u, err := CheckURL("https://"+host+"/", URLPolicy{}); err == nil {
					t.Errorf("%s: accepted at load, as %s", a, u)
				}
				if _, err := dial.targets(t.Context(), netip.AddrPortFrom(netip.MustParseAddr(a), 443).String()); !errors.Is(err, ErrBlocked) {
					t.Errorf("%s: dialling it: %v, want it blocked", a, err)
				}
			}
			for _, g := range []*Guard{nil, {}, NewGuard()} {
				for a := range strings.FieldsSeq(c.blocked) {
					err := g.Check(netip.MustParseAddr(a))
					if blocked, ok := errors.AsType[*BlockedError](err); !ok || !errors.Is(err, ErrBlocked) || blocked.Outcome() != "address_blocked" {
						t.Errorf("%s: error %v, want it blocked", a, err)
					}
				}
				for a := range strings.FieldsSeq(c.open) {
					if err := g.Check(netip.MustParseAddr(a)); err != nil {
						t.Errorf("%s is just outside the range: %v", a, err)
					}
				}
			}
		})
	}
	if err := new(Guard).Check(netip.Addr{}); !errors.Is(err, ErrBlocked) {
		t.Errorf("the zero address: %v", err)
	}
	if err := new(Guard).CheckDial(netip.AddrPort{}); !errors.Is(err, ErrBlocked) {
		t.Errorf("the zero address and port: %v", err)
	}
}

func TestAllow(t *testing.T) {
	t.Parallel()
	var prefixes []netip.Prefix
	for _, s := range []string{"10.1.0.0/16", "127.0.0.1", "::1", "fd00:1::/64", "::ffff:192.168.7.0/120", "168.63.129.16"} {
		p, err := ParseAllow(s)
		if err != nil {
			t.Fatal(err)
		}
		prefixes = append(prefixes, p)
	}
	g := NewGuard(prefixes...)
	for a, open := range map[string]bool{
		"10.1.0.0":        true,
		"10.1.255.255":    true,
		"10.2.0.0":        false,
		"::ffff:10.1.2.3": true, // the same address in its other form
		"127.0.0.1":       true,
		"127.0.0.2":       false,
		"::1":             true,
		"::1%lo":          false, // a zone is never allowed
		"::2":             false,
		"fd00:1::99":      true,
		"fd00:2::99":      false,
		"192.168.7.1":     true, // allowed in its mapped form
		"192.168.8.1":     false,
		"168.63.129.16":   true,
		"8.8.8.8":         true,
		"fd00:1::99%eth0": false,
	} {
		if err := g.Check(netip.MustParseAddr(a)); (err == nil) != open {
			t.Errorf("%s: error %v, want open %v", a, err, open)
		}
	}
	if g.Allowed(netip.MustParseAddr("8.8.8.8")) {
		t.Error("a public address counts as an exception")
	}
	if g.Allowed(netip.MustParseAddr("::ffff:10.1.2.3%eth0")) {
		t.Error("an address with a zone counts as an exception")
	}
}

func TestParseAllowRefusals(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"":              "neither",
		"localhost":     "neither",
		"10.1.0.0/33":   "neither",
		"10.1.2.3/16":   "did you mean 10.1.0.0/16",
		"fe80::1%eth0":  "zone",
		"fe80::%e/64":   "zone",
		"10.0.0.0/8 10": "neither",
	} {
		if p, err := ParseAllow(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, error %v, want one about %q", s, p, err, want)
		}
		if p, err := ParseDeny(s); err == nil || !strings.Contains(err.Error(), "egress deny") {
			t.Errorf("%q: %v, error %v, want one about deny", s, p, err)
		}
	}
}

func TestRules(t *testing.T) {
	t.Parallel()
	prefixes := func(text string) (p []netip.Prefix) {
		for s := range strings.FieldsSeq(text) {
			p = append(p, netip.MustParsePrefix(s))
		}
		return p
	}
	own := netip.MustParseAddrPort("9.9.9.9:443")
	cases := []struct {
		name              string
		allow, deny, nat6 string
		blocked, open     string // addresses, dialled at port 443
	}{
		{"what the operator denies is blocked", "", "8.8.8.0/24 2a00:1::/32", "", "8.8.8.8 ::ffff:8.8.8.8 2a00:1::1", "8.8.4.4 2a00:2::1"},
		{"a denial holds within an exception", "10.0.0.0/8", "10.1.0.0/16", "", "10.1.2.3 ::ffff:10.1.2.3", "10.2.0.1"},
		{"a denial in mapped form is the same", "", "::ffff:8.8.8.0/120", "", "8.8.8.8", "8.8.4.4"},
		{"NAT64 is blocked unless declared", "", "", "", "64:ff9b::8.8.8.8", ""},
		{"in a declared one the IPv4 address within is judged", "", "", "64:ff9b::/96", "64:ff9b::127.0.0.1 64:ff9b::a9fe:a9fe 64:ff9b::168.63.129.16 64:ff9b:1::8.8.8.8", "64:ff9b::8.8.8.8"},
		{"in a network's own one too", "", "", "2a00:64::/96", "2a00:64::10.0.0.1", "2a00:64::8.8.8.8 2a00:64:1::1"},
		{"exceptions and denials reach into it", "10.0.0.0/8", "8.8.8.8/32", "64:ff9b::/96", "64:ff9b::8.8.8.8 64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1"},
		{"and may name it as it is", "64:ff9b::7f00:0/104", "64:ff9b::808:0/112", "64:ff9b::/96", "64:ff9b::8.8.8.8", "64:ff9b::127.0.0.1 8.8.8.8"},
		{"our own socket is blocked in every form", "", "", "64:ff9b::/96", "9.9.9.9 ::ffff:9.9.9.9 64:ff9b::9.9.9.9", "9.9.9.8"},
		{"our own socket is reached where it is allowed", "9.9.9.9/32", "", "", "", "9.9.9.9"},
		{"but not where it is denied as well", "9.9.9.9/32", "9.9.9.9/32", "", "9.9.9.9", ""},
		{"a zone is blocked, whatever is allowed", "::/0 0.0.0.0/0", "", "", "fe80::1%eth0 ::ffff:8.8.8.8%1", "fe80::1 127.0.0.1"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			g, err := Rules{
				Allow: prefixes(c.allow), Deny: prefixes(c.deny), NAT64: prefixes(c.nat6),
				Own: func(ap netip.AddrPort) bool { return ap == own },
			}.Guard()
			if err != nil {
				t.Fatal(err)
			}
			for a := range strings.FieldsSeq(c.blocked) {
				if err := g.CheckDial(netip.AddrPortFrom(netip.MustParseAddr(a), 443)); !errors.Is(err, ErrBlocked) {
					t.Errorf("%s: error %v, want it blocked", a, err)
				}
			}
			for a := range strings.FieldsSeq(c.open) {
				if err := g.CheckDial(netip.AddrPortFrom(netip.MustParseAddr(a), 443)); err != nil {
					t.Errorf("%s: %v", a, err)
				}
			}
		})
	}
	g, err := Rules{Own: func(ap netip.AddrPort) bool { return ap == own }}.Guard()
	if err != nil {
		t.Fatal(err)
	}
	if err := g.CheckDial(netip.MustParseAddrPort("9.9.9.9:8443")); err != nil {
		t.Errorf("another port of our own address: %v", err)
	}
}

func TestNAT64PrefixesAreOfLength96(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"64:ff9b::/64", "64:ff9b::/97", "10.0.0.0/8", "::ffff:0:0/96"} {
		if _, err := (Rules{NAT64: []netip.Prefix{netip.MustParsePrefix(s)}}).Guard(); err == nil || !strings.Contains(err.Error(), "length 96") {
			t.Errorf("%s: error %v", s, err)
		}
	}
	if _, err := (Rules{NAT64: []netip.Prefix{{}}}).Guard(); err == nil {
		t.Error("no prefix was accepted as one")
	}
}
