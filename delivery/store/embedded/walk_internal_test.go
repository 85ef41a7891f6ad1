package embedded

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/atoship/caddy-webhooks/delivery"
)

var searchStart = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// takeAll is an engine that takes every delivery and settles none.
type takeAll struct{}

func (takeAll) Reserve(*delivery.Delivery) bool           { return true }
func (takeAll) Committed(*delivery.Delivery, bool, error) {}
func (takeAll) Queued(string, time.Time)                  {}
func (takeAll) Lost(string)                               {}

func searchStore(t *testing.T, fs vfs.FS) *Store {
	t.Helper()
	s, err := Open(t.Context(), Options{Dir: "store", FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if err := s.Attach(takeAll{}); err != nil {
		t.Fatal(err)
	}
	return s
}

// deliverTo appends an event for each endpoint, numbered from the first on, and delivers it at once.
func deliverTo(t *testing.T, s *Store, first int, lanes ...string) {
	t.Helper()
	for len(lanes) > 0 {
		n := min(512, len(lanes))
		var batch []delivery.Accept
		var done []delivery.Settlement
		for i, lane := range lanes[:n] {
			id := fmt.Sprint("e", first+i)
			sum := sha256.Sum256([]byte(id))
			ev := &delivery.Event{
				ID: id, Type: "label.created", Environment: "production", Body: []byte("{}"), Hash: [16]byte(sum[:]),
				Accepted: searchStart.Add(time.Duration(first+i) * time.Second),
			}
			d := &delivery.Delivery{Route: "r", Chain: []string{lane}, Progress: delivery.Progress{Due: ev.Accepted}}
			batch = append(batch, delivery.Accept{Event: ev, Deliveries: []*delivery.Delivery{d}})
			done = append(done, delivery.Settlement{Delivery: d, Transition: delivery.Transition{
				At: ev.Accepted, Kind: delivery.Attempted, Progress: delivery.Progress{Step: 1, Attempts: 1, State: delivery.Delivered},
				Attempt: &delivery.Attempt{N: 1, Endpoint: lane, Outcome: "delivered", Status: 200, Started: ev.Accepted},
			}})
		}
		if _, err := s.Append(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		for _, err := range s.Settle(t.Context(), done) {
			if err != nil {
				t.Fatal(err)
			}
		}
		first, lanes = first+n, lanes[n:]
	}
}

// busyBut is n times the busy endpoint, and once another.
func busyBut(n, i int, lane string) []string {
	lanes := slices.Repeat([]string{"busy"}, n)
	lanes[i] = lane
	return lanes
}

// countRows counts the rows of a kind.
func countRows(t *testing.T, s *Store, kind byte) (n int) {
	t.Helper()
	it, err := s.cur.scan([]byte{kind}, []byte{kind + 1})
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		n++
	}
	return n
}

func TestEventsOfAStoreWithoutTheIndexOfBlocksAreFound(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	s := searchStore(t, fs)
	deliverTo(t, s, 0, slices.Repeat([]string{"x0", "x1", "x2"}, 10)...)
	b := s.cur.db.NewBatch() // as an earlier program left it
	must(b.DeleteRange([]byte{kindBlock}, []byte{kindBlock + 1}, nil))
	remove(b, indexedKey())
	if err := s.cur.db.Apply(b, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = searchStore(t, fs)
	deliverTo(t, s, 30, busyBut(1100, 1000, "x1")...)
	for _, oldest := range []bool{false, true} {
		n, cursor := 0, ""
		for more := true; more; more = cursor != "" {
			page, err := s.Events(t.Context(), delivery.EventQuery{Endpoint: "x1", Oldest: oldest, Limit: 3, Cursor: cursor})
			if err != nil {
				t.Fatal(err)
			}
			n, cursor = n+len(page.Items), page.Next
		}
		if n != 11 {
			t.Errorf("oldest first %t: found %d of 11", oldest, n)
		}
	}
}

func TestAPageForARareEndpointPassesOverTheBlocksOfOthers(t *testing.T) {
	t.Parallel()
	s := searchStore(t, vfs.NewMem())
	deliverTo(t, s, 0, busyBut(6*blockEvents, 10, "rare")...)
	page, err := s.Deliveries(t.Context(), delivery.DeliveryQuery{Endpoint: "rare", Limit: 1})
	if err != nil || len(page.Items) != 1 {
		t.Fatalf("found %d in the first page, %v; want the one that is six blocks away", len(page.Items), err)
	}
}

func TestIndexRowsThatLeadNowhereAreDeleted(t *testing.T) {
	t.Parallel()
	s := searchStore(t, vfs.NewMem())
	deliverTo(t, s, 0, slices.Repeat([]string{"x"}, 4*blockEvents)...)
	before := [2]int{countRows(t, s, kindBlock), countRows(t, s, kindActive)}
	now := searchStart.Add(24 * time.Hour)
	half := now.Sub(searchStart.Add(2 * blockEvents * time.Second))
	for _, retention := range []time.Duration{half, time.Second} {
		if _, _, err := s.Prune(t.Context(), delivery.Prune{Now: now, Retention: retention}); err != nil {
			t.Fatal(err)
		}
		after := [2]int{countRows(t, s, kindBlock), countRows(t, s, kindActive)}
		if after[0] >= before[0] || after[1] >= before[1] {
			t.Errorf("retention %s leaves %d of %d and %d of %d rows", retention, after[0], before[0], after[1], before[1])
		}
		before = after
	}
	if before[0] > 8 || before[1] > 0 { // the block that is being filled keeps its rows
		t.Errorf("nothing is left but %d and %d rows", before[0], before[1])
	}
}

func TestAttemptsOfOneMomentAreAllListedThoughSomeAreGone(t *testing.T) {
	t.Parallel()
	s := searchStore(t, vfs.NewMem())
	const lanes, each, gone = 3, 70, 60
	b := s.cur.db.NewBatch()
	var batch []delivery.Accept
	var done []delivery.Settlement
	for i := range lanes * each {
		at := searchStart.Add(time.Duration(i) * time.Millisecond) // all in one slice
		ev := &delivery.Event{ID: fmt.Sprint("e", i), Type: "label.created", Environment: "production", Body: []byte("{}"), Accepted: at}
		d := &delivery.Delivery{Route: "r", Chain: []string{fmt.Sprint("x", i%lanes)}, Progress: delivery.Progress{Due: at}}
		batch = append(batch, delivery.Accept{Event: ev, Deliveries: []*delivery.Delivery{d}})
		done = append(done, delivery.Settlement{Delivery: d, Transition: delivery.Transition{
			At: at, Kind: delivery.Attempted, Progress: delivery.Progress{Step: 1, Attempts: 1, State: delivery.Delivered},
			Attempt: &delivery.Attempt{N: 1, Endpoint: d.Chain[0], Outcome: "delivered", Status: 200, Started: at},
		}})
	}
	if _, err := s.Append(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Settle(t.Context(), done)...); err != nil {
		t.Fatal(err)
	}
	for _, d := range done[lanes*(each-gone):] { // the newest: deleted while their index rows are still there
		remove(b, stepKey(kindTransition, d.Delivery.Key(), 1))
	}
	if err := s.cur.db.Apply(b, nil); err != nil {
		t.Fatal(err)
	}
	for _, limit := range []int{1, 7, 50} {
		var last time.Time
		n, cursor := 0, ""
		for more := true; more; more = cursor != "" {
			page, err := s.Attempts(t.Context(), delivery.AttemptQuery{Limit: limit, Cursor: cursor})
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range page.Items {
				if !last.IsZero() && !r.At.Before(last) {
					t.Errorf("%v comes after %v", r.At, last)
				}
				last = r.At
			}
			n, cursor = n+len(page.Items), page.Next
		}
		if n != lanes*(each-gone) {
			t.Errorf("by %d: %d are listed, want %d", limit, n, lanes*(each-gone))
		}
	}
}
