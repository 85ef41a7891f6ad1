package embedded

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/atoship/caddy-webhooks/delivery"
)

// settleOp is one Settle. The transitions are encoded in the caller's goroutine.
type settleOp struct {
	call

	items  []settleItem
	errs   []error // by item; written by build, read by the caller after the end
	bytes  int
	urgent bool // somebody waits for it
}

type settleItem struct {
	s   *delivery.Settlement
	t   delivery.Transition
	rec []byte // of the transition; nil for a return
	bad error  // the settlement makes no sense
}

// Settle implements delivery.Queue. When ctx ends first the outcome is unknown, and so it is after ErrUnavailable.
func (s *Store) Settle(ctx context.Context, batch []delivery.Settlement) []error {
	if len(batch) == 0 {
		return nil
	}
	o := &settleOp{call: newCall(), items: make([]settleItem, len(batch)), errs: make([]error, len(batch))}
	for i := range batch {
		o.items[i] = prepare(&batch[i])
		o.bytes += 256 + len(o.items[i].rec)
	}
	o.urgent = s.awaited(batch)
	err := s.submit(ctx, o)
	if err == nil {
		err = s.await(ctx, &o.call)
	}
	if err == nil {
		return o.errs
	}
	errs := make([]error, len(batch)) // the committer may still write to its own
	for i := range errs {
		errs[i] = fmt.Errorf("settle: %w", err)
	}
	return errs
}

func prepare(b *delivery.Settlement) settleItem {
	it := settleItem{s: b}
	if b.Return {
		return it
	}
	it.t = b.Transition
	it.t.At = it.t.At.UTC().Truncate(time.Millisecond)
	it.t.Progress.Due = it.t.Progress.Due.UTC().Truncate(time.Millisecond)
	p := &it.t.Progress
	if p.Step != b.Step+1 || int(p.Target) >= len(b.Delivery.Chain) {
		it.bad = fmt.Errorf("settle %s: step %d and target %d cannot follow step %d of %d targets",
			b.Delivery.ID, p.Step, p.Target, b.Step, len(b.Delivery.Chain))
		return it
	}
	it.rec = encodeTransition(&it.t)
	return it
}

func (o *settleOp) size() (rows, bytes int) { return len(o.items), o.bytes }
func (o *settleOp) lazy() bool              { return !o.urgent }

// build writes, for each item in hand: the transition with its index rows, and the waiting row when it goes on. One that
// is not in hand is stale, and harms none of the others.
func (o *settleOp) build(tx *tx) error {
	for i := range o.items {
		o.errs[i] = tx.settle(&o.items[i])
	}
	return nil
}

func (o *settleOp) done(err error) { o.finish(err) }

func (tx *tx) settle(it *settleItem) error {
	if it.bad != nil {
		return it.bad
	}
	d, k := it.s.Delivery, it.s.Delivery.Key()
	h, ok := tx.handed[k]
	if !ok || h.step != it.s.Step || tx.drop[k] {
		return delivery.ErrStale
	}
	if h.settled { // an earlier try survived the failure that answered it
		tx.forget(k)
		return nil
	}
	if it.s.Return {
		return tx.giveBack(k, h)
	}
	if a := it.t.Attempt; a != nil {
		if err := tx.noteHead(it.t.At, a.Request); err != nil {
			return tx.conn.readError("keep the head of its request", err)
		}
	}
	t := turnOf(d)
	t.progress = it.t.Progress
	ends := t.progress.State.Final()
	if ends || h.cancelled {
		if err := tx.headEnded(t.home(), t.order, k); err != nil {
			return tx.conn.readError("promote the next of its ordering key", err)
		}
	}
	tx.takeBack(k, h)
	if h.erased {
		it.rec = encodeTransition(withoutAnswer(&it.t))
	}
	tx.record(k, &it.t, it.rec, d.Event.Tenant)
	switch {
	case ends:
		tx.ended(k, &t, t.progress.State)
	case h.cancelled:
		tx.end(k, t, cancelled(tx.now))
	default:
		tx.enqueue(k, t, true)
	}
	return nil
}

// ending is how a delivery ends without a try.
type ending struct {
	at     time.Time
	state  delivery.State
	reason string
	note   string
}

