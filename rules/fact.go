package rules

import (
	"regexp"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
)

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

// impossible tells that no value makes a fact true.
func (f *fact) impossible() bool {
	if f.kind == factAmong {
		return !slices.ContainsFunc(f.values, func(v literal) bool { return !f.field || v.kind == literalText })
	}
	return f.field && (f.isLimit() || f.kind == factFlag)
}
