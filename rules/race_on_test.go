//go:build race

package rules

// raced tells that the race detector watches: it makes allocations of its own.
const raced = true
