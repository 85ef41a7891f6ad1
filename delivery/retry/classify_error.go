package retry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"syscall"
	"time"
)

// outcomer is an error that names its own outcome; see the package comment.
type outcomer interface {
	error
	Outcome() string
}

// classifyError names a transport error. The order is from the certain to
// the vague: what an error says of itself, our own cancelling, then the layer
// that failed, from the name down to the bytes.
func classifyError(err error, now time.Time) (o Outcome, detail string) {
	if named, ok := errors.AsType[outcomer](err); ok {
		if o := Outcome(named.Outcome()); o.Valid() {
			return o, localCode(err)
		}
	}
	if errors.Is(err, context.Canceled) {
		return Cancelled, ""
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return DNSError, dnsDetail(dns)
	}
	if _, ok := errors.AsType[x509.SystemRootsError](err); ok {
		return Local, "system_roots" // our machine has no list of authorities
	}
	if detail, ok := tlsDetail(err, now); ok {
		return TLSError, detail
	}
	if isTimeout(err) {
		return Timeout, phase(err)
	}
	if o, detail, ok := classifyErrno(err); ok {
		return o, detail
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) {
		return ConnectionReset, ""
	}
	if _, ok := errors.AsType[textproto.ProtocolError](err); ok {
		return ProtocolError, ""
	}
	for _, t := range untyped {
		if strings.Contains(err.Error(), t.text) {
			return t.outcome, t.detail
		}
	}
	return NetworkError, ""
}

// untyped are errors of net/http and crypto/tls that have neither a type nor
// a value to compare with. Each is provoked from a real server in this
// package's tests, so that a Go release that words it anew is noticed. A text
// that no longer matches falls back to NetworkError: another label, the same
// consequences.
var untyped = []struct {
	text    string
	outcome Outcome
	detail  string
}{
	{"server response headers exceeded", ResponseTooLarge, "headers"},
	{"malformed HTTP", ProtocolError, ""},
	{"malformed chunked encoding", ProtocolError, ""},
	{"server closed idle connection", ConnectionReset, ""},
	{"tls: ", TLSError, "handshake"},
}

func localCode(err error) string {
	if f, ok := errors.AsType[*LocalFault](err); ok {
		return f.Code
	}
	var detailed interface{ Detail() string }
	if errors.As(err, &detailed) {
		return detailed.Detail()
	}
	return ""
}

func dnsDetail(err *net.DNSError) string {
	switch {
	case err.IsNotFound:
		return "not_found"
	case err.IsTimeout:
		return "timeout"
	default:
		return ""
	}
}

// tlsDetail tells why a handshake failed, and whether it is one that failed.
func tlsDetail(err error, now time.Time) (string, bool) {
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		switch {
		case invalid.Reason != x509.Expired:
			return "certificate_invalid", true
		case invalid.Cert != nil && now.Before(invalid.Cert.NotBefore):
			return "certificate_not_yet_valid", true
		default:
			return "certificate_expired", true
		}
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return "hostname_mismatch", true
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "unknown_authority", true
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "certificate_invalid", true
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok || errors.Is(err, http.ErrSchemeMismatch) {
		return "not_tls", true
	}
	// crypto/tls hides its alerts behind these two operations.
	if op, ok := errors.AsType[*net.OpError](err); ok && (op.Op == "remote error" || op.Op == "local error") {
		return "alert", true
	}
	return "", false
}

func isTimeout(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}

// phase tells a connection that never came up from an answer that never came.
func phase(err error) string {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return "connect"
	}
	return ""
}

// errnos sorts what the kernel says. Errors of our own machine (no
// descriptors, no memory, no source address, a local packet filter) are
// local: they would fail the same for every endpoint.
var errnos = []struct {
	outcome Outcome
	detail  string
	numbers []syscall.Errno
}{
	{ConnectionRefused, "", []syscall.Errno{syscall.ECONNREFUSED}},
	{ConnectionReset, "", []syscall.Errno{syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNABORTED}},
	{Unreachable, "", []syscall.Errno{syscall.EHOSTUNREACH, syscall.ENETUNREACH}},
	{Local, "descriptors", []syscall.Errno{syscall.EMFILE, syscall.ENFILE}},
	{Local, "memory", []syscall.Errno{syscall.ENOBUFS, syscall.ENOMEM}},
	{Local, "source_address", []syscall.Errno{syscall.EADDRNOTAVAIL, syscall.EADDRINUSE, syscall.ENETDOWN}},
	{Local, "forbidden", []syscall.Errno{syscall.EACCES, syscall.EPERM}},
}

func classifyErrno(err error) (Outcome, string, bool) {
	number, ok := errors.AsType[syscall.Errno](err)
	if !ok {
		return "", "", false
	}
	for _, e := range errnos {
		if slices.Contains(e.numbers, number) {
			return e.outcome, e.detail, true
		}
	}
	return "", "", false
}
