package rules

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/expr-lang/expr/vm"
)

// Compile makes a rule set. Its error is of type Diagnostics and holds every
// mistake of every route and subscription.
func Compile(c Config) (*Set, error) {
	k := setCompiler{config: &c, expr: newExprCompiler(), endpoints: map[string]int{}}
	for _, name := range c.Endpoints {
		k.endpoint(name)
	}
	set := &Set{mode: c.Mode, digest: digest(&c), config: c, backups: c.Backups}
	names := map[string]bool{}
	for i := range c.Routes {
		r := &c.Routes[i]
		set.routes = append(set.routes, k.route(r))
		if names[r.Name] {
			k.refuse("", r.Pos, "", "another route has this name already")
		}
		names[r.Name] = true
	}
	known := maps.Clone(k.endpoints) // subscriptions add theirs, which pick may not name
	for i := range c.Subscriptions {
		set.subs = append(set.subs, k.subscription(&c.Subscriptions[i]))
	}
	if k.found != nil {
		return nil, k.found
	}
	set.endpoints = known
	plan, ids := k.expr.plan(), len(k.endpoints)
	set.pool = sync.Pool{New: func() any {
		return &matcher{machine: newMachine(plan), seen: make([]bool, ids)}
	}}
	return set, nil
}

// setCompiler gathers the parts of a set and the mistakes.
type setCompiler struct {
	config    *Config
	expr      *exprCompiler
	endpoints map[string]int // the number of each name
	found     Diagnostics
	subject   string // of the rule being compiled
}

// endpoint returns the number of a name, a new one for a new name.
func (k *setCompiler) endpoint(name string) int {
	id, ok := k.endpoints[name]
	if !ok {
		id = len(k.endpoints)
		k.endpoints[name] = id
	}
	return id
}

func (k *setCompiler) refuse(field string, pos Pos, hint, format string, args ...any) {
	k.found = append(k.found, Diagnostic{
		Subject: k.subject, Field: field, Pos: pos, Message: fmt.Sprintf(format, args...), Hint: hint,
	})
}

// refuseExpr reports the mistakes of one expression, in the order of its text.
func (k *setCompiler) refuseExpr(field string, e Expr, found []mistake) {
	slices.SortStableFunc(found, func(a, b mistake) int { return a.at - b.at })
	for _, m := range found {
		line, snippet := caret(e.Text, m.at)
		k.found = append(k.found, Diagnostic{
			Subject: k.subject, Field: field, Pos: e.Pos.down(line), Message: m.msg, Hint: m.hint, Snippet: snippet,
		})
	}
}

// routeName is what names of routes must look like.
var routeName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

func (k *setCompiler) route(r *Route) route {
	k.subject = fmt.Sprintf("route %q", r.Name)
	if !routeName.MatchString(r.Name) {
		k.refuse("", r.Pos, "", "a name has 1 to 64 of A-Z a-z 0-9 _ and -")
	}
	if len(r.To) == 0 && r.Pick.Text == "" && len(r.Split) == 0 {
		k.refuse("", r.Pos, "", "the route sends nothing: it needs to, pick or split")
	}
	if r.Otherwise && r.When.Text != "" {
		k.refuse("otherwise", r.Pos, "", "a route has either when or otherwise")
	}
	out := route{
		rule:      k.rule(r.Name, r.Pos, r.When, r.OnError),
		otherwise: r.Otherwise,
		stop:      r.Stop,
	}
	for _, c := range r.To {
		out.to = append(out.to, k.chain(r, c))
	}
	if r.Pick.Text != "" {
		p, found := k.expr.pick(r.Pick.Text, k.endpoints)
		k.refuseExpr("pick", r.Pick, found)
		out.pick, out.pickExpr = p, r.Pick
	}
	out.split = k.split(r)
	return out
}

