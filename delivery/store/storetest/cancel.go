package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
)

// cancel wants the answer of cancelling d.
func (b *bench) cancel(d *delivery.Delivery, want delivery.State) {
	b.Helper()
	if got, err := b.Store.Cancel(b.Context(), d.ID); err != nil || got != want {
		b.Errorf("cancel: %v, %v; want %v", got, err, want)
	}
}

// cancelLane wants to cancel that many at a lane, in as many calls as it takes.
func (b *bench) cancelLane(lane string, limit, want int) {
	b.Helper()
	total := 0
	for range 1000 {
		n, more, err := b.Store.CancelLane(b.Context(), lane, limit)
		b.must(err)
		if n > limit {
			b.Fatalf("%d cancelled, at most %d asked for", n, limit)
		}
		if total += n; !more {
			break
		}
	}
	if total != want {
		b.Errorf("%d cancelled at %s, want %d", total, lane, want)
	}
}

// wantCancelled wants d to have ended by an operator, after so many other transitions.
func (b *bench) wantCancelled(d *delivery.Delivery, before int) {
	b.Helper()
	r := b.delivery(d)
	if r.Delivery.State != delivery.Cancelled || len(r.Transitions) != before+1 {
		b.Fatalf("got %+v with %d transitions, want cancelled with %d", r.Delivery.Progress, len(r.Transitions), before+1)
	}
	t := r.Transitions[before]
	if t.Kind != delivery.Ended || t.Note != delivery.NoteCancelled || t.Attempt != nil || t.Progress != r.Delivery.Progress ||
		time.Since(t.At) > time.Minute {
		b.Errorf("ended by %+v", t)
	}
	if before > 0 {
		p := r.Transitions[before-1].Progress
		p.Step++
		if p.State = delivery.Cancelled; t.Progress != p {
			b.Errorf("ended as %+v after %+v", t.Progress, r.Transitions[before-1].Progress)
		}
	}
}

