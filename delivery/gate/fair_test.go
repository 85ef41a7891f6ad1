package gate

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// only limits all lanes together, whatever their class.
func only(n int) Limits { return Limits{All: n, Unsure: n, Silent: n} }

// granted makes a lane's call and fails the test unless it gets an attempt.
func granted(t *testing.T, f *Fair[string], w string) {
	t.Helper()
	if hold := f.Take(w, ClassLively, epoch); hold.Reason != ReasonNone {
		t.Fatalf("%s is held: %+v", w, hold)
	}
	f.Use(epoch)
}

func heldBy(t *testing.T, f *Fair[string], w string, why Reason) Hold {
	t.Helper()
	hold := f.Take(w, ClassLively, epoch)
	if hold.Reason != why {
		t.Fatalf("%s: hold %+v, want reason %q", w, hold, why)
	}
	return hold
}

// turnOf asks for the next turn, which must be that lane's; "" for nobody's.
func turnOf(t *testing.T, f *Fair[string], w string) Turn[string] {
	t.Helper()
	turn, _, ok := f.Next(epoch)
	if turn.Lane != w || ok != (w != "") {
		t.Fatalf("the turn is %q's, want %q", turn.Lane, w)
	}
	return turn
}

func TestLanesTakeTurnsInTheOrderTheyCame(t *testing.T) {
	t.Parallel()
	f := NewFair[string](only(2), RateSettings{})
	granted(t, f, "a")
	granted(t, f, "a")
	for _, w := range []string{"a", "b", "c", "b", "a"} { // one place each
		heldBy(t, f, w, ReasonSlots)
	}
	turnOf(t, f, "") // nothing is free
	for _, w := range []string{"a", "b", "c", "a", "b", "c"} {
		f.Release(ClassLively)
		heldBy(t, f, "late", ReasonSlots) // who has not the turn gets nothing, though something is free
		turn := turnOf(t, f, w)
		turnOf(t, f, "") // one turn at a time
		granted(t, f, w)
		heldBy(t, f, w, ReasonSlots) // at the back again
		f.Done(turn)
		turnOf(t, f, "")
		if w == "c" {
			f.Release(ClassLively)
			turn := turnOf(t, f, "late")
			granted(t, f, "late")
			f.Done(turn)
		}
	}
}

func TestALaneThatCannotUseItsTurnLosesIt(t *testing.T) {
	t.Parallel()
	f := NewFair[string](only(1), RateSettings{})
	granted(t, f, "a")
	for _, w := range []string{"b", "c", "d"} {
		heldBy(t, f, w, ReasonSlots)
	}
	f.Release(ClassLively)
	f.Done(turnOf(t, f, "b")) // it looked and did not ask
	turn := turnOf(t, f, "c")
	if hold := f.Take("c", ClassLively, epoch); hold.Reason != ReasonNone {
		t.Fatalf("held: %+v", hold)
	}
	f.GiveBack(ClassLively) // another gate refused
	f.Done(turn)
	turn = turnOf(t, f, "d")
	granted(t, f, "d")
	f.Done(turn)
	f.Release(ClassLively)
	turnOf(t, f, "")
	granted(t, f, "b")
}

func TestDoneTakesNoPlaceButThatOfItsTurn(t *testing.T) {
	t.Parallel()
	f := NewFair[string](only(1), RateSettings{})
	granted(t, f, "a")
	heldBy(t, f, "b", ReasonSlots)
	f.Release(ClassLively)
	first := turnOf(t, f, "b")
	granted(t, f, "b") // by itself, before it was told
	heldBy(t, f, "b", ReasonSlots)
	f.Release(ClassLively)
	second := turnOf(t, f, "b")
	f.Done(first) // of the turn that was used
	f.Done(Turn[string]{})
	turnOf(t, f, "") // the second is still open
	heldBy(t, f, "c", ReasonSlots)
	granted(t, f, "b")
	f.Done(second)
	f.Release(ClassLively)
	turn := turnOf(t, f, "c")
	f.Done(turn)
	f.Done(turn)
	granted(t, f, "d") // the line is empty
}

func TestALaneKeepsItsPlaceWhenWhatItWasOfferedIsGone(t *testing.T) {
	t.Parallel()
	f := NewFair[string](only(2), RateSettings{})
	granted(t, f, "a")
	granted(t, f, "a")
	heldBy(t, f, "b", ReasonSlots)
	heldBy(t, f, "c", ReasonSlots)
	f.Release(ClassLively)
	turn := turnOf(t, f, "b")
	f.Set(only(1), RateSettings{}) // a reload
	heldBy(t, f, "b", ReasonSlots)
	f.Done(turn)
	turnOf(t, f, "")
	f.Set(only(2), RateSettings{})
	turnOf(t, f, "b")
}

