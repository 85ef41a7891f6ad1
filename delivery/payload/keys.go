package payload

import (
	"cmp"
	"hash/maphash"
	"math"
	"slices"
)

// key is one member of an object being read. start..end is where the member
// stands in dst, name, colon and value; the comma after it is not in it.
type key struct {
	start, colon, end int
	// index is the name as an array index, -1 if it is none.
	index int64
}

// noIndexAfter is above every array index: no index read after it is in its
// place any more.
const noIndexAfter = math.MaxInt64

// arrayIndex returns the number that name is the canonical text of, if it is
// what ECMAScript calls an array index (0 to 2^32-2: such property names come
// first, ascending), else -1.
func arrayIndex(name []byte) int64 {
	if len(name) == 0 || len(name) > 10 || name[0] == '0' && len(name) > 1 {
		return -1
	}
	n := int64(0)
	for _, c := range name {
		if !isDigit(c) {
			return -1
		}
		n = n*10 + int64(c-'0')
	}
	if n > math.MaxUint32-1 {
		return -1
	}
	return n
}

// reorder rewrites the members of one object, which fill dst from body to its
// end, in ECMAScript's order. The length stays, so places in outer objects do.
func (s *scanner) reorder(body int, members []key) {
	slices.SortFunc(members, func(a, b key) int {
		switch {
		case a.index >= 0 && b.index >= 0:
			return cmp.Compare(a.index, b.index)
		case a.index < 0 && b.index < 0:
			return cmp.Compare(a.start, b.start)
		}
		return cmp.Compare(b.index, a.index) // an index before any other name
	})
	s.spare = append(s.spare[:0], s.dst[body:]...)
	s.dst = s.dst[:body]
	for i, k := range members {
		if i > 0 {
			s.dst = append(s.dst, ',')
		}
		s.dst = append(s.dst, s.spare[k.start-body:k.end-body]...)
	}
}

// name returns the name of a member for an error.
func (s *scanner) name(k key) string { return unquote(s.dst[k.start:k.colon]) }

// fewKeys is up to how many members an object is searched from the front:
// below about this, comparing lengths is cheaper than hashing.
const fewKeys = 16

// repeated reports whether the object whose members are keys[base:] has the
// name of k already. Names are compared in stable form, which two names share
// only if they are equal after unescaping. group is the object's number in the
// table, 0 as long as it has none.
func (s *scanner) repeated(base int, k key, group *uint32) bool {
	members, name := s.keys[base:], s.dst[k.start:k.colon]
	if len(members) < fewKeys {
		for _, m := range members {
			if string(s.dst[m.start:m.colon]) == string(name) {
				return true
			}
		}
		return false
	}
	if *group == 0 {
		s.names.groups++
		*group = s.names.groups
		for _, m := range members {
			s.names.add(s.dst, m.start, m.colon, *group)
		}
	}
	return !s.names.add(s.dst, k.start, k.colon, *group)
}

// keyTable is a hash set of the member names of all large objects of one
// document, so that an object of 50,000 members costs 50,000 look-ups and not
// a billion comparisons. The hash is seeded per process: nobody can prepare
// names that collide. Open addressing, linear probing, at most half full.
type keyTable struct {
	slots  []keySlot // length 0 or a power of two
	used   int
	groups uint32 // objects numbered so far
}

// keySlot refers to dst[start:end]; group 0 is a free slot. Slots of objects
// already closed may refer to bytes that have moved: their group is never
// asked for again.
type keySlot struct {
	hash       uint64
	start, end int
	group      uint32
}

var keySeed = maphash.MakeSeed()

// add puts the name dst[start:end] of a group in, and reports false if it is
// there already.
func (t *keyTable) add(dst []byte, start, end int, group uint32) bool {
	if 2*t.used >= len(t.slots) {
		t.grow()
	}
	name := dst[start:end]
	hash := maphash.Bytes(keySeed, name) ^ uint64(group)*0x9e3779b97f4a7c15
	mask := uint64(len(t.slots) - 1) //nolint:gosec // never empty here
	for i := hash & mask; ; i = (i + 1) & mask {
		slot := &t.slots[i]
		if slot.group == 0 {
			*slot = keySlot{hash, start, end, group}
			t.used++
			return true
		}
		if slot.hash == hash && slot.group == group && string(dst[slot.start:slot.end]) == string(name) {
			return false
		}
	}
}

func (t *keyTable) grow() {
	old := t.slots
	t.slots = make([]keySlot, max(64, 2*len(old)))
	mask := uint64(len(t.slots) - 1) //nolint:gosec // never empty here
	for _, slot := range old {
		if slot.group == 0 {
			continue
		}
		i := slot.hash & mask
		for t.slots[i].group != 0 {
			i = (i + 1) & mask
		}
		t.slots[i] = slot
	}
}

// reset empties the table; one past 1,024 slots (32 KiB) is let go.
func (t *keyTable) reset() {
	if len(t.slots) > 1024 {
		t.slots = nil
	}
	if t.used > 0 {
		clear(t.slots)
	}
	t.used, t.groups = 0, 0
}
