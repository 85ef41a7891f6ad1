package crashpoints

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
)

// verifier opens what a power cut left and holds it against what the world knows.
type verifier struct {
	findings

	seed uint64
	p    *point
	log  *journal
	led  *ledger
	e    *delivery.Engine

	known history // at the cut
	recs  records // as recovered; later as they ended
}

// records are all deliveries of a store, and all its events.
type records struct {
	deliveries map[string]*delivery.DeliveryRecord // by id
	events     map[string]*delivery.EventRecord    // by id; only those that were ever published
}

func (v *verifier) String() string { return fmt.Sprintf("%v; log:\n%s", v.p, v.log) }

const verifying = 1000 // the verifier's own life

func (v *verifier) run(f fault) {
	v.known = v.p.known
	v.led = &ledger{history: v.p.known}
	sleepUntil(v.p.at.Add(time.Duration(v.p.n%90) * time.Second))
	es := newEndpoints(v.led, verifying, v.seed)
	e, err := open(v.p.left, v.log, f)
	if err != nil {
		v.Errorf("it does not open again: %v", err)
		return
	}
	v.e = e
	defer func() {
		if err := e.Shutdown(context.Background()); err != nil {
			v.Errorf("shutdown: %v", err)
		}
	}()
	v.recs = v.read()
	v.checkKept()
	v.checkKnown()
	v.checkAttempts()
	v.checkOrders()
	v.checkReplays()
	v.checkCounts()
	if v.Failed() {
		return
	}
	recovered := v.recs

	plan := es.plan(2)
	plan.Expire, plan.Retention = 10_000*time.Hour, 10_000*time.Hour // what is there now must come to its proper end
	if err := e.Apply(plan); err != nil {
		v.Errorf("apply: %v", err)
		return
	}
	v.checkPauses()
	for _, name := range names {
		if err := e.Resume(context.Background(), name); err != nil {
			v.Errorf("resume: %v", err)
		}
	}
	for _, p := range v.known.unanswered() {
		if err := send(e, v.led, []published{p}); err != nil {
			v.Errorf("publishing again: %v", err)
		}
	}
	v.drain()
	v.recs = v.read()
	v.known = v.led.now()
	v.checkKept()
	v.checkKnown()
	v.checkAttempts()
	v.checkReplays()
	v.checkCounts()
	v.checkEnds()
	v.checkRepeats(recovered)
	v.checkLines()
}

// drain waits until everything has ended: with healthy endpoints the last retry is half a minute off.
func (v *verifier) drain() {
	for deadline := time.Now().Add(10 * time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Second) {
		if len(v.undecided()) > 0 || v.replaying() { // asked first: both make new deliveries
			continue
		}
		c, err := v.e.Journal().Counts(context.Background())
		if err != nil {
			v.Errorf("counts: %v", err)
		}
		if err != nil || c.Pending == 0 {
			return
		}
	}
}

func (v *verifier) undecided() (ids []string) {
	for _, p := range v.known.published {
		if p.kind != held {
			continue
		}
		if r, err := v.e.Journal().Event(context.Background(), p.id, nil); err == nil && r.Event.Routing == delivery.Undecided {
			ids = append(ids, p.id)
		}
	}
	return ids
}

// read reads all there is.
func (v *verifier) read() records {
	r := records{deliveries: map[string]*delivery.DeliveryRecord{}, events: map[string]*delivery.EventRecord{}}
	j := v.e.Journal()
	for q := (delivery.DeliveryQuery{Limit: 500}); ; {
		page, err := j.Deliveries(context.Background(), q)
		if err != nil {
			v.Errorf("listing: %v", err)
			return r
		}
		for _, d := range page.Items {
			rec, err := j.Delivery(context.Background(), d.ID)
			if err != nil {
				v.Errorf("%s is listed and cannot be read: %v", d.ID, err)
				continue
			}
			if rec.Delivery.Progress != d.Progress {
				v.Errorf("%s is listed as %+v and is %+v", d.ID, d.Progress, rec.Delivery.Progress)
			}
			r.deliveries[d.ID] = rec
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			break
		}
	}
	for _, p := range v.led.now().published {
		if rec, err := j.Event(context.Background(), p.id, nil); err == nil {
			r.events[p.id] = rec
		}
	}
	return r
}

