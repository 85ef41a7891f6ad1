package rules

import (
	"net/netip"
	"slices"

	"github.com/Masterminds/semver/v3"
	"github.com/expr-lang/expr/ast"
)

// rewriter turns a checked expression into the one that is compiled for the
// expr machine: ways into the event become total reads, operations that can
// cost much charge the step budget first, loops charge for every element, and
// our functions get what was parsed of their arguments. All nodes of the
// result are new and carry no types: a program typed by the checker would fail
// where a value is missing. (The parser shares nodes in a < b < c, so the
// given tree must not be changed.)
type rewriter struct {
	paths *paths
	plain bool // patterns are not looked at before they are matched
}

// at puts a new node where the old one was.
func at[N ast.Node](old ast.Node, n N) N {
	n.SetLocation(old.Location())
	return n
}

// call makes a call of one of the functions of funcs.go.
func call(old ast.Node, name string, args ...ast.Node) ast.Node {
	machine := at(old, &ast.IdentifierNode{Value: "$env"})
	return at(old, &ast.CallNode{
		Callee:    at(old, &ast.IdentifierNode{Value: name}),
		Arguments: append([]ast.Node{machine}, args...),
	})
}

func constant(old ast.Node, v any) ast.Node {
	return at(old, &ast.ConstantNode{Value: v})
}

func (w *rewriter) all(ns []ast.Node) []ast.Node {
	out := make([]ast.Node, len(ns))
	for i, n := range ns {
		out[i] = w.node(n)
	}
	return out
}

func (w *rewriter) node(n ast.Node) ast.Node {
	switch x := n.(type) {
	case nil:
		return nil
	case *ast.NilNode:
		return at(n, &ast.NilNode{})
	case *ast.BoolNode:
		return at(n, &ast.BoolNode{Value: x.Value})
	case *ast.IntegerNode:
		return at(n, &ast.IntegerNode{Value: x.Value})
	case *ast.FloatNode:
		return at(n, &ast.FloatNode{Value: x.Value})
	case *ast.StringNode:
		return at(n, &ast.StringNode{Value: x.Value})
	case *ast.PointerNode:
		return at(n, &ast.PointerNode{Name: x.Name})
	case *ast.IdentifierNode, *ast.MemberNode, *ast.ChainNode:
		return w.place(n, fnRead, fnMember)
	case *ast.UnaryNode:
		return at(n, &ast.UnaryNode{Operator: x.Operator, Node: w.node(x.Node)})
	case *ast.BinaryNode:
		return w.binary(x)
	case *ast.SliceNode:
		return at(n, &ast.SliceNode{Node: w.node(x.Node), From: w.node(x.From), To: w.node(x.To)})
	case *ast.CallNode:
		return w.own(x)
	case *ast.BuiltinNode:
		return w.builtin(x)
	case *ast.PredicateNode:
		return at(n, &ast.PredicateNode{Node: w.node(x.Node)})
	case *ast.VariableDeclaratorNode:
		return at(n, &ast.VariableDeclaratorNode{Name: x.Name, Value: w.node(x.Value), Expr: w.node(x.Expr)})
	case *ast.ConditionalNode:
		return at(n, &ast.ConditionalNode{Ternary: x.Ternary, Cond: w.node(x.Cond), Exp1: w.node(x.Exp1), Exp2: w.node(x.Exp2)})
	case *ast.ArrayNode:
		return at(n, &ast.ArrayNode{Nodes: w.all(x.Nodes)})
	case *ast.MapNode:
		return w.object(x)
	}
	// vetter lets nothing else through.
	return n
}

// place rewrites what reads a variable, a member or an element.
func (w *rewriter) place(n ast.Node, read, member string) ast.Node {
	if p, ok := pathOf(n); ok {
		return call(n, read, constant(n, w.paths.intern(p)))
	}
	switch x := n.(type) {
	case *ast.ChainNode:
		return w.place(x.Node, read, member)
	case *ast.MemberNode:
		base := x.Node
		if isPlace(base) {
			return call(n, member, w.place(base, read, member), w.node(x.Property))
		}
		return call(n, member, w.node(base), w.node(x.Property))
	case *ast.IdentifierNode: // declared by let
		return at(n, &ast.IdentifierNode{Value: x.Value})
	}
	return w.node(n)
}

