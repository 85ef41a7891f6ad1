package retry

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"
)

// MaxHold is the longest hold a Retry-After can ask for. A hostile or
// mistaken one (the year 9999) would otherwise park a lane until its
// deliveries expire.
const MaxHold = 24 * time.Hour

// ErrTimeout is the cause to give an attempt's deadline
// ([context.WithTimeoutCause]), so that it is told apart from other ends of
// its context. It is a [context.DeadlineExceeded] to errors.Is, and a
// net.Error that timed out.
var ErrTimeout error = timeoutError{}

type timeoutError struct{}

func (timeoutError) Error() string        { return "attempt took longer than the endpoint's timeout" }
func (timeoutError) Timeout() bool        { return true }
func (timeoutError) Temporary() bool      { return true }
func (timeoutError) Is(target error) bool { return target == context.DeadlineExceeded }

// LocalFault is a failure of our own side: a signer, a token endpoint, a
// proxy, a source address. It says nothing about the endpoint.
type LocalFault struct {
	// Code is a stable word for the log, such as "transform".
	Code string
	Err  error
}

func (e *LocalFault) Error() string { return "local fault (" + e.Code + "): " + e.Err.Error() }

// Unwrap returns what failed.
func (e *LocalFault) Unwrap() error { return e.Err }

// Outcome returns "local".
func (e *LocalFault) Outcome() string { return string(Local) }

// Result is what one attempt ended with.
type Result struct {
	// Status of the response, 0 if there was none.
	Status int
	// Err is what RoundTrip or reading the body failed with, if it did.
	Err error
	// RetryAfter is the response header of that name, as it came.
	RetryAfter string
	// Now is the time of the answer; a Retry-After with a date counts from it.
	Now time.Time
	// Kept tells that the request went over a connection kept idle since an
	// earlier one.
	Kept bool
}

// Classify says what the result means. Any status but 2xx decides alone, even
// if its body broke off. A 2xx counts only once its body (as much of it as we
// read) has arrived in time. Cancelling must be visible to errors.Is as
// [context.Canceled]; see also [ErrTimeout] and [LocalFault].
func Classify(r Result) Verdict {
	if r.Err != nil && (r.Status == 0 || isSuccess(r.Status)) {
		outcome, detail := classifyError(r.Err, r.Now)
		v := outcome.verdict()
		v.Detail = detail
		if outcome == ConnectionReset && r.Kept && r.Status == 0 {
			v = Verdict{Outcome: outcome, Detail: "idle_connection", AtOnce: true, BreakerExcluded: true}
		}
		return v
	}
	v := classifyStatus(r.Status).verdict()
	if v.Outcome == RateLimited || v.Outcome == Unavailable {
		v.Hold = parseRetryAfter(r.RetryAfter, r.Now)
	}
	if r.Status == http.StatusRequestTimeout {
		v.BreakerFailure = true // it gave up waiting for us, or for what is behind it
	}
	return v
}

func isSuccess(status int) bool { return status >= 200 && status < 300 }

func classifyStatus(status int) Outcome {
	switch {
	case isSuccess(status):
		return Delivered
	case status == http.StatusTooManyRequests:
		return RateLimited
	case status == http.StatusGone:
		return Gone
	case status == http.StatusServiceUnavailable:
		return Unavailable
	case status >= 300 && status < 500:
		return HTTPError
	case status >= 500 && status < 600:
		return ServerError
	default: // 101 without our asking, 0, or a number HTTP does not know
		return ProtocolError
	}
}

// parseRetryAfter reads the header (RFC 9110, section 10.2.3): seconds or a
// date. What is neither, or lies in the past, asks for nothing.
func parseRetryAfter(value string, now time.Time) time.Duration {
	if value == "" {
		return 0
	}
	seconds, err := strconv.ParseUint(value, 10, 64)
	switch {
	case err == nil && seconds <= uint64(MaxHold/time.Second):
		return time.Duration(seconds) * time.Second
	case err == nil, errors.Is(err, strconv.ErrRange):
		return MaxHold
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), MaxHold)
}
