package caddymodule

import (
	"runtime"
	"testing"

	"github.com/atoship/caddy-webhooks/rules"
)

func TestRulesAreTakenOverFromTheConfigBefore(t *testing.T) {
	t.Parallel()
	config := func(second string) rules.Config {
		return rules.Config{Endpoints: []string{"a", "b"}, Routes: []rules.Route{
			{Name: "one", When: rules.Expr{Text: `event.type == "x"`}, To: []rules.Chain{{Primary: "a"}}},
			{Name: "two", When: rules.Expr{Text: second}, To: []rules.Chain{{Primary: "b"}}},
		}}
	}
	var l lastRules
	first, err := l.compile(config(`data.n > 1`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.compile(config(`data.n >`)); err == nil {
		t.Error("a mistake was taken")
	}
	second, err := l.compile(config(`data.n > 2`))
	if err != nil {
		t.Fatal(err)
	}
	ev := &rules.Event{Type: "x", Data: []byte(`{"n":2}`)}
	if n := len(first.Match(ev).Targets); n != 2 {
		t.Errorf("the set before gives %d targets, want 2", n)
	}
	if n := len(second.Match(ev).Targets); n != 1 {
		t.Errorf("the new set gives %d targets, want 1", n)
	}
	anew, err := rules.Compile(config(`data.n > 2`))
	if err != nil || anew.Digest() != second.Digest() {
		t.Errorf("compiled anew: %v, %s, want %s", err, anew.Digest(), second.Digest())
	}
	runtime.KeepAlive(first)
}
