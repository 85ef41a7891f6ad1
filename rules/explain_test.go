package rules

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
)

// explained is the configuration and the event of the golden drawing.
func explained(t *testing.T) *Set {
	t.Helper()
	at := func(line int) Pos { return Pos{"Caddyfile", line} }
	return mustCompile(t, Config{
		Backups: map[string][]string{"a": {"e"}, "e": {"c", "d"}},
		Routes: []Route{
			{Name: "labels", Pos: at(2), When: Expr{"event.type startsWith \"label.\"\n&& (data.n > 3 || data.absent == 1)", at(3)}, To: to("a backup b")},
			{Name: "typo", Pos: at(6), When: Expr{"not (data.text > 3)", at(7)}, To: to("b"), OnError: OnErrorHold},
			{Name: "vip", Pos: at(9), When: Expr{"data.customer.tier + 1 == 2", at(10)}, To: to("c")},
			{Name: "by-name", Pos: at(12), Pick: Expr{"data.yes ? ['d', 'e'] : 'a'", at(13)}, Stop: true},
			{Name: "after", Pos: at(15), When: Expr{"data.text != 'x'", at(16)}, To: to("e")},
			{Name: "rest", Pos: at(18), Otherwise: true, To: to("e")},
		},
		Subscriptions: []Subscription{
			{Endpoint: "a", Types: []string{"label.*"}, Pos: at(20)},
			{Endpoint: "b", Types: []string{"order.*"}, Pos: at(22)},
			{Endpoint: "c", Types: []string{"*"}, Tenant: "acme", Pos: at(24)},
			{Endpoint: "e", Types: []string{"*"}, Environments: []string{"production"}, When: Expr{"any(data.items, .qty > 3)", at(27)}, Pos: at(26)},
		},
	})
}

func TestExplanationIsDrawn(t *testing.T) {
	t.Parallel()
	set := explained(t)
	got := set.Explain(testEvent()).String() + "\n--- asked for by name\n\n" +
		set.Explain(testEvent(), "vip", "endpoint:b", "endpoint:c", "rest").String()
	const file = "testdata/explain.golden"
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the drawing differs from %s (go test -update rewrites it):\n%s", file, got)
	}
}

func TestExplanationAgreesWithMatch(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		g := generator{rand.New(rand.NewPCG(seed, 1))}
		set := mustCompile(t, g.config())
		for range 10 {
			ev, _ := g.event(t)
			checkExplanation(t, set, ev)
		}
	}
}

// config makes a random configuration for the endpoints a to e.
func (g generator) config() Config {
	c := Config{Mode: pickOne(g, MatchAll, MatchFirst)}
	condition := func() Expr {
		for {
			text := g.condition(2)
			if _, found := newExprCompiler().condition(text); found == nil {
				return when(text)
			}
		}
	}
	endpoint := func() string { return pickOne(g, "a", "b", "c", "d", "e") }
	for i := range 1 + g.IntN(4) {
		r := Route{
			Name: fmt.Sprintf("r%d", i), OnError: pickOne(g, OnErrorDefault, OnErrorHold, OnErrorSkip),
			Stop: g.IntN(4) == 0, Otherwise: g.IntN(4) == 0,
		}
		if !r.Otherwise {
			r.When = condition()
		}
		if g.IntN(4) == 0 {
			r.Split, r.By = shares("a 1 c 2 e 1"), when(pickOne(g, "", "data.a", "data.b"))
		} else if g.IntN(3) == 0 {
			r.Pick = when(pickOne(g, "data.a", "data.b == 'x' ? ['a', 'b'] : 'c'", "[data.a ?? 'd', 'e']"))
		} else {
			r.To = to(endpoint())
		}
		c.Routes = append(c.Routes, r)
	}
	for range g.IntN(3) {
		s := Subscription{Endpoint: endpoint(), Types: []string{pickOne(g, "*", "label.*", "x")}, Tenant: pickOne(g, "", "", "x")}
		if g.IntN(2) == 0 {
			s.When = condition()
		}
		c.Subscriptions = append(c.Subscriptions, s)
	}
	return c
}

