package storetest

import (
	"errors"
	"slices"

	"github.com/atoship/caddy-webhooks/delivery"
)

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
