package delivery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/atoship/caddy-webhooks/delivery/gate"
)

// ErrStopping is returned by Accept once Shutdown has begun. Nothing was promised.
var ErrStopping = errors.New("gateway is stopping")

// Engine runs lanes over a store. Its methods may be called concurrently.
type Engine struct {
	store  Store
	obs    Observer
	tracer Tracer // nil: none
	log    *slog.Logger
	hot    *slog.Logger // for what may happen with every event

	// plan is swapped whole by Apply; nil until the first.
	plan atomic.Pointer[Plan]

	mu    sync.RWMutex
	lanes map[string]*lane // guarded by mu; created when an endpoint is first seen

	clock    *clock
	fair     *gate.Fair[*lane] // max_in_flight, its parts, and the global rate
	turns    turns
	window   windowBudget
	settler  *settler
	workers  workers
	tests    atomic.Int64 // test events and checks under way
	checked  checkTimes
	feed     feed
	pulse    pulse
	uses     routeUses
	activity activity
	notices  chan Notice // bounded; see Notify
	audited  atomic.Pointer[Audit]

	// intake counts Accepts under way; closed is set under its lock, so Shutdown knows when the last one left.
	intake struct {
		sync.RWMutex
		closed bool
	}

	work      context.Context // done: start nothing new
	stopWork  context.CancelFunc
	abort     context.Context // done: give up what is under way
	stopAbort context.CancelFunc
	tasks     tasks // attempts, claims, maintainer, re-routing

	applying sync.Mutex // one change of the plan at a time, by Apply or by an endpoint made at run time
	// managed are the endpoints made at run time. They are changed under applying and managedMu, so either lets read.
	managed   map[string]*managed
	managedMu sync.RWMutex
	doubtful  map[string]bool // guarded by applying: documents of managed endpoints whose last change may be kept or not
	reroutes  atomic.Int64    // calls of rerouteUndecided that the present run has to answer
	replays   replays         // those that are running

	shutdown     sync.Once
	shutdownErr  error
	shutdownDone chan struct{}
}

// Open starts an engine over a store it will own and close. What an earlier process left unfinished is recovered here;
// nothing is tried before the first Apply.
func Open(ctx context.Context, c Config) (*Engine, error) {
	e := &Engine{
		store:        c.Store,
		feed:         newFeed(),
		tracer:       c.Tracer,
		log:          c.Logger,
		lanes:        make(map[string]*lane),
		shutdownDone: make(chan struct{}),
	}
	e.obs = Observers{&e.pulse, &e.activity, &e.feed}
	if c.Observer != nil {
		e.obs = Observers{&e.pulse, &e.activity, &e.feed, c.Observer}
	}
	if e.log == nil {
		e.log = slog.Default()
	}
	e.hot = newHotLog(e.log.Handler())
	e.clock = newClock(c.now, e.clockSet)
	e.work, e.stopWork = context.WithCancel(context.WithoutCancel(ctx))
	e.abort, e.stopAbort = context.WithCancel(context.WithoutCancel(ctx))
	e.fair = gate.NewFair[*lane](limitsOf(DefaultMaxInFlight), gate.RateSettings{})
	e.turns.serve, e.turns.now = e.serveLine, e.clock.now
	e.settler = newSettler(e)
	e.workers = newWorkers(e.work)
	e.notices = make(chan Notice, noticeBacklog)

	if err := e.store.Attach(e); err != nil {
		return nil, fmt.Errorf("recovering the store: %w", err)
	}
	due, err := e.store.Due(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing what is due: %w", err)
	}
	for name, at := range due {
		e.lane(name).waiting(at)
	}
	states, err := e.store.States(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing the endpoints' states: %w", err)
	}
	for name, state := range states {
		if !state.resting(e.clock.now()) {
			e.lane(name)
		}
	}
	if err := e.loadManaged(ctx); err != nil {
		return nil, err
	}
	if orphans := e.orphans(slices.Collect(maps.Keys(due))); len(orphans) > 0 {
		e.tasks.run(func() { e.cancelOrphans(orphans) })
	}
	e.tasks.run(e.maintain)
	e.tasks.run(e.passNotices)
	go e.settler.run()
	return e, nil
}

// Plan is the one in force; nil before the first Apply.
func (e *Engine) Plan() *Plan { return e.plan.Load() }

// Journal is the read side of the store.
func (e *Engine) Journal() Journal { return e.store }

// Documents are where settings are kept; kinds that the engine does not use are its callers'.
func (e *Engine) Documents() Documents { return e.store }

// Healthy tells whether an Accept could succeed now.
func (e *Engine) Healthy() bool {
	return e.plan.Load() != nil && e.work.Err() == nil && e.store.Healthy()
}