func checkExplanation(t *testing.T, set *Set, ev *Event) {
	t.Helper()
	d, x := set.Match(ev), set.Explain(ev)
	var made []string
	for _, r := range x.Rules {
		if r.When != nil && r.Error == "" && r.Pick == nil && r.When.Outcome != r.Outcome {
			t.Errorf("%s is %s, its condition %s", r.Rule, r.Outcome, r.When.Outcome)
		}
		if r.Skipped != "" || r.Outcome != "true" {
			continue
		}
		for _, target := range r.Targets {
			if target.Dropped == "" {
				made = append(made, target.String())
			}
		}
	}
	var want []string
	for i := range d.Targets {
		target := set.explainedTarget(&d.Targets[i])
		want = append(want, target.String())
	}
	slices.Sort(made) // otherwise-routes may stand before others
	slices.Sort(want)
	if !slices.Equal(made, want) {
		t.Errorf("Match makes\n%v, the explanation\n%v\n%s", want, made, x)
	}
	for _, r := range x.Rules {
		if r.Held != slices.Contains(d.Held, r.Rule) {
			t.Errorf("%s: held %t, Match holds %v\n%s", r.Rule, r.Held, d.Held, x)
		}
	}
}

func TestExplanationIsBounded(t *testing.T) {
	t.Parallel()
	var c Config
	for i := range 1000 {
		c.Routes = append(c.Routes, Route{
			Name: fmt.Sprintf("r%d", i), When: when(chained("||", "data.as == 'x'", 40)), To: to("a"),
		})
	}
	c.Routes[700].When = when("true")
	x := mustCompile(t, c).Explain(hostileEvent())
	if len(x.Rules) != maxExplained || x.Omitted != 800 || x.Eligible != 1000 {
		t.Errorf("%d rules, %d omitted, %d candidates", len(x.Rules), x.Omitted, x.Candidates)
	}
	if !slices.ContainsFunc(x.Rules, func(r RuleExplanation) bool { return r.Rule == c.Routes[700].Name }) {
		t.Error("the rule that matched is not shown")
	}
	b, err := json.Marshal(x)
	if err != nil {
		t.Fatal(err)
	}
	if len(b) > 4<<20 {
		t.Errorf("%d bytes", len(b))
	}
}

func TestPathsAreNamedAsWritten(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"data.a.b": "data.a.b", "data?.a[0]": "data.a[0]", `data["x y"][-1].z`: `data["x y"][-1].z`,
		"event.type": "event.type", "data": "data", `data["größe"]`: "data.größe", `data["1a"]`: `data["1a"]`,
	} {
		p := newBench().value("[" + text + "]")
		if len(p.reads) != 1 || p.reads[0].name != want {
			t.Errorf("%s is named %v, want %s", text, p.reads, want)
		}
	}
}

func TestExplanationCountsWhatTheIndexLeaves(t *testing.T) {
	t.Parallel()
	c := Config{}
	for i := range 100 {
		c.Routes = append(c.Routes, Route{Name: fmt.Sprintf("r%d", i), When: when(fmt.Sprintf("event.type == 't%d'", i)), To: to("a")})
	}
	// The event holds both clues of this one: it is evaluated twice and counted once.
	c.Routes = append(c.Routes, Route{Name: "list", When: when("any(data.list, # in ['x', 'y'])"), To: to("b")})
	for i := range 10 {
		c.Routes = append(c.Routes, Route{Name: fmt.Sprintf("list%d", i), When: when(fmt.Sprintf("'z%d' in data.list", i)), To: to("c")})
	}
	c.Routes = append(c.Routes, Route{Name: "rest", Otherwise: true, To: to("d")})
	s := mustCompile(t, c)
	for data, want := range map[string]int{`{"list":["x","y"]}`: 2, `{"list":["z1"]}`: 2, `{}`: 1} {
		x := s.Explain(&Event{Type: "t7", Data: []byte(data)})
		if x.Candidates != want || x.Eligible != 112 || x.Total != 112 {
			t.Errorf("%s: %d candidates of %d, %d in all, want %d", data, x.Candidates, x.Eligible, x.Total, want)
		}
	}
	if x := s.Explain(&Event{Type: "none", Data: []byte(`{}`)}); x.Candidates != 1 {
		t.Errorf("%d candidates where the otherwise-route alone is left", x.Candidates)
	}
}
