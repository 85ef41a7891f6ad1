package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/atoship/caddy-webhooks/delivery/gate"
)

// ReplayWhat is the state of the deliveries that a replay repeats, or ReplayMissing.
type ReplayWhat string

// What a replay repeats. The state is that of an event's last delivery to the endpoint: one that was redelivered since, or
// is pending, is no dead letter any more.
const (
	ReplayExhausted ReplayWhat = "exhausted"
	ReplayCancelled ReplayWhat = "cancelled"
	ReplayDelivered ReplayWhat = "delivered"
	// ReplayMissing makes deliveries of events that the rules in force send to an endpoint that never got them: a backfill for
	// an endpoint or a route that was added later.
	ReplayMissing ReplayWhat = "missing"
)

// ReplayQuery says which deliveries are to be repeated. Zero values do not narrow.
type ReplayQuery struct {
	Endpoint string     `json:"endpoint,omitempty"` // home
	Type     string     `json:"type,omitempty"`     // event type
	Tenant   *string    `json:"tenant,omitempty"`
	State    ReplayWhat `json:"state"`             // default: exhausted
	Since    time.Time  `json:"since,omitzero"`    // accepted at or after
	Until    time.Time  `json:"until,omitzero"`    // accepted before; default: until now
	Rate     string     `json:"rate,omitempty"`    // deliveries begun per unit of time, as in 50/s; default: no limit but the share
	DryRun   bool       `json:"dry_run,omitempty"` // count only
}

// Replay is a bulk replay: what was asked for and how far it got.
type Replay struct {
	ID    string      `json:"id"`
	Query ReplayQuery `json:"query"`
	// Status is running, done or cancelled.
	Status  string    `json:"status"`
	Created time.Time `json:"created"`
	Ended   time.Time `json:"ended,omitzero"`
	// Matched deliveries were found, of which Replayed were planned anew and Skipped could not be: their endpoint is gone from
	// the configuration, or their event from the store.
	Matched  uint64 `json:"matched"`
	Replayed uint64 `json:"replayed"`
	Skipped  uint64 `json:"skipped"`
	// Progress is how much of the events was looked at, from 0 to 1.
	Progress float64 `json:"progress"`
	// Waiting names endpoints that the replay waits for, with what holds them.
	Waiting map[string]string `json:"waiting,omitempty"`

	// First and Last bound the events by sequence number: what is accepted after the beginning is none of the replay's.
	First uint64 `json:"first"`
	Last  uint64 `json:"last"`
	// Cursor is where it goes on. Again is set when a pass left out what was held, and AgainFrom is where the next begins. Pass
	// counts passes, from 0.
	Cursor    string `json:"cursor,omitempty"`
	Again     bool   `json:"again,omitempty"`
	AgainFrom string `json:"again_from,omitempty"`
	Pass      int    `json:"pass,omitempty"`
}

// Statuses of a replay.
const (
	ReplayRunning    = "running"
	ReplayDone       = "done"
	ReplayWasStopped = "cancelled"
)

const (
	replayKind = "replay" // of the documents that keep replays
	// maxReplays run at once: each holds a page of events in memory and takes its commits.
	maxReplays = 4
	// keptReplays are kept on record; the oldest go first.
	keptReplays = 500
)

// Check completes a query with its defaults, and says what is wrong with it.
func (q *ReplayQuery) Check() error {
	switch q.State {
	case "":
		q.State = ReplayExhausted
	case ReplayExhausted, ReplayCancelled, ReplayDelivered, ReplayMissing:
	default:
		return fmt.Errorf("state %q: one of exhausted, cancelled, delivered, missing", q.State)
	}
	if q.Rate != "" {
		if _, err := gate.ParseRate(q.Rate); err != nil {
			return err
		}
	}
	if !q.Until.IsZero() && !q.Since.Before(q.Until) {
		return errors.New("until is not after since")
	}
	return nil
}

// replays are those under way.
type replays struct {
	mu      sync.Mutex
	running map[string]*replayRun
}

// StartReplay begins a bulk replay and answers at once. It goes on in the background, over restarts, until it is done or
// cancelled: oldest events first, within the share that replays have of each lane, and at most at the rate asked for. It
// repeats no delivery twice, and never touches those it repeats. An endpoint that is held is waited for; the others go on.
// Errors: ErrTooManyReplays, ErrNotFound for the endpoint, ErrUnavailable, or what Check says.
func (e *Engine) StartReplay(ctx context.Context, q ReplayQuery) (Replay, error) {
	if err := q.Check(); err != nil {
		return Replay{}, err
	}
	plan := e.plan.Load()
	if plan == nil || e.work.Err() != nil {
		return Replay{}, ErrStopping
	}
	if q.Endpoint != "" && plan.Endpoints[q.Endpoint] == nil {
		return Replay{}, fmt.Errorf("endpoint %s: %w", q.Endpoint, ErrNotFound)
	}
	now := stamp(time.Now())
	r := Replay{ID: newReplayID(now), Query: q, Status: ReplayRunning, Created: now}
	if err := e.boundReplay(ctx, &r); err != nil {
		return Replay{}, err
	}
	e.replays.mu.Lock()
	defer e.replays.mu.Unlock()
	if len(e.replays.running) >= maxReplays {
		return Replay{}, ErrTooManyReplays
	}
	if err := e.forgetReplays(ctx); err != nil {
		return Replay{}, err
	}
	body, err := json.Marshal(&r)
	if err != nil {
		return Replay{}, fmt.Errorf("encoding a replay: %w", err)
	}
	revision, err := e.store.PutDocument(ctx, Document{Kind: replayKind, Name: r.ID, Body: body})
	if err != nil {
		return Replay{}, fmt.Errorf("storing a replay: %w", err)
	}
	e.log.Info("an operator started a replay", slog.String("replay", r.ID), slog.Any("query", q))
	e.runReplayLocked(r, revision)
	return r, nil
}

