package gate

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// bench drives a breaker and keeps what it told.
type bench struct {
	t *testing.T
	*Breaker
	told []string
}

func newBench(t *testing.T, s BreakerSettings) *bench {
	t.Helper()
	b := &bench{t: t}
	b.Breaker = NewBreaker(s, func(s State, until time.Time) {
		word := s.String()
		if !until.IsZero() {
			word += " for " + time.Until(until).Round(time.Second).String()
		}
		b.told = append(b.told, word)
	})
	return b
}

// enter makes the lane's call and fails the test if the gate is shut.
func (b *bench) enter() func(Result) {
	b.t.Helper()
	leave, hold := b.Enter(time.Now())
	if hold.Reason != ReasonNone || leave == nil {
		b.t.Fatalf("held: %+v", hold)
	}
	return leave
}

func (b *bench) try(results ...Result) {
	b.t.Helper()
	for _, r := range results {
		b.enter()(r)
	}
}

func (b *bench) held() Hold {
	b.t.Helper()
	leave, hold := b.Enter(time.Now())
	if leave != nil || hold.Reason != ReasonBreakerOpen {
		b.t.Fatalf("not held: %+v", hold)
	}
	return hold
}

func (b *bench) is(want State, probing bool) {
	b.t.Helper()
	if got, until, p := b.State(); got != want || p != probing || (got == StateOpen) == until.IsZero() {
		b.t.Fatalf("state %v until %v, probing %v; want %v, %v", got, until, p, want, probing)
	}
}

func (b *bench) heard(want ...string) {
	b.t.Helper()
	if !slices.Equal(b.told, want) {
		b.t.Errorf("told %q, want %q", b.told, want)
	}
}

func fails(n int) []Result { return slices.Repeat([]Result{Failure}, n) }

func TestBreakerLife(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, DefaultBreaker())
		b.try(fails(4)...)
		b.is(StateClosed, false)
		b.try(Failure)
		b.is(StateOpen, false)

		hold := b.held()
		if d := time.Until(hold.Until); d < 30*time.Second || d > 30*time.Second+time.Millisecond {
			t.Fatalf("held for %v, want 30s", d)
		}
		time.Sleep(30*time.Second - time.Millisecond)
		b.held()

		// At the very time the hold named, one probe passes and no other.
		time.Sleep(time.Until(hold.Until))
		b.is(StateHalfOpen, false)
		probe := b.enter()
		b.is(StateHalfOpen, true)
		if h := b.held(); !h.Until.IsZero() {
			t.Errorf("while the probe runs there is a time to wait for: %v", h.Until)
		}
		probe(Failure)
		b.is(StateOpen, false)

		time.Sleep(time.Until(b.held().Until))
		b.try(Success)
		b.is(StateClosed, false)
		b.try(fails(4)...) // counts began anew
		b.is(StateClosed, false)
		b.heard("open for 30s", "half_open", "open for 30s", "half_open", "closed")
	})
}

func TestWhatOpensABreaker(t *testing.T) {
	t.Parallel()
	mixed := func(failures, successes int) []Result { // never five failures in a row, and a failure last
		var rs []Result
		for failures+successes > 0 {
			for range min(3, successes) {
				rs, successes = append(rs, Success), successes-1
			}
			for range min(3, failures) {
				rs, failures = append(rs, Failure), failures-1
			}
		}
		return rs
	}
	apart := func(gap time.Duration, rs []Result) func(*bench) {
		return func(b *bench) {
			for _, r := range rs {
				b.try(r)
				time.Sleep(gap)
			}
		}
	}
	ratioOnly := BreakerSettings{Ratio: 0.5, Window: time.Minute, Min: 20, Open: time.Hour}
	rowOnly := BreakerSettings{Failures: 5, Open: time.Hour}
	long := DefaultBreaker()
	long.Open = time.Hour
	cases := []struct {
		name     string
		settings BreakerSettings
		act      func(*bench)
		want     State
	}{
		{"five failures in a row", long, apart(0, fails(5)), StateOpen},
		{"five failures in a row, each ten minutes after the other", long, apart(10*time.Minute, fails(5)), StateOpen},
		{"four failures, a success, four failures", long, apart(0, append(append(fails(4), Success), fails(4)...)), StateClosed},
		{"excluded results between failures change nothing", long, apart(0, []Result{Failure, Excluded, Failure, Excluded, Failure, Failure, Excluded, Failure}), StateOpen},
		{"excluded results alone", long, apart(0, make([]Result, 100)), StateClosed},
		{"ten of twenty within the window", long, apart(time.Second, mixed(10, 10)), StateOpen},
		{"ten of nineteen are too few to judge", ratioOnly, apart(time.Second, mixed(10, 9)), StateClosed},
		{"nine of twenty are under half", ratioOnly, apart(time.Second, append([]Result{Success, Success}, mixed(9, 9)...)), StateClosed},
		{"ten of twenty over five minutes are too few within one", ratioOnly, apart(15*time.Second, mixed(10, 10)), StateClosed},
		{"without a ratio only a row counts", rowOnly, apart(0, mixed(500, 500)), StateClosed},
		{"without a ratio a row still counts", rowOnly, apart(time.Hour, fails(5)), StateOpen},
		{"without failures a row of four hundred is judged by ratio", ratioOnly, apart(0, fails(20)), StateOpen},
		{"attempts in flight do not thin the ratio", ratioOnly, func(b *bench) {
			for range 30 {
				b.enter()
			}
			b.try(mixed(10, 10)...)
		}, StateOpen},
		{"an attempt slower than the window counts for the row", BreakerSettings{Failures: 2, Ratio: 1, Window: time.Second, Min: 1000, Open: time.Hour}, func(b *bench) {
			for range 2 {
				leave := b.enter()
				time.Sleep(30 * time.Second)
				leave(Failure)
			}
		}, StateOpen},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, c.settings)
				defer func() {
					if got, _, _ := b.State(); got != c.want {
						t.Errorf("it is %v, want %v", got, c.want)
					}
				}()
				c.act(b)
			})
		})
	}
}

