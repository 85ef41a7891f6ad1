package rules

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/expr-lang/expr/ast"
)

// any makes an expression of any sort: a node of a random kind, whose parts are
// of random kinds too. Many do not compile, because types do not fit; those are
// left out where it is used. depth is how many levels are below it, in tells
// what can be referred to.
func (g generator) any(depth int, in scope) string {
	if depth == 0 {
		return g.leaf(in)
	}
	sub := func() string { return g.any(g.IntN(depth), in) }
	switch g.IntN(16) {
	case 0:
		return g.leaf(in)
	case 1, 2:
		return "(" + sub() + " " + g.operator() + " " + sub() + ")"
	case 3:
		return "(" + sub() + " matches " + pickOne(g, `"^x"`, `"y$"`, `"^label\\.a"`, `"[a-x]"`, `"^(?i)x"`) + ")"
	case 4:
		return "(" + pickOne(g, "not ", "-") + sub() + ")"
	case 5:
		return "(" + sub() + ")" + pickOne(g, ".a", ".b", "?.a", "?.b?.a", `["c"]`, "[0]", "[-1]", "["+sub()+"]", "?.["+sub()+"]")
	case 6:
		return "(" + sub() + ")[" + pickOne(g, "", sub()) + ":" + pickOne(g, "", sub()) + "]"
	case 7:
		return g.ownCall(sub)
	case 8, 9:
		return g.builtinCall(sub)
	case 10, 11:
		if in.looping {
			return g.leaf(in)
		}
		in.looping = true
		body := g.any(g.IntN(depth), in)
		return pickOne(g, "any", "all", "none", "one", "filter", "map", "count", "find", "sum", "findIndex") + "(" + sub() + ", (" + body + "))"
	case 12:
		v := fmt.Sprintf("v%d", len(in.lets))
		value := sub()
		in.lets = append(slices.Clip(in.lets), v)
		return "(let " + v + " = " + value + "; " + g.any(g.IntN(depth), in) + ")"
	case 13:
		return "(" + sub() + " ? " + sub() + " : " + sub() + ")"
	case 14:
		return "[" + sub() + ", " + sub() + "]"
	default:
		return `{"a": ` + sub() + `, "b": ` + sub() + "}"
	}
}

// scope is what an expression can refer to.
type scope struct {
	lets    []string
	looping bool
}

func (g generator) leaf(in scope) string {
	if in.looping && g.IntN(3) == 0 {
		return pickOne(g, "#", "#.a", ".b", "#?.c")
	}
	if len(in.lets) > 0 && g.IntN(3) == 0 {
		return pickOne(g, in.lets...)
	}
	switch g.IntN(9) {
	case 0:
		return g.text()
	case 1:
		return g.number()
	case 2:
		return pickOne(g, "true", "false", "nil")
	case 3:
		return "data"
	case 4:
		return g.atom()
	}
	return g.anyPath()
}

func (g generator) operator() string {
	return pickOne(g, "==", "!=", "<", "<=", ">", ">=", "+", "-", "*", "/", "%", "**", "and", "or", "in", "not in",
		"contains", "startsWith", "endsWith", "??", "==", "??")
}

func (g generator) ownCall(sub func() string) string {
	switch g.IntN(5) {
	case 0:
		return `glob("` + pickOne(g, "*", "x*", "*y", "?", "label.*", `\\x*`) + `", ` + sub() + ")"
	case 1:
		return "cidr(" + sub() + `, "10.0.0.0/8")`
	case 2:
		return "semver(" + sub() + `, ">=1.2")`
	case 3:
		return "has(" + pickOne(g, g.path(), "("+sub()+").a") + ")"
	}
	return "hash(" + sub() + ", " + sub() + ")"
}

func (g generator) builtinCall(sub func() string) string {
	switch f := pickOne(g, "len", "lower", "upper", "string", "int", "float", "type", "first", "last", "max", "abs", "concat",
		"keys", "get", "trim", "split", "reverse", "flatten", "indexOf"); f {
	case "concat", "get", "split", "indexOf":
		return f + "(" + sub() + ", " + sub() + ")"
	default:
		return f + "(" + sub() + ")"
	}
}

// rule makes a condition such as rules have: clues and other atoms below and,
// or and not, and now and then anything at all.
func (g generator) rule(depth int) string {
	if depth == 0 || g.IntN(4) == 0 {
		switch g.IntN(8) {
		case 0:
			return g.any(3, scope{})
		case 1, 2, 3:
			return g.atom()
		default:
			return g.clue()
		}
	}
	var parts []string
	for range 2 + g.IntN(2) {
		parts = append(parts, g.rule(depth-1))
	}
	switch g.IntN(5) {
	case 0:
		return "not (" + parts[0] + ")"
	case 1, 2, 3:
		return "(" + strings.Join(parts, " and ") + ")"
	}
	return "(" + strings.Join(parts, " or ") + ")"
}

