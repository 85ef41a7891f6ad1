package delivery

import (
	"context"
	"encoding/hex"
	"net/http"
	"time"

	"github.com/atoship/caddy-webhooks/delivery/retry"
)

// Tracer makes spans of what the engine does. It is as hot as an Observer and called as concurrently; the engine without
// one does nothing in its place.
type Tracer interface {
	// Publishing: an event is about to be stored. It may set the event's Span, and what it returns, unless nil, is called
	// once with the outcome; the receipt is nil if there is an error.
	Publishing(ctx context.Context, ev *Event) (published func(*Receipt, error))
	// Attempting: a try begins. The request carries the returned context, and the Trace is the try's; nil: nobody follows it.
	Attempting(ctx context.Context, d *Delivery, ep *Endpoint, n uint16) (context.Context, *Trace)
	// Attempted: the try ended; the context is the one that Attempting returned.
	Attempted(ctx context.Context, d *Delivery, a *Attempt)
}

// Trace is what a try has of a trace.
type Trace struct {
	// Span of the try. The next try of the delivery links to it.
	Span SpanContext
	// Parent and State are the traceparent and tracestate headers to send to the endpoint; empty: none.
	Parent, State string
}

// id is the trace's id for the record, the one that the endpoint is told if it is told any.
func (t *Trace) id() string {
	switch {
	case t == nil:
		return ""
	case len(t.Parent) >= traceParentSize:
		return t.Parent[3:35]
	case t.Span.Valid():
		return hex.EncodeToString(t.Span.TraceID[:])
	default:
		return ""
	}
}

// addTo adds the headers that the endpoint is to get.
func (t *Trace) addTo(h http.Header) {
	if t == nil || t.Parent == "" {
		return
	}
	h["Traceparent"] = []string{t.Parent}
	if t.State != "" {
		h["Tracestate"] = []string{t.State}
	}
}

// traceParentSize is the length of a traceparent of version 00: version, trace id, span id and flags in hex, with dashes.
const traceParentSize = 55

// SpanContext names a span in the sense of W3C Trace Context: what another span needs to link to it. The zero value names
// none.
type SpanContext struct {
	TraceID [16]byte
	SpanID  [8]byte
	Flags   byte // bit 0: sampled
}

// Valid tells whether it names a span.
func (s SpanContext) Valid() bool { return s.TraceID != [16]byte{} && s.SpanID != [8]byte{} }

// Sampled tells whether the span is recorded somewhere.
func (s SpanContext) Sampled() bool { return s.Flags&1 != 0 }

// TraceParent writes it as a traceparent header.
func (s SpanContext) TraceParent() string {
	b := append(make([]byte, 0, traceParentSize), "00-"...)
	b = append(hex.AppendEncode(b, s.TraceID[:]), '-')
	b = append(hex.AppendEncode(b, s.SpanID[:]), '-')
	return string(hex.AppendEncode(b, []byte{s.Flags}))
}

// tryTraced makes one try, as a span of the tracer if there is one. Without one the endpoint gets, where it is to get any,
// the trace context that the event came with.
func (e *Engine) tryTraced(plan *Plan, d *Delivery, ep *Endpoint, now time.Time) (*Attempt, retry.Verdict) {
	a := &Attempt{N: d.Attempts + 1, Endpoint: ep.Name, Started: now.UTC(), began: now}
	if e.tracer == nil {
		if ep.TraceContext {
			a.trace = &Trace{Parent: d.Event.TraceParent, State: d.Event.TraceState}
			a.TraceID = a.trace.id()
		}
		return a, e.try(e.abort, plan, d, ep, a)
	}
	ctx, trace := e.tracer.Attempting(e.abort, d, ep, a.N)
	a.trace, a.TraceID = trace, trace.id()
	v := e.try(ctx, plan, d, ep, a)
	e.tracer.Attempted(ctx, d, a)
	return a, v
}

// follow notes the attempt's span for the next attempt.
func (p *Progress) follow(a *Attempt) {
	if a.trace != nil && a.trace.Span.Valid() {
		p.Span = a.trace.Span
	}
}

// publish stores an event of the gateway's own making.
func (e *Engine) publish(ctx context.Context, a Accept) ([]Receipt, error) {
	var published func(*Receipt, error)
	if e.tracer != nil {
		published = e.tracer.Publishing(ctx, a.Event)
	}
	receipts, err := e.store.Append(ctx, []Accept{a})
	switch {
	case published == nil:
	case err != nil:
		published(nil, err)
	default:
		published(&receipts[0], nil)
	}
	return receipts, err
}

// acceptTraced makes a span of each event's acceptance.
func (e *Engine) acceptTraced(ctx context.Context, evs []*Event) ([]Receipt, error) {
	published := make([]func(*Receipt, error), len(evs))
	for i, ev := range evs {
		published[i] = e.tracer.Publishing(ctx, ev)
	}
	receipts, err := e.accept(ctx, evs)
	for i, tell := range published {
		switch {
		case tell == nil:
		case err != nil:
			tell(nil, err)
		default:
			tell(&receipts[i], nil)
		}
	}
	return receipts, err
}
