package rules

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// oracle decides as Match does, by other means: it takes every rule in turn,
// runs every atom on the expr machine, and has the payload from encoding/json.
type oracle struct {
	mode     Mode
	routes   []Route
	subs     []Subscription
	judges   map[string]*judge // by condition
	decided  map[*judge]outcome
	hits     []string // the rules that are true or fail, whether or not they have a say
	compared int      // parts with what expr gives for them
}

func (o *oracle) note(rule string, out outcome) {
	if out == isTrue || out == isError {
		o.hits = append(o.hits, rule+" "+out.String())
	}
}

// found is what the index finds, as the oracle notes it.
func (s *Set) found(ev *Event) (out []string) {
	m := s.matcher(ev)
	defer m.release()
	m.find(s.root)
	for _, h := range m.hits {
		out = append(out, h.rule.name+" "+h.outcome.String())
	}
	return out
}

// judge evaluates one condition.
type judge struct {
	text      string
	condition *condition
	read      []*path
	machine   *machine
	leaves    []untouched
}

// untouched is a part of a condition as rules evaluate it, and the same on expr
// as it comes.
type untouched struct {
	text    string
	leaf    *condition
	machine *machine
	run     func(*Event, any) (bool, error)
}

func newJudge(text string) *judge {
	c := newExprCompiler()
	c.plain = true
	cond, found := c.condition(text)
	if found != nil {
		return nil
	}
	j := &judge{text: text, condition: cond, read: c.paths.reads.paths, machine: newMachine(c.plan())}
	b := newBench()
	b.parts(text).leaves(func(p *part) {
		if run := original(p.text); run != nil && !differs.MatchString(p.text) {
			j.leaves = append(j.leaves, untouched{text: p.text, leaf: p.leaf, run: run})
		}
	})
	for i := range j.leaves {
		j.leaves[i].machine = newMachine(b.expr.plan())
	}
	return j
}

// differs matches what is ours, or is meant to differ from expr: our functions,
// those that stand in for expr's, and ways into a text, which expr takes by the
// byte. (Lists written out, as after in, stand after a space.)
var differs = regexp.MustCompile(`\b(cidr|semver|hash|one|filter|map|count|find|sum|findIndex|keys|get|first|last|trim)\(|[\w)\]"}]\??\.?\[`)

// load gives a machine a payload that has been decoded elsewhere.
func (m *machine) load(ev *Event, read []*path, data any, bad bool) {
	m.release()
	m.ev, m.extracted, m.bad = ev, true, bad
	m.slots = make([]slot, m.plan.slots)
	for _, p := range read {
		v := p.get(data)
		m.slots[p.slot] = slot{value: valueOf(v), boxed: v, isBoxed: true}
	}
}

func valueOf(v any) value {
	switch x := v.(type) {
	case bool:
		return value{kind: kindBool, truth: x}
	case int:
		return value{kind: kindNumber, num: number{i: x, f: float64(x), isInt: true}}
	case float64:
		return value{kind: kindNumber, num: number{f: x}}
	case string:
		return value{kind: kindText, text: x}
	case []any:
		return value{kind: kindList}
	case map[string]any:
		return value{kind: kindObject}
	}
	return value{}
}

// outcome evaluates a condition that is text.
func (o *oracle) outcome(t testing.TB, text string, ev *Event, data any, bad bool) outcome {
	if text == "" {
		return isTrue
	}
	j := o.judges[text]
	if known, ok := o.decided[j]; ok {
		return known
	}
	j.machine.load(ev, j.read, data, bad)
	j.machine.begin()
	out, _ := j.condition.eval(j.machine)
	o.decided[j] = out
	if !bad {
		o.compared += j.compareWithExpr(t, ev, data)
	}
	return out
}

