package embedded

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
)

const (
	maxName = 255 // bytes of an event id or lane name; the plan allows 128 and 64, this only keeps keys sane
	maxWord = 4 << 10
)

// appendOp is one Append. Records are encoded in the caller's goroutine; the committer adds the sequence numbers.
type appendOp struct {
	call

	s        *Store
	batch    []delivery.Accept
	receipts []delivery.Receipt
	repeats  map[int]int // item -> the item of the batch it repeats
	known    int         // items that an earlier Append stored
	records  [][]byte    // by item; nil for duplicates
	rows     int
	bytes    int

	flight    chan struct{} // closed when the outcome is known
	flightIDs []string

	lines  []*orderLine // of the ordered deliveries, in their order
	placed []placed     // where the deliveries went, in their order
}

// placed is where a new delivery went.
type placed uint8

const (
	behind  placed = iota // in its line: a successor
	refused               // to its lane: the Handover did not take it
	taken                 // handed over
)

// Append implements delivery.Queue. The events and deliveries are the store's until the outcome is known, which is later
// than the return when ctx ends first.
func (s *Store) Append(ctx context.Context, batch []delivery.Accept) ([]delivery.Receipt, error) {
	if err := check(batch); err != nil {
		return nil, err
	}
	o := &appendOp{call: newCall(), s: s, batch: batch, receipts: make([]delivery.Receipt, len(batch))}
	if err := s.dedupe(ctx, o); err != nil {
		return nil, appendError(err)
	}
	if o.known+len(o.repeats) == len(batch) { // nothing new
		s.flights.release(o.flightIDs, o.flight)
		o.answer()
		return o.receipts, nil
	}
	o.encode()
	if err := s.submit(ctx, o); err != nil {
		s.flights.release(o.flightIDs, o.flight)
		return nil, appendError(err)
	}
	if err := s.await(ctx, &o.call); err != nil {
		return nil, appendError(err)
	}
	return o.receipts, nil
}

func appendError(err error) error {
	var conflict *delivery.ConflictError
	if errors.As(err, &conflict) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("append: %w", err)
}

// check refuses what no commit can carry or no key can hold.
func check(batch []delivery.Accept) error {
	n := 0
	for i, a := range batch {
		n += len(a.Deliveries)
		if id := a.Event.ID; id == "" || len(id) > maxName || strings.IndexByte(id, 0) >= 0 {
			return fmt.Errorf("append: item %d: an event id of %d bytes, want 1 to %d without a NUL", i, len(id), maxName)
		}
		if len(a.Event.Tenant) > maxWord || len(a.Event.Source) > maxWord {
			return fmt.Errorf("append: item %d: tenant and source may have %d bytes", i, maxWord)
		}
		for _, d := range a.Deliveries {
			if err := checkDelivery(d); err != nil {
				return fmt.Errorf("append: item %d: %w", i, err)
			}
		}
	}
	if n > delivery.MaxBatch || len(batch) > delivery.MaxBatch {
		return fmt.Errorf("append %d deliveries of %d events: %w", n, len(batch), delivery.ErrTooLarge)
	}
	return nil
}

func checkDelivery(d *delivery.Delivery) error {
	if len(d.OrderKey) > delivery.MaxOrderKey {
		return fmt.Errorf("an ordering key of %d bytes, want at most %d", len(d.OrderKey), delivery.MaxOrderKey)
	}
	return checkChain(d.Chain)
}

func checkChain(chain []string) error {
	if len(chain) == 0 || len(chain) > delivery.MaxChain {
		return fmt.Errorf("a chain of %d targets, want 1 to %d", len(chain), delivery.MaxChain)
	}
	for _, lane := range chain {
		if err := checkLane(lane); err != nil {
			return err
		}
	}
	return nil
}

func checkLane(lane string) error {
	if lane == "" || len(lane) > maxName || strings.IndexByte(lane, 0) >= 0 {
		return fmt.Errorf("a lane name of %d bytes, want 1 to %d without a NUL", len(lane), maxName)
	}
	return nil
}

