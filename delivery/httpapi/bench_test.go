package httpapi

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/atoship/caddy-webhooks/delivery"
)

// instantEngine accepts at once, so that only the handler is measured.
type instantEngine struct {
	plan     *delivery.Plan
	receipts []delivery.Receipt
}

func (e *instantEngine) Plan() *delivery.Plan      { return e.plan }
func (e *instantEngine) Journal() delivery.Journal { return nil }

func (e *instantEngine) Accept(context.Context, []*delivery.Event) ([]delivery.Receipt, error) {
	return e.receipts, nil
}

// discard is a ResponseWriter that keeps nothing.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}

// single returns a function that serves the guide's event, without an id of its own, once more.
func single() func() {
	e := &instantEngine{plan: &delivery.Plan{}, receipts: []delivery.Receipt{{
		EventID: "evt_01", Deliveries: []*delivery.Delivery{{ID: "dlv_01", Chain: []string{"orders", "orders-dr"}, Route: "labels"}},
	}}}
	h := &Ingest{Engine: func() Engine { return e }, Auth: TokenAuth("t0ken-1", "t0ken-2")}
	text := []byte(`{"event":"label.created","timestamp":"2024-01-15T10:30:00Z","data":{"label_id":"lbl_abc123","tracking":"9400111899223"}}`)
	body := bytes.NewReader(text)
	r := httptest.NewRequest(http.MethodPost, "/events", http.NoBody)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer t0ken-2")
	r.ContentLength, r.Body = int64(len(text)), io.NopCloser(body)
	w := discard{header: make(http.Header)}
	return func() {
		body.Reset(text)
		h.ServeHTTP(w, r)
	}
}

func BenchmarkIngestSingle(b *testing.B) {
	serve := single()
	b.ReportAllocs()
	for b.Loop() {
		serve()
	}
}
