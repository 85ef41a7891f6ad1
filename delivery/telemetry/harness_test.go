package telemetry

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/gate"
	"github.com/atoship/caddy-webhooks/delivery/retry"
	"github.com/atoship/caddy-webhooks/delivery/sign"
	"github.com/atoship/caddy-webhooks/delivery/store/memory"
)

// rig is an engine over the memory store, traced and measured, in a synctest bubble. All events go to the endpoint a, with
// b as its backup; what they answer is told by their names.
type rig struct {
	t       *testing.T
	e       *delivery.Engine
	store   *memory.Store
	tracing *Tracing
	metrics *Metrics
	out     *tracetest.InMemoryExporter
	plan    *delivery.Plan

	mu     sync.Mutex
	answer map[string]int
	sent   []*http.Request
}

func inRig(t *testing.T, setup func(*rig), f func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, store: memory.New(), metrics: NewMetrics(), out: tracetest.NewInMemoryExporter(), answer: map[string]int{"a": 500, "b": 200}}
		r.tracing = newTracing(&exporter{SpanExporter: keeper{r.out}, log: slog.New(slog.DiscardHandler)}, resource.Empty())
		r.plan = &delivery.Plan{
			Router: toA{}, Endpoints: map[string]*delivery.Endpoint{"a": r.endpoint("a", "b"), "b": r.endpoint("b")},
			HeaderPrefix: delivery.DefaultHeaderPrefix, UserAgent: "test", Dedupe: time.Hour, Expire: delivery.DefaultExpire,
			Retention: delivery.DefaultRetention, Drain: time.Second, MaxInFlight: 16,
		}
		if setup != nil {
			setup(r)
		}
		r.open()
		f(t, r)
		r.close()
		if err := r.tracing.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// keeper keeps what was exported over a shutdown.
type keeper struct{ *tracetest.InMemoryExporter }

func (keeper) Shutdown(context.Context) error { return nil }

type toA struct{}

func (toA) Digest() string { return "d" }
func (toA) Route(_ context.Context, ev *delivery.Event) (delivery.Decision, error) {
	d := delivery.Decision{Targets: []delivery.Target{{Route: "r", Primary: "a"}}}
	if ev.Type == "broken" {
		d.Errors = []error{&delivery.RuleError{Route: "r", Text: "no"}}
	}
	return d, nil
}

func (r *rig) endpoint(name string, backups ...string) *delivery.Endpoint {
	scheme, _ := sign.Lookup("atoship")
	signer, err := scheme.NewSigner([]sign.Secret{{Value: "a secret for tests only"}}, sign.Options{})
	if err != nil {
		r.t.Fatal(err)
	}
	u, err := url.Parse("https://" + name + ".example.com/in?token=hush&plain")
	if err != nil {
		r.t.Fatal(err)
	}
	return &delivery.Endpoint{
		Name: name, URL: u, Signer: signer, Transport: r, Retry: retry.Schedule{Delays: []time.Duration{time.Minute}},
		Timeout: time.Second, Concurrency: 4, Breaker: gate.BreakerSettings{Off: true}, Backups: backups,
	}
}

// hangs is the answer of an endpoint that gives none.
const hangs = -1

// RoundTrip plays the endpoints.
func (r *rig) RoundTrip(req *http.Request) (*http.Response, error) {
	name, _, _ := strings.Cut(req.URL.Hostname(), ".")
	r.mu.Lock()
	r.sent = append(r.sent, req)
	code := r.answer[name]
	r.mu.Unlock()
	if code == hangs {
		<-req.Context().Done()
		return nil, req.Context().Err()
	}
	if code == 0 {
		return nil, &retry.LocalFault{Code: "proxy", Err: io.ErrUnexpectedEOF}
	}
	return &http.Response{StatusCode: code, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("ok"))}, nil
}

// answers changes what an endpoint answers from now on.
func (r *rig) answers(name string, code int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer[name] = code
}

func (r *rig) open() {
	e, err := delivery.Open(context.Background(), delivery.Config{
		Store: r.store, Observer: r.metrics, Tracer: r.tracing, Logger: slog.New(slog.DiscardHandler),
	})
	if err == nil {
		err = e.Apply(r.plan)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	r.e = e
	r.metrics.Watch(e)
}

func (r *rig) close() {
	if err := r.e.Shutdown(context.Background()); err != nil {
		r.t.Error(err)
	}
	r.metrics.Leave(r.e)
}

// restart ends the process and begins another on what was stored.
func (r *rig) restart() {
	next := r.store.Crash()
	_ = r.e.Shutdown(context.Background())
	r.store = next
	r.open()
}

// publish accepts one event in ctx, and returns it as it was stored.
func (r *rig) publish(ctx context.Context, ev *delivery.Event) *delivery.Event {
	r.t.Helper()
	ev.Accepted, ev.Environment, ev.ContentType = time.Now().UTC(), "production", "application/json"
	ev.Timestamp = ev.Accepted.Format(time.RFC3339)
	ev.Body = []byte(`{"event":"` + ev.Type + `","data":"a payload"}`)
	if ev.ID == "" {
		ev.ID = "evt_1"
	}
	if _, err := r.e.Accept(ctx, []*delivery.Event{ev}); err != nil {
		r.t.Fatal(err)
	}
	return ev
}

// pass lets time go by.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// spans are those exported so far, in the order of their beginning.
func (r *rig) spans() tracetest.SpanStubs {
	r.t.Helper()
	for _, p := range r.tracing.providers {
		if err := p.ForceFlush(context.Background()); err != nil {
			r.t.Fatal(err)
		}
	}
	all := r.out.GetSpans()
	slices.SortStableFunc(all, func(a, b tracetest.SpanStub) int { return a.StartTime.Compare(b.StartTime) })
	return all
}

// named finds the n-th span of a name, from 0.
func (r *rig) named(name string, n int) tracetest.SpanStub {
	r.t.Helper()
	for _, s := range r.spans() {
		if s.Name == name {
			if n == 0 {
				return s
			}
			n--
		}
	}
	r.t.Fatalf("no span %q", name)
	return tracetest.SpanStub{}
}

// attr is an attribute as text.
func attr(attrs []attribute.KeyValue, key string) string {
	for _, a := range attrs {
		if string(a.Key) == key {
			return a.Value.String()
		}
	}
	return ""
}

// attrs checks attributes; "" wants none.
func attrs(t *testing.T, s tracetest.SpanStub, want map[string]string) {
	t.Helper()
	for key, value := range want {
		if got := attr(s.Attributes, key); got != value {
			t.Errorf("%s: %s is %q, want %q", s.Name, key, got, value)
		}
	}
}

var _ sdktrace.SpanExporter = keeper{}
