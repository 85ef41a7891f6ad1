package caddymodule

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/atoship/caddy-webhooks/delivery"
)

// counted is the value of a metric of one series in the registry of the config in force.
func counted(t *testing.T, name string) float64 {
	t.Helper()
	ctx := caddy.ActiveContext()
	families, err := ctx.GetMetricsRegistry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			m := f.GetMetric()[0]
			return m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	t.Fatalf("there is no metric %s", name)
	return 0
}

func TestCountersGoOnOverReloadsAndOtherStores(t *testing.T) {
	g := newGateway(t)
	g.mustLoad(g.caddyfile("user_agent one"+everything, ""))
	before := counted(t, "caddy_webhooks_events_accepted_total") // other tests of this process count, too
	g.works("one")
	g.mustLoad(g.caddyfile("user_agent two"+everything, ""))
	g.works("two")
	if err := g.load(g.caddyfile("user_agent bad"+everything, ""), true); err == nil {
		t.Fatal("the failing app has started")
	}
	g.mustLoad(g.caddyfile("user_agent three"+strings.Replace(everything, "DIR/state", "DIR/other", 1), ""))
	g.works("three")
	if n := counted(t, "caddy_webhooks_events_accepted_total"); n != before+3 {
		t.Errorf("%v events counted, want 3", n-before)
	}
	if n := counted(t, "caddy_webhooks_endpoints"); n != 1 {
		t.Errorf("%v endpoints", n)
	}
	status, _ := g.publish(`{"event":"label.created"`)
	if n := counted(t, "caddy_webhooks_events_rejected_total"); status != http.StatusBadRequest || n < 0 {
		t.Errorf("status %d, %v rejected", status, n)
	}
}

func TestTwoAppsOfOneRegistryShareTheMetrics(t *testing.T) {
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	defer cancel()
	for range 2 {
		if err := registerMetrics(ctx); err != nil {
			t.Error(err)
		}
	}
	ctx, cancel = caddy.NewContext(caddy.Context{Context: t.Context()})
	defer cancel()
	ctx.GetMetricsRegistry().MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "caddy_webhooks_deliveries", Help: "Of somebody else."}))
	if err := registerMetrics(ctx); err == nil {
		t.Error("somebody else's metric of our name is no error")
	}
}

func TestHundredReloadsWithTracesLeakNothingAndLoseNoSpan(t *testing.T) {
	var exports atomic.Int64
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.URL.Path == "/v1/traces" {
			exports.Add(1)
		}
		w.WriteHeader(http.StatusOK)
	}))
	defer collector.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "20")

	g := newGateway(t)
	reload := func(i int) { g.mustLoad(g.caddyfile(fmt.Sprintf("user_agent agent-%d", i)+everything, "")) }
	for i := range 5 {
		reload(i)
	}
	g.works("agent-4")
	if err := settled(func() bool { return exports.Load() > 0 }); err != nil {
		t.Fatal("the collector got nothing")
	}
	before := runtime.NumGoroutine()
	for i := range 100 {
		reload(i)
	}
	g.works("agent-99")
	if err := settled(func() bool { return runtime.NumGoroutine() <= before+10 }); err != nil {
		buf := make([]byte, 1<<20)
		t.Errorf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
	}

	// A stop exports what is left, before its time.
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "3600000")
	g.mustLoad(g.caddyfile("user_agent late"+strings.Replace(everything, "DIR/state", "DIR/other", 1), ""))
	g.works("late")
	n := exports.Load()
	if err := caddy.Stop(); err != nil {
		t.Error(err)
	}
	if exports.Load() <= n {
		t.Error("the last spans were not exported")
	}
}

func TestARequestJoinsATraceInTheFormThatTheEnvironmentNames(t *testing.T) {
	collector := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer collector.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	t.Setenv("OTEL_PROPAGATORS", "b3")
	g := newGateway(t)
	g.mustLoad(g.caddyfile(everything, ""))
	const id = "0af7651916cd43dd8448eb211c80319c"
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+g.address+"/events", strings.NewReader(`{"id":"evt_b3","event":"label.created","data":{}}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("B3", id+"-b7ad6b7169203331-1")
	r.Header.Set("Content-Type", "application/json")
	resp, err := g.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	rec, err := runningEngine(caddy.ActiveContext()).Journal().Event(t.Context(), "evt_b3", nil)
	if err != nil || hex.EncodeToString(rec.Event.Span.TraceID[:]) != id || !rec.Event.Span.Sampled() {
		t.Errorf("stored with %+v, %v", rec, err)
	}
}

func TestACollectorThatHangsHoldsNoStopUpForLong(t *testing.T) {
	hung := make(chan struct{})
	collector := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hung }))
	defer collector.Close()
	defer close(hung)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	g := newGateway(t)
	g.mustLoad(g.caddyfile("user_agent one"+everything, ""))
	g.works("one")
	began := time.Now()
	if err := caddy.Stop(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > delivery.DefaultDrain+shutdownGrace {
		t.Errorf("stopped after %s", took)
	}
}

func TestTraceURLsAreChecked(t *testing.T) {
	t.Setenv("TEST_WEBHOOKS_JAEGER", "jaeger.example.com")
	for _, c := range []struct{ url, want, fault string }{
		{"", "", ""},
		{"https://{env.TEST_WEBHOOKS_JAEGER}/trace/{trace_id}?x={trace_id}", "https://jaeger.example.com/trace/{trace_id}?x={trace_id}", ""},
		{"https://jaeger.example.com/trace/", "", "no place for {trace_id}"},
		{"jaeger.example.com/{trace_id}", "", "http or https URL"},
		{"javascript:alert({trace_id})", "", "http or https URL"},
		{"https://{env.TEST_WEBHOOKS_UNSET}/{trace_id}", "", "{env.TEST_WEBHOOKS_UNSET}"},
	} {
		got, err := (&App{TraceURL: c.url}).traceURL()
		if got != c.want || (err == nil) != (c.fault == "") || err != nil && !strings.Contains(err.Error(), c.fault) {
			t.Errorf("%s: %q, %v", c.url, got, err)
		}
	}
}

func TestTraceOptionsReachThePlan(t *testing.T) {
	t.Setenv("TEST_WEBHOOKS_SECRET", testSecret)
	p, _, err := planOf(t, &App{
		TraceURL: "https://jaeger.example.com/trace/{trace_id}",
		Defaults: &EndpointOptions{Trace: traceParent, TraceContext: true},
		Endpoint: []Endpoint{endpoint("a", nil), endpoint("b", func(e *Endpoint) { e.Trace = traceLink })},
	})
	if err != nil {
		t.Fatal(err)
	}
	a, b := p.Endpoints["a"], p.Endpoints["b"]
	if !a.TraceParent || b.TraceParent || !a.TraceContext || !b.TraceContext || p.TraceLink("1f") != "https://jaeger.example.com/trace/1f" {
		t.Errorf("%+v %+v %s", a, b, p.TraceURL)
	}
	if _, _, err = planOf(t, &App{Endpoint: []Endpoint{endpoint("a", func(e *Endpoint) { e.Trace = "child" })}}); err == nil {
		t.Error("trace child was accepted")
	}
}
