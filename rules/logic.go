package rules

import (
	"slices"

	"github.com/expr-lang/expr/ast"
)

// term is a condition as lint reasons about it. What it says about terms is
// sound and not complete: "implies" and "excludes" hold for every event, while
// the answer no means only that it does not know.
type term struct {
	op   connective
	kids []*term
	key  string // equal for leaves that are the same
	fact *fact  // of a leaf; nil: nothing is known but its key
	part *part  // nil for what a subscription says beside its when
}

// termOf makes the term of a condition; nil for nil, which is always true.
func termOf(p *part) *term {
	if p == nil {
		return nil
	}
	t := &term{op: p.op, part: p}
	if p.op != leaf {
		for _, c := range p.parts {
			t.kids = append(t.kids, termOf(c))
		}
		return t
	}
	node := p.node
	if b, ok := node.(*ast.BinaryNode); ok && b.Operator == "!=" {
		equal := &ast.BinaryNode{Operator: "==", Left: b.Left, Right: b.Right}
		return &term{op: not, part: p, kids: []*term{{key: equal.String(), fact: factOf(equal), part: p}}}
	}
	t.key, t.fact = p.text, factOf(node)
	return t
}

func every(ts []*term, f func(*term) bool) bool {
	return !slices.ContainsFunc(ts, func(t *term) bool { return !f(t) })
}

// implies reports that whenever t is true, so is a. nil is always true.
func (t *term) implies(a *term) bool {
	switch {
	case a == nil:
		return true
	case t == nil:
		return false
	case a.op == and:
		return every(a.kids, t.implies)
	case t.op == or:
		return every(t.kids, func(k *term) bool { return k.implies(a) })
	case t.op == and:
		if slices.ContainsFunc(t.kids, func(k *term) bool { return k.implies(a) }) {
			return true
		}
		return a.op == or && slices.ContainsFunc(a.kids, t.implies)
	case a.op == or:
		return slices.ContainsFunc(a.kids, t.implies)
	case a.op == not:
		return t.denies(a.kids[0])
	case t.op == not:
		return false
	}
	return t.key == a.key && t.key != "" || t.fact != nil && a.fact != nil && t.fact.implies(a.fact)
}

// denies reports that whenever t is true, a is false.
func (t *term) denies(a *term) bool {
	switch {
	case t == nil || a == nil:
		return false
	case t.op == or:
		return every(t.kids, func(k *term) bool { return k.denies(a) })
	case a.op == or:
		return every(a.kids, t.denies)
	case a.op == and:
		return slices.ContainsFunc(a.kids, t.denies)
	case a.op == not:
		return t.implies(a.kids[0])
	case t.op == and:
		return slices.ContainsFunc(t.kids, func(k *term) bool { return k.denies(a) })
	case t.op == not:
		x := t.kids[0]
		if x.op != leaf {
			return false
		}
		if x.key == a.key && x.key != "" {
			return true
		}
		// Outside of all of x's values is outside of a's, when those are fewer.
		return x.fact != nil && a.fact != nil && x.fact.kind == factAmong && a.fact.kind == factAmong && a.fact.implies(x.fact)
	}
	return t.fact != nil && a.fact != nil && t.fact.denies(a.fact)
}

// excludes reports that a and t are never both true.
func (t *term) excludes(a *term) bool {
	switch {
	case t == nil || a == nil:
		return false
	case a.op == or:
		return every(a.kids, t.excludes)
	case t.op == or:
		return every(t.kids, a.excludes)
	case a.op == and:
		return slices.ContainsFunc(a.kids, t.excludes)
	case t.op == and:
		return slices.ContainsFunc(t.kids, a.excludes)
	}
	return t.denies(a) || a.denies(t)
}

// never reports that a term cannot be true. When two of its parts are why, it
// returns them.
func (t *term) never() (bool, [2]*term) {
	var why [2]*term
	switch {
	case t == nil:
		return false, why
	case t.op == leaf:
		if t.key == "false" {
			return true, why
		}
		return t.fact != nil && t.fact.impossible(), why
	case t.op == not:
		return t.kids[0].key == "true", why
	case t.op == or:
		for _, k := range t.kids {
			bad, _ := k.never()
			if !bad {
				return false, why
			}
		}
		return true, why
	}
	if t.leavesNothing() {
		return true, why
	}
	for i, k := range t.kids {
		if bad, why := k.never(); bad {
			return true, why
		}
		for _, before := range t.kids[:i] {
			if before.excludes(k) {
				return true, [2]*term{before, k}
			}
		}
	}
	return false, why
}

// leavesNothing reports that each of the values that one part of an and allows
// is refused by another.
func (t *term) leavesNothing() bool {
	for _, k := range t.kids {
		if f := k.fact; f != nil && f.kind == factAmong && len(f.values) > 1 &&
			!slices.ContainsFunc(f.values, func(v literal) bool { return !t.refuses(f.path, v) }) {
			return true
		}
	}
	return false
}

// refuses reports that the term is not true when a path has this value.
func (t *term) refuses(path string, v literal) bool {
	switch t.op {
	case and:
		return slices.ContainsFunc(t.kids, func(k *term) bool { return k.refuses(path, v) })
	case or:
		return every(t.kids, func(k *term) bool { return k.refuses(path, v) })
	case not:
		k := t.kids[0]
		return k.fact != nil && k.fact.path == path && k.fact.of(v) != isFalse
	default:
		return t.fact != nil && t.fact.path == path && t.fact.of(v) != isTrue
	}
}
