package embedded

import (
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/atoship/caddy-webhooks/delivery"
)

// State implements delivery.Lane.
func (l *lane) State(ctx context.Context) (delivery.LaneState, error) {
	c, done, err := l.s.view(ctx, "lane state")
	if err != nil {
		return delivery.LaneState{}, err
	}
	defer done()
	key := namedKey(kindLane, l.name)
	st, err := getRow(c, key, decodeLaneState)
	var corrupt *CorruptError
	switch {
	case errors.Is(err, pebble.ErrNotFound):
		return delivery.LaneState{}, nil
	case errors.As(err, &corrupt):
		// Better to try an endpoint that was held than to hold all endpoints for ever.
		l.s.bad.noteKey(l.s, c, key, err)
		return delivery.LaneState{}, nil
	}
	return st, c.readError("lane state", err)
}

// States implements delivery.Queue. A state that cannot be read is left out, as State does.
func (s *Store) States(ctx context.Context) (map[string]delivery.LaneState, error) {
	c, done, err := s.view(ctx, "lane states")
	if err != nil {
		return nil, err
	}
	defer done()
	it, err := c.scan([]byte{kindLane}, []byte{kindLane + 1})
	if err != nil {
		return nil, c.readError("lane states", err)
	}
	defer it.Close()
	states := map[string]delivery.LaneState{}
	for ok := it.First(); ok; ok = it.Next() {
		val, err := value(it)
		if err != nil {
			return nil, c.readError("lane states", err)
		}
		st, err := decodeLaneState(it.Key(), val)
		if err != nil {
			s.bad.note(s, it.Key(), val, err)
			continue
		}
		states[string(it.Key()[1:])] = st
	}
	return states, c.readError("lane states", it.Error())
}

// SetState implements delivery.Lane.
func (l *lane) SetState(ctx context.Context, st delivery.LaneState) error {
	o := &putOp{call: newCall(), key: namedKey(kindLane, l.name), rec: encodeLaneState(&st)}
	if err := l.s.submit(ctx, o); err != nil {
		return fmt.Errorf("set lane state: %w", err)
	}
	if err := l.s.await(ctx, &o.call); err != nil {
		return fmt.Errorf("set lane state: %w", err)
	}
	return nil
}

// putOp writes one row.
type putOp struct {
	call

	key, rec []byte
}

func (o *putOp) size() (rows, bytes int) { return 1, len(o.rec) }
func (*putOp) lazy() bool                { return false }
func (o *putOp) done(err error)          { o.finish(err) }

func (o *putOp) build(tx *tx) error {
	put(tx.b, o.key, o.rec)
	return nil
}
