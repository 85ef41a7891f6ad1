package egress

import (
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
		{"a single label", "https://localhost/", "https://localhost/"}, // its address is judged when dialled
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
		})
	}
}

func TestURLPolicy(t *testing.T) {
	t.Parallel()
	local := NewGuard(netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128"))
	plain := URLPolicy{Guard: local, PlainHTTP: true}
	cases := []struct {
		name, raw string
		policy    URLPolicy
		want      string // "": refused
	}{
		{"circled letters are an ordinary name by then", "https://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/", URLPolicy{}, "https://localhost/"},
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
