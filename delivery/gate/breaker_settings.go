package gate

import (
	"errors"
	"fmt"
	"time"
)

// BreakerSettings say when an endpoint counts as down. They are comparable,
// so that a reload that changes nothing keeps the breaker with its counts.
// Start from [DefaultBreaker]: the zero value never opens by itself.
type BreakerSettings struct {
	// Off lets everything pass, whatever the results.
	Off bool
	// Failures in a row open it, however far apart they are. 0: that rule is off.
	Failures uint32
	// Ratio of failures among the attempts begun within Window and answered
	// opens it, once Min of them are answered. 0: that rule is off.
	Ratio float64
	// Window rolls on in tenths. An attempt that takes longer than the
	// window to fail counts for Failures only.
	Window time.Duration
	// Min is the fewest answers Ratio is applied to.
	Min uint32
	// Open is how long nothing is sent before the endpoint is probed.
	Open time.Duration
}

// DefaultBreaker opens for 30 s after 5 failures in a row, or when half of at
// least 20 attempts within a minute fail.
func DefaultBreaker() BreakerSettings {
	return BreakerSettings{Failures: 5, Ratio: 0.5, Window: time.Minute, Min: 20, Open: 30 * time.Second}
}

const (
	minBreakerTime = time.Second
	maxBreakerTime = 24 * time.Hour
)

// Validate says what is wrong with the settings, naming the option.
func (s BreakerSettings) Validate() error {
	switch {
	case s.Off:
		return nil
	case s.Failures == 0 && s.Ratio == 0:
		return errors.New("breaker has neither failures nor a ratio: use `breaker off` to go without")
	case !(s.Ratio >= 0 && s.Ratio <= 1): // NaN is neither
		return fmt.Errorf("breaker ratio %v is not between 0 and 1", s.Ratio)
	case s.Ratio > 0 && s.Min == 0:
		return errors.New("breaker ratio needs min of at least 1")
	case s.Ratio > 0 && (s.Window < minBreakerTime || s.Window > maxBreakerTime):
		return fmt.Errorf("breaker ratio: %v is not between %v and %v", s.Window, minBreakerTime, maxBreakerTime)
	case s.Open < minBreakerTime || s.Open > maxBreakerTime:
		return fmt.Errorf("breaker open: %v is not between %v and %v", s.Open, minBreakerTime, maxBreakerTime)
	}
	return nil
}
