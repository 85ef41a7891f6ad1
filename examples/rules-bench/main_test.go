package main

import (
	"strings"
	"testing"
	"time"
)

func TestTheEnginesAgreeAndAreMeasured(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	if err := run(&out, "5,200", 300, time.Millisecond); err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + out.String())
	lines := strings.Split(out.String(), "\n")
	if len(lines) < 3 || strings.Fields(lines[2])[1] == "0" {
		t.Error("no event satisfied a rule: nothing was compared")
	}
}

func TestDifferentAnswersAreAnError(t *testing.T) {
	all := engines
	t.Cleanup(func() { engines = all })
	engines = append([]engine{{"none", 1000, func([]rule) (matcher, error) {
		return func(*event) ([]int, error) { return nil, nil }, nil
	}}}, all...)
	if err := run(new(strings.Builder), "200", 300, time.Millisecond); err == nil || !strings.Contains(err.Error(), "rules finds [") {
		t.Errorf("got %v", err)
	}
}
