package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/atoship/caddy-webhooks/delivery/gate"
)

const (
	// replayPage is how many events are looked at between two notes of how far it got.
	replayPage = 100
	// replayBatch bounds one commit of a replay: it is shared with nobody, and publishers wait for it.
	replayBatch = 32
	// replayPoll is how often a replay looks whether a lane has room again.
	replayPoll = 10 * time.Millisecond
	// replayNote is how often at most it is written how far it got; after a crash that much is looked at again, and repeated
	// by nobody.
	replayNote = time.Second
	// replayRest and maxReplayRest are how long a pass rests that left out what was held: a second, then twice as long each time.
	replayRest    = time.Second
	maxReplayRest = time.Minute
	// maxWaiting bounds the endpoints named as waited for.
	maxWaiting = 10
)

// replayRun is a replay at work. Its goroutine owns it, but for what mu guards.
type replayRun struct {
	e        *Engine
	id       string
	revision uint64
	rate     *gate.Rate // nil: no limit
	work     context.Context
	stop     context.CancelFunc
	done     chan struct{} // closed when it has ended or was stopped
	batch    []Extension
	lanes    map[string]int // of batch, by home
	noted    time.Time

	mu sync.Mutex
	r  Replay // written by the goroutine only, under mu
}

// runReplayLocked starts one, unless the engine is stopping.
func (e *Engine) runReplayLocked(r Replay, revision uint64) {
	run := &replayRun{e: e, id: r.ID, revision: revision, r: r, done: make(chan struct{}), lanes: map[string]int{}}
	run.work, run.stop = context.WithCancel(e.work)
	if s, err := gate.ParseRate(r.Query.Rate); err == nil {
		run.rate = gate.NewRate(s)
	}
	if e.replays.running == nil {
		e.replays.running = map[string]*replayRun{}
	}
	e.replays.running[r.ID] = run
	e.tasks.run(run.run)
}

func (run *replayRun) show() Replay {
	run.mu.Lock()
	defer run.mu.Unlock()
	r := run.r
	r.Waiting = maps.Clone(r.Waiting)
	return r
}

func (run *replayRun) change(f func(r *Replay)) {
	run.mu.Lock()
	defer run.mu.Unlock()
	f(&run.r)
}

// run makes passes over the events until one leaves nothing out.
func (run *replayRun) run() {
	defer close(run.done)
	defer run.stop()
	for rest := replayRest; ; rest = min(2*rest, maxReplayRest) {
		run.pass()
		if run.work.Err() != nil || !run.r.Again {
			break
		}
		run.change(func(r *Replay) { r.Cursor, r.Again, r.AgainFrom, r.Pass = r.AgainFrom, false, "", r.Pass+1 })
		run.note()
		run.sleep(rest)
	}
	run.end()
}

// end records the end. A replay that only the engine's stop has ended goes on with the next process.
func (run *replayRun) end() {
	if run.e.work.Err() == nil {
		run.change(func(r *Replay) {
			r.Status, r.Ended, r.Waiting = ReplayDone, stamp(time.Now()), nil
			if run.work.Err() != nil {
				r.Status = ReplayWasStopped
			} else {
				r.Progress = 1
			}
		})
	}
	run.note()
	run.e.replays.mu.Lock()
	delete(run.e.replays.running, run.id)
	run.e.replays.mu.Unlock()
	run.e.log.Info("replay ended", slog.String("replay", run.id), slog.String("status", run.r.Status),
		slog.Uint64("matched", run.r.Matched), slog.Uint64("replayed", run.r.Replayed), slog.Uint64("skipped", run.r.Skipped))
}

// note writes how far it got. It is tried until the store takes it; a stop of the engine gives it up, which costs a second look.
func (run *replayRun) note() {
	body, err := json.Marshal(&run.r)
	for err == nil {
		ctx := context.WithoutCancel(run.e.work)
		var revision uint64
		revision, err = run.e.store.PutDocument(ctx, Document{Kind: replayKind, Name: run.id, Revision: run.revision, Body: body})
		if err == nil {
			run.revision, run.noted = revision, time.Now()
			return
		}
		if !errors.Is(err, ErrUnavailable) || run.e.work.Err() != nil {
			break
		}
		run.e.sleep(replayRest)
		if d, readErr := run.e.store.Document(ctx, replayKind, run.id); readErr == nil { // it may have been kept all the same
			run.revision = d.Revision
		}
		err = nil
	}
	if !errors.Is(err, ErrUnavailable) {
		run.e.log.Error("writing how far a replay got", slog.String("replay", run.id), slog.Any("error", err))
	}
}

