package memory

import (
	"slices"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
)

func (r *row) line() lineKey { return lineKey{r.Chain[0], r.OrderKey} }

// join puts a new row at the end of its line, and tells whether it is the head; a row without an ordering key always is.
func (s *Store) join(r *row) (head bool) {
	if r.OrderKey == "" {
		return true
	}
	line := append(s.lines[r.line()], r)
	s.lines[r.line()] = line
	return len(line) == 1
}

// end records that a row ended without a try. It waits, or is a successor, or has just come back.
func (s *Store) end(r *row, now time.Time, state delivery.State, reason, note string) {
	if !s.successor(r) {
		s.dequeue(r)
	}
	p := r.Progress
	p.Step++
	p.State, p.Reason = state, reason
	r.transitions = append(r.transitions, delivery.Transition{At: now, Kind: delivery.Ended, Note: note, Progress: p})
	r.Progress = p
	s.ended(r)
}

// ended takes a row that is final now out of its line, and promotes the next when it was the head.
func (s *Store) ended(r *row) {
	s.count(r, -1)
	r.cancelled = false
	if r.OrderKey == "" {
		return
	}
	k := r.line()
	i := slices.Index(s.lines[k], r)
	line := s.lines[k][1:]
	if i > 0 {
		line = slices.Delete(s.lines[k], i, i+1)
	}
	switch {
	case len(line) == 0:
		delete(s.lines, k)
		return
	case i == 0:
		s.queue(line[0])
	}
	s.lines[k] = line
}

// successor tells whether a pending row stands behind another in its line.
func (s *Store) successor(r *row) bool {
	return r.OrderKey != "" && s.lines[r.line()][0] != r
}

func (s *Store) count(r *row, by int) {
	s.pmu.Lock()
	defer s.pmu.Unlock()
	s.pending[r.Chain[0]] += uint64(by) //nolint:gosec // minus one wraps around, and back
}

// Pending implements delivery.Queue.
func (s *Store) Pending(lane string) uint64 {
	s.pmu.Lock()
	defer s.pmu.Unlock()
	return s.pending[lane]
}
