package rules

import "github.com/expr-lang/expr/ast"

// native returns the atom for a node of a common shape, or nil.
func native(ps *paths, n ast.Node) *atom {
	a := &atom{}
	var ok bool
	switch x := n.(type) {
	case *ast.BoolNode:
		a.kind, a.truth = constantly, x.Value
		return a
	case *ast.CallNode:
		ok = a.fromCall(x)
	case *ast.BuiltinNode:
		ok = a.fromAny(ps, x)
	case *ast.BinaryNode:
		ok = a.fromBinary(x) || a.fromElement(ps, x)
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
		a.kind, a.glob = matchesGlob, newGlob(x.Arguments[0].(*ast.StringNode).Value)
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
	case "matches":
		a.kind, a.regexp = matchesRegexp, newRegexp(right.(*ast.StringNode).Value)
		return true
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

// membership recognizes path in ["a", 1].
func (a *atom) membership(right ast.Node) bool {
	a.kind = inList
	list, ok := right.(*ast.ArrayNode)
	return ok && a.literals(list.Nodes)
}

// literals takes over a list that holds texts and numbers only.
func (a *atom) literals(nodes []ast.Node) bool {
	for _, e := range nodes {
		if s, ok := e.(*ast.StringNode); ok {
			a.texts = append(a.texts, s.Value)
		} else if n, ok := numberOf(e); ok {
			a.nums = append(a.nums, n)
		} else {
			return false
		}
	}
	return true
}

// fromElement recognizes "x" in path.
func (a *atom) fromElement(ps *paths, x *ast.BinaryNode) bool {
	text, isText := x.Left.(*ast.StringNode)
	list, isPath := pathOf(x.Right)
	if x.Operator != "in" || !isText || !isPath || list.field != fieldNone {
		return false
	}
	a.kind, a.path, a.texts, a.nums, a.orEmpty = hasElement, list, []string{text.Value}, nil, true
	a.each = ps.internEach(list, ofElements, "")
	return true
}

// fromAny recognizes any(path, # == "x") and any(path, .k == "x"), with in for
// ==, with further conditions after an and, and with path ?? [].
func (a *atom) fromAny(ps *paths, x *ast.BuiltinNode) bool {
	if x.Name != "any" || len(x.Arguments) != 2 {
		return false
	}
	list := x.Arguments[0]
	if b, ok := list.(*ast.BinaryNode); ok && b.Operator == "??" {
		empty, ok := b.Right.(*ast.ArrayNode)
		if a.orEmpty = ok && len(empty.Nodes) == 0; !a.orEmpty {
			return false
		}
		list = b.Left
	}
	var ok bool
	if a.path, ok = pathOf(list); !ok || a.path.field != fieldNone {
		return false
	}
	body := x.Arguments[1].(*ast.PredicateNode).Node
	a.kind = anyText
	for { // the first of several: what comes after it is run only for elements that pass it
		b, ok := body.(*ast.BinaryNode)
		if !ok || b.Operator != "and" && b.Operator != "&&" {
			break
		}
		a.kind, body = anyGuarded, b.Left
	}
	of, key, ok := a.elementTexts(body)
	if ok {
		a.each = ps.internEach(a.path, of, key)
	}
	return ok
}

// elementTexts takes over what an element, or a member of it, is compared with.
func (a *atom) elementTexts(body ast.Node) (of eachOf, key string, ok bool) {
	b, ok := body.(*ast.BinaryNode)
	if !ok {
		return 0, "", false
	}
	left, right := b.Left, b.Right
	if _, ok := left.(*ast.StringNode); ok && b.Operator == "==" {
		left, right = right, left
	}
	switch b.Operator {
	case "==":
		ok = a.literals([]ast.Node{right})
	case "in":
		var list *ast.ArrayNode
		if list, ok = right.(*ast.ArrayNode); ok {
			ok = a.literals(list.Nodes)
		}
	default:
		ok = false
	}
	if !ok || len(a.nums) > 0 {
		return 0, "", false
	}
	of = ofElements
	if m, isMember := unchain(left).(*ast.MemberNode); isMember {
		name, isText := m.Property.(*ast.StringNode)
		if !isText {
			return 0, "", false
		}
		of, key, left = ofMember, name.Value, m.Node
	}
	p, isPointer := unchain(left).(*ast.PointerNode)
	return of, key, isPointer && p.Name == ""
}