var cancelCases = []testCase{
	{"a waiting delivery is cancelled at once", func(b *bench) {
		b.attach(nil)
		d := b.add("one", "x", "spare")
		b.add("two", "x")
		b.cancel(d, delivery.Cancelled)
		b.wantCancelled(d, 0)
		if got := b.claimOne("x"); got.Event.ID != "two" {
			b.Errorf("claimed %s", got.Event.ID)
		}
		if c := b.counts(); c != (delivery.Counts{Events: 2, Pending: 1, Cancelled: 1}) || len(b.rec.takeQueued()) != 0 {
			b.Errorf("counts %+v", c)
		}
	}},
	{"one that waits for a retry at a backup is cancelled", func(b *bench) {
		b.attach(takeAll)
		d := b.add("one", "x", "spare")
		b.settle(attempted(d, "timeout", func(p *delivery.Progress) { p.Target, p.Spent, p.Due = 1, 1, start.Add(time.Hour) }))
		b.cancel(d, delivery.Cancelled)
		b.wantCancelled(d, 1)
		if len(b.due()) != 0 {
			b.Errorf("due %v", b.due())
		}
	}},
	{"what has ended stays as it is", func(b *bench) {
		b.attach(takeAll)
		ds := b.append(event("one", to("x"), to("y"), to("z")))[0].Deliveries
		b.settle(delivered(ds[0]), attempted(ds[1], "http_error", func(p *delivery.Progress) { p.State = delivery.Exhausted }),
			delivery.Settlement{Delivery: ds[2], Return: true})
		b.cancel(ds[2], delivery.Cancelled)
		for i, want := range []delivery.State{delivery.Delivered, delivery.Exhausted, delivery.Cancelled} {
			if got, err := b.Store.Cancel(b.Context(), ds[i].ID); !errors.Is(err, delivery.ErrFinal) || got != want {
				b.Errorf("%v: %v, %v", want, got, err)
			}
			if r := b.delivery(ds[i]); r.Delivery.State != want || len(r.Transitions) != 1 {
				b.Errorf("%v: it is %+v now", want, r.Delivery.Progress)
			}
		}
	}},
	{"an unknown id is not found", func(b *bench) {
		b.attach(nil)
		d := b.add("one", "x")
		b.prune(start.Add(8*day), 1, 0)
		b.prune(time.Now().Add(400*day), 0, 1)
		for _, id := range []string{"", "dlv_", "one", d.ID} {
			if _, err := b.Store.Cancel(b.Context(), id); !errors.Is(err, delivery.ErrNotFound) {
				b.Errorf("%q: %v", id, err)
			}
		}
	}},
	{"one in hand ends when a settlement would have it go on, which is on record", func(b *bench) {
		b.attach(takeAll)
		for i, change := range []func(p *delivery.Progress){
			func(p *delivery.Progress) { p.Due = start.Add(time.Hour); p.Tries[0]++ },
			func(p *delivery.Progress) { p.Target, p.Spent = 1, 1 },
		} {
			d := b.add(fmt.Sprint("e", i), "x", "spare")
			b.cancel(d, delivery.Pending)
			b.cancel(d, delivery.Pending)
			if r := b.delivery(d); r.Delivery.Progress != d.Progress || len(r.Transitions) != 0 {
				b.Errorf("before it comes back it is %+v", r.Delivery.Progress)
			}
			s := attempted(d, "timeout", change)
			b.settle(s)
			b.wantCancelled(d, 1)
			if r := b.delivery(d); r.Transitions[0].Attempt == nil || r.Transitions[0].Progress != s.Transition.Progress {
				b.Errorf("on record: %+v", r.Transitions[0])
			}
			if errs := b.Store.Settle(b.Context(), []delivery.Settlement{s}); !errors.Is(errs[0], delivery.ErrStale) {
				b.Errorf("settled again: %v", errs[0])
			}
		}
		if c := b.counts(); c != (delivery.Counts{Events: 2, Cancelled: 2}) || len(b.due()) != 0 || len(b.rec.takeQueued()) != 0 {
			b.Errorf("counts %+v, due %v", c, b.due())
		}
	}},
	{"one in hand ends when it is returned, with nothing else on record", func(b *bench) {
		b.attach(nil)
		b.add("one", "x")
		d := b.claimOne("x")
		b.cancel(d, delivery.Pending)
		b.settle(delivery.Settlement{Delivery: d, Return: true})
		b.wantCancelled(d, 0)
		if len(b.due()) != 0 || len(b.rec.takeQueued()) != 0 {
			b.Errorf("due %v", b.due())
		}
	}},
	{"an end of its own stands", func(b *bench) {
		b.attach(takeAll)
		ds := b.append(event("one", to("x"), to("y")))[0].Deliveries
		b.cancel(ds[0], delivery.Pending)
		b.cancel(ds[1], delivery.Pending)
		b.settle(delivered(ds[0]), attempted(ds[1], "http_error", func(p *delivery.Progress) {
			p.State, p.Reason = delivery.Exhausted, delivery.ReasonSchedule
		}))
		for i, want := range []delivery.State{delivery.Delivered, delivery.Exhausted} {
			if r := b.delivery(ds[i]); r.Delivery.State != want || len(r.Transitions) != 1 {
				b.Errorf("it is %+v", r.Delivery.Progress)
			}
		}
		if c := b.counts(); c != (delivery.Counts{Events: 1, Delivered: 1, Exhausted: 1}) {
			b.Errorf("counts %+v", c)
		}
	}},
	{"a cancelled successor leaves its line, and its head goes on", func(b *bench) {
		b.attach(nil)
		ds := b.addOrdered("k", "x", "a", "b", "c", "d")
		b.cancel(ds[1], delivery.Cancelled)
		b.cancel(ds[3], delivery.Cancelled)
		b.wantCancelled(ds[1], 0)
		b.addOrdered("k", "x", "e")
		b.wantLine("x", "a", "c", "e")
	}},
	{"a cancelled head that waits promotes the next", func(b *bench) {
		b.attach(nil)
		ds := b.addOrdered("k", "x", "a", "b", "c")
		b.cancel(ds[0], delivery.Cancelled)
		if q := b.rec.takeQueued(); len(q) != 1 || q[0] != (queued{"x", start}) {
			b.Errorf("queued %v", q)
		}
		b.cancel(ds[1], delivery.Cancelled)
		b.wantLine("x", "c")
	}},
	{"a cancelled head in hand promotes the next when it comes back, not before", func(b *bench) {
		b.attach(nil)
		b.addOrdered("k", "x", "a", "b", "c", "d")
		for i, back := range []func(d *delivery.Delivery) delivery.Settlement{
			func(d *delivery.Delivery) delivery.Settlement { return retried(d, start) },
			func(d *delivery.Delivery) delivery.Settlement { return delivery.Settlement{Delivery: d, Return: true} },
			delivered,
		} {
			d := b.claimOne("x")
			b.cancel(d, delivery.Pending)
			if len(b.due()) != 0 {
				b.Errorf("%d: due %v while it is in hand", i, b.due())
			}
			b.rec.takeQueued()
			b.settle(back(d))
			if q := b.rec.takeQueued(); len(q) != 1 {
				b.Errorf("%d: queued %v", i, q)
			}
		}
		b.wantLine("x", "d")
	}},
	{"a cancelled delivery is deleted like any that ended", func(b *bench) {
		b.attach(nil)
		b.cancel(b.add("one", "x"), delivery.Cancelled)
		b.prune(time.Now().Add(29*day), 0, 0)
		b.prune(time.Now().Add(31*day), 0, 1)
		if c := b.counts(); c != (delivery.Counts{Events: 1}) {
			b.Errorf("counts %+v", c)
		}
	}},
	{"each is handed over or cancelled, not both, when claims and cancels race", func(b *bench) {
		b.attach(nil)
		const n = 200
		chains := make([][]string, n)
		for i := range chains {
			chains[i] = to("x")
		}
		ds := b.append(event("one", chains...))[0].Deliveries
		ended := make([]bool, n)
		var wg sync.WaitGroup
		wg.Go(func() {
			for i, d := range slices.Backward(ds) {
				state, err := b.Store.Cancel(context.Background(), d.ID)
				if ended[i] = state == delivery.Cancelled; err != nil {
					b.Error(err)
				}
			}
		})
		claimed := map[uint16]bool{}
		for range n {
			got := b.claimSome("x", delivery.Claim{Now: start, Max: 2, MaxBytes: 1 << 20})
			for _, d := range got.Deliveries {
				claimed[d.Ord] = true
			}
		}
		wg.Wait()
		for i, d := range ds {
			if ended[i] == claimed[d.Ord] {
				b.Errorf("delivery %d: cancelled %v, handed over %v", i, ended[i], claimed[d.Ord])
			}
		}
	}},
}

