package storetest

import (
	"strings"

	"github.com/atoship/caddy-webhooks/delivery"
)

// erase erases one event and wants this to come of it.
func (b *bench) erase(seq uint64, cancel bool, want delivery.Erasure) {
	b.Helper()
	got, err := b.Store.Erase(b.Context(), []uint64{seq}, cancel)
	b.must(err)
	if got != want {
		b.Errorf("erased %+v, want %+v", got, want)
	}
}

// wantErased wants an event to have no payload, and to be on record with so many attempts, none of which tells what was
// answered.
func (b *bench) wantErased(id string, attempts int) {
	b.Helper()
	r, err := b.Store.Event(b.Context(), id, nil)
	b.must(err)
	if ev := r.Event; !ev.Erased || len(ev.Body) > 0 || ev.Data() != nil || ev.Type != "label.created" {
		b.Errorf("the event is %+v", ev)
	}
	n := 0
	for _, d := range r.Deliveries {
		if d.State.Final() && d.OrderKey != "" {
			b.Errorf("delivery %d has the ordering key %q", d.Ord, d.OrderKey)
		}
		for _, t := range b.delivery(d).Transitions {
			if t.Attempt != nil {
				if n++; len(t.Attempt.Excerpt) > 0 || len(t.Attempt.ResponseFields) > 0 {
					b.Errorf("attempt %+v", t.Attempt)
				}
			}
		}
	}
	if n != attempts {
		b.Errorf("%d attempts are on record, want %d", n, attempts)
	}
}

var eraseCases = []testCase{
	{"an erased event has no payload and no answers, and stays on record", func(b *bench) {
		b.attach(takeAll)
		a := ordered(event("one", to("x")), "k")
		b.append(a)
		b.settle(delivered(a.Deliveries[0]))
		b.erase(a.Event.Seq, false, delivery.Erasure{Erased: 1})
		b.wantErased("one", 1)
		b.crash()
		b.wantErased("one", 1)
		b.erase(a.Event.Seq, false, delivery.Erasure{})
		b.erase(a.Event.Seq+9, false, delivery.Erasure{})
		if got := b.events(delivery.EventQuery{Body: true}); len(got) != 1 || !got[0].Event.Erased || len(got[0].Event.Body) > 0 {
			b.Errorf("listed %+v", got)
		}
	}},
	{"one with pending deliveries is left as it is, unless they are to be cancelled", func(b *bench) {
		b.attach(nil)
		a, c := ordered(event("one", to("x"), to("y")), "k"), ordered(event("two", to("x")), "k")
		b.append(a, c)
		b.erase(a.Event.Seq, false, delivery.Erasure{Pending: 1})
		if r, err := b.Store.Event(b.Context(), "one", nil); err != nil || len(r.Event.Body) == 0 {
			b.Errorf("it is %+v, %v", r, err)
		}
		b.erase(a.Event.Seq, true, delivery.Erasure{Erased: 1, Cancelled: 2})
		b.wantErased("one", 0)
		if n := b.counts(); n.Cancelled != 2 || n.Pending != 1 {
			b.Errorf("counts %+v", n)
		}
		if got := eventIDs(b.claim("x", start)); strings.Join(got, " ") != "two" {
			b.Errorf("then %v goes", got)
		}
	}},
	{"what an attempt brings that is under way is not kept", func(b *bench) {
		b.attach(takeAll)
		a := event("one", to("x"), to("y"))
		b.append(a)
		b.erase(a.Event.Seq, true, delivery.Erasure{Erased: 1, Cancelled: 2})
		b.settle(delivered(a.Deliveries[0]), retried(a.Deliveries[1], start))
		b.wantErased("one", 2)
		if n := b.counts(); n.Delivered != 1 || n.Cancelled != 1 {
			b.Errorf("counts %+v", n)
		}
	}},
	{"an undecided one is decided by that, and retention takes it", func(b *bench) {
		b.attach(nil)
		a := undecided("one")
		b.append(a)
		b.prune(start.Add(40*day), 0, 0)
		b.erase(a.Event.Seq, false, delivery.Erasure{Erased: 1})
		if evs, err := b.Store.Undecided(b.Context(), 0, 9); err != nil || len(evs) > 0 {
			b.Errorf("undecided %v, %v", evs, err)
		}
		b.prune(start.Add(40*day), 0, 1)
	}},
}
