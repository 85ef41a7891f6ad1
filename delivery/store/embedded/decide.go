package embedded

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
)

// decideOp is one Decide. It is rare, so the committer reads the event itself.
type decideOp struct {
	call

	seq     uint64
	routing delivery.Routing
	held    []string
	digest  string
	add     []*delivery.Delivery
}

// Decide implements delivery.Queue. When ctx ends first the outcome is unknown; deciding again is harmless.
func (s *Store) Decide(
	ctx context.Context, seq uint64, routing delivery.Routing, held []string, digest string, add []*delivery.Delivery,
) error {
	for _, d := range add {
		if err := checkDelivery(d); err != nil {
			return fmt.Errorf("decide event %d: %w", seq, err)
		}
	}
	o := &decideOp{call: newCall(), seq: seq, routing: routing, held: slices.Clone(held), digest: digest, add: add}
	err := s.submit(ctx, o)
	if err == nil {
		err = s.await(ctx, &o.call)
	}
	if err != nil {
		return fmt.Errorf("decide event %d: %w", seq, err)
	}
	return nil
}

func (o *decideOp) size() (rows, bytes int) { return 1 + len(o.add), 64<<10 + 256*len(o.add) }
func (*decideOp) lazy() bool                { return false }
func (o *decideOp) done(err error)          { o.finish(err) }

// build writes the event anew with the longer plan, and one waiting row per new delivery that heads its line or has none.
func (o *decideOp) build(tx *tx) error {
	ev, plan, err := tx.conn.event(o.seq, true)
	if err != nil {
		return tx.conn.readError("read it", err)
	}
	if tx.decided[o.seq] { // by the same commit, which cannot be read yet
		return delivery.ErrUnavailable
	}
	if ev.Routing == delivery.Routed {
		return nil
	}
	if len(plan)+len(o.add) > delivery.MaxBatch {
		return delivery.ErrTooLarge
	}
	ev.Routing, ev.Held, ev.Digest = o.routing, o.held, o.digest
	joined, lines, err := o.look(tx)
	if err != nil {
		return tx.conn.readError("look up ordering keys", err)
	}
	for i, d := range o.add {
		d.Event = ev
		if slices.ContainsFunc(plan, func(p *delivery.Delivery) bool { return p.Chain[0] == d.Chain[0] }) {
			continue
		}
		d.Ord = uint16(len(plan))
		d.ID = tx.ids.encode(d.Key())
		d.Due = d.Due.UTC().Truncate(time.Millisecond)
		if d.Joined = 0; d.OrderKey != "" {
			d.Joined = joined
		}
		plan = append(plan, d)
		if t := turnOf(d); lines[i] == nil || tx.join(lines[i], d.Key(), t) {
			tx.enqueue(d.Key(), t, true)
		} else {
			tx.markWaiting(d.Key(), t)
		}
		tx.born(d)
	}
	put(tx.b, eventKey(o.seq), appendEvent(newRecord(len(ev.Body)+320+64*len(plan)), ev, plan))
	tx.markRouting(o.seq, o.routing)
	if o.routing != delivery.Undecided {
		remove(tx.b, undecidedKey(o.seq))
	}
	if tx.decided == nil {
		tx.decided = map[uint64]bool{}
	}
	tx.decided[o.seq] = true
	// The sweeps may have passed the event while it was undecided.
	tx.setMarks(marks{expire: min(tx.marks.expire, o.seq), retain: min(tx.marks.retain, o.seq)})
	return nil
}

// look reads the lines that the new deliveries join, by delivery, and draws the place at which they do. It is a sequence
// number of its own, so that whatever is accepted later stands behind.
func (o *decideOp) look(tx *tx) (joined uint64, lines []*orderLine, err error) {
	lines = make([]*orderLine, len(o.add))
	for i, d := range o.add {
		if d.OrderKey == "" {
			continue
		}
		if lines[i], err = tx.line(lineOf(d.Chain[0], d.OrderKey)); err != nil {
			return 0, nil, err
		}
		if joined == 0 {
			joined = tx.seq + 1
		}
	}
	if joined > 0 {
		tx.seq, tx.totals = joined, true
	}
	return joined, lines, nil
}

// Undecided implements delivery.Queue.
func (s *Store) Undecided(ctx context.Context, from uint64, n int) ([]*delivery.Event, error) {
	c, done, err := s.view(ctx, "undecided")
	if err != nil {
		return nil, err
	}
	defer done()
	it, err := c.scan(undecidedKey(from+1), []byte{kindUndecided + 1})
	if err != nil {
		return nil, c.readError("undecided", err)
	}
	defer it.Close()
	var evs []*delivery.Event
	for ok := it.First(); ok && len(evs) < n; ok = it.Next() {
		key := eventKey(seqOf(it.Key()))
		ev, _, err := c.event(seqOf(key), false)
		if s.bad.skip(s, c, key, err) {
			continue
		}
		if err != nil {
			return nil, c.readError("undecided", err)
		}
		evs = append(evs, ev)
	}
	return evs, c.readError("undecided", it.Error())
}