// boundReplay finds the first and the last event of a replay.
func (e *Engine) boundReplay(ctx context.Context, r *Replay) error {
	newest, err := e.store.Events(ctx, EventQuery{Limit: 1})
	if err != nil {
		return err
	}
	oldest, err := e.store.Events(ctx, EventQuery{Oldest: true, Since: r.Query.Since, Limit: 1})
	if err != nil {
		return err
	}
	if len(newest.Items) > 0 {
		r.Last = newest.Items[0].Event.Seq
		r.First = r.Last
	}
	if len(oldest.Items) > 0 {
		r.First = oldest.Items[0].Event.Seq
	}
	return nil
}

// forgetReplays makes room for one more on record.
func (e *Engine) forgetReplays(ctx context.Context) error {
	all, err := e.allReplays(ctx)
	for _, r := range all {
		if len(all) < keptReplays {
			break
		}
		if r.replay.Status == ReplayRunning {
			continue
		}
		if err := e.store.DeleteDocument(ctx, replayKind, r.replay.ID, r.revision); err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		all = all[1:]
	}
	return err
}

// keptReplay is one on record.
type keptReplay struct {
	replay   Replay
	revision uint64
}

func (e *Engine) allReplays(ctx context.Context) (all []keptReplay, err error) {
	for after := ""; ; {
		page, err := e.store.ListDocuments(ctx, replayKind, after, MaxDocuments)
		if err != nil || len(page) == 0 {
			return all, err
		}
		for _, d := range page {
			after = d.Name
			k := keptReplay{revision: d.Revision}
			if err := json.Unmarshal(d.Body, &k.replay); err != nil {
				return nil, fmt.Errorf("reading replay %s: %w", d.Name, err)
			}
			all = append(all, k)
		}
	}
}

// Replay tells how far a replay got. Errors: ErrNotFound, ErrUnavailable, or the context's.
func (e *Engine) Replay(ctx context.Context, id string) (Replay, error) {
	if run := e.runningReplay(id); run != nil {
		return run.show(), nil
	}
	d, err := e.store.Document(ctx, replayKind, id)
	if err != nil {
		return Replay{}, err
	}
	var r Replay
	if err := json.Unmarshal(d.Body, &r); err != nil {
		return Replay{}, fmt.Errorf("reading replay %s: %w", id, err)
	}
	return r, nil
}

// Replays lists those on record, newest first: at most some hundreds are kept.
func (e *Engine) Replays(ctx context.Context) ([]Replay, error) {
	all, err := e.allReplays(ctx)
	if err != nil {
		return nil, err
	}
	shown := make([]Replay, len(all))
	for i, k := range all {
		if run := e.runningReplay(k.replay.ID); run != nil {
			k.replay = run.show()
		}
		shown[len(all)-1-i] = k.replay
	}
	return shown, nil
}

// CancelReplay stops a replay; what it planned already goes on. One that has ended stays as it is. Errors as of Replay.
func (e *Engine) CancelReplay(ctx context.Context, id string) (Replay, error) {
	if run := e.runningReplay(id); run != nil {
		run.stop()
		select {
		case <-run.done:
		case <-ctx.Done():
			return Replay{}, ctx.Err()
		}
		e.log.Info("an operator cancelled a replay", slog.String("replay", id))
	}
	return e.Replay(ctx, id)
}

func (e *Engine) runningReplay(id string) *replayRun {
	e.replays.mu.Lock()
	defer e.replays.mu.Unlock()
	return e.replays.running[id]
}

// resumeReplays goes on with what an earlier process began, once there is a plan.
func (e *Engine) resumeReplays() {
	for e.work.Err() == nil {
		all, err := e.allReplays(e.work)
		if err == nil {
			e.replays.mu.Lock()
			defer e.replays.mu.Unlock()
			for _, k := range all {
				if _, running := e.replays.running[k.replay.ID]; !running && k.replay.Status == ReplayRunning {
					e.runReplayLocked(k.replay, k.revision)
				}
			}
			return
		}
		if !errors.Is(err, ErrUnavailable) {
			e.log.Error("reading replays", slog.Any("error", err))
			return
		}
		e.sleep(reroutePause)
	}
}

// sleep waits, or until the engine stops taking work.
func (e *Engine) sleep(d time.Duration) {
	select {
	case <-time.After(d):
	case <-e.work.Done():
	}
}
