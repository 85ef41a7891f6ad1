package rules

import (
	"fmt"
	"net/netip"
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
	"github.com/expr-lang/expr/ast"
)

// vetter refuses what the language has and rules do not offer, and names that
// do not exist. It goes on after a mistake, unlike expr's own checker, so that
// an author sees all of them at once; what it lets pass is checked for types
// afterwards.
type vetter struct {
	found  []mistake
	limits *limits
	lets   []string // names declared by let, in scope
	loops  int      // how many loop bodies we are inside of
}

// mistake is a diagnostic before it is put in its place.
type mistake struct {
	at   int // in characters of the expression
	msg  string
	hint string
}

// vet returns the mistakes in a parsed expression.
func vet(root ast.Node, b *limits) []mistake {
	if n := countNodes(root); n > b.nodes {
		return []mistake{{msg: fmt.Sprintf("the expression has %d parts; at most %d are allowed", n, b.nodes)}}
	}
	v := vetter{limits: b}
	v.node(root)
	return v.found
}

func (v *vetter) refuse(n ast.Node, hint, format string, args ...any) {
	if len(v.found) < maxExprDiagnostics {
		v.found = append(v.found, mistake{at: n.Location().From, msg: fmt.Sprintf(format, args...), hint: hint})
	}
}

func (v *vetter) nodes(ns ...ast.Node) {
	for _, n := range ns {
		if n != nil {
			v.node(n)
		}
	}
}

func (v *vetter) node(n ast.Node) {
	switch x := n.(type) {
	case *ast.IdentifierNode:
		v.name(x)
	case *ast.UnaryNode, *ast.ChainNode, *ast.SliceNode, *ast.ConditionalNode, *ast.ArrayNode, *ast.PairNode:
		v.nodes(children(n)...)
	case *ast.BinaryNode:
		v.binary(x)
	case *ast.MemberNode:
		v.member(x)
	case *ast.CallNode:
		v.call(x)
	case *ast.BuiltinNode:
		v.builtin(x)
	case *ast.PredicateNode:
		if v.loops == v.limits.loops {
			if v.loops == 1 {
				v.refuse(x, "", "a loop inside a loop is not offered: its cost has no bound")
			} else {
				v.refuse(x, "", "loops lie inside one another deeper than %d: their cost has no bound", v.loops)
			}
			return
		}
		v.loops++
		v.node(x.Node)
		v.loops--
	case *ast.VariableDeclaratorNode:
		v.node(x.Value)
		v.lets = append(v.lets, x.Name)
		v.node(x.Expr)
		v.lets = v.lets[:len(v.lets)-1]
	case *ast.MapNode:
		v.object(x)
	case *ast.BytesNode:
		v.refuse(x, "", "byte strings are not offered")
	case *ast.SequenceNode:
		v.refuse(x.Nodes[len(x.Nodes)-1], "", "an expression is one value: several with ; between them are not offered")
	}
}

func (v *vetter) object(x *ast.MapNode) {
	seen := make(map[string]bool, len(x.Pairs))
	for _, p := range x.Pairs {
		pair, ok := p.(*ast.PairNode)
		if !ok {
			continue
		}
		if key, ok := pair.Key.(*ast.StringNode); !ok {
			v.refuse(pair.Key, "", "a key of an object must be written out")
		} else if seen[key.Value] {
			v.refuse(pair.Key, "", "the key %q stands in the object twice", key.Value)
		} else {
			seen[key.Value] = true
		}
		v.node(pair.Value)
	}
}

func (v *vetter) name(x *ast.IdentifierNode) {
	switch {
	case slices.Contains(v.lets, x.Value) || x.Value == "data":
	case x.Value == "event":
		v.refuse(x, "", "event is not a value of its own: name one of its fields, such as event.type")
	case fieldNamed(x.Value) != fieldNone:
		v.refuse(x, "did you mean event."+x.Value+"?", "unknown name %s", x.Value)
	default:
		hint := didYouMean(x.Value, append([]string{"event", "data"}, v.lets...))
		if c := closest(x.Value, eventFields); hint == "" && c != "" {
			hint = "did you mean event." + c + "?"
		}
		if hint == "" && x.Value[0] != '$' {
			hint = "members of the payload are written data." + x.Value
		}
		v.refuse(x, hint, "unknown name %s", x.Value)
	}
}

func (v *vetter) binary(x *ast.BinaryNode) {
	switch x.Operator {
	case "..":
		v.refuse(x, "", "ranges (..) are not offered: their cost has no bound")
	case "matches":
		v.pattern(x.Right)
	}
	v.nodes(x.Left, x.Right)
}

// pattern checks the right side of matches.
func (v *vetter) pattern(n ast.Node) {
	s, ok := n.(*ast.StringNode)
	if !ok {
		v.refuse(n, "", "the pattern of matches must be written out: its cost has no bound otherwise")
		return
	}
	if len(s.Value) > maxPattern {
		v.refuse(n, "", "the pattern is %d bytes long; at most %d are allowed", len(s.Value), maxPattern)
		return
	}
	if size, err := programSize(s.Value); err != nil {
		v.refuse(n, "", "%s", err)
	} else if size > maxProgram {
		v.refuse(n, "", "the pattern is too costly: it compiles to %d instructions; at most %d are allowed", size, maxProgram)
	}
}

