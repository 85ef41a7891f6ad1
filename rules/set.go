package rules

import (
	"slices"
	"strings"
	"sync"
)

// Set is a compiled rule set. It is immutable and safe for concurrent use.
type Set struct {
	mode      Mode
	routes    []route
	subs      []subscription
	endpoints map[string]int // the number of each name that pick may give
	backups   map[string][]string
	digest    string
	config    Config    // as given
	pool      sync.Pool // of *matcher
}

// Digest names the rule set: equal configurations of routes and subscriptions,
// in order and text, have equal digests, whatever lines they stand on. It is
// stored with deliveries, to tell which rules decided.
func (s *Set) Digest() string {
	return s.digest
}

// Match decides about one event, which must not be nil and must not change
// meanwhile.
func (s *Set) Match(ev *Event) Decision {
	m := s.pool.Get().(*matcher)
	m.set, m.machine.ev = s, ev
	m.tryRoutes(false)
	m.trySubscriptions()
	if !m.matched && len(m.out.Held) == 0 {
		m.tryRoutes(true)
	}
	m.settle()
	out := m.out
	m.release()
	s.pool.Put(m)
	return out
}

// matcher is the state of one Match.
type matcher struct {
	set     *Set
	machine *machine
	out     Decision
	matched bool
	seen    []bool // by number of endpoint: is the primary of a target already
}

func (m *matcher) release() {
	m.machine.release()
	m.set, m.out, m.matched = nil, Decision{}, false
	clear(m.seen)
}

// tryRoutes tries the routes that are, or are not, otherwise-routes, in order.
func (m *matcher) tryRoutes(otherwise bool) {
	for i := range m.set.routes {
		r := &m.set.routes[i]
		if r.otherwise != otherwise {
			continue
		}
		first := m.set.mode == MatchFirst || r.stop
		switch m.tryRoute(r) {
		case isTrue:
			m.matched = true
			if first {
				return
			}
		case isError:
			// A held route may turn out to match: then those after it would
			// not have been tried, so they are not.
			if first && r.hold {
				return
			}
		case isFalse, isMissing:
		}
	}
}

// tryRoute evaluates a route and adds its targets when it matches.
func (m *matcher) tryRoute(r *route) outcome {
	if o := m.holds(&r.rule); o != isTrue {
		return o
	}
	var picked *chain
	if r.pick != nil {
		var why *failure
		if picked, why = m.pick(r); why != nil {
			m.fail(&r.rule, "pick", r.pickExpr, why)
			return isError
		}
		if picked == nil && len(r.to) == 0 && r.split == nil {
			return isMissing
		}
	}
	var chosen *chain
	if r.split != nil {
		var why *failure
		if chosen, why = r.split.choose(m.machine); why != nil {
			m.fail(&r.rule, "by", r.split.expr, why)
			return isError
		}
	}
	for i := range r.to {
		m.add(&r.to[i])
	}
	if picked != nil {
		m.add(picked)
	}
	if chosen != nil {
		m.add(chosen)
	}
	return isTrue
}

func (m *matcher) trySubscriptions() {
	ev := m.machine.ev
	for i := range m.set.subs {
		s := &m.set.subs[i]
		if s.tenant != "" && s.tenant != ev.Tenant ||
			!slices.ContainsFunc(s.types, func(t eventTypes) bool { return t.has(ev.Type) }) ||
			len(s.environments) > 0 && !slices.Contains(s.environments, ev.Environment) {
			continue
		}
		if m.holds(&s.rule) == isTrue {
			m.matched = true
			m.add(&s.chain)
		}
	}
}

// holds evaluates a rule's condition and reports its failure.
func (m *matcher) holds(r *rule) outcome {
	if r.condition == nil {
		return isTrue
	}
	m.machine.begin()
	o, why := r.condition.eval(m.machine)
	if o == isError {
		m.fail(r, "when", r.when, why)
	}
	return o
}

// pick evaluates a route's pick. It returns nil, nil when there is nothing to
// send to.
func (m *matcher) pick(r *route) (*chain, *failure) {
	m.machine.begin()
	v, why := m.machine.run(r.pick)
	if why != nil {
		if why.missing {
			return nil, nil
		}
		return nil, why
	}
	names, why := namesOf(v)
	if why != nil || len(names) == 0 {
		return nil, why
	}
	for _, n := range names {
		if _, known := m.set.endpoints[n]; !known {
			return nil, &failure{msg: "the picked name is no endpoint"}
		}
	}
	t := Target{Route: r.name, Endpoint: names[0]}
	for _, n := range names[1:] {
		if n != t.Endpoint && !slices.Contains(t.Backups, n) {
			t.Backups = append(t.Backups, n)
		}
	}
	t.BackupsSet = len(t.Backups) > 0
	return &chain{id: m.set.endpoints[t.Endpoint], target: t}, nil
}

// namesOf returns what a pick gave as a list.
func namesOf(v any) ([]string, *failure) {
	switch x := v.(type) {
	case nil:
		return nil, nil
	case string:
		return []string{x}, nil
	case []string:
		return x, nil
	case []any:
		out := make([]string, len(x))
		for i, e := range x {
			s, ok := e.(string)
			if !ok {
				return nil, &failure{msg: "pick must give endpoint names; its list holds " + typeName(e)}
			}
			out[i] = s
		}
		return out, nil
	}
	return nil, &failure{msg: "pick must give an endpoint name or a list of them, got " + typeName(v)}
}

// add makes a target of a chain, unless its endpoint has the event already.
func (m *matcher) add(c *chain) {
	if !m.seen[c.id] {
		m.seen[c.id] = true
		m.out.Targets = append(m.out.Targets, c.target)
	}
}

func (m *matcher) fail(r *rule, field string, e Expr, why *failure) {
	line, snippet := caret(e.Text, why.at)
	m.out.Errors = append(m.out.Errors, RouteError{
		Route: r.name, Field: field, Pos: e.Pos.down(line), Text: strings.TrimSuffix(why.msg+"\n"+snippet, "\n"), Held: r.hold,
	})
	if r.hold {
		m.out.Held = append(m.out.Held, r.name)
	}
}

// settle holds an event that would be lost to a failure, and sums up.
func (m *matcher) settle() {
	if !m.matched && len(m.out.Errors) > 0 {
		m.out.Held = nil
		for i := range m.out.Errors {
			m.out.Errors[i].Held = true
			m.out.Held = append(m.out.Held, m.out.Errors[i].Route)
		}
	}
	m.out.Undecided = len(m.out.Held) > 0
}