// compareWithExpr holds the parts of a condition to what expr gives for them,
// where it has an answer. A value that is nil as a whole is false to expr and
// missing to us.
func (j *judge) compareWithExpr(t testing.TB, ev *Event, data any) (compared int) {
	t.Helper()
	for i := range j.leaves {
		l := &j.leaves[i]
		want, err := l.run(ev, data)
		if err != nil {
			continue
		}
		l.machine.release()
		l.machine.ev = ev
		l.machine.begin()
		got, why := l.leaf.eval(l.machine)
		if got != outcomeOf(want) && (got != isMissing || want) {
			t.Fatalf("%s\nover %s\nours: %s %v, expr: %v", l.text, ev.Data, got, why, want)
		}
		compared++
	}
	return compared
}

// decide is Match, rule by rule.
func (o *oracle) decide(t testing.TB, ev *Event) Decision {
	data, err := reference(ev.Data)
	bad := err != nil && len(ev.Data) > 0
	if bad {
		data = nil
	}
	o.decided, o.hits = map[*judge]outcome{}, nil
	for _, r := range o.routes {
		o.note(r.Name, o.outcome(t, r.When.Text, ev, data, bad))
	}
	var d Decision
	matched := false
	add := func(rule, endpoint string) {
		matched = true
		if !slices.ContainsFunc(d.Targets, func(t Target) bool { return t.Endpoint == endpoint }) {
			d.Targets = append(d.Targets, Target{Route: rule, Endpoint: endpoint})
		}
	}
	fail := func(rule string, hold bool) {
		d.Errors = append(d.Errors, RouteError{Route: rule, Field: "when", Held: hold})
		if hold {
			d.Held = append(d.Held, rule)
		}
	}
	for _, r := range o.routes {
		hold := r.OnError == OnErrorHold || r.OnError == OnErrorDefault && o.mode == MatchFirst
		last := o.mode == MatchFirst || r.Stop
		out := o.outcome(t, r.When.Text, ev, data, bad)
		switch out {
		case isTrue:
			for _, c := range r.To {
				add(r.Name, c.Primary)
			}
		case isError:
			fail(r.Name, hold)
		case isFalse, isMissing:
		}
		if last && (out == isTrue || out == isError && hold) {
			break
		}
	}
	for _, s := range o.subs {
		if s.Tenant != "" && s.Tenant != ev.Tenant || len(s.Environments) > 0 && !slices.Contains(s.Environments, ev.Environment) ||
			!slices.ContainsFunc(s.Types, func(p string) bool { return subscribes(p, ev.Type) }) {
			continue
		}
		out := o.outcome(t, s.When.Text, ev, data, bad)
		o.note("endpoint:"+s.Endpoint, out)
		switch out {
		case isTrue:
			add("endpoint:"+s.Endpoint, s.Endpoint)
		case isError:
			fail("endpoint:"+s.Endpoint, o.mode == MatchFirst)
		case isFalse, isMissing:
		}
	}
	if !matched && len(d.Errors) > 0 {
		d.Held = nil
		for i := range d.Errors {
			d.Errors[i].Held = true
			d.Held = append(d.Held, d.Errors[i].Route)
		}
	}
	d.Undecided = len(d.Held) > 0
	return d
}

// subscribes is what an event type pattern means.
func subscribes(pattern, typ string) bool {
	below, star := strings.CutSuffix(pattern, "*")
	return pattern == typ || star && strings.HasPrefix(typ, below) && (below == "" || typ != below)
}

// plainly leaves of a decision what the oracle knows.
func plainly(d Decision) Decision {
	for i := range d.Errors {
		d.Errors[i].Pos, d.Errors[i].Text = Pos{}, ""
	}
	for i := range d.Targets {
		d.Targets[i].Backups = nil
	}
	return d
}

// trial is a rule set and the oracle that knows what it must decide.
type trial struct {
	set    *Set
	oracle oracle
}

// differ makes random trials out of random rules.
type differ struct {
	generator
	judges map[string]*judge
	texts  []string // those of judges
	names  int      // of endpoints given
	counts map[string]int
}

