package embedded

import (
	"context"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/atoship/caddy-webhooks/delivery"
)

const (
	// pruneStep bounds the events of one pruning commit, which accepts wait for.
	pruneStep = 200
	// maxRest bounds how long pruning rests after a step. It rests as long as the step took, so that deliveries have at least
	// half of the time for themselves, also when a million events have become old at once. On two busy processors 6,000 went
	// a second, and accepts beside it took 13 to 26 ms at the 99th percentile (9 alone); in steps of 1,000 without a rest 56 to 73.
	maxRest = 100 * time.Millisecond
)

// Prune implements delivery.Journal: one pass over what is old enough, in commits of at most pruneStep events, until it is
// done or ctx ends. Both sweeps go by sequence number from a stored mark and stop at the first event accepted too late,
// so what is young costs nothing; what had to be spared is looked at again by the next pass.
//
// It believes Now. A caller whose clock was stepped must not call it: Prune cannot tell a step from a long sleep.
func (s *Store) Prune(ctx context.Context, p delivery.Prune) (expired, deleted int, err error) {
	s.sweeps.Lock()
	defer s.sweeps.Unlock()
	p.Now = p.Now.UTC().Truncate(time.Millisecond)
	if p.Expire > 0 {
		x := &expiry{now: p.Now, before: p.Now.Add(-p.Expire), tell: p.Expired}
		if expired, err = s.sweep(ctx, x); err != nil {
			return expired, 0, fmt.Errorf("expire: %w", err)
		}
		n, err := s.expireReplays(ctx, x)
		if expired += n; err != nil {
			return expired, 0, fmt.Errorf("expire replays: %w", err)
		}
	}
	if p.Retention > 0 {
		if deleted, err = s.sweep(ctx, &retention{before: p.Now.Add(-p.Retention)}); err != nil {
			return expired, deleted, fmt.Errorf("delete what is old: %w", err)
		}
		if err = s.pruneIndex(ctx, p.Now.Add(-p.Retention)); err != nil {
			return expired, deleted, fmt.Errorf("delete index rows of what is old: %w", err)
		}
	}
	return expired, deleted, nil
}

// sweeper is what a sweep does with each event that is old enough.
type sweeper interface {
	// mark is where the sweep begins.
	mark(m *marks) *uint64
	// old tells that an event accepted then can be a case for the sweep; the first that is not ends it.
	old(accepted time.Time) bool
	// visit looks at an event and its deliveries in their present state, with the time each last changed. It returns what
	// is to be done, nil when nothing is, and whether the event may be passed over in all later sweeps.
	visit(c *conn, e *sweptEvent) (do change, pass bool, err error)
}

// change is what a sweep does to one event, in the committer.
type change interface {
	apply(tx *tx) (n int, err error)
	// committed follows in the caller's goroutine, once what apply did is durable.
	committed()
}

// sweptEvent is an event a sweep looks at.
type sweptEvent struct {
	ev    *delivery.Event
	ds    []*delivery.Delivery
	ended []time.Time // by delivery: when its last transition was; zero without one
	rows  [][]byte    // all keys of its transitions and their index rows
}

// sweep visits events from the mark on and applies the changes step by step.
func (s *Store) sweep(ctx context.Context, w sweeper) (n int, err error) {
	from, err := s.readMark(ctx, w)
	if err != nil {
		return 0, err
	}
	for mark, passing := from, true; ; {
		began := time.Now()
		o := &sweepOp{call: newCall(), w: w, was: mark}
		next, err := s.look(ctx, o, from, &mark, &passing)
		if err != nil {
			return n, err
		}
		o.upTo = mark
		if err := s.submit(ctx, o); err != nil {
			return n, err
		}
		if err := s.await(ctx, &o.call); err != nil {
			return n, err
		}
		n += o.n
		for _, do := range o.changes {
			do.committed()
		}
		if from = next; from == 0 {
			return n, nil
		}
		if len(o.changes) > 0 {
			rest(ctx, time.Since(began))
		}
	}
}

