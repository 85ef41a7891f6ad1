package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
)

// diary is a tracer that writes down what it is told.
type diary struct {
	mu    sync.Mutex
	spans byte
	lines []string
}

func (d *diary) note(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, fmt.Sprintf(format, args...))
}

// span makes one that is named by a number.
func (d *diary) span() delivery.SpanContext {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.spans++
	return delivery.SpanContext{TraceID: [16]byte{d.spans}, SpanID: [8]byte{d.spans}, Flags: 1}
}

func (d *diary) Publishing(_ context.Context, ev *delivery.Event) func(*delivery.Receipt, error) {
	ev.Span = d.span()
	d.note("publish %s as %d", ev.ID, ev.Span.SpanID[0])
	return func(r *delivery.Receipt, err error) {
		if err != nil {
			d.note("refused: %v", err)
			return
		}
		d.note("published %s, duplicate %t", r.EventID, r.Duplicate)
	}
}

type attemptKey struct{}

func (d *diary) Attempting(ctx context.Context, dl *delivery.Delivery, ep *delivery.Endpoint, n uint16) (context.Context, *delivery.Trace) {
	s := d.span()
	d.note("try %d at %s as %d, of %d, after %d", n, ep.Name, s.SpanID[0], dl.Event.Span.SpanID[0], dl.Span.SpanID[0])
	t := &delivery.Trace{Span: s}
	if ep.TraceContext {
		t.Parent, t.State = s.TraceParent(), "v=1"
	}
	return context.WithValue(ctx, attemptKey{}, s.SpanID[0]), t
}

func (d *diary) Attempted(ctx context.Context, _ *delivery.Delivery, a *delivery.Attempt) {
	d.note("tried as %d: %s", ctx.Value(attemptKey{}), a.Outcome)
}

// onlooker writes the failures of rules into a diary.
type onlooker struct {
	delivery.NopObserver

	diary *diary
}

func (o onlooker) RuleFailed(ev *delivery.Event, route string) {
	o.diary.note("rule of %s failed on %s", route, ev.ID)
}

func TestEachAttemptKnowsThePublishingAndTheAttemptBefore(t *testing.T) {
	t.Parallel()
	d := new(diary)
	inWorldLike(t, func(w *world) { w.tracer = d }, func(t *testing.T, w *world) {
		w.answer("a", always(500))
		plan := w.plan(
			routeTo{targets: []delivery.Target{to("a", "b")}},
			w.endpoint("a", retries(time.Minute), noBreaker),
			w.endpoint("b", func(ep *delivery.Endpoint) { ep.TraceContext = true }),
		)
		w.apply(plan)
		r := w.publish("one")[0]
		pass(time.Second)
		w.crash() // the spans are on record
		w.apply(plan)
		pass(time.Minute)
		w.publish("one")
		want(t, "the story", d.lines, []string{
			"publish one as 1", "published one, duplicate false",
			"try 1 at a as 2, of 1, after 0", "tried as 2: server_error",
			"try 2 at a as 3, of 1, after 2", "tried as 3: server_error",
			"try 3 at b as 4, of 1, after 3", "tried as 4: delivered",
			"publish one as 5", "published one, duplicate true",
		})
		var ids []string
		for _, tr := range w.record(r).Transitions {
			ids = append(ids, tr.Attempt.TraceID)
		}
		const zeros = "000000000000000000000000000000"
		want(t, "trace ids on record", ids, []string{"02" + zeros, "03" + zeros, "04" + zeros})
		if h := w.seen("a")[0].header; h["Traceparent"] != nil || h["Tracestate"] != nil {
			t.Errorf("a was sent %v", h)
		}
		h := w.seen("b")[0].header
		if h.Get("Traceparent") != "00-04"+zeros+"-0400000000000000-01" || h.Get("Tracestate") != "v=1" {
			t.Errorf("b was sent %v", h)
		}
	})
}

func TestWhatIsSentAgainLinksToTheAttemptBefore(t *testing.T) {
	t.Parallel()
	d := new(diary)
	inWorldLike(t, func(w *world) { w.tracer = d }, func(t *testing.T, w *world) {
		w.apply(w.plan(routeTo{targets: []delivery.Target{to("a")}}, w.endpoint("a")))
		r := w.publish("one")[0]
		pass(time.Second)
		if _, err := w.e.Redeliver(t.Context(), r.Deliveries[0].ID); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		if _, err := w.e.ReplayEvent(t.Context(), "one", nil, ""); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		want(t, "the story", d.lines, []string{
			"publish one as 1", "published one, duplicate false",
			"try 1 at a as 2, of 1, after 0", "tried as 2: delivered",
			"try 1 at a as 3, of 1, after 2", "tried as 3: delivered",
			"try 1 at a as 4, of 1, after 3", "tried as 4: delivered",
		})
	})
}

func TestWithoutATracerTheEventsOwnTraceContextGoesWhereItIsWanted(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		w.apply(w.plan(
			routeTo{targets: []delivery.Target{to("a"), to("b")}},
			w.endpoint("a"), w.endpoint("b", func(ep *delivery.Endpoint) { ep.TraceContext = true }),
		))
		const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
		ev := newEvent("one")
		ev.TraceParent, ev.TraceState = parent, "k=v"
		receipts, err := w.e.Accept(t.Context(), []*delivery.Event{ev, newEvent("two")})
		if err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		for _, s := range w.seen("") {
			wantParent, wantState := "", ""
			if s.endpoint == "b" && s.event == "one" {
				wantParent, wantState = parent, "k=v"
			}
			if s.header.Get("Traceparent") != wantParent || s.header.Get("Tracestate") != wantState {
				t.Errorf("%s was sent of %s: %v", s.endpoint, s.event, s.header)
			}
		}
		rec, err := w.e.Journal().Delivery(t.Context(), receipts[0].Deliveries[1].ID)
		if err != nil || rec.Transitions[0].Attempt.TraceID != parent[3:35] {
			t.Errorf("%v %+v", err, rec)
		}
	})
}

func TestATracerHearsThatAnEventWasRefused(t *testing.T) {
	t.Parallel()
	d := new(diary)
	inWorldLike(t, func(w *world) { w.tracer, w.observer = d, onlooker{diary: d} }, func(t *testing.T, w *world) {
		w.apply(w.plan(routeTo{decide: func(*delivery.Event) delivery.Decision {
			return delivery.Decision{Errors: []error{&delivery.RuleError{Route: "r", Text: "no"}, errors.New("a guest's own")}}
		}}))
		w.store.Fail()
		if _, err := w.e.Accept(t.Context(), []*delivery.Event{newEvent("one")}); !errors.Is(err, delivery.ErrUnavailable) {
			t.Error(err)
		}
		want(t, "the story", d.lines, []string{
			"publish one as 1", "rule of r failed on one", "rule of  failed on one", "refused: append: store unavailable",
		})
		w.store.Recover()
	})
}
