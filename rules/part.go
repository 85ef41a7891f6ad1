package rules

import (
	"strconv"
	"strings"
	"unicode"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
)

// part is a condition, or a part of one, taken apart for people: Explain shows
// its outcome, tests count what it was seen to be, and lint reasons about it.
// It is evaluated without shortcuts, part by part, and gives what the
// condition gives; a randomized test holds the two together.
type part struct {
	op    connective
	parts []*part    // two or more for and, or; one for not
	leaf  *condition // evaluates the part, for op leaf
	node  ast.Node   // for op leaf
	text  string     // the part in expr's own notation
	at    int        // its place, in characters of the expression
	id    int        // its number in the condition, in the order written
	reads []reading  // the ways into the event it contains, for op leaf
}

// reading is one way into the event and how it is written.
type reading struct {
	name string
	path *path
}

// bench compiles rules once more, for people. It is used by one goroutine.
type bench struct {
	expr *exprCompiler
}

func newBench() *bench { return &bench{expr: newExprCompiler()} }

// machine returns one that has room for everything compiled so far.
func (b *bench) machine(ev *Event) *machine {
	m := newMachine(b.expr.plan())
	m.ev = ev
	return m
}

// parts takes the text of a condition apart. It was compiled before, so that
// nil means it is not set.
func (b *bench) parts(text string) *part {
	if text == "" {
		return nil
	}
	tree, found := b.expr.parse(text)
	if found != nil {
		return nil
	}
	p := b.take(tree.Node, tree.Source)
	if p != nil {
		p.number(0)
	}
	return p
}

// value takes the text of an expression that gives a value as one part; nil
// when it is not set.
func (b *bench) value(text string) *part {
	if text == "" {
		return nil
	}
	tree, found := b.expr.parse(text)
	if found != nil {
		return nil
	}
	program, err := b.expr.program(tree.Node, tree.Source)
	if err != nil {
		return nil
	}
	return &part{
		leaf: &condition{atom: &atom{program: program}}, node: tree.Node,
		text: tree.Node.String(), at: tree.Node.Location().From, reads: b.readings(tree.Node, nil),
	}
}

// number gives the parts their numbers, from n on, and returns the next.
func (p *part) number(n int) int {
	p.id = n
	n++
	for _, c := range p.parts {
		n = c.number(n)
	}
	return n
}

// leaves calls yield for every leaf, in the order written.
func (p *part) leaves(yield func(*part)) {
	if p.op == leaf {
		yield(p)
	}
	for _, c := range p.parts {
		c.leaves(yield)
	}
}

func (b *bench) take(n ast.Node, src file.Source) *part {
	p := &part{text: n.String(), at: n.Location().From}
	switch x := n.(type) {
	case *ast.BinaryNode:
		switch x.Operator {
		case "and", "&&":
			return b.joined(p, and, src, x.Left, x.Right)
		case "or", "||":
			return b.joined(p, or, src, x.Left, x.Right)
		}
	case *ast.UnaryNode:
		if x.Operator == "!" || x.Operator == "not" {
			return b.joined(p, not, src, x.Node)
		}
	}
	c, err := b.expr.split(n, src)
	if err != nil {
		return nil
	}
	p.leaf, p.node, p.reads = c, n, b.readings(n, nil)
	return p
}

// joined makes the parts of an and, or or not. A chain of one connective
// becomes one part with many.
func (b *bench) joined(p *part, op connective, src file.Source, nodes ...ast.Node) *part {
	p.op = op
	for _, n := range nodes {
		c := b.take(n, src)
		switch {
		case c == nil:
			return nil
		case c.op == op && op != not:
			p.parts = append(p.parts, c.parts...)
		default:
			p.parts = append(p.parts, c)
		}
	}
	return p
}

// readings lists the ways into the event that a tree contains, each once.
func (b *bench) readings(n ast.Node, found []reading) []reading {
	if p, ok := pathOf(n); ok {
		r := reading{name: p.name(), path: b.expr.paths.intern(p)}
		for _, f := range found {
			if f.name == r.name {
				return found
			}
		}
		return append(found, r)
	}
	for _, c := range children(n) {
		if c != nil {
			found = b.readings(c, found)
		}
	}
	return found
}

// name writes a path as an expression has it.
func (p *path) name() string {
	if p.field != fieldNone {
		return "event." + eventFields[p.field-1]
	}
	var b strings.Builder
	b.WriteString("data")
	for _, s := range p.steps {
		switch {
		case s.isIndex:
			b.WriteString("[" + strconv.Itoa(s.index) + "]")
		case isIdentifier(s.key):
			b.WriteString("." + s.key)
		default:
			b.WriteString("[" + strconv.Quote(s.key) + "]")
		}
	}
	return b.String()
}

func isIdentifier(s string) bool {
	for i, r := range s {
		if r != '_' && r != '$' && !unicode.IsLetter(r) && (i == 0 || !unicode.IsDigit(r)) {
			return false
		}
	}
	return s != ""
}

// result is what a part gave for an event.
type result struct {
	outcome outcome
	why     *failure  // for error
	parts   []*result // as those of the part
}

// eval evaluates every part, whatever the others gave.
func (p *part) eval(m *machine) *result {
	if p.op == leaf {
		m.begin()
		o, why := p.leaf.eval(m)
		return &result{outcome: o, why: why}
	}
	r := &result{parts: make([]*result, len(p.parts))}
	for i, c := range p.parts {
		r.parts[i] = c.eval(m)
	}
	switch p.op {
	case not:
		r.outcome, r.why = r.parts[0].outcome.swapped(), r.parts[0].why
	case and:
		r.combine(isTrue, &andRank)
	default:
		r.combine(isFalse, &orRank)
	}
	return r
}

func (r *result) combine(start outcome, rank *[4]uint8) {
	r.outcome = start
	for _, p := range r.parts {
		if rank[p.outcome] > rank[r.outcome] {
			r.outcome, r.why = p.outcome, p.why
		}
	}
}
