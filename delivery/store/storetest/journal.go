package storetest

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/egress"
)

// list reads all pages.
func (b *bench) list(q delivery.DeliveryQuery) (ds []*delivery.Delivery) {
	b.Helper()
	for range 1000 {
		page, err := b.Store.Deliveries(b.Context(), q)
		b.must(err)
		if q.Limit > 0 && len(page.Items) > q.Limit {
			b.Fatalf("a page of %d, asked for %d", len(page.Items), q.Limit)
		}
		ds = append(ds, page.Items...)
		if page.Next == "" {
			return ds
		}
		q.Cursor = page.Next
	}
	b.Fatal("the pages do not end")
	return nil
}

var journalCases = []testCase{
	{"an event is found by its id, the newest among tenants, or its tenant's", func(b *bench) {
		b.attach(nil)
		other := event("one", to("x"))
		other.Event.Tenant = "b"
		b.append(event("one", to("x")))
		b.append(other)
		acme, none := "acme", "nobody"
		for _, c := range []struct {
			tenant *string
			want   string
		}{{nil, "b"}, {&acme, "acme"}} {
			r, err := b.Store.Event(b.Context(), "one", c.tenant)
			b.must(err)
			if r.Event.Tenant != c.want {
				b.Errorf("found tenant %q, want %q", r.Event.Tenant, c.want)
			}
		}
		if _, err := b.Store.Event(b.Context(), "one", &none); !errors.Is(err, delivery.ErrNotFound) {
			b.Errorf("nobody's: %v", err)
		}
		if _, err := b.Store.Event(b.Context(), "on", nil); !errors.Is(err, delivery.ErrNotFound) {
			b.Errorf("a prefix: %v", err)
		}
	}},
	{"a delivery is found with its transitions, oldest first", func(b *bench) {
		b.attach(nil)
		d := b.add("one", "x")
		for i := range 3 {
			b.settle(retried(b.claim("x", start.Add(time.Hour))[0], start.Add(time.Duration(i)*time.Minute)))
		}
		r := b.delivery(d)
		if len(r.Transitions) != 3 || r.Delivery.Step != 3 || r.Delivery.Event.ID != "one" || r.Delivery.ID != d.ID {
			b.Fatalf("got %+v with %d transitions", r.Delivery, len(r.Transitions))
		}
		for i, tr := range r.Transitions {
			if int(tr.Progress.Step) != i+1 || int(tr.Attempt.N) != i+1 {
				b.Errorf("transition %d: %+v", i, tr)
			}
		}
	}},
	{"an attempt is found as it was settled, with how its request looked", func(b *bench) {
		b.attach(nil)
		d := b.add("one", "x", "y")
		var want []*delivery.Attempt
		for i, lane := range []string{"x", "x", "y"} {
			s := retried(b.claim(lane, start.Add(time.Hour))[0], start)
			if i == 1 {
				s.Transition.Progress.Target = 1
				s.Transition.Attempt.ResponseFields, s.Transition.Attempt.Timing = nil, egress.Timing{}
			}
			b.settle(s)
			want = append(want, s.Transition.Attempt)
		}
		last := delivered(b.claimOne("y"))
		last.Transition.Attempt.Request = nil
		b.settle(last)
		want = append(want, last.Transition.Attempt)
		for range 2 {
			ts := b.delivery(d).Transitions
			if len(ts) != len(want) {
				b.Fatalf("%d transitions", len(ts))
			}
			for i, tr := range ts {
				if !reflect.DeepEqual(tr.Attempt, want[i]) {
					b.Errorf("attempt %d is\n%+v, want\n%+v", i+1, tr.Attempt, want[i])
				}
			}
			b.crash()
		}
	}},
	{"the spans of an event and of the last attempt are kept, for the next one to link to", func(b *bench) {
		b.attach(nil)
		published := delivery.SpanContext{TraceID: [16]byte{1, 15: 2}, SpanID: [8]byte{3, 7: 4}, Flags: 1}
		tried := delivery.SpanContext{TraceID: [16]byte{5, 15: 6}, SpanID: [8]byte{7, 7: 8}}
		a := event("one", to("x"))
		a.Event.Span = published
		d := b.append(a)[0].Deliveries[0]
		first := b.claimOne("x")
		if first.Event.Span != published || first.Span.Valid() {
			b.Errorf("before any attempt: event %+v, attempt %+v", first.Event.Span, first.Span)
		}
		b.settle(attempted(first, "http_error", func(p *delivery.Progress) { p.Due, p.Span = start, tried }))
		b.crash()
		again := b.claimOne("x")
		if again.Event.Span != published || again.Span != tried {
			b.Errorf("after a crash: event %+v, attempt %+v", again.Event.Span, again.Span)
		}
		b.crash() // which loses the second attempt
		if lost := b.claim("x", time.Now().Add(time.Minute)); len(lost) != 1 || lost[0].Span != tried {
			b.Errorf("after a lost attempt: %+v", lost)
		}
		if r := b.delivery(d); r.Transitions[0].Progress.Span != tried || r.Delivery.Event.Span != published {
			b.Errorf("on record: %+v, %+v", r.Transitions[0].Progress.Span, r.Delivery.Event.Span)
		}
	}},
	{"an audit finds every pending delivery wherever it stands", func(b *bench) {
		audited, ok := b.Store.(delivery.Audited)
		if !ok {
			b.Skip("the store makes no audits")
		}
		b.attach(nil)
		finds := func(when string, n uint64) {
			b.Helper()
			if a, err := audited.Audit(b.Context()); err != nil || a.Pending != n || a.Found != n || a.Lost() != 0 || a.At.IsZero() {
				b.Errorf("%s: %+v, %v; want %d", when, a, err, n)
			}
		}
		finds("of nothing", 0)
		for _, id := range []string{"one", "two", "three"} { // in a line
			a := event(id, to("x"), to("y", "x"))
			a.Deliveries[0].OrderKey = "k"
			b.append(a)
		}
		finds("with successors", 6)
		head := b.claimOne("x")
		waiting := b.claim("y", start)
		finds("with some handed over", 6)
		b.settle(delivered(head), retried(waiting[0], start.Add(time.Hour)), delivered(waiting[1]))
		finds("with some settled", 4)
		_, _, err := b.Store.CancelLane(b.Context(), "y", 10)
		b.must(err)
		finds("with some cancelled, one of them in hand", 3)
	}},
	{"a made-up delivery id is not found", func(b *bench) {
		b.attach(nil)
		d := b.add("one", "x")
		flipped := []byte(d.ID)
		flipped[10] ^= 1
		for _, id := range []string{"", "dlv_", "dlv_aaaaaaaaaaaaaaaaaaaaaaaaaa", string(flipped), d.ID + "a", "DLV_" + d.ID[4:]} {
			if _, err := b.Store.Delivery(b.Context(), id); !errors.Is(err, delivery.ErrNotFound) {
				b.Errorf("%q: %v", id, err)
			}
		}
	}},
	{"deliveries are listed newest event first, each once over all pages", func(b *bench) {
		b.attach(nil)
		var want []string
		for i := range 7 {
			r := b.append(event(fmt.Sprint("e", i), to("x"), to("y"), to("z")))[0]
			want = append([]string{r.Deliveries[0].ID, r.Deliveries[1].ID, r.Deliveries[2].ID}, want...)
		}
		for _, limit := range []int{0, 1, 2, 5, 21, 500} {
			var got []string
			for _, d := range b.list(delivery.DeliveryQuery{Limit: limit}) {
				got = append(got, d.ID)
			}
			if !slices.Equal(got, want) {
				b.Errorf("limit %d: listed %d, want %d in order", limit, len(got), len(want))
			}
		}
	}},
	{"a listing is narrowed by each of its terms", func(b *bench) {
		b.attach(takeAll)
		a := at(event("a", to("x", "spare"), to("y")), start)
		c := at(event("c", to("x")), start.Add(time.Hour))
		c.Event.Type = "tracking.updated"
		b.append(a, c)
		b.settle(delivered(a.Deliveries[1]), attempted(a.Deliveries[0], "timeout", func(p *delivery.Progress) { p.Target = 1 }))
		for _, q := range []struct {
			name string
			q    delivery.DeliveryQuery
			want []string
		}{
			{"nothing", delivery.DeliveryQuery{}, []string{"c/0", "a/0", "a/1"}},
			{"state delivered", delivery.DeliveryQuery{State: new(delivery.Delivered)}, []string{"a/1"}},
			{"state pending", delivery.DeliveryQuery{State: new(delivery.Pending)}, []string{"c/0", "a/0"}},
			{"primary", delivery.DeliveryQuery{Endpoint: "x"}, []string{"c/0", "a/0"}},
			{"present target", delivery.DeliveryQuery{Endpoint: "spare"}, []string{"a/0"}},
			{"type", delivery.DeliveryQuery{Type: "tracking.updated"}, []string{"c/0"}},
			{"event id", delivery.DeliveryQuery{EventID: "a"}, []string{"a/0", "a/1"}},
			{"unknown event id", delivery.DeliveryQuery{EventID: "b"}, nil},
			{"since", delivery.DeliveryQuery{Since: start.Add(time.Millisecond)}, []string{"c/0"}},
			{"since, inclusive", delivery.DeliveryQuery{Since: start.Add(time.Hour)}, []string{"c/0"}},
			{"until, exclusive", delivery.DeliveryQuery{Until: start.Add(time.Hour)}, []string{"a/0", "a/1"}},
			{"all terms", delivery.DeliveryQuery{
				State: new(delivery.Pending), Endpoint: "x", Type: "label.created", EventID: "a", Since: start, Until: start.Add(time.Second),
			}, []string{"a/0"}},
		} {
			var got []string
			q.q.Limit = 1
			for _, d := range b.list(q.q) {
				got = append(got, fmt.Sprint(d.Event.ID, "/", d.Ord))
			}
			if !slices.Equal(got, q.want) {
				b.Errorf("%s: %v, want %v", q.name, got, q.want)
			}
		}
	}},
	{"a made-up cursor is refused", func(b *bench) {
		b.attach(nil)
		_, err := b.Store.Deliveries(b.Context(), delivery.DeliveryQuery{Cursor: "not a cursor"})
		if !errors.Is(err, delivery.ErrCursor) {
			b.Errorf("error %v", err)
		}
	}},
	{"counts follow every change of state", func(b *bench) {
		b.attach(takeAll)
		ds := b.append(event("a", to("w"), to("x"), to("y"), to("z")), event("unrouted"))[0].Deliveries
		b.settle(delivered(ds[0]), attempted(ds[1], "http_error", func(p *delivery.Progress) {
			p.State, p.Reason = delivery.Exhausted, delivery.ReasonSchedule
		}), delivery.Settlement{Delivery: ds[2], Transition: delivery.Transition{
			At: start, Kind: delivery.Ended, Progress: delivery.Progress{Step: 1, State: delivery.Cancelled},
		}}, retried(ds[3], start))
		if c := b.counts(); c != (delivery.Counts{Events: 2, Pending: 1, Delivered: 1, Exhausted: 1, Cancelled: 1}) {
			b.Errorf("counts %+v", c)
		}
	}},
}

