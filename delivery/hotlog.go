package delivery

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// hotLines of one message are written in each hotWindow; the next line after that tells how many were left out. A rule that
// fails on every event, or a backlog that becomes a million dead letters, would otherwise fill the disk with what the
// metrics and the journal tell as well. A change of an endpoint's or the store's state is never left out.
const (
	hotLines  = 100
	hotWindow = time.Minute
)

// hotLog is a log handler for what may happen with every event. It counts by message, of which there are few: they are
// constants.
type hotLog struct {
	slog.Handler

	counts *hotCounts // shared by all that derive from one
}

type hotCounts struct {
	mu sync.Mutex
	by map[string]*hotCount
}

// hotCount is of one message.
type hotCount struct {
	since         time.Time
	lines, missed int
}

func newHotLog(h slog.Handler) *slog.Logger {
	return slog.New(hotLog{h, &hotCounts{by: map[string]*hotCount{}}})
}

// Handle implements slog.Handler.
func (h hotLog) Handle(ctx context.Context, r slog.Record) error {
	missed, ok := h.counts.take(r.Message, r.Time)
	if !ok {
		return nil
	}
	if missed > 0 {
		r.AddAttrs(slog.Int("lines_left_out", missed))
	}
	return h.Handler.Handle(ctx, r)
}

// take counts a line. ok tells whether to write it, missed how many were not since the last one that was.
func (c *hotCounts) take(message string, now time.Time) (missed int, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.by[message]
	if n == nil {
		n = &hotCount{since: now}
		c.by[message] = n
	}
	if now.Sub(n.since) >= hotWindow {
		n.since, n.lines = now, 0
	}
	if n.lines == hotLines {
		n.missed++
		return 0, false
	}
	n.lines++
	missed, n.missed = n.missed, 0
	return missed, true
}

// WithAttrs implements slog.Handler.
func (h hotLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	return hotLog{h.Handler.WithAttrs(attrs), h.counts}
}

// WithGroup implements slog.Handler.
func (h hotLog) WithGroup(name string) slog.Handler {
	return hotLog{h.Handler.WithGroup(name), h.counts}
}

var _ slog.Handler = hotLog{}