func TestForceOpen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, DefaultBreaker())
		leave := b.enter()
		b.ForceOpen()
		b.is(StateOpen, false)
		leave(Success) // of before: says nothing about now
		b.is(StateOpen, false)
		until := b.held().Until
		time.Sleep(10 * time.Second)
		b.ForceOpen() // already open: not prolonged
		if got := b.held().Until; !got.Equal(until) {
			t.Errorf("a second order moved the time from %v to %v", until, got)
		}

		time.Sleep(time.Until(until))
		probe := b.enter()
		b.ForceOpen() // the probe decides
		b.is(StateHalfOpen, true)
		probe(Failure)
		b.ForceOpen()
		b.is(StateOpen, false)
		b.heard("open for 30s", "half_open", "open for 30s")
	})
}

func TestProbeWithoutResult(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, DefaultBreaker())
		b.try(fails(5)...)
		time.Sleep(time.Until(b.held().Until))
		for range 3 {
			probe := b.enter()
			b.held()
			probe(Excluded)
			b.is(StateHalfOpen, false) // another may probe at once, and whoever waits was told
		}
		b.try(Success)
		b.is(StateClosed, false)
		b.heard("open for 30s", "half_open", "half_open", "half_open", "half_open", "closed")
	})
}

func TestLateResultsOfAnEarlierStateAreIgnored(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, DefaultBreaker())
		late := make([]func(Result), 10)
		for i := range late {
			late[i] = b.enter()
		}
		b.try(fails(5)...)
		time.Sleep(time.Until(b.held().Until))
		probe := b.enter()
		for i, leave := range late {
			leave(Result(i % 3))
		}
		b.is(StateHalfOpen, true)
		probe(Success)
		b.is(StateClosed, false)
	})
}

func TestLeavingTwiceCountsOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t, DefaultBreaker())
	for range 3 {
		leave := b.enter()
		leave(Failure)
		leave(Failure)
	}
	b.is(StateClosed, false)
}

func TestBreakerThatIsOff(t *testing.T) {
	t.Parallel()
	b := newBench(t, BreakerSettings{Off: true})
	b.try(fails(1000)...)
	b.ForceOpen()
	b.is(StateClosed, false)
	b.heard()
}

// The callback may use the breaker: no lock is held.
func TestCallbackMayUseTheBreaker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b *Breaker
		var told []State
		b = NewBreaker(DefaultBreaker(), func(s State, _ time.Time) {
			told = append(told, s)
			if got, _, _ := b.State(); got != s {
				t.Errorf("told %v, it is %v", s, got)
			}
			if s == StateHalfOpen {
				b.ForceOpen()
			}
		})
		b.ForceOpen()
		time.Sleep(time.Minute)
		leave, _ := b.Enter(time.Now())
		leave(Success)
		if want := []State{StateOpen, StateHalfOpen, StateClosed}; !slices.Equal(told, want) {
			t.Errorf("told %v, want %v", told, want)
		}
	})
}

