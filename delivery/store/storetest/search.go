package storetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
)

// events reads all pages.
func (b *bench) events(q delivery.EventQuery) (all []*delivery.EventRecord) {
	b.Helper()
	for range 1000 {
		page, err := b.Store.Events(b.Context(), q)
		b.must(err)
		if q.Limit > 0 && len(page.Items) > q.Limit {
			b.Fatalf("a page of %d, asked for %d", len(page.Items), q.Limit)
		}
		all = append(all, page.Items...)
		if page.Next == "" {
			return all
		}
		q.Cursor = page.Next
	}
	b.Fatal("the pages do not end")
	return nil
}

// attempts reads all pages.
func (b *bench) attempts(q delivery.AttemptQuery) (all []*delivery.AttemptRecord) {
	b.Helper()
	for range 1000 {
		page, err := b.Store.Attempts(b.Context(), q)
		b.must(err)
		if q.Limit > 0 && len(page.Items) > q.Limit {
			b.Fatalf("a page of %d, asked for %d", len(page.Items), q.Limit)
		}
		all = append(all, page.Items...)
		if page.Next == "" {
			return all
		}
		q.Cursor = page.Next
	}
	b.Fatal("the pages do not end")
	return nil
}

func ids(records []*delivery.EventRecord) (ids []string) {
	for _, r := range records {
		ids = append(ids, r.Event.ID)
	}
	return ids
}

