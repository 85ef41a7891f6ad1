package retry

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestDefaultScheduleIsThePublishedOne(t *testing.T) {
	t.Parallel()
	s := Default()
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	want := []time.Duration{time.Minute, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 24 * time.Hour}
	for i, w := range want {
		if got, ok := s.Next(i+1, 0); !ok || got != w {
			t.Errorf("after try %d: %v, %v, want %v", i+1, got, ok, w)
		}
	}
	if d, ok := s.Next(6, 0); ok {
		t.Errorf("after try 6 there is another in %v", d)
	}
}

func TestJitterOnlyEverAdds(t *testing.T) {
	t.Parallel()
	for _, percent := range []int{0, 1, 10, 100} {
		s := Schedule{Delays: []time.Duration{time.Nanosecond, time.Minute, MaxDelay}, JitterPercent: percent}
		for try, base := range s.Delays {
			most := base + base*time.Duration(percent)/100
			for _, r := range []float64{0, 0.25, 0.5, math.Nextafter(1, 0)} {
				got, ok := s.Next(try+1, r)
				if !ok || got < base || got > most {
					t.Errorf("%v with %d%% and r=%v: %v, want within [%v, %v]", base, percent, r, got, base, most)
				}
			}
		}
	}
	half, _ := Default().Next(1, 0.5)
	if half != 63*time.Second {
		t.Errorf("half of 10%% on a minute gives %v, want 1m3s", half)
	}
}

func TestNextAtTheEdges(t *testing.T) {
	t.Parallel()
	if _, ok := (Schedule{}).Next(1, 0); ok {
		t.Error("a schedule without delays retries")
	}
	if d, ok := Default().Next(0, 0); !ok || d != time.Minute {
		t.Errorf("a count of 0 gives %v, %v, want the first delay", d, ok)
	}
	if _, ok := Default().Next(math.MaxInt, 0); ok {
		t.Error("a huge count retries")
	}
}

func TestValidateNamesThePlace(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name string
		s    Schedule
		want string // "": valid
	}{
		{"no retry at all is valid", Schedule{}, ""},
		{"a zero delay", Schedule{Delays: []time.Duration{time.Minute, 0}}, "delay 2"},
		{"a negative delay", Schedule{Delays: []time.Duration{-1}}, "delay 1"},
		{"the longest delay is valid", Schedule{Delays: []time.Duration{MaxDelay}}, ""},
		{"a longer one", Schedule{Delays: []time.Duration{MaxDelay + 1}}, "delay 1"},
		{"too many steps", Schedule{Delays: make([]time.Duration, MaxSteps+1)}, "101 delays"},
		{"negative jitter would come early", Schedule{JitterPercent: -1}, "jitter"},
		{"jitter past all", Schedule{JitterPercent: 101}, "jitter"},
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

func TestLocalBackoffDoublesUpToFiveMinutes(t *testing.T) {
	t.Parallel()
	want := map[int]time.Duration{
		-1: time.Second, 0: time.Second, 1: time.Second, 2: 2 * time.Second, 3: 4 * time.Second,
		9: 256 * time.Second, 10: 5 * time.Minute, 64: 5 * time.Minute, math.MaxInt: 5 * time.Minute,
	}
	for n, w := range want {
		if got := LocalBackoff(n); got != w {
			t.Errorf("fault %d: %v, want %v", n, got, w)
		}
	}
}
