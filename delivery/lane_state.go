package delivery

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"time"

	"github.com/atoship/caddy-webhooks/delivery/gate"
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
		l.boundHoldLocked(l.e.clock.now())
		if !state.FailingSince.IsZero() {
			l.class = gate.ClassSilent // it may be: after a restart, too, those that hang leave room for the others
		}
	}
	return nil
}

// learn keeps what an attempt told about the endpoint as a whole: it asked to be left alone, it is gone, it works, it
// fails. news tells that the attempt carried an operational event, which raises no others.
func (l *lane) learn(v retry.Verdict, a *Attempt, tried *Endpoint, news bool) {
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
	case l.state.FailingSince.IsZero(), l.state.FailingSince.Sub(a.Started) > clockStep: // the clock was set back
		changed = true
		l.state.FailingSince = stamp(a.Started)
	}
	if a.RetryAfter.After(l.state.HoldUntil) {
		changed = true
		if !l.state.HoldUntil.After(a.Started) { // else it was told: this attempt was under way with the one that was asked first
			l.e.hot.Info("endpoint asked to wait", slog.String("endpoint", l.name), slog.Time("until", a.RetryAfter))
		}
		l.state.HoldUntil = a.RetryAfter
		l.publishLocked()
	}
	since, limit := l.state.FailingSince, l.ep.DisableAfter
	switch {
	case l.state.Disabled != "":
	case v.Disable:
		changed = true
		l.disableLocked(DisabledGone, news)
	case limit > 0 && !since.IsZero() && a.Started.Sub(since) >= limit && l.e.clock.doubtful():
		changed = true
		l.state.FailingSince = stamp(a.Started) // nobody knows for how long it has failed
	case limit > 0 && !since.IsZero() && a.Started.Sub(since) >= limit:
		changed = true
		l.disableLocked(DisabledFailing, news)
	}
	if changed {
		l.state.URL = urlDigest(l.ep.URL.String())
		l.saveLocked()
	}
}

// urlDigest tells URLs apart.
func urlDigest(url string) string {
	sum := sha256.Sum256([]byte(url))
	return hex.EncodeToString(sum[:16])
}

// Reasons of a disabled endpoint.
const (
	DisabledGone    = "gone"    // it answered 410
	DisabledFailing = "failing" // nothing but failures for Endpoint.DisableAfter
)

func (l *lane) disableLocked(reason string, news bool) {
	l.state.Disabled, l.state.DisabledAt = reason, stamp(l.e.clock.now())
	l.e.log.Warn("endpoint disabled", slog.String("endpoint", l.name), slog.String("reason", reason), slog.Time("failing_since", l.state.FailingSince))
	l.publishLocked()
	if !news {
		l.e.Notify(Notice{Type: NoticeEndpointDisabled, Endpoint: l.name, Data: map[string]any{"reason": reason}})
	}
}

// meetLocked lets the plan's `paused` decide when an endpoint is first seen; after that the operator does.
func (l *lane) meetLocked() {
	if l.state.Seen {
		return
	}
	l.state.Seen, l.state.Paused = true, l.state.Paused || l.ep.Paused
	l.saveLocked()
}

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
			l.mu.Unlock()
			l.writing.Lock()
			l.mu.Lock()
			l.dirty = false
			state := l.state
			l.mu.Unlock()
			err := l.lease.SetState(l.e.abort, state)
			l.writing.Unlock()
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