// clue makes one of the atoms that the index knows.
func (g generator) clue() string {
	switch g.IntN(18) {
	case 0, 1, 2:
		return g.anyPath() + " == " + g.text()
	case 3:
		return g.anyPath() + " in [" + g.text() + ", " + pickOne(g, g.text(), g.number()) + ", " + g.text() + "]"
	case 4:
		return g.anyPath() + pickOne(g, " startsWith ", " endsWith ") + g.text()
	case 5:
		return g.path() + " == " + g.number()
	case 6:
		return g.path() + " in [" + g.number() + ", " + g.number() + "]"
	case 7:
		return g.path() + pickOne(g, " < ", " <= ", " > ", " >= ") + g.number()
	case 8:
		return g.path() + " == " + pickOne(g, "true", "false", "nil")
	case 9:
		return `glob("` + pickOne(g, "x*", "*y", "label.*", "x", "", "l*a", "x?", `x\\*`) + `", ` + g.anyPath() + ")"
	case 10:
		return g.anyPath() + " matches " + pickOne(g, `"^x"`, `"^label[.]"`, `"^xy$"`, `"^(?i)x"`, `"x"`, `"^x|y"`, `"[lx]y"`, `"^"`)
	case 11:
		return "not (" + g.anyPath() + " != " + g.text() + ")"
	case 12:
		return g.text() + " in " + g.path()
	case 13, 14:
		return "any(" + g.path() + pickOne(g, "", " ?? []") + ", " + g.element() + pickOne(g, "", "", " and "+pickOne(g, ".b > 1", "true", ".c")) + ")"
	case 15:
		return g.anyPath() + " contains " + pickOne(g, `"x"`, `"y"`, `"xy"`, `"a.b"`, `"el."`, `"*"`)
	case 16:
		return "not (" + g.limit() + pickOne(g, " and ", " or ") + g.limit() + ")"
	}
	return pickOne(g, "has("+g.path()+")", g.path(), "false")
}

// limit makes one of the atoms of which the index knows the negation.
func (g generator) limit() string {
	l := pickOne(g, g.path()+pickOne(g, " < ", " <= ", " > ", " >= ")+g.number(), "has("+g.path()+")", g.path()+" == nil")
	if g.IntN(4) == 0 {
		return "not (" + l + ")"
	}
	return l
}

func (g generator) element() string {
	e := pickOne(g, "#", ".a", ".b", "#.a", `#["a"]`, "#?.a")
	switch g.IntN(3) {
	case 0:
		return e + " in [" + g.text() + ", " + g.text() + "]"
	case 1:
		return g.text() + " == " + e
	}
	return e + " == " + g.text()
}

// kindName is the name of a node's kind.
func kindName(n ast.Node) string {
	return strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%T", n), "*ast."), "Node")
}

// kinds are all kinds of nodes that rules can contain.
var kinds = []string{
	"Nil", "Bool", "Integer", "Float", "String", "Identifier", "Pointer", "Unary", "Binary", "Chain", "Member", "Slice", "Call",
	"Builtin", "Predicate", "VariableDeclarator", "Conditional", "Array", "Map", "Pair",
}

// neverInside says why a kind of node cannot stand directly inside another.
func neverInside(inner, outer string) string {
	switch outer {
	case "Nil", "Bool", "Integer", "Float", "String", "Identifier", "Pointer":
		return "it has no parts"
	case "Map":
		if inner != "Pair" {
			return "it is made of pairs"
		}
		return ""
	case "Chain":
		if inner != "Member" {
			return "it marks a chain of members"
		}
		return ""
	case "Unary":
		switch inner {
		case "Map":
			return "it has no negation"
		}
	}
	switch {
	case inner == "Pair":
		return "it stands in objects only"
	case inner == "Predicate" && outer != "Builtin":
		return "it stands in loops only"
	}
	return ""
}

// sameTree reports whether two trees say the same.
func sameTree(a, b ast.Node) bool {
	if a == nil || b == nil {
		return a == b
	}
	as, bs := children(a), children(b)
	if kindName(a) != kindName(b) || len(as) != len(bs) || len(as) == 0 && a.String() != b.String() {
		return false
	}
	for i := range as {
		if !sameTree(as[i], bs[i]) {
			return false
		}
	}
	return operatorOf(a) == operatorOf(b)
}

func operatorOf(n ast.Node) string {
	switch x := n.(type) {
	case *ast.UnaryNode:
		return x.Operator
	case *ast.BinaryNode:
		return x.Operator
	case *ast.BuiltinNode:
		return x.Name
	}
	return ""
}

// nested counts which kinds of nodes stand directly inside which.
type nested map[[2]string]int

func (s nested) add(n ast.Node) {
	for _, c := range children(n) {
		if c != nil {
			s[[2]string{kindName(c), kindName(n)}]++
			s.add(c)
		}
	}
}

// TestTheGrammarPutsEveryKindOfNodeInsideEveryOther keeps the generator from
// leaving out what the index gets wrong.
func TestTheGrammarPutsEveryKindOfNodeInsideEveryOther(t *testing.T) {
	t.Parallel()
	g := generator{rand.New(rand.NewPCG(1, 4))}
	seen := nested{}
	c, compiled := newExprCompiler(), 0
	for range 60_000 {
		if tree, found := c.parse(g.any(4, scope{})); found == nil {
			seen.add(tree.Node)
			compiled++
		}
	}
	t.Logf("%d compiled", compiled)
	var lacking []string
	for _, outer := range kinds {
		for _, inner := range kinds {
			n, why := seen[[2]string{inner, outer}], neverInside(inner, outer)
			if n == 0 && why == "" {
				lacking = append(lacking, inner+" in "+outer)
			}
			if n > 0 && why != "" {
				t.Errorf("%s in %s: said to be impossible, since %s", inner, outer, why)
			}
		}
	}
	if len(lacking) > 0 {
		t.Errorf("never made: %s", strings.Join(lacking, ", "))
	}
	for pair := range maps.Keys(seen) {
		if !slices.Contains(kinds, pair[0]) || !slices.Contains(kinds, pair[1]) {
			t.Errorf("unknown kind in %v", pair)
		}
	}
}
