package delivery

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// settleBatch bounds one call to Settle.
	settleBatch = 1024
	// settleBacklog is how many transitions may wait for the store before lanes start nothing new: what is not recorded
	// would be repeated after a crash, so its number is bounded.
	settleBacklog = 4096
	// settleRetry is the pause before a batch the store could not take is tried again.
	settleRetry = 250 * time.Millisecond
)

// settler records transitions in the order they come, in batches: one call to the store is under way at a time and the
// next takes everything that came meanwhile.
type settler struct {
	e *Engine

	mu     sync.Mutex
	queue  []Settlement
	spare  []Settlement  // memory of a batch that is done; nil while there is none
	wake   chan struct{} // capacity 1: may coalesce, the queue is the truth
	closed bool

	waiting  atomic.Int64 // queued or under way
	failing  atomic.Bool  // the store does not take them
	finished chan struct{}
}

func newSettler(e *Engine) *settler {
	return &settler{e: e, wake: make(chan struct{}, 1), finished: make(chan struct{})}
}

// ready tells whether something new may be started.
func (s *settler) ready() bool { return s.waiting.Load() < settleBacklog && !s.failing.Load() }

func (s *settler) add(x Settlement) {
	s.waiting.Add(1)
	s.mu.Lock()
	s.queue = append(s.queue, x)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *settler) run() {
	defer close(s.finished)
	for range s.wake {
		for {
			batch, closed := s.take()
			if len(batch) == 0 {
				if closed {
					return
				}
				break
			}
			s.settle(batch)
		}
	}
}

func (s *settler) take() (batch []Settlement, closed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) <= settleBatch {
		batch, s.queue, s.spare = s.queue, s.spare, nil
		return batch, s.closed
	}
	batch, s.queue = s.queue[:settleBatch:settleBatch], s.queue[settleBatch:]
	return batch, s.closed
}

// reuse keeps the memory of a batch that the store and the observers are done with.
func (s *settler) reuse(batch []Settlement) {
	if cap(batch) > settleBatch {
		return
	}
	clear(batch)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spare = batch[:0]
}

// settle records one batch; while the store is unavailable it tries again, since losing it would repeat deliveries. On
// shutdown it gives up: what the store holds as handed over is then recovered as unknown.
func (s *settler) settle(batch []Settlement) {
	var errs []error
	for {
		errs = s.e.store.Settle(context.WithoutCancel(s.e.abort), batch)
		if !errors.Is(errs[0], ErrUnavailable) {
			break
		}
		s.failing.Store(true)
		if s.e.abort.Err() != nil {
			s.e.log.Error("store unavailable at shutdown: outcomes are not recorded and will show as unknown", slog.Int("deliveries", len(batch)))
			break
		}
		select {
		case <-time.After(settleRetry):
		case <-s.e.abort.Done():
		}
	}
	before := s.waiting.Add(int64(-len(batch))) + int64(len(batch))
	recovered := !errors.Is(errs[0], ErrUnavailable) && s.failing.Swap(false)
	for i := range batch {
		switch {
		case errs[i] == nil && !batch[i].Return:
			s.e.obs.Settled(batch[i].Delivery, &batch[i].Transition)
		case errors.Is(errs[i], ErrStale):
			s.e.hot.Warn("settlement was stale", slog.String("delivery", batch[i].Delivery.ID))
		case errs[i] != nil && !errors.Is(errs[i], ErrUnavailable):
			s.e.hot.Error("recording a transition", slog.String("delivery", batch[i].Delivery.ID), slog.Any("error", errs[i]))
		}
	}
	if recovered || before >= settleBacklog {
		s.e.pumpAll()
	}
	if !errors.Is(errs[0], ErrUnavailable) { // or the store may still look at it
		s.reuse(batch)
	}
}

// close records what is left and ends. Nothing is added any more.
func (s *settler) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
	<-s.finished
}
