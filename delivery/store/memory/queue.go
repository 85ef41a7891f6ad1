package memory

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
)

// Append implements delivery.Queue.
func (s *Store) Append(ctx context.Context, batch []delivery.Accept) ([]delivery.Receipt, error) {
	if err := check(batch); err != nil {
		return nil, err
	}
	if err := s.enter(ctx, "append"); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()

	receipts := make([]delivery.Receipt, len(batch))
	first := map[idKey]int{} // given ids of this batch, by the item that brought them
	var fresh []int
	for i, a := range batch {
		if !a.Event.GivenID {
			fresh = append(fresh, i)
			continue
		}
		k := idKey{a.Event.ID, a.Event.Tenant, a.Event.Source}
		if j, ok := first[k]; ok {
			if batch[j].Event.Hash != a.Event.Hash {
				return nil, &delivery.ConflictError{Index: i, ID: a.Event.ID}
			}
			receipts[i] = delivery.Receipt{EventID: a.Event.ID, Duplicate: true}
			continue
		}
		first[k] = i
		known := s.events[s.ids[k]]
		if known == nil || a.Event.Accepted.Sub(known.Accepted) > a.Dedupe {
			fresh = append(fresh, i)
			continue
		}
		if known.Hash != a.Event.Hash {
			return nil, &delivery.ConflictError{Index: i, ID: a.Event.ID}
		}
		_, ds := known.views()
		receipts[i] = delivery.Receipt{EventID: a.Event.ID, Duplicate: true, Deliveries: ds}
	}
	for _, i := range fresh {
		s.store(batch[i])
		receipts[i] = delivery.Receipt{EventID: batch[i].Event.ID, Deliveries: batch[i].Deliveries}
	}
	for i, a := range batch { // repeats inside the batch answer as the item they repeat
		if receipts[i].Duplicate && receipts[i].Deliveries == nil {
			receipts[i].Deliveries = receipts[first[idKey{a.Event.ID, a.Event.Tenant, a.Event.Source}]].Deliveries
		}
	}
	return receipts, nil
}

