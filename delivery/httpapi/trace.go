package httpapi

import (
	"net/http"
	"strings"
)

// maxTraceState is how much of a tracestate is kept. W3C asks for at least 512 bytes; without a cap the header would be a
// way to store 1 MiB per event outside max_body.
const maxTraceState = 512

// traceContext reads the W3C trace context of a request. As the specification demands, what is malformed is ignored and
// never refuses the request.
func traceContext(h http.Header) (parent, state string) {
	v := h["Traceparent"]
	if len(v) != 1 {
		return "", ""
	}
	if len(h["Tracestate"]) == 0 {
		return validTrace(v[0], "")
	}
	return validTrace(v[0], strings.Join(h["Tracestate"], ","))
}

// validTrace returns the pair as far as it is valid: no state without a parent. A parent of a later version is read as
// version 00, which every later version must allow.
func validTrace(parent, state string) (string, string) {
	parent, ok := traceParent(strings.TrimSpace(parent))
	if !ok {
		return "", ""
	}
	if !validState(state) {
		state = ""
	}
	return parent, state
}

// traceParent checks version-traceid-parentid-flags: 2, 32, 16 and 2 lower-case hex digits.
func traceParent(s string) (string, bool) {
	const size = 55
	if len(s) < size || s[2] != '-' || s[35] != '-' || s[52] != '-' {
		return "", false
	}
	version, id, span, flags := s[:2], s[3:35], s[36:52], s[53:size]
	if !lowerHex(version) || !lowerHex(id) || !lowerHex(span) || !lowerHex(flags) {
		return "", false
	}
	if version == "ff" || strings.Trim(id, "0") == "" || strings.Trim(span, "0") == "" {
		return "", false
	}
	switch {
	case version == "00":
		return s, len(s) == size
	case len(s) > size && s[size] != '-':
		return "", false
	default:
		return "00" + s[2:size], true
	}
}

func lowerHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// validState checks a tracestate: at most 32 members key=value of printable ASCII.
func validState(s string) bool {
	if len(s) > maxTraceState {
		return false
	}
	members := 0
	for m := range strings.SplitSeq(s, ",") {
		m = strings.Trim(m, " \t")
		if m == "" {
			continue
		}
		members++
		key, value, ok := strings.Cut(m, "=")
		if !ok || key == "" || value == "" || members > 32 || strings.ContainsRune(value, '=') {
			return false
		}
		for i := range len(m) {
			if m[i] < 0x20 || m[i] > 0x7e {
				return false
			}
		}
	}
	return true
}
