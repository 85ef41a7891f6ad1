package caddymodule

import (
	"crypto/sha256"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/atoship/caddy-webhooks/delivery/egress"
)

const testProxyPassword = "s3cret-of-the-proxy"

// Each row is a profile that must not load, and a part of the error it must give.
func TestEgressRefusesWhatCannotWork(t *testing.T) {
	t.Setenv("TEST_WEBHOOKS_SECRET", testSecret)
	proxy := func(p EgressProxy) Egress { return Egress{Proxy: []EgressProxy{p}} }
	for what, c := range map[string]struct {
		egress Egress
		want   string
	}{
		"a source that is no address":            {Egress{Address: []string{"localhost"}}, "profile default: address: 'localhost' is not an address"},
		"a source that is a network":             {Egress{Address: []string{"203.0.113.0/24"}}, "'203.0.113.0/24' is not an address"},
		"a source that means any":                {Egress{Address: []string{"0.0.0.0"}}, "0.0.0.0 cannot be a source address"},
		"a source with a zone":                   {Egress{Address: []string{"fe80::1%lo"}}, "zone"},
		"a source twice":                         {Egress{Address: []string{"203.0.113.10", "203.0.113.10"}}, "203.0.113.10 is given twice"},
		"a source now and later":                 {Egress{Address: []string{"203.0.113.10"}, Upcoming: []EgressUpcoming{{"203.0.113.10", "2026-12-24"}}}, "given twice"},
		"an unset variable":                      {Egress{Address: []string{"{env.TEST_WEBHOOKS_UNSET}"}}, "{env.TEST_WEBHOOKS_UNSET}: the environment variable is not set"},
		"an upcoming one that is no address":     {Egress{Address: []string{"203.0.113.10"}, Upcoming: []EgressUpcoming{{"x", "2026-12-24"}}}, "upcoming: 'x' is not an address"},
		"no day":                                 {Egress{Address: []string{"203.0.113.10"}, Upcoming: []EgressUpcoming{{"203.0.113.12", "tomorrow"}}}, "upcoming 203.0.113.12: 'tomorrow' is not a day"},
		"nothing until the day":                  {Egress{Upcoming: []EgressUpcoming{{"203.0.113.12", "2126-12-24"}}}, "upcoming needs `address`"},
		"a proxy that is no http proxy":          {proxy(EgressProxy{URL: "socks5://egress-1"}), "proxy 1: a proxy's URL looks like"},
		"a proxy's password in its URL":          {proxy(EgressProxy{URL: "https://u:" + testProxyPassword + "@egress-1"}), "use basic_auth"},
		"an unset proxy password":                {proxy(EgressProxy{URL: "https://egress-1", BasicAuth: &ProxyAuth{"u", "{env.TEST_WEBHOOKS_UNSET}"}}), "proxy https://egress-1:443, basic_auth: {env.TEST_WEBHOOKS_UNSET}"},
		"no proxy user":                          {proxy(EgressProxy{URL: "https://egress-1", BasicAuth: &ProxyAuth{"", testProxyPassword}}), "the user is empty"},
		"a proxy user with a colon":              {proxy(EgressProxy{URL: "https://egress-1", BasicAuth: &ProxyAuth{"a:b", testProxyPassword}}), "colon"},
		"an outer address that is none":          {proxy(EgressProxy{URL: "https://egress-1", Address: []string{"x"}}), "proxy 1: address: 'x' is not an address"},
		"TLS settings of a proxy without TLS":    {proxy(EgressProxy{URL: "http://egress-1", TLS: &EndpointTLS{}}), "tls is for https proxies"},
		"a proxy's certificate that is not":      {proxy(EgressProxy{URL: "https://egress-1", TLS: &EndpointTLS{ClientAuth: &ClientAuth{Cert: "/nowhere"}}}), "proxy 1: tls: client_auth"},
		"an exception that is no address":        {Egress{Allow: []string{"localhost"}}, "localhost"},
		"a refusal that is no address":           {Egress{Deny: []string{"localhost"}}, "deny: "},
		"a translated network that is none":      {Egress{NAT64: []string{"64:ff9b::"}}, "nat64: "},
		"a translated network of IPv4":           {Egress{NAT64: []string{"10.0.0.0/8"}}, "nat64: 10.0.0.0/8 is not"},
		"a translated network that is too wide":  {Egress{NAT64: []string{"64:ff9b::/64"}}, "nat64: 64:ff9b::/64 is not"},
		"a port out of range":                    {Egress{Ports: []string{"70000"}}, "70000"},
		"a name that is none":                    {Egress{Name: "a b"}, "name 'a b' is not 1 to 64"},
		"a name that is for endpoints of others": {Egress{Name: "ep_1"}, "starts with ep_"},
	} {
		c.egress.Pos = "Caddyfile:3"
		_, _, err := planOf(t, &App{Egress: []Egress{c.egress}})
		switch {
		case err == nil:
			t.Errorf("%s: accepted", what)
		case !strings.Contains(err.Error(), c.want), !strings.HasPrefix(err.Error(), "Caddyfile:3: egress profile "):
			t.Errorf("%s: error %q lacks %q, or the place", what, err, c.want)
		case strings.Contains(err.Error(), testProxyPassword):
			t.Errorf("%s: the error holds the password: %v", what, err)
		}
	}
	if _, _, err := planOf(t, &App{Egress: []Egress{{}, {Name: "default"}}}); err == nil || !strings.Contains(err.Error(), "exists already") {
		t.Errorf("two profiles of one name: %v", err)
	}
	if n := len(exits.known); n != 0 {
		t.Errorf("%d exits are kept although no config has them", n)
	}
}

