package storetest

import (
	"context"
	"fmt"
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
