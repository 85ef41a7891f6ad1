package egress

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// Caps on an endpoint's extra headers, which each attempt carries. Servers
// refuse requests with more than 16 KiB of headers altogether (Node.js,
// HAProxy), some with more than 8 KiB in a line; ours are about 2 KiB.
const (
	MaxHeaders          = 32
	MaxHeaderNameBytes  = 128
	MaxHeaderValueBytes = 4 << 10
	MaxHeaderBytes      = 8 << 10 // all names and values together
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
	"metadata": infrastructure, "metadata-flavor": infrastructure, "metadata-token": infrastructure,
	"metadata-token-expiry-seconds": infrastructure,
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
	{"x-aliyun-", infrastructure},
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
//
// Names are compared without regard to case, and with an underscore taken for
// a hyphen: receivers behind CGI or WSGI read both as the same header.
func CheckHeader(name, value, ourPrefix string) error {
	switch {
	case name == "":
		return errors.New("header has no name")
	case len(name) > MaxHeaderNameBytes:
		return fmt.Errorf("header name has %d bytes, at most %d are allowed", len(name), MaxHeaderNameBytes)
	case !httpguts.ValidHeaderFieldName(name):
		return fmt.Errorf("header name %q has a character that is not allowed in one", name)
	case len(value) > MaxHeaderValueBytes:
		return fmt.Errorf("header %s: value has %d bytes, at most %d are allowed", name, len(value), MaxHeaderValueBytes)
	case !httpguts.ValidHeaderFieldValue(value):
		return fmt.Errorf("header %s: value has a line break or another control character", name)
	}
	plain := plainName(name)
	if ourPrefix != "" && strings.HasPrefix(plain, plainName(ourPrefix)+"-") {
		return fmt.Errorf("header %s %s", name, ours)
	}
	if why, ok := refusedNames[plain]; ok {
		return fmt.Errorf("header %s %s", name, why)
	}
	for _, r := range refusedPrefixes {
		if strings.HasPrefix(plain, r.prefix) {
			return fmt.Errorf("header %s %s", name, r.why)
		}
	}
	return nil
}

func plainName(name string) string { return strings.ReplaceAll(strings.ToLower(name), "_", "-") }

// CheckHeaders applies [CheckHeader] to all of an endpoint's extra headers and
// bounds their number, each value counted, and their size.
func CheckHeaders(h http.Header, ourPrefix string) error {
	n, size := 0, 0
	for _, name := range slices.Sorted(maps.Keys(h)) { // the same mistake is reported each time
		values := h[name]
		if n += len(values); n > MaxHeaders {
			return fmt.Errorf("more than %d headers", MaxHeaders)
		}
		for _, value := range values {
			if err := CheckHeader(name, value, ourPrefix); err != nil {
				return err
			}
			if size += len(name) + len(value); size > MaxHeaderBytes {
				return fmt.Errorf("headers have more than %d bytes altogether", MaxHeaderBytes)
			}
		}
	}
	return nil
}
