package httpapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
)

// sent is the guide's label.created event.
const sent = `{"id":"evt_1","event":"label.created","timestamp":"2024-01-15T10:30:00Z","data":{"label_id":"lbl_abc123"}}`

func TestAnEventIsAcceptedInOurForm(t *testing.T) {
	t.Parallel()
	e := newFake(t)
	status, header, body := do(e.ingest(), post("application/json; charset=UTF-8",
		` {"data": {"b":1.50, "1":"\u00e9"}, "type":"label.created", "source":"/shop", "tenant":"acme"}`,
		"Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "Tracestate", "a=1", "Tracestate", "b=2"))
	if status != http.StatusAccepted {
		t.Fatalf("status %d: %s", status, body)
	}
	want := regexp.MustCompile(`^\{"id":"(evt_[0-9a-z]{26})","duplicate":false,"deliveries":` +
		`\[\{"id":"dlv_[^"]+","endpoint":"orders","backups":\["orders-dr"\],"route":"labels"\}\]\}` + "\n$")
	m := want.FindStringSubmatch(body)
	if m == nil {
		t.Fatalf("body %s", body)
	}
	for k, v := range map[string]string{
		"Content-Type": "application/json", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff",
	} {
		if got := header.Get(k); got != v {
			t.Errorf("%s: %q, want %q", k, got, v)
		}
	}
	ev := e.last()
	stamp := ev.Accepted.Format("2006-01-02T15:04:05Z")
	if got, want := string(ev.Body), `{"event":"label.created","timestamp":"`+stamp+`","data":{"1":"é","b":1.5}}`; got != want {
		t.Errorf("body %s, want %s", got, want)
	}
	if got, want := string(ev.Data()), `{"1":"é","b":1.5}`; got != want {
		t.Errorf("data %s, want %s", got, want)
	}
	got := fmt.Sprint(ev.ID, ev.GivenID, ev.Type, ev.Environment, ev.Tenant, ev.Source, ev.ContentType, ev.TraceParent, ev.TraceState)
	if want := fmt.Sprint(m[1], false, "label.created", "production", "acme", "/shop", "application/json",
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "a=1,b=2"); got != want {
		t.Errorf("event %s, want %s", got, want)
	}
	if ev.Accepted.Location() != time.UTC || ev.Accepted.Nanosecond()%1e6 != 0 || time.Since(ev.Accepted) > time.Minute {
		t.Errorf("accepted %v", ev.Accepted)
	}
}

func TestARepeatedEventIsAnsweredWithTheFirstReceipt(t *testing.T) {
	t.Parallel()
	e := newFake(t)
	h := e.ingest()
	s1, _, first := do(h, post("application/json", sent))
	s2, _, again := do(h, post("application/json", strings.ReplaceAll(sent, `,"`, ` , "`))) // white space is no content
	if s1 != 202 || s2 != 200 {
		t.Errorf("statuses %d, %d, want 202, 200", s1, s2)
	}
	if want := strings.Replace(first, `"duplicate":false`, `"duplicate":true`, 1); again != want {
		t.Errorf("answer %s, want %s", again, want)
	}
	if s, _, body := do(h, post("application/json", strings.Replace(sent, `"id"`, `"source":"/b","id"`, 1))); s != 202 {
		t.Errorf("the same id of another source: %d %s", s, body)
	}
}

func TestATimestampWeFillInIsNoContent(t *testing.T) {
	t.Parallel()
	e := newFake(t)
	read := func(at time.Time) *delivery.Event {
		in := intake{h: e.ingest(), plan: e.plan}
		in.prepare()
		in.now = at
		ev, p := in.event([]byte(`{"id":"e","event":"x","data":1}`))
		if p != nil {
			t.Fatal(p)
		}
		return ev
	}
	now := time.Now()
	first, later := read(now), read(now.Add(time.Hour))
	if first.Timestamp == later.Timestamp || first.Hash != later.Hash {
		t.Errorf("timestamps %s, %s; hashes %x, %x", first.Timestamp, later.Timestamp, first.Hash, later.Hash)
	}
}

func TestBatches(t *testing.T) {
	t.Parallel()
	receipt := func(id string, duplicate bool) string {
		return fmt.Sprintf(`{"id":"%s","duplicate":%v,"deliveries":[]}`, id, duplicate)
	}
	both := fmt.Sprintf(`{"events":[%s,%s]}`+"\n", receipt("a", false), receipt("b", false))
	cases := []struct {
		name, contentType, body string
		status                  int
		want                    string
	}{
		{"an array", "application/json", ` [{"id":"a","event":"x","data":1},{"id":"b","event":"x","data":2}]`, 202, both},
		{
			"lines, some of them blank", "application/x-ndjson",
			"\n{\"id\":\"a\",\"event\":\"x\",\"data\":1}\r\n \n{\"id\":\"b\",\"event\":\"x\",\"data\":2}", 202, both,
		},
		{"an array of one is still a batch", "application/json", `[{"id":"a","event":"x","data":1}]`, 202, `{"events":[` + receipt("a", false) + "]}\n"},
		{
			"some known", "application/json", `[{"id":"a","event":"x","data":1},{"id":"known","event":"x","data":0}]`, 202,
			`{"events":[` + receipt("a", false) + "," + receipt("known", true) + "]}\n",
		},
		{"all known", "application/json", `[{"id":"known","event":"x","data":0}]`, 200, `{"events":[` + receipt("known", true) + "]}\n"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := newFake(t).ingest()
			do(h, post("application/json", `{"id":"known","event":"x","data":0}`))
			status, _, body := do(h, post(c.contentType, c.body))
			if status != c.status || body != c.want {
				t.Errorf("%d %s, want %d %s", status, body, c.status, c.want)
			}
		})
	}
}

func TestABatchIsAllOrNothing(t *testing.T) {
	t.Parallel()
	e := newFake(t)
	status, _, body := do(e.ingest(), post("application/json", `[{"event":"x","data":1},{"event":"x","data":1},{"event":"x"}]`))
	if status != 422 || !strings.Contains(body, `"index":2`) || len(e.taken) != 0 {
		t.Errorf("%d %s, %d taken", status, body, len(e.taken))
	}
}

func TestIngestRefuses(t *testing.T) {
	t.Parallel()
	const js = "application/json"
	long := strings.Repeat("x", 5<<10)
	cases := []struct {
		name, contentType, body string
		header                  []string
		want                    string // status text and the rest of the problem
	}{
		{name: "nothing", contentType: js, want: `"Bad Request","status":400,"detail":"the text ends here, expected an object (at byte 0)"`},
		{name: "text that is not JSON", contentType: js, body: `{"event":}`, want: `"Bad Request","status":400,"detail":"found \"}\", expected a string (at byte 9)","pointer":"/event"`},
		{name: "two objects", contentType: js, body: sent + sent, want: `"Bad Request","status":400,"detail":"found \"{\\\"id\\\":\\\"evt_1\", expected the end of the text (at byte 106)"`},
		{name: "bytes that are not UTF-8", contentType: js, body: "{\"event\":\"x\",\"data\":\"\xff\"}", want: `"Bad Request","status":400,"detail":"invalid UTF-8 (at byte 21)","pointer":"/data"`},
		{name: "a batch that is cut off", contentType: js, body: `[{"event":"x","data":1}`, want: `"Bad Request","status":400,"detail":"the text ends here, expected ',' or ']' (at byte 23)"`},
		{name: "a syntax error in a batch", contentType: js, body: `[{"event":"x","data":1},{"event":"x","data":tru}]`, want: `"Bad Request","status":400,"detail":"found \"tru}\", expected a value (at byte 20)","pointer":"/data","index":1`},
		{name: "a syntax error in a line", contentType: "application/x-ndjson", body: "\n{\"event\":\"x\",\"data\":1}\n\n{", want: `"Bad Request","status":400,"detail":"the text ends here, expected a member name in double quotes (at byte 1)","index":1`},
		{name: "a number JavaScript would change", contentType: js, body: `{"event":"x","data":{"n":[9007199254740993]}}`, want: `"Unprocessable Entity","status":422,"detail":"JavaScript would read this number as 9007199254740992: send it as a string","pointer":"/data/n/0"`},
		{name: "a member given twice", contentType: js, body: `{"event":"x","data":{"a":1,"a":1}}`, want: `"Unprocessable Entity","status":422,"detail":"this member is given twice in one object","pointer":"/data/a"`},
		{name: "an unknown member", contentType: js, body: `{"event":"x","data":1,"tennant":"a"}`, want: `"Unprocessable Entity","status":422,"detail":"there is no such member: did you mean \"tenant\"?","pointer":"/tennant"`},
		{name: "no event type", contentType: js, body: `{"data":1}`, want: `"Unprocessable Entity","status":422,"detail":"the event type is missing","pointer":"/event"`},
		{name: "an event type that would break a header", contentType: js, body: `{"event":"a\r\nX: b","data":1}`, want: `"Unprocessable Entity","status":422,"detail":"an event type is 1 to 128 characters out of A-Z a-z 0-9 _.-, not \"a\\r\\nX: b\"","pointer":"/event"`},
		{name: "an id with other characters", contentType: js, body: `{"event":"x","data":1,"id":"a/b"}`, want: `"Unprocessable Entity","status":422,"detail":"an event id is 1 to 128 characters out of A-Z a-z 0-9 _-, not \"a/b\"","pointer":"/id"`},
		{name: "an empty batch", contentType: js, body: ` [ ] `, want: `"Unprocessable Entity","status":422,"detail":"a batch holds at least one event"`},
		{name: "no lines", contentType: "application/x-ndjson", body: "\n\n", want: `"Unprocessable Entity","status":422,"detail":"a batch holds at least one event"`},
		{name: "a batch of scalars", contentType: js, body: `[1]`, want: `"Unprocessable Entity","status":422,"detail":"this is a number, it must be an object","index":0`},
		{name: "an undeclared environment", contentType: js, body: `{"event":"x","data":1,"environment":"sandbux"}`, want: `"Unprocessable Entity","status":422,"detail":"unknown environment \"sandbux\": did you mean \"sandbox\"?","pointer":"/environment"`},
		{name: "an unknown event type", contentType: js, body: `{"event":"label.create","data":1}`, want: `"Unprocessable Entity","status":422,"detail":"unknown event type \"label.create\": did you mean \"label.created\"?","pointer":"/event"`},
		{name: "data its schema refuses", contentType: js, body: `[{"event":"strict","data":{"n":"1"}}]`, want: `"Unprocessable Entity","status":422,"detail":"the schema says: got string, want number","pointer":"/data/n","index":0`},
		{name: "a single event over the cap", contentType: js, body: ` {"event":"x","data":"` + long + `"}`, want: `"Request Entity Too Large","status":413,"detail":"the body is larger than the 4096 bytes taken here"`},
		{name: "an event of a batch over the cap", contentType: js, body: `[{"event":"x","data":1},{"event":"x","data":"` + long + `"}]`, want: `"Request Entity Too Large","status":413,"detail":"the event is larger than the 4096 bytes taken here","index":1`},
		{name: "an event that grows over the cap", contentType: js, body: `{"event":"x","data":[1e20` + strings.Repeat(",1e20", 300) + `]}`, want: `"Request Entity Too Large","status":413,"detail":"the event as it would be sent is larger than the 4096 bytes taken here"`},
		{name: "a batch over its cap", contentType: js, body: "[" + strings.Repeat(" ", 64<<10), want: `"Request Entity Too Large","status":413,"detail":"the body is larger than the 65536 bytes taken here"`},
		{name: "1001 events in an array", contentType: js, body: "[0" + strings.Repeat(",0", 1000) + "]", want: `"Request Entity Too Large","status":413,"detail":"a batch is at most 1000 events","pointer":"/1000"`},
		{name: "1001 lines", contentType: "application/x-ndjson", body: strings.Repeat("0\n", 1001), want: `"Request Entity Too Large","status":413,"detail":"a batch is at most 1000 events: send several requests"`},
		{name: "no media type", body: sent, want: `"Unsupported Media Type","status":415,"detail":"Content-Type is missing or malformed: send application/json"`},
		{name: "a malformed media type", contentType: "json;;", body: sent, want: `"Unsupported Media Type","status":415,"detail":"Content-Type is missing or malformed: send application/json"`},
		{name: "a form", contentType: "application/x-www-form-urlencoded", body: sent, want: `"Unsupported Media Type","status":415,"detail":"this media type is not taken here: send application/json, or this body as a binary CloudEvent"`},
		{name: "another charset", contentType: "application/json; charset=iso-8859-1", body: sent, want: `"Unsupported Media Type","status":415,"detail":"charset must be utf-8"`},
		{name: "two media types", contentType: js, body: sent, header: []string{"Content-Type", "text/plain"}, want: `"Unsupported Media Type","status":415,"detail":"Content-Type is given twice"`},
		{name: "a compressed body", contentType: js, body: sent, header: []string{"Content-Encoding", "gzip"}, want: `"Unsupported Media Type","status":415,"detail":"send the body without Content-Encoding"`},
		{name: "a delivery of our own", contentType: js, body: sent, header: []string{"CDN-Loop", "a.example, Caddy-Webhooks; v=1"}, want: `"Loop Detected","status":508,"detail":"this is a delivery of a gateway like this one: taking it in would loop"`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e := newFake(t)
			e.plan.Intake.Environments = []string{"production", "sandbox"}
			if strings.Contains(c.name, "type") || strings.Contains(c.name, "schema") {
				e.catalog(t, `{"events":[{"type":"label.created"},{"type":"strict","schema":{"properties":{"n":{"type":"number"}}}}]}`)
			}
			status, header, body := do(e.ingest(), post(c.contentType, c.body, c.header...))
			want := `{"type":"about:blank","title":` + c.want + "}\n"
			if body != want {
				t.Errorf("got  %s\nwant %s", body, want)
			}
			if !strings.Contains(want, fmt.Sprintf(`"status":%d,`, status)) || header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("status %d, Content-Type %s", status, header.Get("Content-Type"))
			}
			if len(e.taken) != 0 {
				t.Error("an event was taken")
			}
		})
	}
}

