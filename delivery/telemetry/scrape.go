package telemetry

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/gate"
)

// Engine is what gauges are read from; *delivery.Engine is one.
type Engine interface {
	Stats(ctx context.Context) (delivery.Stats, error)
	Endpoints() []delivery.EndpointStatus
	Oldest(ctx context.Context) (map[string]time.Time, error)
	Healthy() bool
}

const (
	// scrapeEvery is how often the engine is asked at most, however often the metrics are: reading what ten thousand
	// endpoints do takes some milliseconds, and the metrics page may be open to many.
	scrapeEvery = time.Second
	// scrapeTimeout bounds the asking; what was not answered by then is left out of the scrape.
	scrapeTimeout = 2 * time.Second
)

var (
	deliveriesDesc = desc("deliveries", "Deliveries that are kept, by state.", labelState)
	oldestDesc     = desc("oldest_due_seconds", "For how long the delivery has been due that is due for longest, by the endpoint it waits at.", labelEndpoint)
	overdueDesc    = desc("overdue_seconds", "For how long the delivery has been due that is due for longest where nothing holds it: no pause, no open breaker, no Retry-After. By endpoint; of several under one label, the longest.", labelEndpoint)
	pendingDesc    = desc("pending_deliveries", "Deliveries that are pending, by the endpoint they were accepted for.", labelEndpoint)
	inFlightDesc   = desc("attempts_in_flight", "Attempts that are under way, by endpoint.", labelEndpoint)
	breakerDesc    = desc("breaker_state", "State of the endpoint's breaker: 0 closed, 1 half open, 2 open. Of several endpoints under one label, the worst.", labelEndpoint)
	pausedDesc     = desc("endpoint_paused", "Whether the endpoint is paused by an operator; how many are, under the label dynamic.", labelEndpoint)
	disabledDesc   = desc("endpoint_disabled", "Whether the endpoint was taken out of service because it only failed or is gone; how many were, under the label dynamic.", labelEndpoint)
	endpointsDesc  = desc("endpoints", "Endpoints that are known.")
	lostDesc       = desc("lost_deliveries", "Deliveries on record as pending that stand in no lane and no hand, as the last audit of the store found. Anything but 0 is a fault of the gateway.")
	auditDesc      = desc("audit_timestamp_seconds", "When the store was audited last, in Unix time.")
	healthyDesc    = desc("store_healthy", "Whether the store can commit: 1 or 0.")
	sizeDesc       = desc("store_size_bytes", "What the store takes on disk.")
	writtenDesc    = desc("store_written_bytes_total", "What was written to the store's files, rewriting included.")
	commitDesc     = desc("store_commit_seconds", "How long the store's synced commits took.")
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, nil)
}

// scrape reads gauges from an engine.
type scrape struct {
	mu     sync.Mutex
	engine Engine // nil: none runs
	until  time.Time
	last   []prometheus.Metric
}

// Watch reads gauges from this engine from now on.
func (m *Metrics) Watch(e Engine) {
	m.scrape.mu.Lock()
	defer m.scrape.mu.Unlock()
	m.scrape.engine, m.scrape.until = e, time.Time{}
}

// Leave ends Watch, unless another engine is watched already.
func (m *Metrics) Leave(e Engine) {
	m.scrape.mu.Lock()
	defer m.scrape.mu.Unlock()
	if m.scrape.engine == e {
		m.scrape.engine, m.scrape.last = nil, nil
	}
}

func (*scrape) describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		deliveriesDesc, oldestDesc, overdueDesc, pendingDesc, inFlightDesc, breakerDesc, pausedDesc, disabledDesc, endpointsDesc,
		lostDesc, auditDesc, healthyDesc, sizeDesc, writtenDesc, commitDesc,
	} {
		ch <- d
	}
}

func (s *scrape) collect(ch chan<- prometheus.Metric, now time.Time) {
	for _, m := range s.metrics(now) {
		ch <- m
	}
}

func (s *scrape) metrics(now time.Time) []prometheus.Metric {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.engine == nil {
		return nil
	}
	if !now.Before(s.until) {
		ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
		defer cancel()
		s.last = append(storeMetrics(ctx, s.engine), endpointMetrics(ctx, s.engine, now)...)
		s.until = now.Add(scrapeEvery)
		time.AfterFunc(scrapeEvery, s.forget)
	}
	return s.last
}

