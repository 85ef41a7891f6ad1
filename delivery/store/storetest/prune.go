package storetest

import (
	"errors"
	"fmt"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
)

const day = 24 * time.Hour

// prune wants how many deliveries to expire and events to be deleted.
func (b *bench) prune(now time.Time, wantExpired, wantDeleted int) {
	b.Helper()
	told := map[string]bool{}
	expired, deleted, err := b.Store.Prune(b.Context(), delivery.Prune{
		Now: now, Expire: 7 * day, Retention: 30 * day,
		Expired: func(d *delivery.Delivery) {
			if d.State != delivery.Pending || d.Event == nil || d.ID == "" || len(d.Chain) == 0 {
				b.Errorf("told of %q, %s", d.ID, d.State)
			}
			told[d.ID] = true
		},
	})
	b.must(err)
	if len(told) != expired {
		b.Errorf("told of %d deliveries that expired, of %d", len(told), expired)
	}
	if expired != wantExpired || deleted != wantDeleted {
		b.Errorf("expired %d and deleted %d, want %d and %d", expired, deleted, wantExpired, wantDeleted)
	}
}

func (b *bench) exists(id string) bool {
	b.Helper()
	_, err := b.Store.Event(b.Context(), id, nil)
	if err != nil && !errors.Is(err, delivery.ErrNotFound) {
		b.Fatal(err)
	}
	return err == nil
}

var pruneCases = []testCase{
	{"what is pending too long is exhausted as expired and waits no more", func(b *bench) {
		b.attach(nil)
		d := b.add("old", "x", "spare")
		b.append(at(event("young", to("x")), start.Add(time.Hour)))
		b.prune(start.Add(7*day), 0, 0)
		b.prune(start.Add(7*day+time.Minute), 1, 0)
		b.prune(start.Add(7*day+time.Minute), 0, 0)
		r := b.delivery(d)
		if r.Delivery.State != delivery.Exhausted || r.Delivery.Reason != delivery.ReasonExpired || len(r.Transitions) != 1 ||
			r.Transitions[0].Kind != delivery.Ended || r.Transitions[0].Attempt != nil {
			b.Errorf("got %+v, %+v", r.Delivery.Progress, r.Transitions)
		}
		if got := eventIDs(b.claim("x", start.Add(30*day))); len(got) != 1 || got[0] != "young" {
			b.Errorf("claimed %v", got)
		}
		if c := b.counts(); c.Pending != 1 || c.Exhausted != 1 {
			b.Errorf("counts %+v", c)
		}
	}},
	{"what the engine has in hand does not expire, until it is back", func(b *bench) {
		b.attach(nil)
		b.add("old", "x")
		d := b.claimOne("x")
		b.prune(start.Add(8*day), 0, 0)
		b.settle(delivery.Settlement{Delivery: d, Return: true})
		b.prune(start.Add(8*day), 1, 0)
	}},
	{"a retry that waits expires as well", func(b *bench) {
		b.attach(nil)
		b.add("old", "x")
		b.settle(retried(b.claimOne("x"), start.Add(100*day)))
		b.prune(start.Add(8*day), 1, 0)
		if len(b.due()) != 0 {
			b.Errorf("due %v", b.due())
		}
	}},
	{"an event is deleted when all of it was settled long ago", func(b *bench) {
		b.attach(takeAll)
		one, two := event("one", to("x"), to("y")), event("two", to("x"))
		b.append(one, two)
		b.settle(delivered(one.Deliveries[0]), retried(one.Deliveries[1], start), delivered(two.Deliveries[0]))
		b.prune(start.Add(time.Second+30*day), 1, 0) // one's second delivery expires: settled only now
		b.prune(start.Add(2*time.Second+30*day), 0, 1)
		if b.exists("two") || !b.exists("one") {
			b.Error("the wrong event is gone")
		}
		if _, err := b.Store.Delivery(b.Context(), two.Deliveries[0].ID); !errors.Is(err, delivery.ErrNotFound) {
			b.Errorf("its delivery: %v", err)
		}
		b.prune(start.Add(2*time.Second+60*day), 0, 1)
		if c := b.counts(); c != (delivery.Counts{Events: 2}) {
			b.Errorf("counts %+v", c)
		}
	}},
	{"retention counts from settlement, not from acceptance", func(b *bench) {
		b.attach(takeAll)
		d := b.add("one", "x")
		s := delivered(d)
		s.Transition.At = start.Add(6 * day)
		b.settle(s)
		b.prune(start.Add(36*day), 0, 0)
		b.prune(start.Add(36*day+time.Second), 0, 1)
	}},
	{"an unrouted event goes by its acceptance", func(b *bench) {
		b.attach(nil)
		b.append(event("one"))
		b.prune(start.Add(30*day), 0, 0)
		b.prune(start.Add(30*day+time.Second), 0, 1)
	}},
	{"an undecided event stays until it is decided", func(b *bench) {
		b.attach(nil)
		a := undecided("one")
		b.append(a, event("unrouted"))
		b.prune(start.Add(90*day), 0, 1)
		if !b.exists("one") {
			b.Fatal("it is gone")
		}
		b.must(b.Store.Decide(b.Context(), a.Event.Seq, delivery.Routed, nil, "d2", []*delivery.Delivery{planned("x")}))
		b.prune(start.Add(90*day), 1, 0) // pending since acceptance
		b.prune(start.Add(121*day), 0, 1)
	}},
	{"a deleted event's id is new again", func(b *bench) {
		b.attach(nil)
		b.append(event("one"))
		b.prune(start.Add(31*day), 0, 1)
		again := event("one")
		again.Dedupe = 365 * day
		if b.append(again)[0].Duplicate {
			b.Error("taken as a duplicate")
		}
	}},
	{"deleting an old event spares a newer one of the same id", func(b *bench) {
		b.attach(nil)
		b.append(event("one"))
		b.append(at(event("one"), start.Add(10*day)))
		b.prune(start.Add(31*day), 0, 1)
		if !b.exists("one") {
			b.Error("the newer one cannot be found")
		}
	}},
	{"what was spared is deleted when its time comes", func(b *bench) {
		b.attach(takeAll)
		late, soon := event("late", to("x")), event("soon", to("x"))
		b.append(late, soon)
		s := delivered(late.Deliveries[0])
		s.Transition.At = start.Add(5 * day)
		b.settle(s, delivered(soon.Deliveries[0]))
		b.prune(start.Add(31*day), 0, 1)
		b.prune(start.Add(36*day), 0, 1)
	}},
	{"zero times prune nothing", func(b *bench) {
		b.attach(nil)
		b.add("one", "x")
		b.append(event("unrouted"))
		expired, deleted, err := b.Store.Prune(b.Context(), delivery.Prune{Now: start.Add(999 * day)})
		if err != nil || expired != 0 || deleted != 0 {
			b.Errorf("expired %d, deleted %d, %v", expired, deleted, err)
		}
	}},
	{"more events than one step holds are pruned in one call", func(b *bench) {
		b.attach(nil)
		batch := make([]delivery.Accept, 2500)
		for i := range batch {
			batch[i] = event(fmt.Sprint("e", i), to("x"))
		}
		b.append(batch...)
		b.prune(start.Add(8*day), 2500, 0)
		b.prune(start.Add(39*day), 0, 2500)
		if c := b.counts(); c != (delivery.Counts{Events: 2500}) {
			b.Errorf("counts %+v", c)
		}
	}},
}
