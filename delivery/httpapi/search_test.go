package httpapi

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/atoship/caddy-webhooks/delivery"
)

// searched is a journal that finds what a test puts in and keeps what it was asked.
type searched struct {
	delivery.Journal

	events   []delivery.EventPage
	attempts []delivery.AttemptPage
	err      error

	eventQueries   []delivery.EventQuery
	attemptQueries []delivery.AttemptQuery
}

func (s *searched) Events(_ context.Context, q delivery.EventQuery) (page delivery.EventPage, _ error) {
	s.eventQueries = append(s.eventQueries, q)
	if len(s.events) > 0 {
		page, s.events = s.events[0], s.events[1:]
	}
	return page, s.err
}

func (s *searched) Attempts(_ context.Context, q delivery.AttemptQuery) (page delivery.AttemptPage, _ error) {
	s.attemptQueries = append(s.attemptQueries, q)
	if len(s.attempts) > 0 {
		page, s.attempts = s.attempts[0], s.attempts[1:]
	}
	return page, s.err
}

type searchEngine struct {
	Gateway

	s *searched
}

func (e searchEngine) Journal() delivery.Journal { return e.s }
func (searchEngine) Plan() *delivery.Plan        { return &delivery.Plan{TraceURL: "https://t/{trace_id}"} }

func (s *searched) api() *API { return NewAPI(func() Gateway { return searchEngine{s: s} }, nil) }

func TestAPageOfEventsCountsTheirDeliveries(t *testing.T) {
	t.Parallel()
	d := failing().Delivery
	d.Event.Span = delivery.SpanContext{TraceID: [16]byte{0xab, 15: 1}, SpanID: [8]byte{1}, Flags: 1}
	s := &searched{events: []delivery.EventPage{{Next: "c2"}, {Items: []*delivery.EventRecord{{Event: d.Event, Deliveries: []*delivery.Delivery{d}}}, Next: "c3"}}}
	status, _, body := do(s.api(), get("/events?type=label.created&environment=production&tenant=&routing=undecided&"+
		"since=2026-01-01T00:00:00Z&until=2026-02-01T00:00:00Z&limit=7&cursor=c1"))
	traced := strings.Replace(eventJSON, `,"content_type"`, `,"trace_id":"ab000000000000000000000000000001","trace_url":"https://t/ab000000000000000000000000000001","content_type"`, 1)
	want := `{"items":[{` + traced + `,"deliveries":{"total":1,"pending":0,"delivered":0,"exhausted":1,"cancelled":0}}],"next":"c3"}` + "\n"
	if status != 200 || body != want {
		t.Errorf("%d\ngot  %s\nwant %s", status, body, want)
	}
	if len(s.eventQueries) != 2 || s.eventQueries[0].Cursor != "c1" || s.eventQueries[1].Cursor != "c2" {
		t.Fatalf("an empty page is looked behind: %+v", s.eventQueries)
	}
	q := s.eventQueries[0]
	if q.Type != "label.created" || q.Environment != "production" || q.Tenant == nil || *q.Tenant != "" || q.Limit != 7 ||
		q.Routing == nil || *q.Routing != delivery.Undecided || !q.Since.Equal(clock("2026-01-01T00:00:00Z")) || q.Until.IsZero() {
		t.Errorf("query %+v", q)
	}
}

func TestAPageOfAttempts(t *testing.T) {
	t.Parallel()
	rec := failing()
	tr := rec.Transitions[3]
	s := &searched{attempts: []delivery.AttemptPage{{Items: []*delivery.AttemptRecord{{
		DeliveryID: "dlv_1", Event: rec.Delivery.Event, At: tr.At, State: delivery.Exhausted, Attempt: tr.Attempt,
	}}}}}
	_, _, body := do(s.api(), get("/attempts?endpoint=orders-dr&outcome=http_error&status=5xx&tenant=acme"))
	want := `{"items":[{"delivery":"dlv_1","event":{` + eventJSON + `},"at":"2026-01-01T00:02:01.000Z","state":"exhausted",` +
		`"n":3,"endpoint":"orders-dr","started":"2026-01-01T00:02:00.000Z","duration_ms":1000,"status":500,"outcome":"http_error",` +
		`"response":{"excerpt":"//4=","base64":true,"bytes":2}}],"next":""}` + "\n"
	if body != want {
		t.Errorf("got  %s\nwant %s", body, want)
	}
	q := s.attemptQueries[0]
	if q.Endpoint != "orders-dr" || q.Outcome != "http_error" || q.StatusFrom != 500 || q.StatusTo != 599 || q.Tenant == nil || q.Limit != 50 {
		t.Errorf("query %+v", q)
	}
}

func TestSearchesThatAreRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		path, parameter, detail string
	}{
		{"/events?routing=lost", "routing", "must be one of routed, unrouted, undecided"},
		{"/events?state=pending", "state", "unknown parameter; this path takes type, environment, tenant, routing, since, until, limit, cursor"},
		{"/events?type=", "type", "must not be empty"},
		{"/events?limit=0", "limit", "must be a number from 1 to 500"},
		{"/attempts?outcome=failed", "outcome", "must be one of delivered, http_error"},
		{"/attempts?status=ok", "status", "must be a status, such as 503, or a class of them, such as 5xx"},
		{"/attempts?status=9xx", "status", "must be a status"},
		{"/attempts?status=-50", "status", "must be a status"},
		{"/attempts?until=soon", "until", "a timestamp is RFC 3339"},
	} {
		status, _, body := do(new(searched).api(), get(c.path))
		if status != http.StatusBadRequest || !strings.Contains(body, `"detail":"`+c.detail) || !strings.Contains(body, `"parameter":"`+c.parameter+`"`) {
			t.Errorf("%s: %d %s", c.path, status, body)
		}
	}
	if status, _, _ := do((&searched{err: delivery.ErrUnavailable}).api(), get("/attempts")); status != http.StatusServiceUnavailable {
		t.Errorf("without a store: %d", status)
	}
	if status, _, _ := do((&searched{err: errors.New("x")}).api(), get("/events")); status != http.StatusInternalServerError {
		t.Errorf("a fault: %d", status)
	}
}
