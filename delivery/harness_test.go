package delivery_test

import (
	"cmp"
	"context"
	"errors"
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

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/gate"
	"github.com/atoship/caddy-webhooks/delivery/retry"
	"github.com/atoship/caddy-webhooks/delivery/sign"
	"github.com/atoship/caddy-webhooks/delivery/store/memory"
)

// sent is one request an endpoint saw.
type sent struct {
	at       time.Time
	endpoint string
	event    string
	delivery string
	attempt  string
	body     string
	header   http.Header
}

// world is an engine over the memory store with endpoints that answer as told; it lives in a synctest bubble.
type world struct {
	t     *testing.T
	store *memory.Store
	wrap  func(*memory.Store) delivery.Store // nil: the engine gets store itself
	e     *delivery.Engine

	tracer   delivery.Tracer
	observer delivery.Observer
	log      *slog.Logger
	clock    func() time.Time // nil: the bubble's

	mu      sync.Mutex
	sends   []sent
	answers map[string]func(n int, r *http.Request) (*http.Response, error) // by endpoint; n counts its requests from 1
	counts  map[string]int
}

// inWorld runs f in a bubble with an engine whose plan has the endpoints.
func inWorld(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	inWorldOver(t, nil, f)
}

// inWorldOver does so with a store that wrap has made of the memory store.
func inWorldOver(t *testing.T, wrap func(*memory.Store) delivery.Store, f func(t *testing.T, w *world)) {
	t.Helper()
	inWorldLike(t, func(w *world) { w.wrap = wrap }, f)
}

// inWorldLike does so after setup changed the world.
func inWorldLike(t *testing.T, setup func(*world), f func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{
			t: t, store: memory.New(),
			answers: map[string]func(int, *http.Request) (*http.Response, error){}, counts: map[string]int{},
		}
		setup(w)
		w.open()
		f(t, w)
		w.close()
	})
}

func (w *world) open() {
	w.t.Helper()
	store := delivery.Store(w.store)
	if w.wrap != nil {
		store = w.wrap(w.store)
	}
	e, err := delivery.Open(context.Background(), delivery.Config{
		Store: store, Tracer: w.tracer, Observer: w.observer, Logger: cmp.Or(w.log, slog.New(slog.DiscardHandler)),
	}.WithClock(w.clock))
	if err != nil {
		w.t.Fatal(err)
	}
	w.e = e
}

func (w *world) close() {
	if err := w.e.Shutdown(context.Background()); err != nil {
		w.t.Error(err)
	}
}

// crash kills the process: the engine is cut off from its store, and a new one starts on what was committed.
func (w *world) crash() {
	w.t.Helper()
	next := w.store.Crash()
	old := w.e
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // no draining
	_ = old.Shutdown(ctx)
	w.store = next
	w.open()
}

// RoundTrip plays all endpoints; the host is the endpoint's name.
func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	body, _ := io.ReadAll(r.Body)
	name := r.URL.Hostname()
	w.mu.Lock()
	w.counts[name]++
	n, answer := w.counts[name], w.answers[name]
	w.sends = append(w.sends, sent{
		at: time.Now(), endpoint: name, body: string(body), header: r.Header.Clone(),
		event: r.Header.Get("X-AtoShip-Event-Id"), delivery: r.Header.Get("X-AtoShip-Delivery"), attempt: r.Header.Get("X-AtoShip-Attempt"),
	})
	w.mu.Unlock()
	if answer == nil {
		return status(200)
	}
	return answer(n, r)
}

func (w *world) seen(endpoint string) []sent {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(w.sends), func(s sent) bool { return endpoint != "" && s.endpoint != endpoint })
}

func (w *world) answer(endpoint string, f func(n int, r *http.Request) (*http.Response, error)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answers[endpoint] = f
}

func status(code int, headers ...string) (*http.Response, error) {
	h := http.Header{}
	for i := 0; i+1 < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	return &http.Response{StatusCode: code, Header: h, Body: io.NopCloser(strings.NewReader("answer")), ContentLength: 6}, nil
}

func always(code int, headers ...string) func(int, *http.Request) (*http.Response, error) {
	return func(int, *http.Request) (*http.Response, error) { return status(code, headers...) }
}

var errDown = errors.New("network down")

func down(int, *http.Request) (*http.Response, error) { return nil, errDown }

