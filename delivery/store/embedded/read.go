package embedded

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/atoship/caddy-webhooks/delivery"
)

// getRow reads one row; pebble.ErrNotFound when there is none. What decode returns must not alias the value.
func getRow[T any](c *conn, key []byte, decode func(key, val []byte) (T, error)) (T, error) {
	val, closer, err := c.db.Get(key)
	if err != nil {
		var none T
		return none, err
	}
	defer closer.Close()
	return decode(key, val)
}

// has tells whether a row exists.
func (c *conn) has(key []byte) (bool, error) {
	_, closer, err := c.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, closer.Close()
}

// scan makes an iterator over [from, to).
func (c *conn) scan(from, to []byte) (*pebble.Iterator, error) {
	return c.db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
}

// value of the iterator's row, which is valid until the iterator moves.
func value(it *pebble.Iterator) ([]byte, error) { return it.ValueAndErr() }

// readError gives an error of the disk its place in the contract: while the conn is failing it is ErrUnavailable.
func (c *conn) readError(doing string, err error) error {
	var corrupt *CorruptError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, delivery.ErrNotFound), errors.As(err, &corrupt):
	case c.err() != nil, errors.Is(err, errRetired):
		return fmt.Errorf("%s: %w: %w", doing, delivery.ErrUnavailable, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// event reads an event, with its plan or without.
func (c *conn) event(seq uint64, plan bool) (ev *delivery.Event, ds []*delivery.Delivery, err error) {
	key := eventKey(seq)
	val, closer, err := c.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil, delivery.ErrNotFound
	}
	if err != nil {
		return nil, nil, err
	}
	defer closer.Close()
	return decodeEvent(key, val, plan)
}

// record reads an event with its deliveries in their present state.
func (s *Store) record(c *conn, seq uint64) (*delivery.Event, []*delivery.Delivery, error) {
	ev, ds, err := c.event(seq, true)
	if err != nil {
		return nil, nil, err
	}
	for _, d := range ds {
		d.ID = s.ids.encode(d.Key())
	}
	if len(ds) == 0 {
		return ev, ds, nil
	}
	it, err := c.scan(stepKey(kindTransition, delivery.Key{Seq: seq}, 0), stepKey(kindTransition, delivery.Key{Seq: seq + 1}, 0))
	if err != nil {
		return nil, nil, err
	}
	defer it.Close()
	return ev, ds, s.present(it, ds)
}

// present brings planned deliveries of one event to their present state: that of their last transition. The iterator is
// bound to the event's transitions. A corrupt transition leaves the state before it.
func (s *Store) present(it *pebble.Iterator, ds []*delivery.Delivery) error {
	for ok := it.First(); ok; ok = it.Next() {
		k, _, _ := parseStep(it.Key())
		val, err := value(it)
		if err != nil {
			return err
		}
		p, _, err := decodeProgress(it.Key(), val)
		if err != nil {
			s.bad.note(s, it.Key(), val, err)
			continue
		}
		if int(k.Ord) < len(ds) {
			ds[k.Ord].Progress = p
		}
	}
	return it.Error()
}
