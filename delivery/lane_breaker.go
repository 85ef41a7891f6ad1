package delivery

import (
	"log/slog"
	"time"

	"github.com/atoship/caddy-webhooks/delivery/gate"
)

// breakerChanged is called by the breaker, perhaps while this lane is locked: it only tells.
func (l *lane) breakerChanged(s gate.State, until time.Time) {
	switch {
	case s == gate.StateOpen && !l.opened.Swap(true):
		l.e.log.Warn("breaker opened", slog.String("endpoint", l.name), slog.Time("probe_at", until))
	case s == gate.StateClosed && l.opened.Swap(false):
		l.e.log.Info("breaker closed", slog.String("endpoint", l.name))
	default: // a probe begins, or failed: every half minute for days
		l.e.log.Debug("breaker probes", slog.String("endpoint", l.name), slog.String("state", s.String()), slog.Time("until", until))
	}
	l.newsOfBreaker(s, until)
}

// newsOfBreaker raises an operational event when a breaker opens for the first time since it was closed, and when it closes
// after that.
func (l *lane) newsOfBreaker(s gate.State, until time.Time) {
	switch {
	case s == gate.StateOpen && l.quiet.Load() == 0 && !l.told.Swap(true):
		l.e.Notify(Notice{Type: NoticeBreakerOpened, Endpoint: l.name, Data: map[string]any{"probe_at": stamp(until).Format(time.RFC3339)}})
	case s == gate.StateClosed && l.told.Swap(false):
		l.e.Notify(Notice{Type: NoticeBreakerClosed, Endpoint: l.name})
	}
}

// quietly runs f, whose effect on the breaker raises no operational event if news is set.
func (l *lane) quietly(news bool, f func()) {
	if news {
		l.quiet.Add(1)
		defer l.quiet.Add(-1)
	}
	f()
}
