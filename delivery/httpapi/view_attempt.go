package httpapi

import (
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/egress"
)

type attemptView struct {
	N          int    `json:"n"`
	Endpoint   string `json:"endpoint"`
	Address    string `json:"address,omitempty"`
	Started    moment `json:"started"`
	DurationMS int64  `json:"duration_ms"`
	// Timing splits the duration; what is left over is reading the answer to its end. Left out when nothing was sent.
	Timing  *timingView `json:"timing,omitempty"`
	Status  int         `json:"status,omitempty"`
	Outcome string      `json:"outcome"`
	Detail  string      `json:"detail,omitempty"`
	// Request is left out in lists, and when none was made.
	Request    *requestView `json:"request,omitempty"`
	Response   responseView `json:"response"`
	RetryAfter moment       `json:"retry_after,omitzero"`
	TraceID    string       `json:"trace_id,omitempty"`
	// TraceURL is where to look at the trace, if the configuration says.
	TraceURL string `json:"trace_url,omitempty"`
	// BodySHA256 is of the body, in hexadecimal, when a transform made it; else the event's own was sent.
	BodySHA256 string `json:"body_sha256,omitempty"`
}

// timingView has phases in milliseconds, to the microsecond. One that was not needed or not reached is left out: a kept
// connection has the last alone.
type timingView struct {
	DNS       float64 `json:"dns_ms,omitempty"`
	Connect   float64 `json:"connect_ms,omitempty"`
	TLS       float64 `json:"tls_ms,omitempty"`
	FirstByte float64 `json:"first_byte_ms,omitempty"` // from the request to the beginning of the answer
}

// requestView is how a request looked. Values of the endpoint's own headers and of the URL's query are hidden, signatures cut off.
type requestView struct {
	Method  string      `json:"method"`
	URL     string      `json:"url"`
	Headers http.Header `json:"headers"`
}

type responseView struct {
	// Headers of a failure, up to 2 KiB; of a success those that tell who answered, up to 256 bytes. HeadersTruncated tells that
	// there were more. What may be secret is hidden.
	Headers          http.Header `json:"headers,omitempty"`
	HeadersTruncated bool        `json:"headers_truncated,omitempty"`
	// Excerpt of the body: text, or base64 when it is not UTF-8 (then Base64 is set).
	Excerpt string `json:"excerpt"`
	Base64  bool   `json:"base64,omitempty"`
	// Bytes were read; Truncated tells that Excerpt holds fewer.
	Bytes     int  `json:"bytes"`
	Truncated bool `json:"truncated,omitempty"`
}

func viewAttempt(a *delivery.Attempt) attemptView {
	v := attemptView{
		N: int(a.N), Endpoint: a.Endpoint, Address: a.Address,
		Started: moment{a.Started}, DurationMS: a.Duration.Milliseconds(),
		Status: a.Status, Outcome: a.Outcome, Detail: a.Detail,
		Response:   responseView{Bytes: a.ResponseBytes, Truncated: a.ResponseBytes > len(a.Excerpt)},
		RetryAfter: moment{a.RetryAfter}, TraceID: a.TraceID, BodySHA256: hex.EncodeToString(a.BodyHash),
	}
	if a.Timing != (egress.Timing{}) {
		v.Timing = &timingView{
			DNS: milliseconds(a.Timing.DNS), Connect: milliseconds(a.Timing.Connect),
			TLS: milliseconds(a.Timing.TLS), FirstByte: milliseconds(a.Timing.FirstByte),
		}
	}
	v.Response.Headers, v.Response.HeadersTruncated = egress.Fields(a.ResponseFields)
	text := a.Excerpt
	if v.Response.Truncated {
		text = wholeRunes(text)
	}
	if utf8.Valid(text) {
		v.Response.Excerpt = string(text)
	} else {
		v.Response.Excerpt, v.Response.Base64 = base64.StdEncoding.EncodeToString(a.Excerpt), true
	}
	return v
}

func viewRequest(d *delivery.Delivery, a *delivery.Attempt) *requestView {
	if a.Request == nil {
		return nil
	}
	v := &requestView{Method: http.MethodPost}
	v.URL, v.Headers = a.Request.Of(d, a)
	return v
}

// milliseconds to the microsecond.
func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// wholeRunes drops the beginning of a character that a cut left at the end of text.
func wholeRunes(text []byte) []byte {
	for back := 1; back < utf8.UTFMax && back <= len(text); back++ {
		tail := text[len(text)-back:]
		if utf8.RuneStart(tail[0]) {
			if !utf8.FullRune(tail) {
				return text[:len(text)-back]
			}
			break
		}
	}
	return text
}
