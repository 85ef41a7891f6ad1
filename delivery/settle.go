package delivery

import (
	"fmt"
	"math"
	"time"

	"github.com/atoship/caddy-webhooks/delivery/gate"
	"github.com/atoship/caddy-webhooks/delivery/retry"
)

// unknownsPerFailure outcomes in a row that crashes swallowed count as one failed try: an event that brings the process
// down must not be tried forever for free.
const unknownsPerFailure = 3

// keptTries bounds the tries in a row that may fail on a kept connection for free: a server that closes every second
// request is broken, not idle.
const keptTries = 3

// targets tells of a delivery's targets beside those in a mask of spent ones.
type targets struct {
	next func(spent uint8) uint8 // the best to go to; see Engine.nextTarget
	open func(spent uint8) bool  // whether any could be tried now
}

// attempted makes the transition that follows an attempt.
func attempted(d *Delivery, ep *Endpoint, a *Attempt, v retry.Verdict, random float64, others targets) Transition {
	now := a.Started.Add(a.Duration).UTC().Truncate(time.Millisecond)
	p := d.Progress
	p.Step++
	p.Attempts = a.N
	p.Unknowns = 0
	p.follow(a)
	t := Transition{At: now, Kind: Attempted, Attempt: a}
	switch {
	case v.Success:
		p.State = Delivered
		p.LocalFaults = 0
	case v.Outcome == retry.Cancelled: // by our own stop
		p.Due = now
	case v.AtOnce:
		p.LocalFaults = saturated(p.LocalFaults)
		p.Due = now
	case v.Park:
		p.Due = parkedDue
	case !v.Spend:
		p.LocalFaults = saturated(p.LocalFaults)
		p.Due = now.Add(retry.LocalBackoff(int(p.LocalFaults)))
	default:
		p.LocalFaults = 0
		p, t.Note = spend(p, d, ep, now, random, others)
		if p.State == Pending && p.Target == d.Target && a.RetryAfter.After(p.Due) {
			p.Due = a.RetryAfter
		}
	}
	t.Progress = p
	return t
}

// saturated counts one more without wrapping: the backoff of a fault that lasts for days must not start afresh.
func saturated(n uint8) uint8 { return n + min(1, math.MaxUint8-n) }

// spend takes one step of the schedule at the present target: again later, on to another target, or exhausted.
func spend(p Progress, d *Delivery, ep *Endpoint, now time.Time, random float64, others targets) (Progress, string) {
	p.Tries[p.Target]++
	tries, spent, from := int(p.Tries[p.Target]), p.Spent|1<<p.Target, d.Chain[p.Target]
	delay, again := ep.Retry.Next(tries, random)
	why := "schedule exhausted at " + from
	if again && ep.BackupAfter > 0 && tries >= ep.BackupAfter && others.open(spent) {
		again, why = false, fmt.Sprintf("%d tries at %s are enough: backup_after", tries, from)
	}
	if again {
		p.Due = now.Add(delay)
		return p, ""
	}
	p.Spent = spent
	if d.left(spent) == 0 {
		p.State, p.Reason = Exhausted, ReasonSchedule
		return p, ""
	}
	p.Target = others.next(spent)
	p.Due = now
	return p, why
}

// expired ends a delivery that is still pending after the plan's Expire.
func expired(d *Delivery, now time.Time) Transition {
	p := d.Progress
	p.Step++
	p.State, p.Reason = Exhausted, ReasonExpired
	return Transition{At: now, Kind: Ended, Note: "pending longer than expire", Progress: p}
}

// lostTooOften spends a step for a delivery whose last outcomes were all swallowed by crashes.
func lostTooOften(d *Delivery, ep *Endpoint, now time.Time, random float64, others targets) Transition {
	p := d.Progress
	p.Step++
	p.Unknowns = 0
	p, note := spend(p, d, ep, now, random, others)
	if note == "" {
		note = "three unknown outcomes in a row count as one failed try"
	}
	return Transition{At: now, Kind: Lost, Note: note, Progress: p}
}

// gateResult says what an outcome means for the breaker.
func gateResult(v retry.Verdict) gate.Result {
	switch {
	case v.BreakerExcluded:
		return gate.Excluded
	case v.BreakerFailure:
		return gate.Failure
	default:
		return gate.Success
	}
}