func hang(_ int, r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// routeTo is a router that sends every event to the same targets.
type routeTo struct {
	targets []delivery.Target
	digest  string
	decide  func(ev *delivery.Event) delivery.Decision
}

func (r routeTo) Digest() string { return r.digest }

func (r routeTo) Route(_ context.Context, ev *delivery.Event) (delivery.Decision, error) {
	if r.decide != nil {
		return r.decide(ev), nil
	}
	return delivery.Decision{Targets: r.targets}, nil
}

// to makes a target: primary first.
func to(primary string, backups ...string) delivery.Target {
	return delivery.Target{Route: "r-" + primary, Primary: primary, Backups: backups, OwnBackups: true}
}

// option changes an endpoint of a plan.
type option func(*delivery.Endpoint)

func retries(delays ...time.Duration) option {
	return func(ep *delivery.Endpoint) { ep.Retry = retry.Schedule{Delays: delays} }
}

func noBreaker(ep *delivery.Endpoint) { ep.Breaker = gate.BreakerSettings{Off: true} }

func (w *world) endpoint(name string, opts ...option) *delivery.Endpoint {
	w.t.Helper()
	scheme, _ := sign.Lookup("atoship")
	signer, err := scheme.NewSigner([]sign.Secret{{Value: "a secret for tests only"}}, sign.Options{})
	if err != nil {
		w.t.Fatal(err)
	}
	ep := &delivery.Endpoint{
		Name: name, URL: &url.URL{Scheme: "https", Host: name, Path: "/"}, Signer: signer, Transport: w,
		Retry: retry.Default(), Timeout: delivery.DefaultTimeout, Concurrency: delivery.DefaultConcurrency,
		Breaker: gate.DefaultBreaker(),
	}
	for _, o := range opts {
		o(ep)
	}
	return ep
}

func (w *world) plan(router delivery.Router, eps ...*delivery.Endpoint) *delivery.Plan {
	p := &delivery.Plan{
		Router: router, Endpoints: map[string]*delivery.Endpoint{},
		HeaderPrefix: delivery.DefaultHeaderPrefix, UserAgent: "AtoShip-Webhooks/test",
		Dedupe: delivery.DefaultDedupe, Expire: delivery.DefaultExpire, Retention: delivery.DefaultRetention,
		Drain: delivery.DefaultDrain, MaxInFlight: delivery.DefaultMaxInFlight,
	}
	for _, ep := range eps {
		p.Endpoints[ep.Name] = ep
	}
	return p
}

func (w *world) apply(p *delivery.Plan) {
	w.t.Helper()
	if err := w.e.Apply(p); err != nil {
		w.t.Fatal(err)
	}
}

// newEvent with an id, as ingest would make it.
func newEvent(id string) *delivery.Event {
	const head, data, tail = `{"event":"label.created","timestamp":"2024-01-15T10:30:00Z","data":`, `{"label_id":"lbl_abc123"}`, `}`
	return &delivery.Event{
		ID: id, GivenID: true, Type: "label.created", Environment: "production", Timestamp: "2024-01-15T10:30:00Z",
		Accepted: time.Now().UTC().Truncate(time.Millisecond), ContentType: "application/json",
		Body: []byte(head + data + tail), DataStart: uint32(len(head)), DataEnd: uint32(len(head + data)),
	}
}

// publish accepts events and returns their receipts.
func (w *world) publish(ids ...string) []delivery.Receipt {
	w.t.Helper()
	evs := make([]*delivery.Event, len(ids))
	for i, id := range ids {
		evs[i] = newEvent(id)
	}
	receipts, err := w.e.Accept(context.Background(), evs)
	if err != nil {
		w.t.Fatal(err)
	}
	return receipts
}

// record reads a delivery back.
func (w *world) record(r delivery.Receipt) *delivery.DeliveryRecord {
	w.t.Helper()
	rec, err := w.e.Journal().Delivery(context.Background(), r.Deliveries[0].ID)
	if err != nil {
		w.t.Fatal(err)
	}
	return rec
}

// pass lets virtual time go by, then waits until everything came to rest.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// byName routes an event by its id, which reads "name-rest", to the targets of that name.
func byName(targets map[string]delivery.Target) routeTo {
	return routeTo{decide: func(ev *delivery.Event) delivery.Decision {
		name, _, _ := strings.Cut(ev.ID, "-")
		return delivery.Decision{Targets: []delivery.Target{targets[name]}}
	}}
}

// outcomes of a delivery's attempts in order, as endpoint:outcome; moves read "moved".
func outcomes(rec *delivery.DeliveryRecord) []string {
	var all []string
	for _, t := range rec.Transitions {
		if t.Attempt != nil {
			all = append(all, t.Attempt.Endpoint+":"+t.Attempt.Outcome)
		} else {
			all = append(all, t.Kind.String())
		}
	}
	return all
}

func want[T comparable](t *testing.T, what string, got, want []T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got %v\nwant %v", what, got, want)
	}
}
