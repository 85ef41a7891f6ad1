package delivery

import (
	"context"
	"time"
)

// Search is the part of a Journal that lists. Every listing comes in pages and looks at a bounded number of rows per call,
// whatever is asked: a page may be short, even empty, with Next set. A cursor belongs to the terms it was given out for. What
// is accepted, tried or deleted between two pages is seen or not, and nothing else is shown twice or left out.
type Search interface {
	// Events lists events with their deliveries in their present state, without transitions.
	Events(ctx context.Context, q EventQuery) (EventPage, error)
	// Deliveries lists deliveries, newest event first, without transitions and without the events' bodies.
	Deliveries(ctx context.Context, q DeliveryQuery) (DeliveryPage, error)
	// Attempts lists attempts, the one that ended last first, without the events' bodies.
	Attempts(ctx context.Context, q AttemptQuery) (AttemptPage, error)
}

// Bounds of a page.
const (
	DefaultPage = 50
	MaxPage     = 500
)

// EventQuery narrows a listing of events; zero values do not.
type EventQuery struct {
	Type        string
	Environment string
	Tenant      *string
	Routing     *Routing
	// Endpoint and State ask for events with a delivery that is both: at home or present at the endpoint, in the state.
	Endpoint string
	State    *State
	Since    time.Time // accepted at or after
	Until    time.Time // accepted before
	// Oldest lists the oldest first; otherwise the newest comes first.
	Oldest bool
	// Body brings the events' bodies along.
	Body   bool
	Limit  int    // 1–MaxPage; default DefaultPage
	Cursor string // from EventPage.Next
}

// EventPage is one page of a listing of events.
type EventPage struct {
	Items []*EventRecord
	Next  string // empty on the last page
}

// DeliveryQuery narrows a listing of deliveries; zero values do not.
type DeliveryQuery struct {
	State    *State
	Endpoint string // primary, or the target it is at
	Type     string // event type
	Tenant   *string
	EventID  string
	// Latest leaves out what was sent again since, as LatestOf an event's deliveries does, and test events. With the state
	// Exhausted it finds the dead letters that nothing was done about.
	Latest bool
	Since  time.Time // accepted at or after
	Until  time.Time // accepted before
	Limit  int       // 1–MaxPage; default DefaultPage
	Cursor string    // from DeliveryPage.Next
}

// DeliveryPage is one page of a listing of deliveries.
type DeliveryPage struct {
	Items []*Delivery
	Next  string // empty on the last page
}

// AttemptQuery narrows a listing of attempts; zero values do not.
type AttemptQuery struct {
	Endpoint string // that was tried
	Outcome  string // one of retry.Outcome
	Tenant   *string
	// StatusFrom and StatusTo bound the HTTP status, both included; both 0: any, or none. StatusTo is the same as StatusFrom when
	// 0.
	StatusFrom, StatusTo int
	Since                time.Time // ended at or after
	Until                time.Time // ended before
	Limit                int       // 1–MaxPage; default DefaultPage
	Cursor               string    // from AttemptPage.Next
}

// Wants tells whether an attempt fits the query's terms for it: all but Tenant, Since and Until.
func (q *AttemptQuery) Wants(a *Attempt) bool {
	return (q.Endpoint == "" || q.Endpoint == a.Endpoint) &&
		(q.Outcome == "" || q.Outcome == a.Outcome) && q.WantsStatus(a.Status)
}

// WantsStatus tells whether a status fits; 0 stands for no answer.
func (q *AttemptQuery) WantsStatus(status int) bool {
	switch {
	case q.StatusFrom == 0 && q.StatusTo == 0:
		return true
	case q.StatusTo == 0:
		return status == q.StatusFrom
	default:
		return q.StatusFrom <= status && status <= q.StatusTo
	}
}

// AttemptRecord is an attempt with what it belongs to.
type AttemptRecord struct {
	// DeliveryID of the delivery tried; Event is its event, without body.
	DeliveryID string
	Event      *Event
	// At is when the attempt ended or was given up for lost, State what became of the delivery by it.
	At      time.Time
	State   State
	Attempt *Attempt
}

// AttemptPage is one page of a listing of attempts.
type AttemptPage struct {
	Items []*AttemptRecord
	Next  string // empty on the last page
}
