package rules

import (
	"fmt"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
)

// Shapes knows what payloads can hold.
type Shapes interface {
	// Shape tells whether the payload of an event type can hold a path: names
	// of members, and "\x00" for an element of a list. When it cannot, at is
	// the first step that is lacking, and names are those that can stand there.
	Shape(eventType string, path []string) (ok bool, at int, names []string)
	// Digest names what is known: when it stays the same, rules that have been
	// looked at are not looked at again.
	Digest() string
}

// catalog is what is known about event types.
type catalog struct {
	types  []string
	shapes Shapes
}

func catalogOf(c *Config) catalog { return catalog{c.Types, c.Shapes} }

// checkShapes finds paths that no event holds which the rule can see. A rule is
// looked at when its condition or its subscription says what types it sees.
func checkShapes(c catalog, routes []Route, subs []Subscription) Diagnostics {
	if c.shapes == nil || len(c.types) == 0 {
		return nil
	}
	s := shapeChecker{catalog: c, most: maxExprDiagnostics * (len(routes) + len(subs)), bench: newBench()}
	for i := range routes {
		r := &routes[i]
		s.subject = fmt.Sprintf("route %q", r.Name)
		when := s.bench.parts(r.When.Text)
		seen := s.sees(termOf(when))
		s.condition(seen, when, r.When)
		s.value(seen, "pick", r.Pick)
		s.value(seen, "by", r.By)
	}
	for i := range subs {
		sub := &subs[i]
		if sub.When.Text == "" {
			continue
		}
		s.subject = fmt.Sprintf("endpoint %q", sub.Endpoint)
		s.condition(s.seenBy(sub), s.bench.parts(sub.When.Text), sub.When)
	}
	return s.found
}

type shapeChecker struct {
	catalog catalog
	bench   *bench
	most    int // that are reported
	subject string
	found   Diagnostics
}

// sees lists the event types that a rule can match; nil when it may match one
// that is in no catalog.
func (s *shapeChecker) sees(t *term) []string {
	if t == nil || !t.excludes(notices) {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(s.catalog.types), func(typ string) bool { return t.refuses("event.type", textLiteral(typ)) })
}

// seenBy is sees for a subscription.
func (s *shapeChecker) seenBy(sub *Subscription) []string {
	types := make([]eventTypes, len(sub.Types))
	for i, t := range sub.Types {
		types[i], _ = typePattern(t)
	}
	return s.sees(allOf((&subscription{types: types}).term(), termOf(s.bench.parts(sub.When.Text))))
}

func (s *shapeChecker) condition(types []string, p *part, e Expr) {
	if p == nil {
		return
	}
	p.leaves(func(l *part) { s.node(types, l.node, "when", e) })
}

func (s *shapeChecker) value(types []string, field string, e Expr) {
	if p := s.bench.value(e.Text); p != nil {
		s.node(types, p.node, field, e)
	}
}

// node looks at every path in a tree.
func (s *shapeChecker) node(types []string, n ast.Node, field string, e Expr) {
	if len(types) == 0 {
		return
	}
	if p, ok := pathOf(n); ok {
		if p.field == fieldNone {
			s.path(types, p, n, field, e)
		}
		return
	}
	for _, c := range children(n) {
		if c != nil {
			s.node(types, c, field, e)
		}
	}
}

func (s *shapeChecker) path(types []string, p *path, n ast.Node, field string, e Expr) {
	steps := make([]string, len(p.steps))
	for i, st := range p.steps {
		if steps[i] = st.key; st.isIndex {
			steps[i] = "\x00"
		}
	}
	lacking, names := 0, []string(nil)
	for _, t := range types {
		ok, at, some := s.catalog.shapes.Shape(t, steps)
		if ok {
			return
		}
		lacking, names = max(lacking, at), append(names, some...)
	}
	if len(s.found) >= s.most {
		return
	}
	place := (&path{steps: p.steps[:lacking+1]}).name()
	line, snippet := caret(e.Text, stepPlace(n, len(p.steps)-1-lacking))
	s.found = append(s.found, Diagnostic{
		Subject: s.subject, Field: field, Pos: e.Pos.down(line), Snippet: snippet,
		Message: fmt.Sprintf("the schema of %s has no %s", shortList(types), place),
		Hint:    shapeHint(p, lacking, names),
	})
}

func shapeHint(p *path, lacking int, names []string) string {
	if len(names) == 0 || p.steps[lacking].isIndex {
		return ""
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if c := closest(p.steps[lacking].key, names); c != "" {
		return "did you mean " + (&path{steps: append(slices.Clone(p.steps[:lacking]), step{key: c})}).name() + "?"
	}
	return "it has " + shortList(names)
}

// shortList writes up to eight names.
func shortList(names []string) string {
	if len(names) > 8 {
		return strings.Join(names[:8], ", ") + ", …"
	}
	return strings.Join(names, ", ")
}

// stepPlace is where the step of a path stands that is so many before its last.
func stepPlace(n ast.Node, before int) int {
	for {
		switch x := n.(type) {
		case *ast.ChainNode:
			n = x.Node
		case *ast.MemberNode:
			if before == 0 {
				return x.Property.Location().From
			}
			before--
			n = x.Node
		default:
			return n.Location().From
		}
	}
}

// same reports whether what held to one of the catalogs holds to the other.
func (c catalog) same(d catalog) bool {
	if c.shapes == nil || d.shapes == nil {
		return c.shapes == nil // where nothing is known, nothing is a mistake
	}
	return c.shapes.Digest() == d.shapes.Digest() && slices.Equal(c.types, d.types)
}