// checkKept wants every accepted event with the deliveries it was promised, but for what retention was due to delete.
func (v *verifier) checkKept() {
	for _, a := range v.known.answered {
		rec := v.recs.events[a.id]
		if rec == nil {
			if why := v.mayBeGone(a.id); why != "" {
				v.Errorf("LOST: %s was accepted and is gone, though %s", a.id, why)
			}
			continue
		}
		for _, d := range a.receipt.Deliveries {
			got := v.recs.deliveries[d.ID]
			if got == nil {
				v.Errorf("LOST: delivery %s of %s was promised and is gone", d.ID, a.id)
			} else if !slices.Equal(got.Delivery.Chain, d.Chain) || got.Delivery.Event.ID != a.id {
				v.Errorf("%s goes to %v for %s, was promised %v for %s", d.ID, got.Delivery.Chain, got.Delivery.Event.ID, d.Chain, a.id)
			}
		}
		if a.seq != 0 && rec.Event.Seq != a.seq {
			v.Errorf("%s has number %d, had %d", a.id, rec.Event.Seq, a.seq)
		}
		if want := (&published{id: a.id, kind: kindOf(a.id)}).event(); string(rec.Event.Body) != string(want.Body) {
			v.Errorf("%s has another body than was published", a.id)
		}
	}
}

// mayBeGone says why retention cannot have deleted an event; "" when it can.
func (v *verifier) mayBeGone(id string) string {
	i := slices.IndexFunc(v.known.published, func(p published) bool { return p.id == id })
	age := v.p.at.Sub(v.known.published[i].at)
	if age < retention {
		return "it is young"
	}
	if age >= retention+expire {
		return ""
	}
	outcomes := v.known.outcomes()
	for _, chain := range chains[kindOf(id)] {
		ended, failures := false, 0
		for n, q := range v.known.requests {
			if q.event == id && slices.Contains(chain, q.endpoint) && v.atHome(q.deliveryID, chain[0]) {
				ended = ended || outcomes[n] == 200
				failures++
			}
		}
		if !ended && failures < 4 && !v.cancelAsked(id, chain[0]) {
			return "its delivery to " + chain[0] + " cannot have ended"
		}
	}
	return ""
}

// atHome tells whether a delivery may be the one with this home: all are that no receipt tells otherwise of.
func (v *verifier) atHome(id, home string) bool {
	for _, a := range v.known.answered {
		for _, d := range a.receipt.Deliveries {
			if d.ID == id {
				return d.Chain[0] == home
			}
		}
	}
	return true
}

// cancelAsked tells whether an operator asked to cancel an event's delivery with this home.
func (v *verifier) cancelAsked(event, home string) bool {
	for _, o := range v.known.orders {
		if o.what == "cancel all" && o.target == home {
			return true
		}
		if o.what != "cancel" {
			continue
		}
		for _, a := range v.known.answered {
			for _, d := range a.receipt.Deliveries {
				if d.ID == o.target && a.id == event && d.Chain[0] == home {
					return true
				}
			}
		}
	}
	return false
}

