package storetest

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
)

// RoundsEnv raises the rounds of the random walk, each of which ends in a crash; without it they take a few seconds.
const RoundsEnv = "WEBHOOKS_STORETEST_ROUNDS"

// runRandom walks random calls with crashes in between on the store, keeps a model of what must be there, and compares.
// A seed names a walk: the same seed makes the same calls.
func runRandom(t *testing.T, open Open) {
	rounds := 12
	if s := os.Getenv(RoundsEnv); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatalf("%s: %v", RoundsEnv, err)
		}
		rounds = n
	}
	for seed := range uint64(8) {
		t.Run(fmt.Sprintf("seed %d keeps what the model keeps", seed), func(t *testing.T) {
			t.Parallel()
			w := &walk{
				bench: &bench{T: t, Opened: open(t), rec: &Recorder{}},
				rng:   rand.New(rand.NewPCG(seed, 1)), //nolint:gosec // a seed must repeat a failure
				model: map[string]*modelled{},
				lines: map[string][]*modelled{},
				lanes: map[string]delivery.LaneState{},
				docs:  map[string]delivery.Document{},
			}
			w.attach(w.coin)
			for range rounds {
				for range 5 + w.rng.IntN(10) {
					w.step()
				}
				w.crashed()
				w.compare()
			}
		})
	}
}

type walk struct {
	*bench

	rng    *rand.Rand
	model  map[string]*modelled   // by delivery id
	lines  map[string][]*modelled // by home and ordering key: those that have not ended, in the order in which they joined
	lanes  map[string]delivery.LaneState
	docs   map[string]delivery.Document
	held   []*delivery.Event // undecided ones
	events int
	now    time.Duration
}

// modelled is a delivery as it must be.
type modelled struct {
	d           *delivery.Delivery
	p           delivery.Progress
	handed      bool
	cancelled   bool // while handed
	transitions int
}

func (m *modelled) line() string { return m.d.Chain[0] + " " + m.d.OrderKey }

// add puts a new delivery into the model, at the end of its line.
func (w *walk) add(d *delivery.Delivery) *modelled {
	m := &modelled{d: d, p: d.Progress}
	w.model[d.ID] = m
	if d.OrderKey != "" {
		w.lines[m.line()] = append(w.lines[m.line()], m)
	}
	return m
}

// successor tells of a pending delivery whether another one of its line must end first.
func (w *walk) successor(m *modelled) bool {
	line := w.lines[m.line()]
	return m.d.OrderKey != "" && len(line) > 0 && line[0] != m
}

// ended takes a delivery that is final out of its line.
func (w *walk) ended(m *modelled) {
	if m.d.OrderKey != "" {
		w.lines[m.line()] = slices.DeleteFunc(w.lines[m.line()], func(o *modelled) bool { return o == m })
	}
}

// end is an end without a try.
func (w *walk) end(m *modelled, state delivery.State) {
	m.p.Step++
	m.p.State = state
	m.transitions++
	m.cancelled = false
	w.ended(m)
}

var laneNames = []string{"a", "b", "c", "d"}

func (w *walk) coin(*delivery.Delivery) bool { return w.rng.IntN(2) == 0 }

func (w *walk) chain() []string {
	lanes := slices.Clone(laneNames)
	w.rng.Shuffle(len(lanes), func(i, j int) { lanes[i], lanes[j] = lanes[j], lanes[i] })
	return lanes[:1+w.rng.IntN(3)]
}

func (w *walk) step() {
	w.now += time.Duration(w.rng.IntN(2000)) * time.Millisecond
	switch w.rng.IntN(40) {
	case 0, 1, 2, 3, 4, 5, 6, 7, 8:
		w.appendSome()
	case 9:
		w.decideOne()
	case 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21:
		w.claimSomewhere()
	case 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33:
		w.settleSome()
	case 34, 35:
		w.cancelOne()
	case 36:
		w.cancelSomewhere()
	case 37:
		w.changeDocument()
	default:
		lane := laneNames[w.rng.IntN(len(laneNames))]
		st := delivery.LaneState{URL: fmt.Sprint("https://", w.rng.IntN(9)), Paused: w.rng.IntN(2) == 0, Seen: w.rng.IntN(2) == 0}
		w.must(w.lease(lane).SetState(w.Context(), st))
		w.lanes[lane] = st
	}
}

