package rules

import "github.com/expr-lang/expr/ast"

// native returns the atom for a node of a common shape, or nil.
func native(ps *paths, n ast.Node) *atom {
	a := &atom{at: n.Location().From}
	var ok bool
	switch x := n.(type) {
	case *ast.BoolNode:
		a.kind, a.truth = constantly, x.Value
		return a
	case *ast.CallNode:
		ok = a.fromCall(x)
	case *ast.BinaryNode:
		ok = a.fromBinary(x)
	default:
		a.kind = isFlag
		a.path, ok = pathOf(n)
	}
	if !ok {
		return nil
	}
	a.path = ps.intern(a.path)
	a.data = a.path.field == fieldNone
	return a
}

func (a *atom) fromCall(x *ast.CallNode) (ok bool) {
	switch x.Callee.(*ast.IdentifierNode).Value {
	case "glob":
		a.kind, a.text = matchesGlob, x.Arguments[0].(*ast.StringNode).Value
		a.path, ok = pathOf(x.Arguments[1])
	case "has":
		a.kind = isPresent
		a.path, ok = pathOf(x.Arguments[0])
	}
	return ok
}

func (a *atom) fromBinary(x *ast.BinaryNode) (ok bool) {
	left, right := x.Left, x.Right
	if a.path, ok = pathOf(left); !ok {
		// Only these mean the same with their sides changed.
		switch x.Operator {
		case "==", "<", "<=", ">", ">=":
			left, right, a.flipped = right, left, true
			a.path, ok = pathOf(left)
		}
	}
	if !ok {
		return false
	}
	switch x.Operator {
	case "==":
		return a.equality(right)
	case "in":
		return a.membership(right)
	case "startsWith", "endsWith", "contains":
		a.kind = map[string]atomKind{"startsWith": hasPrefix, "endsWith": hasSuffix, "contains": contains}[x.Operator]
		s, ok := right.(*ast.StringNode)
		if ok {
			a.text = s.Value
		}
		return ok
	case "<", "<=", ">", ">=":
		a.kind = map[string]atomKind{"<": less, "<=": lessOrEqual, ">": greater, ">=": greaterOrEqual}[x.Operator]
		if a.flipped {
			a.kind = mirrored[a.kind]
		}
		a.num, ok = numberOf(right)
		return ok && a.path.field == fieldNone
	}
	return false
}

func (a *atom) equality(right ast.Node) bool {
	switch x := right.(type) {
	case *ast.StringNode:
		a.kind, a.text = equalsText, x.Value
		return true
	case *ast.BoolNode:
		a.kind, a.truth = equalsBool, x.Value
		return true
	case *ast.NilNode:
		a.kind = isNil
		return true
	}
	var ok bool
	a.kind = equalsNumber
	a.num, ok = numberOf(right)
	return ok
}

// membership recognizes path in ["a", "b"].
func (a *atom) membership(right ast.Node) bool {
	list, ok := right.(*ast.ArrayNode)
	if !ok {
		return false
	}
	a.kind = inTexts
	for _, e := range list.Nodes {
		s, ok := e.(*ast.StringNode)
		if !ok {
			return false
		}
		a.texts = append(a.texts, s.Value)
	}
	return true
}
