package gate

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func rateOf(t testing.TB, text string, burst int) RateSettings {
	t.Helper()
	s, err := ParseRate(text)
	s.Burst = burst
	if err == nil {
		err = s.Validate()
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// keepsPromise checks every closed-open window: it is enough to look at those
// that begin with an attempt.
func keepsPromise(t *testing.T, n int, unit time.Duration, used []time.Time) {
	t.Helper()
	for i := range used {
		if i+n < len(used) && used[i+n].Sub(used[i]) < unit {
			t.Fatalf("attempts %d to %d of %d, %d in number, began within %v, a limit of %d per %v",
				i, i+n, len(used), n+1, used[i+n].Sub(used[i]), n, unit)
		}
	}
}

// drain takes as fast as the rate lets, waking late by up to late, until the
// given span is over.
func drain(t *testing.T, r *Rate, from time.Time, span, late time.Duration) (used []time.Time) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(1, 2))
	for now := from; now.Before(from.Add(span)); {
		ok, until := r.Take(now)
		if ok {
			r.Use(now)
			used = append(used, now)
			continue
		}
		if !until.After(now) {
			t.Fatalf("refused at %v until %v, which is no later", now, until)
		}
		now = until
		if late > 0 {
			now = now.Add(time.Duration(rnd.Int64N(int64(late))))
		}
	}
	return used
}

func TestNoWindowPassesMoreThanTheLimit(t *testing.T) {
	t.Parallel()
	units := []time.Duration{time.Second, time.Minute, time.Hour}
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		n := 1 + rnd.IntN([]int{3, 50, 1500, 5000}[seed%4])
		s := RateSettings{N: n, Unit: units[rnd.IntN(3)], Burst: rnd.IntN(n + 1)}
		t.Run(fmt.Sprintf("%v, seed %d", s, seed), func(t *testing.T) {
			t.Parallel()
			used := randomUse(t, rnd, NewRate(s), s, 4*n+400)
			keepsPromise(t, s.N, s.Unit, used)
		})
	}
}

// randomUse lets several takers come at random: in bursts, evenly, after
// pauses, and exactly when they were told to. Each uses or gives back what it
// took some time later. Their readings come in the wrong order, and the clock
// they read is set back now and then. It returns when attempts began by one
// that is not: no earlier than any reading that was known by then.
func randomUse(t *testing.T, rnd *rand.Rand, r *Rate, s RateSettings, steps int) (used []time.Time) {
	t.Helper()
	step := s.Unit / time.Duration(s.N)
	now, known, set, told, taken := epoch, epoch, time.Duration(0), time.Time{}, 0
	read := func() time.Time {
		at := now.Add(-time.Duration(rnd.Int64N(int64(5 * time.Millisecond))))
		if at.After(known) {
			known = at
		}
		return at.Add(-set)
	}
	settle := func() {
		taken--
		if rnd.IntN(4) == 0 {
			r.GiveBack()
			return
		}
		r.Use(read())
		used = append(used, known)
	}
	for range steps {
		switch rnd.IntN(12) {
		case 0, 1, 2:
			now = now.Add(time.Duration(rnd.Int64N(int64(2*step) + 1)))
		case 3:
			if told.After(now) {
				now = told
			}
		case 4:
			if rnd.IntN(s.N+20) < 20 {
				now = now.Add(time.Duration(rnd.Int64N(int64(2 * s.Unit))))
			}
		case 5:
			set += time.Duration(rnd.IntN(5)) * time.Millisecond
			if rnd.IntN(100) == 0 {
				set += 2 * time.Hour
			}
		case 6:
			if taken > 0 {
				settle()
			}
		default:
			if taken >= 3 {
				settle()
			}
			ok, until := r.Take(read())
			if told = until.Add(set); ok {
				taken++
			}
		}
	}
	if len(used) < steps/50 {
		t.Errorf("only %d of %d steps were attempts: this proves little", len(used), steps)
	}
	return used
}

func TestTheWholeLimitPassesInTheLongRun(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, text string
		burst      int
		late       time.Duration // how late timers wake at most
		units      int
		share      float64 // of N per unit that must pass at least
	}{
		{"a tenth as burst by default", "1000/m", 0, 0, 10, 1},
		{"the burst named", "1000/m", 100, 0, 10, 1},
		{"all of it as burst", "10/s", 10, 0, 60, 1},
		{"evenly", "50/s", 1, 0, 60, 1},
		{"one in an hour", "1/h", 0, 0, 48, 1},
		{"an interval that is no whole number", "7/s", 0, 0, 60, 1},
		{"more than the log remembers singly", "1025/s", 0, 0, 30, 0.997},
		{"far more than that", "100000/h", 0, 0, 5, 0.997},
		{"a burst of all of it, remembered in groups", "5000/m", 5000, 0, 10, 0.997},
		{"evenly, and late timers", "50/s", 1, 3 * time.Millisecond, 60, 0.98},
		{"with bursts, and late timers", "1000/s", 0, 5 * time.Millisecond, 30, 0.98},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := rateOf(t, c.text, c.burst)
			used := drain(t, NewRate(s), epoch, time.Duration(c.units)*s.Unit, c.late)
			keepsPromise(t, s.N, s.Unit, used)
			if want := c.share * float64(s.N*c.units); float64(len(used)) < want {
				t.Errorf("%d attempts in %d units, want at least %.0f", len(used), c.units, want)
			}
		})
	}
}

