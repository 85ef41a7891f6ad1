package rules

import "github.com/expr-lang/expr/ast"

// children returns the direct parts of a node; some may be nil.
func children(n ast.Node) []ast.Node {
	switch x := n.(type) {
	case *ast.UnaryNode:
		return []ast.Node{x.Node}
	case *ast.BinaryNode:
		return []ast.Node{x.Left, x.Right}
	case *ast.ChainNode:
		return []ast.Node{x.Node}
	case *ast.MemberNode:
		return []ast.Node{x.Node, x.Property}
	case *ast.SliceNode:
		return []ast.Node{x.Node, x.From, x.To}
	case *ast.CallNode:
		return append([]ast.Node{x.Callee}, x.Arguments...)
	case *ast.BuiltinNode:
		return x.Arguments
	case *ast.PredicateNode:
		return []ast.Node{x.Node}
	case *ast.VariableDeclaratorNode:
		return []ast.Node{x.Value, x.Expr}
	case *ast.SequenceNode:
		return x.Nodes
	case *ast.ConditionalNode:
		return []ast.Node{x.Cond, x.Exp1, x.Exp2}
	case *ast.ArrayNode:
		return x.Nodes
	case *ast.MapNode:
		return x.Pairs
	case *ast.PairNode:
		return []ast.Node{x.Key, x.Value}
	}
	return nil
}

// countNodes returns the size of a tree.
func countNodes(n ast.Node) int {
	count := 1
	for _, c := range children(n) {
		if c != nil {
			count += countNodes(c)
		}
	}
	return count
}

// literalBytes returns how much text is written out in a tree.
func literalBytes(n ast.Node) int {
	total := 0
	if s, ok := n.(*ast.StringNode); ok {
		total = len(s.Value)
	}
	for _, c := range children(n) {
		if c != nil {
			total += literalBytes(c)
		}
	}
	return total
}

// locate gives conditional expressions, which the parser puts after their end
// or nowhere, the place of their condition.
func locate(n ast.Node) {
	for _, c := range children(n) {
		if c != nil {
			locate(c)
		}
	}
	if x, ok := n.(*ast.ConditionalNode); ok && x.Cond != nil {
		x.SetLocation(x.Cond.Location())
	}
}
