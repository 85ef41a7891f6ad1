package embedded

import (
	"context"
	"errors"
	"fmt"

	"github.com/atoship/caddy-webhooks/delivery"
)

// maxGenerations bounds how many rows of one event id are looked at. An id is unique per tenant and source only, so
// someone could publish one id under a million sources and make each look-up read them all.
const maxGenerations = 1000

// Event implements delivery.Journal.
func (s *Store) Event(ctx context.Context, id string, tenant *string) (*delivery.EventRecord, error) {
	c, done, err := s.view(ctx, "event")
	if err != nil {
		return nil, err
	}
	defer done()
	prefix := idPrefix(id)
	if tenant != nil {
		prefix = tenantPrefix(id, *tenant)
	}
	seqs, err := s.seqsOf(c, prefix)
	if err != nil {
		return nil, c.readError("event "+id, err)
	}
	if len(seqs) == 0 {
		return nil, fmt.Errorf("event %s: %w", id, delivery.ErrNotFound)
	}
	newest := uint64(0)
	for _, seq := range seqs {
		newest = max(newest, seq)
	}
	ev, ds, err := s.record(c, newest)
	if _, corrupt := errors.AsType[*CorruptError](err); corrupt {
		s.bad.noteKey(s, c, eventKey(newest), err)
	}
	if err != nil {
		return nil, c.readError("event "+id, err)
	}
	return &delivery.EventRecord{Event: ev, Deliveries: ds}, nil
}

// seqsOf lists the events of an id.
func (s *Store) seqsOf(c *conn, prefix []byte) (seqs []uint64, err error) {
	it, err := c.scan(prefix, after(prefix))
	if err != nil {
		return nil, err
	}
	defer it.Close()
	for ok := it.First(); ok && len(seqs) < maxGenerations; ok = it.Next() {
		val, err := value(it)
		if err != nil {
			return nil, err
		}
		k, err := decodeKnown(it.Key(), val)
		if err != nil {
			s.bad.note(s, it.Key(), val, err)
			continue
		}
		seqs = append(seqs, k.seq)
	}
	return seqs, it.Error()
}

// Delivery implements delivery.Journal.
func (s *Store) Delivery(ctx context.Context, id string) (*delivery.DeliveryRecord, error) {
	k, ok := s.ids.decode(id)
	if !ok {
		return nil, fmt.Errorf("delivery %.40q: %w", id, delivery.ErrNotFound)
	}
	c, done, err := s.view(ctx, "delivery")
	if err != nil {
		return nil, err
	}
	defer done()
	ev, ds, err := c.event(k.Seq, true)
	if _, corrupt := errors.AsType[*CorruptError](err); corrupt {
		s.bad.noteKey(s, c, eventKey(k.Seq), err)
	}
	if err == nil && int(k.Ord) >= len(ds) {
		err = delivery.ErrNotFound
	}
	if err != nil {
		return nil, c.readError("delivery "+id, err)
	}
	r := &delivery.DeliveryRecord{Delivery: ds[k.Ord]}
	r.Delivery.Event, r.Delivery.ID = ev, id
	r.Transitions, err = s.transitions(c, k)
	if err == nil {
		err = s.readHeads(c, r.Transitions)
	}
	if err != nil {
		return nil, c.readError("delivery "+id, err)
	}
	if n := len(r.Transitions); n > 0 {
		r.Delivery.Progress = r.Transitions[n-1].Progress
	}
	return r, nil
}

// transitions reads all of a delivery's, oldest first; a corrupt one is noted and left out.
func (s *Store) transitions(c *conn, k delivery.Key) (ts []delivery.Transition, err error) {
	prefix := stepKey(kindTransition, k, 0)[:11]
	it, err := c.scan(prefix, after(prefix))
	if err != nil {
		return nil, err
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		val, err := value(it)
		if err != nil {
			return nil, err
		}
		t, err := decodeTransition(it.Key(), val)
		if err != nil {
			s.bad.note(s, it.Key(), val, err)
			continue
		}
		ts = append(ts, t)
	}
	return ts, it.Error()
}

// Counts implements delivery.Journal. They are kept in memory.
func (s *Store) Counts(ctx context.Context) (delivery.Counts, error) {
	_, done, err := s.view(ctx, "counts")
	if err != nil {
		return delivery.Counts{}, err
	}
	defer done()
	return *s.totals.Load(), nil
}