// encode prepares the records of the new items.
func (o *appendOp) encode() {
	o.records = make([][]byte, len(o.batch))
	for i := range o.batch {
		a := &o.batch[i]
		if _, repeats := o.repeats[i]; repeats || o.receipts[i].Duplicate {
			continue
		}
		for _, d := range a.Deliveries {
			d.Due = d.Due.UTC().Truncate(time.Millisecond)
			d.Joined = 0 // the event's own sequence number, to come
		}
		size := len(a.Event.Body) + 320 + 64*len(a.Deliveries)
		o.records[i] = appendEvent(borrowRecord(size), a.Event, a.Deliveries)
		o.rows += max(1, len(a.Deliveries))
		o.bytes += len(o.records[i]) + 128 + 128*len(a.Deliveries)
	}
}

func (o *appendOp) size() (rows, bytes int) { return o.rows, o.bytes }
func (*appendOp) lazy() bool                { return false }

// build writes, for each new item: the event, its id, its mark when undecided, and one row per delivery: behind the head of
// its line, or handed over or waiting as the Handover says.
func (o *appendOp) build(tx *tx) error {
	if err := o.look(tx); err != nil {
		return tx.conn.readError("look up ordering keys", err)
	}
	lines := o.lines
	for i, rec := range o.records {
		if rec == nil {
			continue
		}
		a := &o.batch[i]
		ev := a.Event
		tx.seq++
		ev.Seq = tx.seq
		tx.accept()
		put(tx.b, eventKey(ev.Seq), rec)
		k := known{ev.Seq, ev.Accepted, ev.Hash}
		put(tx.b, idKey(ev), k.encode())
		if ev.Routing == delivery.Undecided {
			putKey(tx.b, undecidedKey(ev.Seq))
		}
		tx.markEvent(ev)
		for ord, d := range a.Deliveries {
			d.Event, d.Ord = ev, uint16(ord)
			d.ID = tx.ids.encode(d.Key())
			var ln *orderLine
			if d.OrderKey != "" {
				d.Joined = ev.Seq
				ln, lines = lines[0], lines[1:]
			}
			o.placed = append(o.placed, tx.place(d, ln))
			tx.born(d)
		}
	}
	return nil
}

// look reads the lines of the ordered deliveries, which is all that can fail.
func (o *appendOp) look(tx *tx) error {
	o.lines = nil
	for i, rec := range o.records {
		if rec == nil {
			continue
		}
		for _, d := range o.batch[i].Deliveries {
			if d.OrderKey == "" {
				continue
			}
			ln, err := tx.line(lineOf(d.Chain[0], d.OrderKey))
			if err != nil {
				return err
			}
			o.lines = append(o.lines, ln)
		}
	}
	return nil
}

// place puts a new delivery into its line, if it has one, and unless it is a successor there where the Handover wants it.
func (tx *tx) place(d *delivery.Delivery, ln *orderLine) placed {
	t := turnOf(d)
	if ln != nil && !tx.join(ln, d.Key(), t) {
		tx.markWaiting(d.Key(), t)
		return behind
	}
	if tx.handover != nil && tx.handover.Reserve(d) {
		tx.handOver(d.Key(), t)
		return taken
	}
	tx.enqueue(d.Key(), t, false)
	return refused
}

// done tells the Handover about each delivery, in order, then the caller.
func (o *appendOp) done(err error) {
	n := 0
	for i, rec := range o.records {
		if rec == nil {
			continue
		}
		for _, d := range o.batch[i].Deliveries {
			if n < len(o.placed) && o.placed[n] != behind && o.s.handover != nil { // fewer when the commit was never built
				o.s.handover.Committed(d, o.placed[n] == taken, err)
			}
			n++
		}
	}
	o.answer()
	for i, rec := range o.records { // a commit has its own copy
		returnRecord(rec)
		o.records[i] = nil
	}
	o.s.flights.release(o.flightIDs, o.flight)
	o.finish(err)
}

// answer fills in the receipts of the new items, and of those that repeat an item of the batch.
func (o *appendOp) answer() {
	for i, rec := range o.records {
		if rec != nil {
			o.receipts[i] = delivery.Receipt{EventID: o.batch[i].Event.ID, Deliveries: slices.Clip(o.batch[i].Deliveries)}
		}
	}
	for i, j := range o.repeats {
		o.receipts[i] = delivery.Receipt{EventID: o.batch[i].Event.ID, Duplicate: true, Deliveries: o.receipts[j].Deliveries}
	}
}
