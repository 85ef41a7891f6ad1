package gate

// slotsStart is how many attempts at once a lane begins with: enough that one
// slow answer does not stop it, and few enough that a thousand endpoints that
// turn out to hang cost two thousand connections, then a thousand.
const slotsStart = 2

// Use is what the holder of a slot learned about how many the endpoint bears.
type Use uint8

// The uses.
const (
	Unused   Use = iota // nothing: no attempt was made, or its answer was no 2xx
	Answered            // a 2xx: it bears one more
	Silent              // no answer, or no connection: down to one
)

// Slots bounds the attempts in flight at one endpoint. The bound starts at 2,
// grows by one with each 2xx up to the maximum (as a TCP window does in slow
// start: it doubles in each round of answers) and falls to 1 when the endpoint
// is silent. Attempts beyond a bound that fell finish; none begins before they
// have.
//
// It is not safe for concurrent use: the lock of its lane guards it. The zero
// value has no slots until SetMax.
type Slots struct {
	max, size, taken int
	silent           bool // the last attempt that told anything
}

// NewSlots returns slots that grow to limit, at least 1.
func NewSlots(limit int) Slots {
	var s Slots
	s.SetMax(limit)
	return s
}

// SetMax changes the maximum, at least 1. A higher one is reached by growing,
// a lower one holds at once.
func (s *Slots) SetMax(limit int) {
	if s.max == 0 {
		s.size = slotsStart
	}
	s.max = max(limit, 1)
	s.size = min(s.size, s.max)
}

// TryTake takes a slot if one is free. Each taken slot must be released once.
func (s *Slots) TryTake() bool {
	if s.taken >= s.size {
		return false
	}
	s.taken++
	return true
}

// Release gives a slot back.
func (s *Slots) Release(use Use) {
	s.taken = max(s.taken-1, 0)
	switch use {
	case Answered:
		s.size, s.silent = min(s.size+1, s.max), false
	case Silent:
		s.size, s.silent = min(1, s.max), true
	case Unused:
	}
}

// Size is how many may be taken at once now, between 0 and the maximum.
func (s *Slots) Size() int { return s.size }

// Silent tells whether the endpoint was silent when it was heard of last.
func (s *Slots) Silent() bool { return s.silent }

// Taken is how many are taken. It is above Size after the bound fell.
func (s *Slots) Taken() int { return s.taken }