func TestABurstPassesAfterQuietAndNeverMore(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text        string
		burst, want int
	}{
		{"1000/m", 100, 100},
		{"1000/m", 0, 100},
		{"1000/m", 1, 1},
		{"1000/m", 1000, 1000},
		{"10/s", 0, 1},
		{"11/s", 0, 2},
		{"1/h", 0, 1},
		{"100000/s", 0, 10000},
		{"2000/s", 2000, 2000},
	} {
		s := rateOf(t, c.text, c.burst)
		r := NewRate(s)
		for _, at := range []time.Time{epoch, epoch.Add(2 * s.Unit), epoch.Add(10 * s.Unit)} {
			got := 0
			for {
				if ok, _ := r.Take(at); !ok {
					break
				}
				r.Use(at)
				got++
			}
			if got != c.want {
				t.Errorf("%v: %d at once at %v, want %d", s, got, at, c.want)
			}
			if len(r.latest) > rateLog {
				t.Errorf("%v: %d times are remembered, want at most %d", s, len(r.latest), rateLog)
			}
		}
	}
}

func TestABacklogBeginsWithOneBurstAndGoesOnEvenly(t *testing.T) {
	t.Parallel()
	s := rateOf(t, "1000/m", 100)
	used := drain(t, NewRate(s), epoch, 10*time.Minute, 0)
	for i := 1000; i < len(used); i++ {
		if gap := used[i].Sub(used[i-1]); i > 1000 && gap != 60*time.Millisecond {
			t.Fatalf("attempt %d came %v after the one before, want 60ms", i, gap)
		}
	}
}

func TestBurstsThatFitTheWindowPassAtOnceEachTime(t *testing.T) {
	t.Parallel()
	r := NewRate(rateOf(t, "10/s", 10))
	for i := range 100 {
		now := epoch.Add(time.Duration(i) * 1050 * time.Millisecond)
		for j := range 10 {
			if ok, until := r.Take(now); !ok {
				t.Fatalf("burst %d: attempt %d is held for %v", i, j, until.Sub(now))
			}
			r.Use(now)
		}
	}
}

func TestTheTimeToldIsTheEarliest(t *testing.T) {
	t.Parallel()
	for seed := range uint64(50) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		n := 1 + rnd.IntN(30)
		s := RateSettings{N: n, Unit: time.Second, Burst: 1 + rnd.IntN(n)}
		r := NewRate(s)
		now := epoch
		for range 20 * n {
			now = now.Add(time.Duration(rnd.Int64N(int64(time.Second) / int64(n))))
			ok, until := r.Take(now)
			if !ok {
				if early, again := r.Peek(until.Add(-1)); early || !again.Equal(until) {
					t.Fatalf("%v: told %v, and 1 ns before that %v, %v", s, until, early, again)
				}
				if now = until; rnd.IntN(2) == 0 {
					if ok, _ := r.Peek(now); !ok {
						t.Fatalf("%v: looking at %v, as told, finds it shut", s, until)
					}
				}
				if ok, _ = r.Take(now); !ok {
					t.Fatalf("%v: held at %v, the time told", s, until)
				}
			}
			r.Use(now)
		}
	}
}

func TestTheTimeToldIsByTheClockOfWhoAsks(t *testing.T) {
	t.Parallel()
	r := NewRate(rateOf(t, "1/m", 0))
	r.Take(epoch)
	r.Use(epoch)
	for _, late := range []time.Duration{0, 500 * time.Millisecond} { // a reading that comes in late
		if _, until := r.Take(epoch.Add(-late)); !until.Equal(epoch.Add(time.Minute)) {
			t.Errorf("who reads %v less is told %v", late, until)
		}
	}
}

func TestWhatIsGivenBackBurnsNoToken(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"1/h", "10/m", "3000/m"} {
		s := rateOf(t, text, 0)
		s.Burst = s.N
		r := NewRate(s)
		for i := range s.N {
			for range 3 { // refused by another gate
				if ok, _ := r.Take(epoch); !ok {
					t.Fatalf("%v: attempt %d is held", s, i)
				}
				r.GiveBack()
			}
			r.Take(epoch)
			ok, _ := r.Take(epoch) // of another lane, while the first is undecided
			if last := s.N - i; ok != (last > 1) && s.N <= rateLog {
				t.Fatalf("%v: with %d left, a second Take answers %v", s, last, ok)
			}
			r.Use(epoch)
			if ok {
				r.GiveBack()
			}
		}
		if ok, until := r.Take(epoch); ok || until.Before(epoch.Add(s.Unit)) {
			t.Errorf("%v: after %d attempts Take answers %v, %v", s, s.N, ok, until)
		}
	}
}

