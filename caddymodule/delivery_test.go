package caddymodule

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/atoship/caddy-webhooks/delivery/sign"
)

// guidePayload is the example of the customer guide, as a publisher would send it.
const guidePayload = `{
	"event": "label.created",
	"timestamp": "2024-01-15T10:30:00Z",
	"data": {
		"label_id": "lbl_abc123",
		"tracking_number": "9400111899223",
		"carrier": "USPS",
		"service": "Priority Mail",
		"order_id": "ord_xyz789"
	}
}`

func TestGuidesEventIsDeliveredSignedOverHTTPS(t *testing.T) {
	g := newGateway(t)
	if err := g.load(g.caddyfile(everything, ""), false); err != nil {
		t.Fatal(err)
	}
	status, answer := g.publish(guidePayload)
	if status != http.StatusAccepted {
		t.Fatalf("answered %d %s", status, answer)
	}
	r := g.next()
	const want = `{"event":"label.created","timestamp":"2024-01-15T10:30:00Z","data":{"label_id":"lbl_abc123",` +
		`"tracking_number":"9400111899223","carrier":"USPS","service":"Priority Mail","order_id":"ord_xyz789"}}`
	if r.path != "/all" || r.body != want {
		t.Errorf("delivered to %s:\n%s\nwant\n%s", r.path, r.body, want)
	}
	mac := hmac.New(sha256.New, []byte(testSecret))
	mac.Write([]byte(r.body))
	if got := r.header.Get("X-AtoShip-Signature"); got != "sha256="+hex.EncodeToString(mac.Sum(nil)) {
		t.Errorf("X-AtoShip-Signature is %q", got)
	}
	standard, _ := sign.Lookup("standard")
	v, err := standard.NewVerifier([]sign.Secret{{Value: testSecret}}, sign.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if id, err := v.Verify(r.header, []byte(r.body), time.Now()); err != nil || !strings.Contains(answer, id) {
		t.Errorf("Standard Webhooks signature of %q: %v", id, err)
	}
	if got := r.header.Get("User-Agent"); got != "AtoShip-Webhooks/dev" {
		t.Errorf("User-Agent is %q", got)
	}
}

// One gateway sends to an address of its own that verifies, keeps, and sends on: the receiving side of the docs.
func TestVerifiedWebhookIsKeptAndSentOnUnderItsOwnID(t *testing.T) {
	g := newGateway(t)
	config := g.caddyfile(`
		store embedded DIR/state
		endpoint partner {
			url http://ADDRESS/hooks
			secret {env.TEST_WEBHOOKS_SECRET}
			events label.*
		}
		endpoint app {
			url URL/app
			secret {env.TEST_WEBHOOKS_SECRET}
			events atoship.received
			when `+"`data.data.label_id == \"lbl_abc123\"`"+`
		}`, `
	webhooks_verify /hooks {
		signature standard
		secret {env.TEST_WEBHOOKS_SECRET}
	}
	webhooks_ingest /hooks {
		auth caddy
		tenant received
		wrap atoship.received
		status 200
	}`)
	if err := g.load(config, false); err != nil {
		t.Fatal(err)
	}
	status, answer := g.publish(guidePayload)
	if status != http.StatusAccepted {
		t.Fatalf("answered %d %s", status, answer)
	}
	r := g.next()
	if id := r.header.Get("X-AtoShip-Event-Id"); id == "" || !strings.Contains(answer, id) {
		t.Errorf("sent on under the id %q, published as %s", id, answer)
	}
	if !strings.HasPrefix(r.body, `{"event":"atoship.received","timestamp":"`) || !strings.Contains(r.body, `"label_id":"lbl_abc123"`) {
		t.Errorf("sent on as %s", r.body)
	}
}

func TestEventsAndDeliveriesAreReadAtTheAdminEndpoint(t *testing.T) {
	g := newGateway(t)
	if err := g.load(g.caddyfile(everything, ""), false); err != nil {
		t.Fatal(err)
	}
	g.publish(`{"id":"evt_read","event":"label.created","data":{"n":1}}`)
	g.next()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	defer cancel()
	admin := new(Admin)
	if err := admin.Provision(ctx); err != nil {
		t.Fatal(err)
	}
	get := func(path string) (int, string) {
		t.Helper()
		w := httptest.NewRecorder()
		for _, route := range admin.Routes() {
			if strings.HasPrefix(path, route.Pattern) {
				if err := route.Handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil)); err != nil {
					t.Fatal(err)
				}
			}
		}
		return w.Code, w.Body.String()
	}
	if status, body := get("/webhooks/events/evt_read"); status != http.StatusOK || !strings.Contains(body, `"evt_read"`) {
		t.Errorf("reading the event: %d %s", status, body)
	}
	var page struct {
		Items []struct{ ID, Endpoint, State string }
	}
	err := settled(func() bool {
		_, body := get("/webhooks/deliveries")
		page.Items = nil
		return json.Unmarshal([]byte(body), &page) == nil && len(page.Items) == 1 && page.Items[0].State == "delivered"
	})
	if err != nil {
		t.Fatalf("the delivery is not shown as delivered: %+v", page)
	}
	if status, body := get("/webhooks/deliveries/" + page.Items[0].ID); status != http.StatusOK || !strings.Contains(body, `"attempts":[{`) {
		t.Errorf("reading the delivery: %d %s", status, body)
	}
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	if status, _ := get("/webhooks/deliveries"); status != http.StatusServiceUnavailable {
		t.Errorf("after the stop the answer is %d", status)
	}
}
