package httpapi

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/retry"
	"github.com/atoship/caddy-webhooks/delivery/sign"
	"github.com/atoship/caddy-webhooks/delivery/store/memory"
)

var _ Engine = (*delivery.Engine)(nil)

// oneRoute sends every event to orders.
type oneRoute struct{}

func (oneRoute) Digest() string { return "d" }

func (oneRoute) Route(context.Context, *delivery.Event) (delivery.Decision, error) {
	return delivery.Decision{Targets: []delivery.Target{{Route: "r", Primary: "orders"}}}, nil
}

// noSignature leaves requests unsigned.
type noSignature struct{}

func (noSignature) Sign(http.Header, *sign.Message) error { return nil }

// flaky answers 503 once and then 200, and keeps what it was sent.
type flaky struct{ bodies []string }

func (f *flaky) RoundTrip(r *http.Request) (*http.Response, error) {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	f.bodies = append(f.bodies, string(b))
	status := http.StatusOK
	if len(f.bodies) == 1 {
		status = http.StatusServiceUnavailable
	}
	return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader("busy")), ContentLength: -1}, nil
}

func TestFromPostToDeliveredThroughTheRealEngine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, err := delivery.Open(t.Context(), delivery.Config{Store: memory.New(), Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		current := func() Engine { return e }
		h := &Ingest{Engine: current, Auth: OpenAuth()}
		if status, _, _ := do(h, post("application/json", sent)); status != 503 {
			t.Errorf("before a plan: %d", status)
		}
		orders := &flaky{}
		err = e.Apply(&delivery.Plan{
			Router: oneRoute{}, Dedupe: time.Hour, Expire: delivery.DefaultExpire, Retention: delivery.DefaultRetention,
			Drain: time.Second, MaxInFlight: 16,
			Endpoints: map[string]*delivery.Endpoint{"orders": {
				Name: "orders", URL: &url.URL{Scheme: "https", Host: "orders"}, Signer: noSignature{}, Retry: retry.Default(),
				Timeout: time.Second, Concurrency: 1, Transport: orders,
			}},
		})
		if err != nil {
			t.Fatal(err)
		}
		status, _, receipt := do(h, post("application/json", sent))
		if status != 202 {
			t.Fatalf("%d %s", status, receipt)
		}
		time.Sleep(2 * time.Minute) // of the bubble: past the first retry
		synctest.Wait()

		id := receipt[strings.Index(receipt, "dlv_"):]
		_, _, body := do(NewAPI(func() Gateway { return e }, nil), get("/deliveries/"+id[:strings.IndexByte(id, '"')]))
		for _, want := range []string{`"state":"delivered"`, `"n":1,`, `"status":503`, `"excerpt":"busy"`, `"n":2,`, `"status":200`, `"attempts_count":2`} {
			if !strings.Contains(body, want) {
				t.Errorf("no %s in %s", want, body)
			}
		}
		const form = `{"event":"label.created","timestamp":"2024-01-15T10:30:00Z","data":{"label_id":"lbl_abc123"}}`
		if len(orders.bodies) != 2 || orders.bodies[0] != form || orders.bodies[1] != form {
			t.Errorf("sent %q", orders.bodies)
		}
		if status, _, body := do(h, post("application/json", sent)); status != 200 {
			t.Errorf("a repeat: %d %s", status, body)
		}
		if status, _, _ := do(h, post("application/json", strings.Replace(sent, "lbl_abc123", "other", 1))); status != 409 {
			t.Errorf("a conflict: %d", status)
		}
		if err := e.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if status, _, body := do(h, post("application/json", sent)); status != 503 || !strings.Contains(body, "stopping") {
			t.Errorf("after the stop: %d %s", status, body)
		}
	})
}
