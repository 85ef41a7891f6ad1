package egress

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// MaxURLBytes bounds an endpoint's URL. It is sent, logged and stored with
// every attempt; 2,048 is what every server and proxy takes.
const MaxURLBytes = 2048

// URLPolicy says which URLs an egress profile takes.
type URLPolicy struct {
	// Guard judges literal addresses. Nil: public ones only.
	Guard *Guard
	// PlainHTTP permits http. A literal address must then be one of the
	// guard's exceptions; a name is held to that when it is dialled.
	PlainHTTP bool
	// Ports permitted. Empty: 443, and 80 for plain HTTP.
	Ports []uint16
	// AnyPort permits every port.
	AnyPort bool
}

// CheckURL reads an endpoint's URL and refuses what should not be dialled. It
// returns the URL in one spelling: host in lower case and ASCII, without a
// trailing dot, literal addresses as netip prints them, no default port. Names
// are not resolved: their addresses are judged when they are dialled. What the
// guard refuses is an error that is [ErrBlocked].
//
// Errors say what is wrong with the URL without repeating it, since it may
// hold credentials.
func CheckURL(raw string, p URLPolicy) (*url.URL, error) {
	u, err := parseURL(raw)
	if err != nil {
		return nil, err
	}
	switch {
	case u.Scheme == "https":
	case u.Scheme == "http" && p.PlainHTTP:
	case u.Scheme == "http":
		return nil, errors.New("url must begin with https:// (plain_http in the egress profile permits http for allowed addresses)")
	default:
		return nil, errors.New("url must begin with https://")
	}
	host, addr, err := normalHost(u)
	if err != nil {
		return nil, err
	}
	port, err := p.port(u)
	if err != nil {
		return nil, err
	}
	if addr.IsValid() {
		err = p.Guard.CheckDial(netip.AddrPortFrom(addr, port))
		if err == nil && u.Scheme == "http" && !p.Guard.Allowed(addr) {
			err = errors.New("plain http is for addresses that the egress profile allows only")
		}
	} else {
		err = p.Guard.checkName(host)
	}
	if err != nil {
		return nil, fmt.Errorf("url: %w", err)
	}
	u.Host = host
	if port != standardPort(u) {
		u.Host += ":" + strconv.Itoa(int(port))
	}
	return u, nil
}

// checkName refuses names of which no public address can be expected, unless
// the operator has made exceptions. The addresses of any other name are judged
// when they are dialled; these are refused early to say so while the person
// who typed them is looking.
func (g *Guard) checkName(host string) error {
	switch {
	case host == "localhost", strings.HasSuffix(host, ".localhost"): // RFC 6761, 6.3
		if !g.allowsLoopback() {
			return &BlockedError{Why: "localhost is this machine"}
		}
	case !strings.Contains(host, ".") && !g.hasExceptions():
		// Resolvers look it up under the domains of the machine's own network:
		// "vault" finds vault.default.svc.cluster.local.
		return &BlockedError{Why: "a name without a dot belongs to the local network: write it in full"}
	}
	return nil
}

// allowsLoopback reports whether any loopback address is an exception.
func (g *Guard) allowsLoopback() bool {
	return g != nil && slices.ContainsFunc(g.allow, func(p netip.Prefix) bool {
		return p.Overlaps(loopback4) || p.Contains(netip.IPv6Loopback())
	})
}

var loopback4 = netip.MustParsePrefix("127.0.0.0/8")

func (g *Guard) hasExceptions() bool { return g != nil && len(g.allow) > 0 }

