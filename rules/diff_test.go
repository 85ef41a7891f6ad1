package rules

import (
	"fmt"
	"strings"
	"testing"
)

func TestComparisonShowsWhatChanges(t *testing.T) {
	t.Parallel()
	old := mustCompile(t, Config{
		Backups: map[string][]string{"c": {"d"}},
		Routes: []Route{
			{Name: "one", When: when("event.type == 'x'"), To: to("a backup b", "c")},
			{Name: "held", When: when("data.n > 3"), To: to("e")},
			{Name: "rest", Otherwise: true, To: to("d")},
		},
	})
	fresh := mustCompile(t, Config{
		Backups: map[string][]string{"c": {"d"}},
		Routes: []Route{
			{Name: "uno", When: when("event.type == 'x'"), To: to("a")},
			{Name: "two", When: when("event.type == 'x'"), To: to("b")},
			{Name: "held", When: when("data.n > 3"), To: to("e"), OnError: OnErrorHold},
			{Name: "rest", Otherwise: true, To: to("d")},
		},
	})
	c := Compare(old, fresh)
	for i, ev := range []*Event{
		{Type: "x", ID: "evt_1", Environment: "production", Data: []byte("{}")}, {Type: "same", Data: []byte("{}")}, {Type: "y", Data: []byte(`{"n":"?"}`)},
	} {
		c.Add(i+1, ev)
	}
	var b strings.Builder
	if err := c.Draw(&b); err != nil {
		t.Fatal(err)
	}
	want := `line 1: x, evt_1, production
  ~ a, then b (one) => a (uno)
  + b (two)
  - c, then d (one)

line 3: y
  - d (rest)
  held by none => held

2 of 3 events change their route
`
	if b.String() != want {
		t.Errorf("got\n%s", b.String())
	}
}

func TestComparisonIsBounded(t *testing.T) {
	t.Parallel()
	c := Compare(mustCompile(t, Config{Routes: []Route{{Name: "r", To: to("a")}}}), mustCompile(t, Config{Routes: []Route{{Name: "r", To: to("b")}}}))
	for i := range maxDifferences + 5 {
		c.Add(i, &Event{Type: fmt.Sprint(i)})
	}
	if len(c.Differences) != maxDifferences || c.Omitted != 5 || c.Changed != maxDifferences+5 {
		t.Errorf("%d differences, %d omitted, %d changed", len(c.Differences), c.Omitted, c.Changed)
	}
}
