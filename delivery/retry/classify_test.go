package retry

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
	"testing"
	"time"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// What each class of answer means, as sets of flags.
var (
	success  = Verdict{Success: true, Spend: true}
	answered = Verdict{Spend: true}                                        // the endpoint lives
	failing  = Verdict{Spend: true, BreakerFailure: true}                  // it answered, but badly
	silent   = Verdict{Spend: true, BreakerFailure: true, Silent: true}    // it did not answer
	gone     = Verdict{Spend: true, Disable: true}                         // it wants no more
	blocked  = Verdict{Spend: true, BreakerFailure: true, ForceOpen: true} // we may not go there
	ours     = Verdict{BreakerExcluded: true}                              // not its fault
)

func TestStatuses(t *testing.T) {
	t.Parallel()
	cases := []struct {
		status int
		want   Outcome
		means  Verdict
	}{
		{0, ProtocolError, failing},
		{101, ProtocolError, failing}, // switched protocols unasked
		{200, Delivered, success},
		{201, Delivered, success},
		{204, Delivered, success},
		{299, Delivered, success},
		{300, HTTPError, answered},
		{302, HTTPError, answered}, // redirects are not followed
		{308, HTTPError, answered},
		{400, HTTPError, answered},
		{401, HTTPError, answered},
		{404, HTTPError, answered},
		{408, HTTPError, failing},
		{409, HTTPError, answered},
		{410, Gone, gone},
		{429, RateLimited, failing},
		{499, HTTPError, answered},
		{500, ServerError, failing},
		{502, ServerError, failing},
		{503, Unavailable, failing},
		{504, ServerError, failing},
		{599, ServerError, failing},
		{600, ProtocolError, failing},
		{999, ProtocolError, failing},
	}
	for _, c := range cases {
		t.Run(fmt.Sprintf("status %d is %s", c.status, c.want), func(t *testing.T) {
			t.Parallel()
			want := c.means
			want.Outcome = c.want
			if got := Classify(Result{Status: c.status, Now: now}); got != want {
				t.Errorf("got %+v\nwant %+v", got, want)
			}
		})
	}
}

// named stands for another package's error that names its outcome.
type named string

func (n named) Error() string   { return "refused" }
func (n named) Outcome() string { return string(n) }

func dial(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }

func errno(op string, n syscall.Errno) error {
	return &net.OpError{Op: op, Net: "tcp", Err: os.NewSyscallError("connect", n)}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name   string
		err    error
		want   Outcome
		detail string
		means  Verdict
	}{
		{"the attempt's own deadline", ErrTimeout, Timeout, "", silent},
		{"a plain deadline", context.DeadlineExceeded, Timeout, "", silent},
		{"a socket deadline", &net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, Timeout, "", silent},
		{"a dial that timed out", dial(os.ErrDeadlineExceeded), Timeout, "connect", silent},
		{"the kernel gave up connecting", errno("dial", syscall.ETIMEDOUT), Timeout, "connect", silent},
		{"cancelled by us", fmt.Errorf("stopping: %w", context.Canceled), Cancelled, "", ours},
		{"cancelled while resolving", dial(&net.DNSError{Err: "x", UnwrapErr: context.Canceled}), Cancelled, "", ours},

		{"a name that does not exist", dial(&net.DNSError{IsNotFound: true}), DNSError, "not_found", failing},
		{"a name server that does not answer", dial(&net.DNSError{IsTimeout: true}), DNSError, "timeout", failing},
		{"a name server that fails", dial(&net.DNSError{IsTemporary: true}), DNSError, "", failing},

		{"refused", errno("dial", syscall.ECONNREFUSED), ConnectionRefused, "", silent},
		{"reset", errno("read", syscall.ECONNRESET), ConnectionReset, "", silent},
		{"broken pipe", errno("write", syscall.EPIPE), ConnectionReset, "", silent},
		{"closed before the answer", fmt.Errorf("reading: %w", io.EOF), ConnectionReset, "", silent},
		{"closed within the answer", io.ErrUnexpectedEOF, ConnectionReset, "", silent},
		{"no route to the host", errno("dial", syscall.EHOSTUNREACH), Unreachable, "", silent},
		{"no route to the network", errno("dial", syscall.ENETUNREACH), Unreachable, "", silent},

		{"out of descriptors", errno("dial", syscall.EMFILE), Local, "descriptors", ours},
		{"the machine is out of descriptors", errno("dial", syscall.ENFILE), Local, "descriptors", ours},
		{"out of memory for sockets", errno("dial", syscall.ENOBUFS), Local, "memory", ours},
		{"our source address is gone", errno("dial", syscall.EADDRNOTAVAIL), Local, "source_address", ours},
		{"our packet filter", errno("dial", syscall.EPERM), Local, "forbidden", ours},
		{"our machine has no authorities", x509.SystemRootsError{}, Local, "system_roots", ours},
		{"our transform failed", fmt.Errorf("building: %w", &LocalFault{Code: "transform", Err: errors.New("x")}), Local, "transform", ours},
		{"a local fault that timed out is still ours", &LocalFault{Code: "token", Err: context.DeadlineExceeded}, Local, "token", ours},

		{"another package names its outcome", dial(named("address_blocked")), AddressBlocked, "", blocked},
		{"a name that is none of ours is not believed", named("nonsense"), NetworkError, "", failing},

		{"an expired certificate", x509.CertificateInvalidError{Reason: x509.Expired, Cert: &x509.Certificate{NotBefore: now.Add(-time.Hour)}}, TLSError, "certificate_expired", failing},
		{"a certificate from the future", x509.CertificateInvalidError{Reason: x509.Expired, Cert: &x509.Certificate{NotBefore: now.Add(time.Hour)}}, TLSError, "certificate_not_yet_valid", failing},
		{"a certificate for another use", x509.CertificateInvalidError{Reason: x509.IncompatibleUsage}, TLSError, "certificate_invalid", failing},
		{"plain HTTP where TLS should be", http.ErrSchemeMismatch, TLSError, "not_tls", failing},

		{"what has no name", errors.New("something new"), NetworkError, "", failing},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			want := c.means
			want.Outcome, want.Detail = c.want, c.detail
			for form, err := range map[string]error{"bare": c.err, "wrapped": fmt.Errorf("attempt: %w", c.err)} {
				if got := Classify(Result{Err: err, Now: now}); got != want {
					t.Errorf("%s: got %+v\nwant %+v", form, got, want)
				}
			}
		})
	}
}

