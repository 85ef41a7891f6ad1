//go:build !race

// Under the race detector pools forget at random, and what is allocated says nothing.

package delivery_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/egress"
	"github.com/atoship/caddy-webhooks/delivery/gate"
	"github.com/atoship/caddy-webhooks/delivery/httpapi"
	"github.com/atoship/caddy-webhooks/delivery/retry"
	"github.com/atoship/caddy-webhooks/delivery/sign"
	"github.com/atoship/caddy-webhooks/delivery/store/embedded"
	"github.com/atoship/caddy-webhooks/rules"
)

// budget is what one event may allocate on its way from the ingest handler through rules, store, lane, signature and a
// real connection to its settlement: times depend on the machine, allocations do not. A change that lowers a figure
// lowers it here too.
var budget = map[string]struct{ allocs, bytes float64 }{
	"single":       {allocs: 58, bytes: 4400},
	"batch of 100": {allocs: 64, bytes: 7900}, // deliveries fall behind, and are read back from the store
}

// budgetSlack is how far above its figure a run may be. Groups of a commit vary with the machine's mood, and so does what
// they share.
const budgetSlack = 1.10

// budgetRuns are tried at most: where the processors are others' for a while, deliveries fall behind and are read back from
// the store, single ones too, for a dozen allocations more each. What every event costs no run is without.
const budgetRuns = 4

func TestAnEventAllocatesNoMoreThanItsBudget(t *testing.T) {
	for _, batch := range []int{1, 100} {
		name := budgetName(batch)
		t.Run(name, func(t *testing.T) {
			p := newPath(t, batch)
			p.publish(2000) // pools and connections fill
			want := budget[name]
			for range budgetRuns {
				allocs, bytes := p.measure(4000)
				t.Logf("%.1f allocations of %.0f bytes in all", allocs, bytes)
				if allocs <= want.allocs*budgetSlack && bytes <= want.bytes*budgetSlack {
					return
				}
			}
			t.Errorf("an event cost more than its budget, %.0f allocations and %.0f bytes", want.allocs, want.bytes)
		})
	}
}

// BenchmarkEvent is the budget's path with the clock: time per event, everything in one process.
func BenchmarkEvent(b *testing.B) {
	for _, batch := range []int{1, 100} {
		b.Run(budgetName(batch), func(b *testing.B) {
			p := newPath(b, batch)
			p.publish(2000)
			b.ReportAllocs()
			b.ResetTimer()
			p.publish(b.N)
		})
	}
}

func budgetName(batch int) string {
	if batch == 1 {
		return "single"
	}
	return fmt.Sprint("batch of ", batch)
}

// path is everything an event passes but Caddy: handler, engine, embedded store on a real disk, egress, a receiver.
type path struct {
	tb      testing.TB
	ingest  http.Handler
	batch   int
	settled atomic.Int64
	delivery.NopObserver
}

// Settled implements delivery.Observer.
func (p *path) Settled(*delivery.Delivery, *delivery.Transition) { p.settled.Add(1) }

func newPath(tb testing.TB, batch int) *path {
	tb.Helper()
	return newTracedPath(tb, batch, nil)
}

func newTracedPath(tb testing.TB, batch int, tracer delivery.Tracer) *path {
	tb.Helper()
	p := &path{tb: tb, batch: batch}
	store, err := embedded.Open(tb.Context(), embedded.Options{Dir: tb.TempDir()})
	if err != nil {
		tb.Fatal(err)
	}
	e, err := delivery.Open(context.Background(), delivery.Config{Store: store, Observer: p, Tracer: tracer, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = e.Shutdown(context.Background()) })
	if err := e.Apply(p.plan()); err != nil {
		tb.Fatal(err)
	}
	p.ingest = &httpapi.Ingest{Engine: func() httpapi.Engine { return e }, Auth: httpapi.OpenAuth()}
	return p
}

