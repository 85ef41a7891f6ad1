package telemetry

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/retry"
)

// What the conventions have no attribute for.
const (
	attrEventType    = attribute.Key("messaging.caddy_webhooks.event.type")
	attrEnvironment  = attribute.Key("messaging.caddy_webhooks.event.environment")
	attrDuplicate    = attribute.Key("messaging.caddy_webhooks.event.duplicate")
	attrDeliveries   = attribute.Key("messaging.caddy_webhooks.event.deliveries")
	attrDelivery     = attribute.Key("messaging.caddy_webhooks.delivery.id")
	attrAttempt      = attribute.Key("messaging.caddy_webhooks.delivery.attempt")
	attrOutcome      = attribute.Key("messaging.caddy_webhooks.delivery.outcome")
	attrRoute        = attribute.Key("messaging.caddy_webhooks.route")
	attrLinkTo       = attribute.Key("messaging.caddy_webhooks.link")
	attrDNS          = attribute.Key("messaging.caddy_webhooks.timing.dns_ms")
	attrConnect      = attribute.Key("messaging.caddy_webhooks.timing.connect_ms")
	attrTLS          = attribute.Key("messaging.caddy_webhooks.timing.tls_ms")
	attrFirstByte    = attribute.Key("messaging.caddy_webhooks.timing.first_byte_ms")
	linkToPublish    = "publish"
	linkToSupplied   = "supplied"
	linkToLast       = "previous_attempt"
	system           = "caddy_webhooks"
	operationPublish = "publish"
	operationDeliver = "deliver"
)

// producer is how a span of publishing begins, made once: of a hundred events, most often, 99 are not recorded, and all that
// tracing does for them is to ask the sampler.
var producer = []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindProducer)}

// Publishing implements delivery.Tracer. The span is a child of the request's or, without one, of what the event itself
// brought along; a context that the event brought and that is not its parent is linked.
func (t *Tracing) Publishing(ctx context.Context, ev *delivery.Event) func(*delivery.Receipt, error) {
	supplied := suppliedContext(ev)
	parent := trace.SpanContextFromContext(ctx)
	decides := parent
	if !decides.IsValid() {
		decides = supplied
	}
	if t.heeds && decides.IsValid() && !decides.IsSampled() { // the publisher has said no
		ev.Span = kept(decides)
		ev.Span.SpanID = newSpanID()
		return nil
	}
	options := producer
	switch {
	case !parent.IsValid() && !supplied.IsValid():
		ctx = context.Background() // has no parent either, and that is found at once: a request's is a chain of a dozen values
	case !parent.IsValid():
		ctx = trace.ContextWithRemoteSpanContext(context.Background(), supplied)
	case supplied.IsValid() && (parent.TraceID() != supplied.TraceID() || parent.SpanID() != supplied.SpanID()):
		options = []trace.SpanStartOption{producer[0], trace.WithLinks(linkTo(supplied, linkToSupplied))}
	}
	_, span := t.asked.Start(ctx, operationPublish, options...)
	ev.Span = kept(span.SpanContext())
	if !span.IsRecording() {
		return nil
	}
	span.SetName(operationPublish + " " + ev.Type)
	span.SetAttributes(
		semconv.MessagingSystemKey.String(system),
		semconv.MessagingOperationName(operationPublish), semconv.MessagingOperationTypeSend,
		semconv.MessagingDestinationName(ev.Type), semconv.MessagingMessageID(ev.ID),
		attrEventType.String(ev.Type), attrEnvironment.String(ev.Environment),
	)
	return func(r *delivery.Receipt, err error) {
		if err != nil {
			reason := refusal(err)
			span.SetAttributes(semconv.ErrorTypeKey.String(reason))
			span.SetStatus(codes.Error, reason)
		} else {
			span.SetAttributes(attrDuplicate.Bool(r.Duplicate), attrDeliveries.Int(len(r.Deliveries)))
		}
		span.End()
	}
}

// refusal is why an event was not stored, in one of a few words.
func refusal(err error) string {
	var conflict *delivery.ConflictError
	var backlog *delivery.BacklogError
	switch {
	case errors.As(err, &conflict):
		return "conflict"
	case errors.As(err, &backlog):
		return "backlog"
	case errors.Is(err, delivery.ErrTooLarge):
		return "too_large"
	case errors.Is(err, delivery.ErrStopping):
		return "stopping"
	case errors.Is(err, delivery.ErrUnavailable):
		return "unavailable"
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return "cancelled"
	default:
		return "internal"
	}
}