// object rewrites an object into a call that remembers the order of its members.
func (w *rewriter) object(x *ast.MapNode) ast.Node {
	keys, args := make([]string, len(x.Pairs)), make([]ast.Node, len(x.Pairs))
	for i, p := range x.Pairs {
		pair := p.(*ast.PairNode)
		keys[i], args[i] = pair.Key.(*ast.StringNode).Value, w.node(pair.Value)
	}
	return call(x, fnObject, append([]ast.Node{constant(x, keys)}, args...)...)
}

// peek rewrites a part whose value may well be missing.
func (w *rewriter) peek(n ast.Node) ast.Node {
	if isPlace(n) {
		return w.place(n, fnPeek, fnPeekAt)
	}
	return w.node(n)
}

// content are the operators that take a missing value for what it is, and so
// never fail for want of one.
var content = map[string]bool{
	"==": true, "!=": true, "in": true, "startsWith": true, "endsWith": true, "contains": true, "matches": true,
}

func (w *rewriter) binary(x *ast.BinaryNode) ast.Node {
	left, right := w.node(x.Left), w.node(x.Right)
	if content[x.Operator] {
		left, right = w.peek(x.Left), w.peek(x.Right)
	}
	switch x.Operator {
	case "==", "!=":
		if !isScalar(x.Left) && !isScalar(x.Right) {
			left = call(x.Left, fnUseDeep, left, constant(x.Left, 0))
		}
	case "<", ">", "<=", ">=":
		if !isScalar(x.Left) && !isScalar(x.Right) {
			left = w.use(x.Left, left, linear, 0)
		}
	case "contains":
		left = w.use(x.Left, left, linear, 0)
	case "startsWith", "endsWith":
		right = w.use(x.Right, right, linear, 0)
	case "+":
		left, right = w.use(x.Left, left, linear, 1), w.use(x.Right, right, linear, 1)
	case "??":
		left = w.peek(x.Left)
	case "in":
		if !isScalarList(x.Right) {
			return call(x, fnIn, left, right)
		}
	case "matches":
		return call(x, fnMatches, left, constant(x.Right, w.regexp(x.Right.(*ast.StringNode).Value)))
	}
	return at(x, &ast.BinaryNode{Operator: x.Operator, Left: left, Right: right})
}

// use charges for an operand before it is used: steps, and room for each byte
// of text, element or step of what is made of it.
func (w *rewriter) use(old, n ast.Node, c cost, room int) ast.Node {
	if isScalar(old) && literalBytes(old) <= bytesPerStep {
		return n
	}
	switch c {
	case linear:
		return call(old, fnUse, n, constant(old, bytesPerStep), constant(old, room))
	case pieces:
		return call(old, fnUse, n, constant(old, bytesPerPiece), constant(old, room))
	case deep:
		return call(old, fnUseDeep, n, constant(old, room))
	default:
		return n
	}
}

// isScalar reports whether a node is a literal of constant size.
func isScalar(n ast.Node) bool {
	switch n.(type) {
	case *ast.NilNode, *ast.BoolNode, *ast.StringNode:
		return true
	}
	_, ok := numberOf(n)
	return ok
}

func isScalarList(n ast.Node) bool {
	a, ok := n.(*ast.ArrayNode)
	if !ok {
		return false
	}
	for _, e := range a.Nodes {
		if !isScalar(e) {
			return false
		}
	}
	return true
}

func (w *rewriter) own(x *ast.CallNode) ast.Node {
	args := x.Arguments
	switch x.Callee.(*ast.IdentifierNode).Value {
	case "glob":
		return call(x, fnGlob, constant(args[0], w.glob(args[0].(*ast.StringNode).Value)), w.node(args[1]))
	case "cidr":
		prefixes := make([]netip.Prefix, len(args)-1)
		for i, a := range args[1:] {
			prefixes[i] = netip.MustParsePrefix(a.(*ast.StringNode).Value).Masked()
		}
		return call(x, fnCIDR, w.node(args[0]), constant(x, prefixes))
	case "semver":
		c, _ := semver.NewConstraint(args[1].(*ast.StringNode).Value)
		return call(x, fnSemver, w.node(args[0]), constant(x, c))
	case "has":
		p, ok := pathOf(args[0])
		return call(x, fnHas, w.peek(args[0]), constant(x, ok && p.field != fieldNone))
	}
	return call(x, fnHash, w.node(args[0]), w.node(args[1]))
}

