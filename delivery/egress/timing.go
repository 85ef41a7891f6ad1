package egress

import (
	"context"
	"time"
)

// Timing says where the time of a call went. A phase that it did without, such
// as all but the last on a kept connection, or did not come to is zero; the one
// in which it ended is as long as it lasted until then. Where several addresses
// or proxies were tried, a phase is their sum.
type Timing struct {
	// DNS is the look-up of the name, and the judgement of its addresses.
	DNS time.Duration
	// Connect is TCP's handshake or, by way of a proxy, all until its tunnel
	// stands.
	Connect time.Duration
	// TLS is the handshake with the endpoint; when many are made at once, with
	// the wait for their turn.
	TLS time.Duration
	// FirstByte is from when the request was sent until the answer began.
	FirstByte time.Duration
}

type timingKey struct{}

// timed is ctx for the connections of a call, whose phases it tells t.
func timed(ctx context.Context, t *Timing) context.Context {
	return context.WithValue(ctx, timingKey{}, t)
}

// timing is that of the call a context is of; of none, one that nobody reads.
func timing(ctx context.Context) *Timing {
	if t, ok := ctx.Value(timingKey{}).(*Timing); ok {
		return t
	}
	return new(Timing)
}

// lap is the time since the last one.
func lap(since *time.Time) time.Duration {
	now := time.Now()
	d := now.Sub(*since)
	*since = now
	return d
}
