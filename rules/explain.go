package rules

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

const (
	// maxExplained and maxExplainedParts bound the rules an explanation shows
	// and the parts of their conditions altogether: an answer stays below some
	// MiB, whatever the rules are.
	maxExplained      = 200
	maxExplainedParts = 4000

	// maxShown is how much of a value is shown, in bytes of JSON.
	maxShown = 200
)

// Explanation says what a rule set makes of one event and why. It shows values
// of the event, unlike the errors of [Decision].
type Explanation struct {
	// Event is the event, without its payload.
	Event ExplainedEvent `json:"event"`
	// Digest is that of the rule set.
	Digest string `json:"digest"`
	// Targets are the deliveries to make, as [Set.Match] decides.
	Targets []ExplainedTarget `json:"targets"`
	// Undecided tells that rules leave the event undecided; Held names them.
	Undecided bool     `json:"undecided"`
	Held      []string `json:"held,omitempty"`
	// Total counts the rules of the set, Eligible the routes and those
	// subscriptions that want the type, tenant and environment of the event.
	Total    int `json:"total"`
	Eligible int `json:"eligible"`
	// Candidates counts the rules that the index leaves, which are those that
	// [Set.Match] evaluates, and the otherwise-routes when it comes to them.
	Candidates int `json:"candidates"`
	// Rules are those explained: the eligible, or the ones asked for. The ones
	// that matched or failed stand for certain; of the others at most 200.
	Rules []RuleExplanation `json:"rules"`
	// Omitted counts the eligible left out.
	Omitted int `json:"omitted,omitempty"`
}

// ExplainedEvent names an event.
type ExplainedEvent struct {
	ID          string `json:"id,omitempty"`
	Type        string `json:"type"`
	Environment string `json:"environment,omitempty"`
	Tenant      string `json:"tenant,omitempty"`
}

// ExplainedTarget is a delivery that a rule asks for.
type ExplainedTarget struct {
	Endpoint string `json:"endpoint"`
	// Backups stand in for it, in order: those that the route names, else the
	// endpoint's own.
	Backups []string `json:"backups,omitempty"`
	// Route is the rule that asks for it.
	Route string `json:"route"`
	// Dropped names the rule before it that made a delivery to this endpoint:
	// this one is not made. Empty for the targets of a decision.
	Dropped string `json:"dropped,omitempty"`
}

// RuleExplanation says what one rule made of the event.
type RuleExplanation struct {
	// Rule is the name of the route, or "endpoint:<name>" for a subscription.
	Rule string `json:"rule"`
	// Pos is where it stands in the configuration; empty when unknown.
	Pos string `json:"pos,omitempty"`
	// Outcome is that of the rule: true, false, missing or error.
	Outcome string `json:"outcome"`
	// Skipped says why the rule had no say, such as "by-carrier decided
	// before"; empty when it had. The outcome is what it would have been.
	Skipped string `json:"skipped,omitempty"`
	// Held tells that the rule leaves the event undecided.
	Held bool `json:"held,omitempty"`
	// When is the condition; nil when the rule has none.
	When *PartExplanation `json:"when,omitempty"`
	// Pick and By are what these gave; nil without one, or when not asked.
	Pick *PartExplanation `json:"pick,omitempty"`
	By   *PartExplanation `json:"by,omitempty"`
	// Targets are the deliveries it asks for.
	Targets []ExplainedTarget `json:"targets,omitempty"`
	// Error is the failure of a rule whose outcome is error.
	Error string `json:"error,omitempty"`
}

// PartExplanation is one part of a condition.
type PartExplanation struct {
	// Text is the part in the language's own notation.
	Text string `json:"text"`
	// Pos is the line it stands on; empty when unknown.
	Pos string `json:"pos,omitempty"`
	// Outcome is true, false, missing or error; for a pick without error it
	// is the picked value in JSON.
	Outcome string `json:"outcome"`
	// Op is and, or, not for a part made of Parts, else empty.
	Op    string            `json:"op,omitempty"`
	Parts []PartExplanation `json:"parts,omitempty"`
	// Values are what the part reads of the event, in the order written.
	Values []ValueExplanation `json:"values,omitempty"`
	// Error says what failed. It names types, not values.
	Error string `json:"error,omitempty"`
}

// ValueExplanation is a value that a part of a condition reads.
type ValueExplanation struct {
	Path string `json:"path"` // such as data.items[0].sku
	// Value is the value; when it is long, a string that holds the beginning
	// of its JSON, and Truncated is set.
	Value     json.RawMessage `json:"value,omitempty"`
	Missing   bool            `json:"missing,omitempty"`
	Truncated bool            `json:"truncated,omitempty"`
}

