package telemetry

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/expfmt"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/gate"
)

func TestMetricsTellWhatHappened(t *testing.T) {
	t.Parallel()
	inRig(t, nil, func(t *testing.T, r *rig) {
		reg := registry(t, r.metrics)
		r.publish(t.Context(), &delivery.Event{Type: "label.created"})
		r.publish(t.Context(), &delivery.Event{ID: "two", Type: "broken"})
		r.metrics.Rejected(422)
		r.metrics.Rejected(418)
		pass(10 * time.Second)
		expect(t, reg, `
			caddy_webhooks_attempts_total{endpoint="a",outcome="server_error"} 2
			caddy_webhooks_breaker_state{endpoint="a"} 0
			caddy_webhooks_deliveries{state="pending"} 2
			caddy_webhooks_endpoints 2
			caddy_webhooks_events_accepted_total 2
			caddy_webhooks_events_rejected_total{reason="invalid"} 1
			caddy_webhooks_events_rejected_total{reason="other"} 1
			caddy_webhooks_events_rejected_total{reason="backlog"} 0
			caddy_webhooks_lost_deliveries 0
			caddy_webhooks_oldest_due_seconds{endpoint="a"} 0
			caddy_webhooks_pending_deliveries{endpoint="a"} 2
			caddy_webhooks_rule_errors_total{route="r"} 1
			caddy_webhooks_store_healthy 1
		`)
		if err := r.e.Pause(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		pass(2 * time.Minute) // due for 70 s
		expect(t, reg, `
			caddy_webhooks_endpoint_paused{endpoint="a"} 1
			caddy_webhooks_endpoint_paused{endpoint="b"} 0
			caddy_webhooks_oldest_due_seconds{endpoint="a"} 70
			caddy_webhooks_overdue_seconds{endpoint="a"} 0
		`)
		if err := r.e.Resume(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		pass(10 * time.Second)
		expect(t, reg, `
			caddy_webhooks_attempts_total{endpoint="a",outcome="server_error"} 4
			caddy_webhooks_attempts_total{endpoint="b",outcome="delivered"} 2
			caddy_webhooks_attempt_duration_seconds_count{endpoint="a"} 4
			caddy_webhooks_deliveries{state="delivered"} 2
			caddy_webhooks_deliveries{state="pending"} 0
			caddy_webhooks_delivery_latency_seconds_bucket{le="60"} 0
			caddy_webhooks_delivery_latency_seconds_bucket{le="300"} 2
			caddy_webhooks_delivery_latency_seconds_sum 260
		`)
		r.store.Fail()
		pass(2 * time.Second)
		expect(t, reg, `caddy_webhooks_store_healthy 0`)
		r.store.Recover()
	})
}

func TestMetricsTellABreakerThatOpensAndAnEndpointThatIsGone(t *testing.T) {
	t.Parallel()
	inRig(t, func(r *rig) {
		a := r.plan.Endpoints["a"]
		a.Backups, a.Breaker = nil, gate.DefaultBreaker()
	}, func(t *testing.T, r *rig) {
		reg := registry(t, r.metrics)
		for i := range 5 {
			r.publish(t.Context(), &delivery.Event{ID: fmt.Sprint("evt_", i), Type: "label.created"})
			pass(time.Millisecond)
		}
		pass(2 * time.Second)
		expect(t, reg, `
			caddy_webhooks_attempts_total{endpoint="a",outcome="server_error"} 5
			caddy_webhooks_attempts_in_flight{endpoint="a"} 0
			caddy_webhooks_breaker_state{endpoint="a"} 2
			caddy_webhooks_breaker_state{endpoint="b"} 0
			caddy_webhooks_endpoint_disabled{endpoint="a"} 0
		`)
		r.answers("a", 410) // the retries of the five
		r.restart()
		pass(5 * time.Minute)
		expect(t, reg, `caddy_webhooks_endpoint_disabled{endpoint="a"} 1`)
	})
}

// audited is an engine whose store has lost two deliveries, by the counts.
type audited struct{ crowd }

func (audited) Stats(context.Context) (delivery.Stats, error) {
	return delivery.Stats{
		Counts: delivery.Counts{Pending: 5},
		Audit:  &delivery.Audit{At: time.UnixMilli(1_700_000_000_500), Pending: 5, Found: 3},
		Store:  &delivery.StoreUse{Size: 10, Written: 20, Commits: [len(delivery.CommitBounds) + 1]uint64{3, 0, 1}, CommitTime: time.Second},
	}, nil
}

func TestWhatTheStoreFoundAndDidIsExposed(t *testing.T) {
	t.Parallel()
	m := NewMetrics()
	m.Watch(audited{})
	expect(t, registry(t, m), fmt.Sprintf(`
		caddy_webhooks_deliveries{state="pending"} 5
		caddy_webhooks_lost_deliveries 2
		caddy_webhooks_audit_timestamp_seconds 1.7000000005e+09
		caddy_webhooks_store_commit_seconds_bucket{le="%v"} 3
		caddy_webhooks_store_commit_seconds_bucket{le="%v"} 4
		caddy_webhooks_store_commit_seconds_bucket{le="+Inf"} 4
		caddy_webhooks_store_commit_seconds_sum 1
		caddy_webhooks_store_size_bytes 10
		caddy_webhooks_store_written_bytes_total 20
	`, delivery.CommitBounds[0].Seconds(), delivery.CommitBounds[2].Seconds()))
}

func TestAnAttemptThatACrashSwallowedIsCountedOnce(t *testing.T) {
	t.Parallel()
	inRig(t, nil, func(t *testing.T, r *rig) {
		reg := registry(t, r.metrics)
		r.answers("a", hangs)
		r.publish(t.Context(), &delivery.Event{Type: "label.created"})
		pass(100 * time.Millisecond)
		r.answers("a", 200)
		r.restart()
		pass(time.Second)
		expect(t, reg, `
			caddy_webhooks_attempts_total{endpoint="a",outcome="delivered"} 1
			caddy_webhooks_attempts_total{endpoint="a",outcome="unknown"} 1
		`)
		r.restart() // nothing is in hand any more
		pass(time.Second)
		expect(t, reg, `caddy_webhooks_attempts_total{endpoint="a",outcome="unknown"} 1`)
	})
}

// expect wants each of these lines among the metrics.
func expect(t *testing.T, reg prometheus.Gatherer, want string) {
	t.Helper()
	text := exposed(t, reg)
	for line := range strings.Lines(want) {
		if line = strings.TrimSpace(line); line != "" && !strings.Contains(text, line+"\n") {
			t.Errorf("not among the metrics: %s", line)
		}
	}
	if t.Failed() {
		t.Logf("metrics:\n%s", text)
	}
}

func registry(t *testing.T, m *Metrics) *prometheus.Registry {
	t.Helper()
	reg := prometheus.NewPedanticRegistry() // as Caddy's: it checks what is collected against what is described
	if err := reg.Register(m); err != nil {
		t.Fatal(err)
	}
	return reg
}

// exposed are the metrics as a scraper gets them, without the comments.
func exposed(t *testing.T, reg prometheus.Gatherer) string {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var b, lines strings.Builder
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&b, f); err != nil {
			t.Fatal(err)
		}
	}
	for line := range strings.Lines(b.String()) {
		if !strings.HasPrefix(line, "#") {
			lines.WriteString(line)
		}
	}
	return lines.String()
}

