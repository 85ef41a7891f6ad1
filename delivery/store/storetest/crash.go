package storetest

import (
	"fmt"
	"slices"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
)

var crashCases = []testCase{
	{"what was accepted is there, and waits unmarked", func(b *bench) {
		b.attach(nil)
		d := b.add("one", "x", "spare")
		b.append(event("two"))
		b.crash()
		got := b.claimOne("x")
		if got.ID != d.ID || got.Event.ID != "one" || got.Progress != d.Progress || !slices.Equal(got.Chain, d.Chain) {
			b.Errorf("claimed %+v", got)
		}
		if len(b.delivery(d).Transitions) != 0 || !b.exists("two") {
			b.Error("it is not as it was")
		}
		if r := b.append(event("one", to("x"))); !r[0].Duplicate {
			b.Error("its id is forgotten")
		}
	}},
	{"what was handed over at acceptance waits again, marked as lost", func(b *bench) {
		b.attach(takeAll)
		b.wantLost(b.add("one", "x"), 1)
	}},
	{"what was claimed waits again, marked as lost", func(b *bench) {
		b.attach(nil)
		b.add("one", "x")
		b.wantLost(b.claimOne("x"), 1)
	}},
	{"losses in a row are counted", func(b *bench) {
		b.attach(takeAll)
		d := b.add("one", "x")
		for i := range 3 {
			b.wantLost(d, i+1)
			d = b.claim("x", time.Now().Add(time.Second))[0]
		}
	}},
	{"what was settled is as settled", func(b *bench) {
		b.attach(takeAll)
		ds := b.append(event("one", to("x", "spare"), to("y"), to("z")))[0].Deliveries
		moved := attempted(ds[0], "timeout", func(p *delivery.Progress) { p.Target, p.Spent = 1, 1 })
		b.settle(moved, delivered(ds[1]), delivery.Settlement{Delivery: ds[2], Return: true})
		b.crash()
		if got := b.claimOne("spare"); got.Progress != moved.Transition.Progress {
			b.Errorf("got %+v, want %+v", got.Progress, moved.Transition.Progress)
		}
		if r := b.delivery(ds[1]); r.Delivery.State != delivery.Delivered || len(r.Transitions) != 1 {
			b.Errorf("got %+v", r)
		}
		if got := b.claimOne("z"); got.Progress != ds[2].Progress {
			b.Errorf("got %+v, want %+v", got.Progress, ds[2].Progress)
		}
		if lost := b.rec.takeLost(); len(lost) != 0 {
			b.Errorf("told as lost %v", lost)
		}
	}},
	{"a settlement of the process before is stale", func(b *bench) {
		b.attach(takeAll)
		d := b.add("one", "x")
		b.crash()
		if errs := b.Store.Settle(b.Context(), []delivery.Settlement{delivered(d)}); errs[0] == nil {
			b.Error("it was taken")
		}
	}},
	{"the state of a lane is there", func(b *bench) {
		b.attach(nil)
		want := delivery.LaneState{URL: "https://a.example/", HoldUntil: start.Add(time.Hour), Paused: true, Seen: true}
		b.must(b.lease("x").SetState(b.Context(), want))
		b.crash()
		if got, err := b.lease("x").State(b.Context()); err != nil || got != want {
			b.Errorf("got %+v, %v", got, err)
		}
	}},
	{"what was decided is there", func(b *bench) {
		b.attach(nil)
		a := undecided("one")
		b.append(a)
		b.must(b.Store.Decide(b.Context(), a.Event.Seq, delivery.Routed, nil, "d2", []*delivery.Delivery{planned("x")}))
		b.crash()
		b.claimOne("x")
	}},
	{"counts are exact", func(b *bench) {
		b.attach(takeAll)
		ds := b.append(event("one", to("x"), to("y")), event("two", to("x")))[0].Deliveries
		b.settle(delivered(ds[0]))
		want := b.counts()
		b.crash()
		if got := b.counts(); got != want || want.Pending != 2 || want.Delivered != 1 || want.Events != 2 {
			b.Errorf("counts %+v, before %+v", got, want)
		}
	}},
	{"sequence numbers and ids go on, even when all events are gone", func(b *bench) {
		b.attach(nil)
		first := event("one")
		b.append(first)
		b.prune(start.Add(31*day), 0, 1)
		b.crash()
		second := event("two", to("x"))
		b.append(second)
		if second.Event.Seq <= first.Event.Seq {
			b.Errorf("seq %d after %d", second.Event.Seq, first.Event.Seq)
		}
		id := second.Deliveries[0].ID
		b.crash()
		if r, err := b.Store.Delivery(b.Context(), id); err != nil || r.Delivery.Event.ID != "two" {
			b.Errorf("%s: %v", id, err)
		}
	}},
	{"a line is as it was: the lost head first, then its successors in order", func(b *bench) {
		b.attach(takeAll)
		a := undecided("late")
		b.append(a)
		head := b.addOrdered("k", "x", "a", "b", "c")[0]
		add := planned("x")
		add.OrderKey = "k"
		b.must(b.Store.Decide(b.Context(), a.Event.Seq, delivery.Routed, nil, "d2", []*delivery.Delivery{add}))
		b.wantLost(head, 1)
		b.addOrdered("k", "x", "d")
		b.crash()
		b.wantLine("x", "a", "b", "c", "late", "d")
	}},
	{"what was promoted waits, unmarked, and what ended has left its line", func(b *bench) {
		b.attach(nil)
		ds := b.addOrdered("k", "x", "a", "b", "c", "d")
		b.settle(delivered(b.claimOne("x")))
		b.cancel(ds[2], delivery.Cancelled)
		b.crash()
		if got := b.claimOne("x"); got.Event.ID != "b" || got.Progress != ds[1].Progress || got.OrderKey != "k" || got.Joined != ds[1].Joined {
			b.Errorf("claimed %+v", got)
		} else {
			b.settle(delivered(got))
		}
		b.crash()
		b.wantLine("x", "d")
		b.crash()
		b.addOrdered("k", "x", "e")
		b.wantLine("x", "e")
	}},
	{"what was cancelled in hand ends, after its loss is on record", func(b *bench) {
		b.attach(takeAll)
		ds := b.addOrdered("k", "x", "a", "b")
		other := b.add("other", "y")
		b.cancel(ds[0], delivery.Pending)
		b.cancelLane("y", 10, 1)
		b.crash()
		for _, d := range []*delivery.Delivery{ds[0], other} {
			b.wantCancelled(d, 1)
			if r := b.delivery(d); r.Transitions[0].Kind != delivery.Lost || r.Transitions[0].Attempt == nil {
				b.Errorf("before: %+v", r.Transitions[0])
			}
		}
		if q := b.rec.takeQueued(); len(q) != 1 || q[0] != (queued{"x", start}) {
			b.Errorf("queued %v", q)
		}
		if lost := b.rec.takeLost(); len(lost) != 2 {
			b.Errorf("told as lost %v", lost)
		}
		b.wantLine("x", "b")
		b.crash()
		b.wantLaneCounts(map[string]delivery.Counts{"x": {Delivered: 1, Cancelled: 1}, "y": {Cancelled: 1}})
	}},
	{"pending counts by lane are exact", func(b *bench) {
		b.attach(takeAll)
		ds := b.append(event("one", to("x"), to("y"), to("x")))[0].Deliveries
		b.addOrdered("k", "y", "two", "three")
		b.settle(delivered(ds[0]))
		b.crash()
		b.wantLaneCounts(map[string]delivery.Counts{"x": {Pending: 1, Delivered: 1}, "y": {Pending: 3}})
	}},
	{"more than one step of recovery holds is recovered", func(b *bench) {
		b.attach(takeAll)
		batch := make([]delivery.Accept, 2100)
		for i := range batch {
			batch[i] = event(fmt.Sprint("e", i), to("x"))
		}
		b.append(batch...)
		b.crash()
		if q := b.rec.takeQueued(); len(q) != len(batch) {
			b.Errorf("%d told as queued", len(q))
		}
		if lost := b.rec.takeLost(); len(lost) != len(batch) {
			b.Errorf("%d told as lost", len(lost))
		}
		got := b.claimSome("x", delivery.Claim{Now: time.Now().Add(time.Second), Max: 5000, MaxBytes: 1 << 30})
		if len(got.Deliveries) != len(batch) || got.More {
			b.Errorf("%d wait, more %v", len(got.Deliveries), got.More)
		}
	}},
}

