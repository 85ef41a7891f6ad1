package telemetry

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/egress"
	"github.com/atoship/caddy-webhooks/delivery/retry"
)

// attempt makes the spans of one attempt at a that ended so.
func (r *rig) attempt(a *delivery.Attempt) {
	d := &delivery.Delivery{Event: &delivery.Event{ID: "evt_1", Type: "label.created"}, Chain: []string{"a"}}
	ctx, _ := r.tracing.Attempting(r.t.Context(), d, r.plan.Endpoints["a"], 1)
	r.tracing.Attempted(ctx, d, a)
	time.Sleep(time.Millisecond) // spans are ordered by their time
}

func TestTheSpanOfARequestTellsItsPhasesAndWhoAnswered(t *testing.T) {
	t.Parallel()
	inRig(t, nil, func(t *testing.T, r *rig) {
		r.attempt(&delivery.Attempt{Outcome: "delivered", Status: 204, Address: "203.0.113.7:443", Timing: egress.Timing{
			DNS: 12 * time.Millisecond, Connect: 1500 * time.Microsecond, TLS: 250 * time.Microsecond, FirstByte: 3 * time.Second,
		}})
		r.attempt(&delivery.Attempt{Outcome: "delivered", Status: 200, Address: "[2001:db8::7]:8443", Timing: egress.Timing{FirstByte: time.Millisecond}})
		r.attempt(&delivery.Attempt{Outcome: "dns_error", Timing: egress.Timing{DNS: 5 * time.Second}})
		for i, want := range []struct{ status, version, peer, port, dns, connect, tls, firstByte string }{
			{"204", "1.1", "203.0.113.7", "443", "12", "1.5", "0.25", "3000"},
			{"200", "1.1", "2001:db8::7", "8443", "", "", "", "1"}, // a kept connection
			{"", "", "", "", "5000", "", "", ""},                   // nobody was reached
		} {
			const timing = "messaging.caddy_webhooks.timing."
			attrs(t, r.named("POST", i), map[string]string{
				"http.response.status_code": want.status, "network.protocol.version": want.version,
				"network.peer.address": want.peer, "network.peer.port": want.port,
				timing + "dns_ms": want.dns, timing + "connect_ms": want.connect, timing + "tls_ms": want.tls, timing + "first_byte_ms": want.firstByte,
			})
		}
	})
}

func TestTheErrorTypeOfASpanIsAnOutcomeOfTheClosedListAndDocumented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../caddymodule/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, documented, _ := strings.Cut(string(text), "An attempt that failed has the outcome as `error.type`: ")
	documented, _, _ = strings.Cut(documented, ". ")
	inRig(t, nil, func(t *testing.T, r *rig) {
		wires := 0
		for i, o := range retry.Outcomes() {
			r.attempt(&delivery.Attempt{Outcome: o.String(), Detail: "in words"})
			failed, code := o.String(), codes.Error
			if o == retry.Delivered {
				failed, code = "", codes.Unset
			}
			spans := []tracetest.SpanStub{r.named("deliver a", i)}
			if o != retry.Local && o != retry.TransformError {
				spans = append(spans, r.named("POST", wires))
				wires++
			}
			for _, s := range spans {
				if attrs(t, s, map[string]string{"error.type": failed}); s.Status.Code != code {
					t.Errorf("%s of an attempt that ended as %s has the status %v", s.Name, o, s.Status)
				}
			}
			if known := strings.Contains(documented, "`"+o.String()+"`"); known != (o != retry.Delivered && o != retry.Unknown) { // nobody saw an unknown end
				t.Errorf("%s is documented as an error.type: %t", o, known)
			}
		}
		if n := len(r.spans()); n != len(retry.Outcomes())+wires {
			t.Errorf("%d spans: a request that was not made is among them", n)
		}
	})
}

// TestWhateverIsTriedIsATraceOfItsOwn: a retry a day later, a redelivery, a replay and a test.
func TestWhateverIsTriedIsATraceOfItsOwn(t *testing.T) {
	t.Parallel()
	inRig(t, func(r *rig) {
		r.plan.Endpoints["a"].Backups, r.plan.Endpoints["a"].Retry = nil, retry.Schedule{Delays: []time.Duration{24 * time.Hour}}
		r.plan.Expire = 7 * 24 * time.Hour
	}, func(t *testing.T, r *rig) {
		r.publish(t.Context(), &delivery.Event{Type: "label.created", TraceParent: supplied})
		pass(time.Minute)
		r.answers("a", 200)
		r.restart()
		pass(30 * time.Hour)
		rec, err := r.e.Journal().Event(t.Context(), "evt_1", nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.e.Redeliver(t.Context(), rec.Deliveries[0].ID); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		if _, err := r.e.ReplayEvent(t.Context(), "evt_1", nil, ""); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		test := &delivery.Event{ID: "evt_test", Type: "webhooks.test", Accepted: time.Now().UTC(), ContentType: "application/json", Body: []byte(`{}`)}
		if _, err := r.e.Test(t.Context(), "a", test); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)

		publish, tested := r.named("publish label.created", 0), r.named("publish webhooks.test", 0)
		var before tracetest.SpanStub
		for i, of := range []tracetest.SpanStub{publish, publish, publish, publish, tested} {
			s := r.named("deliver a", i)
			if s.Parent.IsValid() || s.SpanContext.TraceID() == of.SpanContext.TraceID() || s.SpanContext.TraceID() == before.SpanContext.TraceID() {
				t.Errorf("attempt %d is no trace of its own: %v, parent %v", i+1, s.SpanContext, s.Parent)
			}
			if of.Name == tested.Name {
				before = tracetest.SpanStub{} // of another event
			}
			links(t, s, map[string]tracetest.SpanStub{"publish": of, "previous_attempt": before})
			before = s
		}
		if n := len(r.spans()); n != 2+2*5 {
			t.Errorf("%d spans, want two of publishing and two of each attempt", n)
		}
	})
}

