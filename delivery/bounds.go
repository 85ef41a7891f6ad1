package delivery

import (
	"sync"
	"sync/atomic"
)

// tasks counts goroutines that Shutdown waits for. The zero value is ready.
type tasks struct {
	mu     sync.Mutex
	closed bool
	n      int
	done   chan struct{} // set by close; closed when n reaches 0
}

// begin counts one more, or answers false after close.
func (t *tasks) begin() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	t.n++
	return true
}

func (t *tasks) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n--; t.n == 0 && t.closed {
		close(t.done)
	}
}

// run starts f unless closed.
func (t *tasks) run(f func()) {
	if t.begin() {
		go func() {
			defer t.end()
			f()
		}()
	}
}

// close lets nothing more begin; the channel is closed when the last one ended.
func (t *tasks) close() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	t.done = make(chan struct{})
	if t.n == 0 {
		close(t.done)
	}
	return t.done
}

// flight bounds the attempts in flight over all lanes. When it is full, lanes that ask wait in line, first come first
// served, and a lane that waits is served before the one that just finished: no lane starves.
type flight struct {
	mu      sync.Mutex
	limit   int
	used    int
	waiting []*lane
	inLine  map[*lane]bool
}

func newFlight(limit int) *flight { return &flight{limit: limit, inLine: make(map[*lane]bool)} }

func (f *flight) resize(limit int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.limit = limit
}

// take gives the lane one attempt, or puts it in line; then release will name it.
func (f *flight) take(l *lane) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.used < f.limit && (len(f.waiting) == 0 || f.waiting[0] == l) {
		if len(f.waiting) > 0 {
			f.popLocked()
		}
		f.used++
		return true
	}
	if !f.inLine[l] {
		f.inLine[l] = true
		f.waiting = append(f.waiting, l)
	}
	return false
}

func (f *flight) popLocked() *lane {
	l := f.waiting[0]
	f.waiting[0] = nil
	f.waiting = f.waiting[1:]
	delete(f.inLine, l)
	return l
}

// release ends an attempt and names the lane whose turn it is; nil when none waits. The caller pumps it.
func (f *flight) release() *lane {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.used--
	if len(f.waiting) == 0 || f.used >= f.limit {
		return nil
	}
	return f.waiting[0]
}

// skip takes a lane out of the line that cannot use its turn, and names the next one whose turn it is.
func (f *flight) skip(l *lane) *lane {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.waiting) > 0 && f.waiting[0] == l {
		f.popLocked()
	}
	if len(f.waiting) == 0 || f.used >= f.limit {
		return nil
	}
	return f.waiting[0]
}

// windowBytes bounds the bodies that all lanes' windows hold together: memory stays flat with any backlog.
const windowBytes = 64 << 20

// windowBudget counts bytes of bodies in windows. The zero value is empty.
type windowBudget struct{ used atomic.Int64 }

// take counts n bytes if there is room, or always when forced.
func (b *windowBudget) take(n int, forced bool) bool {
	if b.used.Add(int64(n)) > windowBytes && !forced {
		b.used.Add(int64(-n))
		return false
	}
	return true
}

func (b *windowBudget) force(n int) { b.used.Add(int64(n)) }
func (b *windowBudget) give(n int)  { b.used.Add(int64(-n)) }

// room is how much a claim may bring in, up to most. The store returns at least one delivery whatever the answer.
func (b *windowBudget) room(most int) int {
	return int(max(min(int64(most), windowBytes-b.used.Load()), 0))
}