func TestARefusalBesideAnUndecidedTakeDelaysNothing(t *testing.T) {
	t.Parallel()
	r := NewRate(rateOf(t, "10/s", 10))
	for range 9 {
		r.Take(epoch)
		r.Use(epoch)
	}
	r.Take(epoch)
	if ok, until := r.Take(epoch); ok || !until.Equal(epoch.Add(time.Second)) {
		t.Fatalf("the eleventh: %v, %v", ok, until)
	}
	r.GiveBack()
	if ok, until := r.Take(epoch); !ok {
		t.Errorf("the tenth was given back, and yet it is held until %v", until)
	}
}

func TestAReloadKeepsWhatPassed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, before, after string
		used, want          int // want: how many more pass in the same instant, with all of it as burst
	}{
		{"a lower limit that is used up", "100/m", "50/m", 100, 0},
		{"a lower limit of which some is left", "100/m", "50/m", 30, 20},
		{"a higher limit", "100/m", "150/m", 100, 50},
		{"a longer unit", "100/s", "150/h", 100, 50},
		{"from single entries to groups", "1000/m", "3000/m", 1000, 2000},
		{"from groups to single entries", "3000/m", "1000/m", 2999, 0},
		{"from groups to other groups", "3000/m", "5000/m", 2000, 3000},
		{"the same", "100/m", "100/m", 60, 40},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := rateOf(t, c.before, 0)
			s.Burst = s.N
			r := NewRate(s)
			for range c.used {
				if ok, _ := r.Take(epoch); !ok {
					t.Fatal("held")
				}
				r.Use(epoch)
			}
			s = rateOf(t, c.after, 0)
			s.Burst = s.N
			r.Set(s)
			got := 0
			for ok, _ := r.Take(epoch); ok; ok, _ = r.Take(epoch) {
				r.Use(epoch)
				got++
			}
			if slack := s.N / rateLog * 2; got > c.want || got < c.want-slack {
				t.Errorf("%d more pass, want %d", got, c.want)
			}
			later := epoch.Add(2 * s.Unit)
			if ok, until := r.Take(later); !ok {
				t.Errorf("two units later it is held until %v", until)
			}
		})
	}
}

func TestARaisedLimitIsThereAtOnce(t *testing.T) {
	t.Parallel()
	r := NewRate(rateOf(t, "5/s", 5))
	used := drain(t, r, epoch, time.Minute, 0)
	now := used[len(used)-1]
	r.Set(rateOf(t, "1000/s", 1000))
	for i := range 995 { // five were used in the last second, though hundreds before
		if ok, until := r.Take(now); !ok {
			t.Fatalf("attempt %d after the reload is held for %v", i, until.Sub(now))
		}
		r.Use(now)
	}
}

func TestNoWindowAcrossAReloadPassesMoreThanTheNewLimit(t *testing.T) {
	t.Parallel()
	for seed := range uint64(250) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		some := func() RateSettings {
			n := 1 + rnd.IntN([]int{5, 100, 3000}[rnd.IntN(3)])
			return RateSettings{N: n, Unit: time.Second, Burst: 1 + rnd.IntN(n)}
		}
		before, after := some(), some()
		r, now := NewRate(before), epoch
		var used []time.Time
		run := func(steps int) {
			for range steps {
				if ok, until := r.Take(now); !ok {
					now = until
					continue
				}
				r.Use(now)
				used = append(used, now)
			}
		}
		run(rnd.IntN(3 * before.N))
		old := len(used)
		r.Set(after)
		run(3 * after.N)
		// Each window that ends with an attempt under the new settings; of those before, the last N are remembered.
		keepsPromise(t, after.N, after.Unit, used[max(old-min(before.N, after.N), 0):])
	}
}

func TestTheRateCanBeTurnedOnAndOff(t *testing.T) {
	t.Parallel()
	var r Rate
	for range 1000 {
		if ok, _ := r.Take(epoch); !ok {
			t.Fatal("the zero value holds an attempt")
		}
		r.Use(epoch)
	}
	r.Take(epoch) // and undecided over the change
	r.Set(RateSettings{N: 2, Unit: time.Second, Burst: 2})
	if ok, _ := r.Take(epoch); !ok {
		t.Error("the first attempt under a new limit is held")
	}
	if ok, _ := r.Take(epoch); ok {
		t.Error("a third one passes a limit of two")
	}
	r.GiveBack()
	r.Use(epoch)
	r.Set(RateSettings{})
	for range 10 {
		if ok, _ := r.Take(epoch); !ok {
			t.Fatal("held after the limit was taken away")
		}
		r.GiveBack()
	}
	if r.Settings() != (RateSettings{}) {
		t.Error("the settings are not those in force")
	}
}

