package embedded

import (
	"errors"
	"fmt"
	"time"
)

// A failed store is tried again at growing intervals: soon, because most failures pass, and not often, because opening a
// store on a full disk reads and writes. A store that failed again within a minute goes on where the intervals were.
const (
	firstRetry   = 250 * time.Millisecond
	longestRetry = 10 * time.Second
	steadyAfter  = time.Minute
)

// outages is the committer's account of failures.
type outages struct {
	since   time.Time // of the present outage; zero while the store works
	ended   time.Time // of the last one
	backoff time.Duration
}

// giveUp ends the use of the present conn: nothing it still does reaches the disk, all calls are answered with
// ErrUnavailable, and another conn is opened in the background. Runs in the committer's goroutine.
func (s *Store) giveUp(cause error) {
	c := s.conn
	if c == nil {
		return
	}
	c.fail(cause)
	s.conn = nil
	s.mu.Lock()
	s.cur = nil
	s.mu.Unlock()

	now := time.Now()
	if now.Sub(s.ended) > steadyAfter {
		s.backoff = firstRetry
	}
	if s.since.IsZero() {
		s.since = now
		s.o.Logger.Error("the store failed: events are refused and nothing is delivered until it works again; trying to reopen it",
			"dir", s.o.Dir, "error", cause)
	}
	wait := s.backoff
	s.reopening.Go(func() { s.reopen(c, wait) })
}

// reopen retires a failed conn and opens another, until that works or the store closes.
func (s *Store) reopen(failed *conn, wait time.Duration) {
	failed.retire() // waits for the operation under way, which on a hanging disk can take for ever
	for told := false; ; {
		select {
		case <-time.After(wait):
		case <-s.closing:
			return
		}
		c, err := connect(&s.o, s.cache, &s.use, &s.damages)
		if err == nil {
			if err = s.mend(c); err != nil {
				_ = c.close()
			}
		}
		if err == nil {
			select {
			case s.reopened <- c:
			case <-s.exited:
				_ = c.close()
			}
			return
		}
		if _, refused := errors.AsType[*refusal](err); refused && !told {
			s.o.Logger.Error("the store cannot be opened again", "dir", s.o.Dir, "error", err)
			told = true
		}
		s.o.Logger.Debug("the store still fails", "dir", s.o.Dir, "error", err)
		wait = min(2*wait, longestRetry)
	}
}

// takeOver puts a reopened conn to use. Runs in the committer's goroutine.
func (s *Store) takeOver(c *conn) {
	s.backoff = min(2*s.backoff, longestRetry) // in case it fails again at once
	if err := s.reconcile(c); err != nil {
		s.giveUp(fmt.Errorf("recover after reopening: %w", err))
		return
	}
	s.lanes.forget()
	s.mu.Lock()
	s.cur = c
	s.mu.Unlock()
	if err := s.remind(c); err != nil {
		s.giveUp(fmt.Errorf("recover after reopening: %w", err))
		return
	}
	s.o.Logger.Info("the store works again", "dir", s.o.Dir, "down_for", time.Since(s.since).Round(time.Millisecond))
	s.since, s.ended = time.Time{}, time.Now()
}
