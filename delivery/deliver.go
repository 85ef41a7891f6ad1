package delivery

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/atoship/caddy-webhooks/delivery/gate"
	"github.com/atoship/caddy-webhooks/delivery/retry"
	"github.com/atoship/caddy-webhooks/delivery/sign"
)

// LoopHeader and LoopToken mark our requests (RFC 8586), so that an endpoint that is a gateway's own ingest is refused
// there instead of delivering in circles.
const (
	LoopHeader = "Cdn-Loop"
	LoopToken  = "caddy-webhooks"
)

// deliver makes one try of a job and hands its outcome to the settler. It answers what the breaker and the slots should
// learn from it.
func (e *Engine) deliver(l *lane, j job) (gate.Result, gate.Use) {
	d, plan := j.d, e.plan.Load()
	now := time.Now()
	target := targets{
		next: func(spent uint8) uint8 { return e.nextTarget(d, spent, time.Now()) },
		open: func(spent uint8) bool { return e.hasOpenTarget(d, spent, time.Now()) },
	}
	switch {
	case d.Event.Test: // a crash kept it from its only try
		e.deliverTest(plan, d, j.ep)
		return gate.Excluded, gate.Unused
	case now.Sub(d.Event.Accepted) > plan.Expire:
		e.settle(d, expired(d, stamp(now)))
		return gate.Excluded, gate.Unused
	case d.Unknowns >= unknownsPerFailure:
		e.settle(d, lostTooOften(d, j.ep, stamp(now), jitter(), target))
		return gate.Excluded, gate.Unused
	}

	a, v := e.tryTraced(plan, d, j.ep, now)
	e.obs.Attempted(d, a)
	if v.Disable || v.Hold > 0 || !v.BreakerExcluded {
		l.learn(v, a, j.ep, IsNotice(d.Event.Type))
	}
	if v.ForceOpen {
		l.quietly(IsNotice(d.Event.Type), func() { l.forceOpen(j.ep) })
	}
	t := attempted(d, j.ep, a, v, jitter(), target)
	if t.Progress.State == Exhausted {
		e.log.Warn("delivery exhausted", slog.String("delivery", d.ID), slog.String("event", d.Event.ID),
			slog.String("endpoint", l.name), slog.String("outcome", a.Outcome), slog.Int("attempts", int(a.N)))
	}
	e.settle(d, t)
	return gateResult(v), slotUse(v)
}

// settle hands a transition to the settler. A dead letter is news.
func (e *Engine) settle(d *Delivery, t Transition) {
	e.settler.add(Settlement{Delivery: d, Step: d.Step, Transition: t})
	if t.Progress.State == Exhausted && !IsNotice(d.Event.Type) {
		e.Notify(exhaustedNotice(d, t.At, t.Progress.Reason, t.Progress.Attempts))
	}
}

// exhaustedNotice is the news of a dead letter. It is about the home endpoint.
func exhaustedNotice(d *Delivery, at time.Time, reason string, attempts uint16) Notice {
	return Notice{Type: NoticeDeliveryExhausted, Endpoint: d.Chain[0], At: at, Data: map[string]any{
		"delivery_id": d.ID, "event_id": d.Event.ID, "event_type": d.Event.Type, "reason": reason, "attempts": int(attempts),
	}}
}

// jitter is where in its range a delay falls: nobody gains by guessing it.
func jitter() float64 { return rand.Float64() } //nolint:gosec // spreads load, protects nothing

// stamp is a time as the store keeps it.
func stamp(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

func slotUse(v retry.Verdict) gate.Use {
	switch {
	case v.Success:
		return gate.Answered
	case v.Silent:
		return gate.Silent
	default:
		return gate.Unused
	}
}

// try makes the HTTP request and reads the answer: never more than ReadBytes, never longer than the endpoint's timeout.
// What came of it is written into the attempt.
func (e *Engine) try(ctx context.Context, plan *Plan, d *Delivery, ep *Endpoint, a *Attempt) retry.Verdict {
	ctx, cancel := context.WithTimeoutCause(ctx, ep.Timeout, retry.ErrTimeout)
	defer cancel()
	result := retry.Result{}
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) {
		result.Kept = c.Reused && d.LocalFaults < keptTries
		if addr := c.Conn.RemoteAddr(); addr != nil {
			a.Address = addr.String()
		}
	}})
	req, err := e.request(ctx, plan, d, ep, a)
	if err == nil {
		var resp *http.Response
		if resp, err = ep.Transport.RoundTrip(req); err == nil {
			result.Status = resp.StatusCode
			result.RetryAfter = resp.Header.Get("Retry-After")
			a.location = resp.Header.Get("Location")
			err = a.read(resp)
		}
	}
	if err != nil && ctx.Err() != nil {
		err = errors.Join(err, context.Cause(ctx)) // tells our deadline and our shutdown apart
	}
	result.Err = err
	result.Now = time.Now()
	a.Duration = time.Since(a.Started)
	a.Status = result.Status
	v := retry.Classify(result)
	if v.Outcome == retry.Cancelled && e.abort.Err() == nil {
		// Not our stop: a transport or signer that gives up by itself is a fault of our side and backs off like one.
		v.Outcome, v.Detail = retry.Local, "cancelled"
	}
	a.Outcome, a.Detail = v.Outcome.String(), v.Detail
	if v.Hold > 0 {
		a.RetryAfter = stamp(result.Now.Add(v.Hold))
	}
	return v
}

