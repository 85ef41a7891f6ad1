package rules

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/types"
)

// generator makes random conditions over a few names and values, so that they
// meet often.
type generator struct{ *rand.Rand }

func pickOne[T any](g generator, of ...T) T { return of[g.IntN(len(of))] }

func (g generator) path() string {
	p := "data." + pickOne(g, "a", "b", "c", "d")
	for g.IntN(3) == 0 {
		p += pickOne(g, ".a", ".b", "?.c", "[0]", "[1]", "[-1]", `["a"]`)
	}
	return p
}

func (g generator) anyPath() string {
	if g.IntN(4) == 0 {
		return pickOne(g, "event.type", "event.tenant", "event.id")
	}
	return g.path()
}

func (g generator) text() string {
	return pickOne(g, `"x"`, `"xy"`, `""`, `"label.a"`, `"1"`, `"ẞ"`)
}

func (g generator) number() string {
	return pickOne(g, "0", "1", "-1", "2", "1.5", "-0.5", "9007199254740993")
}

// atom makes one of every shape that is evaluated natively, and some others.
func (g generator) atom() string {
	order := pickOne(g, "<", "<=", ">", ">=")
	switch g.IntN(18) {
	case 0, 1:
		return g.anyPath() + pickOne(g, " == ", " != ") + g.text()
	case 2:
		return g.text() + pickOne(g, " == ", " != ") + g.anyPath()
	case 3:
		return g.path() + pickOne(g, " == ", " != ") + pickOne(g, g.number(), "true", "false", "nil")
	case 4:
		return pickOne(g, g.number(), "true", "nil") + pickOne(g, " == ", " != ") + g.path()
	case 5:
		return g.path() + " " + order + " " + g.number()
	case 6:
		return g.number() + " " + order + " " + g.path()
	case 7:
		return g.anyPath() + pickOne(g, " in ", " not in ") + "[" + g.text() + ", " + g.text() + "]"
	case 8, 9:
		return g.anyPath() + pickOne(g, " ", " not ") + pickOne(g, "startsWith", "endsWith", "contains") + " " + g.text()
	case 10:
		return `glob("` + pickOne(g, "*", "x*", "*y", "?", "label.*", "", "x?") + `", ` + g.anyPath() + ")"
	case 11:
		return "has(" + g.anyPath() + ")"
	case 12:
		return pickOne(g, "true", "false", g.path())
	case 13:
		return g.path() + pickOne(g, " == ", " != ", " in ", " < ") + g.path()
	case 14:
		return pickOne(g, "any", "all", "none") + "(" + g.path() + pickOne(g, "", " ?? []") + ", " + pickOne(g, `.a == "x"`, ".b > 1", "# == 1", ".a.b", "# matches 'x'") + ")"
	case 15:
		return g.text() + " " + pickOne(g, "startsWith", "endsWith", "contains", "in") + " " + g.path()
	case 16:
		return "lower(" + g.anyPath() + ") == " + g.text()
	}
	return "(" + g.path() + " ?? " + pickOne(g, g.number(), g.text()) + ") " + order + " " + g.number()
}

func (g generator) condition(depth int) string {
	if depth == 0 || g.IntN(3) == 0 {
		return g.atom()
	}
	switch g.IntN(5) {
	case 0:
		return "not (" + g.condition(depth-1) + ")"
	case 1, 2:
		return "(" + g.condition(depth-1) + " and " + g.condition(depth-1) + ")"
	}
	return "(" + g.condition(depth-1) + " or " + g.condition(depth-1) + ")"
}

func (g generator) value(depth int) any {
	switch n := g.IntN(12); {
	case n < 4:
		return pickOne(g, "x", "xy", "", "label.a", "1", "ẞ", "X", "x*")
	case n < 7:
		return pickOne[any](g, 0, 1, -1, 2, 1.5, -0.5, 9007199254740993, 9007199254740992)
	case n < 8:
		return g.IntN(2) == 0
	case n < 9 || depth == 0:
		return nil
	case n < 11:
		m := map[string]any{}
		for range g.IntN(4) {
			m[pickOne(g, "a", "b", "c", "d")] = g.value(depth - 1)
		}
		return m
	}
	a := []any{}
	for range g.IntN(3) {
		a = append(a, g.value(depth-1))
	}
	return a
}

