package rules

import (
	"cmp"
	"slices"
)

// with returns the node that a further rule has been filed at or below.
func (n *node) with(f *filing, depth int) *node {
	out := *n
	if set := n.fit(f); set >= 0 {
		out.branches = slices.Clone(n.branches)
		below := f.by(set)
		for i, c := range f.sets[set] {
			if slices.Contains(f.sets[set][:i], c) {
				continue
			}
			b := &out.branches[n.branchOn(c.on)]
			*b = b.with(c, &below, depth+1)
		}
		return &out
	}
	out.rules = append(slices.Clip(n.rules), f.leaf())
	if len(out.rules) <= n.crowd || depth >= maxDepth {
		return &out
	}
	fs := make([]filing, len(out.rules))
	for i, l := range out.rules {
		fs[i] = l.filing()
	}
	again := divide(fs, depth)
	out.rules, out.crowd = again.rules, again.crowd
	out.branches = append(slices.Clip(n.branches), again.branches...)
	return &out
}

// fit returns the most telling set of clues for all of which there is a branch,
// or -1.
func (n *node) fit(f *filing) int {
	best := -1
	for i, cs := range f.sets {
		if !f.usable(i) || best >= 0 && cs.vagueness() >= f.sets[best].vagueness() {
			continue
		}
		if !slices.ContainsFunc(cs, func(c clue) bool { return n.branchOn(c.on) < 0 }) {
			best = i
		}
	}
	return best
}

// branchOn returns the number of the first branch on a path, or -1.
func (n *node) branchOn(on *path) int {
	return slices.IndexFunc(n.branches, func(b branch) bool { return b.on == on })
}

// without returns the node that a rule has been taken from, or nil when
// nothing is left of it. All ways on are searched: two sets of clues of a rule
// may have a clue in common, and then one may lead to where it was filed by the
// other.
func (n *node) without(f *filing) (_ *node, found bool) {
	out := *n
	if i := slices.IndexFunc(n.rules, func(l leafRule) bool { return l.rule == f.rule }); i >= 0 {
		out.rules = append(slices.Clone(n.rules[:i]), n.rules[i+1:]...)
		found = true
	}
	for set := range f.sets {
		if f.used&(1<<set) == 0 && out.removeBelow(f, set) {
			found = true
		}
	}
	if len(out.rules)+len(out.branches) == 0 {
		return nil, found
	}
	return &out, found
}

// removeBelow takes the rule from below the clues of a set, if it stands there.
func (n *node) removeBelow(f *filing, set int) (found bool) {
	below, kept := f.by(set), []branch(nil)
	for i := range n.branches {
		b := n.branches[i]
		for _, c := range f.sets[set] {
			if c.on == b.on {
				var ok bool
				b, ok = b.without(c, &below)
				found = found || ok
			}
		}
		if b.texts.size > 0 || b.others != nil {
			kept = append(kept, b)
		}
	}
	if found {
		n.branches = kept
	}
	return found
}

// with returns the branch in which a rule stands below a clue.
func (b branch) with(c clue, below *filing, depth int) branch {
	if c.kind == isAbove || c.kind == isBelow {
		o := b.change()
		o.bounds(c.kind).add(bound{limit: c.num, leaf: below.leaf()})
		return b
	}
	if child := b.child(c); child != nil {
		return b.put(c, child.with(below, depth))
	}
	return b.put(c, &node{rules: []leafRule{below.leaf()}, crowd: fewRules})
}

// without returns the branch in which a rule does not stand below a clue.
func (b branch) without(c clue, below *filing) (_ branch, found bool) {
	if c.kind == isAbove || c.kind == isBelow {
		if b.others == nil {
			return b, false
		}
		o := b.change()
		found = o.bounds(c.kind).remove(c.num, below.rule)
		return b.tidy(), found
	}
	child := b.child(c)
	if child == nil {
		return b, false
	}
	child, found = child.without(below)
	if !found {
		return b, false
	}
	return b.put(c, child), true
}

