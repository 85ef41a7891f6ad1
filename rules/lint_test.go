package rules

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func TestLint(t *testing.T) {
	t.Parallel()
	typ := func(s string) Expr { return Expr{Text: `event.type == "` + s + `"`} }
	types := []string{"label.created", "label.voided", "order.paid"}
	for name, tt := range map[string]struct {
		config Config
		types  []string
		want   []string // kind rule by
	}{
		"nothing": {config: Config{Routes: []Route{{Name: "a", When: typ("label.created"), To: to("a")}, {Name: "b", When: typ("label.voided"), To: to("a")}}}},
		"a condition that contradicts itself": {
			config: Config{Routes: []Route{{Name: "a", When: when(`event.type == "x" && event.type == "y"`), To: to("a")}}}, want: []string{"never a "},
		},
		"a subscription that its condition contradicts": {
			config: Config{Subscriptions: []Subscription{{Endpoint: "a", Types: []string{"label.*", "order.paid"}, When: typ("shipment.x")}}}, want: []string{"never endpoint:a "},
		},
		"an environment that is not declared": {
			config: Config{Environments: []string{"production"}, Routes: []Route{{Name: "a", When: when(`event.environment == "prod" && event.type == "x"`), To: to("a")}}},
			want:   []string{"never a "},
		},
		"an otherwise-route after one that takes everything": {
			config: Config{Routes: []Route{{Name: "a", To: to("a")}, {Name: "rest", Otherwise: true, To: to("b")}}}, want: []string{"never rest a"},
		},
		"an otherwise-route after one whose pick may give nothing": {
			config: Config{Routes: []Route{{Name: "a", Pick: when("data.x")}, {Name: "rest", Otherwise: true, To: to("b")}}},
		},
		"the same condition and endpoints": {
			config: Config{Routes: []Route{{Name: "a", When: typ("x"), To: to("a", "b")}, {Name: "b", When: typ("x"), To: to("b")}}}, want: []string{"duplicate b a"},
		},
		"the same condition and other endpoints": {
			config: Config{Routes: []Route{{Name: "a", When: typ("x"), To: to("a")}, {Name: "b", When: typ("x"), To: to("b")}}},
		},
		"in match first, a narrower route after a wider one": {
			config: Config{Mode: MatchFirst, Routes: []Route{{Name: "a", When: when(`event.type startsWith "label."`), To: to("a")}, {Name: "b", When: when(`event.type == "label.x" && data.n > 3`), To: to("b")}}},
			want:   []string{"shadowed b a"},
		},
		"in match first, a wider route after a narrower one": {
			config: Config{Mode: MatchFirst, Routes: []Route{{Name: "a", When: typ("label.x"), To: to("a")}, {Name: "b", When: when(`event.type startsWith "label."`), To: to("b")}}},
		},
		"in match all, after a route that says stop": {
			config: Config{Routes: []Route{{Name: "a", When: when(`event.type in ["x", "y"]`), To: to("a"), Stop: true}, {Name: "b", When: typ("x"), To: to("b")}}},
			want:   []string{"shadowed b a"},
		},
		"in match first, after a route whose pick may fail": {
			config: Config{Mode: MatchFirst, Routes: []Route{{Name: "a", When: typ("x"), Pick: when("data.x")}, {Name: "b", When: typ("x"), To: to("b")}}},
		},
		"a subscription to what a route sends already": {
			config: Config{Routes: []Route{{Name: "a", When: when(`event.type startsWith "label."`), To: to("a")}}, Subscriptions: []Subscription{{Endpoint: "a", Types: []string{"label.x"}}}},
			want:   []string{"shadowed endpoint:a a"},
		},
		"a subscription to what a route sends unless another stops": {
			config: Config{
				Routes:        []Route{{Name: "s", When: when("event.tenant == 'x'"), To: to("b"), Stop: true}, {Name: "a", When: when(`event.type startsWith "label."`), To: to("a")}},
				Subscriptions: []Subscription{{Endpoint: "a", Types: []string{"label.x"}}},
			},
		},
		"a condition that nothing can be looked up for": {
			config: Config{Routes: []Route{{Name: "a", When: when("data.n + data.m > 3"), To: to("a")}, {Name: "b", When: when("event.type == 'x' and data.n + data.m > 3"), To: to("b")}}},
			want:   []string{"unindexable a "},
		},
		"types that do not exist": {
			types: types,
			config: Config{
				Routes: []Route{
					{Name: "a", When: typ("label.craeted"), To: to("a")},
					{Name: "b", When: when(`event.type startsWith "lable."`), To: to("a")},
					{Name: "c", When: when(`event.type in ["order.paid", "webhooks.breaker_opened"]`), To: to("b")},
				},
				Subscriptions: []Subscription{{Endpoint: "c", Types: []string{"label.*", "tracking.*"}}, {Endpoint: "d", Types: []string{"*"}}, {Endpoint: "e", Types: []string{"webhooks.*"}}},
			},
			want: []string{"unknown_type a ", "unknown_type b ", "unknown_type endpoint:c "},
		},
		"types that all exist and cannot be": {
			types:  types,
			config: Config{Routes: []Route{{Name: "a", When: when(`event.type startsWith "label." && event.type endsWith ".paid"`), To: to("a")}}},
			want:   []string{"never a "},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found := mustCompile(t, tt.config).Lint(tt.types)
			var got []string
			for _, f := range found {
				got = append(got, fmt.Sprintf("%s %s %s", f.Kind, f.Rule, f.By))
				if f.Message == "" || f.Advice == "" {
					t.Errorf("%+v says nothing", f)
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("found %q, want %q\n%+v", got, tt.want, found)
			}
		})
	}
}

