package delivery

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/textproto"
	"strconv"
	"sync"
	"time"

	"github.com/atoship/caddy-webhooks/delivery/egress"
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
	now := e.clock.now()
	wake := func() {
		if err := e.wakeTargets(e.work, plan, []*Delivery{d}); err != nil { // then they wake by themselves, after this attempt
			e.log.Debug("a backup is not ready", slog.Any("error", err))
		}
	}
	target := targets{
		next: func(spent uint8) uint8 { wake(); return e.nextTarget(d, spent, e.clock.now()) },
		open: func(spent uint8) bool { wake(); return e.hasOpenTarget(d, spent, e.clock.now()) },
	}
	switch {
	case d.Event.Test: // a crash kept it from its only try
		e.deliverTest(plan, d, j.ep)
		return gate.Excluded, gate.Unused
	case now.Sub(d.Since()) > plan.Expire && !e.clock.doubtful():
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
	e.settle(d, attempted(d, j.ep, a, v, jitter(), target))
	return gateResult(v), slotUse(v)
}

// settle hands a transition to the settler. A dead letter is news.
func (e *Engine) settle(d *Delivery, t Transition) {
	exhausted := t.Progress.State == Exhausted
	if exhausted {
		e.logExhausted(d, &t)
	}
	e.settler.add(Settlement{Delivery: d, Step: d.Step, Transition: t})
	if exhausted && !IsNotice(d.Event.Type) {
		e.Notify(exhaustedNotice(d, t.At, t.Progress.Reason, t.Progress.Attempts))
	}
}

