package delivery

import (
	"context"
	"sync/atomic"
)

// idleWorkers is how many goroutines wait for the next attempt instead of ending. A fresh goroutine's stack grows several
// times on its way through signing and net/http, which was 4 % of the gateway's CPU time; 64 grown stacks are about 1 MiB.
const idleWorkers = 64

// workers runs attempts, on an idle goroutine when there is one.
type workers struct {
	work context.Context // the engine's own: idle workers end with it
	next chan assigned   // unbuffered: taken by an idle worker or by none
	idle *atomic.Int32
}

// assigned is a job with the lane it belongs to.
type assigned struct {
	l *lane
	j job
}

func newWorkers(work context.Context) workers {
	return workers{work: work, next: make(chan assigned), idle: new(atomic.Int32)}
}

// run starts a job; it never blocks.
func (w workers) run(l *lane, j job) {
	select {
	case w.next <- assigned{l, j}:
	default:
		go w.serve(assigned{l, j})
	}
}

// serve works on one job after another. It ends when enough others are idle, or when the engine stops taking work.
func (w workers) serve(a assigned) {
	for {
		a.l.work(a.j)
		if w.idle.Add(1) > idleWorkers {
			w.idle.Add(-1)
			return
		}
		select {
		case a = <-w.next:
			w.idle.Add(-1)
		case <-w.work.Done():
			return
		}
	}
}