// wantLaneCounts wants LaneCounts to be exactly these, and Pending to agree.
func (b *bench) wantLaneCounts(want map[string]delivery.Counts) {
	b.Helper()
	got, err := b.Store.LaneCounts(b.Context())
	b.must(err)
	if !maps.Equal(got, want) {
		b.Errorf("lane counts %+v, want %+v", got, want)
	}
	for _, lane := range append(slices.Collect(maps.Keys(want)), "nobody's") {
		if n := b.Store.Pending(lane); n != want[lane].Pending {
			b.Errorf("%d pending at %s, want %d", n, lane, want[lane].Pending)
		}
	}
}

var laneCountsCases = []testCase{
	{"deliveries count at home, wherever they are", func(b *bench) {
		b.attach(takeAll)
		b.wantLaneCounts(nil)
		ds := b.append(event("a", to("x", "y"), to("x"), to("y")), ordered(event("b", to("x")), "k"), ordered(event("c", to("x")), "k"))[0].Deliveries
		b.wantLaneCounts(map[string]delivery.Counts{"x": {Pending: 4}, "y": {Pending: 1}})
		b.settle(attempted(ds[0], "timeout", func(p *delivery.Progress) { p.Target = 1 }), delivered(ds[1]), delivered(ds[2]))
		b.wantLaneCounts(map[string]delivery.Counts{"x": {Pending: 3, Delivered: 1}, "y": {Delivered: 1}})
		b.cancel(ds[0], delivery.Cancelled)
		b.wantLaneCounts(map[string]delivery.Counts{"x": {Pending: 2, Delivered: 1, Cancelled: 1}, "y": {Delivered: 1}})
	}},
	{"decided, expired and deleted deliveries are counted", func(b *bench) {
		b.attach(nil)
		a := undecided("one")
		b.append(a)
		b.must(b.Store.Decide(b.Context(), a.Event.Seq, delivery.Routed, nil, "d2", []*delivery.Delivery{planned("x"), planned("y")}))
		b.wantLaneCounts(map[string]delivery.Counts{"x": {Pending: 1}, "y": {Pending: 1}})
		b.prune(start.Add(8*day), 2, 0)
		b.wantLaneCounts(map[string]delivery.Counts{"x": {Exhausted: 1}, "y": {Exhausted: 1}})
		b.prune(start.Add(39*day), 0, 1)
		b.wantLaneCounts(nil)
	}},
	{"pending may be asked while the store calls the engine", func(b *bench) {
		b.attach(func(*delivery.Delivery) bool { return b.Store.Pending("x") == 0 })
		b.add("one", "x")
		if n := b.Store.Pending("x"); n != 1 {
			b.Errorf("%d pending", n)
		}
	}},
}

