package rules

import (
	"regexp"
	"slices"
	"strings"

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

// factKind is the form of a fact.
type factKind uint8

const (
	factAmong    factKind = iota // the value is one of values
	factPrefix                   // text
	factSuffix                   // text
	factContains                 // text
	factGlob                     // text
	factMatches                  // pattern
	factLess                     // limit; and so on
	factLessOrEqual
	factGreater
	factGreaterOrEqual
	factPresent // has(path)
	factFlag    // the value itself
)

// fact is a comparison of one path with something written out.
type fact struct {
	kind    factKind
	path    string
	field   bool // of event: always a text
	values  []literal
	text    string
	pattern *regexp.Regexp
	limit   float64
}

// literal is a value that can be written out.
type literal struct {
	kind literalKind
	text string
	num  float64
	yes  bool
}

type literalKind uint8

const (
	literalNil literalKind = iota
	literalText
	literalNumber
	literalBool
)

func textLiteral(s string) literal { return literal{kind: literalText, text: s} }

// exactInteger is up to where every integer is a float64 as well. Beyond it
// nothing is said about numbers.
const exactInteger = 1 << 53

// literalOf recognizes a literal.
func literalOf(n ast.Node) (literal, bool) {
	switch x := n.(type) {
	case *ast.StringNode:
		return textLiteral(x.Value), true
	case *ast.BoolNode:
		return literal{kind: literalBool, yes: x.Value}, true
	case *ast.NilNode:
		return literal{}, true
	}
	num, ok := numberOf(n)
	return literal{kind: literalNumber, num: num.f}, ok && num.f >= -exactInteger && num.f <= exactInteger
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

// factOf recognizes a fact; nil when there is none.
func factOf(n ast.Node) *fact {
	switch x := n.(type) {
	case *ast.BinaryNode:
		return factOfBinary(x)
	case *ast.CallNode:
		switch x.Callee.(*ast.IdentifierNode).Value {
		case "has":
			return about(x.Arguments[0], fact{kind: factPresent})
		case "glob":
			if s, ok := x.Arguments[0].(*ast.StringNode); ok {
				return about(x.Arguments[1], fact{kind: factGlob, text: s.Value})
			}
		}
		return nil
	}
	return about(n, fact{kind: factFlag})
}

// about puts a path into a fact; nil when the node is none.
func about(n ast.Node, f fact) *fact {
	p, ok := pathOf(n)
	if !ok {
		return nil
	}
	f.path, f.field = p.name(), p.field != fieldNone
	return &f
}

var factsOfTexts = map[string]factKind{"startsWith": factPrefix, "endsWith": factSuffix, "contains": factContains}

var factsOfNumbers = map[string]factKind{
	"<": factLess, "<=": factLessOrEqual, ">": factGreater, ">=": factGreaterOrEqual,
}

// turned are the operators that mean the same with their sides changed.
var turned = map[string]string{"==": "==", "<": ">", "<=": ">=", ">": "<", ">=": "<="}

func factOfBinary(x *ast.BinaryNode) *fact {
	left, right, op := x.Left, x.Right, x.Operator
	if _, ok := pathOf(left); !ok && turned[op] != "" {
		left, right, op = right, left, turned[op]
	}
	if op == "in" {
		list, ok := right.(*ast.ArrayNode)
		if !ok {
			return nil
		}
		f := fact{kind: factAmong}
		for _, e := range list.Nodes {
			v, ok := literalOf(e)
			if !ok || v.kind == literalNil { // nil is in no list
				return nil
			}
			f.values = append(f.values, v)
		}
		return about(left, f)
	}
	v, ok := literalOf(right)
	if !ok {
		return nil
	}
	if kind, ok := factsOfTexts[op]; ok && v.kind == literalText {
		return about(left, fact{kind: kind, text: v.text})
	}
	if kind, ok := factsOfNumbers[op]; ok && v.kind == literalNumber {
		return about(left, fact{kind: kind, limit: v.num})
	}
	switch op {
	case "==":
		return about(left, fact{kind: factAmong, values: []literal{v}})
	case "matches":
		return about(left, fact{kind: factMatches, pattern: regexp.MustCompile(v.text)}) // vetter has seen it
	}
	return nil
}

// of is what the fact is for a value.
func (f *fact) of(v literal) outcome {
	switch f.kind {
	case factAmong:
		return outcomeOf(slices.Contains(f.values, v))
	case factPresent:
		return outcomeOf(v.kind != literalNil && (!f.field || v.text != ""))
	case factFlag:
		switch v.kind {
		case literalBool:
			return outcomeOf(v.yes)
		case literalNil:
			return isMissing
		case literalText, literalNumber:
		}
		return isError
	case factPrefix, factSuffix, factContains, factGlob, factMatches:
		return f.ofText(v)
	default:
		switch v.kind {
		case literalNumber:
			return outcomeOf(f.holds(v.num))
		case literalNil:
			return isMissing
		case literalText, literalBool:
		}
		return isError
	}
}

func (f *fact) ofText(v literal) outcome {
	switch {
	case v.kind == literalNil && f.kind == factGlob:
		return isMissing
	case v.kind == literalNil:
		return isFalse
	case v.kind != literalText:
		return isError
	}
	switch f.kind {
	case factPrefix:
		return outcomeOf(strings.HasPrefix(v.text, f.text))
	case factSuffix:
		return outcomeOf(strings.HasSuffix(v.text, f.text))
	case factContains:
		return outcomeOf(strings.Contains(v.text, f.text))
	case factGlob:
		return outcomeOf(glob(f.text, v.text))
	default:
		return outcomeOf(f.pattern.MatchString(v.text))
	}
}

// holds compares a number with the limit.
func (f *fact) holds(n float64) bool {
	switch f.kind {
	case factLess:
		return n < f.limit
	case factLessOrEqual:
		return n <= f.limit
	case factGreater:
		return n > f.limit
	default:
		return n >= f.limit
	}
}

func (f *fact) isLimit() bool {
	return f.kind == factLess || f.kind == factLessOrEqual || f.kind == factGreater || f.kind == factGreaterOrEqual
}

func (f *fact) isUpper() bool { return f.kind == factLess || f.kind == factLessOrEqual }

// implies reports that whenever f is true, so is g.
func (f *fact) implies(g *fact) bool {
	if f.path != g.path {
		return false
	}
	switch {
	case f.kind == factAmong:
		return f.all(g, isTrue)
	case f.isLimit() && g.isLimit():
		if f.isUpper() != g.isUpper() {
			return false
		}
		strict := func(x *fact) bool { return x.kind == factLess || x.kind == factGreater }
		if f.limit == g.limit {
			return strict(f) || !strict(g)
		}
		return g.holds(f.limit)
	case g.kind == factPresent:
		// Whatever else is true has a value; of a field one that is not "".
		return !f.field || f.kind == factPresent || f.text != ""
	case f.kind == factFlag:
		return g.of(literal{kind: literalBool, yes: true}) == isTrue
	case f.kind == factPrefix && g.kind == factPrefix:
		return strings.HasPrefix(f.text, g.text)
	case f.kind == factSuffix && g.kind == factSuffix:
		return strings.HasSuffix(f.text, g.text)
	case f.kind == factPrefix, f.kind == factSuffix, f.kind == factContains:
		return g.kind == factContains && strings.Contains(f.text, g.text)
	case f.kind == factGlob && g.kind == factGlob:
		return f.text == g.text
	}
	return false
}

// all reports that g has this outcome for each of f's values.
func (f *fact) all(g *fact, o outcome) bool {
	for _, v := range f.values {
		if f.field && v.kind != literalText {
			continue // a field is never that
		}
		if g.of(v) != o {
			return false
		}
	}
	return true
}

// denies reports that whenever f is true, g is false (not missing, no error).
func (f *fact) denies(g *fact) bool {
	if f.path != g.path {
		return false
	}
	switch {
	case f.kind == factAmong:
		return f.all(g, isFalse)
	case g.kind == factAmong && f.kind != factPresent:
		// g is true or false whatever the value is.
		return !slices.ContainsFunc(g.values, func(v literal) bool { return f.of(v) == isTrue })
	case f.isLimit() && g.isLimit():
		if f.isUpper() == g.isUpper() {
			return false
		}
		if f.limit == g.limit {
			return !f.holds(f.limit) || !g.holds(f.limit)
		}
		return !g.holds(f.limit) && !f.holds(g.limit)
	case f.kind == factPrefix && g.kind == factPrefix:
		return !strings.HasPrefix(f.text, g.text) && !strings.HasPrefix(g.text, f.text)
	case f.kind == factSuffix && g.kind == factSuffix:
		return !strings.HasSuffix(f.text, g.text) && !strings.HasSuffix(g.text, f.text)
	}
	return false
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

// impossible tells that no value makes a fact true.
func (f *fact) impossible() bool {
	if f.kind == factAmong {
		return !slices.ContainsFunc(f.values, func(v literal) bool { return !f.field || v.kind == literalText })
	}
	return f.field && (f.isLimit() || f.kind == factFlag)
}
