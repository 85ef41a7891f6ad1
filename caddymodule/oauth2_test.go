package caddymodule

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/egress"
)

// loginServer gives out tokens to the client "gateway" with testSecret, and counts how often it was asked.
func loginServer(t *testing.T) (*httptest.Server, *atomic.Int32) {
	t.Helper()
	asked := new(atomic.Int32)
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		w.Header().Set("Content-Type", "application/json")
		if id, secret, _ := r.BasicAuth(); id != "gateway" || secret != testSecret || r.FormValue("scope") != "a b" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = io.WriteString(w, `{"access_token":"abc","token_type":"Bearer","expires_in":3600}`)
	}))
	t.Cleanup(s.Close)
	return s, asked
}

func TestEndpointGetsATokenWithEveryAttempt(t *testing.T) {
	t.Setenv("TEST_WEBHOOKS_SECRET", testSecret)
	login, asked := loginServer(t)
	receiver := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer abc" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	t.Cleanup(receiver.Close)
	app := func() *App {
		return &App{
			Egress: []Egress{{Allow: []string{"127.0.0.1"}, Ports: []string{"any"}}},
			Defaults: &EndpointOptions{OAuth2: &OAuth2{
				TokenURL: login.URL + "/token", ClientID: "gateway", ClientSecret: "{env.TEST_WEBHOOKS_SECRET}",
				Scopes: []string{"a", "b"}, TLS: trusting(t, login.Certificate()),
			}},
			Endpoint: []Endpoint{
				endpoint("a", func(e *Endpoint) { e.URL, e.TLS = receiver.URL, trusting(t, receiver.Certificate()) }),
				endpoint("b", func(e *Endpoint) { e.URL, e.TLS = receiver.URL, trusting(t, receiver.Certificate()) }),
			},
		}
	}
	deliver := func(e *delivery.Endpoint) {
		t.Helper()
		resp, err := e.Transport.RoundTrip(httptest.NewRequestWithContext(t.Context(), http.MethodPost, e.URL.String(), nil))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != 200 {
			t.Errorf("%s was answered %d", e.Name, resp.StatusCode)
		}
	}
	before, _, err := planOf(t, app())
	if err != nil {
		t.Fatal(err)
	}
	deliver(before.Endpoints["a"])
	deliver(before.Endpoints["b"])
	after, _, err := planOf(t, app()) // a reload
	if err != nil {
		t.Fatal(err)
	}
	deliver(after.Endpoints["a"])
	if n := asked.Load(); n != 1 {
		t.Errorf("two endpoints of one client and a reload asked for a token %d times, want once", n)
	}
	runtime.KeepAlive(before)
}

// Each row changes one thing in settings that load, and gives a part of the error.
func TestOAuth2RefusesWhatCannotWork(t *testing.T) {
	t.Setenv("TEST_WEBHOOKS_SECRET", testSecret)
	for what, c := range map[string]struct {
		change func(*Endpoint)
		want   string
	}{
		"no url":                  {func(e *Endpoint) { e.OAuth2.TokenURL = "" }, "Caddyfile:7: endpoint a: oauth2: token_url: url is empty"},
		"plain http":              {func(e *Endpoint) { e.OAuth2.TokenURL = "http://10.0.0.1/" }, "must begin with https://"},
		"a private address":       {func(e *Endpoint) { e.OAuth2.TokenURL = "https://192.168.0.1/" }, "blocked"},
		"another port":            {func(e *Endpoint) { e.OAuth2.TokenURL = "https://login.example.com:8443/" }, "port 8443"},
		"an unset url":            {func(e *Endpoint) { e.OAuth2.TokenURL = "{env.TEST_WEBHOOKS_UNSET}" }, "token_url: {env.TEST_WEBHOOKS_UNSET}"},
		"no id":                   {func(e *Endpoint) { e.OAuth2.ClientID = "" }, "client_id is required"},
		"an unset id":             {func(e *Endpoint) { e.OAuth2.ClientID = "{env.TEST_WEBHOOKS_UNSET}" }, "client_id: {env.TEST_WEBHOOKS_UNSET}"},
		"no secret":               {func(e *Endpoint) { e.OAuth2.ClientSecret = "" }, "client_secret: the secret is empty"},
		"an unset secret":         {func(e *Endpoint) { e.OAuth2.ClientSecret = "{env.TEST_WEBHOOKS_UNSET}" }, "client_secret: {env.TEST_WEBHOOKS_UNSET}"},
		"a scope with a space":    {func(e *Endpoint) { e.OAuth2.Scopes = []string{"a b"} }, `scope "a b"`},
		"a bad certificate":       {func(e *Endpoint) { e.OAuth2.TLS = &EndpointTLS{ClientAuth: &ClientAuth{Cert: "/nowhere"}} }, "oauth2: tls: client_auth"},
		"a header it would clash": {func(e *Endpoint) { e.Header = map[string][]string{"authorization": {"Bearer x"}} }, "exclude each other"},
	} {
		e := endpoint("a", func(e *Endpoint) {
			e.OAuth2 = &OAuth2{TokenURL: "https://login.example.com/", ClientID: "gateway", ClientSecret: "{env.TEST_WEBHOOKS_SECRET}"}
			c.change(e)
		})
		_, _, err := planOf(t, &App{Egress: []Egress{{Allow: []string{"10.0.0.0/8"}, PlainHTTP: true}}, Endpoint: []Endpoint{e}})
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), testSecret) {
			t.Errorf("%s: error %v, want one about %q", what, err, c.want)
		}
	}
}