func cancelled(at time.Time) ending {
	return ending{at: at, state: delivery.Cancelled, note: delivery.NoteCancelled}
}

// end records that a pending delivery ended without a try. It must stand in no lane and no line any more.
func (tx *tx) end(k delivery.Key, t turn, e ending) {
	p := t.progress
	p.Step++
	p.State, p.Reason = e.state, e.reason
	tr := delivery.Transition{At: e.at, Kind: delivery.Ended, Note: e.note, Progress: p}
	tx.record(k, &tr, encodeTransition(&tr), "")
	tx.ended(k, &t, e.state)
}

// ended counts the end of a pending delivery. What did not get through is looked for by that.
func (tx *tx) ended(k delivery.Key, t *turn, to delivery.State) {
	tx.moved(t.home(), delivery.Pending, to)
	if t.replay != "" {
		remove(tx.b, replayedKey(k))
	}
	if to != delivery.Delivered {
		tx.mark(k.Seq, stateTerm(to))
	}
}

// giveBack puts a delivery back as it was handed over, which the store knows better than the engine. A row that cannot be
// read is made anew from the delivery's history.
func (tx *tx) giveBack(k delivery.Key, h handedOver) error {
	t, err := tx.turn(tx.conn, stepKey(kindHanded, k, h.step), k)
	if err == nil && h.cancelled {
		err = tx.headEnded(t.home(), t.order, k)
	}
	if err != nil {
		return tx.conn.readError("settle", err)
	}
	tx.takeBack(k, h)
	if h.cancelled {
		tx.end(k, t, cancelled(tx.now))
	} else {
		tx.enqueue(k, t, true)
	}
	return nil
}

// record writes a transition and its index rows. The tenant is that of the event.
func (tx *tx) record(k delivery.Key, t *delivery.Transition, rec []byte, tenant string) {
	put(tx.b, stepKey(kindTransition, k, t.Progress.Step), rec)
	if t.Attempt == nil {
		return
	}
	hint := hintOf(t.Attempt, tenant).encode()
	for _, key := range indexKeys(k, t, tenant) {
		must(tx.b.Set(key, hint, nil))
	}
	tx.markActive(dueMillis(t.At)>>activeShift, t.Attempt.Endpoint)
}

// indexKeys are the rows that make a transition's attempt findable by endpoint, by tenant, where the event has one, and by
// its class when it failed.
func indexKeys(k delivery.Key, t *delivery.Transition, tenant string) [][]byte {
	if t.Attempt == nil {
		return nil
	}
	keys := append(make([][]byte, 0, 3), timeKey(kindByEndpoint, t.Attempt.Endpoint, t.At, k, t.Progress.Step))
	if tenant != "" {
		keys = append(keys, timeKey(kindByTenant, tenantHash(tenant), t.At, k, t.Progress.Step))
	}
	if t.Attempt.Outcome != outcomeDelivered {
		keys = append(keys, timeKey(kindByOutcome, t.Attempt.Outcome, t.At, k, t.Progress.Step))
	}
	return keys
}

// The classes of outcome that the store itself needs to know; the closed list is retry.Outcome.
const (
	outcomeDelivered = "delivered"
	outcomeUnknown   = "unknown"
)

// turn reads a waiting or handed-over row. A corrupt one is set aside, and what it said worked out from the event's plan
// and the delivery's transitions.
func (s *Store) turn(c *conn, key []byte, k delivery.Key) (turn, error) {
	t, err := getRow(c, key, decodeTurn)
	if _, corrupt := errors.AsType[*CorruptError](err); corrupt {
		s.bad.noteKey(s, c, key, err)
		return s.rebuildTurn(c, k)
	}
	if errors.Is(err, pebble.ErrNotFound) {
		return t, fmt.Errorf("%s: %w", describe(key), delivery.ErrNotFound)
	}
	return t, err
}

func (s *Store) rebuildTurn(c *conn, k delivery.Key) (turn, error) {
	_, ds, err := s.record(c, k.Seq)
	if err != nil {
		return turn{}, err
	}
	if int(k.Ord) >= len(ds) {
		return turn{}, fmt.Errorf("delivery %d of event %d: %w", k.Ord, k.Seq, delivery.ErrNotFound)
	}
	return turnOf(ds[k.Ord]), nil
}
