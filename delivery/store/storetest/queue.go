package storetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
)

func eventIDs(ds []*delivery.Delivery) (ids []string) {
	for _, d := range ds {
		ids = append(ids, d.Event.ID)
	}
	return ids
}

// anywhere is a Claim.Movable that refuses none.
func anywhere(*delivery.Delivery) bool { return true }

var claimCases = []testCase{
	{"deliveries are claimed by due time, then in order of acceptance", func(b *bench) {
		b.attach(nil)
		b.append(dueAt(event("a", to("x")), start.Add(3*time.Second)))
		b.append(dueAt(event("b", to("x", "spare")), start.Add(2*time.Second)))
		b.append(dueAt(event("c", to("x")), start.Add(2*time.Second)))
		b.append(dueAt(event("d", to("x", "spare")), start.Add(time.Second)), dueAt(event("e", to("x", "spare")), start.Add(2*time.Second)))
		got := eventIDs(b.claim("x", start.Add(time.Minute)))
		if want := []string{"d", "b", "c", "e", "a"}; !slices.Equal(got, want) {
			b.Errorf("claimed %v, want %v", got, want)
		}
	}},
	{"a claimed delivery is complete", func(b *bench) {
		b.attach(nil)
		a := event("one", to("x", "spare"))
		b.append(a)
		d := b.claimOne("x")
		if !reflect.DeepEqual(*d.Event, *a.Event) || d.Route != "route-0" || !slices.Equal(d.Chain, to("x", "spare")) {
			b.Errorf("got %+v of %+v", d, d.Event)
		}
	}},
	{"what is not due stays, and its time is told", func(b *bench) {
		b.attach(nil)
		b.append(dueAt(event("later", to("x")), start.Add(time.Hour)), event("now", to("x")))
		got := b.claimSome("x", delivery.Claim{Now: start, Max: 10, MaxBytes: 1 << 20})
		if ids := eventIDs(got.Deliveries); !slices.Equal(ids, []string{"now"}) || got.More || !got.Next.Equal(start.Add(time.Hour)) {
			b.Errorf("claimed %v, more %v, next %v", ids, got.More, got.Next)
		}
	}},
	{"an empty lane has nothing, no more and no next", func(b *bench) {
		b.attach(nil)
		got := b.claimSome("x", delivery.Claim{Now: start, Max: 10, MaxBytes: 1 << 20})
		if len(got.Deliveries) > 0 || got.More || !got.Next.IsZero() {
			b.Errorf("got %+v", got)
		}
	}},
	{"a claim takes no more than it may, and says that more are due", func(b *bench) {
		b.attach(nil)
		for i := range 5 {
			b.add(fmt.Sprint("e", i), "x")
		}
		b.append(dueAt(event("later", to("x")), start.Add(time.Hour)))
		for _, want := range [][]string{{"e0", "e1"}, {"e2", "e3"}, {"e4"}} {
			got := b.claimSome("x", delivery.Claim{Now: start, Max: 2, MaxBytes: 1 << 20})
			if ids := eventIDs(got.Deliveries); !slices.Equal(ids, want) || got.More != (len(want) == 2) {
				b.Errorf("claimed %v, more %v; want %v", ids, got.More, want)
			}
			if !got.Next.Equal(start.Add(time.Hour)) {
				b.Errorf("next %v, want the first after now", got.Next)
			}
		}
	}},
	{"a claim takes no more bytes than it may, but at least one delivery", func(b *bench) {
		b.attach(nil)
		for i := range 3 {
			a := event(fmt.Sprint("e", i), to("x"))
			a.Event.Body, a.Event.DataStart, a.Event.DataEnd = make([]byte, 100), 0, 0
			b.append(a)
		}
		for _, c := range []struct{ bytes, want int }{{10, 1}, {199, 1}, {200, 1}} {
			got := b.claimSome("x", delivery.Claim{Now: start, Max: 10, MaxBytes: c.bytes})
			if len(got.Deliveries) != c.want {
				b.Errorf("%d bytes: claimed %d, want %d", c.bytes, len(got.Deliveries), c.want)
			}
		}
	}},
	{"a movable claim leaves those that could go nowhere else", func(b *bench) {
		b.attach(nil)
		b.add("stays", "x")
		b.append(event("goes", to("x", "spare")), dueAt(event("stays-too", to("x")), start.Add(time.Hour)))
		got := b.claimSome("x", delivery.Claim{Now: start, Max: 10, MaxBytes: 1 << 20, Movable: anywhere})
		if ids := eventIDs(got.Deliveries); !slices.Equal(ids, []string{"goes"}) || got.More || !got.Next.IsZero() {
			b.Errorf("claimed %v, more %v, next %v", ids, got.More, got.Next)
		}
		if ids := eventIDs(b.claim("x", start)); !slices.Equal(ids, []string{"stays"}) {
			b.Errorf("then claimed %v", ids)
		}
	}},
	{"a delivery whose other targets are spent is not movable", func(b *bench) {
		b.attach(nil)
		b.add("one", "x", "spare")
		d := b.claimOne("x")
		b.settle(attempted(d, "timeout", func(p *delivery.Progress) { p.Target, p.Spent = 1, 1 }))
		if got := b.claimSome("spare", delivery.Claim{Now: start, Max: 10, MaxBytes: 1 << 20, Movable: anywhere}); len(got.Deliveries) != 0 {
			b.Error("claimed as movable")
		}
		b.claimOne("spare")
	}},
	{"a delivery at its last target whose primary is not spent is movable", func(b *bench) {
		b.attach(nil)
		b.add("one", "x", "spare")
		d := b.claimOne("x")
		b.settle(attempted(d, "breaker_open", func(p *delivery.Progress) { p.Target = 1 }))
		got := b.claimSome("spare", delivery.Claim{Now: start, Max: 10, MaxBytes: 1 << 20, Movable: anywhere})
		if len(got.Deliveries) != 1 {
			b.Error("not claimed as movable")
		}
	}},
	{"a movable claim leaves what the caller refuses, counts it, and takes what stands behind", func(b *bench) {
		b.attach(nil)
		for i := range 3 {
			b.add(fmt.Sprint("refused", i), "x", "down")
		}
		b.add("wanted", "x", "up")
		b.append(dueAt(event("later", to("x", "up")), start.Add(time.Hour)))
		toUp := func(d *delivery.Delivery) bool {
			if d.Event != nil {
				b.Error("the event was read for a delivery that is only asked about")
			}
			return d.Chain[1] == "up"
		}
		got := b.claimSome("x", delivery.Claim{Now: start, Max: 10, MaxBytes: 1 << 20, Movable: toUp})
		if ids := eventIDs(got.Deliveries); !slices.Equal(ids, []string{"wanted"}) || got.Left != 3 || got.More || !got.Next.Equal(start.Add(time.Hour)) {
			b.Errorf("claimed %v, left %d, more %v, next %v", ids, got.Left, got.More, got.Next)
		}
		if ids := eventIDs(b.claim("x", start)); !slices.Equal(ids, []string{"refused0", "refused1", "refused2"}) {
			b.Errorf("then claimed %v", ids)
		}
	}},
	{"a claim goes on behind a place, and the head is still there for the next", func(b *bench) {
		b.attach(nil)
		l := b.lease("x") // held over all claims, so that a store may remember where it was
		for i := range 5 {
			b.add(fmt.Sprint("e", i), "x", "spare")
		}
		claim := func(c delivery.Claim) delivery.Claimed {
			c.Now, c.MaxBytes = start, 1<<20
			got, err := l.Claim(b.Context(), c)
			b.must(err)
			return got
		}
		none := func(*delivery.Delivery) bool { return false }
		first := claim(delivery.Claim{Max: 2, Movable: none})
		if first.Left != 5 || first.More || len(first.Deliveries) != 0 {
			b.Errorf("looked at %d, more %v, claimed %v", first.Left, first.More, eventIDs(first.Deliveries))
		}
		second := claim(delivery.Claim{Max: 2, Movable: anywhere})
		if ids := eventIDs(second.Deliveries); !slices.Equal(ids, []string{"e0", "e1"}) || !second.More {
			b.Fatalf("claimed %v, more %v", ids, second.More)
		}
		for _, d := range second.Deliveries {
			b.settle(delivery.Settlement{Delivery: d, Return: true})
		}
		third := claim(delivery.Claim{Max: 2, Movable: anywhere, After: second.Last})
		if ids := eventIDs(third.Deliveries); !slices.Equal(ids, []string{"e2", "e3"}) || !third.More {
			b.Errorf("behind e1 claimed %v, more %v", ids, third.More)
		}
		rest := claim(delivery.Claim{Max: 10})
		if ids := eventIDs(rest.Deliveries); !slices.Equal(ids, []string{"e0", "e1", "e4"}) {
			b.Errorf("from the head claimed %v", ids)
		}
	}},
	{"what is claimed is not claimed again", func(b *bench) {
		b.attach(nil)
		b.add("one", "x")
		b.claimOne("x")
		if ds := b.claim("x", start.Add(time.Hour)); len(ds) != 0 {
			b.Errorf("claimed %v again", eventIDs(ds))
		}
	}},
	{"lanes do not see each other, whatever their names", func(b *bench) {
		b.attach(nil)
		lanes := []string{"a", "aa", "a-", "a_", "A", "a0"}
		for _, lane := range lanes {
			b.add("for-"+lane, lane)
		}
		for _, lane := range lanes {
			if d := b.claimOne(lane); d.Event.ID != "for-"+lane {
				b.Errorf("claimed %s at %s", d.Event.ID, lane)
			}
		}
	}},
	{"what comes back earlier than what was claimed before is found", func(b *bench) {
		b.attach(nil)
		l := b.lease("x") // held over all claims, so that a store may remember where it was
		claim := func(now time.Time) []*delivery.Delivery {
			got, err := l.Claim(b.Context(), delivery.Claim{Now: now, Max: 1, MaxBytes: 1 << 20})
			b.must(err)
			return got.Deliveries
		}
		b.add("early", "x")
		early := claim(start)
		b.append(dueAt(event("late", to("x")), start.Add(time.Minute)), dueAt(event("later", to("x")), start.Add(2*time.Minute)))
		claim(start.Add(time.Hour)) // late
		b.settle(delivery.Settlement{Delivery: early[0], Return: true})
		if ds := claim(start.Add(time.Hour)); !slices.Equal(eventIDs(ds), []string{"early"}) {
			b.Errorf("claimed %v", eventIDs(ds))
		}
	}},
	{"any number that come back earlier than what was claimed before are found, in order", func(b *bench) {
		b.attach(nil)
		l := b.lease("x") // held over all claims, so that a store may remember where it was
		claim := func(c delivery.Claim) delivery.Claimed {
			c.Now, c.MaxBytes = start.Add(time.Hour), 1<<20
			got, err := l.Claim(b.Context(), c)
			b.must(err)
			return got
		}
		for _, n := range []int{3, 64, 65, 150} {
			var early []string
			batch := make([]delivery.Accept, n)
			for i := range batch {
				early = append(early, fmt.Sprint(n, "-early-", i))
				batch[i] = event(early[i], to("x", "spare"))
			}
			b.append(batch...)
			var back []delivery.Settlement
			for _, d := range claim(delivery.Claim{Max: n}).Deliveries {
				back = append(back, delivery.Settlement{Delivery: d, Return: true})
			}
			b.append(dueAt(event(fmt.Sprint(n, "-late-0"), to("x")), start.Add(time.Minute)),
				dueAt(event(fmt.Sprint(n, "-late-1"), to("x", "spare")), start.Add(2*time.Minute)))
			for range 2 { // an earlier claim of late ones
				b.settle(retried(claim(delivery.Claim{Max: 1}).Deliveries[0], start.Add(time.Minute)))
			}
			slices.Reverse(back)
			b.settle(back...)
			// Refused, found in part, and behind a place: none of that may lose what stays.
			odd := func(d *delivery.Delivery) bool { return d.Joined == 1 }
			if got := claim(delivery.Claim{Max: 2, Movable: odd}); got.Left != n+1 || len(got.Deliveries) != 0 {
				b.Errorf("%d: left %d of %d", n, got.Left, n+1)
			}
			some := claim(delivery.Claim{Max: 2})
			if ids := eventIDs(some.Deliveries); !slices.Equal(ids, early[:2]) || !some.More {
				b.Errorf("%d: claimed %v, more %v", n, ids, some.More)
			}
			behind := claim(delivery.Claim{Max: 1, After: some.Last})
			if ids := eventIDs(behind.Deliveries); !slices.Equal(ids, early[2:3]) {
				b.Errorf("%d: behind claimed %v", n, ids)
			}
			b.settle(delivery.Settlement{Delivery: behind.Deliveries[0], Return: true})
			rest := claim(delivery.Claim{Max: 1000})
			want := append(early[2:], fmt.Sprint(n, "-late-0"), fmt.Sprint(n, "-late-1"))
			if ids := eventIDs(rest.Deliveries); !slices.Equal(ids, want) {
				b.Errorf("%d: claimed %v, want %v", n, ids, want)
			}
		}
	}},
	{"what is due in the year 9999 is claimed by its place, and nothing else with it", func(b *bench) {
		b.attach(nil)
		never := time.Date(9999, time.December, 31, 0, 0, 0, 0, time.UTC)
		b.append(event("now", to("x")), event("parked", to("x")), event("parked too", to("x", "spare")), event("later", to("x", "spare")))
		l := b.lease("x")
		claim := func(c delivery.Claim) delivery.Claimed {
			c.Max, c.MaxBytes = 10, 1<<20
			got, err := l.Claim(b.Context(), c)
			b.must(err)
			return got
		}
		for _, d := range claim(delivery.Claim{Now: start.Add(time.Minute)}).Deliveries {
			due := map[string]time.Time{"now": start, "later": start.Add(24 * time.Hour)}[d.Event.ID]
			if due.IsZero() {
				due = never
			}
			b.settle(attempted(d, "transform_error", func(p *delivery.Progress) { p.Due = due }))
		}
		before := delivery.Place{Due: never.Add(-time.Millisecond), Key: delivery.Key{Seq: math.MaxUint64, Ord: math.MaxUint16}}
		parked := claim(delivery.Claim{Now: never, After: before})
		if ids := eventIDs(parked.Deliveries); !slices.Equal(ids, []string{"parked", "parked too"}) || parked.More {
			b.Errorf("claimed %v, more %v", ids, parked.More)
		}
		if d := parked.Deliveries[0]; !d.Due.Equal(never) {
			b.Errorf("due %s", d.Due)
		}
		if ids := eventIDs(claim(delivery.Claim{Now: start.Add(48 * time.Hour)}).Deliveries); !slices.Equal(ids, []string{"now", "later"}) {
			b.Errorf("then claimed %v", ids)
		}
	}},
	{"what a clock set back has put too far off is claimed by its place, and what is parked is not", func(b *bench) {
		b.attach(nil)
		never := time.Date(9999, time.December, 31, 0, 0, 0, 0, time.UTC)
		far, limit := start.AddDate(1, 0, 0), start.AddDate(0, 2, 0)
		b.append(dueAt(event("parked", to("x")), never), dueAt(event("last", to("x")), limit), dueAt(event("far", to("x")), far),
			dueAt(event("farther", to("x", "spare")), far.Add(time.Hour)), dueAt(event("too far", to("x", "spare")), limit.Add(time.Millisecond)),
			event("now", to("x")))
		l := b.lease("x") // held over all claims, so that a store may remember where it was
		claim := func(c delivery.Claim) delivery.Claimed {
			c.MaxBytes = 1 << 20
			got, err := l.Claim(b.Context(), c)
			b.must(err)
			return got
		}
		stranded := delivery.Claim{
			Now: never.Add(-time.Millisecond), Max: 2,
			After: delivery.Place{Due: limit, Key: delivery.Key{Seq: math.MaxUint64, Ord: math.MaxUint16}},
		}
		for _, want := range [][]string{{"too far", "far"}, {"farther"}, nil} {
			got := claim(stranded)
			if ids := eventIDs(got.Deliveries); !slices.Equal(ids, want) || got.More != (len(want) == 2) || !got.Next.Equal(never) {
				b.Errorf("claimed %v, more %v, next %v; want %v", ids, got.More, got.Next, want)
			}
		}
		if got := claim(delivery.Claim{Now: start, Max: 10}); !slices.Equal(eventIDs(got.Deliveries), []string{"now"}) || !got.Next.Equal(limit) {
			b.Errorf("then claimed %v, next %v", eventIDs(got.Deliveries), got.Next)
		}
	}},
	{"nothing is stranded while claims, accepts, retries and returns race", func(b *bench) {
		b.attach(nil)
		const n = 300
		l := b.lease("x")
		back := make(chan *delivery.Delivery, n)
		var wg sync.WaitGroup
		wg.Go(func() {
			for i := range n { // later ones are due earlier
				a := dueAt(event(fmt.Sprint("e", i), to("x", "spare")[:1+i%2]), start.Add(time.Duration(n-i)*time.Second))
				if _, err := b.Store.Append(context.Background(), []delivery.Accept{a}); err != nil {
					b.Error(err)
				}
			}
		})
		done := make(chan struct{})
		wg.Go(func() {
			defer close(done)
			for i, left := 0, n; left > 0; {
				d, ok := <-back
				if !ok {
					return
				}
				var batch []delivery.Settlement
				for ; d != nil; i++ {
					s := delivery.Settlement{Delivery: d, Step: d.Step, Return: true}
					switch {
					case d.Step == 0 && i%3 == 0:
						s = retried(d, start)
					case i%3 == 1:
						s = delivered(d)
						left--
					}
					batch = append(batch, s)
					select {
					case d = <-back:
					default:
						d = nil
					}
				}
				for _, err := range b.Store.Settle(context.Background(), batch) {
					if err != nil {
						b.Error(err)
					}
				}
			}
		})
		for deadline := time.Now().Add(time.Minute); ; {
			got, err := l.Claim(b.Context(), delivery.Claim{Now: start.Add(time.Hour), Max: 3, MaxBytes: 1 << 20})
			b.must(err)
			for _, d := range got.Deliveries {
				back <- d
			}
			select {
			case <-done:
				wg.Wait()
				return
			default:
			}
			if time.Now().After(deadline) {
				close(back)
				b.Fatalf("stranded: %+v, due %v", b.counts(), b.due())
			}
		}
	}},
	{"due lists each lane once, with its earliest time", func(b *bench) {
		b.attach(nil)
		b.append(dueAt(event("a", to("x")), start.Add(time.Hour)), dueAt(event("b", to("x", "y")), start.Add(time.Minute)),
			dueAt(event("c", to("y")), start.Add(time.Second)), event("d", to("empty")))
		b.claimOne("empty")
		want := map[string]time.Time{"x": start.Add(time.Minute), "y": start.Add(time.Second)}
		if got := b.due(); !reflect.DeepEqual(got, want) {
			b.Errorf("due %v, want %v", got, want)
		}
	}},
}

