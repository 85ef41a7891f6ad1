package egress

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
)

func TestCheckURLAccepts(t *testing.T) {
	t.Parallel()
	cases := []struct{ name, raw, want string }{
		{"a plain one", "https://hooks.example.com/in?x=1", "https://hooks.example.com/in?x=1"},
		{"letter case", "HTTPS://Hooks.EXAMPLE.com/In", "https://hooks.example.com/In"},
		{"a trailing dot", "https://hooks.example.com./in", "https://hooks.example.com/in"}, // CVE-2022-24825
		{"a port in full", "https://hooks.example.com:443/in", "https://hooks.example.com/in"},
		{"a port with zeros", "https://hooks.example.com:00443/in", "https://hooks.example.com/in"},
		{"a colon without port", "https://hooks.example.com:/in", "https://hooks.example.com/in"},
		{"a name in Unicode", "https://bücher.example/in", "https://xn--bcher-kva.example/in"},
		{"a name with ideographic dots", "https://hooks。example．com｡/in", "https://hooks.example.com/in"},
		{"a name with full-width letters", "https://ｅｘａｍｐｌｅ.com/", "https://example.com/"},
		{"hyphens in third and fourth place", "https://qa--site.example.com/", "https://qa--site.example.com/"},
		{"a name that begins like localhost", "https://localhost.example.com/", "https://localhost.example.com/"},
		{"a name that ends like localhost", "https://mylocalhost.example/", "https://mylocalhost.example/"},
		{"a public IPv4 address", "https://8.8.8.8/", "https://8.8.8.8/"},
		{"a public IPv6 address", "https://[2606:4700:4700:0:0:0:0:1111]/", "https://[2606:4700:4700::1111]/"},
		{"a public address mapped", "https://[::ffff:8.8.8.8]/", "https://8.8.8.8/"},
		{"digits in an inner label", "https://1.2.3.example.com/", "https://1.2.3.example.com/"},
		{"a last label with a digit and a letter", "https://example.c0m/", "https://example.c0m/"},
		{"escapes in the path", "https://example.com/a%2fb/%E2%82%AC", "https://example.com/a%2fb/%E2%82%AC"},
		{"no path", "https://example.com", "https://example.com"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			u, err := CheckURL(c.raw, URLPolicy{})
			if err != nil {
				t.Fatal(err)
			}
			if u.String() != c.want {
				t.Errorf("got %s, want %s", u, c.want)
			}
		})
	}
}

