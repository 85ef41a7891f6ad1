package storetest

import (
	"errors"
	"slices"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
)

// replayOf is a delivery that a replay plans, half a year after the cases' events.
func replayOf(replay string, chain ...string) *delivery.Delivery {
	return &delivery.Delivery{
		Route: "r", Chain: chain, Replay: replay, Planned: start.Add(180 * day), Progress: delivery.Progress{Due: start.Add(180 * day)},
	}
}

// extend adds deliveries to one event, and wants no errors.
func (b *bench) extend(seq uint64, ds ...*delivery.Delivery) []delivery.Extended {
	b.Helper()
	batch := make([]delivery.Extension, len(ds))
	for i, d := range ds {
		batch[i] = delivery.Extension{Seq: seq, Delivery: d}
	}
	out, err := b.Store.Extend(b.Context(), batch)
	b.must(err)
	for _, x := range out {
		b.must(x.Err)
	}
	return out
}

var extendCases = []testCase{
	{"a replay's delivery is on record with its event, and waits", func(b *bench) {
		b.attach(nil)
		a := event("one", to("x"))
		b.append(a)
		b.settle(delivered(b.claimOne("x")))
		b.rec.takeQueued()
		x := b.extend(a.Event.Seq, replayOf("rpl_1", "x", "spare"))[0]
		if x.Known || x.Delivery.Event == nil || string(x.Delivery.Event.Body) != string(a.Event.Body) || x.Delivery.Ord != 1 {
			b.Fatalf("extended %+v", x)
		}
		for _, when := range []string{"now", "after a power cut"} {
			r := b.delivery(x.Delivery)
			d := r.Delivery
			if d.Replay != "rpl_1" || d.Route != "r" || !d.Planned.Equal(start.Add(180*day)) || !slices.Equal(d.Chain, to("x", "spare")) || d.State != delivery.Pending {
				b.Errorf("%s on record: %+v", when, d)
			}
			if c := b.counts(); c.Pending != 1 || c.Delivered != 1 || b.Store.Pending("x") != 1 {
				b.Errorf("%s counts %+v", when, c)
			}
			b.crash()
		}
		got := b.claim("x", start.Add(181*day))
		if len(got) != 1 || got[0].ID != x.Delivery.ID || got[0].Replay != "rpl_1" || !got[0].Planned.Equal(start.Add(180*day)) {
			b.Fatalf("claimed %+v", got)
		}
		b.settle(delivered(got[0]))
		all, err := b.Store.Event(b.Context(), "one", nil)
		b.must(err)
		if len(all.Deliveries) != 2 || all.Deliveries[0].Replay != "" || all.Deliveries[1].State != delivery.Delivered {
			b.Errorf("event has %+v", all.Deliveries)
		}
	}},
	{"it is handed over where the engine takes it", func(b *bench) {
		b.attach(takeAll)
		a := event("one", to("x"))
		b.append(a)
		b.settle(delivered(a.Deliveries[0]))
		d := b.extend(a.Event.Seq, replayOf("rpl_1", "x"))[0].Delivery
		if n := len(b.rec.committed); n != 2 || b.rec.committed[1] != (committed{d.Key(), true, nil}) {
			b.Errorf("told %+v", b.rec.committed)
		}
		if len(b.due()) != 0 {
			b.Errorf("due %v", b.due())
		}
		b.settle(retried(d, start.Add(181*day)))
		if due := b.due()["x"]; !due.Equal(start.Add(181 * day)) {
			b.Errorf("due %v", due)
		}
	}},
	{"the same replay adds nothing twice, another does", func(b *bench) {
		b.attach(nil)
		a := event("one", to("x"), to("y"))
		b.append(a)
		first := b.extend(a.Event.Seq, replayOf("rpl_1", "x"), replayOf("rpl_1", "y"), replayOf("rpl_1", "x"))
		if first[0].Known || first[1].Known || !first[2].Known || first[2].Delivery.ID != first[0].Delivery.ID {
			b.Errorf("in one batch: %+v", first)
		}
		b.crash()
		again := b.extend(a.Event.Seq, replayOf("rpl_1", "x"), replayOf("rpl_2", "x"))
		if !again[0].Known || again[0].Delivery.ID != first[0].Delivery.ID || again[1].Known {
			b.Errorf("again: %+v", again)
		}
		if c := b.counts(); c.Pending != 5 {
			b.Errorf("counts %+v", c)
		}
	}},
	{"an event that is gone harms none of the others", func(b *bench) {
		b.attach(nil)
		a := event("one", to("x"))
		b.append(a)
		out, err := b.Store.Extend(b.Context(), []delivery.Extension{
			{Seq: a.Event.Seq + 7, Delivery: replayOf("rpl_1", "x")}, {Seq: a.Event.Seq, Delivery: replayOf("rpl_1", "x")},
		})
		b.must(err)
		if !errors.Is(out[0].Err, delivery.ErrNotFound) || out[1].Err != nil || out[1].Delivery == nil {
			b.Errorf("answered %+v", out)
		}
		if _, err := b.Store.Extend(b.Context(), []delivery.Extension{{Seq: a.Event.Seq, Delivery: replayOf("rpl_2")}}); err == nil {
			b.Error("an empty chain was taken")
		}
	}},
	{"an ordered one joins the end of its line", func(b *bench) {
		b.attach(nil)
		one, two := ordered(event("one", to("x")), "k"), ordered(event("two", to("x")), "k")
		b.append(one, two)
		d := replayOf("rpl_1", "x")
		d.OrderKey = "k"
		b.extend(one.Event.Seq, d)
		var got []string
		for range 3 {
			claimed := b.claim("x", start.Add(200*day))
			if len(claimed) != 1 {
				b.Fatalf("%d at once", len(claimed))
			}
			got = append(got, claimed[0].Event.ID+claimed[0].Replay)
			b.settle(delivered(claimed[0]))
		}
		if !slices.Equal(got, []string{"one", "two", "onerpl_1"}) {
			b.Errorf("went %v", got)
		}
	}},
	{"it expires by its own age, and its event stays as long as it", func(b *bench) {
		b.attach(nil)
		a, undec := event("one", to("x")), undecided("two")
		b.append(a, undec)
		b.settle(delivered(b.claimOne("x")))
		now := start.Add(180 * day)
		b.extend(a.Event.Seq, replayOf("rpl_1", "x"))
		b.extend(undec.Event.Seq, replayOf("rpl_1", "x"))
		b.prune(now.Add(7*day), 0, 0)
		b.prune(now.Add(7*day+time.Minute), 2, 0)
		b.prune(now.Add(37*day), 0, 0)
		b.prune(now.Add(37*day+2*time.Minute), 0, 1)
		if c := b.counts(); c.Exhausted != 1 || c.Delivered != 0 {
			b.Errorf("counts %+v", c)
		}
	}},
	{"an unrouted event may be decided, a routed one stays as it is", func(b *bench) {
		b.attach(nil)
		a, routed := event("one"), event("two", to("x"))
		b.append(a, routed)
		b.must(b.Store.Decide(b.Context(), a.Event.Seq, delivery.Routed, nil, "d2", []*delivery.Delivery{planned("y")}))
		b.must(b.Store.Decide(b.Context(), routed.Event.Seq, delivery.Routed, nil, "d2", []*delivery.Delivery{planned("y")}))
		for id, want := range map[string]int{"one": 1, "two": 1} {
			r, err := b.Store.Event(b.Context(), id, nil)
			b.must(err)
			if len(r.Deliveries) != want || r.Event.Routing != delivery.Routed {
				b.Errorf("%s is %s with %d deliveries", id, r.Event.Routing, len(r.Deliveries))
			}
		}
	}},
}
