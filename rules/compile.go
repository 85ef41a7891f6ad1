package rules

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/expr-lang/expr/vm"
)

// Compile makes a rule set. Its error is of type Diagnostics and holds every
// mistake of every route and subscription.
func Compile(c Config) (*Set, error) {
	return compile(c, newFamily(), known{conditions: map[string]compiled{}})
}

func newFamily() *family { return &family{compiler: newExprCompiler()} }

// compile makes a set in a family. Its lock is held when others know it.
func compile(c Config, f *family, old known) (*Set, error) {
	s, err := compileRules(c, f, old)
	if found := checkShapes(catalogOf(&c), c.Routes, c.Subscriptions); len(found) > 0 {
		ds, _ := errors.AsType[Diagnostics](err)
		return nil, append(ds, found...)
	}
	return s, err
}

func compileRules(c Config, f *family, old known) (*Set, error) {
	k := newSetCompiler(c.Mode, f.compiler)
	k.environments, k.old = c.Environments, old
	f.compiler.atoms = map[string]*atom{}
	defer func() { f.compiler.atoms = nil }()
	for _, name := range c.Endpoints {
		k.endpoints[name] = name
	}
	s := &Set{
		mode: c.Mode, family: f, endpoints: k.endpoints, environments: c.Environments, backups: c.Backups,
		routes: make([]*route, len(c.Routes)), nextSub: firstSubscription, catalog: catalogOf(&c),
	}
	all := make([]*rule, 0, len(c.Routes)+len(c.Subscriptions))
	names := map[string]bool{}
	for i := range c.Routes {
		r := k.route(&c.Routes[i])
		s.routes[i] = r
		if names[r.name] {
			k.refuse("", c.Routes[i].Pos, "", "another route has this name already")
		}
		names[r.name] = true
		if r.rule.order = uint64(i+1) * routeStep; r.otherwise {
			s.otherwise = append(s.otherwise, r)
		} else {
			all = append(all, &r.rule)
		}
	}
	subs := make(map[string][]*subscription, len(c.Subscriptions))
	for i := range c.Subscriptions {
		sub := k.subscription(&c.Subscriptions[i])
		sub.order = s.nextSub
		s.nextSub += subscriptionStep
		s.sums.add(sub.sum())
		subs[sub.target.Endpoint] = append(subs[sub.target.Endpoint], sub)
		all = append(all, &sub.rule)
	}
	if k.found != nil {
		return nil, k.found
	}
	bySub := make([]hashed[string, []*subscription], 0, len(subs))
	for name, list := range subs {
		bySub = append(bySub, hashed[string, []*subscription]{keyHash(name), name, list})
	}
	s.subs = tableOf(bySub)
	s.sums.routes = digestRoutes(c.Mode, s.routes)
	s.digest = s.sums.String()
	s.root = newIndex(all)
	s.plan = planOfRules(f.compiler.paths, s.routes, all)
	return s, nil
}

// planOfRules makes the plan of reading what rules read.
func planOfRules(ps *paths, routes []*route, rules []*rule) *plan {
	var all reads
	known := map[*reads]bool{}
	seen := map[*path]bool{}
	lists := map[*each]bool{}
	add := func(r *reads) {
		if r == nil || known[r] {
			return
		}
		known[r] = true
		for _, p := range r.paths {
			if !seen[p] {
				seen[p] = true
				all.paths = append(all.paths, p)
			}
		}
		for _, e := range r.lists {
			if !lists[e] {
				lists[e] = true
				all.lists = append(all.lists, e)
			}
		}
	}
	for i := range routes {
		add(routes[i].reads)
		add(routes[i].pickReads)
		add(routes[i].splitReads)
	}
	for _, r := range rules {
		add(r.reads)
	}
	return newPlan(ps, all.paths, all.lists)
}

// setCompiler gathers the parts of a set and the mistakes.
type setCompiler struct {
	mode         Mode
	expr         *exprCompiler
	endpoints    map[string]string // the names that routes may send to
	environments []string          // the declared ones
	old          known
	found        Diagnostics
	subject      string // of the rule being compiled
}

func newSetCompiler(mode Mode, expr *exprCompiler) *setCompiler {
	return &setCompiler{mode: mode, expr: expr, endpoints: map[string]string{}}
}

// known are expressions that have been compiled before, by their texts.
type known struct {
	conditions map[string]compiled
	picks      map[string]*route // of which the names have been checked
}

