//go:build race

package crashpoints

// The race detector makes a history ten times as long; what it looks for is in any of them.
const (
	perRun   = 50 // points of a run that was not asked for more
	every    = 8  // one of so many points is looked at
	mistaken = 2  // mistakes that are made
)
