package storetest

import (
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
				lanes: map[string]delivery.LaneState{},
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
	model  map[string]*modelled // by delivery id
	lanes  map[string]delivery.LaneState
	events int
	now    time.Duration
}

// modelled is a delivery as it must be.
type modelled struct {
	d           *delivery.Delivery
	p           delivery.Progress
	handed      bool
	transitions int
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
	switch w.rng.IntN(10) {
	case 0, 1, 2:
		w.appendSome()
	case 3, 4, 5:
		w.claimSomewhere()
	case 6, 7, 8:
		w.settleSome()
	default:
		lane := laneNames[w.rng.IntN(len(laneNames))]
		st := delivery.LaneState{URL: fmt.Sprint("https://", w.rng.IntN(9)), Paused: w.rng.IntN(2) == 0}
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
		w.events++
	}
	w.rec.mu.Lock()
	from := len(w.rec.committed)
	w.rec.mu.Unlock()
	for _, r := range w.append(batch...) {
		for _, d := range r.Deliveries {
			w.model[d.ID] = &modelled{d: d, p: d.Progress}
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

// due lists what must be claimable at a lane, in order.
func (w *walk) dueAt(lane string, movable bool) (ms []*modelled) {
	for _, m := range w.model {
		d := delivery.Delivery{Chain: m.d.Chain, Progress: m.p}
		if !m.handed && m.p.State == delivery.Pending && d.Lane() == lane && !m.p.Due.After(start.Add(w.now)) && (!movable || d.Movable()) {
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
	}
}

// compare looks at all there is.
func (w *walk) compare() {
	want := delivery.Counts{Events: uint64(w.events)}
	waiting := map[string]time.Time{}
	for id, m := range w.model {
		r, err := w.Store.Delivery(w.Context(), id)
		w.must(err)
		if r.Delivery.Progress != m.p || len(r.Transitions) != m.transitions {
			w.Fatalf("%s: %+v with %d transitions, want %+v with %d", id, r.Delivery.Progress, len(r.Transitions), m.p, m.transitions)
		}
		switch m.p.State {
		case delivery.Pending:
			want.Pending++
			d := delivery.Delivery{Chain: m.d.Chain, Progress: m.p}
			if t, ok := waiting[d.Lane()]; !ok || m.p.Due.Before(t) {
				waiting[d.Lane()] = m.p.Due
			}
		case delivery.Delivered:
			want.Delivered++
		case delivery.Exhausted:
			want.Exhausted++
		case delivery.Cancelled:
			want.Cancelled++
		}
	}
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
