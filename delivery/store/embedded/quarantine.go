package embedded

import (
	"errors"
	"slices"
	"sync"

	"github.com/atoship/caddy-webhooks/delivery"
)

// maxBad bounds the list of corrupt records already reported; a disk that rots faster is reported again and again.
const maxBad = 1024

// badRecords reports each corrupt record once and copies it to the key space of set-aside records, where it waits for
// someone with a hex editor. The record itself stays where it is, unless its caller says otherwise.
type badRecords struct {
	mu    sync.Mutex
	known map[string]struct{}
}

// note takes a record that could not be read, and why. It never blocks, so the committer may call it too.
func (b *badRecords) note(s *Store, key, val []byte, why error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.known[string(key)]; ok {
		return
	}
	o := &rawOp{key: append([]byte{kindBad}, key...), val: slices.Clone(val)}
	select {
	case s.ops <- o:
	default:
		return // busy: the next reader of the record notes it
	}
	if b.known == nil || len(b.known) >= maxBad {
		b.known = map[string]struct{}{}
	}
	b.known[string(key)] = struct{}{}
	s.o.Logger.Error("a record of the store is corrupt; it is set aside and the rest goes on",
		"dir", s.o.Dir, "record", describe(key), "error", why)
}

// noteKey is note for a record that is no longer at hand.
func (b *badRecords) noteKey(s *Store, c *conn, key []byte, why error) {
	val, closer, err := c.db.Get(key)
	if err != nil {
		b.note(s, key, nil, why)
		return
	}
	defer closer.Close()
	b.note(s, key, val, why)
}

// skip tells whether an error concerns this record alone, so that a listing can go on with the next; it is noted then.
func (b *badRecords) skip(s *Store, c *conn, key []byte, err error) bool {
	if _, corrupt := errors.AsType[*CorruptError](err); corrupt {
		b.noteKey(s, c, key, err)
		return true
	}
	return errors.Is(err, delivery.ErrNotFound)
}

// rawOp copies a record as it is.
type rawOp struct{ key, val []byte }

func (o *rawOp) size() (rows, bytes int) { return 1, len(o.val) }
func (*rawOp) lazy() bool                { return true }
func (*rawOp) done(error)                {}

func (o *rawOp) build(tx *tx) error {
	must(tx.b.Set(o.key, o.val, nil))
	return nil
}
