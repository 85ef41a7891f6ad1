package delivery

import (
	"time"

	"github.com/atoship/caddy-webhooks/delivery/egress"
)

// ExcerptBytes is how much of a response body an attempt keeps; ReadBytes how much of it is read before the connection is
// given up. The caps stop an endpoint from filling our memory and disk with its answers.
const (
	ReadBytes    = 64 << 10
	ExcerptBytes = 16 << 10
)

// Attempt is one HTTP try of a delivery, on record forever (until retention).
type Attempt struct {
	// N counts the delivery's attempts over all targets, from 1; sent as X-AtoShip-Attempt.
	N uint16
	// Endpoint tried, and the Address (ip:port) that answered or refused; empty when none was reached.
	Endpoint, Address string
	// Started is wall time; Duration covers everything from dial to the last byte kept.
	Started  time.Time
	Duration time.Duration
	// Timing splits the Duration; what is left over was signing before and reading the answer behind.
	Timing egress.Timing
	// began is Started with its monotonic reading: the wall clock may be set while the attempt runs.
	began time.Time
	// Status is the HTTP status, 0 when no answer came.
	Status int
	// Outcome is the stable class of what happened: delivered, http_error, timeout, tls_error, …, unknown. The closed list
	// is retry.Outcome.
	Outcome string
	// Detail says more in words, such as certificate_expired; never a secret, never a payload.
	Detail string
	// Request is how the request looked; nil when none was made, for an unknown outcome, of an earlier program's attempts, and
	// where a listing does not read it.
	Request *RequestHead
	// ResponseFields are what is kept of the response's header, for egress.Fields; see egress.Call.
	ResponseFields []byte
	// Excerpt holds the first ExcerptBytes of the response body; ResponseBytes is how many were read.
	Excerpt       []byte
	ResponseBytes int
	// BodyHash is the SHA-256 of the body, when a transform made it; nil: it was the event's own.
	BodyHash []byte
	// RetryAfter is until when the endpoint asked to be left alone; zero when it did not.
	RetryAfter time.Time
	// location is the header of a redirect, for a check's advice; it is not kept.
	location string
	// TraceID of the attempt's trace, 32 hex digits; empty without tracing. An endpoint that is sent a traceparent has it from
	// there.
	TraceID string

	trace *Trace // while it is tried, if anybody follows; its Span goes on record with the Progress
}

// Transition is one step in the life of a delivery: what happened (an attempt, or none) and the progress after it.
type Transition struct {
	At   time.Time
	Kind Kind
	// Attempt made or lost in this step; nil for moves, expiry and cancellation.
	Attempt *Attempt
	// Note says why in words, for moves: "breaker open at orders".
	Note string
	// Progress after the step.
	Progress Progress
}

// Kind of a transition.
type Kind uint8

const (
	// Attempted means one HTTP try with a known outcome.
	Attempted Kind = iota
	// Lost means that the delivery was handed over and the process died before it settled; it may or may not have been tried. Its
	// attempt has the outcome "unknown".
	Lost
	// Moved to another target of the chain without a try.
	Moved
	// Ended without a try: expired or cancelled.
	Ended
)

var kindNames = [...]string{"attempted", "lost", "moved", "ended"}

func (k Kind) String() string { return kindNames[k] }