type compiled struct {
	condition *condition
	reads     *reads
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

func (k *setCompiler) route(r *Route) *route {
	out := &route{sum: r.sum(), onError: r.OnError}
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
	out.rule = k.rule(r.Name, r.Pos, r.When, r.OnError)
	out.rule.route = out
	out.otherwise, out.stop = r.Otherwise, r.Stop
	for _, c := range r.To {
		out.to = append(out.to, k.chain(r, c))
	}
	if r.Pick.Text != "" {
		k.pick(r, out)
	}
	out.split = k.split(r)
	out.splitReads = k.expr.paths.take()
	return out
}

func (k *setCompiler) pick(r *Route, out *route) {
	out.pickExpr = r.Pick
	if same := k.old.picks[r.Pick.Text]; same != nil {
		out.pick, out.pickReads = same.pick, same.pickReads
		return
	}
	p, found := k.expr.pick(r.Pick.Text, k.endpoints)
	k.refuseExpr("pick", r.Pick, found)
	out.pick, out.pickReads = p, k.expr.paths.take()
}

// rule compiles what routes and subscriptions have in common.
func (k *setCompiler) rule(name string, pos Pos, when Expr, e OnError) rule {
	out := rule{name: name, pos: pos, when: when}
	var ok bool
	if out.hold, ok = e.holds(k.mode); !ok {
		k.refuse("on_error", when.Pos, "", "unknown value %d", e)
	}
	if when.Text == "" {
		return out
	}
	if same, ok := k.old.conditions[when.Text]; ok {
		out.condition, out.reads = same.condition, same.reads
		return out
	}
	c, found := k.expr.condition(when.Text)
	k.refuseExpr("when", when, found)
	out.condition, out.reads = c, k.expr.paths.take()
	if found == nil {
		k.old.conditions[when.Text] = compiled{c, out.reads}
	}
	return out
}

// holds reports whether the rule leaves events undecided, with the default of the
// mode filled in.
func (e OnError) holds(m Mode) (hold, ok bool) {
	if e == OnErrorDefault {
		return m == MatchFirst, true
	}
	return e == OnErrorHold, e <= OnErrorSkip
}

func (k *setCompiler) chain(r *Route, c Chain) Target {
	seen := map[string]bool{}
	for _, name := range append([]string{c.Primary}, c.Backups...) {
		if _, known := k.endpoints[name]; !known {
			k.refuse("to", r.Pos, didYouMean(name, sortedNames(k.endpoints)), "unknown endpoint %q", name)
		} else if seen[name] {
			k.refuse("to", r.Pos, "", "%q stands in the chain twice", name)
		}
		seen[name] = true
	}
	return Target{
		Route: r.Name, Endpoint: c.Primary,
		Backups: slices.Clone(c.Backups), BackupsSet: len(c.Backups) > 0,
	}
}

func (k *setCompiler) subscription(s *Subscription) *subscription {
	k.subject = fmt.Sprintf("endpoint %q", s.Endpoint)
	if s.Endpoint == "" {
		k.refuse("", s.Pos, "", "the subscription names no endpoint")
	}
	if len(s.Types) == 0 {
		k.refuse("events", s.Pos, "", "the subscription names no event types; * stands for all")
	}
	name := subscriptionPrefix + s.Endpoint
	out := &subscription{
		rule:         k.rule(name, s.Pos, s.When, OnErrorDefault),
		types:        make([]eventTypes, 0, len(s.Types)),
		environments: slices.Clone(s.Environments),
		tenant:       s.Tenant,
		target:       Target{Route: name, Endpoint: s.Endpoint},
	}
	out.rule.sub = out
	for _, t := range s.Types {
		p, ok := typePattern(t)
		if !ok {
			k.refuse("events", s.Pos, "", "%q is no event type, prefix.* or *", t)
		}
		out.types = append(out.types, p)
	}
	for _, e := range s.Environments {
		if declared := k.environments; len(declared) > 0 && !slices.Contains(declared, e) {
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

// is reports whether these types are what a pattern says.
func (t eventTypes) is(pattern string) bool {
	before, star := strings.CutSuffix(pattern, "*")
	return before == t.text && star == t.prefix
}

func sortedNames[V any](m map[string]V) []string {
	return slices.Sorted(maps.Keys(m))
}

// wants reports whether the subscription looks at an event at all.
func (s *subscription) wants(ev *Event) bool {
	return (s.tenant == "" || s.tenant == ev.Tenant) &&
		slices.ContainsFunc(s.types, func(t eventTypes) bool { return t.has(ev.Type) }) &&
		(len(s.environments) == 0 || slices.Contains(s.environments, ev.Environment))
}

// patterns returns the types as they were written.
func (s *subscription) patterns() []string {
	out := make([]string, len(s.types))
	for i, t := range s.types {
		if out[i] = t.text; t.prefix {
			out[i] += "*"
		}
	}
	return out
}

// rule is what a route and a subscription have in common.
type rule struct {
	condition *condition // nil: always
	route     *route     // that it is of, or
	sub       *subscription
	order     uint64 // higher than that of the rules before; see renew.go
	reads     *reads // of the condition; nil when it reads no payload
	name      string
	pos       Pos
	when      Expr
	hold      bool // what to do on error
}

type route struct {
	rule
	to         []Target
	pick       *vm.Program // nil: none
	pickExpr   Expr
	split      *split // nil: none
	pickReads  *reads
	splitReads *reads
	otherwise  bool
	stop       bool
	onError    OnError           // as written
	sum        [sha256.Size]byte // of what it says
}

type subscription struct {
	rule
	types        []eventTypes
	environments []string
	tenant       string
	target       Target
}
