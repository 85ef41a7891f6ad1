package rules

import (
	"cmp"
	"slices"
	"sort"
)

// hit is a rule that is true for the event, or fails.
type hit struct {
	rule    *rule
	outcome outcome
	why     *failure
}

// find gathers the hits among all rules, in the order of the configuration.
func (m *matcher) find(root *node) {
	m.walk(root)
	slices.SortFunc(m.hits, func(a, b hit) int { return cmp.Compare(a.rule.order, b.rule.order) })
	// A rule of which the event holds several clues has been met several times.
	m.hits = slices.CompactFunc(m.hits, func(a, b hit) bool { return a.rule == b.rule })
}

// try evaluates a rule.
func (m *matcher) try(l *leafRule) {
	m.tried++
	if m.met != nil {
		m.met[l.rule] = struct{}{}
	}
	var o outcome
	var why *failure
	if l.condition != nil {
		m.machine.begin()
		o, why = l.condition.eval(m.machine)
	} else {
		o, why = m.holds(l.rule)
	}
	if o == isTrue || o == isError {
		m.hits = append(m.hits, hit{l.rule, o, why})
	}
}

// walk tries the rules at a node and follows the branches.
func (m *matcher) walk(n *node) {
	if n == nil {
		return
	}
	for i := range n.rules {
		m.try(&n.rules[i])
	}
	for i := range n.branches {
		m.follow(&n.branches[i])
	}
}

// follow goes on below the clues of a branch that the event holds. A value of a
// type that makes a comparison fail holds the clues of all such comparisons.
func (m *matcher) follow(b *branch) {
	if b.on.field != fieldNone {
		s := b.on.field.of(m.machine.ev)
		m.walk(b.texts.get(s))
		if b.others != nil {
			m.affixes(b.others, s)
		}
		return
	}
	if !m.machine.extract() {
		m.everything(b) // whatever reads the payload fails
		return
	}
	v := m.machine.at(b.on)
	if v.kind == kindText {
		m.walk(b.texts.get(v.text))
	}
	o := b.others
	if o == nil {
		return
	}
	if v.isNil() {
		m.walk(o.nothing)
		return
	}
	m.walk(o.there)
	if v.kind == kindText {
		m.affixes(o, v.text)
	} else {
		m.all(&o.starts.nodes)
		m.all(&o.ends.nodes)
		m.needles(o.inside)
	}
	if v.kind == kindNumber {
		m.number(o, v.num.f)
	} else {
		m.bounds(o.above)
		m.bounds(o.below)
	}
	if v.kind == kindBool {
		m.truth(o, v.truth)
	} else {
		m.walk(o.set)
	}
	for i := range o.lists {
		m.list(&o.lists[i], v.kind == kindList)
	}
}

func (m *matcher) affixes(o *others, s string) {
	for _, n := range o.starts.lengths {
		if n > len(s) {
			break
		}
		m.walk(o.starts.nodes.get(s[:n]))
	}
	for _, n := range o.ends.lengths {
		if n > len(s) {
			break
		}
		m.walk(o.ends.nodes.get(s[len(s)-n:]))
	}
	if len(o.inside) > 0 {
		m.inside(o.inside, s)
	}
}

func (m *matcher) inside(ns needles, s string) {
	letters := lettersOf(s)
	for i := range ns {
		if ns[i].in(s, letters) {
			m.walk(ns[i].node)
		}
	}
}

func (m *matcher) needles(ns needles) {
	for i := range ns {
		m.walk(ns[i].node)
	}
}

func (m *matcher) number(o *others, v float64) {
	m.walk(o.numbers.get(v))
	m.bounds(o.above[:sort.Search(len(o.above), func(i int) bool { return o.above[i].limit > v })])
	m.bounds(o.below[o.below.from(v):])
}

func (m *matcher) truth(o *others, v bool) {
	if v {
		m.walk(o.truths[1])
		m.walk(o.set)
	} else {
		m.walk(o.truths[0])
	}
}

// list goes on below the texts of a list, or of all when the value is no list.
func (m *matcher) list(l *listBranch, isList bool) {
	if !isList {
		m.all(&l.nodes)
		return
	}
	texts, start := m.machine.textsOf(l.each), len(m.texts)
	if len(texts) > fewTexts { // a long list must not bring the same rules again and again
		m.texts = append(m.texts, texts...) // above what the lists that led here have left
		texts = m.texts[start:]
		slices.Sort(texts)
		texts = slices.Compact(texts)
	}
	for _, s := range texts {
		m.walk(l.nodes.get(s))
	}
	m.texts = m.texts[:start]
}

// fewTexts is up to how many texts a list is taken as it is.
const fewTexts = 8

func (m *matcher) all(nodes *table[string, *node]) {
	nodes.all(func(_ string, n *node) bool {
		m.walk(n)
		return true
	})
}

func (m *matcher) bounds(bs bounds) {
	for i := range bs {
		m.try(&bs[i].leaf)
	}
}

// everything goes on below all clues of a branch.
func (m *matcher) everything(b *branch) {
	m.all(&b.texts)
	o := b.others
	if o == nil {
		return
	}
	m.all(&o.starts.nodes)
	m.all(&o.ends.nodes)
	m.needles(o.inside)
	o.numbers.all(func(_ float64, n *node) bool {
		m.walk(n)
		return true
	})
	for _, n := range []*node{o.truths[0], o.truths[1], o.set, o.nothing, o.there} {
		m.walk(n)
	}
	m.bounds(o.above)
	m.bounds(o.below)
	for i := range o.lists {
		m.all(&o.lists[i].nodes)
	}
}
