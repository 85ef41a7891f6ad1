package delivery

import (
	"time"

	"github.com/atoship/caddy-webhooks/delivery/gate"
)

// startLocked begins attempts while gates allow.
func (l *lane) startLocked(now time.Time) {
	for {
		w, ok := l.takeLocked(now)
		if !ok {
			return
		}
		if !l.e.tasks.begin() {
			l.untakeLocked(w)
			return
		}
		l.e.workers.run(l, w)
	}
}

// job is a delivery that passed every gate; leave must be called once.
type job struct {
	d     *Delivery
	ep    *Endpoint
	leave func(gate.Result)
	share share
}

// takeLocked passes the gates for the head of the window. The breaker comes last, because entering a half-open one takes
// its only probe. What was taken is given back when a later gate refuses, so that a refusal burns no token.
func (l *lane) takeLocked(now time.Time) (job, bool) {
	from := l.turnLocked()
	if from == nil || l.ep == nil || l.e.work.Err() != nil || !l.e.settler.ready() || !l.slots.TryTake() {
		return job{}, false
	}
	ok, until := l.rate.Take(now)
	if !ok {
		l.rateUntil = until
		l.slots.Release(gate.Unused)
		return job{}, false
	}
	share, ok := l.e.takeShare(l, l.classLocked(), now)
	if !ok {
		l.rate.GiveBack()
		l.slots.Release(gate.Unused)
		return job{}, false
	}
	leave, hold := l.breaker.Enter(time.Now()) // which is what it goes by itself
	if hold.Reason != gate.ReasonNone {
		share.giveBack(now)
		l.rate.GiveBack()
		l.slots.Release(gate.Unused)
		return job{}, false
	}
	l.rate.Use(now)
	share.use(now)
	d := (*from)[0]
	(*from)[0] = nil
	*from = (*from)[1:]
	l.running++
	l.worked = true
	l.replays.started(d)
	return job{d: d, ep: l.ep, leave: leave, share: share}, true
}

// classLocked is how the next attempt counts. The first try of an endpoint that nobody knows tells what it is; until then,
// more of them are not to be had at the price of other endpoints' first tries.
func (l *lane) classLocked() gate.Class {
	if l.class == gate.ClassFresh && l.running > 0 {
		return gate.ClassSilent
	}
	return l.class
}

// quick is the longest that an attempt at a lively endpoint takes. One that takes longer holds a share of max_in_flight as one
// that hangs does, whatever it answers in the end: a thousand that answer after 25 s must leave room, too.
const quick = 2 * time.Second

// classifyLocked learns from an attempt. An answer that is no success makes nothing lively, but no endpoint that soon gives
// one hangs.
func (l *lane) classifyLocked(result gate.Result, use gate.Use, took time.Duration) {
	switch {
	case result == gate.Excluded:
	case use == gate.Silent, took > quick:
		l.class = gate.ClassSilent
	case use == gate.Answered:
		l.class = gate.ClassLively
	case l.class == gate.ClassSilent:
		l.class = gate.ClassFresh
	}
}

func (l *lane) untakeLocked(j job) {
	l.running--
	l.replays.ended(j.d)
	if j.d.Replay != "" {
		l.replays.window = append([]*Delivery{j.d}, l.replays.window...)
	} else {
		l.window = append([]*Delivery{j.d}, l.window...)
	}
	j.leave(gate.Excluded)
	l.slots.Release(gate.Unused)
	j.share.release() // nobody's turn comes any more: the engine is stopping
}

// work runs attempts one after another as long as the lane's gates allow.
func (l *lane) work(j job) {
	defer l.e.tasks.end()
	for {
		began := time.Now()
		result, use := l.e.deliver(l, j)
		l.quietly(IsNotice(j.d.Event.Type), func() { j.leave(result) })
		took := time.Since(began)
		l.probePromised.Store(0)
		l.e.window.give(heldBytes(j.d))
		if use == gate.Silent {
			j.share.releaseSilent(took)
		} else {
			j.share.release()
		}

		l.mu.Lock()
		l.running--
		l.replays.ended(j.d)
		l.slots.Release(use)
		l.classifyLocked(result, use, took)
		var ok bool
		now := l.e.clock.now()
		if l.holdLocked(now).Reason == gate.ReasonNone {
			j, ok = l.takeLocked(now)
		}
		if ok {
			l.startLocked(now) // a success may have added a slot
			l.refillLocked(now)
		} else {
			l.pumpLocked()
		}
		l.mu.Unlock()
		l.e.serveLine()
		if !ok {
			return
		}
	}
}
