package rules

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/checker"
	"github.com/expr-lang/expr/checker/nature"
	"github.com/expr-lang/expr/compiler"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/vm"
)

// exprCompiler makes conditions and programs from texts. It is used by one
// Compile and not concurrently.
type exprCompiler struct {
	check *conf.Config
	run   *conf.Config
	paths *paths

	limits *limits
	atoms  map[string]*atom // those without a program, while a whole set is compiled

	// plain leaves every atom to the expr machine; the randomized test
	// compares the two.
	plain bool
}

func newExprCompiler() *exprCompiler {
	return &exprCompiler{check: newCheckConfig(), run: newRunConfig(), paths: newPaths(), limits: &conditionLimits}
}

// plan is the plan of reading what everything compiled so far reads.
func (c *exprCompiler) plan() *plan {
	return newPlan(c.paths, c.paths.reads.paths, c.paths.reads.lists)
}

// condition compiles the text of a when.
func (c *exprCompiler) condition(text string) (*condition, []mistake) {
	tree, found := c.parse(text)
	if found != nil {
		return nil, found
	}
	if found := c.mustBeBool(tree.Node); found != nil {
		return nil, found
	}
	cond, err := c.split(tree.Node, tree.Source)
	if err != nil {
		return nil, []mistake{compileMistake(err)}
	}
	return cond, nil
}

// mustBeBool refuses conditions that cannot be true or false, as far as types
// are known before there is an event.
func (c *exprCompiler) mustBeBool(n ast.Node) []mistake {
	switch x := n.(type) {
	case *ast.ConditionalNode:
		return append(c.mustBeBool(x.Exp1), c.mustBeBool(x.Exp2)...)
	case *ast.VariableDeclaratorNode:
		return c.mustBeBool(x.Expr)
	case *ast.BinaryNode:
		switch x.Operator {
		case "+", "-", "*", "/", "%", "**", "^":
			return []mistake{{at: x.Location().From, msg: "a condition must be true or false; the result of " + x.Operator + " is neither"}}
		}
	}
	if t := n.Nature(); !t.IsBool() && !t.IsUnknown(&c.check.NtCache) {
		return []mistake{{at: n.Location().From, msg: "a condition must be true or false; this gives " + natureName(t)}}
	}
	return nil
}

// parse reads, vets and type-checks a text. found is nil when it is fine.
func (c *exprCompiler) parse(text string) (tree *parser.Tree, found []mistake) {
	defer func() {
		// The parser and the checker are not ours; a panic in them must cost
		// one expression, not the process.
		if r := recover(); r != nil {
			tree, found = nil, []mistake{{msg: "the expression cannot be understood"}}
		}
	}()
	if at, problem := checkSource(text, c.limits.source); problem != "" {
		return nil, []mistake{{at: at, msg: problem}}
	}
	tree, err := parser.ParseWithConfig(text, c.check)
	if err != nil {
		return nil, []mistake{exprMistake(err)}
	}
	locate(tree.Node)
	if found := vet(tree.Node, c.limits); found != nil {
		return nil, found
	}
	if _, err := checker.Check(tree, c.check); err != nil {
		return nil, []mistake{exprMistake(err)}
	}
	return tree, nil
}

// unexpectedToken is how the parser says so: with the kind of token, which
// means nothing to the author.
var unexpectedToken = regexp.MustCompile(`^unexpected token \w+\("(.+)"\)$`)

// exprMistake turns an error of the parser or the checker into a mistake.
func exprMistake(err error) mistake {
	if fe, ok := errors.AsType[*file.Error](err); ok {
		msg := plainTypes.Replace(strings.TrimSpace(fe.Message))
		m := mistake{at: fe.From, msg: msg}
		if msg == "unexpected token EOF" {
			m.msg = "the expression ends here, but is not complete"
		} else if t := unexpectedToken.FindStringSubmatch(msg); t != nil {
			m.msg = "unexpected " + t[1]
			switch t[1] {
			case "=":
				m.hint = "did you mean ==?"
			case ":": // braces after a comma begin the body of a loop
				m.hint = "an object made in a loop stands in parentheses, as in map(data.items, ({\"sku\": .sku}))"
			}
		}
		return m
	}
	return mistake{msg: err.Error()}
}

