package embedded

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/atoship/caddy-webhooks/delivery"
)

// Heads of requests are kept once, under their ids, for all attempts made by them: an attempt costs eight bytes in place of
// half a kilobyte. So that they go when nothing needs them any more, without counting who does, time is cut into periods of
// 2^32 ms, some 50 days: an attempt's head is kept in the period in which it ended, and a period's heads go together.

const (
	periodShift = 32
	// maxHeads bounds the heads known to be written, 3 MB at most; of others the committer looks whether they are there.
	maxHeads = 1 << 16
)

// headID is where a head is kept.
type headID struct {
	period uint32
	id     uint64
}

func headRow(at time.Time, h *delivery.RequestHead) headID {
	return headID{uint32(dueMillis(at) >> periodShift), h.ID} //nolint:gosec // good for two hundred million years
}

func (h headID) key() []byte {
	b := binary.BigEndian.AppendUint32([]byte{kindRequest}, h.period)
	return binary.BigEndian.AppendUint64(b, h.id)
}

// noteHead makes sure that the head of an attempt that ended then is on record.
func (tx *tx) noteHead(at time.Time, h *delivery.RequestHead) error {
	if h == nil {
		return nil
	}
	row := headRow(at, h)
	if _, known := tx.heads[row]; known {
		return nil
	}
	key := row.key()
	there, err := tx.conn.has(key)
	if err != nil {
		return err
	}
	if !there {
		put(tx.b, key, putString(newRecord(len(h.Text)+4), h.Text))
	}
	if len(tx.heads) >= maxHeads {
		clear(tx.heads)
	}
	tx.heads[row] = struct{}{}
	return nil
}

// readHeads fills in the heads that transitions name. One that cannot be read is left out: it tells only how a request looked.
func (s *Store) readHeads(c *conn, ts []delivery.Transition) error {
	read := map[headID]*delivery.RequestHead{}
	for _, t := range ts {
		if t.Attempt == nil || t.Attempt.Request == nil {
			continue
		}
		row := headRow(t.At, t.Attempt.Request)
		h, ok := read[row]
		if !ok {
			text, err := getRow(c, row.key(), decodeHead)
			if err != nil && !errors.Is(err, pebble.ErrNotFound) && !s.bad.skip(s, c, row.key(), err) {
				return err
			}
			if err == nil {
				h = &delivery.RequestHead{ID: row.id, Text: text}
			}
			read[row] = h
		}
		t.Attempt.Request = h
	}
	return nil
}

func decodeHead(key, val []byte) (string, error) {
	d, err := open(key, val)
	if err != nil {
		return "", err
	}
	return d.string(), d.err()
}

// deadHead is for heads of periods that ended a period before all that retention keeps. What is settled is kept for the time
// of retention from then on, so an attempt may be older than that; it is seldom older by fifty days.
func deadHead(before time.Time) dead {
	oldest := dueMillis(before) >> periodShift
	return func(key []byte, _ *pebble.Iterator) bool {
		return uint64(binary.BigEndian.Uint32(key[1:]))+1 < oldest
	}
}