// TestThePublishersSamplingGoesBeforeTheEnvironments: here the environment would record nothing, of no event.
func TestThePublishersSamplingGoesBeforeTheEnvironments(t *testing.T) {
	t.Setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
	t.Setenv("OTEL_TRACES_SAMPLER_ARG", "0")
	for _, c := range []struct {
		name, traceparent string
		spans             int
	}{
		{"an event that its publisher records, with its retry after a restart and its failover", supplied, 7},
		{"an event that its publisher does not record", suppliedUnheard, 0},
		{"an event of a publisher that does not say", "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			inRig(t, nil, func(t *testing.T, r *rig) {
				ev := r.publish(t.Context(), &delivery.Event{Type: "label.created", TraceParent: c.traceparent})
				pass(time.Second)
				r.restart()
				pass(2 * time.Minute)
				if n := len(r.spans()); n != c.spans || len(r.sent) != 3 {
					t.Errorf("%d spans of %d attempts, want %d", n, len(r.sent), c.spans)
				}
				if !ev.Span.Valid() || ev.Span.Sampled() != (c.spans > 0) || c.traceparent != "" && fmt.Sprintf("%x", ev.Span.TraceID) != supplied[3:35] {
					t.Errorf("the event is stored with %+v", ev.Span)
				}
			})
		})
	}
}

// TestTheSamplerOfTheEnvironmentDecidesAsTheSDKItselfWould: also where it is not asked.
func TestTheSamplerOfTheEnvironmentDecidesAsTheSDKItselfWould(t *testing.T) {
	for _, c := range []struct {
		sampler, ratio string
		heeds          bool
	}{
		{"", "", true},
		{"always_on", "", false},
		{"always_off", "", true},
		{"traceidratio", "0.5", false},
		{"traceidratio", "0.000001", false},
		{"traceidratio", "0", true},
		{"parentbased_always_on", "", true},
		{"parentbased_always_off", "", true},
		{"parentbased_traceidratio", "0.5", true},
	} {
		t.Run(c.sampler+" "+c.ratio, func(t *testing.T) {
			if c.sampler != "" {
				t.Setenv("OTEL_TRACES_SAMPLER", c.sampler)
			}
			if c.ratio != "" {
				t.Setenv("OTEL_TRACES_SAMPLER_ARG", c.ratio)
			}
			sdk := sdktrace.NewTracerProvider().Tracer("test")
			tracing := newTracing(&exporter{SpanExporter: tracetest.NewNoopExporter(), log: slog.New(slog.DiscardHandler)}, resource.Empty())
			defer func() { _ = tracing.Shutdown(context.Background()) }()
			if tracing.heeds != c.heeds {
				t.Errorf("heeds parents: %t", tracing.heeds)
			}
			for i := range 200 {
				ev := &delivery.Event{TraceParent: fmt.Sprintf("00-0123456789abcdef%016x-b7ad6b7169203331-%02x", uint64(i)<<56|1, i%2)}
				ctx := trace.ContextWithRemoteSpanContext(t.Context(), suppliedContext(ev))
				_, want := sdk.Start(ctx, "publish")
				published := tracing.Publishing(t.Context(), ev)
				got, again := ev.Span, &delivery.Event{}
				tracing.Publishing(ctx, again)
				if (published != nil) != want.IsRecording() || got.Sampled() != want.SpanContext().IsSampled() || got.TraceID != want.SpanContext().TraceID() ||
					!got.Valid() || again.Span.Sampled() != got.Sampled() || again.Span.TraceID != got.TraceID || again.Span.SpanID == got.SpanID {
					t.Fatalf("%s: %+v and %+v, the SDK %v", ev.TraceParent, got, again.Span, want.SpanContext())
				}
			}
		})
	}
}

func TestWhyAnEventWasRefusedIsOneOfAFewWords(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		"conflict":    fmt.Errorf("accept: %w", &delivery.ConflictError{ID: "one"}),
		"backlog":     fmt.Errorf("accept: %w", &delivery.BacklogError{Endpoint: "a"}),
		"too_large":   delivery.ErrTooLarge,
		"stopping":    delivery.ErrStopping,
		"unavailable": fmt.Errorf("append: %w", delivery.ErrUnavailable),
		"cancelled":   fmt.Errorf("append: %w", context.DeadlineExceeded),
		"internal":    fmt.Errorf("event %s: secret", "one"),
	} {
		if got := refusal(err); got != want {
			t.Errorf("%v: %s, want %s", err, got, want)
		}
	}
}
