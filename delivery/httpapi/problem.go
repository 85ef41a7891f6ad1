package httpapi

import (
	"net/http"
	"strconv"
	"unicode/utf8"
)

// Problem is an RFC 9457 problem document; every error answer is one. Its type is always about:blank, so the title is the
// status text and Detail says what is wrong and what would be right.
type Problem struct {
	// Status is the HTTP status, 400–599.
	Status int
	// Detail in words; at most 512 bytes are sent, so that a hostile name cannot blow up answers and logs.
	Detail string
	// Pointer (RFC 6901) to the member at fault, in the body or, for batches, in the event at Index. Not sent when empty.
	Pointer string
	// Parameter names the query parameter at fault. Not sent when empty.
	Parameter string
	// Index of the event in its batch, from 0. nil when the whole request is at fault or it was no batch.
	Index *int
	// Pending is how many deliveries a deletion would cancel. nil: not asked.
	Pending *uint64
	// RetryAfter in seconds, sent as a header when not 0: the same request may succeed then.
	RetryAfter int
}

// maxDetail bounds what is repeated of a request in an answer.
const maxDetail = 512

// Error implements error.
func (p *Problem) Error() string { return strconv.Itoa(p.Status) + ": " + p.Detail }

// at returns the problem placed at an event of a batch.
func (p *Problem) at(index int) *Problem {
	p.Index = &index
	return p
}

// Write answers the request with the problem.
func (p *Problem) Write(w http.ResponseWriter) {
	b := append(make([]byte, 0, 256+len(p.Detail)), `{"type":"about:blank","title":`...)
	b = appendString(b, http.StatusText(p.Status))
	b = append(b, `,"status":`...)
	b = strconv.AppendInt(b, int64(p.Status), 10)
	b = append(b, `,"detail":`...)
	b = appendString(b, clip(p.Detail, maxDetail))
	if p.Pointer != "" {
		b = append(b, `,"pointer":`...)
		b = appendString(b, clip(p.Pointer, maxDetail))
	}
	if p.Parameter != "" {
		b = append(b, `,"parameter":`...)
		b = appendString(b, clip(p.Parameter, 64))
	}
	if p.Index != nil {
		b = append(b, `,"index":`...)
		b = strconv.AppendInt(b, int64(*p.Index), 10)
	}
	if p.Pending != nil {
		b = append(b, `,"pending":`...)
		b = strconv.AppendUint(b, *p.Pending, 10)
	}
	b = append(b, "}\n"...)

	h := w.Header()
	h["Content-Type"] = problemType
	h["X-Content-Type-Options"] = nosniff
	h["Cache-Control"] = noStore
	if p.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(p.RetryAfter))
	}
	w.WriteHeader(p.Status)
	_, _ = w.Write(b) //nolint:gosec // JSON, and marked so; the client went away: nobody is left to tell
}

// Header values shared by all answers; never changed.
var (
	problemType = []string{"application/problem+json"}
	jsonType    = []string{"application/json"}
	nosniff     = []string{"nosniff"}
	noStore     = []string{"no-store"}
)

// clip cuts s to at most n bytes, on a rune boundary, and marks the cut.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	n -= len("…")
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

// appendString appends s as a JSON string. Bytes that are not UTF-8 become U+FFFD, one each.
func appendString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c >= 0x20 && c != '"' && c != '\\' {
				i++
				continue
			}
			b = append(b, s[start:i]...)
			if c < 0x20 {
				b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			} else {
				b = append(b, '\\', c)
			}
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 {
			b = append(b, s[start:i]...)
			b = utf8.AppendRune(b, utf8.RuneError)
			start = i + 1
		}
		i += size
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}