func (run *replayRun) sleep(d time.Duration) {
	select {
	case <-time.After(d):
	case <-run.work.Done():
	}
}

// pass goes through the events once, from where it stands.
func (run *replayRun) pass() {
	q := &run.r.Query
	eq := EventQuery{
		Type: q.Type, Tenant: q.Tenant, Since: q.Since, Until: q.Until, Oldest: true, Limit: replayPage, Body: true,
	}
	if q.State != ReplayMissing {
		eq.Endpoint = q.Endpoint
		eq.State = new(map[ReplayWhat]State{ReplayExhausted: Exhausted, ReplayCancelled: Cancelled, ReplayDelivered: Delivered}[q.State])
	}
	for run.work.Err() == nil {
		before := run.r
		eq.Cursor = run.r.Cursor
		page, err := run.e.store.Events(run.work, eq)
		if err != nil {
			if run.work.Err() == nil && !errors.Is(err, ErrUnavailable) {
				run.e.log.Error("reading events to replay", slog.String("replay", run.id), slog.Any("error", err))
			}
			run.sleep(replayRest)
			continue
		}
		over := page.Next == ""
		for _, rec := range page.Items {
			if over = over || rec.Event.Seq > run.r.Last; rec.Event.Seq > run.r.Last {
				break
			}
			run.event(rec)
		}
		if run.flush(); run.e.work.Err() != nil { // the next process goes through the page again, and counts it then
			run.change(func(r *Replay) { r.Matched, r.Replayed, r.Skipped = before.Matched, before.Replayed, before.Skipped })
			return
		}
		if run.work.Err() != nil {
			return
		}
		run.change(func(r *Replay) {
			r.Cursor = page.Next
			if n := len(page.Items); n > 0 && r.Last > r.First && r.Pass == 0 {
				seq := min(page.Items[n-1].Event.Seq, r.Last)
				r.Progress = float64(max(seq, r.First)-r.First) / float64(r.Last-r.First)
			}
		})
		if over {
			return
		}
		if time.Since(run.noted) > replayNote {
			run.note()
		}
	}
}

// event plans what is to be repeated of one event.
func (run *replayRun) event(rec *EventRecord) {
	plan := run.e.plan.Load()
	if rec.Event.Test || rec.Event.Erased {
		return
	}
	for _, like := range run.wanted(plan, rec) {
		if run.r.Pass == 0 {
			run.change(func(r *Replay) { r.Matched++ })
		}
		switch {
		case run.r.Query.DryRun:
		case run.planned(rec, like.Chain[0]): // before a crash that forgot the count, or by an earlier pass, which counted it
			if run.r.Pass == 0 {
				run.change(func(r *Replay) { r.Replayed++ })
			}
		case plan.Endpoints[like.Chain[0]] == nil:
			if run.r.Pass == 0 {
				run.change(func(r *Replay) { r.Skipped++ })
			}
		case run.room(plan, like.Chain[0]):
			run.pace()
			d := run.e.again(plan, rec.Event, like, run.id, stamp(time.Now()))
			_ = run.e.wakeTargets(run.work, plan, []*Delivery{d}) // else they are in a moment
			run.batch = append(run.batch, Extension{Seq: rec.Event.Seq, Delivery: d})
			run.lanes[like.Chain[0]]++
			if len(run.batch) >= replayBatch {
				run.flush()
			}
		}
		if run.work.Err() != nil {
			return
		}
	}
}

// wanted finds the deliveries that the replay repeats of an event.
func (run *replayRun) wanted(plan *Plan, rec *EventRecord) (ds []*Delivery) {
	q := &run.r.Query
	if q.State == ReplayMissing {
		return run.missing(plan, rec)
	}
	for _, d := range LatestOf(run.others(rec)) {
		if (q.Endpoint == "" || q.Endpoint == d.Chain[0]) && d.State.String() == string(q.State) {
			ds = append(ds, d)
		}
	}
	return ds
}

