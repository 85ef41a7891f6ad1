package delivery

import (
	"context"
	"errors"
	"fmt"
)

// TestRoute is the route that test events show: no rule sent them.
const TestRoute = "(test)"

// ReasonTest ends the delivery of a test event that failed: it is tried once.
const ReasonTest = "test"

// maxTests bounds the test events and checks under way at once: each is a person who waits, and together they are no way
// around the limits that deliveries have.
const maxTests = 16

// ErrBusy means that too many test events and checks are under way, or this endpoint was checked a moment ago. Try again in seconds.
var ErrBusy = errors.New("too many tests at once")

// Test sends one event to one endpoint now and returns its delivery with the attempt made. It takes the same way as any
// other (signature, headers, address guard, source address), and is on record, marked as a test; the request carries the
// header …-Test: true. It is tried once. Whatever holds the endpoint is passed by, and the outcome counts for no breaker and
// no schedule: a test is how an operator finds out whether an endpoint is well again.
//
// ev must be complete but for Seq, Routing and Test. The answer is as of the attempt; it is durable a moment later.
// Errors: ErrNotFound, ErrBusy, ErrStopping, ErrUnavailable, *ConflictError, or the context's. Once the attempt has begun it
// is finished whatever becomes of ctx.
func (e *Engine) Test(ctx context.Context, name string, ev *Event) (*DeliveryRecord, error) {
	plan, ep, done, err := e.beginTest(name)
	if err != nil {
		return nil, err
	}
	defer done()
	return e.test(ctx, plan, ep, ev)
}

func (e *Engine) test(ctx context.Context, plan *Plan, ep *Endpoint, ev *Event) (*DeliveryRecord, error) {
	ev.Test, ev.Routing = true, Routed
	d := &Delivery{Event: ev, Route: TestRoute, Chain: []string{ep.Name}}
	d.Due = stamp(e.clock.now())
	receipts, err := e.publish(ctx, Accept{Event: ev, Deliveries: []*Delivery{d}, Dedupe: plan.Dedupe})
	switch {
	case err != nil:
		return nil, fmt.Errorf("storing a test event: %w", err)
	case receipts[0].Duplicate:
		return nil, &ConflictError{ID: ev.ID}
	}
	e.obs.Accepted(ev, receipts[0].Deliveries)
	t := e.deliverTest(plan, d, ep)
	shown := *d
	shown.Progress = t.Progress
	return &DeliveryRecord{Delivery: &shown, Transitions: []Transition{t}}, nil
}

// deliverTest makes the only try of a test event.
func (e *Engine) deliverTest(plan *Plan, d *Delivery, ep *Endpoint) Transition {
	a, v := e.tryTraced(plan, d, ep, e.clock.now())
	e.obs.Attempted(d, a)
	p := d.Progress
	p.Step++
	p.Attempts = a.N
	p.follow(a)
	p.State, p.Reason = Exhausted, ReasonTest
	if v.Success {
		p.State, p.Reason = Delivered, ""
	}
	t := Transition{At: stamp(a.Started.Add(a.Duration)), Kind: Attempted, Attempt: a, Progress: p}
	e.settler.add(Settlement{Delivery: d, Step: d.Step, Transition: t})
	return t
}

// beginTest counts one more test under way, of an endpoint of the plan; the function it returns ends it.
func (e *Engine) beginTest(name string) (plan *Plan, ep *Endpoint, done func(), err error) {
	if plan = e.plan.Load(); plan == nil {
		return nil, nil, nil, ErrStopping
	}
	if ep = plan.Endpoints[name]; ep == nil {
		return nil, nil, nil, fmt.Errorf("endpoint %s: %w", name, ErrNotFound)
	}
	if !e.tasks.begin() {
		return nil, nil, nil, ErrStopping
	}
	if e.tests.Add(1) > maxTests {
		e.tests.Add(-1)
		e.tasks.end()
		return nil, nil, nil, ErrBusy
	}
	return plan, ep, func() {
		e.tests.Add(-1)
		e.tasks.end()
	}, nil
}
