package rules

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/expr-lang/expr/ast"
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
		if run := original(p.text); run != nil && !differs.MatchString(p.text) && saysTheSame(p.text, p.node) {
			j.leaves = append(j.leaves, untouched{text: p.text, leaf: p.leaf, run: run})
		}
	})
	for i := range j.leaves {
		j.leaves[i].machine = newMachine(b.expr.plan())
	}
	return j
}

// saysTheSame reports whether a part is what its text says. In expr's notation
// (a ? b : c).d and a ? b : c.d look alike.
func saysTheSame(text string, n ast.Node) bool {
	tree, found := newExprCompiler().parse(text)
	return found == nil && sameTree(tree.Node, n)
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
			before := len(d.Targets)
			for _, c := range r.To {
				add(r.Name, c.Primary)
			}
			if len(d.Targets) == before {
				d.Idle = append(d.Idle, r.Name)
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
