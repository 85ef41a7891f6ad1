//go:build !race

package crashpoints

const (
	perRun   = 500 // points of a run that was not asked for more
	every    = 1   // one of so many points is looked at
	mistaken = 100 // mistakes that are made: all
)
