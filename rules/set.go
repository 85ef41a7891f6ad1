package rules

import (
	"slices"
	"strings"
	"sync"
)

// Set is a compiled rule set. It is immutable and safe for concurrent use.
type Set struct {
	mode      Mode
	routes    []*route
	otherwise []*route
	subs      table[string, []*subscription] // by endpoint
	nextSub   uint64                         // the order of the next subscription
	moved     []moved                        // rules that stand elsewhere than they say
	root      *node                          // of the index of all rules but otherwise-routes
	plan      *plan

	endpoints    map[string]string // the names that pick may give
	environments []string          // the declared ones
	catalog      catalog
	backups      map[string][]string

	sums   sums
	digest string // of sums
	family *family
}

// family is what sets made from one another share: compiled conditions name
// what they read by numbers that hold for all of them.
type family struct {
	mu       sync.Mutex // held while compiling
	compiler *exprCompiler

	pool sync.Pool // of *matcher
}

// Digest names the rule set: equal configurations of routes and subscriptions
// have equal digests, whatever lines they stand on. The order of routes counts,
// that of subscriptions does not: it changes nothing but the order of targets.
// It is stored with deliveries, to tell which rules decided.
func (s *Set) Digest() string {
	return s.digest
}

// Paths lists the ways into the payload that the rules read, as they are
// written in expressions, sorted. Nothing else of an event's data is looked at.
func (s *Set) Paths() []string {
	out := make([]string, len(s.plan.paths))
	for i, p := range s.plan.paths {
		out[i] = p.name()
	}
	slices.Sort(out)
	return out
}

// Match decides about one event, which must not be nil and must not change
// meanwhile.
func (s *Set) Match(ev *Event) Decision {
	m := s.matcher(ev)
	out := m.match()
	m.release()
	return out
}

func (m *matcher) match() Decision {
	m.find(m.set.root)
	m.tryRoutes()
	m.trySubscriptions()
	if !m.matched && len(m.out.Held) == 0 {
		m.tryOtherwise()
	}
	m.settle()
	return m.out
}

// matcher is the state of one Match.
type matcher struct {
	set     *Set
	event   Event
	machine *machine
	hits    []hit
	tried   int                // how many rules have been evaluated
	met     map[*rule]struct{} // which; nil: nobody asks
	texts   []string           // of lists, while they are being followed
	out     Decision
	matched bool
	primary map[string]struct{} // the endpoints of targets, when they are many
}

// matcher returns a matcher for one event, to be released.
func (s *Set) matcher(ev *Event) *matcher {
	m, _ := s.family.pool.Get().(*matcher)
	if m == nil {
		m = &matcher{machine: newMachine(s.plan)}
	}
	m.set, m.event = s, *ev
	m.machine.plan, m.machine.ev = s.plan, &m.event
	return m
}

func (m *matcher) release() {
	pool := &m.set.family.pool
	m.machine.release()
	clear(m.hits)
	clear(m.texts[:cap(m.texts)])
	clear(m.primary)
	m.set, m.event, m.hits, m.tried, m.texts, m.out, m.matched = nil, Event{}, m.hits[:0], 0, m.texts[:0], Decision{}, false
	if cap(m.texts) > keptTexts {
		m.texts = nil
	}
	pool.Put(m)
}

// tryRoutes applies the routes that hold, in order.
func (m *matcher) tryRoutes() {
	for i := range m.hits {
		if m.hits[i].rule.route == nil || !m.tryRoute(&m.hits[i]) {
			return
		}
	}
}

// tryOtherwise applies the otherwise-routes, in order.
func (m *matcher) tryOtherwise() {
	for _, r := range m.set.otherwise {
		if m.met != nil {
			m.met[&r.rule] = struct{}{}
		}
		if !m.tryRoute(&hit{rule: &r.rule, outcome: isTrue}) {
			return
		}
	}
}