// Apply puts a configuration's plan in force, with the endpoints made at run time joined in: lanes whose settings are equal
// keep breaker, slots and holds, a changed URL starts afresh, endpoints not in the plan are held. It can be repeated, and fails
// only before it has changed anything.
func (e *Engine) Apply(p *Plan) error {
	e.applying.Lock()
	defer e.applying.Unlock()
	if err := p.check(); err != nil {
		return err
	}
	if err := e.settleDoubts(e.work); err != nil {
		e.log.Warn("endpoints made at run time may be older than the store has them", slog.Any("error", err))
	}
	j := e.join(p)
	// Load what is stored about endpoints that have work, removed ones too, that may be new and start paused, or that return: that
	// can fail, the swap below cannot. Of the first plan's, Open knows which there is something to know about.
	before := e.plan.Load()
	for name, ep := range j.plan.Endpoints {
		if returns := before != nil && before.Endpoints[name] == nil; ep.Paused || returns {
			e.findLane(name)
		}
	}
	for _, l := range e.allLanes() {
		if err := l.load(e.work); err != nil {
			j.drop()
			return fmt.Errorf("endpoint %s: reading its state: %w", l.name, err)
		}
	}
	first := e.plan.Load() == nil
	e.use(j)
	if slices.ContainsFunc(slices.Collect(maps.Values(j.managed)), func(m *managed) bool { return m.stale(p.Keys) }) {
		e.tasks.run(e.resealStale)
	}
	if first {
		e.tasks.run(e.resumeReplays)
	}
	return nil
}

// check refuses a plan the engine could not run; it guards against a caller's mistake, not a user's.
func (p *Plan) check() error {
	if p.Router == nil {
		return errors.New("plan has no router")
	}
	for name, ep := range p.Endpoints {
		switch {
		case ep.URL == nil || ep.Transport == nil || ep.Signer == nil:
			return fmt.Errorf("endpoint %s lacks a url, a transport or a signer", name)
		case ep.Timeout <= 0 || ep.Concurrency <= 0:
			return fmt.Errorf("endpoint %s: timeout and concurrency must be positive", name)
		case len(ep.Backups) >= MaxChain:
			return fmt.Errorf("endpoint %s: at most %d backups", name, MaxChain-1)
		}
	}
	if p.Expire <= 0 || p.Retention <= 0 || p.Dedupe < 0 || p.MaxInFlight <= 0 {
		return errors.New("plan: expire, retention and max_in_flight must be positive")
	}
	return nil
}

func (e *Engine) allLanes() []*lane {
	e.mu.RLock()
	defer e.mu.RUnlock()
	all := make([]*lane, 0, len(e.lanes))
	for _, l := range e.lanes {
		all = append(all, l)
	}
	return all
}

// pumpAll lets every lane look again at what it may do.
func (e *Engine) pumpAll() {
	for _, l := range e.allLanes() {
		l.pump()
	}
}

// Shutdown ends the engine: refuse intake, start nothing new, let attempts in flight finish for the plan's Drain (or
// until ctx ends), cut off the rest, record everything, close the store. Later calls wait for the first and return its
// error.
func (e *Engine) Shutdown(ctx context.Context) error {
	e.shutdown.Do(func() {
		defer close(e.shutdownDone)
		e.shutdownErr = e.stop(ctx)
	})
	<-e.shutdownDone
	return e.shutdownErr
}

// stateGrace bounds the writing of lane states at the end of a stop, over all lanes.
const stateGrace = 2 * time.Second

func (e *Engine) stop(ctx context.Context) error {
	e.intake.Lock() // waits for Accepts under way
	e.intake.closed = true
	e.intake.Unlock()

	e.stopWork()
	e.feed.end()
	drain := DefaultDrain
	if p := e.plan.Load(); p != nil {
		drain = p.Drain
	}
	drained := e.tasks.close()
	timer := time.NewTimer(drain)
	defer timer.Stop()
	select {
	case <-drained:
	case <-timer.C:
	case <-ctx.Done():
	}
	e.stopAbort() // attempts end at once: their requests carry this context
	<-drained

	saving, cancel := context.WithTimeout(context.Background(), stateGrace)
	defer cancel()
	for _, l := range e.allLanes() {
		l.close(saving)
	}
	e.settler.close() // everything above is on record after this, or the store is broken
	e.applying.Lock()
	for _, m := range e.managed {
		m.release()
	}
	e.applying.Unlock()
	if err := e.store.Close(); err != nil {
		return fmt.Errorf("closing the store: %w", err)
	}
	return nil
}