var searchCases = []testCase{
	{"an event is listed with its deliveries in their present state, and with its body when that is asked for", func(b *bench) {
		b.attach(takeAll)
		b.append(event("unrouted"))
		ds := b.append(event("a", to("x"), to("y")))[0].Deliveries
		b.settle(delivered(ds[1]))
		all := b.events(delivery.EventQuery{})
		if got := ids(all); !slices.Equal(got, []string{"a", "unrouted"}) {
			b.Fatalf("listed %v", got)
		}
		got := all[0]
		if len(got.Deliveries) != 2 || got.Deliveries[0].ID != ds[0].ID || got.Deliveries[1].State != delivery.Delivered {
			b.Errorf("deliveries %+v", got.Deliveries)
		}
		if got.Event.Body != nil || got.Event.Data() != nil || got.Event.Tenant != "acme" {
			b.Errorf("event %+v", got.Event)
		}
		if whole := b.events(delivery.EventQuery{Body: true})[0].Event; string(whole.Data()) != `{"n":1}` {
			b.Errorf("body %q, data %q", whole.Body, whole.Data())
		}
	}},
	{"an attempt is listed with what it belongs to", func(b *bench) {
		b.attach(takeAll)
		d := b.add("a", "x")
		s := retried(d, start)
		b.settle(s)
		all := b.attempts(delivery.AttemptQuery{})
		if len(all) != 1 {
			b.Fatalf("%d attempts", len(all))
		}
		r := all[0]
		if r.DeliveryID != d.ID || r.Event.ID != "a" || r.Event.Body != nil || !r.At.Equal(s.Transition.At) || r.State != delivery.Pending ||
			r.Attempt.Detail != "busy" || string(r.Attempt.Excerpt) != "later" {
			b.Errorf("got %+v of %+v: %+v", r, r.Event, r.Attempt)
		}
	}},
	{"attempts are listed by when they ended, over all endpoints", func(b *bench) {
		b.attach(takeAll)
		ds := b.append(event("a", to("x"), to("y"), to("z")))[0].Deliveries
		for i, d := range ds {
			s := delivered(d)
			s.Transition.At = start.Add(time.Duration(10-i) * time.Second)
			b.settle(s)
		}
		var got []string
		for _, r := range b.attempts(delivery.AttemptQuery{Limit: 1}) {
			got = append(got, r.Attempt.Endpoint)
		}
		if !slices.Equal(got, []string{"x", "y", "z"}) {
			b.Errorf("listed %v", got)
		}
	}},
	{"an attempt whose outcome a crash swallowed is listed, too", func(b *bench) {
		b.attach(takeAll)
		b.add("a", "x")
		b.crash()
		acme := "acme"
		all := b.attempts(delivery.AttemptQuery{Outcome: "unknown", Tenant: &acme})
		if len(all) != 1 || all[0].Event.ID != "a" {
			b.Errorf("listed %+v", all)
		}
	}},
	{"an event that is decided later is found by what it became", func(b *bench) {
		b.attach(nil)
		a := undecided("one")
		b.append(a)
		b.must(b.Store.Decide(b.Context(), a.Event.Seq, delivery.Unrouted, nil, "d2", nil))
		if got := ids(b.events(delivery.EventQuery{Routing: new(delivery.Unrouted)})); !slices.Equal(got, []string{"one"}) {
			b.Errorf("unrouted: %v", got)
		}
		if got := b.events(delivery.EventQuery{Routing: new(delivery.Undecided)}); got != nil {
			b.Errorf("undecided: %v", ids(got))
		}
	}},
	{"a dead letter that was sent again since is no latest delivery, and a test is none", func(b *bench) {
		b.attach(takeAll)
		exhausted := func(d *delivery.Delivery) delivery.Settlement {
			s := delivered(d)
			s.Transition.Progress.State, s.Transition.Progress.Reason = delivery.Exhausted, delivery.ReasonSchedule
			return s
		}
		test := event("test", to("x"))
		test.Event.Test = true
		a, two := event("a", to("x"), to("y")), event("b", to("x"))
		b.append(test, a, two)
		b.settle(exhausted(test.Deliveries[0]), exhausted(a.Deliveries[0]), exhausted(a.Deliveries[1]), exhausted(two.Deliveries[0]))
		dead := func(when string, want ...*delivery.Delivery) {
			b.Helper()
			var got []string
			for _, d := range b.list(delivery.DeliveryQuery{State: new(delivery.Exhausted), Latest: true, Limit: 1}) {
				got = append(got, d.ID)
			}
			if !slices.EqualFunc(got, want, func(id string, d *delivery.Delivery) bool { return id == d.ID }) {
				b.Errorf("%s: listed %v, want %d", when, got, len(want))
			}
		}
		dead("at first", two.Deliveries[0], a.Deliveries[0], a.Deliveries[1])
		again := b.extend(a.Event.Seq, replayOf("rpl_1", "x"))[0].Delivery
		dead("while one is on its way again", two.Deliveries[0], a.Deliveries[1])
		b.settle(exhausted(again))
		dead("when that failed, too", two.Deliveries[0], a.Deliveries[1], again)
		b.settle(delivered(b.extend(a.Event.Seq, replayOf("rpl_2", "x"))[0].Delivery))
		dead("when one got through", two.Deliveries[0], a.Deliveries[1])
		if all := b.list(delivery.DeliveryQuery{State: new(delivery.Exhausted)}); len(all) != 5 {
			b.Errorf("%d are on record", len(all))
		}
	}},
	{"made-up cursors are refused", func(b *bench) {
		b.attach(nil)
		if _, err := b.Store.Events(b.Context(), delivery.EventQuery{Cursor: "no cursor"}); !errors.Is(err, delivery.ErrCursor) {
			b.Errorf("events: %v", err)
		}
		if _, err := b.Store.Attempts(b.Context(), delivery.AttemptQuery{Cursor: "no cursor"}); !errors.Is(err, delivery.ErrCursor) {
			b.Errorf("attempts: %v", err)
		}
	}},
	{"every combination of terms finds exactly what fits, in order, over many pages", func(b *bench) {
		b.attach(takeAll)
		w := fill(b, 1300)
		w.check(b)
		b.Log("and so it is after a power cut")
		b.crash()
		w.check(b)
	}},
	{"what is deleted is listed no more", func(b *bench) {
		b.attach(takeAll)
		w := fill(b, 700)
		if _, _, err := b.Store.Prune(b.Context(), delivery.Prune{Now: start.Add(400 * day), Retention: 30 * day}); err != nil {
			b.Fatal(err)
		}
		w.events = slices.DeleteFunc(w.events, func(e *searched) bool { return e.accept.Event.Routing != delivery.Undecided && !e.pending() })
		w.check(b)
	}},
}

// searched is an event of the world that the searches are compared with.
type searched struct {
	accept   delivery.Accept
	attempts []delivery.Settlement
}

func (e *searched) pending() bool {
	return slices.ContainsFunc(e.accept.Deliveries, func(d *delivery.Delivery) bool { return !d.State.Final() })
}