// refresh makes new conditions.
func (g *differ) refresh() {
	g.judges, g.texts = map[string]*judge{}, nil
	for len(g.texts) < 60 {
		text := g.rule(g.IntN(4))
		if j := newJudge(text); j != nil && g.judges[text] == nil {
			g.judges[text] = j
			g.texts = append(g.texts, text)
		}
	}
}

func (g *differ) when() Expr {
	if g.IntN(20) == 0 {
		return Expr{}
	}
	return when(pickOne(g.generator, g.texts...))
}

func (g *differ) routes(n int) []Route {
	out := make([]Route, n)
	for i := range out {
		out[i] = Route{
			Name: fmt.Sprintf("r%d", i), When: g.when(), To: to(pickOne(g.generator, "a", "b", "c", fmt.Sprintf("only%d", i))),
			Stop: g.IntN(40) == 0, OnError: pickOne(g.generator, OnErrorDefault, OnErrorDefault, OnErrorHold, OnErrorSkip),
		}
	}
	return out
}

func (g *differ) subscriptions(n int) []Subscription {
	out := make([]Subscription, n)
	for i := range out {
		g.names++
		s := Subscription{Endpoint: fmt.Sprintf("s%d", g.names), Types: []string{g.pattern()}}
		for g.IntN(3) == 0 {
			s.Types = append(s.Types, g.pattern())
		}
		if g.IntN(2) == 0 {
			s.When = g.when()
		}
		if g.IntN(2) == 0 {
			s.Tenant = pickOne(g.generator, "x", "y", "xy")
		}
		for g.IntN(3) == 0 {
			s.Environments = append(s.Environments, pickOne(g.generator, "production", "x", ""))
		}
		out[i] = s
	}
	return out
}

func (g *differ) pattern() string {
	return pickOne(g.generator, "*", "x", "xy", "label.a", "label.*", "label.a.*", "x.*")
}

// payload makes the data of an event, now and then broken.
func (g *differ) event(t testing.TB) *Event {
	var data any = map[string]any{"a": g.value(3), "b": g.value(3), "c": g.value(2), "d": g.value(2)}
	switch g.IntN(12) {
	case 0:
		data = g.value(3)
	case 1, 2:
		data.(map[string]any)["a"], data.(map[string]any)["b"] = json.RawMessage(g.list(12)), json.RawMessage(g.list(20))
	case 3, 4:
		delete(data.(map[string]any), pickOne(g.generator, "a", "b", "c", "d"))
	}
	b, err := json.Marshal(data)
	if err != nil {
		t.Fatal(err)
	}
	switch g.IntN(30) {
	case 0:
		b = nil
	case 1:
		b = b[:len(b)-1]
	case 2, 3: // a name twice
		again, _ := json.Marshal(g.value(3))
		b = fmt.Appendf(nil, `{"a":%s,"b":%s,"a":%s}`, again, g.list(20), b)
	}
	return &Event{
		ID: g.textValue(), Type: pickOne(g.generator, "x", "xy", "label.a", "label.", "label", "label.a.b", ""), Tenant: g.textValue(),
		Environment: pickOne(g.generator, "production", "x", ""), Data: b,
	}
}

// list makes a long list of texts, and of objects that hold some.
func (g *differ) list(n int) []byte {
	out := make([]any, n)
	for i := range out {
		out[i] = g.textValue()
		if g.IntN(2) == 0 {
			out[i] = map[string]any{pickOne(g.generator, "a", "b"): g.textValue(), "c": g.IntN(2) == 0}
		}
	}
	b, _ := json.Marshal(out)
	return b
}

func (g *differ) textValue() string { return pickOne(g.generator, "x", "xy", "", "label.a", "1", "y") }

