package delivery

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/atoship/caddy-webhooks/delivery/gate"
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

// turns wakes whoever waits for a share of what all lanes share: it serves the line at the earliest of the times it was
// told. Its methods may be called under a lane's lock, since the serving is done from elsewhere.
type turns struct {
	serve func()
	now   func() time.Time

	mu    sync.Mutex
	next  time.Time // zero: no time is known
	timer *time.Timer
}

// at asks for the line to be served then; the zero time asks for nothing.
func (t *turns) at(then time.Time) {
	if then.IsZero() {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.next.IsZero() && !then.Before(t.next) {
		return
	}
	t.next = then
	if t.timer == nil {
		t.timer = time.AfterFunc(then.Sub(t.now()), t.fire)
	} else {
		t.timer.Reset(then.Sub(t.now()))
	}
}

func (t *turns) fire() {
	t.mu.Lock()
	t.next = time.Time{}
	t.mu.Unlock()
	t.serve()
}

// unsureShare and silentShare are how much of max_in_flight goes to endpoints of which nothing good is known, and to those of
// them that do not answer: a thousand that hang must leave room for those that work, and for the first tries of those that
// nobody knows yet, or each new endpoint would wait for as many timeouts as go through the line before it.
//
// A quarter is 256 of the default's 1,024: of a thousand endpoints that hang for 30 s, each is tried every two minutes, and
// one that answers again leaves the class at once. It costs the others: what an attempt takes to begin (a connection, a
// handshake) made an event beside it slow every sixth time, and what it holds while it hangs makes collections of garbage longer. With
// three quarters, ten healthy endpoints' p99 beside a thousand was 1.3 to 1.6 times that of alone.
const (
	unsureShare = 7.0 / 8
	silentShare = 1.0 / 4
)

func limitsOf(maxInFlight int) gate.Limits {
	n := float64(maxInFlight)
	return gate.Limits{All: maxInFlight, Unsure: int(unsureShare * n), Silent: int(silentShare * n)}
}

// share is one attempt's part of what all lanes share: of max_in_flight, of the part of it for the endpoint's class, and of
// the global rate.
type share struct {
	e     *Engine
	class gate.Class
}

// takeShare takes a share for a lane, or puts the lane in line for what is short.
func (e *Engine) takeShare(l *lane, class gate.Class, now time.Time) (share, bool) {
	if hold := e.fair.Take(l, class, now); hold.Reason != gate.ReasonNone {
		e.turns.at(hold.Until)
		return share{}, false
	}
	return share{e, class}, true
}

// giveBack returns a share that is not used. The line is served from elsewhere, because the lane is locked.
func (s share) giveBack(now time.Time) {
	s.e.fair.GiveBack(s.class)
	s.e.turns.at(now)
}

// use tells that the attempt begins.
func (s share) use(now time.Time) { s.e.fair.Use(now) }

// release ends the attempt; then serveLine.
func (s share) release() { s.e.fair.Release(s.class) }

// pauseShare of the time that an attempt without an answer took is the longest pause after it.
const pauseShare = 1.0 / 3

// releaseSilent ends an attempt that had no answer and took so long; then serveLine. Hundreds of those begin at one moment,
// as after a start, and so they time out at one moment: were as many others to begin at once, their TLS handshakes would take
// the processors from endpoints that answer (768 take half a second of two). A random pause spreads them, more with each
// round. Only tries at endpoints that do not answer wait for it.
func (s share) releaseSilent(took time.Duration) {
	pause := time.Duration(pauseShare * float64(took))
	if pause <= 0 {
		s.release()
		return
	}
	s.e.fair.Rest(s.class)
	time.AfterFunc(rand.N(pause), func() { //nolint:gosec // spreads load, protects nothing
		s.e.fair.Rested()
		s.e.serveLine()
	})
}

// serveLine lets each lane look whose turn it is at what all share. No lane may be locked.
func (e *Engine) serveLine() {
	for e.work.Err() == nil {
		turn, wake, ok := e.fair.Next(e.clock.now())
		if !ok {
			e.turns.at(wake)
			return
		}
		turn.Lane.pump()
		e.fair.Done(turn)
	}
}

// windowBytes bounds what all lanes' windows hold together: memory stays flat with any backlog.
const windowBytes = 64 << 20

// besideBody is what a delivery in a window takes beside its event's body, in bytes: the event, its route, its place.
const besideBody = 1 << 10

// heldBytes is what a delivery in a window takes.
func heldBytes(d *Delivery) int { return len(d.Event.Body) + besideBody }

// windowBudget counts what windows hold, in bytes. The zero value is empty.
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
