package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"

	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/contrib/propagators/autoprop"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// scope names what makes the spans.
const scope = "github.com/atoship/caddy-webhooks/delivery/telemetry"

// w3c is the form in which requests name their trace unless OTEL_PROPAGATORS says more. Baggage, with it in the defaults of
// OpenTelemetry, would be read for nothing: it goes on no span and to no endpoint.
var w3c propagation.TextMapPropagator = propagation.TraceContext{}

// Tracing makes spans and exports them, for the life of one engine. It is safe for concurrent use.
type Tracing struct {
	// asked decides by the environment's sampler, followed records always: it is asked only for attempts of events that are
	// recorded, whose links no sampler of the SDK looks at. Both export through one processor.
	asked, followed trace.Tracer
	heeds           bool // the environment's sampler records nothing whose parent is not recorded, and need not be asked
	propagators     propagation.TextMapPropagator
	providers       [2]*sdktrace.TracerProvider
	exporter        *exporter
}

// askers are the variables that ask for traces. Without any of them nothing is made: the SDK's default, an exporter to a
// collector on this machine, would be a connection refused every few seconds for everybody who has none.
var askers = []string{
	"OTEL_TRACES_EXPORTER",
	"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
	"OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
}

// wanted tells whether the environment asks for traces.
func wanted(env func(string) string) bool {
	return !strings.EqualFold(env("OTEL_SDK_DISABLED"), "true") && env("OTEL_TRACES_EXPORTER") != "none" &&
		slices.ContainsFunc(askers, func(name string) bool { return env(name) != "" })
}

// NewTracing reads the OTEL_* environment as Caddy does: exporter, sampler, propagators, batches, resource. About describes
// the process beside what OTEL_RESOURCE_ATTRIBUTES says. It returns nil when the environment asks for no traces, and it
// waits for no collector. Shut it down after the engine.
func NewTracing(ctx context.Context, log *slog.Logger, about ...attribute.KeyValue) (*Tracing, error) {
	if !wanted(os.Getenv) {
		return nil, nil //nolint:nilnil // no tracing is what most want
	}
	// Attributes without a schema go with any version of the SDK's own; two schemas would be a conflict.
	res, err := resource.Merge(resource.Default(), resource.NewSchemaless(about...))
	if err != nil {
		return nil, fmt.Errorf("describing this process to OpenTelemetry: %w", err)
	}
	out, err := autoexport.NewSpanExporter(ctx)
	if err != nil {
		return nil, fmt.Errorf("making the exporter that OTEL_* asks for: %w", err)
	}
	t := newTracing(&exporter{SpanExporter: out, log: log}, res)
	t.propagators = autoprop.NewTextMapPropagator(w3c)
	return t, nil
}

func newTracing(out *exporter, res *resource.Resource) *Tracing {
	batches := sdktrace.NewBatchSpanProcessor(out)
	asked := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(batches), sdktrace.WithResource(res))
	followed := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(batches), sdktrace.WithResource(res),
		sdktrace.WithSampler(sdktrace.AlwaysSample()))
	t := &Tracing{
		asked: asked.Tracer(scope), followed: followed.Tracer(scope), propagators: w3c,
		providers: [2]*sdktrace.TracerProvider{asked, followed}, exporter: out,
	}
	t.heeds = heedsParents(t.asked)
	return t
}

// heedsParents tells whether a tracer records nothing whose parent is not recorded. The trace it is asked about is the first
// that a sampler by ratio takes: one that heeds no parent records that, unless it records none.
func heedsParents(t trace.Tracer) bool {
	unheard := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}})
	_, span := t.Start(trace.ContextWithRemoteSpanContext(context.Background(), unheard), operationPublish)
	return !span.IsRecording() // it never ends, and so is not exported
}

// Join returns a request in the trace that its headers name, in any form that OTEL_PROPAGATORS lists, or as it is if they
// name none or a handler before has begun a span in it.
func (t *Tracing) Join(r *http.Request) *http.Request {
	if t == nil || t.propagators == w3c && r.Header["Traceparent"] == nil || trace.SpanContextFromContext(r.Context()).IsValid() {
		return r
	}
	return r.WithContext(t.propagators.Extract(r.Context(), propagation.HeaderCarrier(r.Header)))
}

// Shutdown exports what is left, until ctx ends. Spans that end later are dropped.
func (t *Tracing) Shutdown(ctx context.Context) error {
	if t == nil {
		return nil
	}
	// The processor is shared: the first shutdown flushes and ends it, the second finds it ended.
	return errors.Join(t.providers[0].Shutdown(ctx), t.providers[1].Shutdown(ctx))
}

// exporter reports that its collector takes no spans: when it begins and when it ends, not every five seconds.
type exporter struct {
	sdktrace.SpanExporter

	log     *slog.Logger
	failing atomic.Bool
	dropped atomic.Int64
}

// ExportSpans implements sdktrace.SpanExporter. An error is told here, so that the SDK need not print it.
func (e *exporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := e.SpanExporter.ExportSpans(ctx, spans)
	switch {
	case err != nil:
		e.dropped.Add(int64(len(spans)))
		if !e.failing.Swap(true) {
			e.log.Warn("traces are not taken: spans are dropped until they are", slog.Any("error", err))
		}
	case e.failing.Swap(false):
		e.log.Info("traces are taken again", slog.Int64("dropped_spans", e.dropped.Swap(0)))
	}
	return nil
}
