package telemetry

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/atoship/caddy-webhooks/delivery"
)

func TestOnlyTheEnvironmentAsksForTraces(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		env  map[string]string
		want bool
	}{
		{"nothing is set", nil, false},
		{"only a name is set", map[string]string{"OTEL_SERVICE_NAME": "webhooks", "OTEL_TRACES_SAMPLER": "always_on"}, false},
		{"only metrics have a collector", map[string]string{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://127.0.0.1:4318"}, false},
		{"a collector", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, true},
		{"a collector for traces", map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318"}, true},
		{"an exporter", map[string]string{"OTEL_TRACES_EXPORTER": "console"}, true},
		{"no exporter", map[string]string{"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, false},
		{"the SDK is off", map[string]string{"OTEL_SDK_DISABLED": "TRUE", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, false},
	} {
		if got := wanted(func(name string) string { return c.env[name] }); got != c.want {
			t.Errorf("%s: wanted %t", c.name, got)
		}
	}
}

func TestAMistakeInTheEnvironmentIsToldByItsName(t *testing.T) {
	t.Setenv("OTEL_TRACES_EXPORTER", "no such exporter")
	if _, err := NewTracing(t.Context(), slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "OTEL_") {
		t.Errorf("error %v", err)
	}
}

// TestWithoutTracesNothingIsAllocated: the engine asks no tracer when there is none, and neither does a request.
func TestWithoutTracesNothingIsAllocated(t *testing.T) { //nolint:paralleltest // it counts allocations
	none, err := NewTracing(t.Context(), slog.New(slog.DiscardHandler))
	if none != nil || err != nil {
		t.Fatalf("%v, %v", none, err)
	}
	r := &http.Request{Header: http.Header{"Traceparent": {supplied}}}
	n := testing.AllocsPerRun(100, func() {
		if none.Join(r) != r {
			t.Error("another request")
		}
	})
	if n != 0 || none.Shutdown(t.Context()) != nil {
		t.Errorf("%v allocations", n)
	}
}

func TestARequestJoinsTheTraceThatItsHeadersName(t *testing.T) {
	for _, c := range []struct {
		name, propagators string
		header            http.Header
		want              bool
	}{
		{"W3C", "", http.Header{"Traceparent": {supplied}}, true},
		{"a header that is not W3C's", "", http.Header{"Traceparent": {"00-1-2-01"}}, false},
		{"no trace, only baggage", "", http.Header{"Baggage": {"customer=42"}}, false},
		{"a form that nobody asked for", "", http.Header{"B3": {supplied[3:35] + "-" + supplied[36:52] + "-1"}}, false},
		{"B3", "b3", http.Header{"B3": {supplied[3:35] + "-" + supplied[36:52] + "-1"}}, true},
		{"B3 in several headers", "tracecontext,b3", http.Header{"X-B3-Traceid": {supplied[3:35]}, "X-B3-Spanid": {supplied[36:52]}, "X-B3-Sampled": {"1"}}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("OTEL_TRACES_EXPORTER", "console")
			t.Setenv("OTEL_PROPAGATORS", c.propagators)
			tracing, err := NewTracing(t.Context(), slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = tracing.Shutdown(context.Background()) }()
			r := (&http.Request{Header: c.header}).WithContext(t.Context())
			got := trace.SpanContextFromContext(tracing.Join(r).Context())
			if got.IsValid() != c.want || c.want && (got.TraceID().String() != supplied[3:35] || got.SpanID().String() != supplied[36:52] || !got.IsSampled()) {
				t.Errorf("joined %v", got)
			}
			ctx, _ := tracing.asked.Start(t.Context(), "POST /events")
			if r = r.WithContext(ctx); tracing.Join(r) != r {
				t.Error("a request with a span has got another")
			}
		})
	}
}

// unsampled is what 99 of 100 events pass: a request with these headers in a context as deep as Caddy's, and an attempt that
// is not recorded either.
func unsampled(t testing.TB, traceparent ...string) func() {
	t.Helper()
	t.Setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
	t.Setenv("OTEL_TRACES_SAMPLER_ARG", "0")
	tracing := newTracing(&exporter{SpanExporter: tracetest.NewNoopExporter(), log: slog.New(slog.DiscardHandler)}, resource.Empty())
	t.Cleanup(func() { _ = tracing.Shutdown(context.Background()) })
	ctx := t.Context()
	for i := range 12 {
		ctx = context.WithValue(ctx, depth(i), i)
	}
	r := (&http.Request{Header: http.Header{}}).WithContext(ctx)
	ev := &delivery.Event{ID: "evt_1", Type: "label.created"}
	if len(traceparent) > 0 {
		r.Header["Traceparent"], ev.TraceParent = traceparent, traceparent[0]
	}
	d, ep := &delivery.Delivery{Event: ev, Chain: []string{"a"}}, &delivery.Endpoint{Name: "a"}
	a := &delivery.Attempt{Outcome: "delivered"}
	return func() {
		published := tracing.Publishing(tracing.Join(r).Context(), ev)
		ctx, tr := tracing.Attempting(t.Context(), d, ep, 1)
		tracing.Attempted(ctx, d, a)
		if published != nil || tr != nil || !ev.Span.Valid() || ev.Span.Sampled() {
			t.Fatalf("recorded: %t, %v, event %+v", published != nil, tr, ev.Span)
		}
	}
}

type depth int

// TestAnEventThatIsNotSampledCostsNextToNothing: the two allocations are the SDK's, a span and a context that it makes
// before it asks the sampler.
func TestAnEventThatIsNotSampledCostsNextToNothing(t *testing.T) { //nolint:paralleltest // it counts allocations
	if n := testing.AllocsPerRun(100, unsampled(t)); n > 2 {
		t.Errorf("%v allocations, want 2", n)
	}
}

// BenchmarkUnsampled is what tracing adds to an event that is not sampled: by the environment, or by its publisher.
func BenchmarkUnsampled(b *testing.B) {
	for name, traceparent := range map[string][]string{"by the sampler": nil, "by the publisher": {suppliedUnheard}} {
		b.Run(name, func(b *testing.B) {
			event := unsampled(b, traceparent...)
			b.ReportAllocs()
			for b.Loop() {
				event()
			}
		})
	}
}

// broken is a collector that takes nothing while it is down.
type broken struct {
	sdktrace.SpanExporter

	down bool
}

func (b *broken) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error {
	if b.down {
		return errors.New("connection refused")
	}
	return nil
}

func TestACollectorThatIsDownIsReportedOnceAndWhenItIsBack(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	out := &broken{down: true}
	e := &exporter{SpanExporter: out, log: slog.New(slog.NewTextHandler(&log, nil))}
	spans := tracetest.SpanStubs{{Name: "one"}, {Name: "two"}}.Snapshots()
	for range 3 {
		if err := e.ExportSpans(t.Context(), spans); err != nil {
			t.Error(err)
		}
	}
	out.down = false
	for range 2 {
		_ = e.ExportSpans(t.Context(), spans)
	}
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], "connection refused") || !strings.Contains(lines[1], "dropped_spans=6") {
		t.Errorf("log:\n%s", log.String())
	}
}
