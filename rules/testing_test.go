package rules

import (
	"strings"
	"testing"
)

// payload is what most tests look at: a value of every JSON type.
const payload = `{
	"text": "abc", "n": 5, "zero": 0, "half": 1.5, "big": 9007199254740993, "yes": true, "no": false, "null": null,
	"items": [{"sku": "a1", "qty": 1}, {"sku": "b2", "qty": 4}], "mixed": [{}, {"qty": 9}], "odd": [{"qty": "many"}],
	"tags": ["x", "y"], "obj": {"b": 1, "a": 2}, "empty": "", "none": [],
	"ip": "10.1.2.3", "ip6": "::ffff:10.1.2.3", "version": "v1.3.0", "secret": "hunter2"
}`

func testEvent() *Event {
	return &Event{
		ID: "evt_1", Type: "label.created", Environment: "production", Source: "shop",
		Timestamp: "2024-01-15T10:30:00Z", Data: []byte(payload),
	}
}

// evaluate returns the outcome of a condition for the test event, and the
// message when it is error.
func evaluate(t *testing.T, text string) (outcome, string) {
	t.Helper()
	c := newExprCompiler()
	cond, found := c.condition(text)
	if found != nil {
		t.Fatalf("%s: %+v", text, found)
	}
	m := newMachine(c.plan())
	m.ev = testEvent()
	m.begin()
	o, why := cond.eval(m)
	if (o == isError) != (why != nil) {
		t.Fatalf("%s: outcome %s with failure %v", text, o, why)
	}
	if why != nil {
		return o, why.msg
	}
	return o, ""
}

// mustCompile compiles a configuration that knows the endpoints a to e.
func mustCompile(t testing.TB, c Config) *Set {
	t.Helper()
	c.Endpoints = append(c.Endpoints, "a", "b", "c", "d", "e")
	s, err := Compile(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// when makes an expression without a place.
func when(text string) Expr { return Expr{Text: text} }

// to makes one chain per argument: "a" or "a backup b c".
func to(chains ...string) []Chain {
	var out []Chain
	for _, c := range chains {
		primary, backups, _ := strings.Cut(c, " backup ")
		out = append(out, Chain{Primary: primary, Backups: strings.Fields(backups)})
	}
	return out
}

// show writes targets as "route>endpoint" or "route>endpoint backup x y".
func show(d Decision) string {
	var out []string
	for _, t := range d.Targets {
		s := t.Route + ">" + t.Endpoint
		if t.BackupsSet {
			s += " backup " + strings.Join(t.Backups, " ")
		}
		out = append(out, s)
	}
	return strings.Join(out, ", ")
}
