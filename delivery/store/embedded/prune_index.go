package embedded

import (
	"context"
	"encoding/binary"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/atoship/caddy-webhooks/delivery"
)

// pruneIndexStep bounds the index rows that one pass of Prune looks at in each of the coarse indexes, some 20 ms of
// reading; the next pass goes on behind them.
const pruneIndexStep = 10_000

// indexSweep remembers where the passes are; guarded by Store.sweeps.
type indexSweep struct{ active, heads, blocks []byte }

// pruneIndex deletes rows of the coarse indexes that lead nowhere any more: slices of time whose attempts are deleted, heads
// of their requests, and blocks without events.
func (s *Store) pruneIndex(ctx context.Context, before time.Time) error {
	if err := s.pruneRows(ctx, &s.swept.active, kindActive, s.deadActive(before)); err != nil {
		return err
	}
	if err := s.pruneRows(ctx, &s.swept.heads, kindRequest, deadHead(before)); err != nil {
		return err
	}
	m := &sweepOp{call: newCall(), w: &retention{}, ask: true}
	if err := s.submit(ctx, m); err != nil {
		return err
	}
	if err := s.await(ctx, &m.call); err != nil {
		return err
	}
	return s.pruneRows(ctx, &s.swept.blocks, kindBlock, deadBlock(m.upTo))
}

// dead tells whether an index row leads nowhere; seek moves an iterator over all rows.
type dead func(key []byte, it *pebble.Iterator) bool

// deadActive is for endpoints without attempts in a slice of time that is past.
func (s *Store) deadActive(before time.Time) dead {
	oldest := dueMillis(before) >> activeShift
	return func(key []byte, it *pebble.Iterator) bool {
		slice, lane := binary.BigEndian.Uint64(key[1:]), string(key[9:])
		if slice >= oldest {
			return false
		}
		from, to := sliceStart(slice), sliceStart(slice+1)
		prefix := append(namedKey(kindByEndpoint, lane), 0)
		return !it.SeekGE(append(slices.Clone(prefix), from[:]...)) ||
			slices.Compare(it.Key(), append(prefix, to[:]...)) >= 0
	}
}

// deadBlock is for blocks below the mark of retention that have no event left.
func deadBlock(mark uint64) dead {
	known := map[uint64]bool{}
	return func(key []byte, it *pebble.Iterator) bool {
		block, span := blockOf(key), term{kind: key[1]}.span()
		from, to := block*span, (block+1)*span
		if to > mark {
			return false
		}
		if gone, ok := known[block]; ok && span > 1 {
			return gone
		}
		gone := !it.SeekGE(eventKey(from)) || slices.Compare(it.Key(), eventKey(to)) >= 0
		if span > 1 {
			known[block] = gone
		}
		return gone
	}
}

// pruneRows looks at rows of a kind from where the last pass ended and deletes the dead ones in one commit.
func (s *Store) pruneRows(ctx context.Context, from *[]byte, kind byte, isDead dead) error {
	c, done, err := s.view(ctx, "prune")
	if err != nil {
		return err
	}
	defer done()
	rows, err := c.scan([]byte{kind}, []byte{kind + 1})
	if err != nil {
		return c.readError("prune", err)
	}
	defer rows.Close()
	all, err := c.scan(nil, nil)
	if err != nil {
		return c.readError("prune", err)
	}
	defer all.Close()
	o := &dropOp{call: newCall()}
	seen := 0
	ok := rows.SeekGE(slices.Concat([]byte{kind}, *from))
	for *from = nil; ok; ok = rows.Next() {
		if seen++; seen > pruneIndexStep {
			*from = slices.Clone(rows.Key()[1:])
			break
		}
		if isDead(rows.Key(), all) {
			o.keys = append(o.keys, slices.Clone(rows.Key()))
		}
	}
	if err := c.readError("prune", rows.Error()); err != nil || len(o.keys) == 0 {
		return err
	}
	if err := s.submit(ctx, o); err != nil {
		return err
	}
	return s.await(ctx, &o.call)
}

// dropOp deletes rows.
type dropOp struct {
	call

	keys [][]byte
}

func (o *dropOp) size() (rows, bytes int) { return delivery.MaxBatch / 4, 32 * len(o.keys) }
func (*dropOp) lazy() bool                { return true }
func (o *dropOp) done(err error)          { o.finish(err) }

func (o *dropOp) build(tx *tx) error {
	for _, key := range o.keys {
		remove(tx.b, key)
	}
	return nil
}
