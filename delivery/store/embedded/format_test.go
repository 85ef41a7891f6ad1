package embedded_test

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/egress"
	"github.com/atoship/caddy-webhooks/delivery/store/embedded"
	"github.com/atoship/caddy-webhooks/delivery/store/storetest"
)

// formatOne unpacks a store that the last program of format 1 wrote (commit 0369cf9), with a bit of everything in it.
func formatOne(t *testing.T) (dir string) {
	t.Helper()
	f, err := os.Open("testdata/format1.tar.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return filepath.Join(dir, "format1")
		}
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(dir, filepath.FromSlash(h.Name)) //nolint:gosec // our own archive
		if h.Typeflag == tar.TypeDir {
			err = os.MkdirAll(name, 0o700)
		} else {
			var b []byte
			if b, err = io.ReadAll(io.LimitReader(r, 1<<20)); err == nil {
				err = os.WriteFile(name, b, 0o600)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// oldStore is a store of format 1 as this program opens it.
type oldStore struct {
	*testing.T

	dir string
	s   *embedded.Store
}

func (o *oldStore) open() {
	o.Helper()
	s, err := embedded.Open(o.Context(), embedded.Options{Dir: o.dir})
	if err != nil {
		o.Fatal(err)
	}
	o.s = s
	o.Cleanup(func() { _ = s.Close() })
	if err := s.Attach(&storetest.Recorder{}); err != nil {
		o.Fatal(err)
	}
}

// delivery of an event, the only one, with all that happened to it.
func (o *oldStore) delivery(event string) *delivery.DeliveryRecord {
	o.Helper()
	ev, err := o.s.Event(o.Context(), event, nil)
	if err != nil {
		o.Fatal(err)
	}
	r, err := o.s.Delivery(o.Context(), ev.Deliveries[0].ID)
	if err != nil {
		o.Fatal(err)
	}
	return r
}

func TestAStoreOfFormatOneIsReadAndWorkedOn(t *testing.T) {
	t.Parallel()
	o := &oldStore{T: t, dir: formatOne(t)}
	o.open()
	if text, err := os.ReadFile(filepath.Join(o.dir, "FORMAT")); err != nil || strings.TrimSpace(string(text)) != "caddy-webhooks embedded store, format 2" {
		t.Errorf("FORMAT says %q, %v", text, err)
	}
	o.wantAsWritten()

	// What was due goes on, and leaves attempts of the present format behind those of the old one.
	lane, err := o.s.Lease(t.Context(), "orders")
	if err != nil {
		t.Fatal(err)
	}
	if state, err := lane.State(t.Context()); err != nil || !state.Paused || !state.Seen || state.URL != "https://orders.example.com/hooks" {
		t.Errorf("the lane's state is %+v, %v", state, err)
	}
	got, err := lane.Claim(t.Context(), delivery.Claim{Now: time.Now().Add(time.Hour), Max: 10, MaxBytes: 1 << 20})
	if err != nil || len(got.Deliveries) != 3 {
		t.Fatalf("claimed %d deliveries, %v; want those that waited, failed and were handed over", len(got.Deliveries), err)
	}
	for _, d := range got.Deliveries {
		p := d.Progress
		p.Step++
		p.Attempts++
		p.State = delivery.Delivered
		a := &delivery.Attempt{
			N: p.Attempts, Endpoint: "orders", Started: time.Now(), Status: 200, Outcome: "delivered",
			Timing: egress.Timing{FirstByte: time.Millisecond}, Request: &delivery.RequestHead{ID: 7, Text: "https://orders.example.com/hooks\n"},
		}
		tr := delivery.Transition{At: time.Now(), Kind: delivery.Attempted, Attempt: a, Progress: p}
		if errs := o.s.Settle(t.Context(), []delivery.Settlement{{Delivery: d, Step: d.Step, Transition: tr}}); errs[0] != nil {
			t.Fatal(errs[0])
		}
	}
	if err := o.s.Close(); err != nil {
		t.Fatal(err)
	}
	o.open()
	r := o.delivery("failed")
	if first := r.Transitions[0].Attempt; len(r.Transitions) != 2 || string(first.Excerpt) != "later" || first.BodyHash[31] != 7 {
		t.Errorf("the old attempt is %+v, of %d", first, len(r.Transitions))
	}
	if last := r.Transitions[1].Attempt; last.Timing.FirstByte != time.Millisecond || last.Request == nil || last.Request.ID != 7 {
		t.Errorf("the new attempt is %+v", last)
	}
}

// wantAsWritten wants all of the old store to be there.
func (o *oldStore) wantAsWritten() {
	o.Helper()
	if c, err := o.s.Counts(o.Context()); err != nil || c.Events != 9 || c.Delivered != 3 || c.Pending != 5 {
		o.Errorf("counts %+v, %v", c, err)
	}
	r := o.delivery("delivered")
	a := r.Transitions[0].Attempt
	if r.Delivery.State != delivery.Delivered || string(a.Excerpt) != "noted" || a.TraceID != "0af7651916cd43dd8448eb211c80319c" || a.BodyHash != nil ||
		a.Request != nil || a.ResponseFields != nil || a.Timing != (egress.Timing{}) || !r.Delivery.Event.Span.Valid() || !r.Delivery.Span.Valid() {
		o.Errorf("the delivered one is %+v, its attempt %+v", r.Delivery, a)
	}
	a = o.delivery("failed").Transitions[0].Attempt
	if a.Status != 503 || a.Detail != "busy" || len(a.BodyHash) != 32 || a.RetryAfter.IsZero() {
		o.Errorf("the failed attempt is %+v", a)
	}
	if ev := o.delivery("tested").Delivery.Event; !ev.Test {
		o.Errorf("the test event is %+v", ev)
	}
	if ev := o.delivery("erased").Delivery.Event; !ev.Erased || len(ev.Body) > 0 {
		o.Errorf("the erased event is %+v", ev)
	}
	if ts := o.delivery("handed").Transitions; len(ts) != 1 || ts[0].Kind != delivery.Lost {
		o.Errorf("what was handed over has %+v", ts)
	}
	if ev, err := o.s.Event(o.Context(), "unrouted", nil); err != nil || ev.Event.Routing != delivery.Unrouted || string(ev.Event.Data()) != `{"n":1}` {
		o.Errorf("the unrouted event is %+v, %v", ev, err)
	}
	page, err := o.s.Attempts(o.Context(), delivery.AttemptQuery{})
	if err != nil || len(page.Items) != 6 {
		o.Errorf("%d attempts are listed, %v", len(page.Items), err)
	}
}
