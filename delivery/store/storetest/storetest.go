// Package storetest is the conformance suite of delivery.Store: each sentence of the contract as a case. Every store
// passes it, the in-memory fake too, so that what the engine's tests prove on the fake holds on the real ones.
package storetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/egress"
)

// Opened is a store under test.
type Opened struct {
	Store delivery.Store
	// Crash cuts the power and opens what survived, not yet attached. The old store is not used after that.
	Crash func(t *testing.T) Opened
}

// Open makes a new, empty store that is closed when the test ends.
type Open func(t *testing.T) Opened

// Run runs the suite.
func Run(t *testing.T, open Open) {
	for _, group := range []struct {
		name  string
		cases []testCase
	}{
		{"Append", appendCases},
		{"Handover", handoverCases},
		{"Claim", claimCases},
		{"Settle", settleCases},
		{"Decide", decideCases},
		{"Extend", extendCases},
		{"Order", orderCases},
		{"Cancel", cancelCases},
		{"CancelLane", cancelLaneCases},
		{"Lane", laneCases},
		{"Journal", journalCases},
		{"Search", searchCases},
		{"Erase", eraseCases},
		{"LaneCounts", laneCountsCases},
		{"Prune", pruneCases},
		{"Documents", documentCases},
		{"Crash", crashCases},
		{"DocumentsCrash", documentCrashCases},
		{"Close", closeCases},
	} {
		t.Run(group.name, func(t *testing.T) {
			t.Parallel()
			for _, c := range group.cases {
				t.Run(c.name, func(t *testing.T) {
					t.Parallel()
					c.run(&bench{T: t, Opened: open(t), rec: &Recorder{}})
				})
			}
		})
	}
	t.Run("Random", func(t *testing.T) {
		t.Parallel()
		runRandom(t, open)
	})
}

type testCase struct {
	name string
	run  func(b *bench)
}

// bench is one case's store with its engine's side, and the verbs the cases are written in. All of them end the case on
// an error that the case did not ask for.
type bench struct {
	*testing.T
	Opened

	rec *Recorder
}

// start is the time at which the cases' events are accepted: far enough back that all is due.
var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// Recorder is the engine's side of the hot path: it notes every call.
type Recorder struct {
	// Take answers Reserve; nil refuses all.
	Take func(d *delivery.Delivery) bool

	mu        sync.Mutex
	reserved  []delivery.Key
	committed []committed
	queued    []queued
	lost      []string // lanes
}

type committed struct {
	key    delivery.Key
	handed bool
	err    error
}

type queued struct {
	lane string
	due  time.Time
}

// Reserve implements delivery.Handover.
func (r *Recorder) Reserve(d *delivery.Delivery) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reserved = append(r.reserved, d.Key())
	return r.Take != nil && r.Take(d)
}

// Committed implements delivery.Handover.
func (r *Recorder) Committed(d *delivery.Delivery, handed bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.committed = append(r.committed, committed{d.Key(), handed, err})
}

// Queued implements delivery.Handover.
func (r *Recorder) Queued(lane string, due time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.queued = append(r.queued, queued{lane, due})
}

// Lost implements delivery.Handover.
func (r *Recorder) Lost(lane string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lost = append(r.lost, lane)
}

func (r *Recorder) takeLost() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	lost := r.lost
	r.lost = nil
	return lost
}

func (r *Recorder) takeQueued() []queued {
	r.mu.Lock()
	defer r.mu.Unlock()
	q := r.queued
	r.queued = nil
	return q
}

func takeAll(*delivery.Delivery) bool { return true }

// attach connects the recorder; take answers its Reserve.
func (b *bench) attach(take func(*delivery.Delivery) bool) {
	b.Helper()
	b.rec.Take = take
	b.must(b.Store.Attach(b.rec))
}

// crash cuts the power and attaches a new recorder to what survived.
func (b *bench) crash() {
	b.Helper()
	b.Opened = b.Crash(b.T)
	b.rec = &Recorder{}
	b.attach(nil)
}