// Explain says what the set makes of an event, which must not change
// meanwhile, and why. With names (of routes, or "endpoint:<name>") it explains
// only those rules. It takes some 30 µs for each rule shown; it is for people.
func (s *Set) Explain(ev *Event, names ...string) *Explanation {
	d, candidates := s.matchCounting(ev)
	e := explainer{set: s, ev: ev, held: d.Held, makers: map[string]string{}}
	out := &Explanation{
		Event:  ExplainedEvent{ID: ev.ID, Type: ev.Type, Environment: ev.Environment, Tenant: ev.Tenant},
		Digest: s.Digest(), Undecided: d.Undecided, Held: d.Held,
		Targets: make([]ExplainedTarget, len(d.Targets)),
		Total:   len(s.routes) + len(s.subscriptions()), Candidates: candidates,
	}
	for i := range d.Targets {
		out.Targets[i] = s.explainedTarget(&d.Targets[i])
	}
	e.judge(names)
	for i := range e.verdicts {
		if e.verdicts[i].eligible {
			out.Eligible++
		}
	}
	shown := e.choose(names)
	if len(names) == 0 {
		out.Omitted = out.Eligible - len(shown)
	}
	out.Rules = e.describe(shown)
	return out
}

// matchCounting is Match and counts the rules that it evaluated.
func (s *Set) matchCounting(ev *Event) (d Decision, candidates int) {
	m := s.matcher(ev)
	m.met = map[*rule]struct{}{}
	d = m.match()
	candidates = len(m.met)
	m.met = nil
	m.release()
	return d, candidates
}

// explainedTarget is a target with the chain that will be used.
func (s *Set) explainedTarget(t *Target) ExplainedTarget {
	x := ExplainedTarget{Endpoint: t.Endpoint, Backups: t.Backups, Route: t.Route}
	if !t.BackupsSet {
		x.Backups = s.backups[t.Endpoint]
	}
	return x
}

// verdict is what one rule made of the event, before it is explained.
type verdict struct {
	rule     *rule
	pick, by Expr // of a route
	eligible bool
	outcome  outcome
	why      string // the failure, with its line and caret
	skipped  string
	targets  []ExplainedTarget
}

// explainer makes one explanation.
type explainer struct {
	set  *Set
	ev   *Event
	held []string // the rules that leave the event undecided

	verdicts []verdict         // of all routes, then of subscriptions
	makers   map[string]string // by endpoint: the rule that made its delivery
	stopper  string            // the route after which no other is tried
	matched  bool
}

// judge tries the rules in the order of Match, and those that had no say as
// well. Subscriptions that the event is none of are left out unless named.
func (e *explainer) judge(names []string) {
	m := e.set.matcher(e.ev)
	defer m.release()
	e.verdicts = make([]verdict, len(e.set.routes))
	e.judgeRoutes(m, false)
	for _, s := range e.set.subscriptions() {
		v := verdict{rule: &s.rule, skipped: s.excludes(e.ev)}
		switch {
		case v.skipped == "":
			v.eligible = true
			v.try(m)
			e.take(&v)
		case !slices.Contains(names, s.name):
			continue
		}
		e.verdicts = append(e.verdicts, v)
	}
	e.judgeRoutes(m, true)
}

func (e *explainer) judgeRoutes(m *matcher, otherwise bool) {
	excuse := ""
	if otherwise {
		switch {
		case e.matched:
			excuse = "another rule matched"
		case e.heldBefore():
			excuse = "the event is undecided"
		}
	}
	for i := range e.set.routes {
		r := e.set.route(i)
		if r.otherwise != otherwise {
			continue
		}
		v := &e.verdicts[i]
		v.rule, v.eligible, v.skipped = &r.rule, true, excuse
		if excuse == "" && e.stopper != "" {
			v.skipped = e.stopper + " came before"
		}
		v.try(m)
		v.pick = r.pickExpr
		if r.split != nil {
			v.by = r.split.expr
		}
		first := e.set.mode == MatchFirst || r.stop
		if v.skipped == "" && first && (v.outcome == isTrue || v.outcome == isError && r.hold) {
			e.stopper = r.name
		}
		e.take(v)
	}
}

