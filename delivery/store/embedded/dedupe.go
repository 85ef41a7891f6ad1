package embedded

import (
	"context"
	"errors"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"github.com/atoship/caddy-webhooks/delivery"
)

// flightTable holds the given ids of the Appends under way, so that a second Append of an id waits for the first's
// outcome instead of overtaking it. Bounded by the Appends under way times MaxBatch.
type flightTable struct {
	mu  sync.Mutex
	ids map[string]chan struct{} // by key of the id's row; closed when the Append's outcome is known
}

func (f *flightTable) init() { f.ids = map[string]chan struct{}{} }

// take registers all ids, or none and returns what to wait for. All or none, so that two batches with the same ids in
// another order cannot wait for each other.
func (f *flightTable) take(ids []string, mine chan struct{}) (wait <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range ids {
		if other, ok := f.ids[id]; ok {
			return other
		}
	}
	for _, id := range ids {
		f.ids[id] = mine
	}
	return nil
}

func (f *flightTable) release(ids []string, mine chan struct{}) {
	if len(ids) == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range ids {
		delete(f.ids, id)
	}
	close(mine)
}

// dedupe finds out which items of the batch are new. It registers their ids with the flight table, and leaves them there
// unless it returns an error.
func (s *Store) dedupe(ctx context.Context, o *appendOp) error {
	o.repeats = map[int]int{}
	first := map[string]int{}
	for i := range o.batch {
		ev := o.batch[i].Event
		if !ev.GivenID {
			continue
		}
		key := string(idKey(ev))
		if j, ok := first[key]; ok {
			if o.batch[j].Event.Hash != ev.Hash {
				return &delivery.ConflictError{Index: i, ID: ev.ID}
			}
			o.repeats[i] = j
			continue
		}
		first[key] = i
		o.flightIDs = append(o.flightIDs, key)
	}
	if len(o.flightIDs) == 0 {
		return nil
	}
	o.flight = make(chan struct{})
	for {
		wait := s.flights.take(o.flightIDs, o.flight)
		if wait == nil {
			break
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return ctx.Err()
		case <-s.exited:
			return delivery.ErrUnavailable
		}
	}
	if err := s.lookUp(ctx, o, first); err != nil {
		s.flights.release(o.flightIDs, o.flight)
		return err
	}
	return nil
}

// lookUp answers the items whose ids are known, or refuses the batch for a conflict.
func (s *Store) lookUp(ctx context.Context, o *appendOp, first map[string]int) error {
	c, done, err := s.view(ctx, "look up event ids")
	if err != nil {
		return err
	}
	defer done()
	for i := range o.batch { // in the order of the batch, so that the first conflict is the one reported
		ev := o.batch[i].Event
		if j, ok := first[string(idKey(ev))]; !ev.GivenID || !ok || j != i {
			continue
		}
		k, err := getRow(c, idKey(ev), decodeKnown)
		var corrupt *CorruptError
		switch {
		case errors.Is(err, pebble.ErrNotFound):
			continue
		case errors.As(err, &corrupt):
			s.bad.noteKey(s, c, idKey(ev), err) // better a duplicate than a refusal for ever
			continue
		case err != nil:
			return c.readError("look up event id", err)
		}
		if ev.Accepted.Sub(k.accepted) > o.batch[i].Dedupe {
			continue
		}
		if k.hash != ev.Hash {
			return &delivery.ConflictError{Index: i, ID: ev.ID}
		}
		_, ds, err := s.record(c, k.seq)
		if err != nil && !errors.Is(err, delivery.ErrNotFound) && !errors.As(err, &corrupt) {
			return c.readError("read the first receipt", err)
		}
		o.receipts[i] = delivery.Receipt{EventID: ev.ID, Duplicate: true, Deliveries: ds}
		o.known++
	}
	return nil
}
