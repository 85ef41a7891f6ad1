package httpapi

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/egress"
)

func get(path string) *http.Request { return httptest.NewRequest(http.MethodGet, path, http.NoBody) }

// journal answers with what a test puts in.
type journal struct {
	delivery.Journal

	event    *delivery.EventRecord
	delivery *delivery.DeliveryRecord
	page     delivery.DeliveryPage
	plan     *delivery.Plan
	err      error
	query    delivery.DeliveryQuery // last one asked
	tenant   *string
}

func (j *journal) Event(_ context.Context, _ string, tenant *string) (*delivery.EventRecord, error) {
	j.tenant = tenant
	return j.event, j.err
}

func (j *journal) Delivery(context.Context, string) (*delivery.DeliveryRecord, error) {
	return j.delivery, j.err
}

func (j *journal) Deliveries(_ context.Context, q delivery.DeliveryQuery) (delivery.DeliveryPage, error) {
	j.query = q
	return j.page, j.err
}

type readEngine struct {
	Gateway

	j *journal
}

func (e readEngine) Journal() delivery.Journal { return e.j }
func (e readEngine) Plan() *delivery.Plan      { return e.j.plan }

func (j *journal) api() *API {
	return NewAPI(func() Gateway { return readEngine{j: j} }, slog.New(slog.DiscardHandler))
}

func clock(s string) time.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err)
	}
	return t
}

// failing is a delivery that failed at its primary, was lost in a crash, moved to its backup and ended there.
func failing() *delivery.DeliveryRecord {
	ev := &delivery.Event{
		ID: "evt_1", Type: "label.created", Environment: "production", Tenant: "acme", Timestamp: "2024-01-15T10:30:00Z",
		Accepted: clock("2026-01-01T00:00:00.001Z"), ContentType: "application/json", Digest: "d1",
		Body: []byte(`{"event":"label.created","timestamp":"2024-01-15T10:30:00Z","data":"<&>"}`), DataStart: 67, DataEnd: 72,
	}
	d := &delivery.Delivery{Event: ev, ID: "dlv_1", Route: "labels", Chain: []string{"orders", "orders-dr"}}
	step := func(p delivery.Progress, t delivery.Transition) delivery.Transition {
		p.Step = d.Step + 1
		d.Progress, t.Progress = p, p
		return t
	}
	return &delivery.DeliveryRecord{Delivery: d, Transitions: []delivery.Transition{
		step(delivery.Progress{Attempts: 1, Due: clock("2026-01-01T00:01:00Z")}, delivery.Transition{
			At: clock("2026-01-01T00:00:01Z"), Kind: delivery.Attempted, Attempt: &delivery.Attempt{
				N: 1, Endpoint: "orders", Address: "203.0.113.1:443", Started: clock("2026-01-01T00:00:00.9Z"),
				Duration: 99900 * time.Microsecond, Status: 503, Outcome: "http_error", Detail: "503", Excerpt: []byte("grün\xc3"),
				ResponseBytes: 40000, RetryAfter: clock("2026-01-01T00:01:00Z"), TraceID: "0af7651916cd43dd8448eb211c80319c",
				Timing:         egress.Timing{DNS: 1200 * time.Microsecond, TLS: 20 * time.Millisecond, FirstByte: 70_001 * time.Nanosecond},
				Request:        &delivery.RequestHead{ID: 1, Text: "https://orders.example/hooks\nX-Atoship-Attempt: \x07\nX-Atoship-Event-Id: \x02\n"},
				ResponseFields: []byte("retry-after: 60\nSet-Cookie: …\n…\n"),
			},
		}),
		step(delivery.Progress{Attempts: 2, Due: clock("2026-01-01T00:02:00Z")}, delivery.Transition{
			At: clock("2026-01-01T00:01:30Z"), Kind: delivery.Lost,
			Attempt: &delivery.Attempt{N: 2, Endpoint: "orders", Started: clock("2026-01-01T00:01:00Z"), Outcome: "unknown"},
		}),
		step(delivery.Progress{Attempts: 2, Target: 1, Due: clock("2026-01-01T00:02:00Z")}, delivery.Transition{
			At: clock("2026-01-01T00:02:00Z"), Kind: delivery.Moved, Note: "breaker open at orders",
		}),
		step(delivery.Progress{Attempts: 3, Target: 1, Spent: 3, State: delivery.Exhausted, Reason: delivery.ReasonSchedule}, delivery.Transition{
			At: clock("2026-01-01T00:02:01Z"), Kind: delivery.Attempted, Attempt: &delivery.Attempt{
				N: 3, Endpoint: "orders-dr", Started: clock("2026-01-01T00:02:00Z"), Duration: time.Second, Status: 500,
				Outcome: "http_error", Excerpt: []byte("\xff\xfe"), ResponseBytes: 2,
			},
		}),
	}}
}

