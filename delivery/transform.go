package delivery

import (
	"crypto/sha256"
	"errors"
	"log/slog"
	"maps"
	"math"
	"time"

	"github.com/atoship/caddy-webhooks/delivery/payload"
	"github.com/atoship/caddy-webhooks/delivery/retry"
	"github.com/atoship/caddy-webhooks/rules"
)

// Transformer makes the body that is sent instead of the event's own. It is called concurrently, for each attempt, and must
// not keep or change ev.
type Transformer interface {
	// Transform returns a JSON text in the form JSON.stringify gives it. The error names types and places and no value of
	// the event: it is kept with the attempt.
	Transform(ev *Event) ([]byte, error)
	// Digest identifies what it does: what one could not transform is tried again when another is in its place.
	Digest() string
}

// transformedType is the Content-Type of what a transform made.
const transformedType = "application/json"

// RuleTransformer computes bodies by an expression.
type RuleTransformer struct{ Expr *rules.Transform }

// Digest implements Transformer.
func (t RuleTransformer) Digest() string { return t.Expr.Digest() }

// Transform implements Transformer.
func (t RuleTransformer) Transform(ev *Event) ([]byte, error) {
	text, err := t.Expr.Of(ruleEvent(ev))
	if err != nil {
		return nil, err
	}
	stable, err := payload.AppendStable(make([]byte, 0, len(text)), text)
	if located, ok := errors.AsType[*payload.Error](err); ok {
		return nil, errors.New("the result" + located.Pointer + ": " + located.Reason)
	}
	return stable, err
}

// transformer is what makes the body for a delivery at an endpoint; nil: the event's own is sent. A route's replaces the
// endpoint's.
func (p *Plan) transformer(d *Delivery, ep *Endpoint) Transformer {
	if t := p.Transforms[d.Route]; t != nil {
		return t
	}
	return ep.Transform
}

// transformsLike tells whether deliveries at these endpoints (nil: at any) are transformed as under another plan.
func (p *Plan) transformsLike(before *Plan, endpoints []string) bool {
	if before == nil || !maps.EqualFunc(p.Transforms, before.Transforms, sameTransform) {
		return false
	}
	same := func(name string) bool {
		return sameTransform(p.Endpoints[name].transform(), before.Endpoints[name].transform())
	}
	for _, name := range endpoints {
		if !same(name) {
			return false
		}
	}
	if endpoints != nil {
		return true
	}
	for name := range p.Endpoints {
		if !same(name) {
			return false
		}
	}
	return true
}

func sameTransform(a, b Transformer) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Digest() == b.Digest()
}

// transform of an endpoint that may be nil.
func (ep *Endpoint) transform() Transformer {
	if ep == nil {
		return nil
	}
	return ep.Transform
}

// transformFault is a transform that failed for an event: it will fail again until another is in its place.
type transformFault struct{ err error }

func (f *transformFault) Error() string   { return "transform: " + f.err.Error() }
func (f *transformFault) Unwrap() error   { return f.err }
func (f *transformFault) Outcome() string { return retry.TransformError.String() }
func (f *transformFault) Detail() string  { return f.err.Error() }

// transform makes the body of an attempt, if there is a transform, and notes its hash.
func (e *Engine) transform(out *outgoing, plan *Plan, d *Delivery, ep *Endpoint, a *Attempt) error {
	t := plan.transformer(d, ep)
	if t == nil {
		return nil
	}
	body, err := t.Transform(d.Event)
	if err != nil {
		e.hot.Warn("transform failed: the delivery waits for another configuration", slog.String("delivery", d.ID),
			slog.String("event", d.Event.ID), slog.String("type", d.Event.Type), slog.String("endpoint", ep.Name),
			slog.String("route", d.Route), slog.Any("error", err))
		return &transformFault{err}
	}
	sum := sha256.Sum256(body)
	out.Body, a.BodyHash = body, sum[:]
	return nil
}

// parkedDue is when a delivery is due that waits for another configuration: never by itself. It is past every time that a
// schedule can give, so that parked deliveries stand behind all others in the line of their lane and can be claimed by their
// place. They are pending like any other: they expire, and can be cancelled.
var parkedDue = time.Date(9999, time.December, 31, 0, 0, 0, 0, time.UTC)

// Parked tells that the delivery waits for another configuration.
func (p *Progress) Parked() bool { return p.State == Pending && p.Due.Equal(parkedDue) }

// parkedClaim takes what is parked, and nothing that is not.
func parkedClaim(most, bytes int) Claim {
	before := Place{Due: parkedDue.Add(-time.Millisecond), Key: Key{Seq: math.MaxUint64, Ord: math.MaxUint16}}
	return Claim{Now: parkedDue, Max: most, MaxBytes: bytes, After: before}
}

// unpark has lanes try what is parked there once more.
func (e *Engine) unpark(lanes []*lane) {
	for _, l := range lanes {
		l.mu.Lock()
		if !l.nextDue.IsZero() || l.refilling { // else nothing waits in the store
			l.unpark = true
			l.pumpLocked()
		}
		l.mu.Unlock()
	}
}
