package rules

import (
	"hash/maphash"
	"math/bits"
	"slices"
)

// table is an immutable map: changing it makes another one that shares all but
// the changed path, a few hundred bytes, with the first. It is a hash array
// mapped trie (Bagwell, Ideal Hash Trees, 2001) of 32 branches per level. The
// zero table is empty.
type table[K comparable, V any] struct {
	root *trie[K, V]
	size int
}

// trie is one level: a slot for each bit of has.
type trie[K comparable, V any] struct {
	has   uint32
	slots []trieSlot[K, V]
}

// trieSlot holds one key, or a further level for those that agree so far.
type trieSlot[K comparable, V any] struct {
	key   K
	value V
	below *trie[K, V]
}

// The hash is taken 5 bits per level. Keys of which all 64 are the same stand
// side by side on a last level, in which has says nothing.
const (
	levelBits = 5
	levelMask = 1<<levelBits - 1
	hashBits  = 64
)

// seed makes hashes unpredictable to whoever chooses the keys.
var seed = maphash.MakeSeed()

func keyHash[K comparable](key K) uint64 { return maphash.Comparable(seed, key) }

// get returns the value of a key, or the zero value.
func (t *table[K, V]) get(key K) (v V) {
	if t.root == nil {
		return v
	}
	hash, n := keyHash(key), t.root
	for shift := 0; shift < hashBits; shift += levelBits {
		bit := uint32(1) << (hash >> shift & levelMask)
		if n.has&bit == 0 {
			return v
		}
		s := &n.slots[bits.OnesCount32(n.has&(bit-1))]
		if s.below == nil {
			if s.key == key {
				return s.value
			}
			return v
		}
		n = s.below
	}
	for i := range n.slots {
		if n.slots[i].key == key {
			return n.slots[i].value
		}
	}
	return v
}

// with returns the table in which the key has the value.
func (t table[K, V]) with(key K, v V) table[K, V] {
	root := t.root
	if root == nil {
		root = &trie[K, V]{}
	}
	root, added := root.with(keyHash(key), 0, key, v)
	t.root = root
	if added {
		t.size++
	}
	return t
}

func (n *trie[K, V]) with(hash uint64, shift int, key K, v V) (_ *trie[K, V], added bool) {
	out := &trie[K, V]{has: n.has}
	if shift >= hashBits {
		out.slots = append(out.slots, n.slots...)
		for i := range out.slots {
			if out.slots[i].key == key {
				out.slots[i].value = v
				return out, false
			}
		}
		out.slots = append(out.slots, trieSlot[K, V]{key: key, value: v})
		return out, true
	}
	bit := uint32(1) << (hash >> shift & levelMask)
	i := bits.OnesCount32(n.has & (bit - 1))
	if n.has&bit == 0 {
		out.has |= bit
		out.slots = make([]trieSlot[K, V], len(n.slots)+1)
		copy(out.slots, n.slots[:i])
		copy(out.slots[i+1:], n.slots[i:])
		out.slots[i] = trieSlot[K, V]{key: key, value: v}
		return out, true
	}
	out.slots = append(out.slots, n.slots...)
	s := &out.slots[i]
	switch {
	case s.below != nil:
		s.below, added = s.below.with(hash, shift+levelBits, key, v)
	case s.key == key:
		s.value = v
	default:
		below := &trie[K, V]{}
		below, _ = below.with(keyHash(s.key), shift+levelBits, s.key, s.value)
		below, added = below.with(hash, shift+levelBits, key, v)
		*s = trieSlot[K, V]{below: below}
	}
	return out, added
}

// without returns the table that lacks the key.
func (t table[K, V]) without(key K) table[K, V] {
	if t.root == nil {
		return t
	}
	root, removed := t.root.without(keyHash(key), 0, key)
	if removed {
		t.root = root
		t.size--
	}
	if t.size == 0 {
		t.root = nil
	}
	return t
}

// without returns the level that lacks the key, nil when nothing is left of it.
func (n *trie[K, V]) without(hash uint64, shift int, key K) (_ *trie[K, V], removed bool) {
	i, bit := 0, uint32(0)
	if shift >= hashBits {
		for i < len(n.slots) && n.slots[i].key != key {
			i++
		}
		if i == len(n.slots) {
			return n, false
		}
	} else {
		bit = uint32(1) << (hash >> shift & levelMask)
		if n.has&bit == 0 {
			return n, false
		}
		i = bits.OnesCount32(n.has & (bit - 1))
		if s := &n.slots[i]; s.below != nil {
			below, removed := s.below.without(hash, shift+levelBits, key)
			if !removed {
				return n, false
			}
			if below != nil {
				out := &trie[K, V]{has: n.has, slots: append([]trieSlot[K, V](nil), n.slots...)}
				out.slots[i].below = below
				return out, true
			}
		} else if s.key != key {
			return n, false
		}
	}
	if len(n.slots) == 1 {
		return nil, true
	}
	out := &trie[K, V]{has: n.has &^ bit, slots: make([]trieSlot[K, V], 0, len(n.slots)-1)}
	out.slots = append(append(out.slots, n.slots[:i]...), n.slots[i+1:]...)
	return out, true
}

// all calls f for every key, in no order that means anything.
func (t *table[K, V]) all(f func(K, V) bool) {
	if t.root != nil {
		t.root.all(f)
	}
}

func (n *trie[K, V]) all(f func(K, V) bool) bool {
	for i := range n.slots {
		s := &n.slots[i]
		if s.below != nil {
			if !s.below.all(f) {
				return false
			}
		} else if !f(s.key, s.value) {
			return false
		}
	}
	return true
}

// tableOf makes a table of many keys at once, a fifth of the work of adding one
// after the other. The keys must differ.
func tableOf[K comparable, V any](all []hashed[K, V]) table[K, V] {
	if len(all) == 0 {
		return table[K, V]{}
	}
	return table[K, V]{root: trieOf(all, 0), size: len(all)}
}

// hashed is a key with its hash, and what it stands for.
type hashed[K comparable, V any] struct {
	hash  uint64
	key   K
	value V
}

// trieOf makes the level at which keys agree up to shift. It orders them.
func trieOf[K comparable, V any](all []hashed[K, V], shift int) *trie[K, V] {
	n := &trie[K, V]{}
	if shift >= hashBits {
		for _, h := range all {
			n.slots = append(n.slots, trieSlot[K, V]{key: h.key, value: h.value})
		}
		return n
	}
	digit := func(h *hashed[K, V]) int { return int(h.hash >> shift & levelMask) }
	slices.SortFunc(all, func(a, b hashed[K, V]) int { return digit(&a) - digit(&b) })
	for i := range all {
		n.has |= 1 << digit(&all[i])
	}
	n.slots = make([]trieSlot[K, V], 0, bits.OnesCount32(n.has))
	for start := 0; start < len(all); {
		end := start + 1
		for end < len(all) && digit(&all[end]) == digit(&all[start]) {
			end++
		}
		if end == start+1 {
			n.slots = append(n.slots, trieSlot[K, V]{key: all[start].key, value: all[start].value})
		} else {
			n.slots = append(n.slots, trieSlot[K, V]{below: trieOf(all[start:end], shift+levelBits)})
		}
		start = end
	}
	return n
}