func TestStatusAndErrorTogether(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name   string
		status int
		err    error
		want   Outcome
	}{
		{"a 200 whose body never ends is a timeout", 200, ErrTimeout, Timeout},
		{"a 200 whose body breaks off is a reset", 200, io.ErrUnexpectedEOF, ConnectionReset},
		{"a 410 whose body breaks off is still a 410", 410, io.ErrUnexpectedEOF, Gone},
		{"a 500 whose body drips is still a 500", 500, ErrTimeout, ServerError},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := Classify(Result{Status: c.status, Err: c.err, Now: now}).Outcome; got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, value string
		status      int
		want        time.Duration
	}{
		{"seconds", "120", 429, 2 * time.Minute},
		{"seconds with 503", "120", 503, 2 * time.Minute},
		{"a date counts from now", "Sun, 01 Mar 2026 12:10:00 GMT", 503, 10 * time.Minute},
		{"the old date format", "Sunday, 01-Mar-26 12:10:00 GMT", 503, 10 * time.Minute},
		{"a date past asks for nothing", "Sun, 01 Mar 2026 11:00:00 GMT", 429, 0},
		{"the year 9999 is a day", "Fri, 31 Dec 9999 23:59:59 GMT", 429, MaxHold},
		{"a second over a day is a day", "86401", 429, MaxHold},
		{"more seconds than a number holds is a day", "99999999999999999999999", 429, MaxHold},
		{"zero", "0", 429, 0},
		{"negative", "-5", 429, 0},
		{"a fraction", "1.5", 429, 0},
		{"with a unit", "30s", 429, 0},
		{"words", "tomorrow", 429, 0},
		{"absent", "", 429, 0},
		{"on a 500 it is not honoured", "120", 500, 0},
		{"on a 200 it is not honoured", "120", 200, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := Classify(Result{Status: c.status, RetryAfter: c.value, Now: now}).Hold
			if got != c.want {
				t.Errorf("hold %v, want %v", got, c.want)
			}
		})
	}
}

func FuzzRetryAfterStaysWithinADay(f *testing.F) {
	f.Add("120")
	f.Add("Fri, 31 Dec 9999 23:59:59 GMT")
	f.Fuzz(func(t *testing.T, value string) {
		if d := parseRetryAfter(value, now); d < 0 || d > MaxHold {
			t.Errorf("%q asks for %v", value, d)
		}
	})
}

func TestOutcomesAreClosed(t *testing.T) {
	t.Parallel()
	seen := map[Outcome]bool{}
	for _, o := range Outcomes() {
		if seen[o] || o == "" || o.String() != string(o) || !o.Valid() {
			t.Errorf("outcome %q is empty or twice in the list", o)
		}
		seen[o] = true
		v := o.verdict()
		if v.BreakerFailure && v.BreakerExcluded || v.Success != (o == Delivered) {
			t.Errorf("outcome %s contradicts itself: %+v", o, v)
		}
	}
	if Outcome("ssrf").Valid() {
		t.Error("a word outside the list is valid")
	}
}
