package rules

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// twentyRules is a configuration of twenty routes and as many subscriptions.
func twentyRules() Config {
	c := Config{Endpoints: []string{"a", "b"}, Environments: []string{"production"}}
	for i := range 20 {
		c.Routes = append(c.Routes, Route{
			Name: fmt.Sprintf("r%d", i), When: Expr{fmt.Sprintf("data.n == %d", i), line(10 + i)}, To: to("a backup b"), Pos: line(9 + i),
		})
		c.Subscriptions = append(c.Subscriptions, Subscription{Endpoint: fmt.Sprintf("s%d", i), Types: []string{"x", "y.*", "*"}, Pos: line(100 + i)})
	}
	return c
}

func TestWhatStaysTheSameIsNotCompiledAgain(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(*Config)
		anew   int // rules that are made again
	}{
		"nothing changes":         {func(*Config) {}, 0},
		"a condition changes":     {func(c *Config) { c.Routes[7].When.Text = "data.n == 70" }, 1},
		"a line is put above all": {func(c *Config) { moveDown(c, 1) }, 0},
		"a route is put first": {func(c *Config) {
			c.Routes = slices.Insert(c.Routes, 0, Route{Name: "new", To: to("a")})
			moveDown(c, 2)
		}, 1},
		"a route is put last":              {func(c *Config) { c.Routes = append(c.Routes, Route{Name: "new", To: to("a")}) }, 1},
		"a route is taken out":             {func(c *Config) { c.Routes = slices.Delete(c.Routes, 3, 4) }, 0},
		"the last route becomes the first": {func(c *Config) { c.Routes = slices.Concat(c.Routes[19:], c.Routes[:19]) }, 1},
		"the first route becomes the last": {func(c *Config) { c.Routes = slices.Concat(c.Routes[1:], c.Routes[:1]) }, 1},
		"a route sends elsewhere":          {func(c *Config) { c.Routes[5].To = to("b") }, 1},
		"an endpoint comes":                {func(c *Config) { c.Endpoints = append(c.Endpoints, "c") }, 0},
		"a subscription comes": {func(c *Config) {
			c.Subscriptions = slices.Insert(c.Subscriptions, 4, Subscription{Endpoint: "new", Types: []string{"x"}})
		}, 1},
		"an endpoint subscribes twice":        {func(c *Config) { c.Subscriptions = append(c.Subscriptions, c.Subscriptions[0]) }, 1},
		"a subscription wants something else": {func(c *Config) { c.Subscriptions[9].Types = []string{"z"} }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := twentyRules()
			before := mustCompile(t, c)
			known := map[*rule]bool{}
			for _, r := range before.everyRule() {
				known[r] = true
			}
			tt.change(&c)
			c.Endpoints = append(c.Endpoints, "a", "b", "c", "d", "e")
			after, err := before.Recompile(c)
			if err != nil {
				t.Fatal(err)
			}
			sameSet(t, after, c)
			anew := slices.DeleteFunc(after.everyRule(), func(r *rule) bool { return known[r] })
			if len(anew) != tt.anew {
				t.Errorf("%d rules were made again, want %d", len(anew), tt.anew)
			}
		})
	}
}

// everyRule lists the rules as they were compiled.
func (s *Set) everyRule() (out []*rule) {
	for _, r := range s.routes {
		out = append(out, &r.rule)
	}
	s.subs.all(func(_ string, subs []*subscription) bool {
		for _, sub := range subs {
			out = append(out, &sub.rule)
		}
		return true
	})
	return out
}

func moveDown(c *Config, lines int) {
	for i := range c.Routes {
		c.Routes[i].Pos.Line += lines
		c.Routes[i].When.Pos.Line += lines
	}
}

