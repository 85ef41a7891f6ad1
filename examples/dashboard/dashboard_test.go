// Package dashboard_test clicks through the dashboard of the real gateway in a real Chromium, with real receivers behind it:
// every journey that the customer guide describes, and an operator's. journey.mjs holds the clicks, keyboard.mjs the keys,
// hostile.mjs what must do no harm. Screenshots of every page, at two widths, light and dark, go to DASHBOARD_SHOTS.
//
//	npm ci --prefix examples/dashboard && go test ./examples/dashboard
package dashboard_test

import (
	"context"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/atoship/caddy-webhooks/examples/internal/rig"
)

const caddyfile = `{
	admin off
	auto_https off
	skip_install_trust
	webhooks {
		store embedded %[4]s/store
		secret_key {env.WEBHOOKS_KEY}
		catalog %[2]s
		trace_url https://traces.example.com/{trace_id}
		egress {
			address 127.0.0.1
			upcoming 127.0.0.9 2099-01-01
			allow 127.0.0.1
			ports any
			plain_http
		}
		defaults {
			retry off
			breaker off
			trace_context
		}
		endpoint audit {
			url %[3]s/audit
			secret whsec_ZGFzaGJvYXJkIHNlY3JldCAwMDAwMDAwMDAwMDAwMDE=
		}
		endpoint warehouse {
			url %[6]s/in
			description Warehouse
			secret whsec_ZGFzaGJvYXJkIHNlY3JldCAwMDAwMDAwMDAwMDAwMDE=
			retry 1h
			breaker {
				failures 1
				open 1h
			}
			backup standby
		}
		endpoint standby {
			url %[3]s/standby
			description Standby
			secret whsec_ZGFzaGJvYXJkIHNlY3JldCAwMDAwMDAwMDAwMDAwMDE=
		}
		route fulfilled {
			when ` + "`event.type == \"order.fulfilled\"`" + `
			to warehouse
		}
		route rare {
			when ` + "`event.type == \"order.canceled\" && data.canceled_by == \"buyer\"`" + `
			to audit
		}
	}
}
http://127.0.0.1:%[1]d {
	webhooks_ingest /events {
		auth none
	}
	webhooks_dashboard /webhooks/* {
		auth token {env.DASHBOARD_TOKEN}
		frame_ancestors %[5]s
	}
	respond 404
}
`

const token = "a token for the dashboard's journeys"

func TestEveryJourneyInChromium(t *testing.T) {
	t.Parallel()
	chromium := needBrowser(t)
	good := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(good.Close)
	var mended atomic.Bool
	bad := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/mend":
			mended.Store(true)
		case r.URL.Path == "/gone":
			w.WriteHeader(http.StatusGone)
		case !mended.Load():
			http.Error(w, `<script>executed()</script>`, http.StatusInternalServerError)
		}
	}))
	t.Cleanup(bad.Close)

	// A shop on another site, which shows a customer's portal in a frame.
	shop := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = fmt.Fprintf(w, `<!doctype html><title>Shop</title><iframe title="Webhooks" src="%s" width="900" height="600"></iframe>`, html.EscapeString(r.URL.Query().Get("portal")))
	}))
	t.Cleanup(shop.Close)
	shopURL := strings.Replace(shop.URL, "127.0.0.1", "localhost", 1)

	site := startGateway(t, good.URL, bad.URL, shopURL)
	click(t, "journey.mjs", map[string]string{
		"base": site + "/webhooks/", "ingest": site + "/events", "token": token, "chromium": chromium, "shots": shotsDir(t),
		"good": good.URL + "/in", "bad": bad.URL + "/in", "mend": bad.URL + "/mend", "gone": bad.URL + "/gone", "shop": shopURL,
	})
}

func TestACustomerDoesEverythingByKeysAlone(t *testing.T) {
	t.Parallel()
	chromium := needBrowser(t)
	good := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(good.Close)
	site := startGateway(t, good.URL, good.URL, "http://localhost:1")
	click(t, "keyboard.mjs", map[string]string{"base": site + "/webhooks/", "token": token, "chromium": chromium, "good": good.URL + "/in"})
}

// shotsDir is where screenshots go.
func shotsDir(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("DASHBOARD_SHOTS")
	if dir == "" {
		return t.TempDir()
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// click runs one of the programs beside this file.
func click(t *testing.T, program string, options map[string]string) {
	t.Helper()
	text, err := json.Marshal(options)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "node", program, string(text)).CombinedOutput() //nolint:gosec // our own script
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

// needBrowser skips the test where it cannot run.
func needBrowser(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("SKIP: the journeys need Node 20 or newer")
	}
	if _, err := os.Stat("node_modules/playwright-core"); err != nil {
		t.Skip("SKIP: the journeys' packages are not installed: run npm ci in examples/dashboard")
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skip("SKIP: the journeys need Chromium")
	return ""
}

// startGateway runs the real binary with endpoints at good and bad, in pages of frames, and returns its site.
func startGateway(t *testing.T, good, bad, frames string) string {
	t.Helper()
	catalog, err := filepath.Abs("../atoship/events.json")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	return runGateway(t, dir, caddyfile, catalog, good, dir, frames, bad)
}

// runGateway runs the real binary with a Caddyfile, in which the first value is its port, and returns its site.
func runGateway(t *testing.T, dir, text string, more ...any) string {
	t.Helper()
	bin, err := rig.Build(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	ports, err := rig.Ports(1)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "Caddyfile")
	if err := os.WriteFile(path, fmt.Appendf(nil, text, append([]any{ports[0]}, more...)...), 0o600); err != nil {
		t.Fatal(err)
	}
	gateway, err := rig.Start(bin, path, dir, "DASHBOARD_TOKEN="+token, "WEBHOOKS_KEY=ZGFzaGJvYXJkIHN0b3JlIGtleSAwMDAwMDAwMDAwMDE=",
		"PAST_SECRET=whsec_ZGFzaGJvYXJkIHNlY3JldCAwMDAwMDAwMDAwMDAwMDE=")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := gateway.Stop(); err != nil {
			t.Errorf("%v\n%s", err, gateway.LogTail())
		}
	})
	addr := fmt.Sprintf("127.0.0.1:%d", ports[0])
	if err := gateway.Ready(t.Context(), addr); err != nil {
		t.Fatalf("%v\n%s", err, gateway.LogTail())
	}
	return "http://" + addr
}