func TestOnlyTheHeadOfTheLineIsToldATime(t *testing.T) {
	t.Parallel()
	f := NewFair[string](only(10), RateSettings{N: 1, Unit: time.Minute, Burst: 1})
	granted(t, f, "a")
	want := epoch.Add(time.Minute)
	if hold := heldBy(t, f, "a", ReasonRate); !hold.Until.Equal(want) {
		t.Errorf("the head is told %v, want %v", hold.Until, want)
	}
	if hold := heldBy(t, f, "b", ReasonRate); !hold.Until.IsZero() {
		t.Errorf("the second in line is told %v", hold.Until)
	}
	if _, wake, ok := f.Next(epoch); ok || !wake.Equal(want) {
		t.Errorf("the line is to be served at %v, want %v", wake, want)
	}
	turn, _, _ := f.Next(want)
	if hold := f.Take("b", ClassLively, want); turn.Lane != "a" || hold.Reason != ReasonSlots {
		t.Errorf("the turn is %q's, and b is told %+v", turn.Lane, hold)
	}
	f.Set(only(1), RateSettings{N: 1, Unit: time.Minute, Burst: 1}) // full with what runs
	if _, wake, ok := f.Next(want.Add(time.Hour)); ok || !wake.IsZero() {
		t.Errorf("while all are in flight: %v, %v", wake, ok)
	}
}

// world is lanes at a Fair under virtual time, each its own engine: attempts
// last as long as told, and lines are served as the contract says.
type world struct {
	f      *Fair[int]
	now    time.Time
	wake   time.Time
	lasts  time.Duration
	queued []int   // per lane
	slots  []int   // per lane: how many more it may have in flight
	took   []int   // attempts begun per lane
	order  []int   // lanes, in the order their attempts began
	ends   [][]int // lanes whose attempts end, per tick
}

func newWorld(lanes, limit int, rate RateSettings) *world {
	return &world{
		f: NewFair[int](only(limit), rate), now: epoch, queued: make([]int, lanes),
		slots: slices.Repeat([]int{16}, lanes), took: make([]int, lanes), lasts: 20, ends: make([][]int, 64),
	}
}

func (w *world) pump(l int) {
	for w.queued[l] > 0 && w.slots[l] > 0 {
		if hold := w.f.Take(l, ClassLively, w.now); hold.Reason != ReasonNone {
			w.arm(hold.Until)
			return
		}
		w.f.Use(w.now)
		w.queued[l]--
		w.slots[l]--
		w.took[l]++
		w.order = append(w.order, l)
		at := (w.tick() + int(w.lasts)) % len(w.ends)
		w.ends[at] = append(w.ends[at], l)
	}
}

func (w *world) tick() int { return int(w.now.Sub(epoch) / time.Millisecond) }

func (w *world) arm(at time.Time) {
	if !at.IsZero() && (w.wake.IsZero() || at.Before(w.wake)) {
		w.wake = at
	}
}

func (w *world) serve() {
	for {
		turn, wake, ok := w.f.Next(w.now)
		if !ok {
			w.arm(wake)
			return
		}
		w.pump(turn.Lane)
		w.f.Done(turn)
	}
}

// step lets a millisecond pass.
func (w *world) step() {
	w.now = w.now.Add(time.Millisecond)
	i := w.tick() % len(w.ends)
	ended := w.ends[i]
	w.ends[i] = nil
	for _, l := range ended {
		w.f.Release(ClassLively)
		w.slots[l]++
		w.pump(l)
		w.serve()
	}
	if !w.wake.IsZero() && !w.now.Before(w.wake) {
		w.wake = time.Time{}
		w.serve()
	}
}