func (g generator) event(t testing.TB) (*Event, any) {
	data := map[string]any{}
	for _, k := range []string{"a", "b", "c", "d"} {
		if g.IntN(4) > 0 {
			data[k] = g.value(3)
		}
	}
	b, err := json.Marshal(data)
	if err != nil {
		t.Fatal(err)
	}
	return &Event{Type: pickOne(g, "x", "label.a", "xy"), Tenant: pickOne(g, "", "x"), Data: b}, data
}

// both compiles a condition in both ways.
func (g generator) both(t *testing.T, text string) (native, plain func(*Event) (outcome, *failure)) {
	t.Helper()
	compile := func(plain bool) func(*Event) (outcome, *failure) {
		c := newExprCompiler()
		c.plain = plain
		cond, found := c.condition(text)
		if found != nil {
			return nil
		}
		m := newMachine(c.plan())
		return func(ev *Event) (outcome, *failure) {
			m.release()
			m.ev = ev
			m.begin()
			return cond.eval(m)
		}
	}
	return compile(false), compile(true)
}

// TestNativeAtomsEqualTheMachine holds the short cuts of atom.go to what the
// expr machine gives, and both to what expr itself gives for the whole
// expression, wherever expr has an answer.
func TestNativeAtomsEqualTheMachine(t *testing.T) {
	t.Parallel()
	rounds := 4000
	if testing.Short() {
		rounds = 500
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	g := generator{rand.New(rand.NewPCG(seed, 1))}
	outcomes, compared := map[outcome]int{}, 0
	for range rounds {
		text := g.condition(2)
		native, plain := g.both(t, text)
		if (native == nil) != (plain == nil) {
			t.Fatalf("%s: refused by one only", text)
		}
		if native == nil {
			continue // such as event.type == 1
		}
		raw := original(text)
		for range 25 {
			ev, data := g.event(t)
			a, why := native(ev)
			b, whyPlain := plain(ev)
			if a != b || fmt.Sprint(why) != fmt.Sprint(whyPlain) && !strings.Contains(text, " or ") && !strings.Contains(text, " and ") {
				t.Fatalf("%s\nover %s\nnative:  %s %v\nmachine: %s %v", text, ev.Data, a, why, b, whyPlain)
			}
			outcomes[a]++
			if raw == nil {
				continue
			}
			if want, err := raw(ev, data); err == nil && a != outcomeOf(want) && (a != isMissing || want) {
				t.Fatalf("%s\nover %s\nours: %s %v, expr: %v", text, ev.Data, a, why, want)
			} else if err == nil {
				compared++
			}
		}
	}
	t.Logf("%v, %d compared with expr", outcomes, compared)
	for _, o := range []outcome{isFalse, isTrue, isMissing, isError} {
		if outcomes[o] < rounds/10 {
			t.Errorf("only %d events gave %s", outcomes[o], o)
		}
	}
}

// original runs a condition on expr as it comes. It returns nil for
// conditions that use what is ours: our functions, and indexes and loops, which
// expr applies to the bytes of strings too.
func original(text string) func(*Event, any) (bool, error) {
	for _, ours := range []string{"glob(", "has(", "[0]", "1]", "any(", "all(", "none("} {
		if strings.Contains(text, ours) {
			return nil
		}
	}
	event := types.Map{"type": types.String, "tenant": types.String, "id": types.String}
	p, err := expr.Compile(text, expr.Env(types.Map{"event": event, "data": types.Any}), expr.AsBool(), expr.Optimize(false))
	if err != nil {
		return nil
	}
	// A value that is nil as a whole is false to expr and missing to us.
	return func(ev *Event, data any) (bool, error) {
		out, err := expr.Run(p, map[string]any{
			"event": map[string]any{"type": ev.Type, "tenant": ev.Tenant, "id": ev.ID}, "data": data,
		})
		if err != nil {
			return false, err
		}
		return out.(bool), nil
	}
}