// logExhausted tells of a dead letter, and of the endpoint where it ended. Those that expire in the store are told of by
// their number.
func (e *Engine) logExhausted(d *Delivery, t *Transition) {
	last := slog.String("note", t.Note)
	if t.Attempt != nil {
		last = slog.String("outcome", t.Attempt.Outcome)
	}
	e.hot.Warn("delivery exhausted", slog.String("delivery", d.ID), slog.String("event", d.Event.ID),
		slog.String("endpoint", d.Chain[d.Target]), slog.String("reason", t.Progress.Reason), last,
		slog.Int("attempts", int(t.Progress.Attempts)))
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

// outgoing is an attempt's request, used again for the next one: nothing keeps what a transport or a signer is given.
type outgoing struct {
	egress.Call
	header  http.Header
	values  [7]string // of the headers that each attempt has
	message sign.Message
}

var outgoings = sync.Pool{New: func() any { return &outgoing{header: make(http.Header, 16)} }}

// release forgets the attempt, and what a rare one had of extra headers.
func (o *outgoing) release() {
	if len(o.header) > maxPooledHeaders {
		return
	}
	clear(o.header)
	clear(o.Secrets)
	*o = outgoing{header: o.header, Call: egress.Call{Secrets: o.Secrets[:0]}}
	outgoings.Put(o)
}

// maxPooledHeaders is twice what an attempt usually has.
const maxPooledHeaders = 32

// try makes the HTTP request and reads the answer: never more than ReadBytes, never longer than the endpoint's timeout.
// What came of it is written into the attempt.
func (e *Engine) try(ctx context.Context, plan *Plan, d *Delivery, ep *Endpoint, a *Attempt) retry.Verdict {
	out := outgoings.Get().(*outgoing)
	defer out.release()
	out.begin(e.abort, d, ep)
	err := e.transform(out, plan, d, ep, a)
	if err == nil {
		err = out.sign(plan, d, ep, a, out.Body)
	}
	if err == nil {
		a.Request = plan.heads.of(plan, d, ep, a, out.header)
		out.secrets(ep)
		err = out.send(ctx, ep)
	}
	now := e.clock.now()
	a.Duration = now.Sub(a.began)
	a.location = out.Location
	a.Address, a.Timing, a.Status = out.Address, out.Timing, out.Status
	a.ResponseFields, a.Excerpt, a.ResponseBytes = out.Fields, out.Excerpt, out.Bytes
	v := retry.Classify(retry.Result{
		Status: out.Status, Err: err, RetryAfter: out.RetryAfter, Now: now,
		Kept: out.Reused && d.LocalFaults < keptTries,
	})
	if v.Outcome == retry.Cancelled && e.abort.Err() == nil {
		// Not our stop: a transport or signer that gives up by itself is a fault of our side and backs off like one.
		v.Outcome, v.Detail = retry.Local, "cancelled"
	}
	a.Outcome, a.Detail = v.Outcome.String(), v.Detail
	if v.Hold > 0 {
		a.RetryAfter = stamp(now.Add(v.Hold))
	}
	return v
}

// begin prepares a try that ends with its endpoint's timeout, or with stop.
func (o *outgoing) begin(stop context.Context, d *Delivery, ep *Endpoint) {
	o.Call = egress.Call{
		URL: ep.URL, Header: o.header, Body: d.Event.Body, End: time.Now().Add(ep.Timeout), Stop: stop,
		Read: ReadBytes, Keep: ExcerptBytes, Secrets: o.Secrets,
	}
}

// longSecret is from which length a header's value is taken for a secret, whatever the name: words of protocols are shorter.
const longSecret = 24

// secrets notes the endpoint's own headers that must not come back into the log with the answer.
func (o *outgoing) secrets(ep *Endpoint) {
	for name, values := range ep.Header {
		for _, value := range values {
			if len(value) >= longSecret || egress.MayBeSecret(name) {
				o.Secrets = append(o.Secrets, value)
			}
		}
	}
}

// send makes the try. Its error tells our deadline and our shutdown apart.
func (o *outgoing) send(ctx context.Context, ep *Endpoint) error {
	err := o.Make(ctx, ep.Transport)
	switch {
	case err == nil:
		return nil
	case o.Stop.Err() != nil:
		return errors.Join(err, context.Cause(o.Stop))
	case !time.Now().Before(o.End):
		return errors.Join(err, retry.ErrTimeout)
	}
	return err
}

// sign fills in the headers, with signatures of the body.
func (o *outgoing) sign(plan *Plan, d *Delivery, ep *Endpoint, a *Attempt, body []byte) error {
	h := o.header
	maps.Copy(h, ep.Header)
	n, contentType := plan.headers(), d.Event.ContentType
	if a.BodyHash != nil {
		contentType = transformedType
	}
	for i, v := range [...]struct{ name, value string }{
		{"Content-Type", contentType},
		{"User-Agent", plan.UserAgent},
		{LoopHeader, LoopToken},
		{n.event, d.Event.Type},
		{n.eventID, d.Event.ID},
		{n.delivery, d.ID},
		{n.attempt, strconv.Itoa(int(a.N))},
	} {
		o.values[i] = v.value
		h[v.name] = o.values[i : i+1 : i+1]
	}
	a.trace.addTo(h)
	if d.Event.Test {
		h[n.test] = []string{"true"}
	}
	o.message = sign.Message{ID: d.Event.ID, Type: d.Event.Type, Timestamp: a.Started, URL: ep.URL, Body: body}
	if err := ep.Signer.Sign(h, &o.message); err != nil {
		return &retry.LocalFault{Code: "sign", Err: err}
	}
	return nil
}

// headerNames are our own headers' names under the plan's prefix, in canonical form.
type headerNames struct{ event, eventID, delivery, attempt, test string }

func (p *Plan) headers() *headerNames {
	p.namesOnce.Do(func() {
		name := func(suffix string) string { return textproto.CanonicalMIMEHeaderKey(p.HeaderPrefix + "-" + suffix) }
		p.names = headerNames{event: name("Event"), eventID: name("Event-Id"), delivery: name("Delivery"), attempt: name("Attempt"), test: name("Test")}
	})
	return &p.names
}
