package delivery

import (
	"crypto/rand"
	"encoding/binary"
	"strings"
	"sync"
	"time"
)

// idPrefix of the event ids we make.
const idPrefix = "evt_"

// crockford is Crockford's base 32, in lower case: no i, l, o, u, so that ids survive being read aloud.
const crockford = "0123456789abcdefghjkmnpqrstvwxyz"

// newReplayID makes the id of a replay or a redelivery; see NewEventID.
func newReplayID(now time.Time) string {
	return replayIDPrefix + strings.TrimPrefix(NewEventID(now), idPrefix)
}

// replayIDPrefix of the ids of replays.
const replayIDPrefix = "rpl_"

// NewEventID makes an event id: evt_ and 26 characters for 48 bits of milliseconds and 80 random ones, the layout of a ULID.
// Ids made in different milliseconds sort by time; within one millisecond their order is arbitrary (order in the gateway
// is by sequence number, never by id). 80 bits make two equal ids in one millisecond a matter of 10¹² tries.
func NewEventID(now time.Time) string {
	var id [16]byte
	ms := uint64(now.UnixMilli()) // 48 bits last until the year 10889
	binary.BigEndian.PutUint64(id[:8], ms<<16)
	random(id[6:])
	return string(appendBase32(append(make([]byte, 0, len(idPrefix)+26), idPrefix...), id))
}

// appendBase32 writes 128 bits as 26 characters of five; the first character carries three.
func appendBase32(b []byte, id [16]byte) []byte {
	hi, lo := binary.BigEndian.Uint64(id[:8]), binary.BigEndian.Uint64(id[8:])
	for shift := 125; shift >= 0; shift -= 5 {
		var v uint64
		switch {
		case shift >= 64:
			v = hi >> (shift - 64)
		case shift > 59: // the five bits straddle both halves
			v = hi<<(64-shift) | lo>>shift
		default:
			v = lo >> shift
		}
		b = append(b, crockford[v&31])
	}
	return b
}

// entropy is a piece of crypto/rand bought in bulk: one system call serves 51 ids.
type entropy struct {
	buf  [512]byte
	left int
}

var entropies = sync.Pool{New: func() any { return new(entropy) }}

// random fills p, at most 512 bytes, from crypto/rand.
func random(p []byte) {
	e := entropies.Get().(*entropy)
	if e.left < len(p) {
		_, _ = rand.Read(e.buf[:]) // never fails: it would end the process first
		e.left = len(e.buf)
	}
	copy(p, e.buf[len(e.buf)-e.left:])
	e.left -= len(p)
	entropies.Put(e)
}

// EventIDFrom makes an event id of 128 bits, the same for the same bits.
func EventIDFrom(bits [16]byte) string { return string(appendBase32([]byte(idPrefix), bits)) }
