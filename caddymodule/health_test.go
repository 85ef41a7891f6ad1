package caddymodule

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

func TestHealthIsServedWhereTheSiteHasIt(t *testing.T) {
	g := newGateway(t)
	g.mustLoad(g.caddyfile(everything, "webhooks_health /healthz*"))
	g.works("AtoShip-Webhooks")
	for _, path := range []string{"/healthz", "/healthz/ready", "/healthz/live"} {
		resp, err := g.client.Get("http://" + g.address + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK || strings.TrimSpace(string(body)) != `{"status":"ready","live":true,"store_writable":true}` {
			t.Errorf("%s: %d %s %v", path, resp.StatusCode, body, err)
		}
	}
}

func TestHealthWithoutAnEngineIsNeitherReadyNorLive(t *testing.T) {
	g := newGateway(t)
	g.mustLoad(g.caddyfile(everything, ""))
	h := new(HealthCheck)
	if err := h.Provision(caddy.ActiveContext()); err != nil {
		t.Fatal(err)
	}
	ask := func(path string) (int, string) {
		t.Helper()
		w := httptest.NewRecorder()
		if err := h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, http.NoBody), nil); err != nil {
			t.Fatal(err)
		}
		return w.Code, strings.TrimSpace(w.Body.String())
	}
	if status, body := ask("/healthz"); status != http.StatusOK {
		t.Errorf("while it runs: %d %s", status, body)
	}
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/healthz", "/healthz/live"} {
		if status, body := ask(path); status != http.StatusServiceUnavailable || body != `{"status":"unavailable","live":false,"store_writable":false}` {
			t.Errorf("%s after the stop: %d %s", path, status, body)
		}
	}
}

func TestHealthNeedsTheApp(t *testing.T) {
	t.Parallel()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	defer cancel()
	if err := new(HealthCheck).Provision(ctx); err == nil || !strings.Contains(err.Error(), "global option webhooks") {
		t.Errorf("without an app: %v", err)
	}
}
