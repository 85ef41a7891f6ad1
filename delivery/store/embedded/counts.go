package embedded

import (
	"context"
	"errors"
	"maps"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"github.com/atoship/caddy-webhooks/delivery"
)

// counts is how many deliveries there are, by home lane (the first target, which never changes) and state. Each commit
// writes the rows it changes, so they are exact after any crash; opening reads one row per lane and nothing else.
type counts struct {
	events uint64 // accepted in all
	lanes  map[string]tally
	sum    tally
}

func totalsKey() []byte { return []byte{kindCount} }

func (s *Store) loadCounts(c *conn) error {
	s.counts = counts{lanes: map[string]tally{}}
	s.seq = 0
	it, err := c.scan([]byte{kindCount}, []byte{kindCount + 1})
	if err != nil {
		return err
	}
	defer it.Close()
	damaged := false
	for ok := it.First(); ok; ok = it.Next() {
		val, err := value(it)
		if err != nil {
			return err
		}
		if err := s.loadCount(it.Key(), val); err != nil {
			s.bad.note(s, it.Key(), val, err)
			damaged = true
		}
	}
	if err := it.Error(); err != nil {
		return err
	}
	if err := s.checkSeq(c); err != nil {
		return err
	}
	if damaged {
		if err := s.recount(c); err != nil {
			return err
		}
	}
	s.publishCounts()
	s.publishAllPending()
	return nil
}

func (s *Store) loadCount(key, val []byte) error {
	lane := string(key[1:])
	if lane == "" {
		return decodeNumbers(key, val, &s.seq, &s.counts.events)
	}
	t, err := decodeTally(key, val)
	if err == nil {
		s.counts.lanes[lane] = t
		s.counts.sum.add(t)
	}
	return err
}

// checkSeq never gives a number twice, even when the row of totals was lost.
func (s *Store) checkSeq(c *conn) error {
	it, err := c.scan([]byte{kindEvent}, []byte{kindEvent + 1})
	if err != nil {
		return err
	}
	defer it.Close()
	if it.Last() {
		s.seq = max(s.seq, seqOf(it.Key()))
	}
	return it.Error()
}

// recount counts all there is, one by one: slow, but a corrupt count is no reason to refuse to deliver. How many events
// there were in all it can only tell from the sequence numbers.
func (s *Store) recount(c *conn) error {
	s.counts = counts{events: max(s.counts.events, s.seq), lanes: map[string]tally{}}
	events, err := c.scan([]byte{kindEvent}, []byte{kindEvent + 1})
	if err != nil {
		return err
	}
	defer events.Close()
	trans, err := c.scan([]byte{kindTransition}, []byte{kindTransition + 1})
	if err != nil {
		return err
	}
	defer trans.Close()
	for ok := events.First(); ok; ok = events.Next() {
		e, err := s.sweptEvent(events, trans)
		if err != nil {
			return err
		}
		if e == nil {
			continue // corrupt: its deliveries are not known
		}
		for _, d := range e.ds {
			s.seq = max(s.seq, d.Joined) // one that Decide drew
			t := s.counts.lanes[d.Chain[0]]
			t[d.State]++
			s.counts.lanes[d.Chain[0]] = t
			s.counts.sum[d.State]++
		}
	}
	if err := events.Error(); err != nil {
		return err
	}
	newest, err := newestRevision(c)
	if err != nil {
		return err
	}
	s.seq = max(s.seq, newest)
	b := c.db.NewBatch()
	put(b, totalsKey(), encodeNumbers(s.seq, s.counts.events))
	for lane, t := range s.counts.lanes {
		put(b, namedKey(kindCount, lane), t.encode())
	}
	return c.commit(b)
}

func (t *tally) add(o tally) {
	for i := range t {
		t[i] += o[i]
	}
}

// accept counts a new event.
func (tx *tx) accept() {
	tx.counts.events++
	tx.totals = true
}

// born counts a new delivery.
func (tx *tx) born(d *delivery.Delivery) {
	tx.count(d.Chain[0], func(t *tally) { t[delivery.Pending]++ })
	tx.mark(d.Event.Seq, termOf(termEndpoint, d.Chain[0]))
}

// moved counts a change of state.
func (tx *tx) moved(home string, from, to delivery.State) {
	if from != to {
		tx.count(home, func(t *tally) { t[from]--; t[to]++ })
	}
}

