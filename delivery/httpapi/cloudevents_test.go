package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	"github.com/atoship/caddy-webhooks/delivery"
)

const (
	ceJSON  = "application/cloudevents+json"
	ceBatch = "application/cloudevents-batch+json"
)

// sdkEvent is what a publisher builds with the CloudEvents SDK.
func sdkEvent(t *testing.T, contentType string, data any) event.Event {
	t.Helper()
	ev := event.New()
	ev.SetID("ce-1")
	ev.SetSource("/shop")
	ev.SetType("com.example.label.created")
	ev.SetTime(time.Date(2024, 1, 15, 10, 30, 0, 123e6, time.UTC))
	ev.SetExtension("environment", "sandbox")
	ev.SetExtension("tenant", "acme")
	if err := ev.SetData(contentType, data); err != nil {
		t.Fatal(err)
	}
	return ev
}

// summary of what matters about an event, for comparison.
func summary(ev *delivery.Event) string {
	return fmt.Sprintf("%s %s %s %s %s %s %s %s %s", ev.ID, ev.Type, ev.Source, ev.Environment, ev.Tenant, ev.Timestamp,
		ev.ContentType, ev.Body, ev.Data())
}

func TestCloudEventsOfTheSDKArriveInEveryMode(t *testing.T) {
	t.Parallel()
	const (
		attributes = "ce-1 com.example.label.created /shop sandbox acme 2024-01-15T10:30:00.123Z "
		inOurForm  = attributes + `application/json {"event":"com.example.label.created","timestamp":"2024-01-15T10:30:00.123Z","data":{"a":"<é>"}} {"a":"<é>"}`
	)
	structured, binary := binding.WithForceStructured(t.Context()), binding.WithForceBinary(t.Context())
	cases := []struct {
		name, contentType string
		ctx               context.Context
		data              any
		want              string
	}{
		{"JSON, structured", "application/json", structured, map[string]string{"a": "<é>"}, inOurForm},
		{"JSON, binary", "application/json", binary, map[string]string{"a": "<é>"}, inOurForm},
		{"bytes, structured", "application/octet-stream", structured, []byte("\x00\xff"), attributes + "application/octet-stream \x00\xff "},
		{"bytes, binary", "application/octet-stream", binary, []byte("\x00\xff"), attributes + "application/octet-stream \x00\xff "},
		{"text, structured", "text/plain", structured, "a\nb", attributes + "text/plain a\nb "},
		{"text, binary", "text/plain", binary, "a\nb", attributes + "text/plain a\nb "},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r, err := cehttp.NewHTTPRequestFromEvent(c.ctx, "http://gateway/events", sdkEvent(t, c.contentType, c.data))
			if err != nil {
				t.Fatal(err)
			}
			e := newFake(t)
			if status, _, body := do(e.ingest(), r); status != 202 || !strings.HasPrefix(body, `{"id":"ce-1",`) {
				t.Fatalf("%d %s", status, body)
			}
			if got := summary(e.last()); got != c.want {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}

	t.Run("a batch", func(t *testing.T) {
		t.Parallel()
		second := sdkEvent(t, "text/plain", "hello")
		second.SetID("ce-2")
		r, err := cehttp.NewHTTPRequestFromEvents(t.Context(), "http://gateway/events",
			[]event.Event{sdkEvent(t, "application/json", map[string]string{"a": "<é>"}), second})
		if err != nil {
			t.Fatal(err)
		}
		e := newFake(t)
		status, _, body := do(e.ingest(), r)
		if status != 202 || !strings.HasPrefix(body, `{"events":[{"id":"ce-1",`) || len(e.taken) != 2 {
			t.Fatalf("%d %s", status, body)
		}
		if got := summary(e.taken[0]); got != inOurForm {
			t.Errorf("first: %s", got)
		}
		if got := string(e.taken[1].Body); got != "hello" {
			t.Errorf("second: %s", got)
		}
	})
}

func TestTheModesOfACloudEventAreOneEvent(t *testing.T) {
	t.Parallel()
	h := newFake(t).ingest()
	for i, ctx := range []context.Context{binding.WithForceStructured(t.Context()), binding.WithForceBinary(t.Context())} {
		for _, contentType := range []string{"application/json", "text/plain"} {
			ev := sdkEvent(t, contentType, "x")
			ev.SetID(strings.ReplaceAll(contentType, "/", "-"))
			r, err := cehttp.NewHTTPRequestFromEvent(ctx, "http://gateway/events", ev)
			if err != nil {
				t.Fatal(err)
			}
			want := [...]int{202, 200}[i]
			if status, _, body := do(h, r); status != want {
				t.Errorf("%s, mode %d: %d %s", contentType, i, status, body)
			}
		}
	}
}

func TestCloudEventsBeyondTheSDK(t *testing.T) {
	t.Parallel()
	const head = `{"specversion":"1.0","id":"a","source":"/s","type":"x"`
	binary := []string{"Ce-Specversion", "1.0", "Ce-Id", "a", "Ce-Source", "/s", "Ce-Type", "x"}
	parent := "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	other := "00-00000000000000000000000000000001-0000000000000001-00"
	cases := []struct {
		name, contentType, body string
		header                  []string
		check                   func(*delivery.Event) string
		want                    string
	}{
		{name: "no data is null", contentType: ceJSON, body: head + `}`, check: data, want: "null"},
		{name: "a null attribute is none", contentType: ceJSON, body: head + `,"subject":null,"time":null,"data":1}`, check: data, want: "1"},
		{name: "data comes before its type", contentType: ceJSON, body: `{"data":"\u0041","datacontenttype":"text/plain",` + head[1:] + `}`, check: body, want: "A"},
		{name: "a type with the JSON suffix", contentType: ceJSON, body: head + `,"datacontenttype":"application/vnd.a+json","data":[1.0]}`, check: data, want: "[1]"},
		{name: "bytes of no type", contentType: ceJSON, body: head + `,"data_base64":"AP8="}`, check: typed, want: "application/octet-stream \x00\xff"},
		{name: "JSON in base64", contentType: ceJSON, body: head + `,"datacontenttype":"application/json","data_base64":"eyAiYSI6MS4wfQ=="}`, check: body, want: `{"event":"x","timestamp":"T","data":{"a":1}}`},
		{name: "time is sent as it came", contentType: ceJSON, body: head + `,"time":"2024-01-15t10:30:00.10+01:00"}`, check: func(ev *delivery.Event) string { return ev.Timestamp }, want: "2024-01-15t10:30:00.10+01:00"},
		{name: "its own trace goes before the request's", contentType: ceJSON, body: head + `,"traceparent":"` + parent + `","tracestate":"a=1"}`, header: []string{"Traceparent", other}, check: trace, want: parent + " a=1"},
		{name: "a malformed trace of its own is ignored", contentType: ceJSON, body: head + `,"traceparent":"00-x"}`, header: []string{"Traceparent", other}, check: trace, want: other + " "},
		{name: "text without data is empty", contentType: ceJSON, body: head + `,"datacontenttype":"text/plain"}`, check: typed, want: "text/plain "},
		{name: "other extensions are checked and dropped", contentType: ceJSON, body: head + `,"n":1,"b":true,"s":"x","dataschema":"https://a.example/s","subject":"y","data":0}`, check: data, want: "0"},
		{name: "no body in binary mode", header: binary, check: data, want: "null"},
		{name: "bytes in binary mode without a type", header: binary, body: "\x00\xff", check: typed, want: "application/octet-stream \x00\xff"},
		{name: "XML in another charset", contentType: "text/xml; charset=iso-8859-1", header: binary, body: "<a>\xe9</a>", check: typed, want: "text/xml; charset=iso-8859-1 <a>\xe9</a>"},
		{name: "percent-encoded and quoted headers", header: append([]string{"Ce-Tenant", `"a\"%C3%A9%20%25"`}, binary...), check: func(ev *delivery.Event) string { return ev.Tenant }, want: `a"é %`},
		{name: "a trace in a header of its own", header: append([]string{"Ce-Traceparent", parent, "Traceparent", other}, binary...), check: trace, want: parent + " "},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e := newFake(t)
			if status, _, body := do(e.ingest(), post(c.contentType, c.body, c.header...)); status != 202 {
				t.Fatalf("%d %s", status, body)
			}
			if got := strings.Replace(c.check(e.last()), e.last().Accepted.Format("2006-01-02T15:04:05Z"), "T", 1); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func data(ev *delivery.Event) string  { return string(ev.Data()) }
func body(ev *delivery.Event) string  { return string(ev.Body) }
func typed(ev *delivery.Event) string { return ev.ContentType + " " + string(ev.Body) }
func trace(ev *delivery.Event) string { return ev.TraceParent + " " + ev.TraceState }

func TestCloudEventsAreRefused(t *testing.T) {
	t.Parallel()
	const head = `{"specversion":"1.0","id":"a","source":"/s","type":"x"`
	binary := []string{"Ce-Specversion", "1.0", "Ce-Id", "a", "Ce-Source", "/s", "Ce-Type", "x"}
	cases := []struct {
		name, contentType, body string
		header                  []string
		status                  int
		pointer                 string
	}{
		{name: "not an object", contentType: ceJSON, body: `[]`, status: 422},
		{name: "not JSON", contentType: ceJSON, body: head, status: 400},
		{name: "another version", contentType: ceJSON, body: `{"specversion":"0.3","id":"a","source":"/s","type":"x"}`, status: 422, pointer: "/specversion"},
		{name: "no version", contentType: ceJSON, body: `{"id":"a","source":"/s","type":"x"}`, status: 422, pointer: "/specversion"},
		{name: "no id", contentType: ceJSON, body: `{"specversion":"1.0","source":"/s","type":"x"}`, status: 422, pointer: "/id"},
		{name: "an id of blanks", contentType: ceJSON, body: `{"specversion":"1.0","id":" ","source":"/s","type":"x"}`, status: 422, pointer: "/id"},
		{name: "an id outside our characters", contentType: ceJSON, body: `{"specversion":"1.0","id":"a/1","source":"/s","type":"x"}`, status: 422, pointer: "/id"},
		{name: "an id that is a number", contentType: ceJSON, body: `{"specversion":"1.0","id":1,"source":"/s","type":"x"}`, status: 422, pointer: "/id"},
		{name: "no source", contentType: ceJSON, body: `{"specversion":"1.0","id":"a","type":"x"}`, status: 422, pointer: "/source"},
		{name: "a source that is no URI-reference", contentType: ceJSON, body: `{"specversion":"1.0","id":"a","source":"%zz","type":"x"}`, status: 422, pointer: "/source"},
		{name: "no type", contentType: ceJSON, body: `{"specversion":"1.0","id":"a","source":"/s"}`, status: 422, pointer: "/type"},
		{name: "a type outside our characters", contentType: ceJSON, body: `{"specversion":"1.0","id":"a","source":"/s","type":"a/b"}`, status: 422, pointer: "/type"},
		{name: "a time that is none", contentType: ceJSON, body: head + `,"time":"yesterday"}`, status: 422, pointer: "/time"},
		{name: "a schema that is no absolute URI", contentType: ceJSON, body: head + `,"dataschema":"a"}`, status: 422, pointer: "/dataschema"},
		{name: "an attribute name with a hyphen", contentType: ceJSON, body: head + `,"my-ext":"a"}`, status: 422, pointer: "/my-ext"},
		{name: "an attribute that is an object", contentType: ceJSON, body: head + `,"ext":{}}`, status: 422, pointer: "/ext"},
		{name: "a fraction the SDK would cut", contentType: ceJSON, body: head + `,"ext":1.5}`, status: 422, pointer: "/ext"},
		{name: "an empty environment", contentType: ceJSON, body: head + `,"environment":""}`, status: 422, pointer: "/environment"},
		{name: "a member twice, which the SDK takes", contentType: ceJSON, body: head + `,"data":1,"data":2}`, status: 422, pointer: "/data"},
		{name: "a member without name, after which the SDK stops reading", contentType: ceJSON, body: head + `,"":1,"data":2}`, status: 422, pointer: "/"},
		{name: "data and data_base64", contentType: ceJSON, body: head + `,"data":1,"data_base64":"AA=="}`, status: 422, pointer: "/data_base64"},
		{name: "data_base64 that is none", contentType: ceJSON, body: head + `,"data_base64":"A"}`, status: 422, pointer: "/data_base64"},
		{name: "data_base64 over two lines", contentType: ceJSON, body: head + `,"data_base64":"AA\n=="}`, status: 422, pointer: "/data_base64"},
		{name: "JSON in base64 that is none", contentType: ceJSON, body: head + `,"datacontenttype":"text/json","data_base64":"ew=="}`, status: 400, pointer: "/data_base64"},
		{name: "text that is not a string", contentType: ceJSON, body: head + `,"datacontenttype":"text/plain","data":{}}`, status: 422, pointer: "/data"},
		{name: "text that is null", contentType: ceJSON, body: head + `,"datacontenttype":"text/plain","data":null}`, status: 422, pointer: "/data"},
		{name: "a media type that would break a header", contentType: ceJSON, body: head + `,"datacontenttype":"text/plain; a=\"\\\r\nX: y\"","data":"a"}`, status: 422, pointer: "/datacontenttype"},
		{name: "a media type that is not ASCII", contentType: ceJSON, body: head + `,"datacontenttype":"text/plain; a=\"é\"","data":"a"}`, status: 422, pointer: "/datacontenttype"},
		{name: "a media type of 300 bytes", contentType: ceJSON, body: head + `,"datacontenttype":"text/plain; a=` + strings.Repeat("x", 290) + `","data":"a"}`, status: 422, pointer: "/datacontenttype"},
		{name: "data_base64 that is a number", contentType: ceJSON, body: head + `,"data_base64":1}`, status: 422, pointer: "/data_base64"},
		{name: "JSON in base64 that JavaScript would change", contentType: ceJSON, body: head + `,"datacontenttype":"text/json","data_base64":"WzFlNDAwXQ=="}`, status: 422, pointer: "/data_base64"},
		{name: "a number JavaScript would change", contentType: ceJSON, body: head + `,"data":{"n":1e400}}`, status: 422, pointer: "/data/n"},
		{name: "such a number in binary mode", contentType: "application/json", header: binary, body: `{"n":1e400}`, status: 422, pointer: "/data/n"},
		{name: "an array is no batch in structured mode", contentType: ceJSON, body: "[" + head + "}]", status: 422},
		{name: "an object is no batch", contentType: ceBatch, body: head + "}", status: 422},
		{name: "an empty batch", contentType: ceBatch, body: "[]", status: 422},
		{name: "another event format", contentType: "application/cloudevents+avro", status: 415},
		{name: "no version in binary mode", header: []string{"Ce-Id", "a", "Ce-Source", "/s", "Ce-Type", "x"}, status: 422, pointer: "/specversion"},
		{name: "an attribute twice in binary mode", header: append([]string{"Ce-Id", "b"}, binary...), status: 422, pointer: "/id"},
		{name: "a broken escape in a header", header: append([]string{"Ce-Tenant", "%c3"}, binary...), status: 422, pointer: "/tenant"},
		{name: "the data's type as an attribute header", header: append([]string{"Ce-Datacontenttype", "text/plain"}, binary...), status: 422, pointer: "/datacontenttype"},
		{name: "JSON in another charset", contentType: "application/json; charset=utf-16", header: binary, body: "1", status: 415},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e := newFake(t)
			status, _, body := do(e.ingest(), post(c.contentType, c.body, c.header...))
			at := ""
			if c.pointer != "" {
				at = fmt.Sprintf(`"pointer":%q`, c.pointer)
			}
			if status != c.status || !strings.Contains(body, at) || at == "" && strings.Contains(body, `"pointer"`) || len(e.taken) != 0 {
				t.Errorf("%d %s, want %d at %q", status, body, c.status, c.pointer)
			}
		})
	}
}

func TestABatchOfCloudEventsNamesTheBadOne(t *testing.T) {
	t.Parallel()
	e := newFake(t)
	_, _, body := do(e.ingest(), post(ceBatch, `[{"specversion":"1.0","id":"a","source":"/s","type":"x"},{}]`))
	want := `{"type":"about:blank","title":"Unprocessable Entity","status":422,` +
		`"detail":"CloudEvents attribute specversion: must be \"1.0\"","pointer":"/specversion","index":1}` + "\n"
	if body != want || len(e.taken) != 0 {
		t.Errorf("got %s, want %s", body, want)
	}
}

func TestNonJSONEventsOfATypeWithASchemaAreRefused(t *testing.T) {
	t.Parallel()
	e := newFake(t)
	e.catalog(t, `{"events":[{"type":"strict","schema":{"type":"object"}},{"type":"free"}]}`)
	for typ, want := range map[string]int{"strict": http.StatusUnprocessableEntity, "free": http.StatusAccepted, "other": 422} {
		status, _, body := do(e.ingest(), post("text/plain", "hello", "Ce-Specversion", "1.0", "Ce-Id", "a", "Ce-Source", "/s", "Ce-Type", typ))
		if status != want {
			t.Errorf("%s: %d %s", typ, status, body)
		}
		if typ == "other" && !strings.Contains(body, `"pointer":"/type"`) {
			t.Errorf("%s: %s", typ, body)
		}
	}
}