var settleCases = []testCase{
	{"a delivered attempt ends the delivery and is on record", func(b *bench) {
		b.attach(nil)
		b.add("one", "x")
		s := delivered(b.claimOne("x"))
		b.settle(s)
		r := b.delivery(s.Delivery)
		if r.Delivery.State != delivery.Delivered || len(r.Transitions) != 1 || !reflect.DeepEqual(r.Transitions[0], s.Transition) {
			b.Errorf("got %+v\nwant %+v", r.Transitions, s.Transition)
		}
		if c := b.counts(); c.Delivered != 1 || c.Pending != 0 || len(b.rec.takeQueued()) != 0 {
			b.Errorf("counts %+v", c)
		}
	}},
	{"a delivery that was reserved at acceptance can be settled", func(b *bench) {
		b.attach(takeAll)
		b.settle(delivered(b.add("one", "x")))
		if c := b.counts(); c.Delivered != 1 {
			b.Errorf("counts %+v", c)
		}
	}},
	{"a retry waits in its lane until it is due, and the engine is told", func(b *bench) {
		b.attach(nil)
		b.add("one", "x")
		d := b.claimOne("x")
		b.settle(retried(d, start.Add(time.Minute)))
		if q := b.rec.takeQueued(); len(q) != 1 || q[0] != (queued{"x", start.Add(time.Minute)}) {
			b.Errorf("queued %v", q)
		}
		if ds := b.claim("x", start.Add(time.Minute-time.Millisecond)); len(ds) != 0 {
			b.Error("claimed too early")
		}
		ds := b.claim("x", start.Add(time.Minute))
		if len(ds) != 1 || ds[0].Step != 1 || ds[0].Attempts != 1 || ds[0].Tries[0] != 1 {
			b.Errorf("claimed %+v", ds)
		}
	}},
	{"a move waits in the lane of its new target", func(b *bench) {
		b.attach(nil)
		b.add("one", "x", "spare")
		d := b.claimOne("x")
		p := d.Progress
		p.Step, p.Target = 1, 1
		b.settle(delivery.Settlement{Delivery: d, Transition: delivery.Transition{
			At: start, Kind: delivery.Moved, Note: "breaker open at x", Progress: p,
		}})
		if q := b.rec.takeQueued(); len(q) != 1 || q[0].lane != "spare" {
			b.Errorf("queued %v", q)
		}
		b.claimOne("spare")
		r := b.delivery(d)
		if len(r.Transitions) != 1 || r.Transitions[0].Note != "breaker open at x" || r.Transitions[0].Attempt != nil {
			b.Errorf("transitions %+v", r.Transitions)
		}
	}},
	{"a return waits as it was, with nothing on record", func(b *bench) {
		b.attach(nil)
		b.add("one", "x")
		for range 3 {
			d := b.claimOne("x")
			was := d.Progress
			d.Attempts, d.Due = 99, start.Add(time.Hour) // the engine's scribbles do not count
			b.settle(delivery.Settlement{Delivery: d, Step: was.Step, Return: true})
			if r := b.delivery(d); len(r.Transitions) != 0 || r.Delivery.Progress != was {
				b.Errorf("got %+v, want %+v", r.Delivery.Progress, was)
			}
			if q := b.rec.takeQueued(); len(q) != 1 || q[0] != (queued{"x", start}) {
				b.Errorf("queued %v", q)
			}
		}
	}},
	{"a return of what was reserved at acceptance waits", func(b *bench) {
		b.attach(takeAll)
		d := b.add("one", "x")
		b.settle(delivery.Settlement{Delivery: d, Return: true})
		b.claimOne("x")
	}},
	{"what is settled is stale the second time", func(b *bench) {
		b.attach(nil)
		b.add("one", "x")
		s := delivered(b.claimOne("x"))
		errs := b.Store.Settle(b.Context(), []delivery.Settlement{s, s})
		if errs[0] != nil || !errors.Is(errs[1], delivery.ErrStale) {
			b.Errorf("in one batch: %v", errs)
		}
		if errs := b.Store.Settle(b.Context(), []delivery.Settlement{s}); !errors.Is(errs[0], delivery.ErrStale) {
			b.Errorf("later: %v", errs)
		}
		if c := b.counts(); c.Delivered != 1 {
			b.Errorf("counts %+v", c)
		}
	}},
	{"a settlement at another step, or of what still waits, is stale", func(b *bench) {
		b.attach(nil)
		waits := b.add("waits", "y")
		b.add("one", "x")
		d := b.claimOne("x")
		wrong := delivered(d)
		wrong.Step, wrong.Transition.Progress.Step = 7, 8
		for i, err := range b.Store.Settle(b.Context(), []delivery.Settlement{wrong, delivered(waits)}) {
			if !errors.Is(err, delivery.ErrStale) {
				b.Errorf("item %d: %v", i, err)
			}
		}
		b.settle(delivered(d))
	}},
	{"a stale item harms none of the others", func(b *bench) {
		b.attach(takeAll)
		one, two := b.add("one", "x"), b.add("two", "x")
		stale := delivered(&delivery.Delivery{Event: &delivery.Event{Seq: 9999}, Chain: to("x")})
		errs := b.Store.Settle(b.Context(), []delivery.Settlement{delivered(one), stale, delivered(two)})
		if errs[0] != nil || !errors.Is(errs[1], delivery.ErrStale) || errs[2] != nil {
			b.Errorf("answers %v", errs)
		}
	}},
	{"the deliveries of one event go their own ways", func(b *bench) {
		b.attach(takeAll)
		ds := b.append(event("one", to("x"), to("y"), to("z")))[0].Deliveries
		b.settle(delivered(ds[0]), retried(ds[1], start.Add(time.Hour)), attempted(ds[2], "timeout", func(p *delivery.Progress) {
			p.State, p.Reason = delivery.Exhausted, delivery.ReasonSchedule
		}))
		r, err := b.Store.Event(b.Context(), "one", nil)
		b.must(err)
		got := []delivery.State{r.Deliveries[0].State, r.Deliveries[1].State, r.Deliveries[2].State}
		if !slices.Equal(got, []delivery.State{delivery.Delivered, delivery.Pending, delivery.Exhausted}) {
			b.Errorf("states %v", got)
		}
		if c := b.counts(); c != (delivery.Counts{Events: 1, Pending: 1, Delivered: 1, Exhausted: 1}) {
			b.Errorf("counts %+v", c)
		}
	}},
}