// rule compiles what routes and subscriptions have in common.
func (k *setCompiler) rule(name string, pos Pos, when Expr, e OnError) rule {
	out := rule{name: name, pos: pos, when: when}
	switch e {
	case OnErrorDefault:
		out.hold = k.config.Mode == MatchFirst
	case OnErrorHold:
		out.hold = true
	case OnErrorSkip:
	default:
		k.refuse("on_error", when.Pos, "", "unknown value %d", e)
	}
	if when.Text != "" {
		c, found := k.expr.condition(when.Text)
		k.refuseExpr("when", when, found)
		out.condition = c
	}
	return out
}

func (k *setCompiler) chain(r *Route, c Chain) chain {
	seen := map[string]bool{}
	for _, name := range append([]string{c.Primary}, c.Backups...) {
		if _, known := k.endpoints[name]; !known {
			k.refuse("to", r.Pos, didYouMean(name, sortedNames(k.endpoints)), "unknown endpoint %q", name)
		} else if seen[name] {
			k.refuse("to", r.Pos, "", "%q stands in the chain twice", name)
		}
		seen[name] = true
	}
	return chain{id: k.endpoints[c.Primary], target: Target{
		Route: r.Name, Endpoint: c.Primary,
		Backups: slices.Clone(c.Backups), BackupsSet: len(c.Backups) > 0,
	}}
}

func (k *setCompiler) subscription(s *Subscription) subscription {
	k.subject = fmt.Sprintf("endpoint %q", s.Endpoint)
	if s.Endpoint == "" {
		k.refuse("", s.Pos, "", "the subscription names no endpoint")
	}
	if len(s.Types) == 0 {
		k.refuse("events", s.Pos, "", "the subscription names no event types; * stands for all")
	}
	name := subscriptionPrefix + s.Endpoint
	out := subscription{
		rule:         k.rule(name, s.Pos, s.When, OnErrorDefault),
		environments: slices.Clone(s.Environments),
		tenant:       s.Tenant,
		chain:        chain{id: k.endpoint(s.Endpoint), target: Target{Route: name, Endpoint: s.Endpoint}},
	}
	for _, t := range s.Types {
		p, ok := typePattern(t)
		if !ok {
			k.refuse("events", s.Pos, "", "%q is no event type, prefix.* or *", t)
		}
		out.types = append(out.types, p)
	}
	for _, e := range s.Environments {
		if declared := k.config.Environments; len(declared) > 0 && !slices.Contains(declared, e) {
			k.refuse("environment", s.Pos, didYouMean(e, declared), "unknown environment %q", e)
		}
	}
	return out
}

// eventTypes is a set of event types: one, those below a prefix, or all.
type eventTypes struct {
	text   string
	prefix bool // text is a prefix, with its final dot; "" for all
}

func typePattern(s string) (eventTypes, bool) {
	before, star := strings.CutSuffix(s, "*")
	ok := s != "" && !strings.Contains(before, "*")
	if star && before != "" {
		ok = ok && strings.HasSuffix(before, ".") && before != "."
	}
	return eventTypes{text: before, prefix: star}, ok
}

func (t eventTypes) has(typ string) bool {
	if t.prefix {
		return strings.HasPrefix(typ, t.text) && (t.text == "" || len(typ) > len(t.text))
	}
	return typ == t.text
}

func sortedNames(m map[string]int) []string {
	return slices.Sorted(maps.Keys(m))
}

// rule is what a route and a subscription have in common.
type rule struct {
	name      string
	pos       Pos
	when      Expr
	condition *condition // nil: always
	hold      bool       // what to do on error
}

type route struct {
	rule
	to        []chain
	pick      *vm.Program // nil: none
	pickExpr  Expr
	split     *split // nil: none
	otherwise bool
	stop      bool
}

type subscription struct {
	rule
	types        []eventTypes
	environments []string
	tenant       string
	chain        chain
}

// chain is a target and the number of its endpoint.
type chain struct {
	id     int
	target Target
}
