package rules

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"slices"

	"github.com/expr-lang/expr/vm"
)

// maxShares and maxWeight bound a split. They stop slips of the keyboard.
const (
	maxShares = 100
	maxWeight = 1_000_000
)

// split sends each event to one of several endpoints, by a stable hash of its
// key.
//
// The key's hash, the first 8 bytes of its SHA-256 as a number from 0 up to but
// not including 1, falls into one of the shares, which lie beside one another
// in the order written, each as wide as its part of all weights. So a key stays
// where it is while the weights do, whatever else changes and on every machine,
// and moving weight from the first of two endpoints to the second moves no key
// the other way.
type split struct {
	shares []share
	total  uint64
	by     *vm.Program // nil: event.id
	expr   Expr
}

type share struct {
	until  uint64 // the sum of the weights up to and including this
	target Target
}

// split compiles the split of a route; nil without one.
func (k *setCompiler) split(r *Route) *split {
	if len(r.Split) == 0 {
		if r.By.Text != "" {
			k.refuse("by", r.By.Pos, "", "by says how to split, but there is no split")
		}
		return nil
	}
	out := &split{expr: r.By}
	if len(r.Split) < 2 || len(r.Split) > maxShares {
		k.refuse("split", r.Pos, "", "a split has 2 to %d endpoints, this has %d", maxShares, len(r.Split))
	}
	for i, s := range r.Split {
		_, known := k.endpoints[s.Endpoint]
		switch {
		case !known:
			k.refuse("split", r.Pos, didYouMean(s.Endpoint, sortedNames(k.endpoints)), "unknown endpoint %q", s.Endpoint)
		case slices.ContainsFunc(r.Split[:i], func(o Share) bool { return o.Endpoint == s.Endpoint }):
			k.refuse("split", r.Pos, "", "%q stands in the split twice", s.Endpoint)
		case s.Weight < 0 || s.Weight > maxWeight:
			k.refuse("split", r.Pos, "", "the weight of %q must be from 0 to %d", s.Endpoint, maxWeight)
		}
		out.total += uint64(max(0, s.Weight))
		out.shares = append(out.shares, share{out.total, Target{Route: r.Name, Endpoint: s.Endpoint}})
	}
	if out.total == 0 {
		k.refuse("split", r.Pos, "", "all weights are 0: nobody would get anything")
	}
	if r.By.Text != "" {
		p, found := k.expr.splitKey(r.By.Text)
		k.refuseExpr("by", r.By, found)
		out.by = p
	}
	return out
}

// splitKey compiles a key, which must be a string or an integer.
func (c *exprCompiler) splitKey(text string) (*vm.Program, []mistake) {
	tree, found := c.parse(text)
	if found != nil {
		return nil, found
	}
	if n := tree.Node.Nature(); !n.IsUnknown(&c.check.NtCache) && !n.IsString() && !n.IsInteger {
		return nil, []mistake{{at: tree.Node.Location().From, msg: "by must give a string or an integer; this gives " + natureName(n)}}
	}
	p, err := c.program(tree.Node, tree.Source)
	if err != nil {
		return nil, []mistake{compileMistake(err)}
	}
	return p, nil
}

// choose returns the target for the event. An event without the key is split by
// its id: which endpoint it goes to matters less than that it goes to one.
func (s *split) choose(m *machine) (*Target, *failure) {
	key := m.ev.ID
	if s.by != nil {
		m.begin()
		v, why := m.run(s.by)
		if why != nil && !why.missing {
			return nil, why
		}
		switch text, ok := hashable(v); {
		case ok:
			key = text
		case v != nil:
			return nil, &failure{msg: "by must give a string or an integer, got " + typeName(v)}
		}
	}
	return s.of(key), nil
}

// of returns the target for a key.
func (s *split) of(key string) *Target {
	place, _ := bits.Mul64(hashOf(key), s.total) // the hash as a fraction, times total
	i, _ := slices.BinarySearchFunc(s.shares, place, func(sh share, place uint64) int {
		if sh.until <= place {
			return -1
		}
		return 1
	})
	return &s.shares[i].target
}

// hashOf is the first 8 bytes of a SHA-256, big endian. It never changes: what
// it decided is out in the world.
func hashOf(key string) uint64 {
	sum := sha256.Sum256([]byte(key))
	return binary.BigEndian.Uint64(sum[:8])
}
