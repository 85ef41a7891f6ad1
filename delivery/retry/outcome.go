package retry

import (
	"slices"
	"time"
)

// Outcome is how one attempt ended. The words are stable: they are the metric
// label, the log field, the error.type of a span and what attempts are
// searched by. The list is closed.
type Outcome string

// The outcomes.
const (
	// Delivered: any 2xx.
	Delivered Outcome = "delivered"
	// HTTPError: 3xx (never followed) or a 4xx without an outcome of its own.
	HTTPError Outcome = "http_error"
	// RateLimited: 429.
	RateLimited Outcome = "rate_limited"
	// Gone: 410, the endpoint asks for no more.
	Gone Outcome = "gone"
	// ServerError: 5xx but 503.
	ServerError Outcome = "server_error"
	// Unavailable: 503.
	Unavailable Outcome = "unavailable"
	// Timeout: no complete answer in time, from dial to the last body byte.
	Timeout Outcome = "timeout"
	// DNSError: the name did not resolve.
	DNSError Outcome = "dns_error"
	// ConnectionRefused: nothing listens there.
	ConnectionRefused Outcome = "connection_refused"
	// ConnectionReset: the other side closed or broke the connection early.
	ConnectionReset Outcome = "connection_reset"
	// Unreachable: no route to the network or host.
	Unreachable Outcome = "unreachable"
	// TLSError: handshake or certificate; Detail says which.
	TLSError Outcome = "tls_error"
	// AddressBlocked: the address guard refused every address of the host.
	AddressBlocked Outcome = "address_blocked"
	// ResponseTooLarge: the response headers passed their cap.
	ResponseTooLarge Outcome = "response_too_large"
	// ProtocolError: what came back is not HTTP as it should be.
	ProtocolError Outcome = "protocol_error"
	// NetworkError: the transport failed in a way without a name here.
	NetworkError Outcome = "network_error"
	// Local: our side failed before the endpoint had a say.
	Local Outcome = "local"
	// TransformError: the endpoint's transform failed for the event.
	TransformError Outcome = "transform_error"
	// Cancelled: we stopped the attempt, as a shutdown does.
	Cancelled Outcome = "cancelled"
	// Unknown: a crash swallowed the outcome. Recovery writes it; Classify
	// never answers it.
	Unknown Outcome = "unknown"
)

var outcomes = []Outcome{
	Delivered, HTTPError, RateLimited, Gone, ServerError, Unavailable, Timeout, DNSError,
	ConnectionRefused, ConnectionReset, Unreachable, TLSError, AddressBlocked, ResponseTooLarge,
	ProtocolError, NetworkError, Local, TransformError, Cancelled, Unknown,
}

// Outcomes lists all outcomes, for metrics and search filters.
func Outcomes() []Outcome { return slices.Clone(outcomes) }

// String returns the word.
func (o Outcome) String() string { return string(o) }

// Valid reports whether o is one of the outcomes.
func (o Outcome) Valid() bool { return slices.Contains(outcomes, o) }

// Verdict is what an outcome means for the delivery, its endpoint and its
// lane. Whatever is not a success is to be tried again, when and where the
// schedule, the gates and the chain allow.
type Verdict struct {
	Outcome Outcome
	// Detail is a stable sub-code such as certificate_expired, or empty.
	Detail string
	// Success ends the delivery.
	Success bool
	// Spend means that the try counts against the schedule of its target.
	Spend bool
	// BreakerFailure counts against the breaker; BreakerExcluded is not
	// counted at all. Neither of them is a success for the breaker: the
	// endpoint lives, even if it did not want this event.
	BreakerFailure  bool
	BreakerExcluded bool
	// ForceOpen opens the breaker at once, whatever its counts.
	ForceOpen bool
	// Disable takes the endpoint out of service until an operator returns it.
	Disable bool
	// Silent means that the endpoint gave no answer: keep fewer of its
	// attempts in flight.
	Silent bool
	// AtOnce means that the try says nothing about the endpoint and is to be
	// repeated now: a kept connection was closed by its server at the moment
	// we used it. Servers close idle connections after seconds (Node.js after
	// 5), so a minute's wait for each such race would be our fault.
	AtOnce bool
	// Park means that no time mends it: the try is to be repeated when the
	// configuration has changed.
	Park bool
	// Hold is how long the endpoint asked to be left alone, from
	// Result.Now on: 0 for not at all, at most [MaxHold]. It holds the whole
	// lane; this delivery comes back at the later of it and its schedule.
	Hold time.Duration
}

// verdict is the meaning of an outcome, before what depends on the answer
// itself (Detail, Hold, the breaker on 408). The switch is exhaustive.
func (o Outcome) verdict() Verdict {
	v := Verdict{Outcome: o, Spend: true}
	switch o {
	case Delivered:
		v.Success = true
	case HTTPError:
	case Gone:
		v.Disable = true
	case RateLimited, ServerError, Unavailable, DNSError, TLSError, ResponseTooLarge, ProtocolError, NetworkError:
		v.BreakerFailure = true
	case Timeout, ConnectionRefused, ConnectionReset, Unreachable:
		v.BreakerFailure, v.Silent = true, true
	case AddressBlocked:
		v.BreakerFailure, v.ForceOpen = true, true
	case TransformError:
		v.Spend, v.BreakerExcluded, v.Park = false, true, true
	case Local, Cancelled, Unknown:
		v.Spend, v.BreakerExcluded = false, true
	}
	return v
}
