package storetest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
)

// ordered gives all of an accept's deliveries an ordering key.
func ordered(a delivery.Accept, key string) delivery.Accept {
	for _, d := range a.Deliveries {
		d.OrderKey = key
	}
	return a
}

// addOrdered appends one event per id, in order and each on its own, with one delivery of the key.
func (b *bench) addOrdered(key, home string, ids ...string) (ds []*delivery.Delivery) {
	b.Helper()
	for _, id := range ids {
		ds = append(ds, b.append(ordered(event(id, to(home)), key))[0].Deliveries...)
	}
	return ds
}

// wantLine claims and delivers at a lane until nothing is due, and wants one delivery at a time, of these events.
func (b *bench) wantLine(lane string, want ...string) {
	b.Helper()
	var got []string
	for {
		ds := b.claim(lane, time.Now().Add(time.Hour))
		if len(ds) == 0 {
			break
		}
		if got = append(got, eventIDs(ds)...); len(ds) > 1 {
			b.Errorf("claimed %v at once", eventIDs(ds))
		}
		for _, d := range ds {
			b.settle(delivered(d))
		}
	}
	if !slices.Equal(got, want) {
		b.Errorf("delivered %v, want %v", got, want)
	}
}

var orderCases = []testCase{
	{"of a key only the head waits, and each end promotes the next", func(b *bench) {
		b.attach(nil)
		b.addOrdered("k", "x", "a", "b")
		b.append(dueAt(ordered(event("c", to("x")), "k"), start.Add(time.Second)))
		for _, want := range []struct {
			id   string
			next time.Time
		}{{"a", start}, {"b", start.Add(time.Second)}, {"c", time.Time{}}} {
			ds := b.claim("x", start.Add(time.Minute))
			if ids := eventIDs(ds); !slices.Equal(ids, []string{want.id}) || len(b.due()) != 0 {
				b.Fatalf("claimed %v, due %v; want %s and nothing", ids, b.due(), want.id)
			}
			b.settle(delivered(ds[0]))
			q := b.rec.takeQueued()
			if want.next.IsZero() && len(q) == 0 {
				continue
			}
			if len(q) != 1 || q[0] != (queued{"x", want.next}) || !b.due()["x"].Equal(want.next) {
				b.Errorf("after %s queued %v, due %v", want.id, q, b.due())
			}
		}
		if c := b.counts(); c != (delivery.Counts{Events: 3, Delivered: 3}) {
			b.Errorf("counts %+v", c)
		}
	}},
	{"a successor is not reserved, at acceptance or later", func(b *bench) {
		b.attach(takeAll)
		ds := b.addOrdered("k", "x", "a", "b", "c")
		b.settle(delivered(ds[0]))
		if len(b.rec.reserved) != 1 || len(b.rec.committed) != 1 || b.rec.reserved[0] != ds[0].Key() {
			b.Errorf("reserved %v, committed %v", b.rec.reserved, b.rec.committed)
		}
		b.wantLine("x", "b", "c")
	}},
	{"a head holds its successors back wherever it is", func(b *bench) {
		b.attach(nil)
		head := b.append(ordered(event("a", to("x", "spare")), "k"))[0].Deliveries[0]
		b.addOrdered("k", "x", "b")
		alone := func(lane string, now time.Time) *delivery.Delivery {
			b.Helper()
			ds := b.claim(lane, now)
			if !slices.Equal(eventIDs(ds), []string{"a"}) {
				b.Fatalf("at %s: claimed %v", lane, eventIDs(ds))
			}
			return ds[0]
		}
		d := alone("x", start)
		b.settle(delivery.Settlement{Delivery: d, Return: true})
		b.settle(retried(alone("x", start), start.Add(time.Hour)))
		if ds := b.claim("x", start.Add(time.Minute)); len(ds) != 0 {
			b.Fatalf("claimed %v while the head waits for its retry", eventIDs(ds))
		}
		b.settle(attempted(alone("x", start.Add(time.Hour)), "timeout", func(p *delivery.Progress) { p.Target, p.Spent = 1, 1 }))
		if ds := b.claim("x", start.Add(time.Hour)); len(ds) != 0 {
			b.Fatalf("claimed %v while the head is at its backup", eventIDs(ds))
		}
		b.settle(delivered(alone("spare", start.Add(time.Hour))))
		b.wantLine("x", "b")
		if r := b.delivery(head); r.Delivery.State != delivery.Delivered || r.Delivery.Lane() != "spare" {
			b.Errorf("the head is %+v", r.Delivery.Progress)
		}
	}},
	{"a promoted delivery waits in the lane of its own target", func(b *bench) {
		b.attach(takeAll)
		head := b.addOrdered("k", "x", "a")[0]
		next := ordered(event("b", to("x", "spare")), "k")
		next.Deliveries[0].Target = 1
		b.append(next)
		b.settle(delivered(head))
		if q := b.rec.takeQueued(); len(q) != 1 || q[0].lane != "spare" {
			b.Errorf("queued %v", q)
		}
		b.wantLine("spare", "b")
	}},
	{"neither another key, nor another home, nor none is held back", func(b *bench) {
		b.attach(nil)
		b.addOrdered("k", "x", "head", "held")
		b.addOrdered("", "x", "none", "none-too")
		keys := []string{"K", "k\x00", "\x00k", "kk", strings.Repeat("k", delivery.MaxOrderKey), strings.Repeat("k", delivery.MaxOrderKey-1)}
		for i, key := range keys {
			b.addOrdered(key, "x", fmt.Sprint("other", i))
		}
		if got := len(b.claim("x", start)); got != 3+len(keys) {
			b.Errorf("%d claimed at x, want all but one", got)
		}
		b.append(ordered(event("home", to("y", "x")), "k"))
		b.wantLine("y", "home")
	}},
	{"what is accepted together lines up in its order", func(b *bench) {
		b.attach(takeAll)
		batch := make([]delivery.Accept, 3)
		for i := range batch {
			batch[i] = ordered(event(fmt.Sprint("e", i), to("x"), to("y"), to("x")), "k")
		}
		b.append(batch...)
		if len(b.rec.committed) != 2 {
			b.Errorf("%d taken, want one per home", len(b.rec.committed))
		}
		b.settle(delivered(batch[0].Deliveries[0]), delivered(batch[0].Deliveries[1]))
		b.wantLine("y", "e1", "e2")
		b.wantLine("x", "e0", "e1", "e1", "e2", "e2")
	}},
	{"whatever ends a head promotes the next", func(b *bench) {
		b.attach(nil)
		ds := b.addOrdered("k", "x", "exhausted", "cancelled", "by-cancel", "last")
		b.settle(attempted(b.claimOne("x"), "http_error", func(p *delivery.Progress) {
			p.State, p.Reason = delivery.Exhausted, delivery.ReasonSchedule
		}))
		d := b.claimOne("x")
		p := d.Progress
		p.Step, p.State = 1, delivery.Cancelled
		b.settle(delivery.Settlement{Delivery: d, Transition: delivery.Transition{At: start, Kind: delivery.Ended, Progress: p}})
		b.cancel(ds[2], delivery.Cancelled)
		b.wantLine("x", "last")
		b.append(ordered(event("old", to("x")), "k"), at(ordered(event("new", to("x")), "k"), start.Add(7*day)))
		b.prune(start.Add(8*day), 1, 0)
		b.wantLine("x", "new")
	}},
	{"a whole line expires at once, and the key is free again", func(b *bench) {
		b.attach(nil)
		ds := b.addOrdered("k", "x", "a", "b", "c", "d")
		b.prune(start.Add(8*day), 4, 0)
		if len(b.due()) != 0 || len(b.rec.takeQueued()) != 0 {
			b.Errorf("due %v", b.due())
		}
		for _, d := range ds {
			if r := b.delivery(d); r.Delivery.Reason != delivery.ReasonExpired || len(r.Transitions) != 1 {
				b.Errorf("%s is %+v", r.Delivery.Event.ID, r.Delivery.Progress)
			}
		}
		b.addOrdered("k", "x", "e", "f")
		b.wantLine("x", "e", "f")
	}},
	{"a line longer than a step of pruning expires", func(b *bench) {
		b.attach(nil)
		batch := make([]delivery.Accept, 2500)
		for i := range batch {
			batch[i] = ordered(event(fmt.Sprint("e", i), to("x")), "k")
		}
		b.append(batch...)
		b.append(at(ordered(event("young", to("x")), "k"), start.Add(7*day)))
		b.prune(start.Add(8*day), 2500, 0)
		b.wantLine("x", "young")
	}},
	{"a successor that expires behind a head in hand is not promoted", func(b *bench) {
		b.attach(nil)
		b.addOrdered("k", "x", "a", "b", "c")
		b.append(at(ordered(event("young", to("x")), "k"), start.Add(7*day)))
		head := b.claimOne("x")
		b.prune(start.Add(8*day), 2, 0)
		b.settle(delivered(head))
		b.wantLine("x", "young")
	}},
	{"a decided delivery joins the end of its line, as of then", func(b *bench) {
		b.attach(nil)
		first, second := undecided("first"), undecided("second")
		b.append(first, second)
		b.addOrdered("k", "x", "a", "b")
		decide := func(a delivery.Accept) *delivery.Delivery {
			add := planned("x")
			add.OrderKey = "k"
			b.must(b.Store.Decide(b.Context(), a.Event.Seq, delivery.Routed, nil, "d2", []*delivery.Delivery{add}))
			return add
		}
		b.rec.takeQueued()
		late := decide(second)
		decide(first)
		if q := b.rec.takeQueued(); len(q) != 0 {
			b.Errorf("queued %v", q)
		}
		c := b.addOrdered("k", "x", "c")[0]
		if late.Joined <= c.Event.Seq-3 || late.Joined >= c.Joined || c.Joined != c.Event.Seq {
			b.Errorf("joined at %d, before %d", late.Joined, c.Joined)
		}
		if r := b.delivery(late); r.Delivery.Joined != late.Joined || r.Delivery.OrderKey != "k" {
			b.Errorf("read back %+v", r.Delivery)
		}
		b.wantLine("x", "a", "b", "second", "first", "c")
	}},
	{"a decided delivery of a free key is its head", func(b *bench) {
		b.attach(nil)
		a := undecided("one")
		b.append(a)
		add := []*delivery.Delivery{planned("x"), planned("y"), planned("z")}
		add[0].OrderKey, add[1].OrderKey = "k", "k"
		b.must(b.Store.Decide(b.Context(), a.Event.Seq, delivery.Routed, nil, "d2", add))
		if q := b.rec.takeQueued(); len(q) != 3 {
			b.Errorf("queued %v", q)
		}
		b.addOrdered("k", "x", "two")
		b.wantLine("x", "one", "two")
		b.wantLine("y", "one")
	}},
	{"a decided successor is taken out of its line when it is cancelled or expires", func(b *bench) {
		b.attach(takeAll)
		one, two := undecided("one"), undecided("two")
		b.append(one, two)
		head := b.append(at(ordered(event("head", to("x")), "k"), start.Add(7*day)))[0].Deliveries[0]
		add := []*delivery.Delivery{planned("x"), planned("x")}
		for i, a := range []delivery.Accept{one, two} {
			add[i].OrderKey = "k"
			b.must(b.Store.Decide(b.Context(), a.Event.Seq, delivery.Routed, nil, "d2", add[i:i+1]))
		}
		b.cancel(add[0], delivery.Cancelled)
		b.prune(start.Add(8*day), 1, 0)
		b.settle(delivered(head))
		b.wantLine("x")
	}},
	{"a line ends and begins anew, again and again", func(b *bench) {
		b.attach(nil)
		for i := range 20 {
			ids := []string{fmt.Sprint("a", i), fmt.Sprint("b", i)}
			b.addOrdered("k", "x", ids...)
			b.wantLine("x", ids...)
		}
	}},
	{"heads end and promote in one batch of settlements", func(b *bench) {
		b.attach(nil)
		for i := range 5 {
			b.addOrdered(fmt.Sprint("k", i), "x", fmt.Sprint("a", i), fmt.Sprint("b", i))
		}
		for range 2 {
			var batch []delivery.Settlement
			for _, d := range b.claim("x", start) {
				batch = append(batch, delivered(d))
			}
			if len(batch) != 5 {
				b.Errorf("%d claimed, want one of each key", len(batch))
			}
			b.settle(batch...)
		}
		b.wantLine("x")
	}},
	{"an ordering key that is too long is refused", func(b *bench) {
		b.attach(nil)
		long := strings.Repeat("k", delivery.MaxOrderKey+1)
		if _, err := b.Store.Append(b.Context(), []delivery.Accept{ordered(event("one", to("x")), long)}); err == nil {
			b.Error("accepted")
		}
		a := undecided("two")
		b.append(a)
		add := planned("x")
		add.OrderKey = long
		if err := b.Store.Decide(b.Context(), a.Event.Seq, delivery.Routed, nil, "d2", []*delivery.Delivery{add}); err == nil {
			b.Error("decided")
		}
		if c := b.counts(); c.Pending != 0 {
			b.Errorf("counts %+v", c)
		}
	}},
	{"wherever a delivery is read it has its key and place, and a successor is pending", func(b *bench) {
		b.attach(nil)
		b.addOrdered("k", "x", "head")
		a := ordered(event("one", to("x"), to("y")), "k")
		a.Deliveries[1].OrderKey = ""
		want := b.append(a)[0].Deliveries[0]
		same := func(how string, got *delivery.Delivery) {
			b.Helper()
			if got.OrderKey != "k" || got.Joined != want.Event.Seq || got.Joined != want.Joined || got.Progress != want.Progress {
				b.Errorf("%s: %+v, want %+v", how, got, want)
			}
		}
		same("delivery", b.delivery(want).Delivery)
		r, err := b.Store.Event(b.Context(), "one", nil)
		b.must(err)
		same("event", r.Deliveries[0])
		if d := r.Deliveries[1]; d.OrderKey != "" || d.Joined != 0 {
			b.Errorf("without a key: %+v", d)
		}
		same("listing", b.list(delivery.DeliveryQuery{EventID: "one", State: new(delivery.Pending)})[0])
		same("receipt of a duplicate", b.append(ordered(event("one", to("x")), "k"))[0].Deliveries[0])
		b.settle(delivered(b.claimOne("x")))
		same("claim", b.claimOne("x"))
	}},
	{"nothing is overtaken or stranded while accepts and settlements race", func(b *bench) {
		b.attach(func(d *delivery.Delivery) bool { return d.Event.Seq%3 == 0 })
		const each = 60
		var wg sync.WaitGroup
		for g := range 3 {
			wg.Go(func() {
				for i := range each {
					a := ordered(event(fmt.Sprintf("%d-%d", g, i), to("x")), "k")
					if _, err := b.Store.Append(context.Background(), []delivery.Accept{a}); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		var last uint64
		settled, seen := 0, 0 // handed over at acceptance: so many were looked at
		for deadline := time.Now().Add(time.Minute); settled < 3*each; {
			ds := b.claim("x", start)
			b.rec.mu.Lock()
			for ; seen < len(b.rec.committed); seen++ {
				if c := b.rec.committed[seen]; c.handed {
					ev := &delivery.Event{Seq: c.key.Seq}
					ds = append(ds, &delivery.Delivery{Event: ev, Chain: to("x"), OrderKey: "k", Joined: ev.Seq})
				}
			}
			b.rec.mu.Unlock()
			if len(ds) > 1 {
				b.Fatalf("%d in hand at once", len(ds))
			}
			if len(ds) == 0 {
				if time.Now().After(deadline) {
					b.Fatalf("stranded after %d", settled)
				}
				continue
			}
			if ds[0].Event.Seq <= last {
				b.Fatalf("event %d after %d", ds[0].Event.Seq, last)
			}
			last = ds[0].Event.Seq
			settled++
			b.settle(delivered(ds[0]))
		}
		wg.Wait()
		if c := b.counts(); c.Pending != 0 || len(b.due()) != 0 {
			b.Errorf("counts %+v, due %v", c, b.due())
		}
	}},
}