var laneCases = []testCase{
	{"the state of a lane is what was set last", func(b *bench) {
		b.attach(nil)
		l := b.lease("x")
		got, err := l.State(b.Context())
		b.must(err)
		if got != (delivery.LaneState{}) {
			b.Errorf("at first: %+v", got)
		}
		for _, want := range []delivery.LaneState{
			{URL: "https://a.example/", HoldUntil: start, Disabled: "gone", DisabledAt: start.Add(time.Second), FailingSince: start, Paused: true},
			{URL: "https://b.example/", Seen: true},
			{Paused: true, Seen: true},
			{URL: "https://b.example/"},
		} {
			b.must(l.SetState(b.Context(), want))
			if got, err = l.State(b.Context()); err != nil || got != want {
				b.Errorf("got %+v, %v; want %+v", got, err, want)
			}
		}
		if got, err := b.lease("y").State(b.Context()); err != nil || got != (delivery.LaneState{}) {
			b.Errorf("another lane's: %+v, %v", got, err)
		}
	}},
	{"all states that were set are listed, whoever has a lease", func(b *bench) {
		b.attach(nil)
		b.add("one", "silent")
		if states, err := b.Store.States(b.Context()); err != nil || len(states) > 0 {
			b.Errorf("at first: %v, %v", states, err)
		}
		want := map[string]delivery.LaneState{
			"x":  {URL: "https://a.example/", Disabled: "gone", DisabledAt: start, Seen: true},
			"xx": {Paused: true}, "y": {HoldUntil: start.Add(time.Hour), FailingSince: start},
		}
		for name, state := range want {
			b.must(b.lease(name).SetState(b.Context(), delivery.LaneState{URL: "https://before.example/"}))
			b.must(b.lease(name).SetState(b.Context(), state))
		}
		b.crash()
		states, err := b.Store.States(b.Context())
		if err != nil || !maps.Equal(states, want) {
			b.Errorf("got %v, %v; want %v", states, err, want)
		}
	}},
	{"a released lane can be leased again", func(b *bench) {
		b.attach(nil)
		b.add("one", "x")
		l := b.lease("x")
		b.must(l.Release(b.Context()))
		b.claimOne("x")
	}},
}

