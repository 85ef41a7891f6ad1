package gate

import "testing"

// takeAll takes what can be taken and says how many that were.
func takeAll(s *Slots) (n int) {
	for s.TryTake() {
		n++
	}
	return n
}

func TestSlotsBeginWithTwoOrTheMaximum(t *testing.T) {
	t.Parallel()
	for limit, want := range map[int]int{-1: 1, 0: 1, 1: 1, 2: 2, 16: 2} {
		s := NewSlots(limit)
		if got := takeAll(&s); got != want {
			t.Errorf("maximum %d begins with %d, want %d", limit, got, want)
		}
	}
	var zero Slots
	if zero.TryTake() {
		t.Error("the zero value gives a slot before a maximum is set")
	}
	zero.SetMax(16)
	if zero.Size() != 2 {
		t.Errorf("after the first SetMax the size is %d, want 2", zero.Size())
	}
}

func TestSlotsDoubleInEachRoundOf2xx(t *testing.T) {
	t.Parallel()
	s := NewSlots(16)
	for _, want := range []int{2, 4, 8, 16, 16} {
		got := takeAll(&s)
		if got != want {
			t.Fatalf("a round of %d, want %d", got, want)
		}
		for range got {
			s.Release(Answered)
		}
	}
}

func TestSlotsAtASilentEndpoint(t *testing.T) {
	t.Parallel()
	s := NewSlots(16)
	for range 14 {
		s.TryTake()
		s.Release(Answered)
	}
	if n := takeAll(&s); n != 16 {
		t.Fatalf("grew to %d, want 16", n)
	}
	if s.Silent() {
		t.Error("silent, though it always answered")
	}
	s.Release(Silent)
	if !s.Silent() {
		t.Error("not silent after an attempt without an answer")
	}
	if s.Size() != 1 || s.Taken() != 15 {
		t.Fatalf("size %d, taken %d, want 1 and 15", s.Size(), s.Taken())
	}
	for range 14 { // the others finish before one begins
		s.Release(Silent)
		if s.TryTake() {
			t.Fatalf("an attempt began with %d in flight", s.Taken())
		}
	}
	s.Release(Unused)
	if n := takeAll(&s); n != 1 {
		t.Errorf("a silent endpoint gets %d at once, want 1", n)
	}
	s.Release(Answered)
	if n := takeAll(&s); n != 2 {
		t.Errorf("after a 2xx it gets %d, want 2", n)
	}
}

func TestUnusedSlotsChangeNothing(t *testing.T) {
	t.Parallel()
	s := NewSlots(16)
	s.TryTake()
	s.Release(Unused)
	if s.Size() != 2 || s.Taken() != 0 {
		t.Errorf("size %d, taken %d, want 2 and 0", s.Size(), s.Taken())
	}
	s.Release(Unused) // once too often
	if n := takeAll(&s); n != 2 {
		t.Errorf("a slot released twice makes %d, want 2", n)
	}
}

func TestSetMaxOnReload(t *testing.T) {
	t.Parallel()
	s := NewSlots(4)
	for range 4 {
		s.TryTake()
		s.Release(Answered)
	}
	s.SetMax(3)
	if n := takeAll(&s); n != 3 {
		t.Errorf("a lower maximum gives %d, want 3 at once", n)
	}
	s.SetMax(100)
	if s.TryTake() {
		t.Error("a higher maximum is there at once, want it reached by growing")
	}
	s.Release(Answered)
	if s.Size() != 4 {
		t.Errorf("size %d, want 4", s.Size())
	}
}