// others are the deliveries of an event that this replay has not planned.
func (run *replayRun) others(rec *EventRecord) (ds []*Delivery) {
	for _, d := range rec.Deliveries {
		if d.Replay != run.id {
			ds = append(ds, d)
		}
	}
	return ds
}

// planned tells whether the replay has made a delivery of an event already.
func (run *replayRun) planned(rec *EventRecord, home string) bool {
	return slices.ContainsFunc(rec.Deliveries, func(d *Delivery) bool { return d.Replay == run.id && d.Chain[0] == home })
}

// missing asks the rules in force. News about the gateway are for those that subscribed to them when they were news.
func (run *replayRun) missing(plan *Plan, rec *EventRecord) (ds []*Delivery) {
	if IsNotice(rec.Event.Type) {
		return nil
	}
	decision, err := plan.Router.Route(run.work, rec.Event)
	if err != nil {
		if run.work.Err() == nil {
			run.e.log.Warn("routing an event to replay", slog.String("replay", run.id), slog.String("event", rec.Event.ID), slog.Any("error", err))
		}
		return nil
	}
	others := run.others(rec)
	for _, t := range decision.Targets {
		has := slices.ContainsFunc(others, func(d *Delivery) bool { return d.Chain[0] == t.Primary })
		if !has && (run.r.Query.Endpoint == "" || run.r.Query.Endpoint == t.Primary) {
			ds = append(ds, &Delivery{Route: t.Route, Chain: plan.chain(t)})
		}
	}
	return ds
}

// room waits until a lane takes one more replay. A lane that is held is left to the next pass.
func (run *replayRun) room(plan *Plan, home string) bool {
	for run.work.Err() == nil {
		l, err := run.e.awake(run.work, home)
		if err != nil {
			run.sleep(replayRest)
			continue
		}
		room, hold := l.replayRoom()
		why := hold.Reason.String()
		if hold.Reason == gate.ReasonNone && plan.MaxPending > 0 && run.e.store.Pending(home) >= uint64(plan.MaxPending) {
			hold.Reason, why = gate.ReasonRate, "max_pending"
		}
		switch {
		case hold.Reason != gate.ReasonNone:
			run.leaveOut(home, why)
			return false
		case room > run.lanes[home] && run.e.settler.ready():
			run.change(func(r *Replay) { delete(r.Waiting, home) })
			return true
		}
		if run.flush(); room > 0 {
			continue
		}
		run.sleep(replayPoll)
	}
	return false
}

// leaveOut notes that another pass is needed, from this page on.
func (run *replayRun) leaveOut(home, why string) {
	run.change(func(r *Replay) {
		if !r.Again {
			r.Again, r.AgainFrom = true, r.Cursor
		}
		if r.Waiting == nil {
			r.Waiting = map[string]string{}
		}
		if _, named := r.Waiting[home]; named || len(r.Waiting) < maxWaiting {
			r.Waiting[home] = why
		}
	})
}

// pace waits for the rate that was asked for.
func (run *replayRun) pace() {
	for run.rate != nil && run.work.Err() == nil {
		now := time.Now()
		ok, until := run.rate.Take(now)
		if ok {
			run.rate.Use(now)
			return
		}
		run.flush() // what is due to begin now must not wait for what is not
		run.sleep(until.Sub(now))
	}
}

// flush stores what was planned. It is tried until the store takes it: extending twice adds nothing.
func (run *replayRun) flush() {
	for len(run.batch) > 0 && run.work.Err() == nil {
		out, err := run.e.store.Extend(run.work, run.batch)
		if err != nil {
			if run.work.Err() == nil && !errors.Is(err, ErrUnavailable) {
				run.e.log.Error("replaying", slog.String("replay", run.id), slog.Any("error", err))
			}
			run.sleep(replayRest)
			continue
		}
		run.change(func(r *Replay) {
			for _, x := range out {
				switch {
				case x.Err != nil:
					r.Skipped++
				case !x.Known || r.Pass == 0:
					r.Replayed++
				}
			}
		})
		run.batch = nil
		clear(run.lanes)
	}
}
