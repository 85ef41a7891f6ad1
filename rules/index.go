package rules

import (
	"slices"
)

// node is a place in the index, a discrimination tree: an event that gets here
// may satisfy the rules of the node, and those in the branches that it holds
// the clues of. Nodes are immutable; with and without make changed copies of
// those on the way and share all others.
type node struct {
	rules    []leafRule // to be evaluated
	branches []branch
	crowd    int // with how many rules a further attempt at splitting them is due
}

// leafRule is a rule at a node, with the sets of clues that led there.
type leafRule struct {
	rule *rule
	used uint64 // by bit

	// condition is that of a route. It is all that is looked at when it does
	// not hold; a subscription is asked itself.
	condition *condition
}

// branch leads on by the value of one path.
type branch struct {
	on     *path
	texts  table[string, *node]
	others *others // nil: none
}

// others are the rarer ways on.
type others struct {
	starts, ends affixes
	inside       needles
	lists        []listBranch
	numbers      table[float64, *node]
	truths       [2]*node // false, true
	set          *node
	nothing      *node
	there        *node
	above, below bounds
}

// affixes are the texts that a value may start, or end, with.
type affixes struct {
	lengths []int // in order, distinct
	nodes   table[string, *node]
}

type listBranch struct {
	each  *each
	nodes table[string, *node]
}

// bound is a rule that is met from a number on, or up to it.
type bound struct {
	limit float64
	leaf  leafRule
}

// How the index is split.
const (
	// fewRules are evaluated rather than split further: two look-ups cost
	// about as much.
	fewRules = 6

	// manyRules at one node are laid out for being evaluated in a row.
	manyRules = 32

	// sampled is how many rules of a node are looked at to choose what to
	// split them by.
	sampled = 256

	// maxCopies is in how many places of the index one rule may stand. It
	// stands under every alternative of a set of clues, and sets multiply.
	maxCopies = 256

	// maxDepth is how many sets of clues lead to a rule at most.
	maxDepth = 8
)

// filing is a rule on its way into the index.
type filing struct {
	rule   *rule
	sets   []clues
	used   uint64
	copies int
}

func newFiling(r *rule) filing {
	return filing{rule: r, sets: r.clues(), copies: 1}
}

// filing takes a rule up again.
func (l leafRule) filing() filing {
	f := newFiling(l.rule)
	f.used = l.used
	for i, cs := range f.sets {
		if f.used&(1<<i) != 0 {
			f.copies *= len(cs)
		}
	}
	return f
}

func (f *filing) leaf() leafRule {
	l := leafRule{rule: f.rule, used: f.used}
	if f.rule.sub == nil {
		l.condition = f.rule.condition
	}
	return l
}

// usable reports whether the rule may be split by a set of clues.
func (f *filing) usable(i int) bool {
	return f.used&(1<<i) == 0 && f.copies*len(f.sets[i]) <= maxCopies
}

// by returns the filing below a clue of a set.
func (f *filing) by(i int) filing {
	g := *f
	g.used |= 1 << i
	g.copies *= len(f.sets[i])
	return g
}

// never reports whether the rule is false or missing for every event.
func (f *filing) never() bool {
	return slices.ContainsFunc(f.sets, func(cs clues) bool { return len(cs) == 0 })
}

// on returns the path that all clues look at, or nil when they differ.
func (cs clues) on() *path {
	for i := range cs {
		if cs[i].on != cs[0].on {
			return nil
		}
	}
	return cs[0].on
}

// weak reports whether one of the clues is.
func (cs clues) weak() bool {
	return slices.ContainsFunc(cs, func(c clue) bool { return c.kind.weak() })
}

// newIndex makes the index of these rules.
func newIndex(rules []*rule) *node {
	fs := make([]filing, 0, len(rules))
	for _, r := range rules {
		if f := newFiling(r); !f.never() {
			fs = append(fs, f)
		}
	}
	return divide(fs, 0)
}

// divide makes a node of rules.
func divide(fs []filing, depth int) *node {
	b := builder{depth: depth, at: map[*path]*branching{}}
	for len(fs) > fewRules && depth < maxDepth {
		on := choose(fs)
		if on == nil {
			break
		}
		rest := fs[:0:0]
		for i := range fs {
			if set := fs[i].best(on); set >= 0 {
				b.file(&fs[i], set)
			} else {
				rest = append(rest, fs[i])
			}
		}
		fs = rest
	}
	n := &node{}
	hard := len(fs) > fewRules && depth < maxDepth
	for i := range fs {
		if set := fs[i].lastResort(); hard && set >= 0 {
			b.file(&fs[i], set)
		} else {
			n.rules = append(n.rules, fs[i].leaf())
		}
	}
	if len(n.rules) > manyRules {
		gather(n.rules)
	}
	n.crowd = max(fewRules, 2*len(n.rules))
	n.branches = b.branches()
	return n
}

// best returns the most telling set of clues on a path that splits well, or -1.
func (f *filing) best(on *path) int {
	best := -1
	for i, cs := range f.sets {
		if f.usable(i) && cs.on() == on && !cs.weak() && (best < 0 || cs.vagueness() < f.sets[best].vagueness()) {
			best = i
		}
	}
	return best
}

// lastResort returns the most telling set of clues of any sort, or -1.
func (f *filing) lastResort() int {
	best := -1
	for i, cs := range f.sets {
		if f.usable(i) && (best < 0 || cs.vagueness() < f.sets[best].vagueness()) {
			best = i
		}
	}
	return best
}

// choose returns the path by which to split rules: the one that keeps most of
// them from an event, which takes many that have clues on it, and many
// different ones. nil when none is worth a look-up.
func choose(fs []filing) *path {
	step := max(1, len(fs)/sampled)
	type stat struct {
		rules, clues int
		counts       map[clue]int
	}
	stats := map[*path]*stat{}
	var order []*path
	for i := 0; i < len(fs); i += step {
		f := &fs[i]
		for j, cs := range f.sets {
			on := cs.on()
			if !f.usable(j) || on == nil || cs.weak() || f.best(on) != j {
				continue
			}
			s := stats[on]
			if s == nil {
				s = &stat{counts: map[clue]int{}}
				stats[on] = s
				order = append(order, on)
			}
			s.rules++
			for _, c := range cs {
				s.counts[c]++
				s.clues++
			}
		}
	}
	var best *path
	most := 1.0
	for _, on := range order {
		s := stats[on]
		squares := 0
		for _, n := range s.counts {
			squares += n * n
		}
		// The share of the rules that an event holds a clue of, were their
		// clues as frequent in events as in rules.
		share := float64(squares) / (float64(s.clues) * float64(s.rules))
		if spared := float64(s.rules) * (1 - share) * float64(step); spared > most {
			best, most = on, spared
		}
	}
	return best
}