// heldBefore reports whether a rule that is no otherwise-route holds the event.
func (e *explainer) heldBefore() bool {
	return slices.ContainsFunc(e.verdicts, func(v verdict) bool {
		return v.rule != nil && v.outcome == isError && v.rule.hold && v.skipped == ""
	})
}

// try evaluates a rule by itself.
func (v *verdict) try(m *matcher) {
	m.out = Decision{}
	clear(m.primary)
	v.outcome = m.alone(v.rule)
	for i := range m.out.Targets {
		v.targets = append(v.targets, m.set.explainedTarget(&m.out.Targets[i]))
	}
	for _, f := range m.out.Errors {
		v.why = f.Text
	}
}

// take notes the deliveries of a rule, or who made them before.
func (e *explainer) take(v *verdict) {
	if v.skipped != "" || v.outcome != isTrue {
		return
	}
	e.matched = true
	for i := range v.targets {
		t := &v.targets[i]
		if maker, made := e.makers[t.Endpoint]; made {
			t.Dropped = maker
		} else {
			e.makers[t.Endpoint] = v.rule.name
		}
	}
}

// excludes says why the subscription does not look at an event; "" if it does.
func (s *subscription) excludes(ev *Event) string {
	switch {
	case !slices.ContainsFunc(s.types, func(t eventTypes) bool { return t.has(ev.Type) }):
		return "it does not subscribe to " + ev.Type
	case s.tenant != "" && s.tenant != ev.Tenant:
		return "it wants events of tenant " + s.tenant + " only"
	case len(s.environments) > 0 && !slices.Contains(s.environments, ev.Environment):
		return "it wants events of environment " + strings.Join(s.environments, " or ") + " only"
	}
	return ""
}

// choose returns which verdicts to explain: those named, or as many as are
// shown, the ones that had an effect first.
func (e *explainer) choose(names []string) []int {
	var ranks [3][]int
	for i := range e.verdicts {
		v := &e.verdicts[i]
		switch {
		case len(names) > 0:
			if slices.Contains(names, v.rule.name) {
				ranks[0] = append(ranks[0], i)
			}
		case v.outcome == isTrue, v.outcome == isError:
			ranks[0] = append(ranks[0], i)
		case v.outcome == isMissing:
			ranks[1] = append(ranks[1], i)
		default:
			ranks[2] = append(ranks[2], i)
		}
	}
	shown := slices.Concat(ranks[:]...)
	shown = shown[:min(len(shown), maxExplained)]
	slices.Sort(shown)
	return shown
}

// describe explains the chosen rules. Their conditions are compiled once more,
// into parts that can be looked at one by one.
func (e *explainer) describe(shown []int) []RuleExplanation {
	b := newBench()
	type taken struct{ when, pick, by *part }
	apart := make([]taken, len(shown))
	for n, i := range shown {
		v := &e.verdicts[i]
		apart[n] = taken{b.parts(v.rule.when.Text), b.value(v.pick.Text), b.value(v.by.Text)}
	}
	t := teller{m: b.machine(e.ev), shown: map[string]ValueExplanation{}}
	left := maxExplainedParts
	out := make([]RuleExplanation, len(shown))
	for n, i := range shown {
		v := &e.verdicts[i]
		x := RuleExplanation{
			Rule: v.rule.name, Pos: v.rule.pos.String(), Outcome: v.outcome.String(), Skipped: v.skipped,
			Held: v.skipped == "" && slices.Contains(e.held, v.rule.name), Targets: v.targets, Error: v.why,
		}
		if c := apart[n].when; c != nil {
			if left -= c.count(); left >= 0 {
				p := t.condition(c, c.eval(t.m), v.rule.when)
				x.When = &p
			}
		}
		if x.When == nil || x.When.Outcome == isTrue.String() {
			x.Pick, x.By = t.value(apart[n].pick, v.pick), t.value(apart[n].by, v.by)
		}
		out[n] = x
	}
	return out
}

// Known returns an error for the first name that is none of the set's rules,
// which are named as [Set.Explain] takes them.
func (s *Set) Known(names ...string) error {
	known := make(map[string]int, len(s.routes)+s.subs.size)
	for i := range s.routes {
		known[s.routes[i].name] = i
	}
	for i, sub := range s.subscriptions() {
		known[sub.name] = i
	}
	for _, n := range names {
		if _, ok := known[n]; ok {
			continue
		}
		if hint := didYouMean(n, sortedNames(known)); hint != "" {
			return fmt.Errorf("there is no rule %q; %s", n, hint)
		}
		return fmt.Errorf("there is no rule %q", n)
	}
	return nil
}