var closeCases = []testCase{
	{"a closed store answers that it is unavailable, and closes twice", func(b *bench) {
		b.attach(nil)
		l := b.lease("x")
		d := b.add("one", "x")
		if !b.Store.Healthy() {
			b.Error("not healthy while open")
		}
		b.must(b.Store.Close())
		b.must(b.Store.Close())
		if b.Store.Healthy() {
			b.Error("healthy after Close")
		}
		ctx := b.Context()
		for name, call := range map[string]func() error{
			"Append": func() error { _, err := b.Store.Append(ctx, []delivery.Accept{event("two", to("x"))}); return err },
			"Settle": func() error { return b.Store.Settle(ctx, []delivery.Settlement{delivered(d)})[0] },
			"Decide": func() error { return b.Store.Decide(ctx, 1, delivery.Routed, nil, "", nil) },
			"Due":    func() error { _, err := b.Store.Due(ctx); return err },
			"Claim":  func() error { _, err := l.Claim(ctx, delivery.Claim{Now: start, Max: 1, MaxBytes: 1}); return err },
			"State":  func() error { _, err := l.State(ctx); return err },
			"SetState": func() error {
				return l.SetState(ctx, delivery.LaneState{Paused: true})
			},
			"CancelLane": func() error { _, _, err := b.Store.CancelLane(ctx, "x", 1); return err },
			"LaneCounts": func() error { _, err := b.Store.LaneCounts(ctx); return err },
			"Document":   func() error { _, err := b.Store.Document(ctx, "k", "n"); return err },
			"Documents":  func() error { _, err := b.Store.ListDocuments(ctx, "k", "", 1); return err },
			"Put": func() error {
				_, err := b.Store.PutDocument(ctx, delivery.Document{Kind: "k", Name: "n"})
				return err
			},
			"Delete": func() error { return b.Store.DeleteDocument(ctx, "k", "n", 1) },
			"Cancel": func() error { _, err := b.Store.Cancel(ctx, d.ID); return err },
			"Event":  func() error { _, err := b.Store.Event(ctx, "one", nil); return err },
			"Counts": func() error { _, err := b.Store.Counts(ctx); return err },
			"Prune": func() error {
				_, _, err := b.Store.Prune(ctx, delivery.Prune{Now: start, Expire: 1, Retention: 1})
				return err
			},
		} {
			if err := call(); !errors.Is(err, delivery.ErrUnavailable) {
				b.Errorf("%s: %v", name, err)
			}
		}
	}},
}