func (w *rewriter) glob(pattern string) *globPattern {
	if w.plain {
		return &globPattern{text: pattern}
	}
	return newGlob(pattern)
}

func (w *rewriter) regexp(pattern string) *regexProgram {
	p := newRegexp(pattern)
	if w.plain {
		p.start = ""
	}
	return p
}

// replaced are the functions of expr that one of ours stands in for.
var replaced = map[string]string{
	"trim": fnTrim, "replace": fnReplace, "join": fnJoin, "keys": fnKeys, "values": fnValues, "get": fnMember,
}

// made is what functions make, in bytes for each byte of text, element or step
// of their arguments. Those that are not here make next to nothing.
var made = map[string]int{
	"upper": 2, "lower": 2, // a few characters get longer
	"toBase64": 3, "fromBase64": 1,
	"concat":  5 * valueRoom, // it grows as it goes
	"reverse": valueRoom,
	"max":     valueRoom, "min": valueRoom, "mean": valueRoom, "median": 2 * valueRoom,
	"flatten": 2 * valueRoom, "string": 2 * bytesPerStep,
}

func (w *rewriter) builtin(x *ast.BuiltinNode) ast.Node {
	args := w.all(x.Arguments)
	switch x.Name {
	case "first":
		return call(x, fnMember, args[0], constant(x, 0))
	case "last":
		return call(x, fnMember, args[0], constant(x, -1))
	}
	if name, ok := replaced[x.Name]; ok {
		return call(x, name, args...)
	}
	if x.Name == "split" || x.Name == "splitAfter" {
		return call(x, fnSplit, slices.Insert(args, 2, constant(x, x.Name == "splitAfter"))...)
	}
	for i, a := range x.Arguments {
		args[i] = w.use(a, args[i], offered[x.Name], made[x.Name])
	}
	if loops[x.Name] {
		args[0] = call(x.Arguments[0], fnLoop, args[0], constant(x, bodySteps(x)), constant(x, turnRoom(x.Name, args[1:])))
	}
	return at(x, &ast.BuiltinNode{Name: x.Name, Arguments: args})
}

// loops are the functions that run a body for every element.
var loops = map[string]bool{
	"all": true, "none": true, "any": true, "one": true, "filter": true, "map": true, "count": true, "sum": true,
	"find": true, "findIndex": true, "findLast": true, "findLastIndex": true,
}

// bodySteps is what one turn of a loop costs: its nodes and literals. What
// depends on the event is charged where it is used.
func bodySteps(x *ast.BuiltinNode) int {
	steps := 1
	for _, body := range x.Arguments[1:] {
		steps += countNodes(body)/nodesPerStep + literalBytes(body)/bytesPerStep
	}
	return steps
}

// turnRoom is how much one turn of a loop makes that is not charged where it is
// made. Its body has been rewritten.
func turnRoom(loop string, bodies []ast.Node) int {
	room := 0
	if loop == "map" || loop == "filter" {
		room = 4 * valueRoom // on the machine's stack, which grows as it goes, then in the list
	}
	for _, b := range bodies {
		room += nodeRoom(b)
	}
	return room
}

func nodeRoom(n ast.Node) int {
	room := 0
	switch x := n.(type) {
	case *ast.CallNode:
		room = callRoom
	case *ast.BuiltinNode, *ast.SliceNode:
		room = valueRoom
	case *ast.BinaryNode, *ast.UnaryNode:
		room = valueRoom / 2 // a number on the heap
	case *ast.ArrayNode:
		room = listRoom + valueRoom*len(x.Nodes)
	}
	for _, c := range children(n) {
		if c != nil {
			room += nodeRoom(c)
		}
	}
	return room
}
