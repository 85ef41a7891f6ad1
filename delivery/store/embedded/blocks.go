package embedded

import (
	"encoding/binary"
	"errors"
	"hash/fnv"
	"math"

	"github.com/cockroachdb/pebble/v2"

	"github.com/atoship/caddy-webhooks/delivery"
)

// Listings of events and deliveries go by sequence number. A coarse index tells them which blocks of blockEvents events hold
// something of a kind at all: a row per block and term, written when the first event of the block brings the term. So a page
// for an endpoint that gets one event in a thousand looks at a small part of the blocks, and an event costs next to nothing:
// with ten tenants and endpoints a fiftieth of a row, and in the worst case, where every event of a block has terms of its
// own, a row of 12 bytes for each. Dead letters, and events that no rule wanted, are rare and looked for often: for these a
// block is one event.
//
// A row promises nothing: terms are hashed, what they stood for may have changed or been deleted. Where there is none there
// is no match, among events accepted since the index exists.
const (
	blockEvents = 512

	termType        = 't'
	termEnvironment = 'e'
	termTenant      = 'c' // customer
	termEndpoint    = 'h' // home, or a target it moved to
	termWaited      = 'w' // has or had deliveries that were pending and not in hand
	termState       = 's' // has exhausted or cancelled ones; by event
	termRouting     = 'r' // unrouted and undecided ones; by event
)

// term is what events are looked for by.
type term struct {
	kind byte
	hash uint32
}

func termOf(kind byte, name string) term {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name)) // never fails
	return term{kind, h.Sum32()}
}

func stateTerm(s delivery.State) term {
	if s == delivery.Pending {
		return term{kind: termWaited}
	}
	return term{termState, uint32(s)}
}

// span is how many events a block of the term has.
func (t term) span() uint64 {
	if t.kind == termState || t.kind == termRouting {
		return 1
	}
	return blockEvents
}

func (t term) prefix() []byte {
	return binary.BigEndian.AppendUint32([]byte{kindBlock, t.kind}, t.hash)
}

func (t term) key(block uint64) []byte { return appendBlock(t.prefix(), block) }

// appendBlock writes a block's number in five bytes: enough for 5·10¹⁴ events.
func appendBlock(b []byte, block uint64) []byte {
	return append(b, byte(block>>32), byte(block>>24), byte(block>>16), byte(block>>8), byte(block))
}

func blockOf(key []byte) uint64 {
	b := key[len(key)-5:]
	return uint64(b[0])<<32 | uint64(binary.BigEndian.Uint32(b[1:]))
}

// blockTerm is one row of the index.
type blockTerm struct {
	term
	block uint64
}

// maxMarked bounds the rows known to be written; writing one again is harmless.
const maxMarked = 8192

// mark notes that an event has a term.
func (tx *tx) mark(seq uint64, t term) {
	row := blockTerm{t, seq / t.span()}
	if _, known := tx.marked[row]; known {
		return
	}
	if len(tx.marked) >= maxMarked {
		clear(tx.marked)
	}
	tx.marked[row] = struct{}{}
	putKey(tx.b, t.key(row.block))
}

// markWaiting notes that a delivery is pending in the store, perhaps at a target that is not its home.
func (tx *tx) markWaiting(k delivery.Key, t turn) {
	tx.mark(k.Seq, stateTerm(delivery.Pending))
	if t.progress.Target > 0 {
		tx.mark(k.Seq, termOf(termEndpoint, t.lane()))
	}
}

// markActive notes that there were attempts at an endpoint in a slice of time.
func (tx *tx) markActive(slice uint64, lane string) {
	if last, known := tx.active[lane]; known && last == slice {
		return
	}
	if len(tx.active) >= maxMarked {
		clear(tx.active)
	}
	tx.active[lane] = slice
	putKey(tx.b, activeKey(slice, lane))
}