// undecided is an event with a held route.
func undecided(id string, chains ...[]string) delivery.Accept {
	a := event(id, chains...)
	a.Event.Routing, a.Event.Held = delivery.Undecided, []string{"r1", "r2"}
	return a
}

func planned(chain ...string) *delivery.Delivery {
	return &delivery.Delivery{Route: "decided", Chain: chain, Progress: delivery.Progress{Due: start}}
}

var decideCases = []testCase{
	{"undecided events are listed oldest first", func(b *bench) {
		b.attach(nil)
		b.append(undecided("a"), event("routed", to("x")), undecided("b"), undecided("c"))
		list := func(after uint64, n int) (ids []string, last uint64) {
			evs, err := b.Store.Undecided(b.Context(), after, n)
			b.must(err)
			for _, ev := range evs {
				ids, last = append(ids, ev.ID), ev.Seq
			}
			return ids, last
		}
		ids, last := list(0, 2)
		if !slices.Equal(ids, []string{"a", "b"}) {
			b.Errorf("listed %v", ids)
		}
		if ids, _ = list(last, 2); !slices.Equal(ids, []string{"c"}) {
			b.Errorf("then listed %v", ids)
		}
	}},
	{"deciding adds deliveries, tells of them and replaces the routing", func(b *bench) {
		b.attach(takeAll)
		a := undecided("one", to("x"))
		b.append(a)
		add := planned("y", "spare")
		b.must(b.Store.Decide(b.Context(), a.Event.Seq, delivery.Routed, nil, "d2", []*delivery.Delivery{add}))
		if add.Ord != 1 || add.ID == "" || add.Event == nil || add.Event.Seq != a.Event.Seq {
			b.Errorf("the delivery is %+v", add)
		}
		if q := b.rec.takeQueued(); len(q) != 1 || q[0] != (queued{"y", start}) {
			b.Errorf("queued %v", q)
		}
		if d := b.claimOne("y"); d.ID != add.ID || d.Event.Digest != "d2" {
			b.Errorf("claimed %+v", d)
		}
		r, err := b.Store.Event(b.Context(), "one", nil)
		b.must(err)
		if r.Event.Routing != delivery.Routed || len(r.Event.Held) != 0 || r.Event.Digest != "d2" || len(r.Deliveries) != 2 {
			b.Errorf("event %+v with %d deliveries", r.Event, len(r.Deliveries))
		}
		if evs, err := b.Store.Undecided(b.Context(), 0, 10); err != nil || len(evs) != 0 {
			b.Errorf("still undecided: %v, %v", evs, err)
		}
		if c := b.counts(); c.Events != 1 || c.Pending != 2 {
			b.Errorf("counts %+v", c)
		}
	}},
	{"a primary that the event already has is left out", func(b *bench) {
		b.attach(nil)
		a := undecided("one", to("x"))
		b.append(a)
		b.must(b.Store.Decide(b.Context(), a.Event.Seq, delivery.Undecided, []string{"r2"}, "d2",
			[]*delivery.Delivery{planned("x", "other"), planned("y"), planned("y")}))
		r, err := b.Store.Event(b.Context(), "one", nil)
		b.must(err)
		if len(r.Deliveries) != 2 || r.Deliveries[1].Chain[0] != "y" || !slices.Equal(r.Event.Held, []string{"r2"}) {
			b.Errorf("event %+v with deliveries %+v", r.Event, r.Deliveries)
		}
		if evs, err := b.Store.Undecided(b.Context(), 0, 10); err != nil || len(evs) != 1 {
			b.Errorf("undecided: %v, %v", evs, err)
		}
	}},
	{"an event that is decided stays so", func(b *bench) {
		b.attach(nil)
		a := event("one", to("x"))
		b.append(a)
		b.must(b.Store.Decide(b.Context(), a.Event.Seq, delivery.Unrouted, nil, "d2", []*delivery.Delivery{planned("y")}))
		r, err := b.Store.Event(b.Context(), "one", nil)
		b.must(err)
		if r.Event.Routing != delivery.Routed || len(r.Deliveries) != 1 {
			b.Errorf("event %+v with %d deliveries", r.Event, len(r.Deliveries))
		}
	}},
	{"an unknown event cannot be decided", func(b *bench) {
		b.attach(nil)
		if err := b.Store.Decide(b.Context(), 77, delivery.Routed, nil, "", nil); !errors.Is(err, delivery.ErrNotFound) {
			b.Errorf("error %v", err)
		}
	}},
}
