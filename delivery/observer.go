package delivery

import "context"

// Observer is told what happens: for one delivery Attempting, Attempted, Settled in that order. Methods are called on the hot
// path from many goroutines at once: they must not block, and must not keep what they are given past the call.
type Observer interface {
	// Accepted: the event and its deliveries are durable. The first attempt may have begun, even ended, before this call.
	Accepted(ev *Event, ds []*Delivery)
	// Attempting: a try begins; the returned context is the one the request carries.
	Attempting(ctx context.Context, d *Delivery, endpoint string) context.Context
	// Attempted: the try ended; it is not yet durable.
	Attempted(ctx context.Context, d *Delivery, a *Attempt)
	// Settled: the transition is durable.
	Settled(d *Delivery, t *Transition)
	// Noticed: an operational event was raised.
	Noticed(n Notice)
}

// NopObserver does nothing.
type NopObserver struct{}

// Accepted implements Observer.
func (NopObserver) Accepted(*Event, []*Delivery) {}

// Attempting implements Observer.
func (NopObserver) Attempting(ctx context.Context, _ *Delivery, _ string) context.Context { return ctx }

// Attempted implements Observer.
func (NopObserver) Attempted(context.Context, *Delivery, *Attempt) {}

// Settled implements Observer.
func (NopObserver) Settled(*Delivery, *Transition) {}

// Noticed implements Observer.
func (NopObserver) Noticed(Notice) {}

var _ Observer = NopObserver{}