func TestAMediaTypeThatIsRefusedLearnsWhatIsTaken(t *testing.T) {
	t.Parallel()
	h := newFake(t).ingest()
	if _, header, _ := do(h, post("text/plain", "")); header.Get("Accept-Post") != acceptPost {
		t.Errorf("Accept-Post %q", header.Get("Accept-Post"))
	}
	if _, header, _ := do(h, post("application/json", "", "Content-Encoding", "br")); header.Get("Accept-Encoding") != "identity" {
		t.Errorf("Accept-Encoding %q", header.Get("Accept-Encoding"))
	}
}

// An event keeps its bytes while the memory of its request serves others.
func TestConcurrentRequestsDoNotShareMemory(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	kept := map[string]*delivery.Event{}
	e := &keepEngine{keep: func(ev *delivery.Event) {
		mu.Lock()
		defer mu.Unlock()
		kept[ev.ID] = ev
	}}
	h := &Ingest{Engine: func() Engine { return e }, Auth: OpenAuth()}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 50 {
				id := fmt.Sprintf("e-%d-%d", g, i)
				ev := fmt.Sprintf(`{"id":%q,"event":"x","tenant":%[1]q,"timestamp":"2024-01-15T10:30:00Z","data":%[1]q}`, id)
				ce := []string{"Ce-Specversion", "1.0", "Ce-Id", "ce-" + id, "Ce-Source", id, "Ce-Type", "x"}
				for _, r := range []*http.Request{
					post("application/json", ev), post("text/plain", id, ce...),
					post("application/json", "["+strings.Replace(ev, `"e-`, `"batch-`, 1)+"]"),
				} {
					if status, _, body := do(h, r); status != 202 {
						t.Errorf("%d %s", status, body)
					}
				}
			}
		})
	}
	wg.Wait()
	if len(kept) != 8*50*3 {
		t.Errorf("%d events", len(kept))
	}
	for id, ev := range kept {
		own := strings.TrimPrefix(strings.Replace(id, "batch-", "e-", 1), "ce-")
		want := `{"event":"x","timestamp":"2024-01-15T10:30:00Z","data":"` + own + `"}`
		if strings.HasPrefix(id, "ce-") {
			want = own
		}
		if string(ev.Body) != want || ev.Tenant+ev.Source != own {
			t.Fatalf("%s: %s", id, summary(ev))
		}
	}
}

