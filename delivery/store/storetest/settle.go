package storetest

import (
	"errors"
	"reflect"
	"slices"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
)

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
