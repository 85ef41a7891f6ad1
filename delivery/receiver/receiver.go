package receiver

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/atoship/caddy-webhooks/delivery/sign"
)

const (
	// maxBody bounds one request: what a gateway sends by default is a quarter of it.
	maxBody = 1 << 20
	// maxShown bounds what is printed of a body.
	maxShown = 4 << 10
	// maxKnown bounds the event ids that are remembered to tell repeats.
	maxKnown = 10_000
)

// Receiver answers deliveries as it is told to and prints each: who sent what, whether its signatures hold, and if not, why.
// It is an http.Handler, safe for concurrent use once its fields are set.
type Receiver struct {
	// Secrets any of which must have signed. None: signatures are not judged.
	Secrets []string
	// Schemes to judge. None: those of which a request carries a signature.
	Schemes []string
	Options sign.Options
	// Status to answer; 0 means 200, and 401 to a signature that does not hold.
	Status int
	// Delay before the answer.
	Delay time.Duration
	// Out is where requests are printed, as a drawing or, with JSON set, one object a line.
	Out  io.Writer
	JSON bool

	mu    sync.Mutex // guards Out and what follows
	known map[string]int
}

// Request is what is printed of one, as JSON.
type Request struct {
	At       time.Time         `json:"at"`
	Method   string            `json:"method"`
	Path     string            `json:"path"`
	Headers  map[string]string `json:"headers"`
	Body     string            `json:"body"`
	Verdicts []Verdict         `json:"signatures"`
	// Times the event id came, this time included; 0 without an id.
	Times  int `json:"times,omitempty"`
	Answer int `json:"answer"`
}

// ServeHTTP implements http.Handler.
func (rc *Receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		status := http.StatusBadRequest
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			status = http.StatusRequestEntityTooLarge
		}
		http.Error(w, http.StatusText(status), status)
		return
	}
	q := Request{At: time.Now().UTC(), Method: r.Method, Path: r.URL.Path, Headers: make(map[string]string), Body: string(body)}
	for name, values := range r.Header {
		q.Headers[name] = strings.Join(values, ", ")
	}
	if _, ok := q.Headers["Authorization"]; ok {
		q.Headers["Authorization"] = "[not shown]"
	}
	q.Answer = http.StatusOK
	for _, name := range rc.schemes(r.Header) {
		v, err := Judge(r, body, name, rc.Secrets, rc.Options, time.Now())
		if err != nil {
			v = Verdict{Scheme: name, Why: err.Error()}
		}
		if !v.Valid {
			q.Answer = http.StatusUnauthorized
		}
		q.Verdicts = append(q.Verdicts, v)
	}
	if len(rc.Secrets) > 0 && len(q.Verdicts) == 0 {
		q.Answer = http.StatusBadRequest
		q.Verdicts = []Verdict{{Scheme: "none", Why: "the request carries no signature that is known here"}}
	}
	if rc.Status != 0 {
		q.Answer = rc.Status
	}
	rc.print(&q, eventID(r.Header, rc.Options))
	if rc.Delay > 0 {
		wait := time.NewTimer(rc.Delay)
		defer wait.Stop()
		select {
		case <-wait.C:
		case <-r.Context().Done(): // the sender gave up
			return
		}
	}
	w.WriteHeader(q.Answer)
}

func (rc *Receiver) schemes(h http.Header) []string {
	switch {
	case len(rc.Secrets) == 0:
		return nil
	case len(rc.Schemes) > 0:
		return rc.Schemes
	}
	return Present(h, rc.Options)
}

// eventID is the id that receivers tell repeats by.
func eventID(h http.Header, o sign.Options) string {
	prefix := o.Prefix
	if prefix == "" {
		prefix = sign.DefaultPrefix
	}
	for _, name := range [...]string{prefix + "-Event-Id", "Webhook-Id", "X-Github-Delivery", "X-Shopify-Webhook-Id"} {
		if id := h.Get(name); id != "" {
			return id
		}
	}
	return ""
}

func (rc *Receiver) print(q *Request, id string) {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	if id != "" {
		if rc.known == nil || len(rc.known) >= maxKnown {
			rc.known = make(map[string]int)
		}
		rc.known[id]++
		q.Times = rc.known[id]
	}
	if rc.JSON {
		enc := json.NewEncoder(rc.Out)
		enc.SetEscapeHTML(false)
		_ = enc.Encode(q) // nobody is left to tell when the terminal is gone
		return
	}
	_, _ = io.WriteString(rc.Out, q.draw())
}

// draw prints a request for people.
func (q *Request) draw() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s %s", q.At.Local().Format(time.TimeOnly), q.Method, printable(q.Path))
	if q.Times > 1 {
		fmt.Fprintf(&b, "   seen before: time %d for this event", q.Times)
	}
	b.WriteByte('\n')
	for _, name := range slices.Sorted(maps.Keys(q.Headers)) {
		fmt.Fprintf(&b, "  %s: %s\n", name, printable(q.Headers[name]))
	}
	shown := q.Body
	if len(shown) > maxShown {
		shown = shown[:maxShown] + "…"
	}
	var pretty bytes.Buffer
	if json.Indent(&pretty, []byte(q.Body), "  ", "  ") == nil && pretty.Len() <= 4*maxShown {
		shown = pretty.String()
	}
	fmt.Fprintf(&b, "\n  %s\n\n", printable(shown))
	for _, v := range q.Verdicts {
		b.WriteString("  " + v.String() + "\n")
	}
	fmt.Fprintf(&b, "  answered %d %s\n\n", q.Answer, http.StatusText(q.Answer))
	return b.String()
}

// String says what the verdict is, for people.
func (v Verdict) String() string {
	if v.Valid {
		return "✓ " + v.Scheme + ": the signature holds"
	}
	s := "✗ " + v.Scheme + ": " + v.Why
	if v.Hint != "" {
		s += "\n    " + v.Hint
	}
	return s
}

// printable keeps what a stranger sent from steering the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || r >= ' ' && r != 0x7f && (r < 0x80 || r > 0x9f) && r != utf8.RuneError {
			return r
		}
		return '·'
	}, s)
}