// wantLost crashes and wants d to wait again with its n-th loss on record.
func (b *bench) wantLost(d *delivery.Delivery, n int) {
	b.Helper()
	before := time.Now().Truncate(time.Millisecond)
	was := d.Progress
	b.crash()
	r := b.delivery(d)
	p := r.Delivery.Progress
	if p.Due.Before(before) || p.Due.After(time.Now()) {
		b.Errorf("due %v, want now", p.Due)
	}
	if int(p.Unknowns) != n || p.Attempts != was.Attempts+1 || p.Step != was.Step+1 || p.Tries != was.Tries || p.State != delivery.Pending {
		b.Errorf("progress %+v after %+v", p, was)
	}
	if len(r.Transitions) != n {
		b.Fatalf("%d transitions, want %d", len(r.Transitions), n)
	}
	t := r.Transitions[n-1]
	if t.Kind != delivery.Lost || t.Progress != p || t.Attempt == nil || t.Attempt.Outcome != "unknown" ||
		t.Attempt.N != p.Attempts || t.Attempt.Endpoint != r.Delivery.Lane() || t.Attempt.Started.IsZero() {
		b.Errorf("transition %+v, attempt %+v", t, t.Attempt)
	}
	if q := b.rec.takeQueued(); len(q) != 1 || q[0] != (queued{r.Delivery.Lane(), p.Due}) {
		b.Errorf("queued %v", q)
	}
	if lost := b.rec.takeLost(); len(lost) != 1 || lost[0] != r.Delivery.Lane() {
		b.Errorf("told as lost %v", lost)
	}
}
