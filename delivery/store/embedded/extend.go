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

// extendOp is one Extend. What it adds to is read by the committer: a replay is paced, and a page of it is a few dozen events.
type extendOp struct {
	call

	s      *Store
	batch  []delivery.Extension
	out    []delivery.Extended
	placed []placed // of those added, in their order
	added  []*delivery.Delivery
}

// Extend implements delivery.Queue. When ctx ends first the outcome is unknown; extending again is harmless.
func (s *Store) Extend(ctx context.Context, batch []delivery.Extension) ([]delivery.Extended, error) {
	if len(batch) > delivery.MaxBatch {
		return nil, fmt.Errorf("extend by %d deliveries: %w", len(batch), delivery.ErrTooLarge)
	}
	for i, x := range batch {
		if err := checkDelivery(x.Delivery); err != nil {
			return nil, fmt.Errorf("extend: item %d: %w", i, err)
		}
	}
	o := &extendOp{call: newCall(), s: s, batch: batch, out: make([]delivery.Extended, len(batch))}
	err := s.submit(ctx, o)
	if err == nil {
		err = s.await(ctx, &o.call)
	}
	if err != nil {
		return nil, fmt.Errorf("extend: %w", err)
	}
	return o.out, nil
}

// size fills a commit: what it reads in build must be all there is to know of the events.
func (o *extendOp) size() (rows, bytes int) { return maxCommitRows, 8 << 10 * len(o.batch) }
func (*extendOp) lazy() bool                { return false }

// done tells the Handover about each delivery, in order, then the caller.
func (o *extendOp) done(err error) {
	for i, p := range o.placed {
		if p != behind && o.s.handover != nil {
			o.s.handover.Committed(o.added[i], p == taken, err)
		}
	}
	o.finish(err)
}

// extended is an event that a commit adds to.
type extended struct {
	ev    *delivery.Event
	plan  []*delivery.Delivery
	had   int
	lines map[int]*orderLine // by item
}

// build writes each event anew with its longer plan, and a row for each new delivery. All reading comes first: once the
// Handover was asked there is no way back.
func (o *extendOp) build(tx *tx) error {
	events := map[uint64]*extended{}
	for i := range o.batch {
		if err := o.read(tx, events, i); err != nil {
			return tx.conn.readError("read an event", err)
		}
	}
	for i := range o.batch {
		if o.out[i].Err == nil {
			o.add(tx, events[o.batch[i].Seq], i)
		}
	}
	for seq, x := range events {
		if x == nil || len(x.plan) == x.had {
			continue
		}
		put(tx.b, eventKey(seq), appendEvent(newRecord(len(x.ev.Body)+320+64*len(x.plan)), x.ev, x.plan))
	}
	return nil
}

// read reads the event of an item, once, and the line that its delivery joins.
func (o *extendOp) read(tx *tx, events map[uint64]*extended, i int) error {
	seq, d := o.batch[i].Seq, o.batch[i].Delivery
	x, known := events[seq]
	if !known {
		ev, plan, err := tx.conn.event(seq, true)
		switch _, corrupt := errors.AsType[*CorruptError](err); {
		case corrupt:
			tx.bad.noteKey(tx.Store, tx.conn, eventKey(seq), err)
		case err == nil:
			x = &extended{ev: ev, plan: plan, had: len(plan), lines: map[int]*orderLine{}}
		case !errors.Is(err, delivery.ErrNotFound) && !errors.Is(err, pebble.ErrNotFound):
			return err
		}
		events[seq] = x
	}
	if x == nil {
		o.out[i] = delivery.Extended{Err: fmt.Errorf("event %d: %w", seq, delivery.ErrNotFound)}
		return nil
	}
	if d.OrderKey == "" {
		return nil
	}
	ln, err := tx.line(lineOf(d.Chain[0], d.OrderKey))
	x.lines[i] = ln
	return err
}

func (o *extendOp) add(tx *tx, x *extended, i int) {
	d := o.batch[i].Delivery
	if at := slices.IndexFunc(x.plan, func(p *delivery.Delivery) bool { return p.Replay == d.Replay && p.Chain[0] == d.Chain[0] }); at >= 0 {
		have := *x.plan[at]
		have.ID = tx.ids.encode(have.Key())
		o.out[i] = delivery.Extended{Delivery: &have, Known: true}
		return
	}
	if len(x.plan) >= delivery.MaxBatch {
		o.out[i].Err = fmt.Errorf("event %d: %w", x.ev.Seq, delivery.ErrTooLarge)
		return
	}
	d.Event, d.Ord = x.ev, uint16(len(x.plan)) //nolint:gosec // MaxBatch bounds it
	d.ID = tx.ids.encode(d.Key())
	d.Due = d.Due.UTC().Truncate(time.Millisecond)
	d.Planned = d.Planned.UTC().Truncate(time.Millisecond)
	if d.Joined = 0; d.OrderKey != "" {
		tx.seq++ // the place at which it joins: whatever is accepted later stands behind
		d.Joined, tx.totals = tx.seq, true
	}
	planned := *d // what the engine holds changes
	x.plan = append(x.plan, &planned)
	o.added = append(o.added, d)
	o.placed = append(o.placed, tx.place(d, x.lines[i]))
	o.out[i] = delivery.Extended{Delivery: d}
	tx.born(d)
	putKey(tx.b, replayedKey(d.Key()))
}