func check(batch []delivery.Accept) error {
	n := 0
	for i, a := range batch {
		n += len(a.Deliveries)
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
	if len(d.Chain) == 0 || len(d.Chain) > delivery.MaxChain {
		return fmt.Errorf("a chain of %d targets, want 1 to %d", len(d.Chain), delivery.MaxChain)
	}
	if len(d.OrderKey) > delivery.MaxOrderKey {
		return fmt.Errorf("an ordering key of %d bytes, want at most %d", len(d.OrderKey), delivery.MaxOrderKey)
	}
	return nil
}

// store keeps one accepted event and hands over or queues its deliveries, all but successors.
func (s *Store) store(a delivery.Accept) {
	s.seq++
	s.accepted++
	a.Event.Seq = s.seq
	ev := &event{Event: *a.Event}
	ev.Held = slices.Clone(a.Event.Held)
	s.events[s.seq] = ev
	s.ids[idKey{ev.ID, ev.Tenant, ev.Source}] = s.seq
	for _, d := range a.Deliveries {
		d.Event = a.Event
		r := s.add(ev, d, s.seq)
		if s.join(r) {
			s.offer(r, d)
		}
	}
}

// add numbers a delivery and keeps a copy of it under its event. It joins its line, if it has one, at the place given.
func (s *Store) add(ev *event, d *delivery.Delivery, joined uint64) *row {
	d.Ord = uint16(len(ev.rows)) //nolint:gosec // MaxBatch bounds it
	d.ID = publicID(delivery.Key{Seq: ev.Seq, Ord: d.Ord})
	d.Due = d.Due.UTC().Truncate(time.Millisecond)
	if d.Joined = 0; d.OrderKey != "" {
		d.Joined = joined
	}
	r := &row{Delivery: *d}
	r.Event = &ev.Event
	ev.rows = append(ev.rows, r)
	s.count(r, 1)
	return r
}

// Due implements delivery.Queue.
func (s *Store) Due(ctx context.Context) (map[string]time.Time, error) {
	if err := s.enter(ctx, "due"); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	due := make(map[string]time.Time, len(s.waiting))
	for lane, rows := range s.waiting {
		due[lane] = rows[0].Due
	}
	return due, nil
}

// Settle implements delivery.Queue.
func (s *Store) Settle(ctx context.Context, batch []delivery.Settlement) []error {
	errs := make([]error, len(batch))
	if err := s.enter(ctx, "settle"); err != nil {
		for i := range errs {
			errs[i] = err
		}
		return errs
	}
	defer s.mu.Unlock()
	for i, b := range batch {
		errs[i] = s.settle(b)
	}
	return errs
}

func (s *Store) settle(b delivery.Settlement) error {
	r := s.find(b.Delivery.Key())
	if r == nil || !r.handed || r.Step != b.Step {
		return delivery.ErrStale
	}
	if !b.Return {
		t := b.Transition
		if t.Progress.Step != b.Step+1 || int(t.Progress.Target) >= len(r.Chain) {
			return fmt.Errorf("settle %s: step %d and target %d cannot follow step %d of %d targets",
				r.ID, t.Progress.Step, t.Progress.Target, b.Step, len(r.Chain))
		}
		t.At = t.At.UTC().Truncate(time.Millisecond)
		t.Progress.Due = t.Progress.Due.UTC().Truncate(time.Millisecond)
		if r.Event.Erased {
			t = withoutAnswer(t)
		}
		r.transitions = append(r.transitions, t)
		r.Progress = t.Progress
	}
	r.handed = false
	s.back(r, time.Now().UTC().Truncate(time.Millisecond))
	return nil
}

// back places a row that the engine gave back: it waits again, or ends, by its state or because it was cancelled meanwhile.
func (s *Store) back(r *row, now time.Time) {
	switch {
	case r.State.Final():
		s.ended(r)
	case r.cancelled:
		s.end(r, now, delivery.Cancelled, "", delivery.NoteCancelled)
	default:
		s.queue(r)
	}
}

// queue puts a pending row in its lane's line, and tells.
func (s *Store) queue(r *row) {
	s.enqueue(r)
	if s.handover != nil {
		s.handover.Queued(r.Lane(), r.Due)
	}
}

// Decide implements delivery.Queue.
func (s *Store) Decide(
	ctx context.Context, seq uint64, routing delivery.Routing, held []string, digest string, add []*delivery.Delivery,
) error {
	if err := s.enter(ctx, "decide"); err != nil {
		return err
	}
	defer s.mu.Unlock()
	ev := s.events[seq]
	if ev == nil {
		return fmt.Errorf("decide event %d: %w", seq, delivery.ErrNotFound)
	}
	if ev.Routing == delivery.Routed {
		return nil
	}
	if len(ev.rows)+len(add) > delivery.MaxBatch {
		return fmt.Errorf("decide event %d: %w", seq, delivery.ErrTooLarge)
	}
	for _, d := range add {
		if err := checkDelivery(d); err != nil {
			return fmt.Errorf("decide event %d: %w", seq, err)
		}
	}
	s.seq++ // the place at which ordered ones join
	ev.Routing, ev.Held, ev.Digest = routing, slices.Clone(held), digest
	view := ev.copy()
	for _, d := range add {
		d.Event = view
		if slices.ContainsFunc(ev.rows, func(r *row) bool { return r.Chain[0] == d.Chain[0] }) {
			continue
		}
		if r := s.add(ev, d, s.seq); s.join(r) {
			s.queue(r)
		}
	}
	return nil
}

// Extend implements delivery.Queue.
func (s *Store) Extend(ctx context.Context, batch []delivery.Extension) ([]delivery.Extended, error) {
	if len(batch) > delivery.MaxBatch {
		return nil, fmt.Errorf("extend by %d deliveries: %w", len(batch), delivery.ErrTooLarge)
	}
	for i, x := range batch {
		if err := checkDelivery(x.Delivery); err != nil {
			return nil, fmt.Errorf("extend: item %d: %w", i, err)
		}
	}
	if err := s.enter(ctx, "extend"); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	out := make([]delivery.Extended, len(batch))
	for i, x := range batch {
		out[i] = s.extend(x)
	}
	return out, nil
}

func (s *Store) extend(x delivery.Extension) delivery.Extended {
	ev, d := s.events[x.Seq], x.Delivery
	if ev == nil {
		return delivery.Extended{Err: fmt.Errorf("event %d: %w", x.Seq, delivery.ErrNotFound)}
	}
	for _, r := range ev.rows {
		if r.Replay == d.Replay && r.Chain[0] == d.Chain[0] {
			return delivery.Extended{Delivery: r.view(ev.copy()), Known: true}
		}
	}
	if len(ev.rows) >= delivery.MaxBatch {
		return delivery.Extended{Err: fmt.Errorf("event %d: %w", x.Seq, delivery.ErrTooLarge)}
	}
	s.seq++ // the place at which an ordered one joins
	d.Event = ev.copy()
	d.Planned = d.Planned.UTC().Truncate(time.Millisecond)
	if r := s.add(ev, d, s.seq); s.join(r) {
		s.offer(r, d)
	}
	return delivery.Extended{Delivery: d}
}

// offer hands a new delivery over, or queues it.
func (s *Store) offer(r *row, d *delivery.Delivery) {
	if s.handover != nil && s.handover.Reserve(d) {
		r.handed, r.handedAt = true, time.Now().UTC().Truncate(time.Millisecond)
		s.handover.Committed(d, true, nil)
		return
	}
	s.enqueue(r)
	if s.handover != nil {
		s.handover.Committed(d, false, nil)
	}
}

// Undecided implements delivery.Queue.
func (s *Store) Undecided(ctx context.Context, after uint64, n int) ([]*delivery.Event, error) {
	if err := s.enter(ctx, "undecided"); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	var evs []*delivery.Event
	for _, ev := range s.events {
		if ev.Seq > after && ev.Routing == delivery.Undecided {
			evs = append(evs, ev.copy())
		}
	}
	slices.SortFunc(evs, func(a, b *delivery.Event) int { return int(a.Seq) - int(b.Seq) }) //nolint:gosec // small in a fake
	return evs[:min(n, len(evs))], nil
}