const (
	eventJSON = `"id":"evt_1","type":"label.created","environment":"production","tenant":"acme","timestamp":"2024-01-15T10:30:00Z",` +
		`"accepted":"2026-01-01T00:00:00.001Z","routing":"routed","digest":"d1","content_type":"application/json"`
	payloadJSON  = `,"payload":{"event":"label.created","timestamp":"2024-01-15T10:30:00Z","data":"<&>"}`
	deliveryTail = `"endpoint":"orders","backups":["orders-dr"],"route":"labels","state":"exhausted","target":"orders-dr","attempts_count":3,"reason":"schedule"`
)

func TestADeliveryShowsEveryTryAndEveryStep(t *testing.T) {
	t.Parallel()
	j := &journal{delivery: failing(), plan: &delivery.Plan{TraceURL: "https://jaeger.example.com/trace/{trace_id}"}}
	status, header, body := do(j.api(), get("/deliveries/dlv_1"))
	want := `{"id":"dlv_1","event":{` + eventJSON + payloadJSON + `},` + deliveryTail + `,"attempts":[` +
		`{"n":1,"endpoint":"orders","address":"203.0.113.1:443","started":"2026-01-01T00:00:00.900Z","duration_ms":99,` +
		`"timing":{"dns_ms":1.2,"tls_ms":20,"first_byte_ms":0.07},"status":503,"outcome":"http_error","detail":"503",` +
		`"request":{"method":"POST","url":"https://orders.example/hooks","headers":{"X-Atoship-Attempt":["1"],"X-Atoship-Event-Id":["evt_1"]}},` +
		`"response":{"headers":{"Retry-After":["60"],"Set-Cookie":["…"]},"headers_truncated":true,"excerpt":"grün","bytes":40000,"truncated":true},` +
		`"retry_after":"2026-01-01T00:01:00.000Z","trace_id":"0af7651916cd43dd8448eb211c80319c",` +
		`"trace_url":"https://jaeger.example.com/trace/0af7651916cd43dd8448eb211c80319c"},` +
		`{"n":2,"endpoint":"orders","started":"2026-01-01T00:01:00.000Z","duration_ms":0,"outcome":"unknown","response":{"excerpt":"","bytes":0}},` +
		`{"n":3,"endpoint":"orders-dr","started":"2026-01-01T00:02:00.000Z","duration_ms":1000,"status":500,"outcome":"http_error",` +
		`"response":{"excerpt":"//4=","base64":true,"bytes":2}}],"transitions":[` +
		`{"at":"2026-01-01T00:00:01.000Z","kind":"attempted","attempt":1,"state":"pending","target":"orders","due":"2026-01-01T00:01:00.000Z"},` +
		`{"at":"2026-01-01T00:01:30.000Z","kind":"lost","attempt":2,"state":"pending","target":"orders","due":"2026-01-01T00:02:00.000Z"},` +
		`{"at":"2026-01-01T00:02:00.000Z","kind":"moved","note":"breaker open at orders","state":"pending","target":"orders-dr","due":"2026-01-01T00:02:00.000Z"},` +
		`{"at":"2026-01-01T00:02:01.000Z","kind":"attempted","attempt":3,"state":"exhausted","target":"orders-dr","reason":"schedule"}]}` + "\n"
	if status != 200 || body != want {
		t.Errorf("%d\ngot  %s\nwant %s", status, body, want)
	}
	for k, v := range map[string]string{"Content-Type": "application/json", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"} {
		if got := header.Get(k); got != v {
			t.Errorf("%s: %q, want %q", k, got, v)
		}
	}
}

func TestATenantIsNotShownWhatIsSentToEndpointsOfOthers(t *testing.T) {
	t.Parallel()
	rec := failing()
	head := &delivery.RequestHead{ID: 1, Text: "https://orders.example/hooks\n"}
	for i := range rec.Transitions {
		if a := rec.Transitions[i].Attempt; a != nil {
			a.Request = head
		}
	}
	j := &tenantJournal{&journal{delivery: rec}, "acme", func(endpoint string) bool { return endpoint == "orders-dr" }}
	got, err := j.Delivery(t.Context(), "dlv_1")
	if err != nil {
		t.Fatal(err)
	}
	for _, tr := range got.Transitions {
		if a := tr.Attempt; a != nil && (a.Request != nil) != (a.Endpoint == "orders-dr") {
			t.Errorf("attempt %d at %s shows %+v", a.N, a.Endpoint, a.Request)
		}
	}
}