// trials makes a set and, by changing it or compiling another from it, more.
func (g *differ) trials(t testing.TB) []trial {
	n := pickOne(g.generator, 1, 5, 20, 20, 60, 60, 300)
	config := Config{
		Mode: pickOne(g.generator, MatchAll, MatchAll, MatchFirst), Routes: g.routes(g.IntN(n + 1)), Subscriptions: g.subscriptions(g.IntN(n + 1)),
	}
	for i := range config.Routes {
		config.Endpoints = append(config.Endpoints, fmt.Sprintf("only%d", i))
	}
	set := mustCompile(t, config)
	o := oracle{mode: config.Mode, routes: config.Routes, subs: config.Subscriptions, judges: g.judges}
	out := []trial{{set, o}}
	for range g.IntN(3) {
		remove := []string{"none"}
		for _, s := range o.subs {
			if g.IntN(4) == 0 {
				remove = append(remove, s.Endpoint)
			}
		}
		add := g.subscriptions(g.IntN(n/2 + 2))
		next, err := set.Change(remove, add)
		if err != nil {
			t.Fatal(err)
		}
		o.subs = slices.DeleteFunc(slices.Clone(o.subs), func(s Subscription) bool { return slices.Contains(remove, s.Endpoint) })
		o.subs = append(o.subs, add...)
		set = next
		out = append(out, trial{set, o})
	}
	if g.IntN(3) == 0 {
		config.Routes = slices.Concat(config.Routes, []Route{{Name: "more", When: g.when(), To: to("d")}})
		config.Subscriptions = o.subs
		config.Endpoints = append(config.Endpoints, "a", "b", "c", "d", "e")
		next, err := set.Recompile(config)
		if err != nil {
			t.Fatal(err)
		}
		o.routes = config.Routes
		out = append(out, trial{next, o})
		if fresh, err := Compile(config); err != nil || fresh.Digest() != next.Digest() || !slices.Equal(fresh.Paths(), next.Paths()) {
			t.Fatalf("recompiled: %v, digest %s, paths %s; compiled: digest %s, paths %s", err, next.Digest(), next.Paths(), fresh.Digest(), fresh.Paths())
		}
	}
	return out
}

// compare holds the decisions of a set to the oracle's.
func (g *differ) compare(t testing.TB, tr *trial, ev *Event) {
	t.Helper()
	got, want := plainly(tr.set.Match(ev)), tr.oracle.decide(t, ev)
	if found := tr.set.found(ev); !reflect.DeepEqual(got, want) || !slices.Equal(found, tr.oracle.hits) {
		for _, r := range tr.oracle.routes {
			t.Logf("%s: %s", r.Name, r.When.Text)
		}
		for _, s := range tr.oracle.subs {
			t.Logf("%+v", s)
		}
		t.Fatalf("%+v\nover %s\ngot  %+v\nwant %+v\nfound %q\nnot   %q", *ev, ev.Data, got, want, found, tr.oracle.hits)
	}
	for _, out := range tr.oracle.decided {
		g.counts[out.String()]++
	}
	g.counts["parts compared with expr"] += tr.oracle.compared
	tr.oracle.compared = 0
	g.counts["pairs"] += len(tr.oracle.routes) + len(tr.oracle.subs)
}

// TestMatchDecidesAsEveryRuleByItself is the proof of the index, of the native
// atoms and of the extraction: random rule sets and changes of them, over
// random events. DIFFERENTIAL=1h makes it run for an hour; CI runs it for one
// minute.
func TestMatchDecidesAsEveryRuleByItself(t *testing.T) {
	t.Parallel()
	duration := 3 * time.Second
	if text := os.Getenv("DIFFERENTIAL"); text != "" {
		var err error
		if duration, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	} else if testing.Short() {
		duration = time.Second
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	g := differ{generator: generator{rand.New(rand.NewPCG(seed, 5))}, counts: map[string]int{}}
	for start, round := time.Now(), 0; time.Since(start) < duration; round++ {
		if round%20 == 0 {
			g.refresh()
		}
		for _, tr := range g.trials(t) {
			for range 12 {
				g.compare(t, &tr, g.event(t))
			}
		}
	}
	t.Logf("%v", g.counts)
	for _, out := range []outcome{isFalse, isTrue, isMissing, isError} {
		if g.counts[out.String()] == 0 {
			t.Errorf("no condition was %s", out)
		}
	}
}