func TestABusyLaneStarvesNoQuietOne(t *testing.T) {
	t.Parallel()
	const quiet = 100
	for _, c := range []struct {
		name  string
		limit int
		rate  RateSettings
	}{
		{"attempts in flight are short", 4, RateSettings{}},
		{"tokens are short", 1024, RateSettings{N: 200, Unit: time.Second}},
		{"tokens are short, and all of them may be a burst", 1024, RateSettings{N: 200, Unit: time.Second, Burst: 200}},
		{"both", 4, RateSettings{N: 200, Unit: time.Second}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			rnd := rand.New(rand.NewPCG(1, 1))
			w := newWorld(quiet+1, c.limit, c.rate)
			w.queued[0] = 1 << 30
			w.pump(0)
			asked := make([]int, quiet+1) // how many had been served when the lane got something to do; -1: nothing to do
			for i := range asked {
				asked[i] = -1
			}
			worst, jobs := 0, 0
			for w.tick() < 60_000 {
				if l := 1 + rnd.IntN(quiet); asked[l] < 0 && rnd.IntN(10) == 0 {
					asked[l] = len(w.order)
					w.queued[l]++
					w.pump(l)
				}
				w.step()
				for l := 1; l <= quiet; l++ {
					if asked[l] >= 0 && w.queued[l] == 0 {
						worst, jobs = max(worst, len(w.order)-asked[l]), jobs+1
						asked[l] = -1
					}
				}
			}
			if jobs < 4000 {
				t.Errorf("%d deliveries of quiet lanes, want at least 4000", jobs)
			}
			if worst > quiet+1 { // one round of a line in which all are
				t.Errorf("a quiet lane waited for %d attempts of others", worst)
			}
			if w.took[0] < 3000 {
				t.Errorf("the busy lane made %d attempts: what quiet ones left was not used", w.took[0])
			}
		})
	}
}

func TestBusyLanesShareEvenly(t *testing.T) {
	t.Parallel()
	for _, rate := range []RateSettings{{}, {N: 500, Unit: time.Second, Burst: 1}} {
		w := newWorld(101, 16, rate)
		for l := range w.queued {
			w.queued[l] = 1 << 30
			w.pump(l)
		}
		for w.tick() < 20_000 {
			w.step()
		}
		first := slices.Clone(w.took[1:]) // lane 0 came first, and got all that was free then
		if low, high := slices.Min(first), slices.Max(first); high-low > 1 || low < 80 || w.took[0]-high > 16 {
			t.Errorf("%v: attempts per lane from %d to %d, and %d of the first", rate, low, high, w.took[0])
		}
	}
}

func TestLanesArePassedOnlyWhenThePartOfTheirClassIsUsedUp(t *testing.T) {
	t.Parallel()
	f := NewFair[string](Limits{All: 4, Unsure: 3, Silent: 2}, RateSettings{})
	take := func(w string, class Class) {
		t.Helper()
		if hold := f.Take(w, class, epoch); hold.Reason != ReasonNone {
			t.Fatalf("%s is held: %+v", w, hold)
		}
		f.Use(epoch)
	}
	wait := func(w string, class Class) {
		t.Helper()
		if hold := f.Take(w, class, epoch); hold.Reason != ReasonSlots {
			t.Fatalf("%s: hold %+v", w, hold)
		}
	}
	take("hangs", ClassSilent)
	take("hangs", ClassSilent)
	wait("hangs", ClassSilent)
	take("new", ClassFresh) // though hangs waits
	wait("new", ClassFresh)
	turnOf(t, f, "")           // one is free, and not for them
	take("works", ClassLively) // though two wait
	wait("works", ClassLively)
	f.Release(ClassLively)
	turn := turnOf(t, f, "works")
	take("works", ClassLively)
	f.Done(turn)
	wait("works", ClassLively)
	f.Release(ClassSilent)
	turn = turnOf(t, f, "hangs") // who came first, now that its part has room again
	take("hangs", ClassSilent)
	f.Done(turn)
	wait("hangs", ClassSilent)
	wait("new", ClassLively) // it has answered meanwhile: its place is before that of works
	f.Release(ClassFresh)
	turn = turnOf(t, f, "new")
	take("new", ClassLively)
	f.Done(turn)
	wait("works", ClassSilent) // and works is silent now
	f.Release(ClassLively)
	turnOf(t, f, "")
	f.Set(only(4), RateSettings{})
	turn = turnOf(t, f, "works")
	f.Done(turn)
	f.Done(turnOf(t, f, "hangs"))
	turnOf(t, f, "")
}

func TestSilentLanesLeaveRoomForFreshOnesAndBothForThoseThatAnswer(t *testing.T) {
	t.Parallel()
	f := NewFair[int](Limits{All: 16, Unsure: 14, Silent: 12}, RateSettings{})
	lane := 0
	for _, c := range []struct {
		class Class
		want  int
	}{{ClassSilent, 12}, {ClassFresh, 2}, {ClassLively, 2}} {
		got := 0
		for ; f.Take(lane, c.class, epoch).Reason == ReasonNone; lane++ {
			got++
		}
		lane++ // that one waits
		if got != c.want {
			t.Errorf("%d attempts for lanes of class %d, want %d", got, c.class, c.want)
		}
	}
}