// TestAFailureIsShownWhereTheRuleStandsNow: a rule that is taken over from the
// configuration before may have moved.
func TestAFailureIsShownWhereTheRuleStandsNow(t *testing.T) {
	t.Parallel()
	made := func(from int) Config {
		return Config{Endpoints: []string{"a"}, Routes: []Route{{
			Name: "r", Pos: line(from), When: Expr{"data.n > 0", line(from + 1)}, To: to("a"),
			Split: shares("a 1 b 1"), By: Expr{"data.k", line(from + 2)},
		}, {Name: "p", Pos: line(from + 3), Pick: Expr{"data.p", line(from + 4)}}}}
	}
	places := func(s *Set) (out []string) {
		for _, data := range []string{`{"n":"x"}`, `{"n":1,"k":[],"p":1}`} {
			for _, e := range s.Match(&Event{Data: []byte(data)}).Errors {
				out = append(out, e.Route+" "+e.Field+" "+e.Pos.String())
			}
		}
		return out
	}
	c := made(3)
	before := mustCompile(t, c)
	c = made(30)
	c.Endpoints = []string{"a", "a", "b", "c", "d", "e"}
	after, err := before.Recompile(c)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"r when Caddyfile:31", "r by Caddyfile:32", "p pick Caddyfile:34"}
	if got := places(after); !slices.Equal(got, want) {
		t.Errorf("after: %q", got)
	}
	want = []string{"r when Caddyfile:4", "r by Caddyfile:5", "p pick Caddyfile:7"}
	if got := places(before); !slices.Equal(got, want) {
		t.Errorf("the set before: %q", got)
	}
}

func TestAMistakeInAChangedConfigurationIsShownAsInANewOne(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Config){
		"a condition":                     func(c *Config) { c.Routes[3].When.Text = "data.n ==" },
		"a name twice":                    func(c *Config) { c.Routes[4].Name = "r3" },
		"two new names alike":             func(c *Config) { c.Routes[4].Name, c.Routes[5].Name = "new", "new" },
		"an endpoint that is gone":        func(c *Config) { c.Endpoints = []string{"a"} },
		"a subscription without types":    func(c *Config) { c.Subscriptions[2].Types = nil },
		"a path that no schema knows":     func(c *Config) { c.Routes[3].When.Text = `event.type == "a" and data.nowhere == 1` },
		"a schema that lost what is read": func(c *Config) { c.Shapes = shapeOf{"a": "id"} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := twentyRules()
			c.Types, c.Shapes = []string{"a"}, shapeOf{"a": "id n"}
			c.Routes[0].When.Text = `event.type == "a" and data.n == 1`
			before, err := Compile(c)
			if err != nil {
				t.Fatal(err)
			}
			change(&c)
			_, want := Compile(c)
			_, got := before.Recompile(c)
			if want == nil || got == nil || got.Error() != want.Error() {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

func TestASubscriptionMadeLaterIsHeldToTheSchemas(t *testing.T) {
	t.Parallel()
	s := mustCompile(t, Config{Types: []string{"a", "b"}, Shapes: shapeOf{"a": "id n", "b": "id"}})
	_, err := s.Change(nil, []Subscription{{Endpoint: "x", Types: []string{"a"}, When: when("data.m == 1")}})
	if err == nil || !strings.Contains(err.Error(), "the schema of a has no data.m") {
		t.Errorf("got %v", err)
	}
	for _, sub := range []Subscription{
		{Endpoint: "x", Types: []string{"a"}, When: when("data.n == 1")},
		{Endpoint: "x", Types: []string{"*"}, When: when("data.m == 1")}, // types outside of the catalog may come
	} {
		if _, err := s.Change(nil, []Subscription{sub}); err != nil {
			t.Errorf("%v: %v", sub, err)
		}
	}
}

func TestRoomBetweenRulesRunsOut(t *testing.T) {
	t.Parallel()
	c := twentyRules()
	c.Endpoints = append(c.Endpoints, "a", "b", "c", "d", "e")
	s := mustCompile(t, c)
	for i := range 100 { // 32 halvings leave none
		c.Routes = slices.Insert(c.Routes, 1, Route{Name: fmt.Sprintf("new%d", i), When: when("true"), To: to("a")})
		next, err := s.Recompile(c)
		if err != nil {
			t.Fatal(err)
		}
		sameSet(t, next, c)
		s = next
	}
	var names []string
	for _, r := range s.Routes(0, len(c.Routes)) {
		names = append(names, r.Name)
	}
	d := s.Match(&Event{Data: []byte(`{"n":0}`)})
	if len(d.Targets) == 0 || d.Targets[0].Route != "r0" || names[1] != "new99" {
		t.Errorf("%v, %q", d, names)
	}
}

func line(n int) Pos { return Pos{File: "Caddyfile", Line: n} }