// rest leaves the machine to others for a moment.
func rest(ctx context.Context, d time.Duration) {
	t := time.NewTimer(min(d, maxRest))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// look visits up to pruneStep events from a sequence number on, and returns where to go on; 0 at the end.
func (s *Store) look(ctx context.Context, o *sweepOp, from uint64, mark *uint64, passing *bool) (next uint64, err error) {
	c, done, err := s.view(ctx, "prune")
	if err != nil {
		return 0, err
	}
	defer done()
	events, err := c.scan(eventKey(from), []byte{kindEvent + 1})
	if err != nil {
		return 0, c.readError("prune", err)
	}
	defer events.Close()
	trans, err := c.scan([]byte{kindTransition}, []byte{kindTransition + 1})
	if err != nil {
		return 0, c.readError("prune", err)
	}
	defer trans.Close()
	seen := 0
	for ok := events.First(); ok; ok = events.Next() {
		seq := seqOf(events.Key())
		if seen++; seen > pruneStep || o.bytes > maxCommitBytes {
			return seq, nil
		}
		e, err := s.sweptEvent(events, trans)
		if err != nil {
			return 0, c.readError("prune", err)
		}
		if e == nil { // corrupt: noted, and kept for someone to look at
			*passing = false
			continue
		}
		if !o.w.old(e.ev.Accepted) {
			return 0, nil
		}
		do, pass, err := o.w.visit(c, e)
		if err != nil {
			return 0, c.readError("prune", err)
		}
		if do != nil {
			o.changes = append(o.changes, do)
			o.bytes += 256 + 64*(len(e.rows)+len(e.ds))
		}
		if *passing = *passing && pass; *passing {
			*mark = seq + 1
		}
	}
	return 0, c.readError("prune", events.Error())
}

// sweptEvent reads the event under the iterator with its transitions; nil when it is corrupt.
func (s *Store) sweptEvent(events, trans *pebble.Iterator) (*sweptEvent, error) {
	val, err := value(events)
	if err != nil {
		return nil, err
	}
	ev, ds, err := decodeEvent(events.Key(), val, true)
	if err != nil {
		s.bad.note(s, events.Key(), val, err)
		return nil, nil
	}
	e := &sweptEvent{ev: ev, ds: ds, ended: make([]time.Time, len(ds))}
	trans.SetBounds(stepKey(kindTransition, delivery.Key{Seq: ev.Seq}, 0), stepKey(kindTransition, delivery.Key{Seq: ev.Seq + 1}, 0))
	for ok := trans.First(); ok; ok = trans.Next() {
		key := append([]byte(nil), trans.Key()...)
		e.rows = append(e.rows, key)
		val, err := value(trans)
		if err != nil {
			return nil, err
		}
		k, _, _ := parseStep(key)
		t, err := decodeTransition(key, val)
		if err != nil {
			s.bad.note(s, key, val, err)
			continue
		}
		e.rows = append(e.rows, indexKeys(k, &t, ev.Tenant)...)
		if int(k.Ord) < len(ds) {
			ds[k.Ord].Progress, e.ended[k.Ord] = t.Progress, t.At
		}
	}
	return e, trans.Error()
}

// readMark asks the committer's state on disk.
func (s *Store) readMark(ctx context.Context, w sweeper) (uint64, error) {
	o := &sweepOp{call: newCall(), w: w, ask: true}
	if err := s.submit(ctx, o); err != nil {
		return 0, err
	}
	if err := s.await(ctx, &o.call); err != nil {
		return 0, err
	}
	return o.upTo, nil
}

// sweepOp is one step of a sweep in the committer, or (ask) the question where it begins.
type sweepOp struct {
	call

	w       sweeper
	ask     bool
	was     uint64 // the mark at the step before
	upTo    uint64
	changes []change
	bytes   int
	n       int
}

// size fills a commit: a sweep shares none, so what it reads in build is all there is to know.
func (o *sweepOp) size() (rows, bytes int) { return maxCommitRows, o.bytes }
func (*sweepOp) lazy() bool                { return false }
func (o *sweepOp) done(err error)          { o.finish(err) }

func (o *sweepOp) build(tx *tx) error {
	m := tx.marks
	if o.ask {
		o.upTo = *o.w.mark(&m)
		return nil
	}
	for _, do := range o.changes {
		n, err := do.apply(tx)
		if err != nil {
			return tx.conn.readError("prune", err)
		}
		o.n += n
	}
	if mark := o.w.mark(&m); *mark == o.was { // else Decide has lowered it since, and it stays lowered
		*mark = o.upTo
		tx.setMarks(m)
	}
	return nil
}