var cancelLaneCases = []testCase{
	{"what is at home in the lane and waits there, or is a successor, is cancelled", func(b *bench) {
		b.attach(nil)
		mine := b.append(event("mine", to("x"), to("x", "spare"), to("x-"), to("y", "x")))[0].Deliveries
		line := b.addOrdered("k", "x", "a", "b", "c")
		later := b.append(dueAt(event("later", to("x")), start.Add(time.Hour)))[0].Deliveries[0]
		b.cancelLane("x", 100, 6)
		for _, d := range append(line, later, mine[0], mine[1]) {
			b.wantCancelled(d, 0)
		}
		if len(b.rec.takeQueued()) != 0 {
			b.Error("some were promoted on the way")
		}
		b.claimOne("x-")
		b.claimOne("y")
		if c := b.counts(); c != (delivery.Counts{Events: 5, Pending: 2, Cancelled: 6}) {
			b.Errorf("counts %+v", c)
		}
		b.addOrdered("k", "x", "again")
		b.wantLine("x", "again")
	}},
	{"what moved to a backup goes on there, and what came here as to its backup goes on here", func(b *bench) {
		b.attach(takeAll)
		ds := b.append(event("one", to("x", "y"), to("y", "x")))[0].Deliveries
		line := b.append(ordered(event("two", to("x", "y")), "k"))[0].Deliveries[0]
		next := b.addOrdered("k", "x", "three")[0]
		away := func(d *delivery.Delivery) delivery.Settlement {
			return attempted(d, "timeout", func(p *delivery.Progress) { p.Target, p.Spent = 1, 1 })
		}
		b.settle(away(ds[0]), away(ds[1]), away(line))
		b.cancelLane("x", 100, 1) // three
		b.wantCancelled(next, 0)
		if ids := eventIDs(b.claim("y", start)); !slices.Equal(ids, []string{"one", "two"}) {
			b.Errorf("claimed %v at y", ids)
		}
		if d := b.claimOne("x"); d.Key() != ds[1].Key() {
			b.Errorf("claimed %+v at x", d)
		}
	}},
	{"what is in hand at the lane is marked, once; what is in hand at a backup goes on", func(b *bench) {
		b.attach(takeAll)
		ds := b.append(event("one", to("x", "y"), to("x", "y"), to("y", "x")))[0].Deliveries
		b.settle(attempted(ds[1], "timeout", func(p *delivery.Progress) { p.Target = 1 }))
		ds[1] = b.claimOne("y")
		b.cancelLane("x", 100, 1)
		b.cancelLane("x", 100, 0)
		for _, d := range ds {
			b.settle(retried(d, start))
		}
		b.wantCancelled(ds[0], 1)
		if c := b.counts(); c.Cancelled != 1 || c.Pending != 2 {
			b.Errorf("counts %+v", c)
		}
	}},
	{"a limit is kept, and call after call gets to the end", func(b *bench) {
		b.attach(func(d *delivery.Delivery) bool { return d.Event.Seq%3 == 0 })
		batch := make([]delivery.Accept, 2500)
		for i := range batch {
			if batch[i] = event(fmt.Sprint("e", i), to("x")); i%2 == 0 {
				ordered(batch[i], fmt.Sprint("k", i%4))
			}
		}
		b.append(batch...)
		if n, more, err := b.Store.CancelLane(b.Context(), "x", 1); n != 1 || !more || err != nil {
			b.Errorf("one of them: %d, %v, %v", n, more, err)
		}
		b.cancelLane("x", 700, 2499)
		if len(b.due()) != 0 {
			b.Errorf("due %v", b.due())
		}
	}},
	{"an empty lane has nothing to cancel", func(b *bench) {
		b.attach(nil)
		b.add("one", "xx")
		b.cancelLane("x", 10, 0)
	}},
}
