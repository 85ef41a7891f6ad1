package rules

import "slices"

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
	texts := map[string]*node{}
	starts, ends := map[string]*node{}, map[string]*node{}
	numbers := map[float64]*node{}
	lists := map[*each]map[string]*node{}
	for _, c := range b.order {
		fs := b.under[c]
		switch c.kind {
		case isText:
			texts[c.text] = divide(fs, depth)
		case startsText:
			starts[c.text] = divide(fs, depth)
		case endsText:
			ends[c.text] = divide(fs, depth)
		case isNumber:
			numbers[c.num] = divide(fs, depth)
		case hasText:
			if lists[c.each] == nil {
				lists[c.each] = map[string]*node{}
			}
			lists[c.each][c.text] = divide(fs, depth)
		case isAbove, isBelow:
			for i := range fs {
				o.bounds(c.kind).add(bound{limit: c.num, leaf: fs[i].leaf()})
			}
		default:
			*o.single(c) = divide(fs, depth)
		}
	}
	o.starts, o.ends, o.numbers = affixesOf(starts), affixesOf(ends), tableOf(numbers)
	for e, nodes := range lists {
		o.lists = append(o.lists, listBranch{each: e, nodes: tableOf(nodes)})
	}
	slices.SortFunc(o.lists, func(a, b listBranch) int { return a.each.slot - b.each.slot })
	out.texts = tableOf(texts)
	if !o.empty() {
		out.others = &o
	}
	return out
}

func affixesOf(nodes map[string]*node) affixes {
	var a affixes
	for text := range nodes {
		a.note(len(text))
	}
	a.nodes = tableOf(nodes)
	return a
}

// note adds a length to those of an affixes that is being made.
func (a *affixes) note(length int) {
	if i, found := slices.BinarySearch(a.lengths, length); !found {
		a.lengths = slices.Insert(slices.Clone(a.lengths), i, length)
	}
}
