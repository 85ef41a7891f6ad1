package rules

import (
	"slices"
	"strings"
)

// plan says what a rule set reads of a payload and where a machine keeps it. It
// is immutable.
type plan struct {
	paths  []*path // into data, distinct
	each   []*each
	root   *wanted // nil: nothing is read
	slots  int     // for the values of paths, and of all that lead to them
	places int     // that are looked at
	lists  int     // for what each collects
}

// wanted is a place in a payload at or below which something is read. Every
// place has a slot, read or not: by it scanner notices repeated member names,
// of which the last one counts.
type wanted struct {
	slot     int
	members  []*wantedMember
	byName   map[string]*wanted // members, when they are many
	elements []*wantedElement   // counted from the start, in order
	fromEnd  []*wantedElement   // counted from the end: -1 is the last
	each     *wantedEach
}

type wantedMember struct {
	name  string
	place *wanted
}

type wantedElement struct {
	index int
	place *wanted
}

// each is a list of texts: of the elements of an array, or of one member of
// every element. It is what decides most conditions of the form
// any(data.items, .sku == "x") without running them.
type each struct {
	list *path
	key  string // the member, when ofMember
	of   eachOf
	slot int // where a machine keeps the texts
}

type eachOf uint8

const (
	ofElements eachOf = iota
	ofMember
)

// wantedEach is what is collected of the elements of one array.
type wantedEach struct {
	elements int // the slot of their texts, or -1
	members  []eachMember
}

type eachMember struct {
	name string
	slot int
}

// manyMembers is from how many members on a map finds one faster than a walk.
const manyMembers = 8

// newPlan makes the plan of reading these paths and lists.
func newPlan(ps *paths, read []*path, lists []*each) *plan {
	p := &plan{paths: read, each: lists, slots: len(ps.slots), lists: len(ps.lists)}
	if len(read) == 0 {
		return p
	}
	p.root = &wanted{slot: ps.slots[keyOf(nil)]}
	p.places = 1
	for _, r := range read {
		p.place(ps, r)
	}
	for _, e := range lists {
		w := p.place(ps, e.list)
		if w.each == nil {
			w.each = &wantedEach{elements: -1}
		}
		if e.of == ofElements {
			w.each.elements = e.slot
		} else {
			w.each.members = append(w.each.members, eachMember{name: e.key, slot: e.slot})
		}
	}
	return p
}

// with returns the plan of reading something more.
func (p *plan) with(ps *paths, more *reads) *plan {
	if more == nil {
		return p
	}
	read, lists := slices.Clip(p.paths), slices.Clip(p.each)
	for _, r := range more.paths {
		if !slices.Contains(p.paths, r) {
			read = append(read, r)
		}
	}
	for _, e := range more.lists {
		if !slices.Contains(p.each, e) {
			lists = append(lists, e)
		}
	}
	if len(read) == len(p.paths) && len(lists) == len(p.each) {
		return p
	}
	return newPlan(ps, read, lists)
}

// place returns the place of a path, making what is lacking on the way.
func (p *plan) place(ps *paths, to *path) *wanted {
	w := p.root
	for i := range to.steps {
		s := &to.steps[i]
		below := func() *wanted {
			p.places++
			return &wanted{slot: ps.slots[keyOf(to.steps[:i+1])]}
		}
		switch {
		case !s.isIndex:
			w = w.member(s.key, below)
		case s.index >= 0:
			w = indexed(&w.elements, s.index, below)
		default:
			w = indexed(&w.fromEnd, s.index, below)
		}
	}
	return w
}

func (w *wanted) member(name string, place func() *wanted) *wanted {
	if found := w.find(name); found != nil {
		return found
	}
	m := &wantedMember{name: strings.Clone(name), place: place()}
	w.members = append(w.members, m)
	switch {
	case w.byName != nil:
		w.byName[m.name] = m.place
	case len(w.members) > manyMembers:
		w.byName = make(map[string]*wanted, 2*manyMembers)
		for _, m := range w.members {
			w.byName[m.name] = m.place
		}
	}
	return m.place
}

// find returns the place of a member, or nil when it is not read.
func (w *wanted) find(name string) *wanted {
	if w.byName != nil {
		return w.byName[name]
	}
	for _, m := range w.members {
		if m.name == name {
			return m.place
		}
	}
	return nil
}

func indexed(in *[]*wantedElement, index int, place func() *wanted) *wanted {
	i, found := slices.BinarySearchFunc(*in, index, func(e *wantedElement, i int) int { return e.index - i })
	if !found {
		*in = slices.Insert(*in, i, &wantedElement{index: index, place: place()})
	}
	return (*in)[i].place
}