// plan has one endpoint with the default signatures, and a rule that reads the event's data.
func (p *path) plan() *delivery.Plan {
	set, err := rules.Compile(rules.Config{
		Endpoints: []string{"orders"},
		Routes: []rules.Route{{
			Name: "labels", When: rules.Expr{Text: `event.type startsWith "label." && data.carrier == "USPS"`},
			To: []rules.Chain{{Primary: "orders"}},
		}},
	})
	if err != nil {
		p.tb.Fatal(err)
	}
	transport, err := egress.New(egress.Profile{
		Guard: egress.NewGuard(netip.MustParsePrefix("127.0.0.1/32")), PlainHTTP: true, IdlePerHost: 64,
	}, nil)
	if err != nil {
		p.tb.Fatal(err)
	}
	p.tb.Cleanup(transport.CloseIdleConnections)
	secrets := []sign.Secret{{Value: "whsec_YmVuY2htYXJrIHNlY3JldCAwMDAwMDAwMDAwMDAwMDE="}}
	var schemes []sign.Scheme
	for _, name := range []string{"atoship", "standard"} {
		scheme, _ := sign.Lookup(name)
		schemes = append(schemes, scheme)
	}
	signer, err := sign.New(schemes, secrets, sign.Options{})
	if err != nil {
		p.tb.Fatal(err)
	}
	return &delivery.Plan{
		Router: delivery.RuleRouter{Set: set}, HeaderPrefix: delivery.DefaultHeaderPrefix, UserAgent: "AtoShip-Webhooks/test",
		Dedupe: delivery.DefaultDedupe, Expire: delivery.DefaultExpire, Retention: delivery.DefaultRetention,
		Drain: delivery.DefaultDrain, MaxInFlight: delivery.DefaultMaxInFlight, MaxPending: delivery.DefaultMaxPending,
		Endpoints: map[string]*delivery.Endpoint{"orders": {
			Name: "orders", URL: &url.URL{Scheme: "http", Host: p.receiver(), Path: "/hooks"}, Signer: signer,
			Transport: transport.For("orders"), Retry: retry.Default(), Timeout: delivery.DefaultTimeout,
			Concurrency: 64, Breaker: gate.DefaultBreaker(),
		}},
	}
}

// receiver answers 200 to everything and allocates nothing per request.
func (p *path) receiver() string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		p.tb.Fatal(err)
	}
	p.tb.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go receive(conn)
		}
	}()
	return ln.Addr().String()
}

func receive(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	for {
		length := 0
		for {
			line, err := in.ReadSlice('\n')
			if err != nil {
				return
			}
			if len(line) <= 2 {
				break
			}
			if digits, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
				for _, d := range bytes.TrimSpace(digits) {
					length = length*10 + int(d-'0')
				}
			}
		}
		if _, err := in.Discard(length); err != nil {
			return
		}
		if _, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"); err != nil {
			return
		}
	}
}

// publish sends n events over 16 publishers and waits until all are settled.
func (p *path) publish(n int) {
	before := p.settled.Load()
	var left atomic.Int64
	left.Store(int64(n))
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			send := p.publisher()
			for left.Add(-int64(p.batch)) > -int64(p.batch) {
				send()
			}
		})
	}
	wg.Wait()
	want := before + int64((n+p.batch-1)/p.batch*p.batch)
	for p.settled.Load() < want {
		time.Sleep(time.Millisecond) // spinning would be CPU time of nobody's
	}
}

// publisher returns a function that sends one request and uses everything of the caller's side again.
func (p *path) publisher() func() {
	one := `{"event":"label.created","timestamp":"2024-01-15T10:30:00Z","data":{"label_id":"lbl_abc123","carrier":"USPS","pad":"` +
		strings.Repeat("0123456789abcdef", 8) + `"}}`
	text := one
	if p.batch > 1 {
		text = "[" + strings.Repeat(one+",", p.batch-1) + one + "]"
	}
	body := strings.NewReader(text)
	r, err := http.NewRequestWithContext(p.tb.Context(), http.MethodPost, "/events", io.NopCloser(body))
	if err != nil {
		p.tb.Error(err)
	}
	r.ContentLength = int64(len(text))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Content-Length", strconv.Itoa(len(text)))
	w := &answer{header: http.Header{}}
	return func() {
		body.Reset(text)
		p.ingest.ServeHTTP(w, r)
		if w.status != http.StatusAccepted {
			p.tb.Errorf("publishing answered %d", w.status)
		}
	}
}

// answer is a ResponseWriter that keeps the status alone.
type answer struct {
	header http.Header
	status int
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(status int)      { a.status = status }
func (a *answer) Write(b []byte) (int, error) { return len(b), nil }

// measure publishes n events and tells what each allocated.
func (p *path) measure(n int) (allocs, bytes float64) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	p.publish(n)
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / float64(n), float64(after.TotalAlloc-before.TotalAlloc) / float64(n)
}
