package rules

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

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
		if i > 0 && g.IntN(8) == 0 {
			s.Endpoint = out[i-1].Endpoint
		}
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
		list := bytes.ReplaceAll(g.list(20), []byte(`{"a":`), []byte(`{"a":"x","a":`))
		b = fmt.Appendf(nil, `{"a":%s,"b":%s,"a":%s}`, again, list, b)
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

func (g *differ) textValue() string {
	if g.IntN(40) == 0 { // as long as texts are whose letters nobody counts
		return strings.Repeat("long", manyLetters/4) + pickOne(g.generator, "", "x", "xy")
	}
	return pickOne(g.generator, "x", "xy", "", "label.a", "1", "y", "x*", "x?", `x"`)
}

// trials makes a set and, by changing it or compiling another from it, more.
func (g *differ) trials(t testing.TB) []trial {
	n := pickOne(g.generator, 1, 5, 20, 20, 60, 60, 300)
	config := Config{
		Mode: pickOne(g.generator, MatchAll, MatchAll, MatchFirst), Routes: g.routes(g.IntN(n + 1)), Subscriptions: g.subscriptions(g.IntN(n + 1)),
	}
	config.Endpoints = []string{"a", "b", "c", "d", "e"}
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
		config.Subscriptions = o.subs
		for range 1 + g.IntN(3) {
			g.revise(&config)
			next, err := set.Recompile(config)
			if err != nil {
				t.Fatal(err)
			}
			sameSet(t, next, config)
			set, o.routes, o.subs = next, config.Routes, config.Subscriptions
			out = append(out, trial{next, o})
		}
	}
	return out
}

// revise changes some rules of a configuration, and where all of them stand.
func (g *differ) revise(c *Config) {
	c.Routes, c.Subscriptions = slices.Clone(c.Routes), slices.Clone(c.Subscriptions)
	for range g.IntN(4) {
		c.Routes = rearrange(g.generator, c.Routes, func() Route {
			g.names++
			r := g.routes(1)[0]
			r.Name, r.To = fmt.Sprintf("new%d", g.names), to(pickOne(g.generator, "a", "b", "c", "d"))
			return r
		}, func(r *Route) {
			if r.When = g.when(); g.IntN(2) == 0 {
				r.OnError = pickOne(g.generator, OnErrorDefault, OnErrorHold, OnErrorSkip)
			}
		})
		c.Subscriptions = rearrange(g.generator, c.Subscriptions, func() Subscription { return g.subscriptions(1)[0] },
			func(s *Subscription) { s.When = g.when() })
	}
	if g.IntN(2) == 0 {
		c.Endpoints = append(slices.Clone(c.Endpoints), fmt.Sprintf("e%d", g.IntN(3)))
	}
	shift := g.IntN(2)
	for i := range c.Routes {
		c.Routes[i].Pos.Line += shift
	}
	for i := range c.Subscriptions {
		c.Subscriptions[i].Pos.Line += shift
	}
}

// rearrange moves, replaces, adds or removes one rule.
func rearrange[R any](g generator, rules []R, made func() R, changed func(*R)) []R {
	if len(rules) == 0 || g.IntN(4) == 0 {
		return slices.Insert(rules, g.IntN(len(rules)+1), made())
	}
	i := g.IntN(len(rules))
	switch g.IntN(3) {
	case 0:
		changed(&rules[i])
	case 1:
		rules = slices.Delete(rules, i, i+1)
	default:
		r := rules[i]
		rules = slices.Delete(rules, i, i+1)
		rules = slices.Insert(rules, g.IntN(len(rules)+1), r)
	}
	return rules
}

// sameSet holds a set that was made from another to one made of nothing.
func sameSet(t testing.TB, s *Set, c Config) {
	t.Helper()
	fresh := mustCompile(t, c)
	if s.Digest() != fresh.Digest() || !slices.Equal(s.Paths(), fresh.Paths()) {
		t.Fatalf("digest %s, paths %s; made anew: digest %s, paths %s", s.Digest(), s.Paths(), fresh.Digest(), fresh.Paths())
	}
	if got, want := s.Routes(0, len(c.Routes)), fresh.Routes(0, len(c.Routes)); !reflect.DeepEqual(got, want) {
		t.Fatalf("routes %+v; made anew: %+v", got, want)
	}
	place := func(s *subscription) string { return fmt.Sprint(s.name, s.when.Text, s.pos) }
	got, want := s.subscriptions(), fresh.subscriptions()
	for i := range want {
		if len(got) != len(want) || place(got[i]) != place(want[i]) {
			t.Fatalf("%d subscriptions; made anew: %d; at %d %s and %s", len(got), len(want), i, place(got[i]), place(want[i]))
		}
	}
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
