package egress

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// Caps on an endpoint's extra headers. Most servers refuse more than 8 KiB of
// headers altogether, and each attempt would carry them.
const (
	MaxHeaders         = 32
	MaxHeaderNameBytes = 128
	MaxHeaderBytes     = 4 << 10
)

// refusedNames are headers that an endpoint may not set, in lower case.
var refusedNames = map[string]string{
	// Hop-by-hop (RFC 9110, 7.6.1). Connection alone would do: naming our
	// signature header in it makes the next proxy drop the signature.
	"connection": hopByHop, "keep-alive": hopByHop, "te": hopByHop, "trailer": hopByHop,
	"transfer-encoding": hopByHop, "upgrade": hopByHop, "http2-settings": hopByHop,

	"host": ours, "expect": ours, "accept-encoding": ours, "user-agent": ours, "cdn-loop": ours,

	// net/http repeats a POST with one of these on its own, past the log.
	"idempotency-key": "would make the HTTP client repeat requests unrecorded", "x-idempotency-key": "would make the HTTP client repeat requests unrecorded",

	"traceparent": tracing, "tracestate": tracing,

	// Signatures of schemes by other names.
	"x-hub-signature": signature, "x-hub-signature-256": signature, "stripe-signature": signature, "x-shopify-hmac-sha256": signature,

	// Metadata services answer only to requests that carry these: they
	// are what a request forged through us would need.
	"metadata": infrastructure, "metadata-flavor": infrastructure,
}

// refusedPrefixes are the same by the start of the name.
var refusedPrefixes = []struct{ prefix, why string }{
	{"proxy-", hopByHop},
	{"content-", ours},
	{"webhook-", signature},
	{"signature", signature},
	{"ce-", "belongs to CloudEvents"},
	{"x-amz-", infrastructure},
	{"x-amzn-", infrastructure},
	{"x-aws-", infrastructure},
	{"x-google", infrastructure},
	{"x-goog-", infrastructure},
	{"x-gfe", infrastructure},
	{"x-azure-", infrastructure},
	{"x-fd-", infrastructure},
}

const (
	hopByHop       = "is for one connection only"
	ours           = "is set by the gateway"
	signature      = "is reserved for signatures"
	tracing        = "is set by the trace_context option"
	infrastructure = "belongs to a cloud's own infrastructure"
)

// CheckHeader says what is wrong with an extra request header of an endpoint.
// ourPrefix is the prefix of our own headers, such as X-AtoShip. Errors name
// the header, never its value, which may be a credential.
func CheckHeader(name, value, ourPrefix string) error {
	lower := strings.ToLower(name)
	switch {
	case name == "":
		return errors.New("header has no name")
	case len(name) > MaxHeaderNameBytes:
		return fmt.Errorf("header name has %d bytes, at most %d are allowed", len(name), MaxHeaderNameBytes)
	case !httpguts.ValidHeaderFieldName(name):
		return fmt.Errorf("header name %q has a character that is not allowed in one", name)
	case len(value) > MaxHeaderBytes:
		return fmt.Errorf("header %s: value has %d bytes, at most %d are allowed", name, len(value), MaxHeaderBytes)
	case !httpguts.ValidHeaderFieldValue(value):
		return fmt.Errorf("header %s: value has a line break or another control character", name)
	case ourPrefix != "" && strings.HasPrefix(lower, strings.ToLower(ourPrefix)+"-"):
		return fmt.Errorf("header %s %s", name, ours)
	}
	if why, ok := refusedNames[lower]; ok {
		return fmt.Errorf("header %s %s", name, why)
	}
	for _, r := range refusedPrefixes {
		if strings.HasPrefix(lower, r.prefix) {
			return fmt.Errorf("header %s %s", name, r.why)
		}
	}
	return nil
}

// CheckHeaders applies [CheckHeader] to all of an endpoint's extra headers and
// bounds their number, each value counted.
func CheckHeaders(h http.Header, ourPrefix string) error {
	n := 0
	for name, values := range h {
		if n += len(values); n > MaxHeaders {
			return fmt.Errorf("more than %d headers", MaxHeaders)
		}
		for _, value := range values {
			if err := CheckHeader(name, value, ourPrefix); err != nil {
				return err
			}
		}
	}
	return nil
}
