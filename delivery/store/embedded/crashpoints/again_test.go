package crashpoints

import (
	"context"
	"slices"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
)

// again sends a delivery once more, or an event.
func (l *life) again() {
	h := l.led.now()
	if len(h.answered) == 0 {
		return
	}
	a := h.answered[l.rng.IntN(len(h.answered))]
	if ds := a.receipt.Deliveries; l.rng.IntN(2) == 0 && len(ds) > 0 {
		l.askAgain("redeliver", ds[l.rng.IntN(len(ds))].ID, func(id string) ([]*delivery.Delivery, error) {
			d, err := l.e.Redeliver(context.Background(), id)
			return []*delivery.Delivery{d}, err
		})
		return
	}
	to := "" // all it went to, or an endpoint that need not have got it
	if l.rng.IntN(2) == 0 && kindOf(a.id) != held {
		to = names[l.rng.IntN(len(names))]
	}
	l.askAgain("replay event", a.id, func(id string) ([]*delivery.Delivery, error) {
		return l.e.ReplayEvent(context.Background(), id, nil, to)
	})
}

// askAgain notes what is asked for, and what the answer promises.
func (l *life) askAgain(what, target string, do func(string) ([]*delivery.Delivery, error)) {
	l.led.order(order{what: what, target: target})
	l.wg.Go(func() {
		if ds, err := do(target); err == nil {
			l.led.order(order{what: what, target: target, done: true, at: time.Now(), made: ds})
		}
	})
}

// replay begins a replay, or stops one.
func (l *life) replay() {
	h := l.led.now()
	if i := slices.IndexFunc(h.orders, func(o order) bool { return o.what == "replay" && o.done }); i >= 0 && l.rng.IntN(4) == 0 {
		id := h.orders[i].target
		l.led.order(order{what: "stop replay", target: id})
		l.wg.Go(func() {
			if r, err := l.e.CancelReplay(context.Background(), id); err == nil && r.Status != delivery.ReplayRunning {
				l.led.order(order{what: "stop replay", target: id, done: true})
			}
		})
		return
	}
	states := []delivery.ReplayWhat{delivery.ReplayExhausted, delivery.ReplayCancelled, delivery.ReplayDelivered, delivery.ReplayMissing}
	q := delivery.ReplayQuery{State: states[l.rng.IntN(len(states))]}
	if l.rng.IntN(2) == 0 {
		q.Endpoint = names[l.rng.IntN(len(names))]
	}
	l.led.order(order{what: "replay"})
	if r, err := l.e.StartReplay(context.Background(), q); err == nil {
		l.led.order(order{what: "replay", target: r.ID, done: true})
	}
}

// checkReplays wants every redelivery that was promised, each replay on record, and nothing sent again that nobody asked for.
func (v *verifier) checkReplays() {
	asked := map[string]int{} // by kind of order
	for _, o := range v.known.orders {
		if !o.done {
			asked[o.what]++
			continue
		}
		for _, d := range o.made {
			if v.recs.deliveries[d.ID] == nil && (v.p.at.Sub(o.at) < retention || v.mayBeGone(d.Event.ID) != "") {
				v.Errorf("LOST: delivery %s of %s was made by an operator's %s and is gone", d.ID, d.Event.ID, o.what)
			}
		}
		if o.what != "replay" && o.what != "stop replay" {
			continue
		}
		switch r, err := v.e.Replay(context.Background(), o.target); {
		case err != nil:
			v.Errorf("LOST: replay %s was begun: %v", o.target, err)
		case o.what == "stop replay" && r.Status == delivery.ReplayRunning:
			v.Errorf("replay %s was stopped and runs", o.target)
		}
	}
	seen := map[string]bool{}
	for id, rec := range v.recs.deliveries {
		d := rec.Delivery
		if d.Replay == "" {
			continue
		}
		seen[d.Replay] = true
		for other, rec := range v.recs.deliveries {
			if o := rec.Delivery; other != id && o.Replay == d.Replay && o.Event.ID == d.Event.ID && o.Chain[0] == d.Chain[0] {
				v.Errorf("TWICE: %s planned %s and %s for %s", d.Replay, id, other, d.Event.ID)
			}
		}
	}
	if most := asked["redeliver"] + asked["replay event"] + asked["replay"]; len(seen) > most {
		v.Errorf("there are deliveries of %d replays, %d were asked for", len(seen), most)
	}
}

// replaying tells whether a replay is at work.
func (v *verifier) replaying() bool {
	all, err := v.e.Replays(context.Background())
	if err != nil {
		v.Errorf("listing replays: %v", err)
	}
	return slices.ContainsFunc(all, func(r delivery.Replay) bool { return r.Status == delivery.ReplayRunning })
}
