package rules

import (
	"errors"
	"testing"
)

func TestChangeReplacesSubscriptions(t *testing.T) {
	t.Parallel()
	all := []string{"*"}
	first := mustCompile(t, Config{
		Routes:        []Route{{Name: "one", To: to("a")}},
		Subscriptions: []Subscription{{Endpoint: "b", Types: all}, {Endpoint: "c", Types: all}, {Endpoint: "d", Types: all}},
	})
	second, err := first.Change([]string{"b", "c", "none"}, []Subscription{{Endpoint: "c", Types: []string{"label.*"}}, {Endpoint: "new", Types: all}})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := show(second.Match(testEvent())), "one>a, endpoint:d>d, endpoint:c>c, endpoint:new>new"; got != want {
		t.Errorf("after the change: got %s, want %s", got, want)
	}
	if got, want := show(first.Match(testEvent())), "one>a, endpoint:b>b, endpoint:c>c, endpoint:d>d"; got != want {
		t.Errorf("the first set changed: got %s, want %s", got, want)
	}
	if first.Digest() == second.Digest() {
		t.Error("the digest does not tell the two apart")
	}
}

func TestChangeIsAllOrNothing(t *testing.T) {
	t.Parallel()
	first := mustCompile(t, Config{Subscriptions: []Subscription{{Endpoint: "b", Types: []string{"*"}}}})
	second, err := first.Change([]string{"b"}, []Subscription{{Endpoint: "c", Types: []string{"*"}}, {Endpoint: "d"}, {Endpoint: "e", Types: []string{"*"}, When: when("event.tpye")}})
	if second != nil || err == nil {
		t.Fatalf("got %v, %v", second, err)
	}
	if found, ok := errors.AsType[Diagnostics](err); !ok || len(found) != 2 {
		t.Errorf("got %v", err)
	}
}