// try is the spans of an attempt under way; its request's context holds it.
type try struct{ deliver, wire trace.Span }

type tryKey struct{}

// Attempting implements delivery.Tracer.
func (t *Tracing) Attempting(ctx context.Context, d *delivery.Delivery, ep *delivery.Endpoint, n uint16) (context.Context, *delivery.Trace) {
	published := remote(d.Event.Span, "")
	if !published.IsValid() { // accepted while nobody traced
		published = suppliedContext(d.Event)
	}
	before := remote(d.Span, "")
	decided := published // whose sampling the attempt's is
	if !decided.IsValid() {
		decided = before
	}
	if decided.IsValid() && !decided.IsSampled() {
		return ctx, unrecorded(ep)
	}

	var links []trace.Link
	if published.IsValid() && !ep.TraceParent {
		links = append(links, linkTo(published, linkToPublish))
	}
	if supplied := suppliedContext(d.Event); supplied.IsValid() && supplied.TraceID() != published.TraceID() {
		links = append(links, linkTo(supplied, linkToSupplied))
	}
	if before.IsValid() {
		links = append(links, linkTo(before, linkToLast))
	}
	tracer, start := t.asked, ctx
	options := []trace.SpanStartOption{
		trace.WithSpanKind(trace.SpanKindConsumer), trace.WithLinks(links...),
		trace.WithAttributes(deliverAttributes(d, ep, n)...),
	}
	switch {
	case ep.TraceParent && published.IsValid():
		start = trace.ContextWithRemoteSpanContext(ctx, published)
	default:
		options = append(options, trace.WithNewRoot())
		if decided.IsValid() {
			tracer = t.followed
		}
	}
	start, span := tracer.Start(start, operationDeliver+" "+ep.Name, options...)
	start, wire := tracer.Start(start, "POST", trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(wireAttributes(ep, n)...))
	tr := &delivery.Trace{Span: kept(span.SpanContext())}
	if ep.TraceContext {
		sc := wire.SpanContext()
		tr.Parent, tr.State = kept(sc).TraceParent(), sc.TraceState().String()
	}
	if !span.IsRecording() {
		return ctx, tr
	}
	return context.WithValue(start, tryKey{}, &try{span, wire}), tr
}

// unrecorded is the trace of an attempt that is not to be recorded: most often none. An endpoint that is told of traces is
// told that, under an id that nobody else has.
func unrecorded(ep *delivery.Endpoint) *delivery.Trace {
	if !ep.TraceContext {
		return nil
	}
	s := delivery.SpanContext{SpanID: newSpanID()}
	binary.NativeEndian.PutUint64(s.TraceID[:8], rand.Uint64()) //nolint:gosec // names, keeps no secret
	binary.NativeEndian.PutUint64(s.TraceID[8:], rand.Uint64()) //nolint:gosec // names, keeps no secret
	return &delivery.Trace{Parent: s.TraceParent()}
}

// newSpanID is one that nobody else has, and never that of no span.
func newSpanID() (id [8]byte) {
	binary.NativeEndian.PutUint64(id[:], rand.Uint64()|1) //nolint:gosec // names, keeps no secret
	return id
}

// Attempted implements delivery.Tracer.
func (*Tracing) Attempted(ctx context.Context, _ *delivery.Delivery, a *delivery.Attempt) {
	s, _ := ctx.Value(tryKey{}).(*try)
	if s == nil {
		return
	}
	if o := retry.Outcome(a.Outcome); o != retry.Local && o != retry.TransformError { // else no request was made: a span that does not end is not exported
		s.wire.SetAttributes(answerAttributes(a)...)
		end(s.wire, a)
	}
	s.deliver.SetAttributes(attrOutcome.String(a.Outcome))
	end(s.deliver, a)
}