// forget lets go of what was read last: until the next scrape every collection of garbage would mark ten thousand endpoints' gauges.
func (s *scrape) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !time.Now().Before(s.until) {
		s.last = nil
	}
}

func gauge(d *prometheus.Desc, v float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

// storeMetrics are those of the whole. While the store cannot be read there is little to tell.
func storeMetrics(ctx context.Context, e Engine) []prometheus.Metric {
	healthy := 0.0
	if e.Healthy() {
		healthy = 1
	}
	all := []prometheus.Metric{gauge(healthyDesc, healthy)}
	stats, err := e.Stats(ctx)
	if err != nil {
		return all
	}
	for state, n := range map[delivery.State]uint64{
		delivery.Pending: stats.Pending, delivery.Delivered: stats.Delivered,
		delivery.Exhausted: stats.Exhausted, delivery.Cancelled: stats.Cancelled,
	} {
		all = append(all, gauge(deliveriesDesc, float64(n), state.String()))
	}
	if a := stats.Audit; a != nil {
		all = append(all, gauge(lostDesc, float64(a.Lost())), gauge(auditDesc, float64(a.At.UnixMilli())/1000))
	}
	if u := stats.Store; u != nil {
		all = append(all, gauge(sizeDesc, float64(u.Size)),
			prometheus.MustNewConstMetric(writtenDesc, prometheus.CounterValue, float64(u.Written)), commits(u))
	}
	return all
}

// commits makes a histogram of what the store counted.
func commits(u *delivery.StoreUse) prometheus.Metric {
	buckets := make(map[float64]uint64, len(delivery.CommitBounds))
	n := uint64(0)
	for i, count := range u.Commits {
		n += count
		if i < len(delivery.CommitBounds) {
			buckets[delivery.CommitBounds[i].Seconds()] = n
		}
	}
	return prometheus.MustNewConstHistogram(commitDesc, n, u.CommitTime.Seconds(), buckets)
}

// figures are those of one label.
type figures struct {
	pending, inFlight, breaker, paused, disabled, oldest, overdue float64
}

func (f *figures) add(s *delivery.EndpointStatus) {
	f.pending += float64(s.Pending)
	f.inFlight += float64(s.InFlight)
	f.breaker = max(f.breaker, breakerFigure(s.Breaker))
	if s.State.Paused {
		f.paused++
	}
	if s.State.Disabled != "" {
		f.disabled++
	}
}

func breakerFigure(s gate.State) float64 {
	switch s {
	case gate.StateClosed:
		return 0
	case gate.StateHalfOpen:
		return 1
	case gate.StateOpen:
		return 2
	default:
		return 0
	}
}

// endpointMetrics are those by endpoint. Names are those of the lanes that exist: the configuration's, those it had before
// that still have work, and one label for all that were made through the API.
func endpointMetrics(ctx context.Context, e Engine, now time.Time) []prometheus.Metric {
	oldest, err := e.Oldest(ctx)
	statuses := e.Endpoints()
	by := map[string]*figures{}
	held := map[string]bool{}
	for i := range statuses {
		s := &statuses[i]
		of(by, s.Name).add(s)
		held[s.Name] = s.Hold != (gate.Hold{}) || s.Breaker != gate.StateClosed
	}
	for name, since := range oldest {
		f, due := of(by, name), now.Sub(since).Seconds()
		f.oldest = max(f.oldest, due)
		if !held[name] {
			f.overdue = max(f.overdue, due)
		}
	}
	all := []prometheus.Metric{gauge(endpointsDesc, float64(len(statuses)))}
	for label, f := range by {
		all = append(all,
			gauge(pendingDesc, f.pending, label), gauge(inFlightDesc, f.inFlight, label), gauge(breakerDesc, f.breaker, label),
			gauge(pausedDesc, f.paused, label), gauge(disabledDesc, f.disabled, label))
		if err == nil {
			all = append(all, gauge(oldestDesc, f.oldest, label), gauge(overdueDesc, f.overdue, label))
		}
	}
	return all
}

func of(by map[string]*figures, name string) *figures {
	if strings.HasPrefix(name, dynamicPrefix) {
		name = Dynamic
	}
	f := by[name]
	if f == nil {
		f = new(figures)
		by[name] = f
	}
	return f
}