// parseURL refuses what no endpoint's URL needs and some parsers read differently.
func parseURL(raw string) (*url.URL, error) {
	switch {
	case raw == "":
		return nil, errors.New("url is empty")
	case len(raw) > MaxURLBytes:
		return nil, fmt.Errorf("url has %d bytes, at most %d are allowed", len(raw), MaxURLBytes)
	case strings.ContainsFunc(raw, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '\\' }):
		return nil, errors.New("url contains a space, a control character or a backslash")
	case strings.Contains(raw, "#"):
		return nil, errors.New("url has a fragment (#), which is never sent")
	}
	u, err := url.Parse(raw)
	if err != nil {
		// url.Error repeats the URL, and some causes a part of it.
		return nil, errors.New("url cannot be read: it should look like https://hooks.example.com/path")
	}
	switch {
	case u.User != nil:
		return nil, errors.New("url has a user or password before its host: use an Authorization header")
	case u.Opaque != "" || u.Hostname() == "":
		return nil, errors.New("url has no host: it should look like https://hooks.example.com/path")
	}
	return u, nil
}

// lookup maps a name to ASCII as browsers do before they look it up (UTS 46).
// Unlike idna.Lookup it takes hyphens in third and fourth place, which names
// such as qa--site.example.com have.
var lookup = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.StrictDomainName(true),
	idna.Transitional(false), idna.CheckHyphens(false), idna.VerifyDNSLength(true))

// normalHost returns the host in its one spelling, and its address if it is a
// literal one. The order matters: net/http maps names to ASCII after any
// check of ours, so that １２７.０.０.１ would be dialled as 127.0.0.1.
func normalHost(u *url.URL) (host string, addr netip.Addr, err error) {
	name := u.Hostname()
	if strings.HasPrefix(u.Host, "[") {
		addr, err := netip.ParseAddr(name)
		switch {
		case err != nil || !addr.Is6():
			return "", addr, errors.New("url has brackets around something that is not an IPv6 address")
		case addr.Zone() != "":
			return "", addr, errors.New("url has an address with a zone (%), which means a link of this machine")
		}
		if addr.Is4In6() {
			addr = addr.Unmap()
			return addr.String(), addr, nil
		}
		return "[" + addr.String() + "]", addr, nil
	}
	// One trailing dot means the same name and is cut, in any of the forms
	// that the mapping takes for a dot. A second one is an empty label.
	if last, n := utf8.DecodeLastRuneInString(name); strings.ContainsRune(".。．｡", last) {
		name = name[:len(name)-n]
	}
	ascii, err := lookup.ToASCII(name)
	again, errAgain := lookup.ToASCII(ascii)
	// What is not its own mapping (as with bytes that are not UTF-8) would be
	// dialled as something else.
	stable := errors.Join(err, errAgain) == nil && again == ascii
	if !stable || strings.HasSuffix(ascii, ".") {
		return "", addr, errors.New("url has a host that is not a valid name")
	}
	if addr, err := netip.ParseAddr(ascii); err == nil {
		return ascii, addr, nil
	}
	if endsInNumber(ascii) {
		return "", addr, errors.New("url has a host that ends in a number but is not an address like 192.0.2.1")
	}
	return ascii, addr, nil
}

// endsInNumber tells hosts that other software reads as an IPv4 address:
// 2130706433, 127.1, 0x7f.1 and 0177.0.0.1 are 127.0.0.1 to inet_aton
// (WHATWG URL, "ends in a number").
func endsInNumber(host string) bool {
	last := host[strings.LastIndexByte(host, '.')+1:]
	if digits, ok := strings.CutPrefix(last, "0x"); ok {
		return strings.Trim(digits, "0123456789abcdef") == ""
	}
	return strings.Trim(last, "0123456789") == ""
}

func standardPort(u *url.URL) uint16 {
	if u.Scheme == "http" {
		return 80
	}
	return 443
}

// port reads the URL's port and refuses one that the profile does not permit.
func (p URLPolicy) port(u *url.URL) (uint16, error) {
	standard := standardPort(u)
	port := standard
	if text := u.Port(); text != "" {
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil || n == 0 {
			return 0, errors.New("url has a port that is not between 1 and 65535")
		}
		port = uint16(n)
	}
	if p.AnyPort || slices.Contains(p.Ports, port) || len(p.Ports) == 0 && port == standard {
		return port, nil
	}
	return 0, fmt.Errorf("url has port %d, which the egress profile does not permit (see its ports option)", port)
}