func TestCheckURLRefuses(t *testing.T) {
	t.Parallel()
	cases := []struct{ name, raw, want string }{
		{"nothing", "", "empty"},
		{"too much", "https://example.com/" + strings.Repeat("a", MaxURLBytes), "2048"},
		{"plain HTTP", "http://example.com/", "plain_http"},
		{"another scheme", "ftp://example.com/", "https://"},
		{"a file", "file:///etc/passwd", "no host"},
		{"no scheme", "example.com/in", "no host"},
		{"a scheme without slashes", "https:example.com", "no host"},
		{"three slashes", "https:///example.com", "no host"},
		{"a port without host", "https://:443/", "no host"},
		{"a user", "https://user@example.com/", "user or password"},
		{"a password", "https://user:s3cr3t@example.com/", "user or password"},
		{"a host that looks like another", "https://example.com%2f@evil.example/", "user or password"},
		{"an empty user", "https://@example.com/", "user or password"},
		{"a fragment", "https://example.com/#x", "fragment"},
		{"an empty fragment", "https://example.com/#", "fragment"},
		{"a space", "https://example.com/a b", "space"},
		{"a line break", "https://example.com/\r\nHost: x", "control"},
		{"a NUL", "https://example.com/\x00", "control"},
		{"a backslash, which browsers read as a slash", `https://example.com\@evil.example/`, "backslash"},
		{"a bad escape", "https://example.com/%zz", "cannot be read"},
		{"a bad port", "https://user:s3cr3t", "cannot be read"},
		{"port 0", "https://example.com:0/", "between 1 and 65535"},
		{"a port past all", "https://example.com:65536/", "between 1 and 65535"},
		{"a port that is not permitted", "https://example.com:8443/", "port 8443"},
		{"an underscore", "https://a_b.example.com/", "not a valid name"},
		{"an empty label", "https://a..example.com/", "not a valid name"},
		{"two trailing dots", "https://example.com../", "not a valid name"},
		{"a leading dot", "https://.example.com/", "not a valid name"},
		{"a long label", "https://" + strings.Repeat("a", 64) + ".example.com/", "not a valid name"},
		{"bytes that are not UTF-8", "https://\x90/", "not a valid name"},
		{"bytes that are not UTF-8, escaped", "https://%90.example.com/", "not a valid name"},
		{"a broken punycode label", "https://xn--a.example.com/", "not a valid name"},

		// Literal addresses, however they are spelt.
		{"loopback", "https://127.0.0.1/", "blocked"},
		{"loopback with a trailing dot", "https://127.0.0.1./", "blocked"},
		{"metadata", "https://169.254.169.254/latest/meta-data", "blocked"},
		{"loopback in IPv6", "https://[::1]/", "blocked"},
		{"loopback mapped", "https://[::ffff:127.0.0.1]/", "blocked"},
		{"loopback mapped in hex", "https://[::ffff:7f00:1]/", "blocked"},
		{"loopback in NAT64", "https://[64:ff9b::7f00:1]/", "blocked"},
		{"loopback in 6to4", "https://[2002:7f00:1::]/", "blocked"},
		{"a zone", "https://[fe80::1%25eth0]/", "zone"},
		{"a name in brackets", "https://[example.com]/", "cannot be read"}, // CVE-2022-29188
		{"an IPv4 address in brackets", "https://[127.0.0.1]/", "cannot be read"},
		{"full-width digits", "https://１２７.０.０.１/", "blocked"},
		{"circled digits", "https://①②⑦.⓪.⓪.①/", "blocked"},
		{"ideographic dots", "https://127。0。0。1/", "blocked"},
		{"full-width digits, escaped", "https://%EF%BC%91%EF%BC%92%EF%BC%97.0.0.1/", "blocked"},
		{"a soft hyphen within", "https://127.0.0.1\u00ad/", "blocked"},
		{"one decimal number", "https://2130706433/", "ends in a number"},
		{"one hex number", "https://0x7f000001/", "ends in a number"},
		{"a short form", "https://127.1/", "ends in a number"},
		{"a hex part last", "https://127.0.0.0x1/", "ends in a number"},
		{"an empty hex part last", "https://127.0.0.0x/", "ends in a number"},
		{"octal parts", "https://0177.0.0.1/", "ends in a number"},
		{"five parts", "https://127.0.0.0.1/", "ends in a number"},
		{"a part too large", "https://256.0.0.1/", "ends in a number"},
		{"a name with a number last", "https://example.1/", "ends in a number"},
		{"a hex part first", "https://0x7f.1/", "ends in a number"},
		{"hex parts with capitals", "https://0X7F.0X1/", "ends in a number"},
		{"octal parts all over", "https://0177.0.0.01/", "ends in a number"},
		{"an octal part that fits", "https://010.8.8.8/", "ends in a number"}, // 8.8.8.8 to inet_aton, 10.8.8.8 to others
		{"three parts", "https://127.0.1/", "ends in a number"},
		{"one number past 32 bits", "https://4294967296/", "ends in a number"},
		{"one number in circled digits", "https://②①③⓪⑦⓪⑥④③③/", "ends in a number"},
		{"a short form with a trailing dot", "https://127.1./", "ends in a number"},
		{"a short form with an ideographic dot", "https://127。1/", "ends in a number"},
		{"a private address in a /8 short form", "https://10.1/", "ends in a number"},
		{"metadata in decimal", "https://2852039166/", "ends in a number"},
		{"metadata in mathematical digits", "https://𝟏𝟔𝟗.𝟐𝟓𝟒.𝟏𝟔𝟗.𝟐𝟓𝟒/", "blocked"},
		{"loopback in superscript digits", "https://¹²⁷.⁰.⁰.¹/", "blocked"},
		{"loopback with half-width dots", "https://127｡0｡0｡1/", "blocked"},
		{"loopback with full-width dots", "https://127．0．0．1/", "blocked"},
		{"a zero-width space within", "https://127.0.\u200b0.1/", "blocked"},
		{"an escaped dot", "https://127%2e0.0.1/", "cannot be read"},
		{"the unspecified address", "https://0.0.0.0/", "blocked"}, // connects to this machine
		{"the unspecified address in IPv6", "https://[::]/", "blocked"},
		{"loopback in full", "https://[0:0:0:0:0:0:0:1]/", "blocked"},
		{"loopback IPv4-compatible", "https://[::127.0.0.1]/", "blocked"},
		{"loopback translated", "https://[::ffff:0:127.0.0.1]/", "blocked"},
		{"metadata mapped", "https://[::ffff:169.254.169.254]/", "blocked"},
		{"metadata in IPv6", "https://[fd00:ec2::254]/", "blocked"},
		{"an Azure host", "https://168.63.129.16/", "blocked"},
		{"an octal part in a mapped address", "https://[::ffff:0177.0.0.1]/", "cannot be read"},
		{"a zone on a public address", "https://[2606:4700:4700::1111%25eth0]/", "zone"},
		{"a zone not escaped", "https://[fe80::1%eth0]/", "cannot be read"},
		{"brackets and a dot", "https://[::1]./", "cannot be read"},
		{"an IPv6 address without brackets", "https://::1/", "cannot be read"},
		{"nested brackets", "https://[[::1]]/", "cannot be read"},
		{"empty brackets", "https://[]/", "cannot be read"},
		{"two ports", "https://127.0.0.1:443:443/", "cannot be read"},
		{"a port that is a name", "https://example.com:https/", "cannot be read"},
		{"a port with a sign", "https://example.com:+443/", "cannot be read"},
		{"a user that looks like the host", "https://example.com:443@127.0.0.1/", "user or password"},
		{"a user with an escaped at", "https://example.com%40127.0.0.1/", "cannot be read"},
		{"a question mark before an at", "https://127.0.0.1?@example.com/", "blocked"}, // the host ends at the question mark

		// Names that mean this machine or its own network (RFC 6761, 6.3).
		{"localhost", "https://localhost/", "this machine"},
		{"localhost in capitals", "https://LocalHost/", "this machine"}, // CVE-2022-24825
		{"localhost with a trailing dot", "https://localhost./", "this machine"},
		{"localhost with an ideographic dot", "https://localhost。/", "this machine"},
		{"localhost in circled letters", "https://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/", "this machine"},
		{"localhost in full-width letters", "https://ｌｏｃａｌｈｏｓｔ/", "this machine"},
		{"a name under localhost", "https://hooks.localhost/", "this machine"},
		{"a name under localhost with a trailing dot", "https://hooks.localhost./", "this machine"},
		{"a name without a dot", "https://vault/", "without a dot"},
		{"a name without a dot but one at the end", "https://vault./", "without a dot"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			u, err := CheckURL(c.raw, URLPolicy{})
			if err == nil {
				t.Fatalf("accepted as %s", u)
			}
			if !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "s3cr3t") {
				t.Errorf("error %q, want one about %q", err, c.want)
			}
			if blocked := strings.Contains(err.Error(), "blocked"); blocked != errors.Is(err, ErrBlocked) {
				t.Errorf("error %q is ErrBlocked: %v", err, !blocked)
			}
		})
	}
}

