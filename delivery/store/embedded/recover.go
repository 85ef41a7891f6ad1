package embedded

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/atoship/caddy-webhooks/delivery"
)

const (
	// recoverStep bounds the rows of one recovering commit.
	recoverStep = 1000
	// attachPatience is how long Attach waits for a store that has failed since it was opened. A compaction that comes across
	// damage right after that fails it until the damage is mended: an engine that gave up would not start, and not the next
	// time either.
	attachPatience = time.Minute
	attachPause    = 20 * time.Millisecond
)

// Attach implements delivery.Queue. It reads only what was in hand, which the engine's windows bound, whatever waits.
func (s *Store) Attach(h delivery.Handover) error {
	ctx := context.Background()
	o := &attachOp{call: newCall(), h: h}
	patience := time.After(attachPatience)
	for o.from = stepKey(kindHanded, delivery.Key{}, 0); o.from != nil; o.call = newCall() {
		err := s.submit(ctx, o)
		if err == nil {
			err = s.await(ctx, &o.call)
		}
		switch {
		case err == nil:
			o.from = o.next
		case errors.Is(err, delivery.ErrUnavailable) && !o.mine && s.mayReopen(patience): // nothing was begun
		default:
			return fmt.Errorf("attach: %w", err)
		}
	}
	return nil
}

// mayReopen waits a moment; false: the store closes, or patience has ended.
func (s *Store) mayReopen(patience <-chan time.Time) bool {
	select {
	case <-time.After(attachPause):
		return true
	case <-s.closing:
	case <-patience:
	}
	return false
}

// attachOp recovers one step's worth of deliveries.
type attachOp struct {
	call

	h    delivery.Handover
	mine bool     // the Handover is attached
	from []byte   // the first key to look at
	next []byte   // where the step after this one goes on, once this one is committed; nil at the end
	lost []string // lanes of the deliveries lost by this step
}

func (*attachOp) size() (rows, bytes int) { return recoverStep, recoverStep * 256 }
func (*attachOp) lazy() bool              { return false }

func (o *attachOp) done(err error) {
	if err == nil {
		for _, lane := range o.lost {
			o.h.Lost(lane)
		}
	}
	o.finish(err)
}

func (o *attachOp) build(tx *tx) error {
	if tx.handover != nil && !o.mine {
		return errors.New("an engine is attached already")
	}
	tx.handover, o.mine, o.lost = o.h, true, o.lost[:0]
	rows, next, err := tx.inHandRows(o.from, recoverStep)
	if err != nil {
		return tx.conn.readError("read what was in hand", err)
	}
	for _, r := range rows {
		if tx.inHand(r.k) { // in the hands of this process since
			continue
		}
		if err := tx.lose(r); err != nil {
			return tx.conn.readError("recover what was in hand", err)
		}
		o.lost = append(o.lost, r.t.lane())
	}
	o.next = next
	return nil
}

// lose makes a delivery of an earlier process wait again, due at once, with a Lost transition: it may or may not have
// been tried. That spends no schedule, and how many in a row are enough is the engine's to say. One that was cancelled
// while the engine held it ends instead.
func (tx *tx) lose(r handedRow) error {
	doomed, err := tx.conn.has(cancelledKey(r.k))
	if err == nil && doomed {
		err = tx.headEnded(r.t.home(), r.t.order, r.k)
	}
	if err != nil {
		return err
	}
	tenant, err := tx.tenantOf(r.k.Seq)
	if err != nil {
		return err
	}
	p := r.t.progress
	p.Step++
	p.Attempts++
	p.Unknowns++
	p.Due = tx.now
	t := delivery.Transition{
		At:   tx.now,
		Kind: delivery.Lost,
		Attempt: &delivery.Attempt{
			N: p.Attempts, Endpoint: r.t.lane(), Started: r.t.handed, Outcome: outcomeUnknown,
		},
		Progress: p,
	}
	singleDelete(tx.b, r.key)
	tx.record(r.k, &t, encodeTransition(&t), tenant)
	r.t.progress = p
	if doomed {
		remove(tx.b, cancelledKey(r.k))
		tx.end(r.k, r.t, cancelled(tx.now))
	} else {
		tx.enqueue(r.k, r.t, true)
	}
	return nil
}