// gone counts a delivery deleted.
func (tx *tx) gone(home string, from delivery.State) { tx.count(home, func(t *tally) { t[from]-- }) }

func (tx *tx) count(home string, change func(*tally)) {
	t := tx.counts.lanes[home]
	change(&t)
	tx.counts.lanes[home] = t
	change(&tx.counts.sum)
	if tx.touched == nil {
		tx.touched = map[string]struct{}{}
	}
	tx.touched[home] = struct{}{}
}

// writeCounts puts the changed rows into the commit. They are overwritten, so they are never single-deleted.
func (tx *tx) writeCounts() {
	if tx.totals {
		put(tx.b, totalsKey(), encodeNumbers(tx.seq, tx.counts.events))
	}
	for home := range maps.Keys(tx.touched) {
		t := tx.counts.lanes[home]
		if t == (tally{}) {
			delete(tx.counts.lanes, home)
			remove(tx.b, namedKey(kindCount, home))
			continue
		}
		put(tx.b, namedKey(kindCount, home), t.encode())
	}
}

// publishCounts lets readers see the counts of what is committed.
func (s *Store) publishCounts() {
	c := s.counts.sum.counts()
	c.Events = s.counts.events
	s.totals.Store(&c)
}

func (t *tally) counts() delivery.Counts {
	return delivery.Counts{
		Pending:   t[delivery.Pending],
		Delivered: t[delivery.Delivered],
		Exhausted: t[delivery.Exhausted],
		Cancelled: t[delivery.Cancelled],
	}
}

// publishPending lets readers see how many deliveries of a home lane are pending in what is committed.
func (s *Store) publishPending(home string) {
	t, ok := s.counts.lanes[home]
	if !ok {
		s.pending.Delete(home)
		return
	}
	n, ok := s.pending.Load(home)
	if !ok {
		n, _ = s.pending.LoadOrStore(home, new(atomic.Uint64))
	}
	n.(*atomic.Uint64).Store(t[delivery.Pending])
}

// publishAllPending is for an opening, after which lanes may be gone.
func (s *Store) publishAllPending() {
	for home := range s.pending.Range {
		s.publishPending(home.(string))
	}
	for home := range s.counts.lanes {
		s.publishPending(home)
	}
}

// Pending implements delivery.Queue.
func (s *Store) Pending(lane string) uint64 {
	if n, ok := s.pending.Load(lane); ok {
		return n.(*atomic.Uint64).Load()
	}
	return 0
}

// LaneCounts implements delivery.Journal. It reads the rows, so that the committer need not wait for as many lanes as
// there are.
func (s *Store) LaneCounts(ctx context.Context) (map[string]delivery.Counts, error) {
	c, done, err := s.view(ctx, "lane counts")
	if err != nil {
		return nil, err
	}
	defer done()
	it, err := c.scan([]byte{kindCount, 0}, []byte{kindCount + 1}) // behind the row of totals
	if err != nil {
		return nil, c.readError("lane counts", err)
	}
	defer it.Close()
	lanes := map[string]delivery.Counts{}
	for ok := it.First(); ok; ok = it.Next() {
		val, err := value(it)
		if err != nil {
			return nil, c.readError("lane counts", err)
		}
		t, err := decodeTally(it.Key(), val)
		if err != nil {
			s.bad.note(s, it.Key(), val, err)
			continue
		}
		lanes[string(it.Key()[1:])] = t.counts()
	}
	return lanes, c.readError("lane counts", it.Error())
}

// marks are where the sweeps of Prune begin: nothing below them needs looking at.
type marks struct{ expire, retain uint64 }

func marksKey() []byte { return namedKey(kindMeta, "marks") }

func (s *Store) loadMarks(c *conn) error {
	s.marks = marks{}
	_, err := getRow(c, marksKey(), func(key, val []byte) (struct{}, error) {
		return struct{}{}, decodeNumbers(key, val, &s.marks.expire, &s.marks.retain)
	})
	if errors.Is(err, pebble.ErrNotFound) {
		return nil
	}
	return err
}

func (tx *tx) setMarks(m marks) {
	if m != tx.marks {
		tx.marks = m
		put(tx.b, marksKey(), encodeNumbers(m.expire, m.retain))
	}
}
