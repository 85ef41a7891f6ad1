package delivery

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/atoship/caddy-webhooks/delivery/gate"
)

// EndpointStatus is what an endpoint is doing.
type EndpointStatus struct {
	Name string
	// Endpoint as the plan has it; nil: a reload removed it, and what it has waiting is held.
	Endpoint *Endpoint
	// Managed tells what it was made of at run time; nil: it comes from the configuration.
	Managed *Managed
	// State is what outlives the process: paused, disabled, failing since, told to wait.
	State LaneState
	// Hold says why nothing is tried now, and until when if that is known; its zero value means that nothing holds it.
	Hold gate.Hold
	// Breaker is the breaker's state; Probe is when it lets a probe pass (StateOpen), Probing that one is under way.
	Breaker gate.State
	Probe   time.Time
	Probing bool
	// Pending counts the deliveries at home here that have not ended, wherever they wait.
	Pending uint64
	// Slots is how many attempts may run at once now, InFlight how many do, InMemory how many deliveries wait for one.
	Slots, InFlight, InMemory int
	// NextDue is no later than the earliest due time of what waits in the store; zero: nothing waits there.
	NextDue time.Time
}

// Endpoints tells what every endpoint is doing that the plan has, or that was made at run time, or that was removed from the
// plan and has work left; by name.
func (e *Engine) Endpoints() []EndpointStatus {
	var all []EndpointStatus
	now, plan := e.clock.now(), e.plan.Load()
	awake := map[string]bool{}
	for _, l := range e.allLanes() {
		awake[l.name] = true
		s := e.describe(l.status(now))
		if s.Endpoint != nil || s.Managed != nil || s.InFlight > 0 || s.InMemory > 0 || !s.NextDue.IsZero() {
			all = append(all, s)
		}
	}
	rest := func(name string, ep *Endpoint) {
		if !awake[name] {
			awake[name] = true
			all = append(all, e.describe(resting(name, ep)))
		}
	}
	if plan != nil {
		for name, ep := range plan.Endpoints {
			rest(name, ep)
		}
	}
	for _, name := range e.managedNames() { // those with a problem are not in the plan
		rest(name, nil)
	}
	slices.SortFunc(all, func(a, b EndpointStatus) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// Endpoint tells what one endpoint is doing, of the plan or made at run time. Errors: ErrNotFound.
func (e *Engine) Endpoint(name string) (EndpointStatus, error) {
	if err := e.planned(name); err != nil {
		return EndpointStatus{}, err
	}
	e.mu.RLock()
	l := e.lanes[name]
	e.mu.RUnlock()
	if l == nil {
		return e.describe(resting(name, e.plan.Load().Endpoints[name])), nil
	}
	return e.describe(l.status(e.clock.now())), nil
}

func (e *Engine) managedNames() []string {
	e.managedMu.RLock()
	defer e.managedMu.RUnlock()
	return slices.Collect(maps.Keys(e.managed))
}

// describe adds what a managed endpoint was made of.
func (e *Engine) describe(s EndpointStatus) EndpointStatus {
	e.managedMu.RLock()
	defer e.managedMu.RUnlock()
	if m := e.managed[s.Name]; m != nil {
		described := m.Managed
		s.Managed = &described
	}
	return s
}

func (l *lane) status(now time.Time) EndpointStatus {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := EndpointStatus{
		Name: l.name, Endpoint: l.ep, State: l.state, Hold: l.holdLocked(now),
		Slots: l.slots.Size(), InFlight: l.running, InMemory: l.inMemoryLocked(), NextDue: l.nextDue,
		Pending: l.e.store.Pending(l.name),
	}
	if l.breaker != nil {
		s.Breaker, s.Probe, s.Probing = l.breaker.State()
	}
	if s.Hold.Reason == gate.ReasonNone && l.rateUntil.After(now) {
		s.Hold = gate.Hold{Reason: gate.ReasonRate, Until: l.rateUntil}
	}
	return s
}

// planned tells whether the plan has an endpoint, or it was made at run time. Errors: ErrNotFound.
func (e *Engine) planned(name string) error {
	e.managedMu.RLock()
	managed := e.managed[name] != nil
	e.managedMu.RUnlock()
	if plan := e.plan.Load(); plan == nil || plan.Endpoints[name] == nil && !managed {
		return fmt.Errorf("endpoint %s: %w", name, ErrNotFound)
	}
	return nil
}

// Pause holds an endpoint until Resume: nothing is tried there, nothing moves away, attempts in flight finish. It is
// durable on return. Errors: ErrNotFound, ErrUnavailable, or the context's.
func (e *Engine) Pause(ctx context.Context, name string) error {
	return e.operate(ctx, name, "paused", func(s *LaneState) { s.Paused = true })
}

// Resume ends a pause, puts a disabled endpoint back into service and forgets a Retry-After: what waits goes out in order.
// Durable on return; errors as of Pause.
func (e *Engine) Resume(ctx context.Context, name string) error {
	return e.operate(ctx, name, "resumed", func(s *LaneState) {
		s.Paused, s.Disabled, s.DisabledAt = false, "", time.Time{}
		s.HoldUntil, s.FailingSince = time.Time{}, time.Time{}
	})
}

// operate makes an operator's change durable, then puts it in force. The change is made twice: on what is written and on
// what is in force, which attempts may have changed meanwhile.
func (e *Engine) operate(ctx context.Context, name, what string, change func(*LaneState)) error {
	if err := e.planned(name); err != nil {
		return err
	}
	l, err := e.writable(ctx, name)
	if err != nil {
		return err
	}
	defer l.writing.Unlock()
	l.mu.Lock()
	state := l.state
	l.mu.Unlock()
	change(&state)
	if err := l.lease.SetState(ctx, state); err != nil {
		return fmt.Errorf("endpoint %s: %w", name, err)
	}
	l.mu.Lock()
	change(&l.state)
	l.publishLocked()
	l.pumpLocked()
	l.mu.Unlock()
	e.log.Info("an operator changed an endpoint", slog.String("endpoint", name), slog.String("to", what))
	return nil
}

// cancelBatch bounds one commit of CancelEndpoint.
const cancelBatch = 1000

// CancelEndpoint cancels all pending deliveries whose home is the endpoint, in the plan or removed from it, and answers how
// many; those that moved on to a backup go on there, and an attempt in flight ends first. Errors: ErrUnavailable, or the
// context's; then some may be cancelled, and calling again goes on.
func (e *Engine) CancelEndpoint(ctx context.Context, name string) (cancelled int, err error) {
	for more := true; more && err == nil; {
		var n int
		n, more, err = e.store.CancelLane(ctx, name, cancelBatch)
		cancelled += n
	}
	if cancelled > 0 {
		e.log.Info("deliveries cancelled", slog.String("endpoint", name), slog.Int("deliveries", cancelled))
	}
	if err != nil {
		return cancelled, fmt.Errorf("cancelling the deliveries of %s: %w", name, err)
	}
	return cancelled, nil
}

// BacklogError refuses events because an endpoint has too many pending deliveries already.
type BacklogError struct {
	Endpoint string
	Max      int
}

func (e *BacklogError) Error() string {
	return fmt.Sprintf("endpoint %s has %d pending deliveries or more", e.Endpoint, e.Max)
}