func TestEndpointsLeaveByTheProfileTheyName(t *testing.T) {
	t.Setenv("TEST_WEBHOOKS_SECRET", testSecret)
	at8443 := func(profile string) func(*Endpoint) {
		return func(e *Endpoint) { e.URL, e.Egress = "https://a.example.com:8443/", profile }
	}
	eu := []Egress{{Name: "eu", Ports: []string{"8443"}}}
	if _, _, err := planOf(t, &App{Egress: eu, Endpoint: []Endpoint{endpoint("a", at8443("eu"))}}); err != nil {
		t.Error(err)
	}
	if _, _, err := planOf(t, &App{Egress: eu, Defaults: &EndpointOptions{Egress: "eu"}, Endpoint: []Endpoint{endpoint("a", at8443(""))}}); err != nil {
		t.Error("by the defaults:", err)
	}
	_, _, err := planOf(t, &App{Egress: eu, Endpoint: []Endpoint{endpoint("a", at8443("us"))}})
	if err == nil || err.Error() != "Caddyfile:7: endpoint a: egress profile us does not exist; there are default, eu" {
		t.Errorf("an unknown profile: %v", err)
	}
	// The default profile exists, and is no other's.
	for _, name := range []string{"", "default"} {
		if _, _, err := planOf(t, &App{Egress: eu, Endpoint: []Endpoint{endpoint("a", at8443(name))}}); err == nil || !strings.Contains(err.Error(), "port 8443") {
			t.Errorf("profile %q: %v", name, err)
		}
	}
}