// A callback that takes its time: what happens meanwhile is told after it, in
// order, and holds nobody up.
func TestChangesAreToldOneAfterAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var told []State // by one goroutine at a time
		b := NewBreaker(DefaultBreaker(), func(s State, _ time.Time) {
			if s == StateOpen {
				time.Sleep(time.Minute)
			}
			told = append(told, s)
		})
		var wg sync.WaitGroup
		wg.Go(b.ForceOpen)
		time.Sleep(40 * time.Second)
		leave, hold := b.Enter(time.Now())
		if hold.Reason != ReasonNone {
			t.Fatalf("held: %+v", hold)
		}
		leave(Success)
		wg.Wait()
		if want := []State{StateOpen, StateHalfOpen, StateClosed}; !slices.Equal(told, want) {
			t.Errorf("told %v, want %v", told, want)
		}
	})
}

// Many goroutines, one endpoint that goes down: the notices come in order, at
// most one probe runs at a time, and the breaker does not wedge.
func TestBreakerUnderConcurrency(t *testing.T) {
	t.Parallel()
	var (
		mu   sync.Mutex
		told []State
		down atomic.Bool
	)
	s := BreakerSettings{Failures: 5, Ratio: 0.5, Window: time.Second, Min: 20, Open: time.Millisecond}
	b := NewBreaker(s, func(s State, _ time.Time) {
		mu.Lock()
		told = append(told, s)
		mu.Unlock()
	})
	stop := time.Now().Add(300 * time.Millisecond)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for time.Now().Before(stop) {
				leave, hold := b.Enter(time.Now())
				switch {
				case hold.Reason != ReasonNone:
					down.Store(false)
				case down.Load():
					leave(Failure)
				default:
					leave(Success)
					down.Store(true)
				}
			}
		})
	}
	wg.Wait()
	deadline := time.Now().Add(10 * time.Second)
	for state, _, _ := b.State(); state != StateClosed; state, _, _ = b.State() {
		if time.Now().After(deadline) {
			t.Fatalf("the breaker is wedged: %v", state)
		}
		if leave, hold := b.Enter(time.Now()); hold.Reason == ReasonNone {
			leave(Success)
		}
	}
	legal := map[string]bool{"closed>open": true, "open>half_open": true, "half_open>open": true, "half_open>closed": true}
	last := StateClosed
	for _, s := range told {
		if step := fmt.Sprintf("%v>%v", last, s); !legal[step] {
			t.Fatalf("told %s, which does not happen", step)
		}
		last = s
	}
	if len(told) < 3 {
		t.Errorf("only %d changes: the test tested nothing", len(told))
	}
}

func TestValidateBreakerSettings(t *testing.T) {
	t.Parallel()
	with := func(f func(*BreakerSettings)) BreakerSettings {
		s := DefaultBreaker()
		f(&s)
		return s
	}
	cases := []struct {
		name string
		s    BreakerSettings
		want string // "": valid
	}{
		{"the default", DefaultBreaker(), ""},
		{"off needs nothing else", BreakerSettings{Off: true}, ""},
		{"the zero value never opens", BreakerSettings{}, "breaker off"},
		{"a row alone", BreakerSettings{Failures: 1, Open: time.Second}, ""},
		{"a ratio over one", with(func(s *BreakerSettings) { s.Ratio = 1.1 }), "ratio"},
		{"a ratio under zero", with(func(s *BreakerSettings) { s.Ratio = -0.1 }), "ratio"},
		{"no number", with(func(s *BreakerSettings) { s.Ratio = math.NaN() }), "ratio"},
		{"a ratio of nothing", with(func(s *BreakerSettings) { s.Min = 0 }), "min"},
		{"a window of nothing", with(func(s *BreakerSettings) { s.Window = 0 }), "ratio"},
		{"open for ever", with(func(s *BreakerSettings) { s.Open = 25 * time.Hour }), "open"},
		{"open for no time", with(func(s *BreakerSettings) { s.Open = 0 }), "open"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			err := c.s.Validate()
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

func TestStateWords(t *testing.T) {
	t.Parallel()
	for s, want := range map[State]string{StateClosed: "closed", StateOpen: "open", StateHalfOpen: "half_open", 9: "unknown"} {
		if s.String() != want {
			t.Errorf("state %d is %q, want %q", s, s, want)
		}
	}
}

func BenchmarkEnterAndLeave(b *testing.B) {
	br := NewBreaker(DefaultBreaker(), nil)
	b.ReportAllocs()
	for b.Loop() {
		leave, _ := br.Enter(time.Now())
		leave(Success)
	}
}
