package delivery

import (
	"context"
	"log/slog"
	"time"
)

// Stats are the figures of a gateway as a whole.
type Stats struct {
	// Counts of what is kept, by state.
	Counts
	// Store tells what the store costs; nil if it does not say.
	Store *StoreUse
	// Audit is the last one of the store; nil before the first, or if the store makes none.
	Audit *Audit
}

// StoreUse is what a store costs since this process opened it.
type StoreUse struct {
	// Kind of the store: embedded, memory.
	Kind string
	// Size is what it takes on disk now, in bytes.
	Size int64
	// Written is the bytes that went to its files, rewriting included, and Syncs how often one of them was synced.
	Written, Syncs uint64
	// Commits counts synced commits by how long they took: those up to the bound in CommitBounds of the same index and over
	// the one before it, and last those over all bounds. CommitTime is how long they took together.
	Commits    [len(CommitBounds) + 1]uint64
	CommitTime time.Duration
}

// CommitBounds divide StoreUse.Commits: from a fast disk's sync to one that is about to fail.
var CommitBounds = [...]time.Duration{
	500 * time.Microsecond, time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond,
	25 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond,
}

// Measured is a store that tells what it costs. Use may be called at any time and costs little.
type Measured interface{ Use() StoreUse }

// Stats counts what the store keeps.
func (e *Engine) Stats(ctx context.Context) (Stats, error) {
	counts, err := e.store.Counts(ctx)
	if err != nil {
		return Stats{}, err
	}
	s := Stats{Counts: counts}
	if m, ok := e.store.(Measured); ok {
		use := m.Use()
		s.Store = &use
	}
	s.Audit = e.audited.Load()
	return s, nil
}

// Audit is a count of the deliveries kept, of one moment, made on the rows themselves.
type Audit struct {
	At time.Time
	// Pending is how many deliveries have not ended, by the counts that each commit keeps: accepted ones without those that
	// ended. Found is how many of them stand somewhere: wait in a lane, are handed over, or succeed another in its line.
	Pending, Found uint64
}

// Lost counts the deliveries that stand nowhere, so that nothing would ever come of them. A negative one says that some
// stand in two places.
func (a *Audit) Lost() int64 { return int64(a.Pending) - int64(a.Found) }

// Audited is a store that can check itself. Audit looks at a row for each pending delivery, and disturbs nobody.
type Audited interface {
	Audit(ctx context.Context) (Audit, error)
}

// auditShare of the time at most goes into auditing: a backlog of a million takes half a second.
const auditShare = 1.0 / 100

// audit checks the store and answers when to do so again.
func (e *Engine) audit(now time.Time) (next time.Time) {
	next = now.Add(maintainEvery)
	store, ok := e.store.(Audited)
	if !ok {
		return next
	}
	a, err := store.Audit(e.work)
	if err != nil {
		return next // the store itself says when it is unavailable
	}
	before := e.audited.Swap(&a)
	switch lost := a.Lost(); {
	case lost != 0 && (before == nil || before.Lost() != lost):
		e.log.Error("the store's audit found deliveries that are pending and stand nowhere", slog.Int64("lost", lost), slog.Uint64("pending", a.Pending))
	case lost == 0 && before != nil && before.Lost() != 0:
		e.log.Info("the store's audit finds every delivery again")
	}
	return later(next, now.Add(time.Duration(float64(time.Since(now))/auditShare)))
}

// Oldest tells, for each endpoint at which deliveries are due now, since when the first of them is. It reads one row per
// lane.
func (e *Engine) Oldest(ctx context.Context) (map[string]time.Time, error) {
	due, err := e.store.Due(ctx)
	if err != nil {
		return nil, err
	}
	for _, l := range e.allLanes() {
		if at := l.firstInMemory(); !at.IsZero() {
			due[l.name] = earliest(due[l.name], at)
		}
	}
	now := time.Now()
	for name, at := range due {
		if at.After(now) {
			delete(due, name)
		}
	}
	return due, nil
}

// firstInMemory is when the delivery was due that is the next of the window; zero without one.
func (l *lane) firstInMemory() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.window) == 0 {
		return time.Time{}
	}
	return l.window[0].Due
}
