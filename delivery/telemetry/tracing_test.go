package telemetry

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
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
	h := http.Header{"Traceparent": {supplied}}
	ctx := t.Context()
	n := testing.AllocsPerRun(100, func() {
		if none.Join(ctx, h) != ctx {
			t.Error("another context")
		}
	})
	if n != 0 || none.Shutdown(ctx) != nil {
		t.Errorf("%v allocations", n)
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