// keepEngine accepts at once and keeps what it gets.
type keepEngine struct{ keep func(*delivery.Event) }

func (*keepEngine) Plan() *delivery.Plan      { return &delivery.Plan{} }
func (*keepEngine) Journal() delivery.Journal { return nil }

func (e *keepEngine) Accept(_ context.Context, evs []*delivery.Event) ([]delivery.Receipt, error) {
	rs := make([]delivery.Receipt, len(evs))
	for i, ev := range evs {
		e.keep(ev)
		rs[i].EventID = ev.ID
	}
	return rs, nil
}

func TestOtherMethodsAreNotAllowed(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"GET", "HEAD", "PUT", "OPTIONS"} {
		status, header, _ := do(newFake(t).ingest(), httptest.NewRequest(method, "/events", http.NoBody))
		if status != 405 || header.Get("Allow") != "POST" {
			t.Errorf("%s: %d, Allow %q", method, status, header.Get("Allow"))
		}
	}
}

func TestAnswersToWhatTheEngineSays(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, body, retryAfter string
		err                    error
		want                   string
	}{
		{
			name: "a conflict", err: fmt.Errorf("append: %w", &delivery.ConflictError{ID: "evt_1"}),
			want: `"Conflict","status":409,"detail":"event id evt_1 is known with other content: another event needs another id","pointer":"/id"`,
		},
		{
			name: "a conflict in a batch", body: `[{"event":"x","data":1},{"event":"x","data":1}]`, err: &delivery.ConflictError{ID: "evt_1", Index: 1},
			want: `"Conflict","status":409,"detail":"event id evt_1 is known with other content: another event needs another id","pointer":"/id","index":1`,
		},
		{
			name: "too many deliveries", err: delivery.ErrTooLarge,
			want: `"Request Entity Too Large","status":413,"detail":"these events have more deliveries than the 10000 of one commit: send fewer events at once"`,
		},
		{
			name: "no store", err: fmt.Errorf("disk full: %w", delivery.ErrUnavailable), retryAfter: "5",
			want: `"Service Unavailable","status":503,"detail":"the event could not be stored; nothing is promised: send again with the same id"`,
		},
		{
			name: "stopping", err: delivery.ErrStopping, retryAfter: "1",
			want: `"Service Unavailable","status":503,"detail":"the gateway is stopping; nothing is promised: send again with the same id"`,
		},
		{
			name: "a fault nobody foresaw", err: errors.New("secret detail"),
			want: `"Internal Server Error","status":500,"detail":"the event was not accepted because of a fault of the gateway; nothing is promised: send again with the same id"`,
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e := newFake(t)
			e.err = c.err
			h := e.ingest()
			h.Logger = slog.New(slog.DiscardHandler)
			if c.body == "" {
				c.body = sent
			}
			_, header, body := do(h, post("application/json", c.body))
			if want := `{"type":"about:blank","title":` + c.want + "}\n"; body != want {
				t.Errorf("got  %s\nwant %s", body, want)
			}
			if got := header.Get("Retry-After"); got != c.retryAfter {
				t.Errorf("Retry-After %q, want %q", got, c.retryAfter)
			}
		})
	}
}

func TestAPublisherThatLeavesIsPromisedNothing(t *testing.T) {
	t.Parallel()
	e := newFake(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	e.err = ctx.Err()
	if status, _, body := do(e.ingest(), post("application/json", sent).WithContext(ctx)); status != 503 {
		t.Errorf("%d %s", status, body)
	}
	r := post("application/json", "")
	r.Body = io.NopCloser(io.MultiReader(strings.NewReader(sent[:10]), broken{}))
	if status, _, body := do(newFake(t).ingest(), r); status != 400 {
		t.Errorf("%d %s", status, body)
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestBeforeThereIsAnEngineOrAPlan(t *testing.T) {
	t.Parallel()
	e := newFake(t)
	e.plan = nil
	for name, engine := range map[string]func() Engine{"engine": func() Engine { return nil }, "plan": e.get} {
		h := &Ingest{Engine: engine, Auth: OpenAuth()}
		if status, header, _ := do(h, post("application/json", sent)); status != 503 || header.Get("Retry-After") != "1" {
			t.Errorf("no %s: %d, Retry-After %q", name, status, header.Get("Retry-After"))
		}
	}
}
