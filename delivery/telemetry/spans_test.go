package telemetry

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/contrib/propagators/autoprop"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/atoship/caddy-webhooks/delivery"
)

const (
	supplied        = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	suppliedUnheard = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
)

// TestTheWholeStoryOfAnEvent has a failure, a retry after a restart, and a failover.
func TestTheWholeStoryOfAnEvent(t *testing.T) {
	t.Parallel()
	inRig(t, nil, func(t *testing.T, r *rig) {
		ev := r.publish(t.Context(), &delivery.Event{Type: "label.created", TraceParent: supplied})
		pass(time.Second)
		r.restart()
		pass(2 * time.Minute)

		publish := r.named("publish label.created", 0)
		if publish.SpanKind != trace.SpanKindProducer || publish.Parent.SpanID().String() != supplied[36:52] ||
			publish.SpanContext.TraceID().String() != supplied[3:35] {
			t.Errorf("publish: %v, parent %v", publish.SpanKind, publish.Parent)
		}
		attrs(t, publish, map[string]string{
			"messaging.system": "caddy_webhooks", "messaging.operation.name": "publish", "messaging.operation.type": "send",
			"messaging.destination.name": "label.created", "messaging.message.id": "evt_1",
			"messaging.caddy_webhooks.event.duplicate": "false", "messaging.caddy_webhooks.event.deliveries": "1",
		})
		if ev.TraceParent != supplied || ev.Span.TraceParent() != "00-"+supplied[3:35]+"-"+publish.SpanContext.SpanID().String()+"-01" {
			t.Errorf("stored: supplied %s, own %s", ev.TraceParent, ev.Span.TraceParent())
		}

		var before tracetest.SpanStub
		for i, want := range []struct{ endpoint, outcome, status, resend string }{
			{"a", "server_error", "500", ""}, {"a", "server_error", "500", "1"}, {"b", "delivered", "200", "2"},
		} {
			n := map[string]int{"a": i, "b": 0}[want.endpoint]
			deliver, wire := r.named("deliver "+want.endpoint, n), r.named("POST", i)
			if deliver.SpanKind != trace.SpanKindConsumer || deliver.Parent.IsValid() || deliver.SpanContext.TraceID() == publish.SpanContext.TraceID() {
				t.Errorf("attempt %d is no trace of its own: %v, %v", i+1, deliver.SpanKind, deliver.Parent)
			}
			links(t, deliver, map[string]tracetest.SpanStub{"publish": publish, "previous_attempt": before})
			failed := map[bool]string{true: "", false: want.outcome}[want.outcome == "delivered"]
			attrs(t, deliver, map[string]string{
				"messaging.operation.name": "deliver", "messaging.operation.type": "process", "messaging.destination.name": want.endpoint,
				"messaging.caddy_webhooks.delivery.attempt": fmt.Sprint(i + 1), "messaging.caddy_webhooks.delivery.outcome": want.outcome,
				"error.type": failed, "messaging.caddy_webhooks.event.type": "label.created", "messaging.caddy_webhooks.route": "r",
			})
			if wire.SpanKind != trace.SpanKindClient || wire.Parent.SpanID() != deliver.SpanContext.SpanID() || (wire.Status.Code == codes.Error) != (failed != "") {
				t.Errorf("request %d: %v, parent %v, status %v", i+1, wire.SpanKind, wire.Parent, wire.Status)
			}
			attrs(t, wire, map[string]string{
				"http.request.method": "POST", "http.response.status_code": want.status, "http.request.resend_count": want.resend,
				"server.address": want.endpoint + ".example.com", "server.port": "443", "error.type": failed,
				"url.full": "https://" + want.endpoint + ".example.com/in?plain=REDACTED&token=REDACTED",
			})
			before = deliver
		}
		if n := len(r.spans()); n != 7 {
			t.Errorf("%d spans, want 7", n)
		}
		for _, s := range r.spans() {
			if text := fmt.Sprintf("%+v", s); strings.Contains(text, "hush") || strings.Contains(text, "a payload") || strings.Contains(text, "secret") {
				t.Errorf("a span tells too much: %s", text)
			}
		}
	})
}

// links checks what a span links to; spans that do not exist are not wanted.
func links(t *testing.T, s tracetest.SpanStub, want map[string]tracetest.SpanStub) {
	t.Helper()
	n := 0
	for what, to := range want {
		if !to.SpanContext.IsValid() {
			continue
		}
		n++
		found := false
		for _, l := range s.Links {
			found = found || attr(l.Attributes, "messaging.caddy_webhooks.link") == what &&
				l.SpanContext.TraceID() == to.SpanContext.TraceID() && l.SpanContext.SpanID() == to.SpanContext.SpanID()
		}
		if !found {
			t.Errorf("%s has no link to %s: %+v", s.Name, what, s.Links)
		}
	}
	if len(s.Links) != n {
		t.Errorf("%s has %d links, want %d", s.Name, len(s.Links), n)
	}
}

func TestAttemptsMayBePartsOfTheEventsTrace(t *testing.T) {
	t.Parallel()
	inRig(t, func(r *rig) {
		r.plan.Endpoints["a"].TraceParent = true
	}, func(t *testing.T, r *rig) {
		r.publish(t.Context(), &delivery.Event{Type: "label.created"})
		pass(2 * time.Minute)
		publish, first, second := r.named("publish label.created", 0), r.named("deliver a", 0), r.named("deliver a", 1)
		for _, s := range []tracetest.SpanStub{first, second} {
			if s.Parent.SpanID() != publish.SpanContext.SpanID() || s.SpanContext.TraceID() != publish.SpanContext.TraceID() {
				t.Errorf("%s is no child of %v: %v", s.Name, publish.SpanContext, s.Parent)
			}
		}
		links(t, second, map[string]tracetest.SpanStub{"previous_attempt": first})
		if other := r.named("deliver b", 0); other.Parent.IsValid() {
			t.Error("an endpoint that did not ask for it is in the event's trace")
		}
	})
}

