package caddymodule

import (
	"context"
	"log/slog"
	"sync/atomic"
)

// liveLogs is the log handler of what outlives a config. Each record goes to the handler of the config in force: a reload
// closes the outputs of the config before it.
type liveLogs struct {
	current *atomic.Pointer[slog.Handler] // shared by all that derive from one newLiveLogs; written under handover
	derive  func(slog.Handler) slog.Handler
}

func newLiveLogs(h slog.Handler) *liveLogs {
	l := &liveLogs{current: new(atomic.Pointer[slog.Handler])}
	l.use(h)
	return l
}

// use sends records to h from now on.
func (l *liveLogs) use(h slog.Handler) { l.current.Store(&h) }

// Enabled implements slog.Handler. Attributes do not change it, so none are applied.
func (l *liveLogs) Enabled(ctx context.Context, level slog.Level) bool {
	return (*l.current.Load()).Enabled(ctx, level)
}

// Handle implements slog.Handler. It derives the attributes anew for each record: writing one costs far more.
func (l *liveLogs) Handle(ctx context.Context, r slog.Record) error {
	return l.apply(*l.current.Load()).Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (l *liveLogs) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &liveLogs{l.current, func(h slog.Handler) slog.Handler { return l.apply(h).WithAttrs(attrs) }}
}

// WithGroup implements slog.Handler.
func (l *liveLogs) WithGroup(name string) slog.Handler {
	return &liveLogs{l.current, func(h slog.Handler) slog.Handler { return l.apply(h).WithGroup(name) }}
}

func (l *liveLogs) apply(h slog.Handler) slog.Handler {
	if l.derive == nil {
		return h
	}
	return l.derive(h)
}

var _ slog.Handler = (*liveLogs)(nil)