// answerAttributes are what came of a request: who answered what, and the phases that it went through, of which a kept
// connection has one.
func answerAttributes(a *delivery.Attempt) []attribute.KeyValue {
	attrs := make([]attribute.KeyValue, 0, 8)
	if a.Status != 0 {
		attrs = append(attrs, semconv.HTTPResponseStatusCode(a.Status), semconv.NetworkProtocolVersion("1.1"))
	}
	if peer, err := netip.ParseAddrPort(a.Address); err == nil {
		attrs = append(attrs, semconv.NetworkPeerAddress(peer.Addr().String()), semconv.NetworkPeerPort(int(peer.Port())))
	}
	t := &a.Timing
	for _, p := range [...]struct {
		key  attribute.Key
		took time.Duration
	}{{attrDNS, t.DNS}, {attrConnect, t.Connect}, {attrTLS, t.TLS}, {attrFirstByte, t.FirstByte}} {
		if p.took > 0 {
			attrs = append(attrs, p.key.Float64(float64(p.took.Microseconds())/1000))
		}
	}
	return attrs
}

// end ends a span of an attempt with what became of it.
func end(span trace.Span, a *delivery.Attempt) {
	if a.Outcome != string(retry.Delivered) {
		span.SetAttributes(semconv.ErrorTypeKey.String(a.Outcome))
		span.SetStatus(codes.Error, a.Detail)
	}
	span.End()
}

func deliverAttributes(d *delivery.Delivery, ep *delivery.Endpoint, n uint16) []attribute.KeyValue {
	return []attribute.KeyValue{
		semconv.MessagingSystemKey.String(system),
		semconv.MessagingOperationName(operationDeliver), semconv.MessagingOperationTypeProcess,
		semconv.MessagingDestinationName(ep.Name), semconv.MessagingMessageID(d.Event.ID),
		attrEventType.String(d.Event.Type), attrEnvironment.String(d.Event.Environment),
		attrDelivery.String(d.ID), attrAttempt.Int(int(n)), attrRoute.String(d.Route),
	}
}

func wireAttributes(ep *delivery.Endpoint, n uint16) []attribute.KeyValue {
	attrs := []attribute.KeyValue{
		semconv.HTTPRequestMethodPost, semconv.URLFull(redacted(ep.URL)), semconv.URLScheme(ep.URL.Scheme),
		semconv.ServerAddress(ep.URL.Hostname()), semconv.ServerPort(port(ep.URL)),
	}
	if n > 1 {
		attrs = append(attrs, semconv.HTTPRequestResendCount(int(n)-1))
	}
	return attrs
}

func port(u *url.URL) int {
	n, err := strconv.Atoi(u.Port())
	switch {
	case err == nil:
		return n
	case u.Scheme == "http":
		return 80
	default:
		return 443
	}
}

// redacted is a URL without user information and without the values of its query.
func redacted(u *url.URL) string {
	shown := *u
	if shown.User != nil {
		shown.User = url.UserPassword("REDACTED", "REDACTED")
	}
	if q := shown.Query(); len(q) > 0 {
		for name := range q {
			q[name] = []string{"REDACTED"}
		}
		shown.RawQuery = q.Encode()
	} else {
		shown.RawQuery = ""
	}
	return shown.String()
}

func linkTo(sc trace.SpanContext, what string) trace.Link {
	return trace.Link{SpanContext: sc, Attributes: []attribute.KeyValue{attrLinkTo.String(what)}}
}

// kept is a span's context in the form that goes on record.
func kept(sc trace.SpanContext) delivery.SpanContext {
	return delivery.SpanContext{TraceID: sc.TraceID(), SpanID: sc.SpanID(), Flags: byte(sc.TraceFlags())}
}

// remote is the context of a span on record.
func remote(s delivery.SpanContext, state string) trace.SpanContext {
	c := trace.SpanContextConfig{TraceID: s.TraceID, SpanID: s.SpanID, TraceFlags: trace.TraceFlags(s.Flags), Remote: true}
	if state != "" {
		c.TraceState, _ = trace.ParseTraceState(state) // what cannot be read is left out
	}
	return trace.NewSpanContext(c)
}

// suppliedContext is the trace context that an event came with, which was checked when it came.
func suppliedContext(ev *delivery.Event) trace.SpanContext {
	p := ev.TraceParent
	if len(p) < 55 {
		return trace.SpanContext{}
	}
	var s delivery.SpanContext
	var flags [1]byte
	for _, part := range []struct {
		to   []byte
		text string
	}{{s.TraceID[:], p[3:35]}, {s.SpanID[:], p[36:52]}, {flags[:], p[53:55]}} {
		if _, err := hex.Decode(part.to, []byte(part.text)); err != nil {
			return trace.SpanContext{}
		}
	}
	s.Flags = flags[0]
	return remote(s, ev.TraceState)
}

var _ delivery.Tracer = (*Tracing)(nil)