func (w *walk) appendSome() {
	batch := make([]delivery.Accept, 1+w.rng.IntN(3))
	for i := range batch {
		chains := make([][]string, w.rng.IntN(4))
		for j := range chains {
			chains[j] = w.chain()
		}
		batch[i] = dueAt(event(fmt.Sprint("e", w.events), chains...), start.Add(w.now))
		for _, d := range batch[i].Deliveries {
			d.OrderKey = w.orderKey()
		}
		if w.rng.IntN(8) == 0 {
			batch[i].Event.Routing = delivery.Undecided
			w.held = append(w.held, batch[i].Event)
		}
		w.events++
	}
	w.rec.mu.Lock()
	from := len(w.rec.committed)
	w.rec.mu.Unlock()
	for _, r := range w.append(batch...) {
		for _, d := range r.Deliveries {
			w.add(d)
		}
	}
	handed := map[delivery.Key]bool{}
	for _, c := range w.rec.committed[from:] {
		handed[c.key] = c.handed
	}
	for _, a := range batch {
		for _, d := range a.Deliveries {
			w.model[d.ID].handed = handed[d.Key()]
		}
	}
}

// orderKey is one of few, so that lines form.
func (w *walk) orderKey() string { return []string{"", "", "k", "l"}[w.rng.IntN(4)] }

// decideOne adds deliveries to an undecided event.
func (w *walk) decideOne() {
	if len(w.held) == 0 {
		return
	}
	i := w.rng.IntN(len(w.held))
	ev := w.held[i]
	w.held = slices.Delete(w.held, i, i+1)
	r, err := w.Store.Event(w.Context(), ev.ID, nil)
	w.must(err)
	has := func(home string) bool {
		return slices.ContainsFunc(r.Deliveries, func(d *delivery.Delivery) bool { return d.Chain[0] == home })
	}
	var add, want []*delivery.Delivery
	for _, home := range laneNames {
		d := planned(home)
		d.Due, d.OrderKey = start.Add(w.now), w.orderKey()
		if add = append(add, d); !has(home) {
			want = append(want, d)
		}
	}
	w.must(w.Store.Decide(w.Context(), ev.Seq, delivery.Routed, nil, "d2", add))
	for _, d := range want {
		w.add(d)
	}
}

// cancelOne cancels any delivery there ever was.
func (w *walk) cancelOne() {
	ids := slices.Sorted(maps.Keys(w.model))
	if len(ids) == 0 {
		return
	}
	id := ids[w.rng.IntN(len(ids))]
	m := w.model[id]
	state, err := w.Store.Cancel(w.Context(), id)
	switch {
	case m.p.State.Final():
		if !errors.Is(err, delivery.ErrFinal) || state != m.p.State {
			w.Fatalf("cancel %s: %v, %v; it is %v", id, state, err, m.p.State)
		}
		return
	case err != nil || (state == delivery.Pending) != m.handed:
		w.Fatalf("cancel %s: %v, %v; handed over %v", id, state, err, m.handed)
	}
	w.cancel(m)
}

func (w *walk) cancel(m *modelled) {
	if m.handed {
		m.cancelled = true
		return
	}
	w.end(m, delivery.Cancelled)
}

// cancelSomewhere cancels all of a lane.
func (w *walk) cancelSomewhere() {
	lane := laneNames[w.rng.IntN(len(laneNames))]
	n, more, err := w.Store.CancelLane(w.Context(), lane, delivery.MaxBatch)
	w.must(err)
	for _, m := range w.model {
		at := delivery.Delivery{Chain: m.d.Chain, Progress: m.p}
		if m.p.State == delivery.Pending && !m.cancelled && m.d.Chain[0] == lane && at.Lane() == lane {
			w.cancel(m)
			n--
		}
	}
	if n != 0 || more {
		w.Fatalf("cancelling lane %s: %d too many, more %v", lane, n, more)
	}
}