func TestURLPolicy(t *testing.T) {
	t.Parallel()
	local := NewGuard(netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128"))
	plain := URLPolicy{Guard: local, PlainHTTP: true}
	mine, err := Rules{Own: func(ap netip.AddrPort) bool { return ap == netip.MustParseAddrPort("9.9.9.9:443") }}.Guard()
	if err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name, raw string
		policy    URLPolicy
		want      string // "": refused
	}{
		{"localhost where loopback is allowed", "https://localhost/", URLPolicy{Guard: NewGuard(netip.MustParsePrefix("127.0.0.1/32"))}, "https://localhost/"},
		{"localhost where its IPv6 address is allowed", "https://a.localhost/", URLPolicy{Guard: local}, "https://a.localhost/"},
		{"localhost where only others are allowed", "https://localhost/", URLPolicy{Guard: NewGuard(netip.MustParsePrefix("10.0.0.0/8"))}, ""},
		{"a name without a dot where anything is allowed", "https://receiver/", URLPolicy{Guard: local}, "https://receiver/"},
		{"our own address", "https://9.9.9.9/", URLPolicy{Guard: mine}, ""},
		{"our own address at another port", "https://9.9.9.9:8443/", URLPolicy{Guard: mine, AnyPort: true}, "https://9.9.9.9:8443/"},
		{"our own address with the port in full", "https://9.9.9.9:00443/", URLPolicy{Guard: mine, AnyPort: true}, ""},
		{"an allowed address", "https://10.1.2.3/", URLPolicy{Guard: local}, "https://10.1.2.3/"},
		{"an allowed address in IPv6", "https://[::1]/", URLPolicy{Guard: local}, "https://[::1]/"},
		{"its neighbour", "https://11.1.2.3:444/", URLPolicy{Guard: local}, ""},
		{"a listed port", "https://example.com:8443/", URLPolicy{Ports: []uint16{443, 8443}}, "https://example.com:8443/"},
		{"443 when it is not listed", "https://example.com/", URLPolicy{Ports: []uint16{8443}}, ""},
		{"any port", "https://example.com:22/", URLPolicy{AnyPort: true}, "https://example.com:22/"},
		{"plain HTTP to an allowed address", "http://10.1.2.3/", plain, "http://10.1.2.3/"},
		{"plain HTTP to a name, judged when dialled", "http://app.internal:80/", plain, "http://app.internal/"},
		{"plain HTTP to a public address", "http://8.8.8.8/", plain, ""},
		{"plain HTTP to a blocked address", "http://127.0.0.1/", plain, ""},
		{"plain HTTP on the port of TLS", "http://10.1.2.3:443/", plain, ""},
		{"TLS on the port of plain HTTP", "https://10.1.2.3:80/", plain, ""},
		{"plain HTTP where ports are listed", "http://10.1.2.3/", URLPolicy{Guard: local, PlainHTTP: true, Ports: []uint16{443}}, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			u, err := CheckURL(c.raw, c.policy)
			switch {
			case c.want == "" && err == nil:
				t.Errorf("accepted as %s", u)
			case c.want != "" && err != nil:
				t.Error(err)
			case c.want != "" && u.String() != c.want:
				t.Errorf("got %s, want %s", u, c.want)
			}
		})
	}
}

// What is accepted is in its one spelling, and so accepted again unchanged.
func FuzzCheckURL(f *testing.F) {
	for _, s := range []string{"https://hooks.example.com/in?x=1", "https://[2606:4700::1]:443", "https://bücher.example./", "https://１２７.０.０.１/", "https://127.1", "https://a:/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := CheckURL(raw, URLPolicy{})
		if err != nil {
			return
		}
		if a, err := netip.ParseAddr(u.Hostname()); err == nil && (*Guard)(nil).Check(a) != nil {
			t.Fatalf("%q reaches %v", raw, a)
		}
		if u.Scheme != "https" || u.User != nil || u.Port() != "" || strings.HasSuffix(u.Host, ".") || strings.ToLower(u.Host) != u.Host {
			t.Fatalf("%q gives %s", raw, u)
		}
		if len(u.String()) > MaxURLBytes {
			return // escaping made it longer
		}
		again, err := CheckURL(u.String(), URLPolicy{})
		if err != nil || again.String() != u.String() {
			t.Fatalf("%q gives %s, and that gives %v, %v", raw, u, again, err)
		}
	})
}
