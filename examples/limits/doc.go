// Package limits holds the real gateway to its rate limits, by the clock of who receives. It is a test and nothing else.
package limits
