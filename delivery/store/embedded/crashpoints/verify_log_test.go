package crashpoints

import (
	"cmp"
	"slices"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
)

// checkAttempts wants every request on record, with its outcome or as unknown, and no outcome without a request.
func (v *verifier) checkAttempts() {
	outcomes := v.known.outcomes()
	byDelivery := map[string][]int{}
	for n, q := range v.known.requests {
		byDelivery[q.deliveryID] = append(byDelivery[q.deliveryID], n)
	}
	for id, requests := range byDelivery {
		if v.recs.deliveries[id] == nil {
			if q := v.known.requests[requests[0]]; v.recs.events[q.event] != nil || v.mayBeGone(q.event) != "" {
				v.Errorf("%s was tried and is not on record", id)
			}
		}
	}
	for id, rec := range v.recs.deliveries {
		requests := byDelivery[id]
		n := 0
		for i, t := range rec.Transitions {
			if int(t.Progress.Step) != i+1 {
				v.Errorf("%s: transition %d has step %d", id, i+1, t.Progress.Step)
			}
			a := t.Attempt
			if a == nil {
				continue
			}
			if n++; int(a.N) != n {
				v.Errorf("%s: attempt %d has number %d", id, n, a.N)
			}
			i := slices.IndexFunc(requests, func(r int) bool { return v.known.requests[r].attempt == int(a.N) })
			switch {
			case i < 0 && a.Outcome != "unknown":
				v.Errorf("%s: attempt %d is %s on record, and no endpoint saw it", id, a.N, a.Outcome)
			case i >= 0:
				v.checkAttempt(id, a, requests[i], outcomes)
				requests = slices.Delete(slices.Clone(requests), i, i+1)
			}
		}
		for _, r := range requests {
			v.Errorf("UNLOGGED: %s saw %+v, and the log has %d attempts", v.known.requests[r].endpoint, v.known.requests[r], n)
		}
		if int(rec.Delivery.Attempts) != n || int(rec.Delivery.Step) != len(rec.Transitions) {
			v.Errorf("%s: %+v after %d attempts and %d transitions", id, rec.Delivery.Progress, n, len(rec.Transitions))
		}
	}
}

// checkAttempt compares a record with the request that the endpoint saw.
func (v *verifier) checkAttempt(id string, a *delivery.Attempt, n int, outcomes map[int]int) {
	q := v.known.requests[n]
	if a.Endpoint != q.endpoint {
		v.Errorf("%s: attempt %d went to %s, on record is %s", id, a.N, q.endpoint, a.Endpoint)
	}
	status, answered := outcomes[n]
	switch {
	case a.Outcome == "unknown":
		if v.p.orderly && q.life == v.p.life {
			v.Errorf("%s: attempt %d is unknown after an orderly stop", id, a.N)
		}
	case !answered:
		v.Errorf("%s: attempt %d is %s on record, and was never answered", id, a.N, a.Outcome)
	case (a.Outcome == "delivered") != (status == 200):
		v.Errorf("%s: attempt %d was answered with %d, on record is %s", id, a.N, status, a.Outcome)
	}
}

// checkOrders wants what an operator was told.
func (v *verifier) checkOrders() {
	for _, o := range v.known.orders {
		if rec := v.recs.deliveries[o.target]; o.what == "cancel" && o.done && rec != nil && !rec.Delivery.State.Final() {
			v.Errorf("%s was cancelled and is %v", o.target, rec.Delivery.State)
		}
	}
}

// checkPauses wants each endpoint as the last order left it.
func (v *verifier) checkPauses() {
	for _, name := range names {
		paused, sure := false, true
		for _, o := range v.known.orders {
			if o.target == name && (o.what == "pause" || o.what == "resume") {
				sure = o.done
				paused = o.what == "pause"
			}
		}
		st, err := v.e.Endpoint(name)
		if err != nil || sure && st.State.Paused != paused {
			v.Errorf("%s: paused %v, %v; want %v", name, st.State.Paused, err, paused)
		}
	}
}