// child returns the node below a clue, or nil.
func (b *branch) child(c clue) *node {
	if c.kind == isText {
		return b.texts.get(c.text)
	}
	if b.others == nil {
		return nil
	}
	switch o := b.others; c.kind {
	case startsText:
		return o.starts.nodes.get(c.text)
	case endsText:
		return o.ends.nodes.get(c.text)
	case holdsText:
		return o.inside.get(c.text)
	case isNumber:
		return o.numbers.get(c.num)
	case hasText:
		for i := range o.lists {
			if o.lists[i].each == c.each {
				return o.lists[i].nodes.get(c.text)
			}
		}
		return nil
	default:
		return *o.single(c)
	}
}

// put returns the branch with another node below a clue: nil for none.
func (b branch) put(c clue, child *node) branch {
	if c.kind == isText {
		b.texts = set(b.texts, c.text, child)
		return b
	}
	switch o := b.change(); c.kind {
	case startsText:
		o.starts.put(c.text, child)
	case endsText:
		o.ends.put(c.text, child)
	case holdsText:
		o.inside = o.inside.put(c.text, child)
	case isNumber:
		o.numbers = set(o.numbers, c.num, child)
	case hasText:
		o.put(c.each, c.text, child)
	default:
		*o.single(c) = child
	}
	return b.tidy()
}

func set[K comparable](t table[K, *node], key K, child *node) table[K, *node] {
	if child == nil {
		return t.without(key)
	}
	return t.with(key, child)
}

// change gives the branch others of its own, to be changed.
func (b *branch) change() *others {
	o := others{}
	if b.others != nil {
		o = *b.others
	}
	b.others = &o
	return &o
}

// tidy drops others that hold nothing.
func (b branch) tidy() branch {
	if b.others != nil && b.others.empty() {
		b.others = nil
	}
	return b
}

func (o *others) empty() bool {
	return o.starts.nodes.size+o.ends.nodes.size+o.numbers.size+len(o.inside)+len(o.lists)+len(o.above)+len(o.below) == 0 &&
		o.truths == [2]*node{} && o.set == nil && o.nothing == nil && o.there == nil
}

// single returns the place of the node below a clue that has no text.
func (o *others) single(c clue) **node {
	switch c.kind {
	case isBool:
		return &o.truths[int(c.num)]
	case isSet:
		return &o.set
	case isNothing:
		return &o.nothing
	default:
		return &o.there
	}
}

func (o *others) put(e *each, text string, child *node) {
	i := slices.IndexFunc(o.lists, func(l listBranch) bool { return l.each == e })
	o.lists = slices.Clone(o.lists)
	if i < 0 {
		i = len(o.lists)
		o.lists = append(o.lists, listBranch{each: e})
	}
	l := &o.lists[i]
	if l.nodes = set(l.nodes, text, child); l.nodes.size == 0 {
		o.lists = slices.Delete(o.lists, i, i+1)
	}
}

func (a *affixes) put(text string, child *node) {
	a.nodes = set(a.nodes, text, child)
	if child != nil {
		a.note(len(text)) // a length that has gone costs a look-up, until the next index
	}
}

// bounds are rules in the order of their limits.
type bounds []bound

func (o *others) bounds(k clueKind) *bounds {
	if k == isAbove {
		return &o.above
	}
	return &o.below
}

// from returns the number of the first bound with at least this limit.
func (bs bounds) from(limit float64) int {
	i, _ := slices.BinarySearchFunc(bs, limit, func(b bound, l float64) int { return cmp.Compare(b.limit, l) })
	return i
}

// add inserts a bound, in a copy: readers may hold the list as it was.
func (bs *bounds) add(b bound) {
	*bs = slices.Insert(slices.Clone(*bs), bs.from(b.limit), b)
}

func (bs *bounds) remove(limit float64, r *rule) bool {
	for i := bs.from(limit); i < len(*bs) && (*bs)[i].limit == limit; i++ {
		if (*bs)[i].leaf.rule == r {
			*bs = slices.Delete(slices.Clone(*bs), i, i+1)
			return true
		}
	}
	return false
}
