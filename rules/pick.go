package rules

import (
	"fmt"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/checker/nature"
	"github.com/expr-lang/expr/vm"
)

// pick compiles the text of a pick, whose names must be among the endpoints.
func (c *exprCompiler) pick(text string, endpoints map[string]string) (*vm.Program, []mistake) {
	tree, found := c.parse(text)
	if found != nil {
		return nil, found
	}
	names := pickNames{endpoints: endpoints}
	names.result(tree.Node)
	if names.found != nil {
		return nil, names.found
	}
	if n := tree.Node.Nature(); !isPickType(n, &c.check.NtCache) {
		return nil, []mistake{{at: tree.Node.Location().From, msg: "pick must give an endpoint name or a list of them; this gives " + natureName(n)}}
	}
	p, err := c.program(tree.Node, tree.Source)
	if err != nil {
		return nil, []mistake{compileMistake(err)}
	}
	return p, nil
}

func isPickType(n *nature.Nature, cache *nature.Cache) bool {
	if n.IsUnknown(cache) || n.IsString() || n.Nil {
		return true
	}
	if !n.IsArray() {
		return false
	}
	elem := n.Elem(cache)
	return elem.IsUnknown(cache) || elem.IsString() || elem.Nil
}

// pickNames finds, in the tree of a pick, the literals that may become its
// result, and checks them.
type pickNames struct {
	endpoints map[string]string
	found     []mistake
}

func (p *pickNames) refuse(n ast.Node, hint, format string, args ...any) {
	if len(p.found) < maxExprDiagnostics {
		p.found = append(p.found, mistake{at: n.Location().From, msg: fmt.Sprintf(format, args...), hint: hint})
	}
}

func (p *pickNames) result(n ast.Node) {
	switch x := n.(type) {
	case *ast.ArrayNode:
		p.list(x)
	case *ast.ConditionalNode:
		p.result(x.Exp1)
		p.result(x.Exp2)
	case *ast.VariableDeclaratorNode:
		p.result(x.Expr)
	case *ast.BinaryNode:
		if x.Operator == "??" {
			p.result(x.Left)
			p.result(x.Right)
		}
	case *ast.ChainNode:
		p.result(x.Node)
	case *ast.MemberNode: // {"USPS": "orders"}[data.carrier]
		if m, ok := unchain(x.Node).(*ast.MapNode); ok {
			for _, pair := range m.Pairs {
				p.result(pair.(*ast.PairNode).Value)
			}
		}
	default:
		p.name(n)
	}
}

func (p *pickNames) list(x *ast.ArrayNode) {
	seen := map[string]bool{}
	for _, e := range x.Nodes {
		if s, ok := e.(*ast.StringNode); ok {
			if seen[s.Value] {
				p.refuse(e, "", "%q stands in the list twice", s.Value)
				continue
			}
			seen[s.Value] = true
		}
		p.name(e)
	}
}

func (p *pickNames) name(n ast.Node) {
	if s, ok := n.(*ast.StringNode); ok {
		if _, known := p.endpoints[s.Value]; !known {
			p.refuse(n, didYouMean(s.Value, sortedNames(p.endpoints)), "unknown endpoint %q", s.Value)
		}
		return
	}
	switch n.(type) {
	case *ast.NilNode:
	case *ast.MapNode, *ast.ArrayNode:
		p.refuse(n, "", "pick must give an endpoint name or a list of them")
	default:
		if isScalar(n) {
			p.refuse(n, "", "pick must give an endpoint name or a list of them; this is %s", n.String())
		}
	}
}