func TestAnEventThatItsPublisherDoesNotRecordIsNotRecorded(t *testing.T) {
	t.Parallel()
	inRig(t, func(r *rig) {
		r.plan.Endpoints["b"].TraceContext = true
	}, func(t *testing.T, r *rig) {
		r.publish(t.Context(), &delivery.Event{Type: "label.created", TraceParent: suppliedUnheard})
		pass(2 * time.Minute)
		if n := len(r.spans()); n != 0 {
			t.Errorf("%d spans", n)
		}
		parent := r.sent[2].Header.Get("Traceparent")
		if len(r.sent) != 3 || r.sent[0].Header.Get("Traceparent") != "" || !strings.HasSuffix(parent, "-00") || parent[3:35] == supplied[3:35] {
			t.Errorf("b was told %q", parent) // it is not to record it either, and learns nothing of the publisher
		}
	})
}

func TestARequestsOwnSpanIsTheParentAndWhatTheEventBringsIsLinked(t *testing.T) {
	t.Parallel()
	inRig(t, nil, func(t *testing.T, r *rig) {
		ctx, server := r.tracing.asked.Start(t.Context(), "POST /events")
		r.publish(ctx, &delivery.Event{Type: "label.created", TraceParent: supplied, TraceState: "k=v"})
		server.End()
		pass(time.Second)
		publish, deliver := r.named("publish label.created", 0), r.named("deliver a", 0)
		if publish.Parent.SpanID() != server.SpanContext().SpanID() {
			t.Errorf("parent %v", publish.Parent)
		}
		creation := tracetest.SpanStub{SpanContext: suppliedContext(&delivery.Event{TraceParent: supplied})}
		links(t, publish, map[string]tracetest.SpanStub{"supplied": creation})
		links(t, deliver, map[string]tracetest.SpanStub{"supplied": creation, "publish": publish})
		if got := publish.Links[0].SpanContext.TraceState().String(); got != "k=v" {
			t.Errorf("trace state %q", got)
		}
	})
}

func TestAnEndpointIsToldTheSpanOfItsRequestOnlyWhenItIsToBe(t *testing.T) {
	t.Parallel()
	inRig(t, func(r *rig) {
		r.plan.Endpoints["b"].TraceContext = true
	}, func(t *testing.T, r *rig) {
		r.publish(baggage(t.Context()), &delivery.Event{Type: "label.created", TraceParent: supplied, TraceState: "k=v"})
		pass(2 * time.Minute)
		wire := r.named("POST", 2).SpanContext
		for i, want := range []string{"", "", "00-" + wire.TraceID().String() + "-" + wire.SpanID().String() + "-01"} {
			h := r.sent[i].Header
			if h.Get("Traceparent") != want || h.Get("Tracestate") != "" || h.Get("Baggage") != "" {
				t.Errorf("request %d: %v", i+1, h)
			}
		}
	})
}

// baggage is a context with some, as an operator's OTEL_PROPAGATORS may have it.
func baggage(ctx context.Context) context.Context {
	t := &Tracing{propagators: autoprop.NewTextMapPropagator()}
	r := &http.Request{Header: http.Header{"Baggage": {"customer=42"}}}
	return t.Join(r.WithContext(ctx)).Context()
}

func TestAFaultOfOurOwnIsNoRequest(t *testing.T) {
	t.Parallel()
	inRig(t, func(r *rig) { r.answers("a", 0) }, func(t *testing.T, r *rig) {
		r.publish(t.Context(), &delivery.Event{Type: "label.created"})
		pass(time.Millisecond)
		attrs(t, r.named("deliver a", 0), map[string]string{"error.type": "local"})
		for _, s := range r.spans() {
			if s.Name == "POST" {
				t.Error("a request that was not made is in the trace")
			}
		}
	})
}

func TestAnEventThatIsRefusedIsToldWhy(t *testing.T) {
	t.Parallel()
	inRig(t, nil, func(t *testing.T, r *rig) {
		r.store.Fail()
		if _, err := r.e.Accept(t.Context(), []*delivery.Event{{ID: "one", Type: "label.created"}}); err == nil {
			t.Error("accepted")
		}
		r.store.Recover()
		s := r.named("publish label.created", 0)
		attrs(t, s, map[string]string{"error.type": "unavailable"})
		if s.Status.Code != codes.Error {
			t.Errorf("status %v", s.Status)
		}
	})
}

func TestEventsAcceptedBeforeThereWasTracingAreTracedAllTheSame(t *testing.T) {
	t.Parallel()
	inRig(t, nil, func(t *testing.T, r *rig) {
		r.publish(t.Context(), &delivery.Event{Type: "label.created", TraceParent: supplied})
		pass(time.Second)
		r.publish(t.Context(), &delivery.Event{ID: "two", Type: "label.created"})
		pass(time.Second)
		for _, ev := range []*delivery.Event{{TraceParent: supplied}, {}} {
			d := &delivery.Delivery{Event: ev, Chain: []string{"a"}}
			ctx, tr := r.tracing.Attempting(t.Context(), d, r.plan.Endpoints["a"], 1)
			r.tracing.Attempted(ctx, d, &delivery.Attempt{Outcome: "delivered"})
			if !tr.Span.Sampled() {
				t.Errorf("an attempt of %+v is not recorded", ev)
			}
		}
	})
}
