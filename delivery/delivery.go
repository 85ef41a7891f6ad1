package delivery

import (
	"fmt"
	"math/bits"
	"time"
)

// MaxChain bounds a delivery's targets: a primary and up to seven backups. It keeps a delivery's progress a fixed, small
// row; longer chains have no known use and would only multiply retries.
const MaxChain = 8

// Key names a delivery inside a store: the event's sequence number and the delivery's place in the event's plan.
type Key struct {
	Seq uint64
	Ord uint16
}

// SubscriptionPrefix begins the route name of a delivery that an endpoint's own subscription planned.
const SubscriptionPrefix = "endpoint:"

// Delivery is one event on its way to one home endpoint (event × endpoint).
type Delivery struct {
	Event *Event
	// Ord is the delivery's place in its event's plan, from 0.
	Ord uint16
	// ID is public, dlv_…: a function of Key under the store's own key, so it can be looked up without an index and tells
	// nothing about volumes. Set by the store.
	ID string
	// Route names the route that planned it; "endpoint:NAME" for a subscription of that endpoint.
	Route string
	// Replay is the id of the replay or redelivery that planned it, rpl_…; empty when routing did. Planned is when that was, UTC,
	// millisecond precision.
	Replay  string
	Planned time.Time
	// Chain lists the targets in order: primary, then backups. Never empty, never longer than MaxChain.
	Chain []string
	// OrderKey makes the deliveries of one home endpoint (Chain[0]) that share it go one at a time, in order of acceptance;
	// see Queue. Any bytes, at most MaxOrderKey; empty: in no order. Set by the engine at acceptance.
	OrderKey string
	// Joined is the delivery's place in the line of its OrderKey: its event's Seq or, when Decide or Extend added it, a number
	// of its own out of the same sequence. Set by the store; 0 without an OrderKey.
	Joined uint64

	Progress
}

// Key of the delivery in its store.
func (d *Delivery) Key() Key { return Key{d.Event.Seq, d.Ord} }

// Since is when the delivery came to be: its age for expiry.
func (d *Delivery) Since() time.Time {
	if d.Replay != "" {
		return d.Planned
	}
	return d.Event.Accepted
}

// Lane is the endpoint the delivery currently waits at.
func (d *Delivery) Lane() string { return d.Chain[d.Target] }

// Movable tells whether the chain holds another target the delivery may still go to.
func (d *Delivery) Movable() bool { return d.left(d.Spent) > 1 }

// left counts the targets a delivery may still go to when those in the mask are spent.
func (d *Delivery) left(spent uint8) int { return len(d.Chain) - bits.OnesCount8(spent) }

// Progress is the mutable part of a delivery: everything a retry needs to know of the tries before it. It is stored
// whole with each transition, so reading the last transition of a delivery tells its state.
type Progress struct {
	// Step counts the transitions on record; the next one is written under Step+1.
	Step  uint16
	State State
	// Target is the index in Chain the delivery is at. Spent has a bit for each target whose schedule is spent (1 << index):
	// the delivery never goes back there. One it left because a breaker was open is not spent.
	Target, Spent uint8
	// Attempts counts HTTP tries over all targets, local faults and unknown outcomes included.
	Attempts uint16
	// Tries counts the steps of the schedule spent at each target.
	Tries [MaxChain]uint8
	// Unknowns counts outcomes in a row that a crash swallowed; three count as one failure.
	Unknowns uint8
	// LocalFaults counts faults of our own side in a row; they spend no schedule and back off on their own.
	LocalFaults uint8
	// Due is when the delivery may be tried next, UTC, millisecond precision.
	Due time.Time
	// Reason says why an exhausted delivery ended: "schedule", "expired", "test".
	Reason string
	// Span is that of the last attempt with one, so that the next attempt's can link to it, whenever that is; zero without
	// tracing.
	Span SpanContext
}

// State of a delivery. The drawing is in the package comment.
type State uint8

const (
	// Pending means accepted and not settled; waiting, due or being tried.
	Pending State = iota
	// Delivered means that an endpoint of the chain answered 2xx. Final.
	Delivered
	// Exhausted means a dead letter; Reason says why. Final.
	Exhausted
	// Cancelled by an operator. Final.
	Cancelled
)

var stateNames = [...]string{"pending", "delivered", "exhausted", "cancelled"}

func (s State) String() string { return stateNames[s] }

// Final tells that nothing more will happen to the delivery by itself.
func (s State) Final() bool { return s != Pending }

// ParseState is the inverse of String.
func ParseState(s string) (State, error) {
	for i, n := range stateNames {
		if n == s {
			return State(i), nil
		}
	}
	return 0, fmt.Errorf("unknown delivery state %q: one of pending, delivered, exhausted, cancelled", s)
}

// NoteCancelled is the note of the transition that ends a cancelled delivery.
const NoteCancelled = "cancelled by operator"

// Reasons an exhausted delivery can have.
const (
	ReasonSchedule = "schedule" // the schedule of every target is spent
	ReasonExpired  = "expired"  // still pending after the plan's Expire
)