func TestTheLinterOfPrometheusHasNothingToSay(t *testing.T) {
	t.Parallel()
	inRig(t, nil, func(t *testing.T, r *rig) {
		r.metrics.scrape.engine = measured{r.e}
		r.publish(t.Context(), &delivery.Event{Type: "broken"})
		pass(2 * time.Minute)
		reg := registry(t, r.metrics)
		problems, err := testutil.GatherAndLint(reg)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range problems {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
		var described []string
		ch := make(chan *prometheus.Desc, 100)
		r.metrics.Describe(ch)
		close(ch)
		for d := range ch {
			described = append(described, d.String())
		}
		families, _ := reg.Gather()
		if len(families) != len(described) {
			t.Errorf("%d metrics are described, %d are there:\n%s", len(described), len(families), strings.Join(described, "\n"))
		}
	})
}

// measured adds what the memory store does not tell.
type measured struct{ *delivery.Engine }

func (m measured) Stats(ctx context.Context) (delivery.Stats, error) {
	s, err := m.Engine.Stats(ctx)
	s.Audit = &delivery.Audit{At: time.Now()}
	s.Store = &delivery.StoreUse{Size: 1, Written: 2, Commits: [len(delivery.CommitBounds) + 1]uint64{3, 0, 1}, CommitTime: time.Second}
	return s, err
}

// crowd is an engine with any number of endpoints made through the API, as far as metrics can tell.
type crowd struct{ n int }

func (crowd) Healthy() bool { return true }

func (crowd) Stats(context.Context) (delivery.Stats, error) {
	return delivery.Stats{}, errors.New("not asked for")
}

func (c crowd) Endpoints() []delivery.EndpointStatus {
	all := []delivery.EndpointStatus{{Name: "orders", Pending: 1}}
	for i := range c.n {
		s := delivery.EndpointStatus{Name: fmt.Sprintf("ep_%d", i), Pending: 2, State: delivery.LaneState{Paused: true}}
		if i >= 100 {
			s.Hold = gate.Hold{Reason: gate.ReasonPaused}
		}
		all = append(all, s)
	}
	if c.n > 0 {
		all[c.n].Breaker = gate.StateOpen
	}
	return all
}

func (c crowd) Oldest(context.Context) (map[string]time.Time, error) {
	due := map[string]time.Time{}
	for i := range c.n {
		due[fmt.Sprintf("ep_%d", i)] = time.Now().Add(-time.Duration(i)*time.Second - time.Second/2)
	}
	return due, nil
}

func TestTenThousandEndpointsOfTheAPIAreOneLabel(t *testing.T) {
	t.Parallel()
	count := func(n int) (int, string) {
		m := NewMetrics()
		m.Watch(crowd{n})
		for i := range n {
			name := fmt.Sprintf("ep_%d", i)
			m.Attempted(nil, &delivery.Attempt{Endpoint: name, Outcome: "delivered"})
			m.RuleFailed(nil, delivery.SubscriptionPrefix+name)
			m.Lost(name)
		}
		return testutil.CollectAndCount(m), exposed(t, registry(t, m))
	}
	few, _ := count(1)
	many, text := count(10_000)
	if few != many {
		t.Errorf("%d series with one endpoint, %d with ten thousand", few, many)
	}
	for _, line := range []string{
		`caddy_webhooks_attempts_total{endpoint="dynamic",outcome="delivered"} 10000`,
		`caddy_webhooks_attempts_total{endpoint="dynamic",outcome="unknown"} 10000`,
		`caddy_webhooks_oldest_due_seconds{endpoint="dynamic"} 9999.`, `caddy_webhooks_overdue_seconds{endpoint="dynamic"} 99.`,
		`caddy_webhooks_pending_deliveries{endpoint="dynamic"} 20000`, `caddy_webhooks_breaker_state{endpoint="dynamic"} 2`,
		`caddy_webhooks_endpoint_paused{endpoint="dynamic"} 10000`, `caddy_webhooks_rule_errors_total{route="dynamic"} 10000`,
		`caddy_webhooks_pending_deliveries{endpoint="orders"} 1`, `caddy_webhooks_endpoints 10001`,
	} {
		if !strings.HasSuffix(line, ".") {
			line += "\n"
		}
		if !strings.Contains(text, line) {
			t.Errorf("not among the metrics: %s", line)
		}
	}
}

func TestNamesThatComeAndGoAreBounded(t *testing.T) {
	t.Parallel()
	m := NewMetrics()
	for i := range maxNames + 100 {
		m.Attempted(nil, &delivery.Attempt{Endpoint: fmt.Sprint("e", i), Outcome: "some word"})
	}
	if n := testutil.CollectAndCount(m, "caddy_webhooks_attempts_total"); n != maxNames+1 {
		t.Errorf("%d series, want %d and one for all others", n, maxNames)
	}
	if text := exposed(t, registry(t, m)); !strings.Contains(text, `{endpoint="other",outcome="other"} 100`+"\n") {
		t.Error("the others are not counted")
	}
}

func TestEveryRegistryGetsTheSameCounters(t *testing.T) {
	t.Parallel()
	m := NewMetrics()
	before := runtime.NumGoroutine()
	for i := range 100 {
		m.Accepted(nil, nil)
		expect(t, registry(t, m), fmt.Sprintf("caddy_webhooks_events_accepted_total %d", i+1))
	}
	if after := runtime.NumGoroutine(); after > before+20 { // other tests run beside this one
		t.Errorf("%d goroutines, %d before", after, before)
	}
}

func TestMetricsOfAnEngineThatIsGoneAreGone(t *testing.T) {
	t.Parallel()
	m := NewMetrics()
	one, two := &crowd{}, &crowd{}
	m.Watch(one)
	m.Watch(two)
	m.Leave(one) // the one before it
	if n := testutil.CollectAndCount(m, "caddy_webhooks_endpoints"); n != 1 {
		t.Errorf("%d series of the engine that runs", n)
	}
	m.Leave(two)
	if n := testutil.CollectAndCount(m, "caddy_webhooks_endpoints"); n != 0 {
		t.Errorf("%d series of none", n)
	}
}

// BenchmarkAttempted is what the metrics of one attempt cost.
func BenchmarkAttempted(b *testing.B) {
	m := NewMetrics()
	a := &delivery.Attempt{Endpoint: "orders", Outcome: "delivered", Duration: time.Millisecond}
	ev := &delivery.Event{}
	d := &delivery.Delivery{Event: ev}
	tr := &delivery.Transition{Progress: delivery.Progress{State: delivery.Delivered}}
	b.ReportAllocs()
	for b.Loop() {
		m.Accepted(ev, nil)
		m.Attempted(d, a)
		m.Settled(d, tr)
	}
}

// BenchmarkScrapeOfTenThousandEndpoints is what a scrape costs, but for the engine's part.
func BenchmarkScrapeOfTenThousandEndpoints(b *testing.B) {
	e := crowd{10_000}
	b.ReportAllocs()
	for b.Loop() {
		endpointMetrics(b.Context(), e, time.Now())
	}
}
