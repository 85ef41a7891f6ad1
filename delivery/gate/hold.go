package gate

import "time"

// Reason is why a lane may not try its endpoint. The words are stable: they
// are shown to operators, logged and used as metric labels. The list is closed.
type Reason string

// The reasons.
const (
	// ReasonNone means go.
	ReasonNone Reason = ""
	// ReasonBreakerOpen: the endpoint is down; nothing is sent until it is probed.
	ReasonBreakerOpen Reason = "breaker_open"
	// ReasonSlots: as many attempts are in flight as are allowed.
	ReasonSlots Reason = "slots"
	// ReasonPaused: an operator paused the endpoint.
	ReasonPaused Reason = "paused"
	// ReasonDisabled: the endpoint was taken out of service, by 410 or by
	// nothing but failures for too long.
	ReasonDisabled Reason = "disabled"
	// ReasonRetryAfter: the endpoint asked to be left alone.
	ReasonRetryAfter Reason = "retry_after"
	// ReasonRemoved: the configuration has no such endpoint any more.
	ReasonRemoved Reason = "removed"
	// ReasonRate: the rate limit is used up.
	ReasonRate Reason = "rate"
	// ReasonOrdering: an earlier delivery of the same key is not settled.
	ReasonOrdering Reason = "ordering"
	// ReasonLocal: our own side failed and is backing off.
	ReasonLocal Reason = "local"
)

// String returns the word; it is empty for [ReasonNone].
func (r Reason) String() string { return string(r) }

// Hold says that nothing may be tried, and for how long. The zero Hold means go.
type Hold struct {
	Reason Reason
	// Until is when to ask again. Zero: there is nothing to wait for but the
	// event that ends the hold, which wakes whoever asked.
	Until time.Time
}
