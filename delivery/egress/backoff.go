package egress

import (
	"sync"
	"time"
)

// A fault is remembered for a second first, so that a restart costs little,
// and up to half a minute later, which an operator notices anyway.
const (
	backoffLeast = time.Second
	backoffMost  = 30 * time.Second
)

// backoff remembers that something failed, for longer each time. When the
// time is over one caller tries it; the others wait for what it finds. The
// zero value remembers nothing.
type backoff struct {
	mu      sync.Mutex
	delay   time.Duration // 0: nothing has failed
	until   time.Time
	probing bool
}

// ready reports whether to try now.
func (b *backoff) ready(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.delay == 0:
		return true
	case now.Before(b.until):
		return false
	}
	b.probing, b.until = true, now.Add(b.delay) // after which a probe that never ended is given up
	return true
}

// failed takes a failure in and reports whether it is the first. Those that
// were under way when another failed change nothing.
func (b *backoff) failed(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	first := b.delay == 0
	if first || b.probing {
		b.delay = min(max(2*b.delay, backoffLeast), backoffMost)
		b.until, b.probing = now.Add(b.delay), false
	}
	return first
}

// succeeded forgets, and reports whether there was something to forget.
func (b *backoff) succeeded() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	had := b.delay != 0
	b.delay, b.probing = 0, false
	return had
}
