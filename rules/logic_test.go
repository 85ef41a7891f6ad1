package rules

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// fewNames makes conditions that meet often: over one path and one field.
func (g generator) fewNames(depth int) string {
	if depth > 0 && g.IntN(3) > 0 {
		switch g.IntN(5) {
		case 0:
			return "not (" + g.fewNames(depth-1) + ")"
		case 1, 2:
			return "(" + g.fewNames(depth-1) + " and " + g.fewNames(depth-1) + ")"
		}
		return "(" + g.fewNames(depth-1) + " or " + g.fewNames(depth-1) + ")"
	}
	p := pickOne(g, "data.a", "data.a", "data.a", "event.type")
	text := pickOne(g, `"x"`, `"xy"`, `""`, `"label.a"`, `"y"`)
	switch g.IntN(9) {
	case 0:
		return p + pickOne(g, " == ", " != ") + text
	case 1:
		return p + pickOne(g, " in ", " not in ") + "[" + text + ", " + pickOne(g, `"x"`, "1", "true") + "]"
	case 2:
		return p + pickOne(g, " ", " not ") + pickOne(g, "startsWith", "endsWith", "contains", "matches") + " " + text
	case 3:
		return `glob("` + pickOne(g, "*", "x*", "label.*") + `", ` + p + ")"
	case 4:
		return "has(" + p + ")"
	case 5:
		return "data.a" + pickOne(g, " == ", " != ") + pickOne(g, "0", "1", "1.5", "true", "false", "nil")
	case 6:
		return pickOne(g, "data.a", "true", "false", "lower("+p+") == 'x'")
	}
	return "data.a " + pickOne(g, "<", "<=", ">", ">=") + " " + pickOne(g, "0", "1", "1.5", "2", "-0.5")
}

// TestLogicIsSound holds what lint concludes to what conditions give.
func TestLogicIsSound(t *testing.T) {
	t.Parallel()
	rounds := 30_000
	if testing.Short() {
		rounds = 2000
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	g := generator{rand.New(rand.NewPCG(seed, 2))}
	var found [4]int
	for range rounds {
		one, two := g.fewNames(2), g.fewNames(2)
		b := newBench()
		x, y := b.parts(one), b.parts(two)
		if x == nil || y == nil {
			continue // such as event.type == 1
		}
		s, u := termOf(x), termOf(y)
		implies, denies, excludes := s.implies(u), s.denies(u), s.excludes(u)
		never, _ := s.never()
		for i, is := range []bool{implies, denies, excludes, never} {
			if is {
				found[i]++
			}
		}
		if !implies && !denies && !excludes && !never {
			continue
		}
		for range 40 {
			ev, _ := g.event(t)
			m := b.machine(ev)
			p, q := x.eval(m).outcome, y.eval(m).outcome
			switch {
			case implies && p == isTrue && q != isTrue:
				t.Fatalf("%s does not imply %s: %s and %s over %s %s", one, two, p, q, ev.Type, ev.Data)
			case denies && p == isTrue && q != isFalse:
				t.Fatalf("%s does not deny %s: %s and %s over %s %s", one, two, p, q, ev.Type, ev.Data)
			case excludes && p == isTrue && q == isTrue:
				t.Fatalf("%s does not exclude %s over %s %s", one, two, ev.Type, ev.Data)
			case never && p == isTrue:
				t.Fatalf("%s can be true: %s %s", one, ev.Type, ev.Data)
			}
		}
	}
	t.Logf("implied %d, denied %d, excluded %d, never %d", found[0], found[1], found[2], found[3])
	for i, n := range found {
		if n < rounds/100 {
			t.Errorf("conclusion %d was drawn %d times only", i, n)
		}
	}
}

func TestLogicSeesWhatPeopleWrite(t *testing.T) {
	t.Parallel()
	yes := []string{ // left implies right
		`event.type == "label.created" => event.type startsWith "label."`,
		`event.type in ["a", "b"] => event.type in ["c", "b", "a"]`,
		`event.type == "a" && data.n > 5 => data.n >= 5`,
		`data.n == 7 => data.n > 3 && data.n < 9`,
		`data.n > 3 => has(data.n)`,
		`event.type == "a" => event.type != "b"`,
		`not (event.type in ["a", "b"]) => event.type != "a"`,
		`event.type startsWith "a." => not (event.type startsWith "b.")`,
		`data.x == "a" || data.x == "b" => data.x in ["a", "b", "c"]`,
		`any(data.items, .sku == "a") && data.n > 3 => any(data.items, .sku == "a")`,
		`data.flag => data.flag == true`,
		`glob("a*", data.x) => glob("a*", data.x)`,
		`data.x == "abc" => glob("a*", data.x) and data.x matches "b" and data.x endsWith "c"`,
		`"a" == event.type => event.type == "a"`,
	}
	no := []string{
		`event.type startsWith "label." => event.type == "label.created"`,
		`data.n >= 5 => data.n > 5`,
		`data.x != "a" => has(data.x)`,
		`not (data.n > 3) => data.n != 5 && data.n <= 4`, // true, but more than it knows
		`data.a == "x" => data.b == "x"`,
		`lower(data.a) == "x" => data.a == "x"`,
	}
	check := func(list []string, want bool) {
		for _, text := range list {
			left, right, _ := strings.Cut(text, " => ")
			b := newBench()
			if got := termOf(b.parts(left)).implies(termOf(b.parts(right))); got != want {
				t.Errorf("%s: got %t", text, got)
			}
		}
	}
	check(yes, true)
	check(no, false)
	for text, want := range map[string]bool{
		`event.type == "a" && event.type == "b"`:                        true,
		`event.type == "a" && (event.type == "b" or event.type == "c")`: true,
		`data.n > 5 && data.n < 3`:                                      true,
		`data.x == "a" && data.x != "a"`:                                true,
		`data.x == "a" && not (data.x startsWith "a")`:                  true,
		`event.type startsWith "a." && event.type startsWith "b."`:      true,
		`false`:                          true,
		`data.x == nil && data.x == "a"`: true,
		`(data.n > 5 && data.n < 3) or (data.x == 1 and data.x == 2)`:  true,
		`data.n > 3 && data.n < 5`:                                     false,
		`data.x startsWith "a" && data.x endsWith "b"`:                 false,
		`data.items[0].sku == "a" && data.items[1].sku == "b"`:         false,
		`any(data.items, .sku == "a") && any(data.items, .sku == "b")`: false,
	} {
		if got, _ := termOf(newBench().parts(text)).never(); got != want {
			t.Errorf("%s: never is %t", text, got)
		}
	}
}