// forgetMarks makes sure of rows that a commit which failed may have written, or not.
func (c *committer) forgetMarks() {
	c.marked, c.active, c.heads = map[blockTerm]struct{}{}, map[string]uint64{}, map[headID]struct{}{}
}

// markEvent notes the terms of a new event and of its deliveries' homes.
func (tx *tx) markEvent(ev *delivery.Event) {
	tx.mark(ev.Seq, termOf(termType, ev.Type))
	tx.mark(ev.Seq, termOf(termEnvironment, ev.Environment))
	tx.mark(ev.Seq, termOf(termTenant, ev.Tenant))
	tx.markRouting(ev.Seq, ev.Routing)
}

func (tx *tx) markRouting(seq uint64, r delivery.Routing) {
	if r != delivery.Routed {
		tx.mark(seq, term{termRouting, uint32(r)})
	}
}

// indexedKey holds the first sequence number that the index knows: a store made by an earlier program has events before it.
func indexedKey() []byte { return namedKey(kindMeta, "indexed from") }

func (s *Store) loadIndexed(c *conn) error {
	s.forgetMarks()
	from := uint64(0)
	_, err := getRow(c, indexedKey(), func(key, val []byte) (struct{}, error) {
		return struct{}{}, decodeNumbers(key, val, &from)
	})
	if errors.Is(err, pebble.ErrNotFound) {
		from = s.seq + 1
		b := c.db.NewBatch()
		put(b, indexedKey(), encodeNumbers(from))
		err = c.commit(b)
	}
	s.indexed.Store(from)
	return err
}

// stream finds the events that one term of a search allows.
type stream struct {
	t    term
	span uint64
	it   *pebble.Iterator // rows of the term
	// handed, for pending ones, are the rows of what is in hand, which stand in no block.
	handed *pebble.Iterator
	block  uint64 // found last
}

func (c *conn) stream(t term) (*stream, error) {
	it, err := c.scan(t.prefix(), after(t.prefix()))
	if err != nil {
		return nil, err
	}
	s := &stream{t: t, span: t.span(), it: it, block: math.MaxUint64}
	if t.kind == termWaited {
		if s.handed, err = c.scan([]byte{kindHanded}, []byte{kindHanded + 1}); err != nil {
			return nil, errors.Join(err, it.Close())
		}
	}
	return s, nil
}

func (s *stream) close() {
	_ = s.it.Close()
	if s.handed != nil {
		_ = s.handed.Close()
	}
}

// knows tells whether an event lies in the block found last.
func (s *stream) knows(seq uint64) bool { return seq/s.span == s.block }

// below is the last event at or below seq that the term allows.
func (s *stream) below(seq uint64) (at uint64, ok bool) {
	if s.it.SeekLT(s.t.key(seq/s.span + 1)) {
		s.block, ok = blockOf(s.it.Key()), true
	}
	if s.handed != nil && s.handed.SeekLT(stepKey(kindHanded, delivery.Key{Seq: (seq/s.span + 1) * s.span}, 0)) {
		if h := seqOf(s.handed.Key()) / s.span; !ok || h > s.block {
			s.block, ok = h, true
		}
	}
	return min(seq, (s.block+1)*s.span-1), ok
}

// above is the first event at or above seq that the term allows.
func (s *stream) above(seq uint64) (at uint64, ok bool) {
	if s.it.SeekGE(s.t.key(seq / s.span)) {
		s.block, ok = blockOf(s.it.Key()), true
	}
	if s.handed != nil && s.handed.SeekGE(stepKey(kindHanded, delivery.Key{Seq: seq / s.span * s.span}, 0)) {
		if h := seqOf(s.handed.Key()) / s.span; !ok || h < s.block {
			s.block, ok = h, true
		}
	}
	return max(seq, s.block*s.span), ok
}

func (s *stream) err() error {
	if s.handed != nil {
		return errors.Join(s.it.Error(), s.handed.Error())
	}
	return s.it.Error()
}
