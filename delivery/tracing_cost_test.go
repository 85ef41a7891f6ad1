//go:build !race && unix

package delivery_test

import (
	"context"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/telemetry"
)

// costRound is how many events one figure is about: some 0.1 s.
const costRound = 3000

// BenchmarkTracingCost says what tracing adds to the CPU time of an event on its whole way, in percent: the median over rounds,
// each of which measures without, with, with and without it in the same process, and the bounds of its 95 % interval.
//
//	TMPDIR=/dev/shm go test ./delivery/ -run xxx -bench TracingCost -benchtime 150x -cpu 1
//
// One processor and a store in memory leave out what varies most: the scheduler's looking around for work, and the disk.
//
// same compares two ways without tracing, which shows what the method itself sees. off is a tracer that does nothing, beside
// none at all: a gateway that exports no traces has none, and does less than this one, as it asks only whether there is a
// tracer. 1% and all sample so many of the events, and export them over OTLP/HTTP to a collector in this process, so that its
// work counts too, as do the publisher's and the receiver's. Caddy's own part, as large as all of this, does not.
func BenchmarkTracingCost(b *testing.B) {
	for name, with := range map[string]func(b *testing.B) *path{
		"same": func(b *testing.B) *path { b.Helper(); return newPath(b, 1) },
		"off":  func(b *testing.B) *path { b.Helper(); return newTracedPath(b, 1, nopTracer{}) },
		"1%":   func(b *testing.B) *path { b.Helper(); return newExportingPath(b, "0.01") },
		"all":  func(b *testing.B) *path { b.Helper(); return newExportingPath(b, "1") },
	} {
		b.Run(name, func(b *testing.B) {
			none, traced := newPath(b, 1), with(b)
			for range 2 { // pools and connections fill
				none.publish(costRound)
				traced.publish(costRound)
			}
			var ratios, plain []float64
			b.ResetTimer()
			for range b.N {
				before := none.cpu(b, costRound)
				cost := traced.cpu(b, costRound) + traced.cpu(b, costRound)
				base := before + none.cpu(b, costRound)
				ratios, plain = append(ratios, cost/base), append(plain, base/2)
			}
			low, median, high := medianOf(ratios)
			_, each, _ := medianOf(plain)
			b.ReportMetric(each/1000, "µs_CPU/event")
			b.ReportMetric(100*(low-1), "low_%")
			b.ReportMetric(100*(median-1), "added_%")
			b.ReportMetric(100*(high-1), "high_%")
			fewer, smaller := none.measure(costRound)
			more, larger := traced.measure(costRound)
			b.ReportMetric(more-fewer, "added_allocs")
			b.ReportMetric(larger-smaller, "added_B")
		})
	}
}

// newExportingPath is traced as the environment of a gateway would have it.
func newExportingPath(b *testing.B, ratio string) *path {
	b.Helper()
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	b.Cleanup(collector.Close)
	b.Setenv("OTEL_TRACES_EXPORTER", "otlp")
	b.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	b.Setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
	b.Setenv("OTEL_TRACES_SAMPLER_ARG", ratio)
	tracing, err := telemetry.NewTracing(b.Context(), slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	p := newTracedPath(b, 1, tracing)
	b.Cleanup(func() { _ = tracing.Shutdown(context.Background()) })
	ingest := p.ingest
	p.ingest = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ingest.ServeHTTP(w, tracing.Join(r)) // as the handler of Caddy's does
	})
	return p
}

// cpu is the CPU time of an event, in nanoseconds of the whole process.
func (p *path) cpu(b *testing.B, n int) float64 {
	b.Helper()
	runtime.GC() // each begins with nothing to collect
	before := cpuTime(b)
	p.publish(n)
	return float64(cpuTime(b)-before) / float64(n)
}

func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// medianOf figures, with the order statistics that hold it 19 times in 20 (by the binomial distribution, as good as normal).
func medianOf(figures []float64) (low, median, high float64) {
	slices.Sort(figures)
	n := float64(len(figures))
	half := 1.96 * math.Sqrt(n) / 2
	at := func(x float64) float64 { return figures[min(max(int(x), 0), len(figures)-1)] }
	return at(n/2 - half), (at((n-1)/2) + at(n/2)) / 2, at(n/2 + half)
}

// nopTracer follows nothing.
type nopTracer struct{}

func (nopTracer) Publishing(context.Context, *delivery.Event) func(*delivery.Receipt, error) {
	return nil
}

func (nopTracer) Attempting(ctx context.Context, _ *delivery.Delivery, _ *delivery.Endpoint, _ uint16) (context.Context, *delivery.Trace) {
	return ctx, nil
}

func (nopTracer) Attempted(context.Context, *delivery.Delivery, *delivery.Attempt) {}