// due lists what must be claimable at a lane, in order.
func (w *walk) dueAt(lane string, movable bool) (ms []*modelled) {
	for _, m := range w.model {
		d := delivery.Delivery{Chain: m.d.Chain, Progress: m.p}
		if !m.handed && !w.successor(m) && m.p.State == delivery.Pending && d.Lane() == lane && !m.p.Due.After(start.Add(w.now)) && (!movable || d.Movable()) {
			ms = append(ms, m)
		}
	}
	slices.SortFunc(ms, func(a, b *modelled) int {
		if c := a.p.Due.Compare(b.p.Due); c != 0 {
			return c
		}
		return int(a.d.Event.Seq<<16+uint64(a.d.Ord)) - int(b.d.Event.Seq<<16+uint64(b.d.Ord))
	})
	return ms
}

func (w *walk) claimSomewhere() {
	lane, movable, n := laneNames[w.rng.IntN(len(laneNames))], w.rng.IntN(3) == 0, 1+w.rng.IntN(5)
	want := w.dueAt(lane, movable)
	more := len(want) > n
	want = want[:min(n, len(want))]
	c := delivery.Claim{Now: start.Add(w.now), Max: n, MaxBytes: 1 << 20}
	if movable {
		c.Movable = anywhere
	}
	got := w.claimSome(lane, c)
	if got.More != more || len(got.Deliveries) != len(want) {
		w.Fatalf("claim at %s: %d deliveries, more %v; want %d, %v", lane, len(got.Deliveries), got.More, len(want), more)
	}
	for i, m := range want {
		if d := got.Deliveries[i]; d.ID != m.d.ID || d.Progress != m.p {
			w.Fatalf("claim at %s: item %d is %s %+v, want %s %+v", lane, i, d.ID, d.Progress, m.d.ID, m.p)
		}
		m.handed = true
	}
}

func (w *walk) settleSome() {
	var batch []delivery.Settlement
	for _, id := range slices.Sorted(maps.Keys(w.model)) {
		m := w.model[id]
		if !m.handed || w.rng.IntN(2) == 0 {
			continue
		}
		d := *m.d
		d.Progress = m.p
		s := delivery.Settlement{Delivery: &d, Step: m.p.Step, Return: true}
		switch w.rng.IntN(5) {
		case 0, 1:
			s = delivered(&d)
		case 2:
			s = retried(&d, start.Add(w.now+time.Duration(w.rng.IntN(5000))*time.Millisecond))
		case 3:
			s = attempted(&d, "timeout", func(p *delivery.Progress) {
				p.Spent |= 1 << p.Target
				if p.Target++; int(p.Target) == len(d.Chain) {
					p.Target--
					p.State, p.Reason = delivery.Exhausted, delivery.ReasonSchedule
				}
			})
		}
		batch = append(batch, s)
		m.handed = false
		if !s.Return {
			m.p = s.Transition.Progress
			m.transitions++
		}
		switch {
		case m.p.State.Final():
			m.cancelled = false
			w.ended(m)
		case m.cancelled:
			w.end(m, delivery.Cancelled)
		}
	}
	w.settle(batch...)
}

// crashed cuts the power and marks in the model what was in hand.
func (w *walk) crashed() {
	w.Opened = w.Crash(w.T)
	w.rec = &Recorder{}
	w.attach(w.coin)
	for id, m := range w.model {
		if !m.handed {
			continue
		}
		m.handed = false
		m.transitions++
		m.p.Step++
		m.p.Attempts++
		m.p.Unknowns++
		r, err := w.Store.Delivery(w.Context(), id)
		w.must(err)
		m.p.Due = r.Delivery.Due // the time of the recovery
		w.now = max(w.now, m.p.Due.Sub(start))
		if m.cancelled {
			w.end(m, delivery.Cancelled)
		}
	}
}
