package retry

import (
	"errors"
	"fmt"
	"time"
)

const (
	// MaxSteps bounds a schedule: a list of a thousand delays is a typing
	// error that would keep a dead endpoint's backlog alive for years.
	MaxSteps = 100

	// MaxDelay is the longest delay of a schedule. A due time further off
	// than this is the work of a clock that jumped, and may be clamped.
	MaxDelay = 30 * 24 * time.Hour
)

// Schedule says how long to wait after each failed try on one target. The
// first try is not part of it: n delays make at most n+1 tries. It is a
// value; nothing changes it.
type Schedule struct {
	// Delays are the waits after the first, second, … failed try. Empty
	// means one try and no retry.
	Delays []time.Duration
	// JitterPercent spreads each delay over up to so much more, never less,
	// so that everything that failed in one outage does not return in one
	// instant. 0 to 100.
	JitterPercent int
}

// Default is the published schedule: six tries at 0, 1m, 5m, 30m, 2h and 24h
// after one another, at most 10 % later. The last is 26 h 36 m after the
// first, or up to 29 h 16 m with jitter.
func Default() Schedule {
	return Schedule{
		Delays:        []time.Duration{time.Minute, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 24 * time.Hour},
		JitterPercent: 10,
	}
}

// Validate says what is wrong with the schedule, naming the place.
func (s Schedule) Validate() error {
	if len(s.Delays) > MaxSteps {
		return fmt.Errorf("retry schedule has %d delays, at most %d are allowed", len(s.Delays), MaxSteps)
	}
	for i, d := range s.Delays {
		if d <= 0 || d > MaxDelay {
			return fmt.Errorf("retry schedule, delay %d: %v is not between 0 and %v", i+1, d, MaxDelay)
		}
	}
	if s.JitterPercent < 0 || s.JitterPercent > 100 {
		return errors.New("retry schedule: jitter must be from 0 to 100 percent")
	}
	return nil
}

// Next returns how long to wait after a failed try. tries counts the tries
// spent on this target including the one that just failed (at least 1); r in
// [0,1) is the caller's random number. Without ok the schedule is exhausted.
func (s Schedule) Next(tries int, r float64) (delay time.Duration, ok bool) {
	tries = max(tries, 1)
	if tries > len(s.Delays) {
		return 0, false
	}
	delay = s.Delays[tries-1]
	return delay + time.Duration(float64(delay)*float64(s.JitterPercent)/100*r), true
}

const (
	localBackoffFirst = time.Second
	localBackoffLimit = 5 * time.Minute
)

// LocalBackoff returns how long to wait after the n-th local fault in a row,
// n from 1: 1s, 2s, 4s … 5m. It spends no schedule, so it is short: once our
// side works again, so should the delivery, within five minutes.
func LocalBackoff(n int) time.Duration {
	if n > 9 { // 1s << 9 is already past the maximum
		return localBackoffLimit
	}
	return min(localBackoffFirst<<max(n-1, 0), localBackoffLimit)
}