// tenantOf an event; none when its record is corrupt.
func (tx *tx) tenantOf(seq uint64) (string, error) {
	ev, err := getRow(tx.conn, eventKey(seq), decodeHeadOnly)
	switch {
	case err == nil:
		return ev.Tenant, nil
	case errors.Is(err, pebble.ErrNotFound), tx.bad.skip(tx.Store, tx.conn, eventKey(seq), err):
		return "", nil
	default:
		return "", err
	}
}

// handedRow is a handed-over row on disk.
type handedRow struct {
	key  []byte
	k    delivery.Key
	step uint16
	t    turn
}

// inHandRows reads up to n handed-over rows, and where to go on; nil at the end. A corrupt row is set aside and worked out
// anew; one whose event cannot be read either is removed, and its delivery stays on record as pending.
func (tx *tx) inHandRows(from []byte, n int) (rows []handedRow, next []byte, err error) {
	it, err := tx.conn.scan(from, []byte{kindHanded + 1})
	if err != nil {
		return nil, nil, err
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		if len(rows) == n {
			return rows, slices.Clone(it.Key()), nil
		}
		r := handedRow{key: slices.Clone(it.Key())}
		r.k, r.step, _ = parseStep(r.key)
		val, err := value(it)
		if err != nil {
			return nil, nil, err
		}
		if r.t, err = decodeTurn(r.key, val); err != nil {
			tx.bad.note(tx.Store, r.key, val, err)
			if r.t, err = tx.rebuildTurn(tx.conn, r.k); tx.bad.skip(tx.Store, tx.conn, eventKey(r.k.Seq), err) {
				if err := tx.abandon(r.k); err != nil {
					return nil, nil, err
				}
				singleDelete(tx.b, r.key)
				remove(tx.b, cancelledKey(r.k))
				continue
			}
			if err != nil {
				return nil, nil, err
			}
		}
		rows = append(rows, r)
	}
	return rows, nil, it.Error()
}

// reconcile brings memory and disk together after a reopening inside one process: the commit that failed may have
// survived, or not. The engine still holds what it held, so nothing is marked as lost.
//
//	on disk, in memory      in hand, as before
//	on disk only            an Append or Claim that was answered with an error and survived: nobody holds it, it waits
//	in memory only          a settlement that was answered with an error and survived: its repetition is answered with yes
func (s *Store) reconcile(c *conn) error {
	s.conn = c
	if err := s.load(c); err != nil {
		return err
	}
	onDisk := map[delivery.Key]uint16{}
	for from := stepKey(kindHanded, delivery.Key{}, 0); from != nil; {
		tx := s.newTx(0)
		rows, next, err := tx.inHandRows(from, recoverStep)
		if err != nil {
			return err
		}
		for _, r := range rows {
			if h, ok := s.handed[r.k]; ok && h.step == r.step {
				if h.cancelled, err = c.has(cancelledKey(r.k)); err != nil { // a Cancel that failed may have survived
					return err
				}
				s.handed[r.k] = h
				onDisk[r.k] = r.step
				continue
			}
			singleDelete(tx.b, r.key)
			tx.enqueue(r.k, r.t, false)
		}
		if err := tx.commit(); err != nil {
			return err
		}
		from = next
	}
	for k, h := range s.handed {
		if _, ok := onDisk[k]; !ok {
			h.settled = true
			s.handed[k] = h
		}
	}
	return nil
}

// remind tells the engine of every lane in which something waits: some of it may be news.
func (s *Store) remind(c *conn) error {
	if s.handover == nil {
		return nil
	}
	due, err := s.due(context.Background(), c)
	for lane, at := range due {
		s.handover.Queued(lane, at)
	}
	return err
}
