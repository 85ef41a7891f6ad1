//go:build !race

// Under the race detector pools forget at random, and what is allocated says nothing.

package httpapi

import "testing"

// ingestBudget is what the handler allocates for a single event, beside what the engine does with it: the event, its
// strings, its body, and what the parser needs. A regression to reflection would multiply it.
const ingestBudget = 7

func TestIngestAllocatesNoMoreThanItsBudget(t *testing.T) {
	if n := testing.AllocsPerRun(1000, single()); n > ingestBudget {
		t.Errorf("%v allocations, the budget is %d", n, ingestBudget)
	}
}
