package embedded

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/atoship/caddy-webhooks/delivery"
)

// eraseOp is one Erase. The committer reads and rewrites the events itself.
type eraseOp struct {
	call

	seqs   []uint64
	cancel bool
	out    delivery.Erasure
}

// Erase implements delivery.Journal.
func (s *Store) Erase(ctx context.Context, seqs []uint64, cancel bool) (delivery.Erasure, error) {
	if len(seqs) > delivery.MaxErase {
		return delivery.Erasure{}, fmt.Errorf("erase %d events: %w", len(seqs), delivery.ErrTooLarge)
	}
	o := &eraseOp{call: newCall(), seqs: slices.Compact(slices.Sorted(slices.Values(seqs))), cancel: cancel}
	err := s.submit(ctx, o)
	if err == nil {
		err = s.await(ctx, &o.call)
	}
	if err != nil {
		return delivery.Erasure{}, fmt.Errorf("erase: %w", err)
	}
	return o.out, nil
}

// size fills a commit, so that what build reads is all there is to know.
func (o *eraseOp) size() (rows, bytes int) { return maxCommitRows, 4 << 10 * len(o.seqs) }
func (*eraseOp) lazy() bool                { return false }
func (o *eraseOp) done(err error)          { o.finish(err) }

// build erases what can be read before it writes anything: an error in the middle would leave half of an event.
func (o *eraseOp) build(tx *tx) error {
	events, err := tx.conn.scan([]byte{kindEvent}, []byte{kindEvent + 1})
	if err != nil {
		return tx.conn.readError("read", err)
	}
	defer events.Close()
	trans, err := tx.conn.scan([]byte{kindTransition}, []byte{kindTransition + 1})
	if err != nil {
		return tx.conn.readError("read", err)
	}
	defer trans.Close()
	var found []*sweptEvent
	for _, seq := range o.seqs {
		if !events.SeekGE(eventKey(seq)) || seqOf(events.Key()) != seq {
			continue
		}
		e, err := tx.sweptEvent(events, trans)
		if err != nil {
			return tx.conn.readError("read", err)
		}
		if e != nil && !e.ev.Erased {
			found = append(found, e)
		}
	}
	if err := errors.Join(events.Error(), trans.Error()); err != nil {
		return tx.conn.readError("read", err)
	}
	o.out = delivery.Erasure{}
	for _, e := range found {
		if err := o.erase(tx, e); err != nil {
			return tx.conn.readError("erase", err)
		}
	}
	return nil
}

func (o *eraseOp) erase(tx *tx, e *sweptEvent) error {
	if slices.ContainsFunc(e.ds, func(d *delivery.Delivery) bool { return !d.State.Final() }) {
		if !o.cancel {
			o.out.Pending++
			return nil
		}
		for _, d := range slices.Backward(e.ds) { // successors before their head
			if err := o.cancelPending(tx, d); err != nil {
				return err
			}
		}
	}
	for _, key := range e.rows {
		if key[0] != kindTransition {
			continue
		}
		t, err := getRow(tx.conn, key, decodeTransition)
		if errors.Is(err, pebble.ErrNotFound) {
			continue
		}
		if _, corrupt := errors.AsType[*CorruptError](err); corrupt {
			remove(tx.b, key) // nobody can tell what it holds
			continue
		}
		if err != nil {
			return err
		}
		if t.Attempt != nil {
			put(tx.b, key, encodeTransition(withoutAnswer(&t)))
		}
	}
	_, plan, err := tx.conn.event(e.ev.Seq, true)
	if err != nil {
		return err
	}
	for _, d := range plan {
		d.OrderKey = ""
	}
	ev := *e.ev
	ev.Erased, ev.Body, ev.DataStart, ev.DataEnd = true, nil, 0, 0
	if ev.Routing == delivery.Undecided { // no rule can decide it any more, and retention need not wait for one
		ev.Routing, ev.Held = delivery.Unrouted, nil
		remove(tx.b, undecidedKey(ev.Seq))
		tx.markRouting(ev.Seq, ev.Routing)
		tx.setMarks(marks{expire: tx.marks.expire, retain: min(tx.marks.retain, ev.Seq)})
	}
	put(tx.b, eventKey(ev.Seq), appendEvent(newRecord(320+64*len(plan)), &ev, plan))
	o.out.Erased++
	return nil
}

// cancelPending ends a delivery that has not ended, or marks one that the engine holds.
func (o *eraseOp) cancelPending(tx *tx, d *delivery.Delivery) error {
	if d.State.Final() {
		return nil
	}
	k := d.Key()
	o.out.Cancelled++
	handed, _, err := tx.markHanded(k, d.Step)
	if err != nil || handed {
		tx.erased = append(tx.erased, k)
		return err
	}
	return tx.endPending(k, turnOf(d), cancelled(tx.now))
}

// withoutAnswer is a transition without what the endpoint said.
func withoutAnswer(t *delivery.Transition) *delivery.Transition {
	if t.Attempt == nil {
		return t
	}
	bare, a := *t, *t.Attempt
	a.Excerpt, a.ResponseFields = nil, nil
	bare.Attempt = &a
	return &bare
}

// scrubbedLogs is how many logs Pebble keeps to use again, and one for good measure.
const scrubbedLogs = 6

// Scrub implements delivery.Scrubbed: what was overwritten leaves the files. Tables are compacted; logs are written to disk
// and replaced, as Pebble would use them again without wiping them.
func (s *Store) Scrub(ctx context.Context, from, to uint64) error {
	c, done, err := s.view(ctx, "scrub")
	if err != nil {
		return err
	}
	defer done()
	s.scrubs.Lock()
	defer s.scrubs.Unlock()
	c.gate.fresh.Store(true)
	defer c.gate.fresh.Store(false)
	for range scrubbedLogs {
		if err := c.db.Flush(); err != nil {
			return c.readError("scrub", err)
		}
	}
	for _, r := range [...][2][]byte{
		{eventKey(from), eventKey(to + 1)},
		{stepKey(kindTransition, delivery.Key{Seq: from}, 0), stepKey(kindTransition, delivery.Key{Seq: to + 1}, 0)},
		{{kindWaiting}, {kindWaiting + 1}},
		{{kindHanded}, {kindHanded + 1}},
		{{kindSuccessor}, {kindSuccessor + 1}}, // ordering keys
	} {
		if err := c.db.Compact(ctx, r[0], r[1], false); err != nil {
			return c.readError("scrub", err)
		}
	}
	return c.readError("scrub", c.err())
}