func (b *bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// event makes an accept of an event with one delivery per chain; a chain is "primary backup backup".
func event(id string, chains ...[]string) delivery.Accept {
	sum := sha256.Sum256([]byte(id))
	ev := &delivery.Event{
		ID: id, GivenID: true, Type: "label.created", Environment: "production", Tenant: "acme", Source: "/shop",
		Timestamp: start.Format(time.RFC3339), Accepted: start, ContentType: "application/json",
		Body: []byte(`{"id":"` + id + `","data":{"n":1}}`), TraceParent: "00-01-02-01", TraceState: "a=b", Digest: "d1",
		Hash: [16]byte(sum[:]),
	}
	ev.DataEnd = uint32(len(ev.Body) - 1)
	ev.DataStart = ev.DataEnd - uint32(len(`{"n":1}`))
	a := delivery.Accept{Event: ev, Dedupe: 72 * time.Hour}
	for i, chain := range chains {
		a.Deliveries = append(a.Deliveries, &delivery.Delivery{
			Route: fmt.Sprintf("route-%d", i), Chain: chain, Progress: delivery.Progress{Due: ev.Accepted},
		})
	}
	if len(chains) == 0 {
		ev.Routing = delivery.Unrouted
	}
	return a
}

// to is a chain.
func to(targets ...string) []string { return targets }

// dueAt changes when all of an accept's deliveries are due.
func dueAt(a delivery.Accept, due time.Time) delivery.Accept {
	for _, d := range a.Deliveries {
		d.Due = due
	}
	return a
}

// at changes when an event was accepted.
func at(a delivery.Accept, accepted time.Time) delivery.Accept {
	a.Event.Accepted = accepted
	return dueAt(a, accepted)
}

func (b *bench) append(batch ...delivery.Accept) []delivery.Receipt {
	b.Helper()
	receipts, err := b.Store.Append(b.Context(), batch)
	b.must(err)
	if len(receipts) != len(batch) {
		b.Fatalf("%d receipts for %d items", len(receipts), len(batch))
	}
	return receipts
}

// add appends one event and returns its first delivery.
func (b *bench) add(id string, chain ...string) *delivery.Delivery {
	b.Helper()
	return b.append(event(id, chain))[0].Deliveries[0]
}

func (b *bench) lease(lane string) delivery.Lane {
	b.Helper()
	l, err := b.Store.Lease(b.Context(), lane)
	b.must(err)
	b.Cleanup(func() { _ = l.Release(context.Background()) })
	return l
}

// claim takes all that is due at a lane.
func (b *bench) claim(lane string, now time.Time) []*delivery.Delivery {
	b.Helper()
	return b.claimSome(lane, delivery.Claim{Now: now, Max: 1000, MaxBytes: 1 << 30}).Deliveries
}

func (b *bench) claimSome(lane string, c delivery.Claim) delivery.Claimed {
	b.Helper()
	got, err := b.lease(lane).Claim(b.Context(), c)
	b.must(err)
	return got
}

// claimOne takes the one delivery that is due at a lane.
func (b *bench) claimOne(lane string) *delivery.Delivery {
	b.Helper()
	ds := b.claim(lane, start)
	if len(ds) != 1 {
		b.Fatalf("%d deliveries are due at %s, want 1", len(ds), lane)
	}
	return ds[0]
}

// settle settles and wants every item to be taken.
func (b *bench) settle(batch ...delivery.Settlement) {
	b.Helper()
	for i, err := range b.Store.Settle(b.Context(), batch) {
		if err != nil {
			b.Fatalf("settlement %d: %v", i, err)
		}
	}
}

// attempted is the settlement of a try of d that ended with p.
func attempted(d *delivery.Delivery, outcome string, change func(p *delivery.Progress)) delivery.Settlement {
	p := d.Progress
	p.Step++
	p.Attempts++
	change(&p)
	return delivery.Settlement{Delivery: d, Step: d.Step, Transition: delivery.Transition{
		At: start.Add(time.Second), Kind: delivery.Attempted, Progress: p,
		Attempt: &delivery.Attempt{
			N: p.Attempts, Endpoint: d.Lane(), Address: "192.0.2.1:443", Started: start.Add(time.Millisecond),
			Duration: 12 * time.Millisecond, Status: 503, Outcome: outcome, Detail: "busy", Excerpt: []byte("later"),
			ResponseBytes: 5, RetryAfter: start.Add(time.Hour), TraceID: "0af7651916cd43dd8448eb211c80319c", BodyHash: bodyHash(outcome),
			Timing:  timing(p.Attempts),
			Request: head("https://" + d.Lane() + ".example/"), ResponseFields: []byte("Server: test\n"),
		},
	}}
}

// timing of the first try is of a new connection, and of others of a kept one.
func timing(n uint16) egress.Timing {
	t := egress.Timing{FirstByte: 11 * time.Millisecond}
	if n == 1 {
		t.DNS, t.Connect, t.TLS = 3*time.Microsecond, time.Millisecond, 70*time.Second
	}
	return t
}

// head is that of requests to a URL.
func head(url string) *delivery.RequestHead {
	sum := sha256.Sum256([]byte(url))
	return &delivery.RequestHead{ID: binary.BigEndian.Uint64(sum[:]), Text: url + "\nHost: x\n"}
}

// bodyHash is there for some tries and not for others.
func bodyHash(outcome string) []byte {
	if outcome == "delivered" {
		return nil
	}
	return bytes.Repeat([]byte{7}, 32)
}

func delivered(d *delivery.Delivery) delivery.Settlement {
	return attempted(d, "delivered", func(p *delivery.Progress) { p.State = delivery.Delivered })
}

// retried is a failed try; the next one is due then.
func retried(d *delivery.Delivery, due time.Time) delivery.Settlement {
	return attempted(d, "http_error", func(p *delivery.Progress) { p.Due = due; p.Tries[p.Target]++ })
}

// delivery reads a delivery back by its id.
func (b *bench) delivery(d *delivery.Delivery) *delivery.DeliveryRecord {
	b.Helper()
	r, err := b.Store.Delivery(b.Context(), d.ID)
	b.must(err)
	return r
}

func (b *bench) counts() delivery.Counts {
	b.Helper()
	c, err := b.Store.Counts(b.Context())
	b.must(err)
	return c
}

func (b *bench) due() map[string]time.Time {
	b.Helper()
	due, err := b.Store.Due(b.Context())
	b.must(err)
	return due
}