// checkEnds wants everything to have ended, for a reason that is on record.
func (v *verifier) checkEnds() {
	if ids := v.undecided(); len(ids) > 0 {
		v.Errorf("still undecided: %v", ids)
	}
	for _, p := range v.known.unanswered() {
		v.Errorf("%s is not accepted by a healthy gateway", p.id)
	}
	outcomes := v.known.outcomes()
	for id, rec := range v.recs.deliveries {
		d := rec.Delivery
		switch d.State {
		case delivery.Pending:
			st, _ := v.e.Endpoint(d.Lane())
			st.Endpoint = nil
			v.Errorf("STRANDED: %s of %s is pending: %+v after %d transitions; its lane: %+v", id, d.Event.ID, d.Progress, len(rec.Transitions), st)
		case delivery.Delivered:
			seen := false
			for n, q := range v.known.requests {
				seen = seen || q.deliveryID == id && outcomes[n] == 200
			}
			if !seen {
				v.Errorf("%s is delivered on record, and no endpoint took it", id)
			}
		case delivery.Exhausted:
			last := rec.Transitions[len(rec.Transitions)-1]
			if d.Reason == delivery.ReasonExpired && last.At.Sub(d.Since()) < expire ||
				d.Reason == delivery.ReasonSchedule && int(d.Spent) != 1<<len(d.Chain)-1 {
				v.Errorf("%s is exhausted, reason %s, after %v: %+v", id, d.Reason, last.At.Sub(d.Since()), d.Progress)
			}
		case delivery.Cancelled:
			if !v.cancelAsked(d.Event.ID, d.Chain[0]) {
				v.Errorf("%s is cancelled, and nobody asked for it", id)
			}
		}
	}
}

// checkRepeats wants no try of what had ended: in the same life, or as recovered.
func (v *verifier) checkRepeats(recovered records) {
	outcomes := v.known.outcomes()
	took := map[string]int{} // delivery id -> life in which it was taken
	for n, q := range v.known.requests {
		if life, ok := took[q.deliveryID]; ok && life == q.life {
			v.Errorf("AGAIN: %+v came after the endpoint had taken it, with no crash between", q)
		}
		if outcomes[n] == 200 {
			took[q.deliveryID] = q.life
		}
		if rec := recovered.deliveries[q.deliveryID]; q.life == verifying && rec != nil && rec.Delivery.State.Final() {
			v.Errorf("AGAIN: %+v came, though it was %v", q, rec.Delivery.State)
		}
	}
}

// checkLines wants the deliveries of one ordering key one after another: none is tried before those ahead of it have
// ended, and none after one behind it was.
func (v *verifier) checkLines() {
	lines := map[string][]*delivery.DeliveryRecord{}
	tries := map[string][]request{}
	for _, rec := range v.recs.deliveries {
		if d := rec.Delivery; d.OrderKey != "" {
			line := d.Chain[0] + " " + d.OrderKey
			lines[line] = append(lines[line], rec)
		}
	}
	for _, q := range v.known.requests {
		tries[q.deliveryID] = append(tries[q.deliveryID], q)
	}
	for name, line := range lines {
		slices.SortFunc(line, func(a, b *delivery.DeliveryRecord) int { return cmp.Compare(a.Delivery.Joined, b.Delivery.Joined) })
		var ended, tried time.Time // of all so far: when the last ended, when the last try was
		var last *delivery.DeliveryRecord
		for _, rec := range line {
			for _, q := range tries[rec.Delivery.ID] {
				if q.at.Truncate(time.Millisecond).Before(ended) {
					v.Errorf("SKIPPED: in line %s %s was tried at %v, before %s ended at %v", name, rec.Delivery.Event.ID, q.at, last.Delivery.Event.ID, ended)
				}
				if q.at.Before(tried) {
					v.Errorf("SWAPPED: in line %s %s was tried at %v, and one ahead of it again at %v", name, rec.Delivery.Event.ID, q.at, tried)
				}
			}
			for _, q := range tries[rec.Delivery.ID] {
				if q.at.After(tried) {
					tried = q.at
				}
			}
			if n := len(rec.Transitions); n > 0 && rec.Transitions[n-1].At.After(ended) {
				ended, last = rec.Transitions[n-1].At, rec
			}
		}
	}
}