func TestAClockThatIsSetBackStopsNothing(t *testing.T) {
	t.Parallel()
	for _, back := range []time.Duration{time.Millisecond, time.Second, time.Hour, 50 * 365 * 24 * time.Hour} {
		s := rateOf(t, "100/s", 100)
		r := NewRate(s)
		drain(t, r, epoch, 3*time.Second, 0)
		from := epoch.Add(3*time.Second - back)
		used := drain(t, r, from, 5*time.Second, 0)
		keepsPromise(t, s.N, s.Unit, used)
		if len(used) < 300 {
			t.Errorf("set back by %v: %d attempts in the next 5 s, want at least 300", back, len(used))
		}
	}
}

func TestARateUsedByManyGoroutines(t *testing.T) {
	t.Parallel()
	r := NewRate(rateOf(t, "1000/h", 1000))
	var (
		wg     sync.WaitGroup
		mu     sync.Mutex
		passed int
	)
	for i := range 8 {
		wg.Go(func() {
			for j := range 1000 {
				ok, _ := r.Take(time.Now())
				switch {
				case !ok:
				case (i+j)%3 == 0:
					r.GiveBack()
				default:
					r.Use(time.Now())
					mu.Lock()
					passed++
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	if passed != 1000 {
		t.Errorf("%d passed, want 1000", passed)
	}
}

func TestParseRate(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]RateSettings{
		"1/s":        {N: 1, Unit: time.Second},
		"1000/m":     {N: 1000, Unit: time.Minute},
		"10000000/h": {N: maxRate, Unit: time.Hour},
	} {
		if got, err := ParseRate(text); err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "/", "10", "10/", "/s", "0/s", "-1/s", "+1/s", "1.5/s", "1_0/s", "10/d", "10/S", "10/s/s", " 10/s", "10000001/s", "99999999999999999999/s"} {
		if got, err := ParseRate(text); err == nil {
			t.Errorf("%q is taken for %v", text, got)
		}
	}
}

func TestRateSettings(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		s    RateSettings
		text string // "": refused
	}{
		{"no limit", RateSettings{}, "off"},
		{"the default burst is a tenth", RateSettings{N: 1000, Unit: time.Minute}, "1000/m burst 100"},
		{"rounded up", RateSettings{N: 5, Unit: time.Second}, "5/s burst 1"},
		{"a burst of all", RateSettings{N: 5, Unit: time.Hour, Burst: 5}, "5/h burst 5"},
		{"a burst above the limit", RateSettings{N: 5, Unit: time.Hour, Burst: 6}, ""},
		{"a negative burst", RateSettings{N: 5, Unit: time.Hour, Burst: -1}, ""},
		{"a burst of nothing", RateSettings{Burst: 6}, ""},
		{"no unit", RateSettings{N: 5}, ""},
		{"another unit", RateSettings{N: 5, Unit: 24 * time.Hour}, ""},
		{"negative", RateSettings{N: -5, Unit: time.Hour}, ""},
		{"too high", RateSettings{N: maxRate + 1, Unit: time.Hour}, ""},
	} {
		err := c.s.Validate()
		if (err == nil) != (c.text != "") {
			t.Errorf("%s: %v", c.name, err)
		}
		if err == nil && c.s.String() != c.text {
			t.Errorf("%s: %q, want %q", c.name, c.s, c.text)
		}
	}
}

func BenchmarkRate(b *testing.B) {
	for _, c := range []struct{ name, text string }{
		{"take and use, exact log", "1000/s"},
		{"take and use, grouped log", "1000000/s"},
	} {
		b.Run(c.name, func(b *testing.B) {
			s := rateOf(b, c.text, 0)
			r, now := NewRate(s), epoch
			for range 2 * s.N { // the log has its full size
				r.Take(now)
				r.Use(now)
			}
			b.ReportAllocs()
			for b.Loop() {
				now = now.Add(time.Millisecond)
				if ok, _ := r.Take(now); ok {
					r.Use(now)
				}
			}
		})
	}
	b.Run("refused", func(b *testing.B) {
		r := NewRate(rateOf(b, "1/h", 0))
		r.Take(epoch)
		r.Use(epoch)
		b.ReportAllocs()
		for b.Loop() {
			r.Take(epoch)
		}
	})
	b.Run("no limit", func(b *testing.B) {
		var r Rate
		b.ReportAllocs()
		for b.Loop() {
			r.Take(epoch)
			r.Use(epoch)
		}
	})
}