func TestAnEventShowsItsPayloadAndItsDeliveries(t *testing.T) {
	t.Parallel()
	d := failing().Delivery
	j := &journal{event: &delivery.EventRecord{Event: d.Event, Deliveries: []*delivery.Delivery{d}}}
	_, _, body := do(j.api(), get("/events/evt_1"))
	if want := `{` + eventJSON + payloadJSON + `,"deliveries":[{"id":"dlv_1",` + deliveryTail + `}]}` + "\n"; body != want {
		t.Errorf("got  %s\nwant %s", body, want)
	}
	if j.tenant != nil {
		t.Errorf("tenant %q", *j.tenant)
	}
	do(j.api(), get("/events/evt_1?tenant="))
	if j.tenant == nil || *j.tenant != "" {
		t.Error("the empty tenant is a tenant")
	}

	ev := &delivery.Event{ID: "e", Type: "x", Environment: "p", ContentType: "text/plain", Body: []byte("\xffa"), Routing: delivery.Undecided, Held: []string{"r"}}
	ev.TraceParent, ev.Span = "00-01-02-01", delivery.SpanContext{TraceID: [16]byte{0xab, 15: 1}, SpanID: [8]byte{1}, Flags: 1}
	j.event, j.plan = &delivery.EventRecord{Event: ev}, &delivery.Plan{TraceURL: "https://t/{trace_id}"}
	_, _, body = do(j.api(), get("/events/e"))
	want := `{"id":"e","type":"x","environment":"p","timestamp":"","accepted":"0001-01-01T00:00:00.000Z","routing":"undecided","held":["r"],` +
		`"traceparent":"00-01-02-01","trace_id":"ab000000000000000000000000000001","trace_url":"https://t/ab000000000000000000000000000001",` +
		`"content_type":"text/plain","payload_base64":"/2E=","deliveries":[]}` + "\n"
	if body != want {
		t.Errorf("got  %s\nwant %s", body, want)
	}
}

func TestAPageOfDeliveries(t *testing.T) {
	t.Parallel()
	d := failing().Delivery
	d.State, d.Reason, d.Due = delivery.Pending, "", clock("2026-01-01T00:05:00Z")
	j := &journal{page: delivery.DeliveryPage{Items: []*delivery.Delivery{d}, Next: "c2"}}
	status, _, body := do(j.api(), get("/deliveries?state=pending&endpoint=orders&type=label.created&event=evt_1&latest=true&"+
		"since=2026-01-01T01:00:00%2B01:00&until=2026-02-01T00:00:00Z&limit=7&cursor=c1"))
	want := `{"items":[{"id":"dlv_1","event":{` + eventJSON + `},"endpoint":"orders","backups":["orders-dr"],"route":"labels","state":"pending",` +
		`"target":"orders-dr","attempts_count":3,"due":"2026-01-01T00:05:00.000Z"}],"next":"c2"}` + "\n"
	if status != 200 || body != want {
		t.Errorf("%d\ngot  %s\nwant %s", status, body, want)
	}
	q := j.query
	if q.State == nil || *q.State != delivery.Pending || q.Endpoint != "orders" || q.Type != "label.created" || q.EventID != "evt_1" || !q.Latest ||
		!q.Since.Equal(clock("2026-01-01T00:00:00Z")) || !q.Until.Equal(clock("2026-02-01T00:00:00Z")) || q.Limit != 7 || q.Cursor != "c1" {
		t.Errorf("query %+v", q)
	}
	j.page = delivery.DeliveryPage{}
	r := get("/")
	r.URL.Path = "deliveries" // as http.StripPrefix with a final slash leaves it
	if _, _, body := do(j.api(), r); body != `{"items":[],"next":""}`+"\n" || j.query != (delivery.DeliveryQuery{Limit: 50}) {
		t.Errorf("an empty page: %s after %+v", body, j.query)
	}
}

