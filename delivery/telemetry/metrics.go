package telemetry

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/retry"
)

// namespace begins the name of every metric.
const namespace = "caddy_webhooks"

// Labels. Their values are names of the configuration, or of a closed list.
const (
	labelEndpoint = "endpoint"
	labelRoute    = "route"
	labelOutcome  = "outcome"
	labelReason   = "reason"
	labelState    = "state"
)

const (
	// Dynamic is the label of all endpoints that were made through the API: as many as customers like, one label.
	Dynamic = "dynamic"
	// dynamicPrefix begins their ids; no endpoint of the configuration may be called so.
	dynamicPrefix = "ep_"
	// other is the label of names beyond maxNames.
	other = "other"
	// maxNames bounds the values of one label over the life of the process: a generated configuration with a thousand
	// endpoints has its names, one that changes them with every reload does not fill memory.
	maxNames = 2000
)

// labelled holds what is measured under each value of a label, and bounds the values. Finding it is much of what an attempt's
// metrics cost, so it is found once. Safe for concurrent use.
type labelled[T any] struct {
	make  func(label string) *T
	known sync.Map // label -> *T
	mu    sync.Mutex
	n     int
}

// of finds what is measured for a name.
func (l *labelled[T]) of(name string) *T {
	if strings.HasPrefix(name, dynamicPrefix) {
		name = Dynamic
	}
	if v, ok := l.known.Load(name); ok {
		return v.(*T)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.n >= maxNames {
		name = other
	}
	v, known := l.known.LoadOrStore(name, l.make(name))
	if !known {
		l.n++
	}
	return v.(*T)
}

// outcomes are the labels of attempts_total; the last is for what is none of them.
var outcomes = append(retry.Outcomes(), other)

// tried counts the attempts at an endpoint. A counter is made when its outcome first occurs: most never do.
type tried struct {
	label    string
	byNumber []atomic.Pointer[prometheus.Counter] // by the outcome's place in outcomes
	duration prometheus.Observer
}

func (t *tried) counter(vec *prometheus.CounterVec, outcome string) prometheus.Counter {
	i := slices.Index(outcomes, retry.Outcome(outcome))
	if i < 0 {
		i = len(outcomes) - 1
	}
	if c := t.byNumber[i].Load(); c != nil {
		return *c
	}
	c := vec.WithLabelValues(t.label, outcomes[i].String())
	t.byNumber[i].Store(&c)
	return c
}

// Buckets, in seconds. An attempt lasts up to its endpoint's timeout, 30 s by default; a delivery through all of its
// schedule may take a week.
var (
	attemptBuckets = []float64{.005, .01, .025, .05, .075, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10, 15, 30}
	latencyBuckets = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 15, 60, 300, 1800, 7200, 86400, 604800}
)

// Metrics counts what engines do, and reads from the one it watches what they keep. It is one Prometheus collector, made
// once and registered with each configuration's registry, so that its counters go on over reloads. It is also the engines'
// observer. Safe for concurrent use.
type Metrics struct {
	delivery.NopObserver

	accepted   prometheus.Counter
	rejected   *prometheus.CounterVec
	attempts   *prometheus.CounterVec
	duration   *prometheus.HistogramVec
	latency    prometheus.Histogram
	ruleErrors *prometheus.CounterVec

	tried  labelled[tried]
	failed labelled[prometheus.Counter] // rules, by route
	scrape scrape
}

// NewMetrics returns metrics that are all 0.
func NewMetrics() *Metrics {
	m := &Metrics{
		accepted: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: namespace, Name: "events_accepted_total",
			Help: "Events that were accepted, duplicates of known ones not counted.",
		}),
		rejected: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "events_rejected_total",
			Help: "Requests to publish that were refused, a batch counted once, by the reason.",
		}, []string{labelReason}),
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "attempts_total",
			Help: "Delivery attempts that ended, by the endpoint tried and the outcome; unknown are those that a crash may have cut off, counted at the start after it.",
		}, []string{labelEndpoint, labelOutcome}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Name: "attempt_duration_seconds", Buckets: attemptBuckets,
			Help: "How long attempts took, from dialling to the last byte read of the answer.",
		}, []string{labelEndpoint}),
		latency: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Name: "delivery_latency_seconds", Buckets: latencyBuckets,
			Help: "How long deliveries took from the acceptance of their event to the endpoint's 2xx.",
		}),
		ruleErrors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Name: "rule_errors_total",
			Help: "Rules that could not be evaluated on an event, by route.",
		}, []string{labelRoute}),
	}
	m.tried.make = func(label string) *tried {
		return &tried{label: label, byNumber: make([]atomic.Pointer[prometheus.Counter], len(outcomes)), duration: m.duration.WithLabelValues(label)}
	}
	m.failed.make = func(label string) *prometheus.Counter {
		c := m.ruleErrors.WithLabelValues(label)
		return &c
	}
	for _, reason := range rejections {
		m.rejected.WithLabelValues(reason)
	}
	return m
}

// rejections are the reasons of a refused request, by the status of its answer.
var rejections = map[int]string{
	400: "syntax", 401: "unauthorized", 405: "method", 409: "conflict", 413: "too_large", 415: "media_type",
	422: "invalid", 429: "backlog", 500: "internal", 503: "unavailable", 508: "loop",
}

// Rejected counts a request to publish that was refused with this status.
func (m *Metrics) Rejected(status int) {
	reason, ok := rejections[status]
	if !ok {
		reason = other
	}
	m.rejected.WithLabelValues(reason).Inc()
}

// Accepted implements delivery.Observer.
func (m *Metrics) Accepted(*delivery.Event, []*delivery.Delivery) { m.accepted.Inc() }

// RuleFailed implements delivery.Observer.
func (m *Metrics) RuleFailed(_ *delivery.Event, route string) {
	if name, ok := strings.CutPrefix(route, delivery.SubscriptionPrefix); ok && strings.HasPrefix(name, dynamicPrefix) {
		route = Dynamic
	}
	(*m.failed.of(route)).Inc()
}

// Attempted implements delivery.Observer.
func (m *Metrics) Attempted(_ *delivery.Delivery, a *delivery.Attempt) {
	t := m.tried.of(a.Endpoint)
	t.counter(m.attempts, a.Outcome).Inc()
	t.duration.Observe(a.Duration.Seconds())
}

// Lost implements delivery.Observer. How long such an attempt took nobody knows.
func (m *Metrics) Lost(endpoint string) {
	m.tried.of(endpoint).counter(m.attempts, retry.Unknown.String()).Inc()
}

// Settled implements delivery.Observer.
func (m *Metrics) Settled(d *delivery.Delivery, t *delivery.Transition) {
	if t.Progress.State == delivery.Delivered {
		m.latency.Observe(max(t.At.Sub(d.Event.Accepted), 0).Seconds())
	}
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range m.counted() {
		c.Describe(ch)
	}
	m.scrape.describe(ch)
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	for _, c := range m.counted() {
		c.Collect(ch)
	}
	m.scrape.collect(ch, time.Now())
}

func (m *Metrics) counted() []prometheus.Collector {
	return []prometheus.Collector{m.accepted, m.rejected, m.attempts, m.duration, m.latency, m.ruleErrors}
}

var (
	_ prometheus.Collector = (*Metrics)(nil)
	_ delivery.Observer    = (*Metrics)(nil)
)
