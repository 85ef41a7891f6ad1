package storetest

import (
	"maps"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
)

// compare looks at all there is.
func (w *walk) compare() {
	want := delivery.Counts{Events: uint64(w.events)}
	waiting, lanes := map[string]time.Time{}, map[string]delivery.Counts{}
	for id, m := range w.model {
		r, err := w.Store.Delivery(w.Context(), id)
		w.must(err)
		if r.Delivery.Progress != m.p || len(r.Transitions) != m.transitions {
			w.Fatalf("%s: %+v with %d transitions, want %+v with %d", id, r.Delivery.Progress, len(r.Transitions), m.p, m.transitions)
		}
		if r.Delivery.OrderKey != m.d.OrderKey || r.Delivery.Joined != m.d.Joined {
			w.Fatalf("%s: key %q, joined at %d; want %q, %d", id, r.Delivery.OrderKey, r.Delivery.Joined, m.d.OrderKey, m.d.Joined)
		}
		home := lanes[m.d.Chain[0]]
		tally(&want, m.p.State)
		tally(&home, m.p.State)
		lanes[m.d.Chain[0]] = home
		d := delivery.Delivery{Chain: m.d.Chain, Progress: m.p}
		if t, ok := waiting[d.Lane()]; m.p.State == delivery.Pending && !w.successor(m) && (!ok || m.p.Due.Before(t)) {
			waiting[d.Lane()] = m.p.Due
		}
	}
	w.compareDocuments()
	w.wantLaneCounts(lanes)
	if got := w.counts(); got != want {
		w.Fatalf("counts %+v, want %+v", got, want)
	}
	if got := w.due(); !maps.EqualFunc(got, waiting, time.Time.Equal) {
		w.Fatalf("due %v, want %v", got, waiting)
	}
	if got := w.list(delivery.DeliveryQuery{Limit: 500}); len(got) != len(w.model) {
		w.Fatalf("%d deliveries listed, want %d", len(got), len(w.model))
	}
	for lane, want := range w.lanes {
		if got, err := w.lease(lane).State(w.Context()); err != nil || got != want {
			w.Fatalf("lane %s: %+v, %v; want %+v", lane, got, err, want)
		}
	}
}

func tally(c *delivery.Counts, s delivery.State) {
	switch s {
	case delivery.Pending:
		c.Pending++
	case delivery.Delivered:
		c.Delivered++
	case delivery.Exhausted:
		c.Exhausted++
	case delivery.Cancelled:
		c.Cancelled++
	}
}