// tryRoute adds the targets of a route that is true, or reports its failure. It
// reports whether later routes are to be tried.
func (m *matcher) tryRoute(h *hit) (further bool) {
	r := h.rule.route
	last := m.set.mode == MatchFirst || r.stop
	o := h.outcome
	if o == isError {
		m.fail(h.rule, "when", h.why)
	} else {
		before := len(m.out.Targets)
		if o = m.apply(r); o == isTrue && len(m.out.Targets) == before {
			m.out.Idle = append(m.out.Idle, r.name)
		}
	}
	switch o {
	case isTrue:
		m.matched = true
		return !last
	case isError:
		// A held route may turn out to match: then those after it would not
		// have been tried, so they are not.
		return !last || !r.hold
	case isFalse, isMissing:
	}
	return true
}

// apply adds the targets of a route.
func (m *matcher) apply(r *route) outcome {
	var picked *Target
	if r.pick != nil {
		var why *failure
		if picked, why = m.pick(r); why != nil {
			m.fail(&r.rule, "pick", why)
			return isError
		}
		if picked == nil && len(r.to) == 0 && r.split == nil {
			return isMissing
		}
	}
	var chosen *Target
	if r.split != nil {
		var why *failure
		if chosen, why = r.split.choose(m.machine); why != nil {
			m.fail(&r.rule, "by", why)
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
	for i := range m.hits {
		h := &m.hits[i]
		switch {
		case h.rule.sub == nil:
		case h.outcome == isError:
			m.fail(h.rule, "when", h.why)
		default:
			m.matched = true
			m.add(&h.rule.sub.target)
		}
	}
}

// holds evaluates a rule's condition.
func (m *matcher) holds(r *rule) (outcome, *failure) {
	if r.sub != nil && !r.sub.wants(m.machine.ev) {
		return isFalse, nil
	}
	if r.condition == nil {
		return isTrue, nil
	}
	m.machine.begin()
	return r.condition.eval(m.machine)
}

// alone tries a rule by itself and adds its targets when it matches.
func (m *matcher) alone(r *rule) outcome {
	o, why := m.holds(r)
	switch {
	case o == isError:
		m.fail(r, "when", why)
	case o == isTrue && r.route != nil:
		return m.apply(r.route)
	case o == isTrue:
		m.add(&r.sub.target)
	}
	return o
}

// pick evaluates a route's pick. It returns nil, nil when there is nothing to
// send to.
func (m *matcher) pick(r *route) (*Target, *failure) {
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
	t := Target{Route: r.name}
	for i, n := range names {
		known, ok := m.set.endpoints[n]
		switch {
		case !ok:
			return nil, &failure{msg: "the picked name is no endpoint"}
		case i == 0:
			t.Endpoint = known
		case known != t.Endpoint && !slices.Contains(t.Backups, known):
			t.Backups = append(t.Backups, known)
		}
	}
	t.BackupsSet = len(t.Backups) > 0
	return &t, nil
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

// fewTargets is up to how many targets are looked through for an endpoint.
const fewTargets = 16

// add adds a target, unless its endpoint has the event already.
func (m *matcher) add(t *Target) {
	ts := m.out.Targets
	if len(ts) <= fewTargets {
		if slices.ContainsFunc(ts, func(have Target) bool { return have.Endpoint == t.Endpoint }) {
			return
		}
	} else {
		if len(m.primary) == 0 {
			m.notePrimaries()
		}
		if _, ok := m.primary[t.Endpoint]; ok {
			return
		}
		m.primary[t.Endpoint] = struct{}{}
	}
	if ts == nil {
		m.out.Targets = make([]Target, 0, len(m.hits))
	}
	m.out.Targets = append(m.out.Targets, *t)
}

func (m *matcher) notePrimaries() {
	if m.primary == nil {
		m.primary = make(map[string]struct{}, 4*fewTargets)
	}
	for i := range m.out.Targets {
		m.primary[m.out.Targets[i].Endpoint] = struct{}{}
	}
}

func (m *matcher) fail(r *rule, field string, why *failure) {
	r = m.set.standing(r)
	e := r.when
	switch field {
	case "pick":
		e = r.route.pickExpr
	case "by":
		e = r.route.split.expr
	}
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
