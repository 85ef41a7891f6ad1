package embedded

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/atoship/caddy-webhooks/delivery"
)

// A table that held the end of one kind and the beginning of the next would be rewritten for ever.
func TestTablesEndWhereAKindEnds(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	seen := map[byte]int{}
	for round := range 4 { // each opening flushes what the one before has left
		s, err := Open(t.Context(), Options{Dir: "store", FS: mem, CacheBytes: 4 << 20, MemTableBytes: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Attach(taker{}); err != nil {
			t.Fatal(err)
		}
		levels, err := s.cur.db.SSTables()
		if err != nil {
			t.Fatal(err)
		}
		for level, tables := range levels {
			for i := range tables {
				from, to := tables[i].Smallest.UserKey, tables[i].Largest.UserKey
				_, end, _ := kindsApart(from)
				if end != nil && slices.Compare(to, end) >= 0 {
					t.Errorf("round %d, level %d: a table from %s to %s", round, level, describe(from), describe(to))
				}
				if from[0] == to[0] {
					seen[from[0]]++
				}
			}
		}
		deliverSome(t, s, round)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, kind := range []byte{kindTransition, kindEvent, kindByOutcome, kindID, kindByEndpoint, kindByTenant} {
		if seen[kind] < 3 {
			t.Errorf("%d tables of kind %q alone", seen[kind], kind)
		}
	}
}

func TestKindsApart(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ from, end string }{
		{"", "d"},
		{"b", "d"},
		{"c\xff", "d"},
		{"d\x00", "e"},
		{"e", "f"},
		{"f", "g"},
		{"h\x01", "i"},
		{"i", "j"},
		{"m", "x"},
		{"q", "x"},
		{"x", "y"},
		{"y", ""}, // to the end
	} {
		if _, end, err := kindsApart([]byte(c.from)); string(end) != c.end || err != nil {
			t.Errorf("a table that begins with %q ends before %q, %v; want %q", c.from, end, err, c.end)
		}
	}
}

// taker takes every delivery.
type taker struct{}

func (taker) Reserve(*delivery.Delivery) bool           { return true }
func (taker) Committed(*delivery.Delivery, bool, error) {}
func (taker) Queued(string, time.Time)                  {}
func (taker) Lost(string)                               {}

// deliverSome appends events of a tenant and settles them, the first attempt of each failed.
func deliverSome(t *testing.T, s *Store, round int) {
	t.Helper()
	now := time.Now().UTC()
	var batch []delivery.Accept
	for i := range 50 {
		ev := &delivery.Event{ID: fmt.Sprintf("e%d-%d", round, i), Type: "t", Tenant: "acme", Environment: "production", Accepted: now, Body: []byte("{}")}
		batch = append(batch, delivery.Accept{Event: ev, Dedupe: time.Hour, Deliveries: []*delivery.Delivery{
			{Route: "r", Chain: []string{"orders"}, Progress: delivery.Progress{Due: now}},
		}})
	}
	if _, err := s.Append(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	for _, outcome := range []string{"timeout", outcomeDelivered} {
		var settle []delivery.Settlement
		for _, a := range batch {
			d := a.Deliveries[0]
			p := delivery.Progress{Step: d.Step + 1, Attempts: d.Attempts + 1, State: delivery.Delivered}
			if outcome != outcomeDelivered {
				p.State, p.Due = delivery.Pending, now
			}
			settle = append(settle, delivery.Settlement{Delivery: d, Step: d.Step, Transition: delivery.Transition{
				At: now, Progress: p, Attempt: &delivery.Attempt{N: p.Attempts, Endpoint: d.Lane(), Outcome: outcome},
			}})
		}
		for i, err := range s.Settle(t.Context(), settle) {
			if err != nil {
				t.Fatal(err)
			}
			batch[i].Deliveries[0].Progress = settle[i].Transition.Progress
		}
		if outcome == outcomeDelivered {
			break
		}
		l, err := s.Lease(t.Context(), "orders")
		if err != nil {
			t.Fatal(err)
		}
		if got, err := l.Claim(t.Context(), delivery.Claim{Now: now.Add(time.Hour), Max: 100, MaxBytes: 1 << 20}); err != nil || len(got.Deliveries) != len(batch) {
			t.Fatalf("claimed %d: %v", len(got.Deliveries), err)
		}
		if err := l.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

var _ pebble.SpanPolicyFunc = kindsApart
