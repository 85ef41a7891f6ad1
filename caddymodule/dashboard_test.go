package caddymodule

import (
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/atoship/caddy-webhooks/delivery/httpapi/client"
)

const dashboards = `
	webhooks_dashboard /webhooks/* {
		auth token {env.TEST_WEBHOOKS_ADMIN}
		auth token {env.TEST_WEBHOOKS_ACME} tenant acme role viewer
	}
	handle_path /inside/* {
		webhooks_dashboard {
			auth none
		}
	}`

const keyed = `
		store embedded DIR/state
		secret_key {env.TEST_WEBHOOKS_KEY}`

func newKeyedGateway(t *testing.T) *gateway {
	t.Helper()
	t.Setenv("TEST_WEBHOOKS_KEY", testKey)
	t.Setenv("TEST_WEBHOOKS_ADMIN", "the-operator's-token")
	t.Setenv("TEST_WEBHOOKS_ACME", "acme's-own-token")
	return newGateway(t)
}

// api is a client of one of the dashboards.
func (g *gateway) api(path, token string) *client.Client {
	g.t.Helper()
	c, err := client.New("http://"+g.address+path+"api/", client.Options{Token: token, HTTP: g.client})
	if err != nil {
		g.t.Fatal(err)
	}
	return c
}

func TestEndpointsMadeByAPIOutliveReloadsAndRestarts(t *testing.T) {
	g := newKeyedGateway(t)
	config := g.caddyfile(keyed, dashboards)
	g.mustLoad(config)
	c := g.api("/webhooks/", "the-operator's-token")
	const planted = "whsec_cGxhbnRlZCBzZWNyZXQgb2YgYSBjdXN0b21lcg=="
	e, err := c.CreateEndpoint(t.Context(), map[string]any{
		"url": g.url + "/made?key=planted-in-a-url", "events": []string{"*"}, "secret": []map[string]string{{"value": planted}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, again := range []func(){
		func() {},
		func() { g.mustLoad(g.caddyfile(keyed+"\n\t\tuser_agent Second", dashboards)) },
		func() {
			if err := g.load(g.caddyfile(keyed, dashboards), true); err == nil { // rolled back
				t.Error("a config that cannot start was loaded")
			}
		},
		func() {
			if err := caddy.Stop(); err != nil {
				t.Error(err)
			}
			g.mustLoad(config)
		},
	} {
		again()
		if _, err := c.Endpoint(t.Context(), e.ID); err != nil {
			t.Fatalf("%d: %v", i, err)
		}
		if status, answer := g.publish(`{"event":"label.created","data":{}}`); status != http.StatusAccepted || !strings.Contains(answer, e.ID) {
			t.Fatalf("%d: publishing was answered %d %s", i, status, answer)
		}
		if r := g.next(); r.path != "/made" || r.header.Get("Webhook-Signature") == "" {
			t.Errorf("%d: delivered %+v", i, r)
		}
	}
	if _, err := c.PatchEndpoint(t.Context(), e.ID, e.ETag, map[string]any{"url": g.url + "/changed"}); err != nil {
		t.Fatal(err)
	}
	g.publish(`{"event":"label.created","data":{}}`)
	if r := g.next(); r.path != "/changed" {
		t.Errorf("after the change delivered to %s", r.path)
	}
	if _, err := c.PatchEndpoint(t.Context(), e.ID, "*", map[string]any{"url": "https://127.0.0.1.example:1/{env.TEST_WEBHOOKS_KEY}"}); err == nil {
		t.Error("a placeholder was taken")
	}
	if err := caddy.Stop(); err != nil {
		t.Error(err)
	}
	err = filepath.WalkDir(filepath.Join(g.dir, "state"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path) //nolint:gosec // the test's own folder
		for _, secret := range []string{planted, "cGxhbnRlZCBzZWNyZXQg", "planted secret of", "planted-in-a-url", testKey} {
			if strings.Contains(string(text), secret) {
				t.Errorf("%s holds %s", path, secret)
			}
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestWhoMayEnterTheDashboard(t *testing.T) {
	g := newKeyedGateway(t)
	g.mustLoad(g.caddyfile(keyed, dashboards))
	ctx := t.Context()
	for name, c := range map[string]struct {
		path, token string
		status      int // of a try to make an endpoint
	}{
		"the operator":            {"/webhooks/", "the-operator's-token", 0},
		"a viewer of a tenant":    {"/webhooks/", "acme's-own-token", http.StatusForbidden},
		"a stranger":              {"/webhooks/", "guessed", http.StatusUnauthorized},
		"nobody":                  {"/webhooks/", "", http.StatusUnauthorized},
		"anybody, with auth none": {"/inside/", "", 0},
	} {
		_, err := g.api(c.path, c.token).CreateEndpoint(ctx, map[string]any{"url": g.url + "/in"})
		var p *client.Problem
		if errors.As(err, &p); (p == nil) != (c.status == 0) || p != nil && p.Status != c.status {
			t.Errorf("%s: %v", name, err)
		}
	}
	made, err := g.api("/webhooks/", "the-operator's-token").CreateToken(ctx, "acme", client.NewToken{Role: "operator"})
	if err != nil {
		t.Fatal(err)
	}
	acme := g.api("/webhooks/", made.Token)
	if _, err := acme.CreateEndpoint(ctx, map[string]any{"url": g.url + "/acme"}); err != nil {
		t.Errorf("a tenant's operator: %v", err)
	}
	if list, err := acme.Endpoints(ctx, client.Page{}); err != nil || len(list.Items) != 1 || list.Items[0].Tenant != "acme" {
		t.Errorf("a tenant sees %+v, %v", list, err)
	}
}

func TestTheDashboardsPath(t *testing.T) {
	g := newKeyedGateway(t)
	g.mustLoad(g.caddyfile(keyed, dashboards))
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for path, want := range map[string]struct {
		status   int
		location string
		says     string
	}{
		"/webhooks":             {308, "/webhooks/", ""},
		"/webhooks?a=b":         {308, "/webhooks/?a=b", ""},
		"/webhooks/":            {200, "", "<!doctype html>"},
		"/inside/":              {200, "", "<!doctype html>"},
		"/inside/static/app.js": {200, "", "import"},
		"/inside/deep/page":     {404, "", "below /inside/api/"},
		"/webhooks/session":     {401, "", "bearer"},
		"/inside/session":       {200, "", `"role":"operator"`},
		"/inside/api/health":    {200, "", `"status":"ready"`},
		"/inside/api/":          {404, "", "problem"},
		"/webhooks/api/health":  {401, "", "bearer"},
		"/WEBHOOKS/api/health":  {404, "", "no such page"},
		"/webhooksx":            {404, "", ""},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+g.address+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		says := want.says == "" || strings.Contains(string(body), want.says) || want.says == "problem" && strings.Contains(res.Header.Get("Content-Type"), "problem")
		if res.StatusCode != want.status || res.Header.Get("Location") != want.location || !says {
			t.Errorf("%s: %d, to %q: %s", path, res.StatusCode, res.Header.Get("Location"), body)
		}
	}
}

func TestAReloadDoesNotWaitForStreams(t *testing.T) {
	g := newKeyedGateway(t)
	config := g.caddyfile(keyed, dashboards)
	g.mustLoad(config)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+g.address+"/inside/api/stream", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := new(http.Client).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	g.mustLoad(config)
	if _, err := io.ReadAll(res.Body); err != nil {
		t.Errorf("the stream was cut off: %v", err)
	}
}
