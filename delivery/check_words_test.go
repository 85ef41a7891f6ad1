package delivery_test

import (
	"net"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/egress"
)

// What no test can bring about on one machine is told from made-up facts: a firewall, a network without IPv6, a slow answer.
func TestCheckSaysWhatStandsInTheWayOfAConnection(t *testing.T) {
	t.Parallel()
	v4, v6 := netip.MustParseAddrPort("203.0.113.7:443"), netip.MustParseAddrPort("[2001:db8::7]:443")
	dial := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }
	sources := []netip.Addr{netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("198.51.100.2")}
	for name, tc := range map[string]struct {
		in        egress.Inspection
		connected bool
		want      []string // name, result, and words of summary or advice
	}{
		"a firewall that drops packets is told which addresses to let in": {
			egress.Inspection{Sources: sources, Reached: []egress.Reached{{Addr: v4, Err: dial(os.ErrDeadlineExceeded)}}},
			false,
			[]string{"connect_ipv4 fail a firewall drops our packets / let the gateway's addresses in at the firewall: 198.51.100.1, 198.51.100.2"},
		},
		"one that refuses is told, too": {
			egress.Inspection{Sources: sources, Reached: []egress.Reached{{Addr: v4, Err: dial(syscall.ECONNREFUSED)}}},
			false,
			[]string{"connect_ipv4 fail refuses connections / check that the server runs and listens on port 443, and let the gateway's addresses in at the firewall: 198.51.100.1"},
		},
		"addresses that are not configured are in the list": {
			egress.Inspection{Reached: []egress.Reached{{Addr: v4, Err: dial(os.ErrDeadlineExceeded)}}},
			false,
			[]string{"connect_ipv4 fail / let the gateway's addresses in at the firewall (they are in the published list of addresses)"},
		},
		"IPv6 fails where IPv4 works": {
			egress.Inspection{Reached: []egress.Reached{{Addr: v6, Err: dial(syscall.ENETUNREACH)}, {Addr: v4}}},
			true,
			[]string{"connect_ipv6 warn no route to [2001:db8::7]:443; deliveries get through over IPv4 / make IPv6 work or remove the address from DNS", "connect_ipv4 ok accepts"},
		},
		"IPv4 fails where IPv6 works": {
			egress.Inspection{Reached: []egress.Reached{{Addr: v6}, {Addr: v4, Err: dial(os.ErrDeadlineExceeded)}}},
			true,
			[]string{"connect_ipv6 ok accepts", "connect_ipv4 warn deliveries get through over IPv6 / make IPv4 work"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := &url.URL{Scheme: "https", Host: "hooks.test"}
			steps, connected := delivery.ConnectSteps(u, &tc.in)
			if connected != tc.connected || len(steps) != len(tc.want) {
				t.Fatalf("connected: %v, %+v", connected, steps)
			}
			for i, s := range steps {
				holds(t, s, tc.want[i])
			}
		})
	}
}

func TestCheckSaysWhatAnAnswerMeans(t *testing.T) {
	t.Parallel()
	ep := &delivery.Endpoint{Timeout: 30 * time.Second}
	for name, tc := range map[string]struct {
		a    delivery.Attempt
		want string
	}{
		"in good time":         {delivery.Attempt{Status: 204, Outcome: "delivered", Duration: 340 * time.Millisecond}, "ok answered 204 in 340ms (limit 30s)"},
		"but slowly":           {delivery.Attempt{Status: 200, Outcome: "delivered", Duration: 21 * time.Second}, "warn only after 21s (limit 30s) / process it afterwards"},
		"too late":             {delivery.Attempt{Outcome: "timeout", Duration: 30 * time.Second}, "fail not answered within 30s / process it afterwards"},
		"a method not taken":   {delivery.Attempt{Status: 405, Outcome: "http_error"}, "fail 405 Method Not Allowed / must take POST"},
		"gone":                 {delivery.Attempt{Status: 410, Outcome: "gone"}, "fail / disables the endpoint"},
		"too much at once":     {delivery.Attempt{Status: 429, Outcome: "rate_limited"}, "fail / set a rate_limit"},
		"a failure":            {delivery.Attempt{Status: 502, Outcome: "server_error"}, "fail / look at its own log"},
		"a body not taken":     {delivery.Attempt{Status: 415, Outcome: "http_error"}, "fail / must take a JSON body"},
		"something of our own": {delivery.Attempt{Outcome: "local"}, "fail the gateway's side / tell the gateway's operator"},
		"a wrong transform":    {delivery.Attempt{Outcome: "transform_error", Detail: "no such member"}, "fail no such member / correct the transform"},
		"a broken connection":  {delivery.Attempt{Outcome: "connection_reset"}, "fail connection reset / the server's own log"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			holds(t, delivery.AnswerStep(ep, &tc.a), "test_event "+tc.want)
		})
	}
}

// holds holds a step against "name result words of the summary / words of the advice".
func holds(t *testing.T, s delivery.CheckStep, want string) {
	t.Helper()
	said, advice, _ := strings.Cut(want, "/ ")
	parts := strings.SplitN(strings.TrimSpace(said)+"  ", " ", 3)
	if s.Name != parts[0] || string(s.Result) != parts[1] || !strings.Contains(s.Summary, strings.TrimSpace(parts[2])) || !strings.Contains(s.Advice, advice) {
		t.Errorf("%s %s: %s / %s; want %s", s.Name, s.Result, s.Summary, s.Advice, want)
	}
	if (s.Result == delivery.CheckOK) != (s.Advice == "") {
		t.Errorf("%s %s advises %q", s.Name, s.Result, s.Advice)
	}
}
