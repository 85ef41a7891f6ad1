package delivery

// Observer is told what happens: for one delivery Attempted, then Settled. Methods are called on the hot path from many
// goroutines at once: they must not block, and must not keep or change what they are given past the call.
type Observer interface {
	// Accepted: the event and its deliveries are durable. The first attempt may have begun, even ended, before this call.
	Accepted(ev *Event, ds []*Delivery)
	// RuleFailed: a rule could not be evaluated on an event; route is its route, "endpoint:NAME" for a subscription, and empty
	// when the router did not say.
	RuleFailed(ev *Event, route string)
	// Attempted: the try ended; it is not yet durable.
	Attempted(d *Delivery, a *Attempt)
	// Lost: an attempt at this endpoint, in the hands of a process that died, may or may not have been made. It is on record
	// with the outcome "unknown". Told while Open recovers the store, once for each.
	Lost(endpoint string)
	// Settled: the transition is durable.
	Settled(d *Delivery, t *Transition)
	// Noticed: an operational event was raised.
	Noticed(n Notice)
}

// NopObserver does nothing.
type NopObserver struct{}

// Accepted implements Observer.
func (NopObserver) Accepted(*Event, []*Delivery) {}

// RuleFailed implements Observer.
func (NopObserver) RuleFailed(*Event, string) {}

// Attempted implements Observer.
func (NopObserver) Attempted(*Delivery, *Attempt) {}

// Lost implements Observer.
func (NopObserver) Lost(string) {}

// Settled implements Observer.
func (NopObserver) Settled(*Delivery, *Transition) {}

// Noticed implements Observer.
func (NopObserver) Noticed(Notice) {}

// Observers tells each of several, in order.
type Observers []Observer

// Accepted implements Observer.
func (os Observers) Accepted(ev *Event, ds []*Delivery) {
	for _, o := range os {
		o.Accepted(ev, ds)
	}
}

// RuleFailed implements Observer.
func (os Observers) RuleFailed(ev *Event, route string) {
	for _, o := range os {
		o.RuleFailed(ev, route)
	}
}

// Attempted implements Observer.
func (os Observers) Attempted(d *Delivery, a *Attempt) {
	for _, o := range os {
		o.Attempted(d, a)
	}
}

// Lost implements Observer.
func (os Observers) Lost(endpoint string) {
	for _, o := range os {
		o.Lost(endpoint)
	}
}

// Settled implements Observer.
func (os Observers) Settled(d *Delivery, t *Transition) {
	for _, o := range os {
		o.Settled(d, t)
	}
}

// Noticed implements Observer.
func (os Observers) Noticed(n Notice) {
	for _, o := range os {
		o.Noticed(n)
	}
}

var (
	_ Observer = NopObserver{}
	_ Observer = Observers(nil)
)
