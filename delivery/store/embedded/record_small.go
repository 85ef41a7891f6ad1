package embedded

import (
	"encoding/binary"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
)

// known is what the index by event id holds.
type known struct {
	seq      uint64
	accepted time.Time
	hash     [16]byte
}

func (k *known) encode() []byte {
	b := binary.AppendUvarint(newRecord(32), k.seq)
	b = putTime(b, k.accepted)
	return append(b, k.hash[:]...)
}

func decodeKnown(key, val []byte) (k known, err error) {
	d, err := open(key, val)
	if err != nil {
		return k, err
	}
	k.seq, k.accepted = d.uint(), d.time()
	copy(k.hash[:], d.take(uint64(len(k.hash))))
	return k, d.err()
}

func encodeLaneState(s *delivery.LaneState) []byte {
	b := putString(newRecord(64+len(s.URL)), s.URL)
	b = putTime(b, s.HoldUntil)
	b = putString(b, s.Disabled)
	b = putTime(b, s.DisabledAt)
	b = putTime(b, s.FailingSince)
	flags := byte(0)
	if s.Paused {
		flags |= flagPaused
	}
	if s.Seen {
		flags |= flagSeen
	}
	return append(b, flags)
}

const (
	flagPaused = 1 << iota
	flagSeen
)

func decodeLaneState(key, val []byte) (s delivery.LaneState, err error) {
	d, err := open(key, val)
	if err != nil {
		return s, err
	}
	s.URL = d.string()
	s.HoldUntil = d.time()
	s.Disabled = d.string()
	s.DisabledAt, s.FailingSince = d.time(), d.time()
	flags := d.byte()
	s.Paused, s.Seen = flags&flagPaused != 0, flags&flagSeen != 0
	if flags > flagPaused|flagSeen {
		d.fail()
	}
	return s, d.err()
}

// tally counts the deliveries of one home lane by state.
type tally [4]uint64

func (t *tally) encode() []byte {
	b := newRecord(16)
	for _, n := range t {
		b = binary.AppendUvarint(b, n)
	}
	return b
}

func decodeTally(key, val []byte) (t tally, err error) {
	d, err := open(key, val)
	if err != nil {
		return t, err
	}
	for i := range t {
		t[i] = d.uint()
	}
	return t, d.err()
}

// numbers is a record of nothing but numbers: the totals and the sweeps' marks.
func encodeNumbers(ns ...uint64) []byte {
	b := newRecord(10 * len(ns))
	for _, n := range ns {
		b = binary.AppendUvarint(b, n)
	}
	return b
}

func decodeNumbers(key, val []byte, ns ...*uint64) error {
	d, err := open(key, val)
	if err != nil {
		return err
	}
	for _, n := range ns {
		*n = d.uint()
	}
	return d.err()
}