// searchWorld is what is in a store, as the test knows it.
type searchWorld struct{ events []*searched }

// fill appends n events: most are delivered, some tenants, types and endpoints occur only here and there.
func fill(b *bench, n int) *searchWorld {
	b.Helper()
	w := &searchWorld{}
	r := rand.New(rand.NewPCG(7, uint64(n))) //nolint:gosec // the same world every time
	rare := func(usual, seldom string) string {
		if r.IntN(500) == 0 {
			return seldom
		}
		return usual
	}
	for i := range n {
		lane := fmt.Sprint("x", r.IntN(3))
		a := at(event(fmt.Sprint("e", i), to(rare(lane, "rare"), "spare")), start.Add(time.Duration(i)*time.Minute))
		switch r.IntN(300) {
		case 0:
			a = at(event(fmt.Sprint("e", i)), a.Event.Accepted)
		case 1:
			a = at(undecided(fmt.Sprint("e", i)), a.Event.Accepted)
		}
		a.Event.Type = rare("label.created", "label.voided")
		a.Event.Environment = rare("production", "sandbox")
		a.Event.Tenant = rare(fmt.Sprint("t", r.IntN(2)), "small")
		w.events = append(w.events, &searched{accept: a})
	}
	for part := range slices.Chunk(w.events, 100) {
		var batch []delivery.Accept
		for _, e := range part {
			batch = append(batch, e.accept)
		}
		b.append(batch...)
		var settlements []delivery.Settlement
		for _, e := range part {
			for _, d := range e.accept.Deliveries {
				settlements = append(settlements, e.try(d, r))
			}
		}
		b.settle(settlements...)
		for i := range settlements {
			settlements[i].Delivery.Progress = settlements[i].Transition.Progress
		}
	}
	return w
}

// try is an attempt of a delivery, mostly a good one.
func (e *searched) try(d *delivery.Delivery, r *rand.Rand) delivery.Settlement {
	s := delivered(d)
	switch r.IntN(200) {
	case 0:
		s = attempted(d, "timeout", func(p *delivery.Progress) { p.Target = 1; p.Due = start.Add(999 * day) })
		s.Transition.Attempt.Status = 0
	case 1:
		s = attempted(d, "http_error", func(p *delivery.Progress) { p.State, p.Reason = delivery.Exhausted, delivery.ReasonSchedule })
		s.Transition.Attempt.Status = 404
	}
	if s.Transition.Attempt.Outcome == "delivered" {
		s.Transition.Attempt.Status = 200
	}
	s.Transition.At = e.accept.Event.Accepted.Add(time.Duration(r.IntN(180)) * time.Second)
	e.attempts = append(e.attempts, s)
	return s
}

// check compares searches with what the world holds.
func (w *searchWorld) check(b *bench) {
	b.Helper()
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same questions every time
	some := func(words ...string) string { return words[r.IntN(len(words))] }
	times := func() (since, until time.Time) {
		if r.IntN(3) == 0 {
			since = start.Add(time.Duration(r.IntN(1300)) * time.Minute)
			until = since.Add(time.Duration(r.IntN(600)) * time.Minute)
		}
		return since, until
	}
	tenants := []*string{nil, nil, new("t1"), new("small"), new("nobody")}
	states := []*delivery.State{nil, nil, new(delivery.Pending), new(delivery.Delivered), new(delivery.Exhausted), new(delivery.Cancelled)}
	routings := []*delivery.Routing{nil, nil, nil, new(delivery.Routed), new(delivery.Unrouted), new(delivery.Undecided)}
	for range 60 {
		q := delivery.EventQuery{
			Type: some("", "", "label.created", "label.voided"), Environment: some("", "", "sandbox"),
			Tenant: tenants[r.IntN(len(tenants))], Routing: routings[r.IntN(len(routings))],
			Endpoint: some("", "", "x1", "rare", "spare"), State: states[r.IntN(len(states))],
			Oldest: r.IntN(2) == 0, Limit: []int{20, 100, 500}[r.IntN(3)],
		}
		q.Since, q.Until = times()
		if got, want := ids(b.events(q)), w.wantEvents(q); !slices.Equal(got, want) {
			b.Fatalf("events %+v: listed %d, want %d", q, len(got), len(want))
		}
		dq := delivery.DeliveryQuery{
			State: q.State, Endpoint: q.Endpoint, Type: q.Type, Tenant: q.Tenant, Since: q.Since, Until: q.Until, Limit: q.Limit,
		}
		if got, want := w.gotDeliveries(b, dq), w.wantDeliveries(dq); !slices.Equal(got, want) {
			b.Fatalf("deliveries %+v: listed %d, want %d", dq, len(got), len(want))
		}
	}
	for range 60 {
		q := delivery.AttemptQuery{
			Endpoint: some("", "", "x1", "rare"), Outcome: some("", "", "delivered", "timeout", "http_error"),
			Tenant: tenants[r.IntN(len(tenants))], Limit: []int{20, 100, 500}[r.IntN(3)],
		}
		q.StatusFrom = []int{0, 0, 404, 400}[r.IntN(4)]
		if q.StatusFrom == 400 {
			q.StatusTo = 499
		}
		q.Since, q.Until = times()
		if got, want := w.gotAttempts(b.attempts(q)), w.wantAttempts(q); !slices.Equal(got, want) {
			b.Fatalf("attempts %+v: listed %d, want %d", q, len(got), len(want))
		}
	}
}

