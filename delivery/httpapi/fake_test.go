package httpapi

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/payload"
	"github.com/atoship/caddy-webhooks/delivery/store/memory"
)

// fakeEngine plans by event type over the memory store and delivers nothing.
type fakeEngine struct {
	store *memory.Store
	plan  *delivery.Plan
	err   error             // of Accept, instead of accepting
	taken []*delivery.Event // accepted, in order
}

// plans says where events of a type go; other types go nowhere.
var plans = map[string][]delivery.Delivery{
	"label.created": {{Route: "labels", Chain: []string{"orders", "orders-dr"}}},
	"fan.out":       {{Route: "all", Chain: []string{"orders"}}, {Route: "endpoint:audit", Chain: []string{"audit"}}},
}

func newFake(t testing.TB) *fakeEngine {
	t.Helper()
	e := &fakeEngine{store: memory.New(), plan: &delivery.Plan{Dedupe: time.Hour}}
	e.plan.Intake.MaxBody = 4 << 10
	if err := e.store.Attach(holdAll{}); err != nil {
		t.Fatal(err)
	}
	return e
}

func (e *fakeEngine) Plan() *delivery.Plan      { return e.plan }
func (e *fakeEngine) Journal() delivery.Journal { return e.store }

func (e *fakeEngine) Accept(ctx context.Context, evs []*delivery.Event) ([]delivery.Receipt, error) {
	if e.err != nil {
		return nil, e.err
	}
	batch := make([]delivery.Accept, len(evs))
	for i, ev := range evs {
		batch[i] = delivery.Accept{Event: ev, Dedupe: e.plan.Dedupe}
		for _, d := range plans[ev.Type] {
			d.Due = ev.Accepted
			batch[i].Deliveries = append(batch[i].Deliveries, &d)
		}
		if batch[i].Deliveries == nil {
			ev.Routing = delivery.Unrouted
		}
	}
	rs, err := e.store.Append(ctx, batch)
	if err == nil {
		e.taken = append(e.taken, evs...)
	}
	return rs, err
}

func (e *fakeEngine) get() Engine     { return e }
func (e *fakeEngine) ingest() *Ingest { return &Ingest{Engine: e.get, Auth: OpenAuth()} }
func (e *fakeEngine) api() *API       { return NewAPI(e.gateway, nil) }
func (e *fakeEngine) gateway() Gateway {
	return struct {
		Engine
		operator
	}{e, nil}
}
func (e *fakeEngine) last() *delivery.Event { return e.taken[len(e.taken)-1] }

// operator is the part of a Gateway that these tests leave out.
type operator interface {
	Tester
	Watcher
	Condition
	Redeliverer
	Replayer
	Manager
	Keeper
	Documents() delivery.Documents
	Endpoints() []delivery.EndpointStatus
	Endpoint(name string) (delivery.EndpointStatus, error)
	Pause(ctx context.Context, name string) error
	Resume(ctx context.Context, name string) error
}

// catalog makes the plan accept only the types of a catalog file.
func (e *fakeEngine) catalog(t testing.TB, file string) {
	t.Helper()
	c, err := payload.LoadCatalog([]byte(file), "test")
	if err != nil {
		t.Fatal(err)
	}
	e.plan.Intake.Catalog = c
}

// holdAll leaves every delivery waiting in the store.
type holdAll struct{}

func (holdAll) Reserve(*delivery.Delivery) bool           { return false }
func (holdAll) Committed(*delivery.Delivery, bool, error) {}
func (holdAll) Queued(string, time.Time)                  {}
func (holdAll) Lost(string)                               {}

// post is a request to publish; header is a list of names and values.
func post(contentType, body string, header ...string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/events", strings.NewReader(body))
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	for pair := range slices.Chunk(header, 2) {
		r.Header.Add(pair[0], pair[1])
	}
	return r
}

// do serves one request.
func do(h http.Handler, r *http.Request) (status int, header http.Header, body string) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	b, _ := io.ReadAll(w.Body)
	return w.Code, w.Header(), string(b)
}