func TestFindingsAreDrawnWithPlaceAndAdvice(t *testing.T) {
	t.Parallel()
	at := func(line int) Pos { return Pos{"Caddyfile", line} }
	s := mustCompile(t, Config{Routes: []Route{
		{Name: "wide", When: Expr{`event.type startsWith "label."`, at(3)}, To: to("a"), Stop: true, Pos: at(2)},
		{Name: "narrow", When: Expr{`event.type == "label.x"`, at(7)}, To: to("b"), Pos: at(6)},
		{Name: "odd", When: Expr{"data.n > 3 &&\ndata.n < 2", at(10)}, To: to("b"), Pos: at(9)},
	}})
	var b strings.Builder
	if err := s.Lint(nil).Draw(&b); err != nil {
		t.Fatal(err)
	}
	want := "Caddyfile:6: narrow: wide (Caddyfile:2) takes every event that this one would match [shadowed]\n" +
		"    remove this one, or narrow wide\n" +
		"Caddyfile:10: odd: no event can match: data.n > 3 excludes data.n < 2 [never]\n" +
		"    correct the condition, or remove the rule\n"
	if b.String() != want {
		t.Errorf("got\n%s", b.String())
	}
}

// TestFindingsAreTrue holds what lint says of random rules to what they do.
func TestFindingsAreTrue(t *testing.T) {
	t.Parallel()
	rounds := 800
	if testing.Short() {
		rounds = 300
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	g := generator{rand.New(rand.NewPCG(seed, 4))}
	count := map[FindingKind]int{}
	for range rounds {
		c := g.config()
		for i := range c.Routes { // conditions that meet more often
			if r := &c.Routes[i]; !r.Otherwise {
				r.When = when(g.fewNames(1))
				if i > 0 && g.IntN(3) == 0 {
					r.When, r.To = c.Routes[i-1].When, c.Routes[i-1].To
				}
			}
		}
		c.Endpoints = []string{"a", "b", "c", "d", "e"}
		s, err := Compile(c)
		if err != nil {
			continue // such as event.type == 1
		}
		found := s.Lint(nil)
		for _, f := range found {
			count[f.Kind]++
		}
		if len(found) == 0 {
			continue
		}
		for range 30 {
			ev, _ := g.event(t)
			d := s.Match(ev)
			for _, f := range found {
				if f.Kind == FindingUnindexable {
					continue
				}
				if slices.ContainsFunc(d.Targets, func(t Target) bool { return t.Route == f.Rule }) && !twice(c, f.Rule) {
					t.Fatalf("%+v makes a delivery of %s %s\n%s", f, ev.Type, ev.Data, s.Explain(ev))
				}
			}
		}
	}
	t.Logf("%v", count)
	for _, k := range []FindingKind{FindingNever, FindingDuplicate, FindingShadowed} {
		if count[k] < rounds/100 {
			t.Errorf("%s was found %d times only", k, count[k])
		}
	}
}

// twice tells that an endpoint subscribes more than once: its rules have one name.
func twice(c Config, rule string) bool {
	n := 0
	for _, s := range c.Subscriptions {
		if subscriptionPrefix+s.Endpoint == rule {
			n++
		}
	}
	return n > 1
}

func BenchmarkLint(b *testing.B) {
	routes := func(n int, condition func(i int) string) Config {
		c := Config{Endpoints: []string{"a", "b"}}
		for i := range n {
			c.Routes = append(c.Routes, Route{Name: fmt.Sprintf("r%d", i), To: to("a backup b"), When: when(condition(i))})
		}
		return c
	}
	subscriptions := newCorpus(100_000)
	for name, c := range map[string]Config{
		"10000 routes of many tenants": newCorpus(10_000).config(0.05),
		"10000 routes of one type": routes(10_000, func(i int) string {
			return fmt.Sprintf(`event.type == "t.x" && data.n > %d`, i)
		}),
		"10000 routes that need no value": routes(10_000, func(i int) string {
			return fmt.Sprintf(`event.type startsWith "t%d." && data.n > %d`, i, i%7)
		}),
		"100000 subscriptions": {Subscriptions: subscriptions.subscriptions(100_000)},
	} {
		b.Run(name, func(b *testing.B) {
			s, err := Compile(c)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				s.Lint(nil)
			}
		})
	}
}