func TestReadsThatAreRefused(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, method, path string
		err                error
		want               string
	}{
		{name: "no path", path: "/", want: `"Not Found","status":404,"detail":"there is nothing at this path"`},
		{name: "an unknown path", path: "/nowhere", want: `"Not Found","status":404,"detail":"there is nothing at this path"`},
		{name: "a path that is not clean", path: "/events/../deliveries", want: `"Not Found","status":404,"detail":"there is nothing at this path"`},
		{name: "a slash at the end", path: "/deliveries/", want: `"Not Found","status":404,"detail":"there is nothing at this path"`},
		{name: "another method", method: "DELETE", path: "/events/evt_1", want: `"Method Not Allowed","status":405,"detail":"this path takes GET, HEAD"`},
		{name: "an id no event can have", path: "/events/a%2Fb", want: `"Not Found","status":404,"detail":"there is no event with such an id"`},
		{name: "an id no delivery can have", path: "/deliveries/%00", want: `"Not Found","status":404,"detail":"there is no delivery with such an id"`},
		{name: "an unknown event", path: "/events/e", err: delivery.ErrNotFound, want: `"Not Found","status":404,"detail":"there is no such event, or it is past retention"`},
		{name: "a misspelt filter", path: "/deliveries?stat=pending", want: `"Bad Request","status":400,"detail":"unknown parameter; this path takes state, endpoint, type, event, tenant, latest, since, until, limit, cursor","parameter":"stat"`},
		{name: "a filter where there is none", path: "/deliveries/d?limit=1", want: `"Bad Request","status":400,"detail":"unknown parameter; this path takes none","parameter":"limit"`},
		{name: "a filter given twice", path: "/deliveries?limit=1&limit=2", want: `"Bad Request","status":400,"detail":"given twice","parameter":"limit"`},
		{name: "an empty filter", path: "/deliveries?endpoint=", want: `"Bad Request","status":400,"detail":"must not be empty: leave it out","parameter":"endpoint"`},
		{name: "an unknown state", path: "/deliveries?state=failed", want: `"Bad Request","status":400,"detail":"must be one of pending, delivered, exhausted, cancelled","parameter":"state"`},
		{name: "something else than latest", path: "/deliveries?latest=1", want: `"Bad Request","status":400,"detail":"must be true, or left out","parameter":"latest"`},
		{name: "a limit of nothing", path: "/deliveries?limit=0", want: `"Bad Request","status":400,"detail":"must be a number from 1 to 500","parameter":"limit"`},
		{name: "a limit past the cap", path: "/deliveries?limit=501", want: `"Bad Request","status":400,"detail":"must be a number from 1 to 500","parameter":"limit"`},
		{name: "a time that is none", path: "/deliveries?since=yesterday", want: `"Bad Request","status":400,"detail":"a timestamp is RFC 3339, such as 2024-01-15T10:30:00Z or 2024-01-15T10:30:00.123+01:00","parameter":"since"`},
		{name: "a huge value", path: "/deliveries?type=" + strings.Repeat("x", 513), want: `"Bad Request","status":400,"detail":"longer than 512 bytes","parameter":"type"`},
		{name: "a query that is not encoded", path: "/deliveries?a=%zz", want: `"Bad Request","status":400,"detail":"the query is not URL-encoded"`},
		{name: "a cursor of somewhere else", path: "/deliveries?cursor=x", err: delivery.ErrCursor, want: `"Bad Request","status":400,"detail":"not one that a page before gave out as next","parameter":"cursor"`},
		{name: "no store", path: "/deliveries", err: delivery.ErrUnavailable, want: `"Service Unavailable","status":503,"detail":"the store cannot be read now"`},
		{name: "a fault nobody foresaw", path: "/deliveries", err: errors.New("secret"), want: `"Internal Server Error","status":500,"detail":"reading failed because of a fault of the gateway"`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			j := &journal{err: c.err}
			r := get("/")
			if c.method != "" {
				r.Method = c.method
			}
			target, err := r.URL.Parse("http://x" + c.path)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(c.path, "..") {
				target.Path = c.path
			}
			r.URL = target
			status, header, body := do(j.api(), r)
			if want := `{"type":"about:blank","title":` + c.want + "}\n"; body != want {
				t.Errorf("got  %s\nwant %s", body, want)
			}
			if (status == 405) != (header.Get("Allow") == "GET, HEAD") || (status == 503) != (header.Get("Retry-After") == "5") {
				t.Errorf("%d, Allow %q, Retry-After %q", status, header.Get("Allow"), header.Get("Retry-After"))
			}
		})
	}
	a := NewAPI(func() Gateway { return nil }, nil)
	if status, _, _ := do(a, get("/deliveries")); status != 503 {
		t.Errorf("without an engine: %d", status)
	}
}

func TestWhatIngestTookCanBeReadBack(t *testing.T) {
	t.Parallel()
	e := newFake(t)
	do(e.ingest(), post("application/json", `{"event":"fan.out","id":"e1","data":[1]}`))
	do(e.ingest(), post("application/json", `{"event":"nowhere","id":"e2","data":[1]}`))
	_, _, body := do(e.api(), get("/events/e1"))
	if strings.Count(body, `"id":"dlv_`) != 2 || !strings.Contains(body, `"data":[1]}`) || !strings.Contains(body, `"route":"endpoint:audit"`) {
		t.Errorf("event: %s", body)
	}
	_, _, body = do(e.api(), get("/deliveries?endpoint=audit&state=pending"))
	id := body[strings.Index(body, "dlv_"):]
	id = id[:strings.IndexByte(id, '"')]
	if _, _, one := do(e.api(), get("/deliveries/"+id)); !strings.Contains(one, `"endpoint":"audit"`) || !strings.Contains(one, `"attempts":[],"transitions":[]`) {
		t.Errorf("delivery %s: %s", id, one)
	}
	if _, _, body = do(e.api(), get("/events/e2")); !strings.Contains(body, `"routing":"unrouted"`) {
		t.Errorf("unrouted: %s", body)
	}
}
