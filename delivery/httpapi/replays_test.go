package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/store/memory"
)

// endpointOf answers every request with a status.
type endpointOf struct {
	mu     sync.Mutex
	status int
	events []string
}

func (e *endpointOf) RoundTrip(r *http.Request) (*http.Response, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.events = append(e.events, r.Header.Get("X-AtoShip-Event-Id"))
	return &http.Response{StatusCode: e.status, Body: http.NoBody}, nil
}

func (e *endpointOf) answer(status int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.status = status
}

// lostRoute sends all but events of the type lost to orders.
type lostRoute struct{}

func (lostRoute) Digest() string { return "d" }

func (lostRoute) Route(_ context.Context, ev *delivery.Event) (d delivery.Decision, _ error) {
	if ev.Type != "lost" {
		d.Targets = []delivery.Target{{Route: "r", Primary: "orders"}}
	}
	return d, nil
}

// operating runs f in a bubble with the API of a real engine that has one endpoint.
func operating(t *testing.T, f func(t *testing.T, ask func(method, path, body string) (int, map[string]any), ep *endpointOf)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		e, err := delivery.Open(t.Context(), delivery.Config{Store: memory.New(), Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		ep := &endpointOf{status: 200}
		plan := &delivery.Plan{
			Router: lostRoute{}, Endpoints: map[string]*delivery.Endpoint{"orders": {
				Name: "orders", URL: &url.URL{Scheme: "https", Host: "orders"}, Signer: noSignature{}, Transport: ep, Timeout: time.Second, Concurrency: 4,
			}},
			HeaderPrefix: "X-AtoShip", Dedupe: time.Hour, Expire: time.Hour, Retention: time.Hour, MaxInFlight: 10,
		}
		plan.Intake.MaxBody = 4 << 10
		if err := e.Apply(plan); err != nil {
			t.Fatal(err)
		}
		api := NewAPI(func() Gateway { return e }, slog.New(slog.DiscardHandler))
		ingest := &Ingest{Engine: func() Engine { return e }, Auth: OpenAuth()}
		f(t, func(method, path, body string) (int, map[string]any) {
			t.Helper()
			r := httptest.NewRequest(method, path, strings.NewReader(body))
			r.Header.Set("Content-Type", "application/json")
			w := httptest.NewRecorder()
			if path == "/ingest" {
				ingest.ServeHTTP(w, r)
			} else {
				api.ServeHTTP(w, r)
			}
			var v map[string]any
			if err := json.NewDecoder(io.TeeReader(w.Body, io.Discard)).Decode(&v); err != nil {
				t.Fatalf("%s %s: %d and no JSON: %v", method, path, w.Code, err)
			}
			synctest.Wait()
			return w.Code, v
		}, ep)
		if err := e.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func publishOne(t *testing.T, ask func(method, path, body string) (int, map[string]any), eventType, id string) (dlv string) {
	t.Helper()
	status, v := ask("POST", "/ingest", fmt.Sprintf(`{"event":%q,"id":%q,"data":{}}`, eventType, id))
	if status != http.StatusAccepted {
		t.Fatalf("publishing: %d %v", status, v)
	}
	if ds, _ := v["deliveries"].([]any); len(ds) > 0 {
		dlv, _ = ds[0].(map[string]any)["id"].(string)
	}
	return dlv
}

func TestDeliveryIsSentAgainAndCancelledOverHTTP(t *testing.T) {
	t.Parallel()
	operating(t, func(t *testing.T, ask func(string, string, string) (int, map[string]any), ep *endpointOf) {
		id := publishOne(t, ask, "x", "e1")
		status, v := ask("POST", "/deliveries/"+id+"/redeliver", "")
		if status != http.StatusAccepted || v["endpoint"] != "orders" || v["replay"] == nil || v["id"] == id || v["route"] != "r" {
			t.Errorf("redelivered: %d %v", status, v)
		}
		if len(ep.events) != 2 || ep.events[1] != "e1" {
			t.Errorf("sent %v", ep.events)
		}
		if status, v = ask("POST", "/deliveries/"+id+"/cancel", "{}"); status != http.StatusConflict || v["detail"] != "the delivery has ended: it is delivered" {
			t.Errorf("cancelling what is delivered: %d %v", status, v)
		}
		if status, _ = ask("POST", "/endpoints/orders/pause", ""); status != http.StatusOK {
			t.Fatalf("pause: %d", status)
		}
		waiting := publishOne(t, ask, "x", "e2")
		if status, v = ask("POST", "/deliveries/"+waiting+"/cancel", ""); status != http.StatusOK || v["state"] != "cancelled" {
			t.Errorf("cancelling what waits: %d %v", status, v)
		}
	})
}

func TestEventIsReplayedAndRoutedOverHTTP(t *testing.T) {
	t.Parallel()
	operating(t, func(t *testing.T, ask func(string, string, string) (int, map[string]any), ep *endpointOf) {
		publishOne(t, ask, "x", "e1")
		publishOne(t, ask, "lost", "e2")
		status, v := ask("POST", "/events/e1/replay", "")
		if ds, _ := v["deliveries"].([]any); status != http.StatusAccepted || len(ds) != 1 || v["id"] != "e1" {
			t.Errorf("replayed: %d %v", status, v)
		}
		if status, v = ask("POST", "/events/e2/replay", ""); status != http.StatusConflict {
			t.Errorf("replaying what nobody got: %d %v", status, v)
		}
		if status, v = ask("POST", "/events/e2/replay?tenant=", `{"endpoint":"orders"}`); status != http.StatusAccepted {
			t.Errorf("replayed to one: %d %v", status, v)
		}
		if len(ep.events) != 3 || ep.events[2] != "e2" {
			t.Errorf("sent %v", ep.events)
		}
		if status, v = ask("POST", "/events/e2/route", ""); status != http.StatusOK || v["routing"] != "unrouted" {
			t.Errorf("routed by the same rules: %d %v", status, v)
		}
		if status, v = ask("POST", "/events/e1/route", ""); status != http.StatusConflict {
			t.Errorf("routing what is routed: %d %v", status, v)
		}
	})
}

func TestDeadLettersAreReplayedOverHTTP(t *testing.T) {
	t.Parallel()
	operating(t, func(t *testing.T, ask func(string, string, string) (int, map[string]any), ep *endpointOf) {
		ep.answer(404)
		for i := range 20 {
			publishOne(t, ask, "x", fmt.Sprint("e", i))
		}
		ep.answer(200)
		status, v := ask("POST", "/replays", `{"endpoint":"orders","state":"exhausted","since":"1999-12-31T23:00:00Z","dry_run":true}`)
		if status != http.StatusAccepted || v["status"] != "done" || v["matched"] != 20.0 || v["replayed"] != 0.0 {
			t.Errorf("dry run: %d %v", status, v)
		}
		status, v = ask("POST", "/replays", `{"rate":"100/s"}`)
		if status != http.StatusAccepted || v["state"] != "exhausted" {
			t.Errorf("started: %d %v", status, v)
		}
		time.Sleep(5 * time.Second)
		id, _ := v["id"].(string)
		if status, v = ask("GET", "/replays/"+id, ""); status != http.StatusOK || v["status"] != "done" || v["replayed"] != 20.0 || v["progress"] != 1.0 {
			t.Errorf("ended: %d %v", status, v)
		}
		if status, v = ask("POST", "/replays/"+id+"/cancel", ""); status != http.StatusOK || v["status"] != "done" {
			t.Errorf("cancelling what has ended: %d %v", status, v)
		}
		if len(ep.events) != 40 {
			t.Errorf("sent %d", len(ep.events))
		}
		_, v = ask("GET", "/replays?limit=1", "")
		first, _ := v["items"].([]any)
		next, _ := v["next"].(string)
		_, w := ask("GET", "/replays?limit=5&cursor="+next, "")
		if rest, _ := w["items"].([]any); len(first) != 1 || len(rest) != 1 || w["next"] != "" {
			t.Errorf("listed %v, then %v", v, w)
		}
	})
}

func TestReplaysThatAreRefused(t *testing.T) {
	t.Parallel()
	operating(t, func(t *testing.T, ask func(string, string, string) (int, map[string]any), _ *endpointOf) {
		for i := range 3 {
			publishOne(t, ask, "x", fmt.Sprint("e", i))
		}
		for _, c := range []struct {
			path, body string
			want       int
		}{
			{"/replays", `{"state":"pending"}`, 422},
			{"/replays", `{"state":1}`, 422},
			{"/replays", `{"rate":"fast"}`, 422},
			{"/replays", `{"since":"yesterday"}`, 422},
			{"/replays", `{"since":"2024-01-15T10:30:00Z","until":"2024-01-15T10:30:00Z"}`, 422},
			{"/replays", `{"endpoints":["a"]}`, 422},
			{"/replays", `{"type":"` + strings.Repeat("x", 600) + `"}`, 422},
			{"/replays", `{`, 400},
			{"/replays", `"` + strings.Repeat("x", 20<<10) + `"`, 413},
			{"/replays?rate=1", `{}`, 400},
			{"/replays", `{"endpoint":"nowhere"}`, 404},
			{"/replays/rpl_x/cancel", ``, 404},
			{"/replays/%00/cancel", ``, 404},
			{"/events/nobody/replay", ``, 404},
			{"/events/e1/replay", `{"endpoint":"nowhere"}`, 404},
			{"/events/e1/replay", `[]`, 422},
			{"/events/e1/route?x=1", ``, 400},
			{"/events/nobody/route", ``, 404},
			{"/deliveries/dlv_x/redeliver", ``, 404},
			{"/deliveries/dlv_x/redeliver", `{"now":true}`, 422},
			{"/deliveries/dlv_x/cancel", ``, 404},
		} {
			if status, v := ask("POST", c.path, c.body); status != c.want || v["status"] != float64(c.want) {
				t.Errorf("%s %.40s: %d %v, want %d", c.path, c.body, status, v, c.want)
			}
		}
		for i := range 5 {
			status, v := ask("POST", "/replays", `{"state":"delivered","rate":"1/h"}`)
			if want := map[bool]int{true: 429, false: 202}[i == 4]; status != want {
				t.Errorf("replay %d: %d %v", i, status, v)
			}
		}
	})
}