func TestWhatASilentAttemptLeavesIsForSilentLanesOnlyAfterARest(t *testing.T) {
	t.Parallel()
	for _, was := range []Class{ClassSilent, ClassFresh, ClassLively} {
		f := NewFair[string](Limits{All: 1, Unsure: 1, Silent: 1}, RateSettings{})
		f.Take("hangs", was, epoch)
		f.Use(epoch)
		f.Take("hangs too", ClassSilent, epoch)
		f.Rest(was)
		turnOf(t, f, "")
		granted(t, f, "works") // though another is in line
		f.Release(ClassLively)
		if hold := f.Take("new", ClassFresh, epoch); hold.Reason != ReasonNone {
			t.Errorf("after one of class %d: an unknown lane is held: %+v", was, hold)
		}
		f.Use(epoch)
		f.Release(ClassFresh)
		turnOf(t, f, "")
		f.Rested()
		turnOf(t, f, "hangs too")
	}
}

func TestTheLineIsInOrderAcrossItsQueues(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(9, 9))
	f := NewFair[int](only(1), RateSettings{})
	type waiting struct {
		lane  int
		class Class
	}
	var want []waiting
	at := func(w int) int { return slices.IndexFunc(want, func(x waiting) bool { return x.lane == w }) }
	for range 20_000 {
		w, class := rnd.IntN(200), Class(rnd.IntN(classes))
		switch i := at(w); {
		case rnd.IntN(5) > 1:
			f.line.regard(w, class)
			f.line.join(w, class)
			if i < 0 {
				want = append(want, waiting{w, class})
			} else {
				want[i].class = class
			}
		case len(want) > 0:
			w = want[0].lane
			if rnd.IntN(10) == 0 {
				w = want[len(want)/2].lane
			}
			f.line.leave(w)
			want = slices.Delete(want, at(w), at(w)+1)
		default:
			f.line.leave(w)
		}
		for worst := range Class(classes) { // the classes after it have used up their part
			f.used = [classes]int{}
			if worst+1 < classes {
				f.used[worst+1] = 1
			}
			next := slices.IndexFunc(want, func(x waiting) bool { return x.class <= worst })
			if first := f.first(); (first == nil) != (next < 0) || first != nil && first.lane != want[next].lane {
				t.Fatalf("of the classes up to %d in %+v is first: %+v", worst, want, first)
			}
		}
	}
	spare := 0
	for p := f.line.spare; p != nil; p = p.next {
		spare++
	}
	if len(f.line.places) != len(want) || len(want)+spare > 200 {
		t.Errorf("%d places for %d in line, and %d spare", len(f.line.places), len(want), spare)
	}
}

func BenchmarkFair(b *testing.B) {
	rate := RateSettings{N: maxRate, Unit: time.Second, Burst: maxRate}
	b.Run("nobody waits", func(b *testing.B) {
		f := NewFair[int](only(1024), RateSettings{})
		b.ReportAllocs()
		for b.Loop() {
			f.Take(1, ClassLively, epoch)
			f.Use(epoch)
			f.Release(ClassLively)
			f.Next(epoch)
		}
	})
	b.Run("nobody waits, with a rate", func(b *testing.B) {
		f, now := NewFair[int](only(1024), rate), epoch
		b.ReportAllocs()
		for b.Loop() {
			now = now.Add(time.Microsecond)
			f.Take(1, ClassLively, now)
			f.Use(now)
			f.Release(ClassLively)
			f.Next(now)
		}
	})
	b.Run("a turn of 1000 lanes that wait", func(b *testing.B) {
		f, now := NewFair[int](only(1), rate), epoch
		for l := range 1000 {
			f.Take(l, ClassLively, now)
		}
		f.Use(now)
		b.ReportAllocs()
		for b.Loop() {
			now = now.Add(time.Microsecond)
			f.Release(ClassLively)
			turn, _, _ := f.Next(now)
			f.Take(turn.Lane, ClassLively, now)
			f.Use(now)
			f.Take(turn.Lane, ClassLively, now) // back in line
			f.Done(turn)
			f.Next(now)
		}
	})
}
