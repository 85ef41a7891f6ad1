package embedded

import (
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/atoship/caddy-webhooks/delivery"
)

// expiry ends what is still pending of events accepted before a time. What the engine has in hand it ends itself.
type expiry struct {
	now, before time.Time
	tell        func(*delivery.Delivery) // may be nil
}

func (*expiry) mark(m *marks) *uint64         { return &m.expire }
func (x *expiry) old(accepted time.Time) bool { return accepted.Before(x.before) }

// visit passes an event over when nothing of it is pending. An undecided one is passed over too: Decide moves the mark
// back when it gets deliveries.
func (x *expiry) visit(_ *conn, e *sweptEvent) (change, bool, error) {
	var pending []*delivery.Delivery
	for _, d := range e.ds {
		if !d.State.Final() && d.Since().Before(x.before) {
			pending = append(pending, d)
		}
	}
	if pending == nil { // younger ones are replays, which expireReplays finds
		return nil, true, nil
	}
	return &expire{expiry: x, pending: pending}, false, nil
}

// expire ends deliveries of one event.
type expire struct {
	*expiry

	pending, ended []*delivery.Delivery
}

func (x *expire) apply(tx *tx) (n int, err error) {
	x.ended = nil
	for _, d := range x.pending {
		k := d.Key()
		if tx.inHand(k) {
			continue
		}
		settled, err := tx.conn.has(stepKey(kindTransition, k, d.Step+1)) // since it was looked at
		if err != nil {
			return len(x.ended), err
		}
		if settled {
			continue
		}
		if err := tx.endPending(k, turnOf(d), ending{at: x.now, state: delivery.Exhausted, reason: delivery.ReasonExpired}); err != nil {
			return len(x.ended), err
		}
		d.ID = tx.ids.encode(k)
		x.ended = append(x.ended, d)
	}
	return len(x.ended), nil
}

func (x *expire) committed() {
	if x.tell != nil {
		for _, d := range x.ended {
			x.tell(d)
		}
	}
}

// endPending ends a delivery that waits or is a successor. What it says must be its present state, and the commit must be
// nobody else's.
func (tx *tx) endPending(k delivery.Key, t turn, e ending) error {
	waits, err := tx.leave(k, t)
	if err != nil {
		return err
	}
	if waits {
		singleDelete(tx.b, t.waitingKey(k))
		tx.vanish = true
	}
	tx.end(k, t, e)
	return nil
}

// retention deletes events of which everything ended before a time.
type retention struct {
	before time.Time
}

func (*retention) mark(m *marks) *uint64         { return &m.retain }
func (r *retention) old(accepted time.Time) bool { return accepted.Before(r.before) }

func (r *retention) visit(c *conn, e *sweptEvent) (change, bool, error) {
	if e.ev.Routing == delivery.Undecided {
		return nil, true, nil // Decide moves the mark back
	}
	for i, d := range e.ds {
		if !d.State.Final() || !e.ended[i].Before(r.before) {
			return nil, false, nil
		}
	}
	do := &erase{e: e}
	var err error
	// Read here too, so that the committer finds the block in memory.
	do.hasID, err = c.holdsID(e.ev)
	return do, true, err
}

// holdsID tells whether the id's row is this event's, and not a newer generation's.
func (c *conn) holdsID(ev *delivery.Event) (bool, error) {
	k, err := getRow(c, idKey(ev), decodeKnown)
	var corrupt *CorruptError
	if errors.Is(err, pebble.ErrNotFound) || errors.As(err, &corrupt) {
		return false, nil
	}
	return k.seq == ev.Seq, err
}

// erase deletes all rows of one event. Power cut: all of them or none, with their counts.
type erase struct {
	e     *sweptEvent
	hasID bool
}

func (x *erase) apply(tx *tx) (int, error) {
	ev := x.e.ev
	if x.hasID {
		held, err := tx.conn.holdsID(ev)
		if err != nil {
			return 0, err
		}
		if held {
			remove(tx.b, idKey(ev))
		}
	}
	remove(tx.b, eventKey(ev.Seq))
	for _, key := range x.e.rows {
		remove(tx.b, key)
	}
	if ev.Routing != delivery.Routed {
		remove(tx.b, term{termRouting, uint32(ev.Routing)}.key(ev.Seq))
	}
	for _, d := range x.e.ds {
		tx.gone(d.Chain[0], d.State)
		if d.State != delivery.Delivered {
			remove(tx.b, stateTerm(d.State).key(ev.Seq))
		}
	}
	return 1, nil
}

func (*erase) committed() {}

// expireReplays ends replays that are pending for too long. Their events are older than they, so that the sweep, which goes
// by the events' age, has passed them; they stand in a list of their own.
func (s *Store) expireReplays(ctx context.Context, x *expiry) (n int, err error) {
	for from := []byte{kindReplayed}; from != nil; {
		o := &sweepOp{call: newCall(), w: x, was: math.MaxUint64} // which is no mark, so that it moves none
		if from, err = s.lookAtReplays(ctx, o, from); err != nil {
			return n, err
		}
		if len(o.changes) == 0 {
			continue
		}
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
	}
	return n, nil
}

// lookAtReplays visits the events of up to pruneStep pending replays, and returns where to go on; nil at the end.
func (s *Store) lookAtReplays(ctx context.Context, o *sweepOp, from []byte) (next []byte, err error) {
	c, done, err := s.view(ctx, "prune")
	if err != nil {
		return nil, err
	}
	defer done()
	its := make([]*pebble.Iterator, 3)
	for i, bounds := range [...][2][]byte{
		{from, {kindReplayed + 1}}, {{kindEvent}, {kindEvent + 1}}, {{kindTransition}, {kindTransition + 1}},
	} {
		if its[i], err = c.scan(bounds[0], bounds[1]); err != nil {
			return nil, c.readError("prune", err)
		}
		defer its[i].Close()
	}
	rows, events, trans := its[0], its[1], its[2]
	last := uint64(0)
	for ok := rows.First(); ok; ok = rows.Next() {
		seq := seqOf(rows.Key())
		if seq == last {
			continue
		}
		if len(o.changes) == pruneStep {
			return slices.Clone(rows.Key()), nil
		}
		if last = seq; !events.SeekGE(eventKey(seq)) || seqOf(events.Key()) != seq {
			continue
		}
		e, err := s.sweptEvent(events, trans)
		if err != nil {
			return nil, c.readError("prune", err)
		}
		if e == nil {
			continue
		}
		if do, _, _ := o.w.visit(c, e); do != nil {
			o.changes = append(o.changes, do)
			o.bytes += 256 + 64*len(e.ds)
		}
	}
	return nil, c.readError("prune", rows.Error())
}
