package rules

import (
	"fmt"
	"strings"
	"testing"
)

// TestListsBelowLists has an event with two long lists of texts, and rules that
// ask for one of each: the index goes through the second list for every text of
// the first.
func TestListsBelowLists(t *testing.T) {
	t.Parallel()
	const n = 12
	var c Config
	var as, bs []string
	for i := range n {
		as, bs = append(as, fmt.Sprintf(`"t%02d"`, i)), append(bs, fmt.Sprintf(`"u%02d"`, i))
		for j := range n {
			name := fmt.Sprintf("r%d-%d", i, j)
			c.Endpoints = append(c.Endpoints, name)
			c.Routes = append(c.Routes, Route{
				Name: name, When: when(fmt.Sprintf(`any(data.a, # == "t%02d") and "u%02d" in data.b`, i, j)), To: to(name),
			})
		}
	}
	d := mustCompile(t, c).Match(&Event{Data: fmt.Appendf(nil, `{"a":[%s],"b":[%s]}`, strings.Join(as, ","), strings.Join(bs, ","))})
	if len(d.Targets) != n*n || len(d.Errors) > 0 {
		t.Errorf("%d targets and %d errors, want %d targets", len(d.Targets), len(d.Errors), n*n)
	}
}

// TestListsLoseARuleOfTwoSets has a rule with two sets of clues that have one in
// common: it is filed below the clues of the shorter, and found there by the
// longer, too, which leads to one of its places only. When it is taken out it
// must be gone from all.
func TestListsLoseARuleOfTwoSets(t *testing.T) {
	t.Parallel()
	for _, both := range []string{
		`("x" in data.a or "y" in data.a or "z" in data.a) and ("x" in data.a or "w" in data.a)`,
		`("x" in data.a or "w" in data.a) and ("x" in data.a or "y" in data.a or "z" in data.a)`,
	} {
		all := []string{"*"}
		c := Config{Subscriptions: []Subscription{{Endpoint: "both", Types: all, When: when(both)}}}
		for i := range 20 {
			name := fmt.Sprintf("other%d", i)
			c.Subscriptions = append(c.Subscriptions, Subscription{Endpoint: name, Types: all, When: when(fmt.Sprintf(`"t%02d" in data.a`, i))})
		}
		before := mustCompile(t, c)
		event := &Event{Data: []byte(`{"a":["w","x"]}`)}
		if got, want := show(before.Match(event)), "endpoint:both>both"; got != want {
			t.Errorf("%s: got %q, want %q", both, got, want)
		}
		after, err := before.Change([]string{"both"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := show(after.Match(event)); got != "" {
			t.Errorf("%s: got %q after it was taken out", both, got)
		}
	}
}

func TestListsOfNeedlesKeepThoseBehindANewOne(t *testing.T) {
	t.Parallel()
	var ns needles
	nodes := map[string]*node{"b": {}, "d": {}, "a": {}, "c": {}}
	for _, text := range []string{"b", "d", "a", "c"} {
		ns = ns.put(text, nodes[text])
	}
	for text, n := range nodes {
		if ns.get(text) != n {
			t.Errorf("%q is not where it was put", text)
		}
	}
}
