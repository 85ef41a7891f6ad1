package httpapi

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/payload"
)

// tried is a gateway that notes the test event it is to send.
type tried struct {
	operated
	plan     *delivery.Plan
	endpoint string
	ev       *delivery.Event
	err      error
}

func (g *tried) Plan() *delivery.Plan { return g.plan }

func (g *tried) Test(_ context.Context, endpoint string, ev *delivery.Event) (*delivery.DeliveryRecord, error) {
	g.endpoint, g.ev = endpoint, ev
	if g.err != nil {
		return nil, g.err
	}
	ev.Test = true
	d := &delivery.Delivery{Event: ev, ID: "dlv_1", Route: delivery.TestRoute, Chain: []string{endpoint}}
	d.State, d.Attempts = delivery.Delivered, 1
	a := &delivery.Attempt{N: 1, Endpoint: endpoint, Status: 204, Outcome: "delivered"}
	return &delivery.DeliveryRecord{Delivery: d, Transitions: []delivery.Transition{{Attempt: a, Progress: d.Progress}}}, nil
}

func (g *tried) Check(_ context.Context, endpoint string, ev *delivery.Event) (*delivery.Check, error) {
	g.endpoint, g.ev = endpoint, ev
	return &delivery.Check{Endpoint: endpoint, At: time.Unix(0, 0), Steps: []delivery.CheckStep{
		{Name: "dns", Result: delivery.CheckOK, Summary: "found", Facts: map[string]string{"addresses": "192.0.2.1"}},
		{Name: "tls", Result: delivery.CheckFail, Summary: "expired", Advice: "renew", Took: 3 * time.Millisecond},
	}}, g.err
}

func newTried(t *testing.T, catalog string) *tried {
	t.Helper()
	g := &tried{plan: &delivery.Plan{}}
	g.plan.Intake.MaxBody = 1 << 10
	if catalog != "" {
		c, err := payload.LoadCatalog([]byte(catalog), "catalog.json")
		if err != nil {
			t.Fatal(err)
		}
		g.plan.Intake.Catalog = c
	}
	return g
}

func (g *tried) post(path, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	w := httptest.NewRecorder()
	NewAPI(func() Gateway { return g }, nil).ServeHTTP(w, r)
	return w
}

const twoTypes = `{"events":[{"type":"label.voided"},{"type":"label.created","example":{"label_id":"lbl_1"},"schema":{"required":["label_id"]}}]}`

func TestTestEventIsTheCatalogsExampleUnlessOneIsGiven(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ catalog, body, eventType, data string }{
		"nothing given, no catalog":    {"", "", "test.ping", `{}`},
		"nothing given":                {twoTypes, "", "label.created", `{"label_id":"lbl_1"}`},
		"an empty object":              {twoTypes, " {} ", "label.created", `{"label_id":"lbl_1"}`},
		"a type without example":       {twoTypes, `{"event":"label.voided"}`, "label.voided", `{}`},
		"a type and data":              {twoTypes, `{"event":"label.created","data":{"label_id":"x"}}`, "label.created", `{"label_id":"x"}`},
		"data that JavaScript prints":  {"", `{"data":{"b":1.0, "1":"é"}}`, "test.ping", `{"1":"é","b":1}`},
		"data of the catalog's choice": {twoTypes, `{"data":{"label_id":"y"}}`, "label.created", `{"label_id":"y"}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newTried(t, tc.catalog)
			w := g.post("/endpoints/orders/test", tc.body)
			if w.Code != 200 || g.endpoint != "orders" {
				t.Fatalf("%d %s for endpoint %q", w.Code, w.Body, g.endpoint)
			}
			if g.ev.Type != tc.eventType || string(g.ev.Data()) != tc.data || g.ev.Environment != "production" || g.ev.GivenID {
				t.Errorf("%s with %s, given id %v", g.ev.Type, g.ev.Data(), g.ev.GivenID)
			}
			if !strings.Contains(w.Body.String(), `"test":true`) || !strings.Contains(w.Body.String(), `"status":204`) {
				t.Errorf("the answer shows no test with its outcome: %s", w.Body)
			}
		})
	}
}

func TestTestRequestsThatCannotBeAreRefusedWithTheirPlace(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		body string
		code int
		says string
	}{
		"no JSON":              {`{`, 400, "detail"},
		"no object":            {`[1]`, 422, "event (a type)"},
		"an unknown member":    {`{"type":"label.created"}`, 422, "event (a type)"},
		"an unknown type":      {`{"event":"label.printed"}`, 422, `"pointer":"/event"`},
		"what the schema bars": {`{"event":"label.created","data":{}}`, 422, `"pointer":"/data`},
		"too much":             {`{"data":"` + strings.Repeat("x", 2<<10) + `"}`, 413, "1024 bytes"},
		"news of our own":      {`{"event":"webhooks.breaker_opened"}`, 422, "/event"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newTried(t, twoTypes)
			w := g.post("/endpoints/orders/test", tc.body)
			if w.Code != tc.code || !strings.Contains(w.Body.String(), tc.says) || g.ev != nil {
				t.Errorf("%d %s (sent: %v)", w.Code, w.Body, g.ev)
			}
		})
	}
	if w := newTried(t, "").post("/endpoints/orders/test?event=x", ""); w.Code != 400 {
		t.Errorf("a parameter: %d %s", w.Code, w.Body)
	}
}

func TestCheckShowsItsStepsAndTheWorstResult(t *testing.T) {
	t.Parallel()
	w := newTried(t, "").post("/endpoints/orders/check", "")
	want := `{"endpoint":"orders","at":"1970-01-01T00:00:00.000Z","result":"fail","steps":[` +
		`{"name":"dns","result":"ok","summary":"found","facts":{"addresses":"192.0.2.1"},"took_ms":0},` +
		`{"name":"tls","result":"fail","summary":"expired","advice":"renew","took_ms":3}]}`
	if got := strings.TrimSpace(w.Body.String()); w.Code != 200 || got != want {
		t.Errorf("%d %s", w.Code, got)
	}
}

func TestBusyTestsAskToComeBack(t *testing.T) {
	t.Parallel()
	for path, err := range map[string]error{"/endpoints/a/test": delivery.ErrBusy, "/endpoints/a/check": delivery.ErrBusy} {
		g := newTried(t, "")
		g.err = err
		if w := g.post(path, ""); w.Code != 429 || w.Header().Get("Retry-After") != "10" {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	g := newTried(t, "")
	g.err = delivery.ErrNotFound
	if w := g.post("/endpoints/a/check", ""); w.Code != 404 {
		t.Errorf("an unknown endpoint: %d", w.Code)
	}
}