func (w *searchWorld) wantEvents(q delivery.EventQuery) (want []string) {
	for _, e := range w.events {
		ev := e.accept.Event
		if (q.Type == "" || q.Type == ev.Type) && (q.Environment == "" || q.Environment == ev.Environment) &&
			(q.Tenant == nil || *q.Tenant == ev.Tenant) && (q.Routing == nil || *q.Routing == ev.Routing) &&
			within(ev.Accepted, q.Since, q.Until) && (q.State == nil && q.Endpoint == "" ||
			slices.ContainsFunc(e.accept.Deliveries, func(d *delivery.Delivery) bool { return isAt(d, q.State, q.Endpoint) })) {
			want = append(want, ev.ID)
		}
	}
	if !q.Oldest {
		slices.Reverse(want)
	}
	return want
}

func within(at, since, until time.Time) bool {
	return (since.IsZero() || !at.Before(since)) && (until.IsZero() || at.Before(until))
}

func isAt(d *delivery.Delivery, state *delivery.State, endpoint string) bool {
	return (state == nil || *state == d.State) && (endpoint == "" || endpoint == d.Chain[0] || endpoint == d.Lane())
}

func (*searchWorld) gotDeliveries(b *bench, q delivery.DeliveryQuery) (got []string) {
	for _, d := range b.list(q) {
		got = append(got, d.ID)
	}
	return got
}

func (w *searchWorld) wantDeliveries(q delivery.DeliveryQuery) (want []string) {
	for _, e := range slices.Backward(w.events) {
		ev := e.accept.Event
		if (q.Type == "" || q.Type == ev.Type) && (q.Tenant == nil || *q.Tenant == ev.Tenant) && within(ev.Accepted, q.Since, q.Until) {
			for _, d := range e.accept.Deliveries {
				if isAt(d, q.State, q.Endpoint) {
					want = append(want, d.ID)
				}
			}
		}
	}
	return want
}

// gotAttempts names attempts by when they ended and where: together they are told apart.
func (*searchWorld) gotAttempts(all []*delivery.AttemptRecord) (got []string) {
	for _, r := range all {
		got = append(got, r.At.Format(time.RFC3339)+" "+r.DeliveryID)
	}
	return got
}

func (w *searchWorld) wantAttempts(q delivery.AttemptQuery) (want []string) {
	var found []delivery.Settlement
	for _, e := range w.events {
		for _, s := range e.attempts {
			if q.Wants(s.Transition.Attempt) && (q.Tenant == nil || *q.Tenant == e.accept.Event.Tenant) && within(s.Transition.At, q.Since, q.Until) {
				found = append(found, s)
			}
		}
	}
	slices.SortStableFunc(found, func(a, b delivery.Settlement) int { return a.Transition.At.Compare(b.Transition.At) })
	for _, s := range slices.Backward(found) {
		want = append(want, s.Transition.At.Format(time.RFC3339)+" "+s.Delivery.ID)
	}
	return want
}
