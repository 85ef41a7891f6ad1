package httpapi

import (
	"net/http"
	"strings"
	"testing"

	"github.com/atoship/caddy-webhooks/delivery"
)

func TestARouteFixesEnvironmentAndTenant(t *testing.T) {
	t.Parallel()
	e := newFake(t)
	h := e.ingest()
	h.Environment, h.Tenant = "sandbox", "acme"
	cases := []struct {
		name, members string
		status        int
		pointer       string
	}{
		{"an event that names none", ``, 202, ""},
		{"an event that names the same", `"environment":"sandbox","tenant":"acme",`, 202, ""},
		{"an event that names another environment", `"environment":"production",`, 422, "/environment"},
		{"an event that names another tenant", `"tenant":"evil",`, 422, "/tenant"}, // one tenant must not write as another
	}
	for _, c := range cases {
		status, _, body := do(h, post("application/json", `{`+c.members+`"event":"x","data":1}`))
		if status != c.status || !strings.Contains(body, c.pointer) {
			t.Errorf("%s: %d %s", c.name, status, body)
		}
		if ev := e.last(); ev.Environment != "sandbox" || ev.Tenant != "acme" {
			t.Errorf("%s: environment %q, tenant %q", c.name, ev.Environment, ev.Tenant)
		}
	}
}

func TestTheFirstDeclaredEnvironmentIsTheDefault(t *testing.T) {
	t.Parallel()
	e := newFake(t)
	e.plan.Intake.Environments = []string{"live", "test"}
	do(e.ingest(), post("application/json", `{"event":"x","data":1}`))
	if got := e.last().Environment; got != "live" {
		t.Errorf("environment %q", got)
	}
}

func TestAWrappedBodyBecomesTheData(t *testing.T) {
	t.Parallel()
	e := newFake(t)
	e.catalog(t, `{"events":[{"type":"shop.received","schema":{"properties":{"n":{"type":"number"}}}}]}`)
	h := e.ingest()
	h.Wrap, h.Status = "shop.received", http.StatusOK
	h.VerifiedID = func(r *http.Request) string { return r.Header.Get("Webhook-Id") }

	status, _, body := do(h, post("application/vnd.shop+json", ` [ 1.0 ] `, "Webhook-Id", "msg_1", "CDN-Loop", "caddy-webhooks"))
	if status != 200 || !strings.HasPrefix(body, `{"id":"msg_1","duplicate":false,`) {
		t.Fatalf("%d %s", status, body)
	}
	ev := e.last()
	if ev.Type != "shop.received" || !ev.GivenID || string(ev.Data()) != "[1]" || !strings.HasPrefix(string(ev.Body), `{"event":"shop.received",`) {
		t.Errorf("event %s", summary(ev))
	}
	if _, _, body := do(h, post("application/json", `[1]`, "Webhook-Id", "msg_1")); !strings.Contains(body, `"duplicate":true`) {
		t.Errorf("a redelivery: %s", body)
	}
	if status, _, _ := do(h, post("application/json", `[2]`, "Webhook-Id", "msg_1")); status != 409 {
		t.Errorf("the same id with other content: %d", status)
	}
	if status, _, body := do(h, post("application/json", `{"n":"1"}`)); status != 422 || !strings.Contains(body, `"pointer":"/n"`) {
		t.Errorf("a schema violation: %d %s", status, body)
	}
	if status, _, body := do(h, post("application/json", `{"n":1e999}`)); status != 422 || !strings.Contains(body, `"pointer":"/n"`) {
		t.Errorf("a number JavaScript would change: %d %s", status, body)
	}
	if status, _, _ := do(h, post("text/plain", `1`)); status != 415 {
		t.Errorf("text: %d", status)
	}
	if status, _, _ := do(h, post("application/json", `1`, "CDN-Loop", "caddy-webhooks")); status != 508 {
		t.Errorf("a loop that nobody verified: %d", status)
	}
}

func TestAVerifiedIDOfAnotherShapeStaysItself(t *testing.T) {
	t.Parallel()
	a, b := eventID("a/b c"), eventID("a/b d")
	if !validID(a) || a == b || a != eventID("a/b c") || eventID("msg_1") != "msg_1" || eventID("") != "" {
		t.Errorf("%q %q", a, b)
	}
	e := newFake(t)
	h := e.ingest()
	h.VerifiedID = func(*http.Request) string { return "verified" }
	do(h, post("application/json", `[{"event":"x","data":1},{"event":"x","data":1,"id":"own"}]`))
	if e.taken[0].GivenID || e.taken[1].ID != "own" {
		t.Errorf("in a batch: %q, %q", e.taken[0].ID, e.taken[1].ID)
	}
	do(h, post("application/json", `{"event":"x","data":1,"id":"own2"}`))
	if e.last().ID != "own2" {
		t.Errorf("beside an id in the body: %q", e.last().ID)
	}
}

func TestFanOutAndNothingAtAllAreShown(t *testing.T) {
	t.Parallel()
	ds := []*delivery.Delivery{{ID: "dlv_1", Chain: []string{"a"}, Route: "r"}, {ID: "dlv_2", Chain: []string{"b", "c", "d"}, Route: "endpoint:b"}}
	got := string(appendReceipts(nil, []delivery.Receipt{{EventID: "e", Deliveries: ds}, {EventID: "f", Duplicate: true}}, true))
	want := `{"events":[{"id":"e","duplicate":false,"deliveries":[{"id":"dlv_1","endpoint":"a","backups":[],"route":"r"},` +
		`{"id":"dlv_2","endpoint":"b","backups":["c","d"],"route":"endpoint:b"}]},{"id":"f","duplicate":true,"deliveries":[]}]}` + "\n"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
