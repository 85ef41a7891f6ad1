package rules

import (
	"cmp"
	"slices"
	"strings"
)

// builder gathers rules below the clues that lead to them.
type builder struct {
	depth int
	at    map[*path]*branching
	order []*branching
}

// branching is a branch being made.
type branching struct {
	on    *path
	under map[clue][]filing
	order []clue
}

func (b *builder) file(f *filing, set int) {
	below := f.by(set)
	for _, c := range f.sets[set] {
		at := b.at[c.on]
		if at == nil {
			at = &branching{on: c.on, under: map[clue][]filing{}}
			b.at[c.on] = at
			b.order = append(b.order, at)
		}
		fs, known := at.under[c]
		if !known {
			at.order = append(at.order, c)
		}
		if n := len(fs); n == 0 || fs[n-1].rule != f.rule { // else the clue is written twice
			at.under[c] = append(fs, below)
		}
	}
}

func (b *builder) branches() []branch {
	out := make([]branch, len(b.order))
	for i, at := range b.order {
		out[i] = at.branch(b.depth + 1)
	}
	return out
}

func (b *branching) branch(depth int) branch {
	out, o := branch{on: b.on}, others{}
	var texts, starts, ends entries[string]
	var numbers entries[float64]
	lists := map[*each]*entries[string]{}
	for _, c := range b.order {
		fs := b.under[c]
		switch c.kind {
		case isText:
			texts.add(c.text, divide(fs, depth))
		case startsText:
			starts.add(c.text, divide(fs, depth))
		case endsText:
			ends.add(c.text, divide(fs, depth))
		case holdsText:
			o.inside = append(o.inside, newNeedle(c.text, divide(fs, depth)))
		case isNumber:
			numbers.add(c.num, divide(fs, depth))
		case hasText:
			if lists[c.each] == nil {
				lists[c.each] = &entries[string]{}
			}
			lists[c.each].add(c.text, divide(fs, depth))
		case isAbove, isBelow:
			for i := range fs {
				*o.bounds(c.kind) = append(*o.bounds(c.kind), bound{limit: c.num, leaf: fs[i].leaf()})
			}
		default:
			*o.single(c) = divide(fs, depth)
		}
	}
	byLimit := func(a, b bound) int { return cmp.Compare(a.limit, b.limit) }
	slices.SortStableFunc(o.above, byLimit)
	slices.SortStableFunc(o.below, byLimit)
	slices.SortFunc(o.inside, func(a, b needle) int { return strings.Compare(a.text, b.text) })
	o.starts, o.ends, o.numbers = affixesOf(starts), affixesOf(ends), numbers.table()
	for e, nodes := range lists {
		o.lists = append(o.lists, listBranch{each: e, nodes: nodes.table()})
	}
	slices.SortFunc(o.lists, func(a, b listBranch) int { return a.each.slot - b.each.slot })
	out.texts = texts.table()
	if !o.empty() {
		out.others = &o
	}
	return out
}

func affixesOf(texts entries[string]) affixes {
	var a affixes
	for i := range texts {
		a.note(len(texts[i].key))
	}
	a.nodes = texts.table()
	return a
}

// entries are those of a table of nodes that is being made.
type entries[K comparable] []hashed[K, *node]

func (es *entries[K]) add(key K, n *node) {
	*es = append(*es, hashed[K, *node]{keyHash(key), key, n})
}

func (es entries[K]) table() table[K, *node] { return tableOf(es) }

// note adds a length to those of an affixes that is being made.
func (a *affixes) note(length int) {
	if i, found := slices.BinarySearch(a.lengths, length); !found {
		a.lengths = slices.Insert(slices.Clone(a.lengths), i, length)
	}
}