// compileMistake keeps the first line of an error of expr's compiler, which
// appends a stack.
func compileMistake(err error) mistake {
	first, _, _ := strings.Cut(err.Error(), "\n")
	return mistake{msg: "the expression cannot be compiled: " + first}
}

func natureName(n *nature.Nature) string {
	if n.Nil {
		return "nil"
	}
	return plainTypes.Replace(n.String())
}

// split takes a condition apart at and, or and not.
func (c *exprCompiler) split(n ast.Node, src file.Source) (*condition, error) {
	switch x := n.(type) {
	case *ast.BinaryNode:
		switch x.Operator {
		case "and", "&&":
			return c.join(and, src, x.Left, x.Right)
		case "or", "||":
			return c.join(or, src, x.Left, x.Right)
		case "!=":
			equal := at(x, &ast.BinaryNode{Operator: "==", Left: x.Left, Right: x.Right})
			return c.negate(equal, src)
		}
	case *ast.UnaryNode:
		if x.Operator == "!" || x.Operator == "not" {
			return c.negate(x.Node, src)
		}
	}
	a, err := c.atom(n, src)
	if err != nil {
		return nil, err
	}
	return &condition{atom: a, at: int32(n.Location().From), cost: a.cost()}, nil
}

// atom compiles what has no and, or, not.
func (c *exprCompiler) atom(n ast.Node, src file.Source) (a *atom, err error) {
	if !c.plain {
		a = native(c.paths, n)
	}
	switch {
	case a == nil:
		a = &atom{data: readsData(n)}
	case a.each == nil:
		return c.same(a), nil
	}
	a.program, err = c.program(n, src)
	return a, err
}

// same returns an equal atom that has been compiled before, if there is one.
// Many rules ask the same of an event; what they share stays in the processor's
// caches.
func (c *exprCompiler) same(a *atom) *atom {
	if c.atoms == nil {
		return a
	}
	key := fmt.Sprintf("%d %p %q %q %v %v %t %t %p", a.kind, a.path, a.text, a.texts, a.num, a.nums, a.flipped, a.truth, a.regexp)
	if a.glob != nil {
		key += a.glob.text
	}
	if known := c.atoms[key]; known != nil {
		return known
	}
	c.atoms[key] = a
	return a
}

func (c *exprCompiler) negate(n ast.Node, src file.Source) (*condition, error) {
	out, err := c.split(n, src)
	if err != nil {
		return nil, err
	}
	out.negated = !out.negated
	return out, nil
}

func (c *exprCompiler) join(op connective, src file.Source, parts ...ast.Node) (*condition, error) {
	out := &condition{op: op}
	for _, n := range parts {
		p, err := c.split(n, src)
		if err != nil {
			return nil, err
		}
		out.cost = max(out.cost, p.cost)
		if p.op == op && !p.negated {
			out.parts = append(out.parts, p.parts...)
		} else {
			out.parts = append(out.parts, *p)
		}
	}
	slices.SortStableFunc(out.parts, func(a, b condition) int { return int(a.cost) - int(b.cost) })
	out.parts = slices.Clip(out.parts)
	return out, nil
}

// program compiles a checked tree for the expr machine.
func (c *exprCompiler) program(n ast.Node, src file.Source) (*vm.Program, error) {
	w := rewriter{paths: c.paths, plain: c.plain}
	p, err := compiler.Compile(&parser.Tree{Node: w.node(n), Source: src}, c.run)
	if err != nil {
		return nil, fmt.Errorf("compiling: %w", err)
	}
	return p, nil
}

// readsData reports whether a tree reads the payload.
func readsData(n ast.Node) bool {
	if id, ok := n.(*ast.IdentifierNode); ok && id.Value == "data" {
		return true
	}
	return slices.ContainsFunc(children(n), func(c ast.Node) bool { return c != nil && readsData(c) })
}