// programSize returns the size of a compiled pattern in instructions.
func programSize(pattern string) (int, error) {
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return 0, fmt.Errorf("reading the pattern: %w", err)
	}
	p, err := syntax.Compile(re.Simplify())
	if err != nil {
		return 0, fmt.Errorf("compiling the pattern: %w", err)
	}
	return len(p.Inst), nil
}

func (v *vetter) member(x *ast.MemberNode) {
	if id, ok := unchain(x.Node).(*ast.IdentifierNode); ok && id.Value == "event" && !slices.Contains(v.lets, "event") {
		name, ok := x.Property.(*ast.StringNode)
		if !ok {
			v.refuse(x.Property, "", "a field of event must be written out, such as event.type")
		} else if fieldNamed(name.Value) == fieldNone {
			hint := "it has " + strings.Join(eventFields, ", ")
			if c := closest(name.Value, eventFields); c != "" {
				hint = "did you mean event." + c + "?"
			}
			v.refuse(x.Property, hint, "unknown field event.%s", name.Value)
		}
		return
	}
	v.nodes(x.Node, x.Property)
}

func (v *vetter) builtin(x *ast.BuiltinNode) {
	if _, ok := offered[x.Name]; !ok {
		v.refuse(x, "", "the function %s is not offered in rules: %s", x.Name, whyNot(x.Name))
	}
	v.nodes(x.Arguments...)
}

// whyNot is the reason why a function of expr is left out.
func whyNot(name string) string {
	switch name {
	case "now", "date", "duration", "timezone":
		return "a decision may depend on nothing but the event"
	case "toPairs", "fromPairs":
		return "its result has no order"
	case "toJSON", "fromJSON":
		return "the payload is decoded already"
	}
	return "its cost has no bound"
}

func (v *vetter) call(x *ast.CallNode) {
	id, ok := x.Callee.(*ast.IdentifierNode)
	if !ok {
		v.refuse(x, "", "only functions can be called, and they stand by themselves, as in lower(data.name)")
		v.nodes(x.Arguments...)
		return
	}
	if _, ok := ownFunctions[id.Value]; !ok {
		if id.Value == "env" {
			v.refuse(x, "", "the function env is not offered in rules: a decision may depend on nothing but the event")
		} else {
			v.refuse(x, didYouMean(id.Value, functionNames), "unknown function %s", id.Value)
		}
	} else {
		v.ownCall(id.Value, x.Arguments)
	}
	v.nodes(x.Arguments...)
}

// ownCall checks what must be written out in calls of our functions, so that
// it is parsed once, and wrongly written ones never reach an event.
func (v *vetter) ownCall(name string, args []ast.Node) {
	switch name {
	case "glob":
		if s, ok := v.literal(args, 0, "the pattern of glob"); ok && len(s) > maxGlob {
			v.refuse(args[0], "", "the pattern is %d bytes long; at most %d are allowed", len(s), maxGlob)
		}
	case "cidr":
		for i := 1; i < len(args); i++ {
			if s, ok := v.literal(args, i, "a network of cidr"); ok {
				if _, err := netip.ParsePrefix(s); err != nil {
					v.refuse(args[i], "", "%q is not a network such as 10.0.0.0/8", s)
				}
			}
		}
	case "semver":
		if s, ok := v.literal(args, 1, "the constraint of semver"); ok {
			if _, err := semver.NewConstraint(s); err != nil {
				v.refuse(args[1], "", "%q is not a version constraint such as >=1.2", s)
			}
		}
	case "has":
		if len(args) == 1 && !isPlace(args[0]) {
			v.refuse(args[0], "", "has takes a path, such as has(data.customer.id)")
		}
	case "hash":
		if len(args) == 2 {
			if n, ok := numberOf(args[1]); ok && n.f < 1 {
				v.refuse(args[1], "", "hash needs a number of buckets of at least 1")
			}
		}
	}
}

func (v *vetter) literal(args []ast.Node, i int, what string) (string, bool) {
	if i >= len(args) {
		return "", false // the checker reports the number of arguments
	}
	s, ok := args[i].(*ast.StringNode)
	if !ok {
		v.refuse(args[i], "", "%s must be written out as a string", what)
		return "", false
	}
	return s.Value, true
}

// isPlace reports whether a node reads a member, an element or a variable, as
// opposed to computing something.
func isPlace(n ast.Node) bool {
	switch unchain(n).(type) {
	case *ast.MemberNode, *ast.IdentifierNode, *ast.PointerNode:
		return true
	}
	return false
}

func unchain(n ast.Node) ast.Node {
	for {
		c, ok := n.(*ast.ChainNode)
		if !ok {
			return n
		}
		n = c.Node
	}
}
