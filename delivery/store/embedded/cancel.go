package embedded

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/atoship/caddy-webhooks/delivery"
)

// cancelStep bounds the deliveries of one commit of CancelLane, as pruneStep does for Prune.
const cancelStep = 1000

// Cancel implements delivery.Journal. When ctx ends first the outcome is unknown; cancelling again is harmless.
func (s *Store) Cancel(ctx context.Context, id string) (delivery.State, error) {
	k, ok := s.ids.decode(id)
	if !ok {
		return 0, fmt.Errorf("cancel %.40q: %w", id, delivery.ErrNotFound)
	}
	o := &cancelOp{call: newCall(), k: k}
	err := s.submit(ctx, o)
	if err == nil {
		err = s.await(ctx, &o.call)
	}
	switch {
	case err != nil:
		return 0, fmt.Errorf("cancel %s: %w", id, err)
	case o.was.Final():
		return o.was, fmt.Errorf("cancel %s: %w", id, delivery.ErrFinal)
	case o.marked:
		return delivery.Pending, nil
	default:
		return delivery.Cancelled, nil
	}
}

// cancelOp is one Cancel. It is rare, so the committer reads the delivery itself.
type cancelOp struct {
	call

	k      delivery.Key
	was    delivery.State
	marked bool // the engine holds it
}

// size fills a commit, so that what build reads is all there is to know.
func (*cancelOp) size() (rows, bytes int) { return maxCommitRows, 4 << 10 }
func (*cancelOp) lazy() bool              { return false }
func (o *cancelOp) done(err error)        { o.finish(err) }

func (o *cancelOp) build(tx *tx) error {
	t, err := tx.rebuildTurn(tx.conn, o.k)
	if _, corrupt := errors.AsType[*CorruptError](err); corrupt {
		tx.bad.noteKey(tx.Store, tx.conn, eventKey(o.k.Seq), err)
	}
	if err == nil {
		o.was = t.progress.State
		if !o.was.Final() {
			o.marked, _, err = tx.markHanded(o.k, t.progress.Step)
		}
	}
	if err == nil && !o.was.Final() && !o.marked {
		err = tx.endPending(o.k, t, cancelled(tx.now))
	}
	return tx.conn.readError("read it", err)
}

// markHanded marks a delivery that is handed over as cancelled, and tells whether it is and whether that is news.
func (tx *tx) markHanded(k delivery.Key, step uint16) (handed, fresh bool, err error) {
	if handed, err = tx.conn.has(stepKey(kindHanded, k, step)); err != nil || !handed {
		return false, false, err
	}
	before, err := tx.conn.has(cancelledKey(k))
	if err != nil || before {
		return true, false, err
	}
	putKey(tx.b, cancelledKey(k))
	tx.doomed = append(tx.doomed, k)
	return true, true, nil
}

// CancelLane implements delivery.Queue. It looks in the caller's goroutine, successors first, so that none is promoted just
// to be cancelled; the committer cancels what is still as it was found.
func (s *Store) CancelLane(ctx context.Context, lane string, limit int) (n int, more bool, err error) {
	if err := checkLane(lane); err != nil {
		return 0, false, fmt.Errorf("cancel lane: %w", err)
	}
	limit = min(max(limit, 1), delivery.MaxBatch)
	f := newLaneFinder(lane)
	for len(f.spaces) > 0 {
		if n >= limit {
			return n, true, nil
		}
		o := &cancelLaneOp{call: newCall()}
		if err := s.findAtHome(ctx, f, o, min(cancelStep, limit-n)); err != nil {
			return n, false, fmt.Errorf("cancel lane %s: %w", lane, err)
		}
		if len(o.rows) == 0 {
			continue
		}
		err := s.submit(ctx, o)
		if err == nil {
			err = s.await(ctx, &o.call)
		}
		if err != nil {
			return n, false, fmt.Errorf("cancel lane %s: %w", lane, err)
		}
		n += o.n
		more = more || o.moved
	}
	return n, more, nil
}

// laneFinder goes through the rows that may belong to deliveries at home in a lane.
type laneFinder struct {
	lane   string
	spaces [][2][]byte // what is left to look at: [from, to)
}

func newLaneFinder(lane string) *laneFinder {
	prefixes := [][]byte{
		append(namedKey(kindSuccessor, lane), 0), waitingPrefix(lane, false), waitingPrefix(lane, true), {kindHanded},
	}
	f := &laneFinder{lane: lane}
	for _, p := range prefixes {
		f.spaces = append(f.spaces, [2][]byte{p, after(p)})
	}
	return f
}

// findAtHome finds up to n rows in what is left of the first space, which it shortens or removes.
func (s *Store) findAtHome(ctx context.Context, f *laneFinder, o *cancelLaneOp, n int) error {
	c, done, err := s.view(ctx, "look for deliveries")
	if err != nil {
		return err
	}
	defer done()
	it, err := c.scan(f.spaces[0][0], f.spaces[0][1])
	if err != nil {
		return c.readError("look for deliveries", err)
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if len(o.rows) == n {
			f.spaces[0][0] = slices.Clone(it.Key())
			return nil
		}
		r, err := s.laneRow(c, it)
		if err != nil {
			return c.readError("look for deliveries", err)
		}
		if r != nil && r.t.home() == f.lane && r.t.lane() == f.lane {
			o.rows = append(o.rows, *r)
		}
	}
	f.spaces = f.spaces[1:]
	return c.readError("look for deliveries", it.Error())
}

// laneRow reads the row under the iterator; nil when nothing can be read about its delivery, which is then not cancelled.
func (s *Store) laneRow(c *conn, it *pebble.Iterator) (*foundRow, error) {
	r := &foundRow{key: slices.Clone(it.Key())}
	switch r.key[0] {
	case kindSuccessor:
		_, at, _ := parseSuccessor(r.key)
		r.k = at.k
	case kindWaiting:
		_, _, at, _ := parseWaiting(r.key)
		r.k = at.key()
	case kindHanded:
		r.k, _, _ = parseStep(r.key)
	}
	val, err := value(it)
	if err != nil {
		return nil, err
	}
	if r.t, err = decodeTurn(r.key, val); err != nil {
		s.bad.note(s, r.key, val, err)
		if r.t, err = s.rebuildTurn(c, r.k); s.bad.skip(s, c, eventKey(r.k.Seq), err) {
			return nil, nil
		}
	}
	return r, err
}

// cancelLaneOp is one commit of CancelLane.
type cancelLaneOp struct {
	call

	rows  []foundRow
	n     int
	moved bool // some were no longer where they were found
}

func (*cancelLaneOp) size() (rows, bytes int) { return maxCommitRows, cancelStep * 256 }
func (*cancelLaneOp) lazy() bool              { return false }
func (o *cancelLaneOp) done(err error)        { o.finish(err) }

func (o *cancelLaneOp) build(tx *tx) error {
	for i := range o.rows {
		r := &o.rows[i]
		there, err := tx.conn.has(r.key)
		fresh := there
		switch {
		case err != nil:
		case !there:
			o.moved = true
		case r.key[0] == kindHanded:
			_, fresh, err = tx.markHanded(r.k, r.t.progress.Step)
		default:
			err = tx.endPending(r.k, r.t, cancelled(tx.now))
		}
		if err != nil {
			return tx.conn.readError("cancel", err)
		}
		if fresh {
			o.n++
		}
	}
	return nil
}
