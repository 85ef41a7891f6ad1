package rules

import (
	"fmt"
	"slices"
)

// PathChecker holds expressions that give values, such as what a transform
// makes, to the schemas of the events they are evaluated for. It knows these
// from the rules: an endpoint sees the types that the rules which can send to it
// see, as primary or as backup. It is used by one goroutine.
type PathChecker struct {
	config *Config
	shapes shapeChecker
	leads  map[string][]int // by endpoint, the rules to it: routes, and after them subscriptions
	picks  []int            // the routes that can send to any endpoint
	seen   map[int][]string
}

// NewPathChecker makes one for a configuration, of which Compile has found that
// it holds no mistake.
func NewPathChecker(c *Config) *PathChecker {
	return &PathChecker{
		config: c, seen: map[int][]string{},
		shapes: shapeChecker{catalog: catalogOf(c), most: maxExprDiagnostics, bench: newBench()},
	}
}

// Endpoint finds the paths in an expression of an endpoint that no payload of
// the types it gets can hold. Without a schema, and where another type than
// those of the catalog may come, nothing is a mistake. The error is of type
// Diagnostics.
func (p *PathChecker) Endpoint(name, field string, e Expr) error {
	if p.leads == nil {
		p.lead()
	}
	return p.check(fmt.Sprintf("endpoint %q", name), field, e, append(slices.Clip(p.leads[name]), p.picks...))
}

// Route is Endpoint for an expression of a route.
func (p *PathChecker) Route(name, field string, e Expr) error {
	i := slices.IndexFunc(p.config.Routes, func(r Route) bool { return r.Name == name })
	if i < 0 {
		return nil
	}
	return p.check(fmt.Sprintf("route %q", name), field, e, []int{i})
}

func (p *PathChecker) check(subject, field string, e Expr, rules []int) error {
	s := &p.shapes
	if s.catalog.shapes == nil || len(s.catalog.types) == 0 || e.Text == "" {
		return nil
	}
	var types []string
	for _, i := range rules {
		some := p.sees(i)
		if some == nil {
			return nil
		}
		types = append(types, some...)
	}
	slices.Sort(types)
	c := newExprCompiler()
	c.limits = &transformLimits
	tree, found := c.parse(e.Text)
	if found != nil {
		return nil // whoever compiles it says so
	}
	s.subject, s.found = subject, nil
	s.node(slices.Compact(types), tree.Node, field, e)
	if len(s.found) > 0 {
		return s.found
	}
	return nil
}

// lead notes which rules can send to which endpoint.
func (p *PathChecker) lead() {
	p.leads = map[string][]int{}
	to := func(rule int, primary string, backups []string) {
		if len(backups) == 0 {
			backups = p.config.Backups[primary]
		}
		for _, name := range append([]string{primary}, backups...) {
			if of := p.leads[name]; len(of) == 0 || of[len(of)-1] != rule {
				p.leads[name] = append(of, rule)
			}
		}
	}
	for i := range p.config.Routes {
		r := &p.config.Routes[i]
		if r.Pick.Text != "" {
			p.picks = append(p.picks, i)
		}
		for _, c := range r.To {
			to(i, c.Primary, c.Backups)
		}
		for _, s := range r.Split {
			to(i, s.Endpoint, nil)
		}
	}
	for i := range p.config.Subscriptions {
		to(len(p.config.Routes)+i, p.config.Subscriptions[i].Endpoint, nil)
	}
}

// sees lists the event types that a rule can match, as shapeChecker does.
func (p *PathChecker) sees(rule int) []string {
	types, known := p.seen[rule]
	if !known {
		if n := rule - len(p.config.Routes); n >= 0 {
			types = p.shapes.seenBy(&p.config.Subscriptions[n])
		} else {
			types = p.shapes.sees(termOf(p.shapes.bench.parts(p.config.Routes[rule].When.Text)))
		}
		p.seen[rule] = types
	}
	return types
}
