package delivery

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/atoship/caddy-webhooks/delivery/retry"
)

// load takes the lease and reads the stored state, once.
func (l *lane) load(ctx context.Context) error {
	l.mu.Lock()
	loaded := l.loaded
	l.mu.Unlock()
	if loaded {
		return nil
	}
	lease, err := l.e.store.Lease(ctx, l.name)
	if err != nil {
		return err
	}
	state, err := lease.State(ctx)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.loaded {
		l.lease, l.state, l.loaded = lease, state, true
	}
	return nil
}

// learn keeps what an attempt told about the endpoint as a whole: it asked to be left alone, it is gone, it works, it
// fails.
func (l *lane) learn(v retry.Verdict, a *Attempt, tried *Endpoint) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.triesLocked(tried) {
		return
	}
	changed := false
	switch {
	case v.Success:
		changed = !l.state.FailingSince.IsZero()
		l.state.FailingSince = time.Time{}
	case l.state.FailingSince.IsZero():
		changed = true
		l.state.FailingSince = stamp(a.Started)
	}
	if a.RetryAfter.After(l.state.HoldUntil) {
		changed = true
		l.state.HoldUntil = a.RetryAfter
		l.e.log.Info("endpoint asked to wait", slog.String("endpoint", l.name), slog.Time("until", a.RetryAfter))
	}
	if v.Disable && l.state.Disabled == "" {
		changed = true
		l.state.Disabled, l.state.DisabledAt = DisabledGone, stamp(time.Now())
		l.e.log.Warn("endpoint disabled: it answered 410 Gone", slog.String("endpoint", l.name))
		l.publishLocked()
	}
	if changed {
		l.state.URL = l.ep.URL.String()
		l.saveLocked()
	}
}

// DisabledGone is the reason of an endpoint that answered 410.
const DisabledGone = "gone"

// triesLocked tells whether the lane still tries the URL an attempt went to: an answer of the old URL that comes after a
// reload says nothing about the new one.
func (l *lane) triesLocked(tried *Endpoint) bool {
	return l.ep != nil && l.ep.URL.String() == tried.URL.String()
}

func (l *lane) forceOpen(tried *Endpoint) {
	l.mu.Lock()
	b, same := l.breaker, l.triesLocked(tried)
	l.mu.Unlock()
	if b != nil && same {
		b.ForceOpen()
	}
}

// saveLocked writes the state, by one goroutine at a time that goes on until nothing changed meanwhile. Losing the last
// change in a crash costs one try too early.
func (l *lane) saveLocked() {
	l.dirty = true
	if l.saving || l.lease == nil || !l.e.tasks.begin() {
		return
	}
	l.saving = true
	go func() {
		defer l.e.tasks.end()
		l.mu.Lock()
		defer l.mu.Unlock()
		for l.dirty {
			l.dirty = false
			state := l.state
			l.mu.Unlock()
			err := l.lease.SetState(l.e.abort, state)
			l.mu.Lock()
			if err != nil {
				if !errors.Is(err, ErrUnavailable) && !errors.Is(err, context.Canceled) {
					l.e.log.Error("writing an endpoint's state", slog.String("endpoint", l.name), slog.Any("error", err))
				}
				l.dirty = true // with the next change, or never: see above
				break
			}
		}
		l.saving = false
	}()
}