func TestLiteralClientSecretWarns(t *testing.T) {
	t.Setenv("TEST_WEBHOOKS_SECRET", testSecret)
	e := endpoint("a", func(e *Endpoint) {
		e.OAuth2 = &OAuth2{TokenURL: "https://login.example.com/", ClientID: "gateway", ClientSecret: "hunter2"}
	})
	_, logs, err := planOf(t, &App{Endpoint: []Endpoint{e}})
	if err != nil {
		t.Fatal(err)
	}
	entries := logs.All()
	if len(entries) != 1 || entries[0].ContextMap()["where"] != "client_secret" || strings.Contains(fmt.Sprint(entries), "hunter2") {
		t.Errorf("logged %v", entries)
	}
}

func TestTokensAreSharedWhileAnyoneHasThem(t *testing.T) {
	t.Parallel()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	t.Cleanup(cancel)
	app := new(App)
	t.Cleanup(func() { _ = app.Cleanup() })
	exit := exitTo(t, app)
	through, err := app.transport(ctx, exit, nil)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere, err := app.transport(ctx, exit, &EndpointTLS{ServerName: "login.internal"})
	if err != nil {
		t.Fatal(err)
	}
	url, err := exit.checkURL("https://login.example.com/")
	if err != nil {
		t.Fatal(err)
	}
	get := func(secret string, through *transport) *egress.Tokens {
		t.Helper()
		made, err := sharedTokens(egress.ClientCredentials{TokenURL: url, ID: t.Name(), Secret: secret}, through)
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	known := func() (n int) {
		tokens.Lock()
		defer tokens.Unlock()
		for key := range tokens.known {
			if key.through == through || key.through == elsewhere {
				n++
			}
		}
		return n
	}
	first := get("one", through)
	if get("one", through) != first {
		t.Error("the same credentials the same way made another source")
	}
	if get("two", through) == first || get("one", elsewhere) == first {
		t.Error("other credentials, or another way, share the source")
	}
	if known() == 0 {
		t.Error("no source is known")
	}
	runtime.KeepAlive(first)
	for deadline := time.Now().Add(10 * time.Second); known() > 0; runtime.GC() {
		if time.Now().After(deadline) {
			t.Fatalf("%d sources are known although nobody has them", known())
		}
	}
}

// The guard judges the token endpoint's address when it is dialled, and what it blocks is our fault and not the endpoint's.
func TestTokenEndpointIsJudgedByTheProfile(t *testing.T) {
	t.Setenv("TEST_WEBHOOKS_SECRET", testSecret)
	login, asked := loginServer(t)
	p, _, err := planOf(t, &App{
		Egress: []Egress{{Allow: []string{"::1"}, Ports: []string{"any"}}}, // localhost may be named, 127.0.0.1 not dialled
		Endpoint: []Endpoint{endpoint("a", func(e *Endpoint) {
			_, port, _ := strings.Cut(login.Listener.Addr().String(), ":")
			e.OAuth2 = &OAuth2{
				TokenURL: "https://localhost:" + port + "/", ClientID: "gateway", ClientSecret: "{env.TEST_WEBHOOKS_SECRET}",
				TLS: trusting(t, login.Certificate()),
			}
		})},
	})
	if err != nil {
		t.Fatal(err)
	}
	e := p.Endpoints["a"]
	_, err = e.Transport.RoundTrip(httptest.NewRequestWithContext(t.Context(), http.MethodPost, e.URL.String(), nil))
	if _, ok := errors.AsType[*egress.TokenError](err); !ok || asked.Load() != 0 {
		t.Errorf("error %v, the token endpoint was reached %d times, want a failure before that", err, asked.Load())
	}
}
