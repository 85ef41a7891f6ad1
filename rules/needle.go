package rules

import (
	"slices"
	"strings"
)

// needles are the texts that a value may contain, in order. They are gone
// through one by one, which takes a nanosecond for each that has a letter the
// value lacks.
type needles []needle

type needle struct {
	letters letters
	text    string
	node    *node
}

func newNeedle(text string, n *node) needle {
	return needle{letters: lettersOf(text), text: text, node: n}
}

// in reports whether a text, of these letters, contains the needle.
func (n *needle) in(s string, of letters) bool {
	return n.letters.within(of) && strings.Contains(s, n.text)
}

func (ns needles) find(text string) (int, bool) {
	return slices.BinarySearchFunc(ns, text, func(n needle, text string) int { return strings.Compare(n.text, text) })
}

// get returns the node below a needle, or nil.
func (ns needles) get(text string) *node {
	if i, found := ns.find(text); found {
		return ns[i].node
	}
	return nil
}

// put returns the needles with another node below one of them: nil for none.
func (ns needles) put(text string, child *node) needles {
	i, found := ns.find(text)
	out := slices.Clone(ns)
	switch {
	case child == nil && !found:
	case child == nil:
		out = slices.Delete(out, i, i+1)
	case found:
		out[i].node = child
	default:
		out = slices.Insert(out, i, newNeedle(text, child))
	}
	return out
}

// letters are the bytes of a text, each by its last seven bits.
type letters [2]uint64

// manyLetters is from how long a text on, in bytes, it is taken to have all
// letters there are.
const manyLetters = 256

func lettersOf(s string) (out letters) {
	if len(s) > manyLetters {
		return letters{^uint64(0), ^uint64(0)}
	}
	for i := range len(s) {
		out[s[i]>>6&1] |= 1 << (s[i] & 63)
	}
	return out
}

// within reports whether other has all of these letters.
func (l letters) within(other letters) bool {
	return l[0]&^other[0]|l[1]&^other[1] == 0
}