// checkKnown wants nothing that nobody published, and nothing twice.
func (v *verifier) checkKnown() {
	kindsOf := map[string]kind{}
	for _, p := range v.known.published {
		kindsOf[p.id] = p.kind
	}
	homes := map[string][]string{} // of the deliveries that routing planned
	all := map[string]int{}        // deliveries by event
	for id, rec := range v.recs.deliveries {
		ev := rec.Delivery.Event
		k, ok := kindsOf[ev.ID]
		if !ok {
			v.Errorf("delivery %s is of %s, which nobody published", id, ev.ID)
			continue
		}
		home := rec.Delivery.Chain[0]
		if want := orderKey(home, ev.ID); rec.Delivery.OrderKey != want {
			v.Errorf("delivery %s of %s has the ordering key %q, want %q", id, ev.ID, rec.Delivery.OrderKey, want)
		}
		all[ev.ID]++
		again := rec.Delivery.Replay != ""
		planned := slices.ContainsFunc(chains[k], func(c []string) bool { return slices.Equal(c, rec.Delivery.Chain) })
		if !planned && (!again || len(rec.Delivery.Chain) > 1) { // an operator may send to any endpoint
			v.Errorf("delivery %s of %s goes to %v", id, ev.ID, rec.Delivery.Chain)
		}
		had := slices.Contains(homes[ev.ID], home)
		switch {
		case again: // checkReplays looks at those
		case had:
			v.Errorf("%s has two deliveries to %s", ev.ID, home)
		default:
			homes[ev.ID] = append(homes[ev.ID], home)
		}
	}
	seqs := map[uint64]string{}
	for id, rec := range v.recs.events {
		if other, ok := seqs[rec.Event.Seq]; ok {
			v.Errorf("%s and %s both have number %d", id, other, rec.Event.Seq)
		}
		seqs[rec.Event.Seq] = id
		want := len(chains[kindOf(id)])
		if rec.Event.Routing == delivery.Undecided {
			want--
		}
		if v.wasBackfilled(rec) {
			want--
		}
		if len(homes[id]) != want || len(rec.Deliveries) != all[id] {
			v.Errorf("%s, %v, has deliveries to %v, want %d; %d in its plan, %d on record", id, rec.Event.Routing, homes[id], want, len(rec.Deliveries), all[id])
		}
	}
	for _, a := range v.known.answered { // order of acceptance is order of numbers
		for _, p := range v.known.published[a.sent:] {
			before, after := v.recs.events[a.id], v.recs.events[p.id]
			if before != nil && after != nil && a.id != p.id && after.Event.Seq < before.Event.Seq && v.first(p.id) >= a.sent {
				v.Errorf("%s was accepted before %s was sent, and has a higher number", a.id, p.id)
			}
		}
	}
}

// wasBackfilled tells whether a replay of what is missing got ahead of deciding an event, which then leaves that endpoint out.
func (*verifier) wasBackfilled(rec *delivery.EventRecord) bool {
	if kindOf(rec.Event.ID) != held || rec.Event.Routing == delivery.Undecided {
		return false
	}
	toB := func(d *delivery.Delivery) bool { return d.Chain[0] == "b" }
	return slices.ContainsFunc(rec.Deliveries, func(d *delivery.Delivery) bool { return toB(d) && d.Replay != "" }) &&
		!slices.ContainsFunc(rec.Deliveries, func(d *delivery.Delivery) bool { return toB(d) && d.Replay == "" })
}

// first is when an event was first published.
func (v *verifier) first(id string) int {
	return slices.IndexFunc(v.known.published, func(p published) bool { return p.id == id })
}

// checkCounts counts one by one.
func (v *verifier) checkCounts() {
	var sum delivery.Counts
	lanes := map[string]delivery.Counts{}
	for _, rec := range v.recs.deliveries {
		c := lanes[rec.Delivery.Chain[0]]
		for _, c := range []*delivery.Counts{&sum, &c} {
			switch rec.Delivery.State {
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
		lanes[rec.Delivery.Chain[0]] = c
	}
	got, err := v.e.Journal().Counts(context.Background())
	if sum.Events = got.Events; err != nil || got != sum {
		v.Errorf("counts say %+v, %v; there are %+v", got, err, sum)
	}
	gotLanes, err := v.e.Journal().LaneCounts(context.Background())
	if err != nil || !maps.Equal(gotLanes, lanes) {
		v.Errorf("counts by lane say %+v, %v; there are %+v", gotLanes, err, lanes)
	}
}
