// Package memory is a delivery.Store that keeps everything in maps: the fake the engine's tests run on.
//
// It keeps the contract of delivery.Store to the letter (the suite in storetest says so) except that nothing outlives
// the process: "would survive a power cut" reads "would survive Crash". It does no I/O and starts no goroutine, so it
// works inside a testing/synctest bubble. Settlements commit at once, without the 50 ms other stores may take.
//
// One mutex guards all of it and is held while the Handover is called; that is the "one goroutine" of the contract.
package memory

import (
	"cmp"
	"context"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
)

// Store is the fake. The zero value is not usable; call New.
type Store struct {
	mu        sync.Mutex
	down      bool // closed, crashed or made to fail: everything answers ErrUnavailable
	closed    bool // for good
	handover  delivery.Handover
	seq       uint64 // last one given
	accepted  uint64 // events ever
	events    map[uint64]*event
	ids       map[idKey]uint64
	waiting   map[string][]*row  // by lane, ordered by (due, seq, ord)
	lines     map[lineKey][]*row // by home and ordering key: the head, then its successors
	lanes     map[string]delivery.LaneState
	documents map[docKey]delivery.Document

	pmu     sync.Mutex        // below mu, so that Pending may be asked by a Handover, too
	pending map[string]uint64 // by home lane
}

type idKey struct{ id, tenant, source string }

type event struct {
	delivery.Event

	rows []*row
}

// lineKey names the line of an ordering key.
type lineKey struct{ home, order string }

// row is a delivery on record. Exactly one of these holds: it is handed, or in its lane's waiting list, or a successor in
// its line, or final.
type row struct {
	delivery.Delivery

	handed      bool
	handedAt    time.Time
	cancelled   bool // while handed: ends when it comes back
	transitions []delivery.Transition
}

// bare is the delivery without its event, as Claim.Movable is to see it.
func (r *row) bare() *delivery.Delivery {
	d := r.Delivery
	d.Event = nil
	return &d
}

// New returns an empty store.
func New() *Store {
	return &Store{
		events:    map[uint64]*event{},
		ids:       map[idKey]uint64{},
		waiting:   map[string][]*row{},
		lines:     map[lineKey][]*row{},
		lanes:     map[string]delivery.LaneState{},
		documents: map[docKey]delivery.Document{},
		pending:   map[string]uint64{},
	}
}

// Crash is a power cut: s answers ErrUnavailable from now on, and the returned store holds what was committed, waiting
// for Attach like a newly opened one.
func (s *Store) Crash() *Store {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down, s.closed = true, true
	return &Store{
		seq: s.seq, accepted: s.accepted,
		events: s.events, ids: s.ids, waiting: s.waiting, lines: s.lines, lanes: s.lanes,
		documents: s.documents, pending: s.pending,
	}
}

// Fail makes every call answer ErrUnavailable, as a full disk would, until Recover.
func (s *Store) Fail() { s.setDown(true) }

// Recover ends Fail. What was handed over stays so: the process did not die.
func (s *Store) Recover() { s.setDown(false) }

func (s *Store) setDown(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down || s.closed
}

// Close implements delivery.Store. It may be called more than once.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down, s.closed = true, true
	return nil
}

// Healthy implements delivery.Queue.
func (s *Store) Healthy() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.down
}

// enter locks the store when it can work; the caller unlocks when there is no error.
func (s *Store) enter(ctx context.Context, doing string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	if s.down {
		s.mu.Unlock()
		return fmt.Errorf("%s: %w", doing, delivery.ErrUnavailable)
	}
	return nil
}

// Attach implements delivery.Queue: what an earlier process had in hand waits again, with a Lost transition.
func (s *Store) Attach(h delivery.Handover) error {
	if err := s.enter(context.Background(), "attach"); err != nil {
		return err
	}
	defer s.mu.Unlock()
	if s.handover != nil {
		return fmt.Errorf("attach: an engine is attached already")
	}
	s.handover = h
	now := time.Now().UTC().Truncate(time.Millisecond)
	for _, seq := range slices.Sorted(maps.Keys(s.events)) {
		for _, r := range s.events[seq].rows {
			if r.handed {
				s.lose(r, now)
			}
		}
	}
	return nil
}

// lose records that nobody knows what became of a handed-over delivery.
func (s *Store) lose(r *row, now time.Time) {
	p := r.Progress
	p.Step++
	p.Attempts++
	p.Unknowns++
	p.Due = now
	r.transitions = append(r.transitions, delivery.Transition{
		At:   now,
		Kind: delivery.Lost,
		Attempt: &delivery.Attempt{
			N: p.Attempts, Endpoint: r.Lane(), Started: r.handedAt, Outcome: "unknown",
		},
		Progress: p,
	})
	r.Progress, r.handed = p, false
	s.handover.Lost(r.Lane())
	s.back(r, now)
}

// enqueue puts a pending row in its lane's line.
func (s *Store) enqueue(r *row) {
	lane := s.waiting[r.Lane()]
	i, _ := slices.BinarySearchFunc(lane, r, compareRows)
	s.waiting[r.Lane()] = slices.Insert(lane, i, r)
}

// dequeue takes a row out of its lane's line; false when it was not there.
func (s *Store) dequeue(r *row) bool {
	name := r.Lane()
	i, ok := slices.BinarySearchFunc(s.waiting[name], r, compareRows)
	if !ok {
		return false
	}
	s.waiting[name] = slices.Delete(s.waiting[name], i, i+1)
	if len(s.waiting[name]) == 0 {
		delete(s.waiting, name)
	}
	return true
}

func compareRows(a, b *row) int {
	return cmp.Or(a.Due.Compare(b.Due), cmp.Compare(a.Event.Seq, b.Event.Seq), cmp.Compare(a.Ord, b.Ord))
}

// find returns the row of a key, nil when there is none.
func (s *Store) find(k delivery.Key) *row {
	ev := s.events[k.Seq]
	if ev == nil || int(k.Ord) >= len(ev.rows) {
		return nil
	}
	return ev.rows[k.Ord]
}

// copy of the event that the caller may keep; the body is shared, as it never changes.
func (e *event) copy() *delivery.Event {
	ev := e.Event
	ev.Held = slices.Clone(e.Held)
	return &ev
}

// view is a copy of the delivery that the caller may keep and change.
func (r *row) view(ev *delivery.Event) *delivery.Delivery {
	d := r.Delivery
	d.Event = ev
	return &d
}

// views copies an event and all its deliveries.
func (e *event) views() (*delivery.Event, []*delivery.Delivery) {
	ev := e.copy()
	ds := make([]*delivery.Delivery, len(e.rows))
	for i, r := range e.rows {
		ds[i] = r.view(ev)
	}
	return ev, ds
}

var idEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// publicID has the shape of every store's delivery ids; unlike theirs it hides nothing.
func publicID(k delivery.Key) string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], k.Seq)
	binary.BigEndian.PutUint16(b[8:], k.Ord)
	return "dlv_" + idEncoding.EncodeToString(b[:])
}

var _ delivery.Store = (*Store)(nil)