// outgoing is an attempt's request with what it points to, in one piece: a dozen small allocations less per attempt.
type outgoing struct {
	http.Request
	url    url.URL
	body   bytes.Reader
	values [7]string // of the headers that each attempt has
}

// request builds the signed request of an attempt. GetBody is set, so that another way out may be tried as long as not a byte
// was sent; nothing is ever sent twice.
func (e *Engine) request(ctx context.Context, plan *Plan, d *Delivery, ep *Endpoint, a *Attempt) (*http.Request, error) {
	out := &outgoing{url: *ep.URL}
	body := d.Event.Body
	out.body.Reset(body)
	h := make(http.Header, len(ep.Header)+len(out.values)+maxSignatureHeaders)
	maps.Copy(h, ep.Header)
	out.Request = http.Request{
		Method: http.MethodPost, URL: &out.url, Host: out.url.Host, Header: h,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Body: io.NopCloser(&out.body), ContentLength: int64(len(body)),
		GetBody: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil },
	}
	n := plan.headers()
	for i, v := range [...]struct{ name, value string }{
		{"Content-Type", d.Event.ContentType},
		{"User-Agent", plan.UserAgent},
		{LoopHeader, LoopToken},
		{n.event, d.Event.Type},
		{n.eventID, d.Event.ID},
		{n.delivery, d.ID},
		{n.attempt, strconv.Itoa(int(a.N))},
	} {
		out.values[i] = v.value
		h[v.name] = out.values[i : i+1 : i+1]
	}
	if a.trace != nil {
		a.trace.addTo(h)
	}
	if d.Event.Test {
		h[n.test] = []string{"true"}
	}
	m := sign.Message{ID: d.Event.ID, Type: d.Event.Type, Timestamp: a.Started, URL: &out.url, Body: body}
	if err := ep.Signer.Sign(h, &m); err != nil {
		return nil, &retry.LocalFault{Code: "sign", Err: err}
	}
	return out.WithContext(ctx), nil
}

// maxSignatureHeaders is how many headers the default schemes add together; others may add more.
const maxSignatureHeaders = 4

// headerNames are our own headers' names under the plan's prefix, in canonical form.
type headerNames struct{ event, eventID, delivery, attempt, test string }

func (p *Plan) headers() *headerNames {
	p.namesOnce.Do(func() {
		name := func(suffix string) string { return textproto.CanonicalMIMEHeaderKey(p.HeaderPrefix + "-" + suffix) }
		p.names = headerNames{event: name("Event"), eventID: name("Event-Id"), delivery: name("Delivery"), attempt: name("Attempt"), test: name("Test")}
	})
	return &p.names
}

// readChunk is what an attempt holds to read a body: little, because a thousand endpoints may drip theirs until the timeout.
const readChunk = 2 << 10

var readChunks = sync.Pool{New: func() any { return new([readChunk]byte) }}

// read takes up to ReadBytes of the body and keeps the first ExcerptBytes. A longer body is cut off by closing the
// connection: reading it to its end is what a response bomb wants.
func (a *Attempt) read(resp *http.Response) error {
	defer resp.Body.Close() //nolint:errcheck // nothing is left to do about it
	if resp.ContentLength == 0 {
		return nil
	}
	chunk := readChunks.Get().(*[readChunk]byte)
	defer readChunks.Put(chunk)
	for a.ResponseBytes < ReadBytes {
		n, err := resp.Body.Read(chunk[:min(readChunk, ReadBytes-a.ResponseBytes)])
		a.ResponseBytes += n
		a.Excerpt = append(a.Excerpt, chunk[:min(n, ExcerptBytes-len(a.Excerpt))]...)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil // the rest is not wanted
}