// Literal addresses show at load what the guard of a profile goes by.
func TestProfilesRulesDecideWhichAddressesArePublic(t *testing.T) {
	t.Setenv("TEST_WEBHOOKS_SECRET", testSecret)
	for what, c := range map[string]struct {
		egress Egress
		url    string
		want   string // in the error; empty: none
	}{
		"a public address":                          {Egress{}, "https://1.1.1.1/", ""},
		"a public address that is refused":          {Egress{Deny: []string{"1.1.1.0/24"}}, "https://1.1.1.1/", "1.1.1.1"},
		"one that is refused although allowed":      {Egress{Deny: []string{"1.1.1.1"}, Allow: []string{"1.1.1.1"}}, "https://1.1.1.1/", "1.1.1.1"},
		"a translated address, untold":              {Egress{}, "https://[64:ff9b::101:101]/", "64:ff9b::101:101"},
		"a translated address":                      {Egress{NAT64: []string{"64:ff9b::/96"}}, "https://[64:ff9b::101:101]/", ""},
		"a translated private address":              {Egress{NAT64: []string{"64:ff9b::/96"}}, "https://[64:ff9b::a00:1]/", "64:ff9b::a00:1"},
		"a translated address that is refused":      {Egress{NAT64: []string{"64:ff9b::/96"}, Deny: []string{"1.1.1.1"}}, "https://[64:ff9b::101:101]/", "64:ff9b::101:101"},
		"an allowed private address":                {Egress{Allow: []string{"10.1.0.0/16"}}, "https://10.1.2.3/", ""},
		"a private address beside the allowed ones": {Egress{Allow: []string{"10.1.0.0/16"}}, "https://10.2.2.3/", "10.2.2.3"},
	} {
		_, _, err := planOf(t, &App{Egress: []Egress{c.egress}, Endpoint: []Endpoint{endpoint("a", func(e *Endpoint) { e.URL = c.url })}})
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestShortNoticeWarnsOnce(t *testing.T) {
	t.Parallel()
	in := func(days int) EgressUpcoming {
		return EgressUpcoming{"203.0.113.12", time.Now().UTC().AddDate(0, 0, days).Format(time.DateOnly)}
	}
	warnings := func(a *App) int {
		_, logs, err := planOf(t, a)
		if err != nil {
			t.Fatal(err)
		}
		return logs.FilterMessageSnippet("less than 7 days").Len()
	}
	for days, want := range map[int]int{-1: 0, 0: 0, 2: 1, 7: 1, 8: 0} { // in 7 days is less than 7 times 24 hours from now
		profile := []Egress{{Name: "notice", Address: []string{"203.0.113.10"}, Upcoming: []EgressUpcoming{in(days)}}}
		if got := warnings(&App{Egress: profile}); got != want {
			t.Errorf("%d days ahead: %d warnings, want %d", days, got, want)
		}
		if got := warnings(&App{Egress: profile}); got != 0 { // while the one before is in use
			t.Errorf("%d days ahead: the reload warned again", days)
		}
	}
}

func TestProxyPasswordInTheOpenWarns(t *testing.T) {
	t.Setenv("TEST_WEBHOOKS_SECRET", testProxyPassword)
	for url, want := range map[string]int{"https://egress-1": 0, "http://egress-1": 1} {
		_, logs, err := planOf(t, &App{Egress: []Egress{{Proxy: []EgressProxy{{URL: url, BasicAuth: &ProxyAuth{"u", "{env.TEST_WEBHOOKS_SECRET}"}}}}}})
		if err != nil || logs.Len() != want {
			t.Errorf("%s: %v, logged %v", url, err, logs.All())
		}
	}
	_, logs, err := planOf(t, &App{Egress: []Egress{{Proxy: []EgressProxy{{URL: "https://egress-1", BasicAuth: &ProxyAuth{"u", testProxyPassword}}}}}})
	if err != nil || logs.FilterMessageSnippet("literally").Len() != 1 {
		t.Errorf("a literal password: %v, logged %v", err, logs.All())
	}
	for _, e := range logs.All() {
		if strings.Contains(e.Message, testProxyPassword) || e.ContextMap()["where"] != "proxy https://egress-1:443, basic_auth" {
			t.Errorf("logged %v", e)
		}
	}
}

// A reload of the same addresses goes on with what is known of them; any difference makes another identity.
func TestExitIsSharedWhileNothingChanges(t *testing.T) {
	t.Parallel()
	source := func(addr string) []egress.Source { return []egress.Source{{Addr: netip.MustParseAddr(addr)}} }
	proxies := func(password string) []egress.Proxy {
		u, err := egress.ParseProxyURL("https://egress-1:3128")
		if err != nil {
			t.Fatal(err)
		}
		return []egress.Proxy{{URL: u, User: "u", Password: password}}
	}
	share := func(name string, sources []egress.Source, proxies []egress.Proxy) *exit {
		t.Helper()
		x, _, err := sharedExit(name, sources, proxies)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(x.release)
		return x
	}
	first := share("shared", source("203.0.113.10"), proxies("one"))
	if share("shared", source("203.0.113.10"), proxies("one")) != first {
		t.Error("the same settings made another")
	}
	for what, other := range map[string]*exit{
		"another profile":  share("shared2", source("203.0.113.10"), proxies("one")),
		"another address":  share("shared", source("203.0.113.11"), proxies("one")),
		"another password": share("shared", source("203.0.113.10"), proxies("two")),
		"no proxy":         share("shared", source("203.0.113.10"), nil),
	} {
		if other == first {
			t.Errorf("%s is the same", what)
		}
	}
	if first.key == sha256.Sum256(nil) {
		t.Error("the key stands for nothing")
	}
}

// The whole way: the pool of the config is what a receiver sees, and what another function is told of it.
func TestDeliveriesLeaveFromTheProfilesAddresses(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	from := make(map[string]bool)
	server := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		host, _, _ := strings.Cut(r.RemoteAddr, ":")
		from[host] = true
	}))
	t.Cleanup(server.Close)
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	t.Cleanup(cancel)
	a := &App{logger: zap.NewNop()}
	t.Cleanup(func() {
		if err := a.Cleanup(); err != nil {
			t.Error(err)
		}
	})
	// The machine does not have the first; RFC 5737 keeps it for documentation.
	p := exitTo(t, a, func(e *Egress) { e.Name = ""; e.Address = []string{"192.0.2.1", "127.0.0.3"} })
	told := make(chan egress.Change, 1)
	p.exit.tell(func(profile string, c egress.Change) {
		if profile == defaultEgress {
			told <- c
		}
	})
	out, err := a.transport(ctx, p, trusting(t, server.Certificate()))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		resp, err := out.For(name).RoundTrip(httptest.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, nil))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
	}
	if len(from) != 1 || !from["127.0.0.3"] {
		t.Errorf("came from %v", from)
	}
	if c := <-told; c.Kind != egress.SourceLost || c.Addr.String() != "192.0.2.1" {
		t.Errorf("told %+v", c)
	}
}
