package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/egress"
	"github.com/atoship/caddy-webhooks/delivery/telemetry"
)

// engines holds one running engine per store identity. Configs that name the same store share the engine, which is how it
// outlives a reload.
var engines = caddy.NewUsagePool()

// handover makes acquiring and releasing one at a time, so that a store is never opened while it is being closed. It is
// held through a drain; running configs do not need it to serve requests.
var handover sync.Mutex

// shutdownGrace is what a stop may take beyond the drain, to flush settlements and close the store.
const shutdownGrace = 5 * time.Second

// errShutdownSlow names the bound in errors.
var errShutdownSlow = errors.New("the engine did not stop in time")

// sharedEngine is one engine and the configs that want it.
//
//	config A starts            leases [A]      plan A in force
//	config B starts            leases [A B]    plan B
//	A stops (the reload is through)    [B]     plan B
//	C starts, another app's Start fails [B C] then [B]: plan C, then plan B again
//	B stops                    leases []       drain, flush, close
type sharedEngine struct {
	*delivery.Engine
	logs    *liveLogs
	news    *liveNews
	tracing *telemetry.Tracing // nil: none
	inbox   inbox
	closed  atomic.Bool

	leases []*lease // guarded by handover; newest last
}

// lease is one config's claim to an engine. The newest one decides the plan.
type lease struct {
	key    string
	shared *sharedEngine
	plan   *delivery.Plan
	logs   slog.Handler
	emit   emitter
	listed []egress.Listed // the addresses that customers see
}

// force lets the lease's config hear from the engine.
func (l *lease) force() {
	l.shared.logs.use(l.logs)
	l.shared.news.use(l.emit)
	meters.Watch(l.shared.Engine)
}

// acquire opens the store's engine if it is not running, and puts the plan in force. When that fails, the plan before
// stays in force, and what was opened for nothing is closed.
func (a *App) acquire() (*lease, error) {
	handover.Lock()
	defer handover.Unlock()

	key := a.store.Identity()
	v, _, err := engines.LoadOrNew(key, func() (caddy.Destructor, error) { return openEngine(a.store, a.logHandler) })
	if err != nil {
		return nil, err
	}
	l := &lease{key: key, shared: v.(*sharedEngine), plan: a.plan, logs: a.logHandler, emit: a.emit, listed: a.listed()}
	s := l.shared
	s.leases = append(s.leases, l)
	l.force()
	if err := s.Apply(a.plan); err != nil {
		return nil, errors.Join(fmt.Errorf("applying the webhooks config: %w", err), l.drop())
	}
	if n := len(s.leases); n > 1 {
		reportListed(s.Engine, s.leases[n-2].listed, l.listed)
	}
	return l, nil
}

// openEngine opens the store and starts the engine. Neither may see a config's context or logger: both die with it.
func openEngine(store Store, logs slog.Handler) (caddy.Destructor, error) {
	live := newLiveLogs(logs)
	logger := slog.New(live)
	st, err := store.Open(context.Background(), logger)
	if err != nil {
		return nil, fmt.Errorf("opening the webhooks store: %w", err)
	}
	news := new(liveNews)
	tracing := newTracing(logger)
	e, err := delivery.Open(context.Background(), delivery.Config{
		Store: st, Observer: delivery.Observers{meters, news}, Tracer: tracer(tracing), Logger: logger,
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting the webhooks engine: %w", err), st.Close(), flush(tracing))
	}
	heap.hold()
	return &sharedEngine{Engine: e, logs: live, news: news, tracing: tracing}, nil
}

// flushGrace is how long a stop waits for a collector to take the last spans: with the default drain, five seconds in all.
const flushGrace = time.Second

// flush exports the spans that are left.
func flush(t *telemetry.Tracing) error {
	ctx, cancel := context.WithTimeout(context.Background(), flushGrace)
	defer cancel()
	return t.Shutdown(ctx)
}

// engine is the running engine, as long as any config runs it.
func (l *lease) engine() (*delivery.Engine, error) {
	if l.shared.closed.Load() {
		return nil, errNotRunning
	}
	return l.shared.Engine, nil
}

// release gives the claim up; the last one closes the engine. Call it once.
func (l *lease) release() error {
	handover.Lock()
	defer handover.Unlock()
	return l.drop()
}

// drop needs handover. The plan of the newest claim left comes into force, which it is already unless the dropped claim
// was the newest: a config that was rolled back.
func (l *lease) drop() error {
	s := l.shared
	newest := s.leases[len(s.leases)-1] == l
	s.leases = slices.DeleteFunc(s.leases, func(other *lease) bool { return other == l })
	var err error
	if n := len(s.leases); n > 0 && newest {
		back := s.leases[n-1]
		back.force()
		err = s.Apply(back.plan)
		reportListed(s.Engine, l.listed, back.listed)
	}
	_, closing := engines.Delete(l.key)
	return errors.Join(err, closing)
}

// Destruct stops the engine when its last claim is gone: intake refuses, attempts in flight get the plan's drain, then
// everything is flushed and the store closed.
func (s *sharedEngine) Destruct() error {
	s.closed.Store(true)
	defer heap.release()
	drain := delivery.DefaultDrain
	if p := s.Plan(); p != nil {
		drain = p.Drain
	}
	ctx, cancel := context.WithTimeoutCause(context.Background(), drain+shutdownGrace, errShutdownSlow)
	defer cancel()
	s.inbox.close()
	err := s.Shutdown(ctx)
	meters.Leave(s.Engine)
	if lost := flush(s.tracing); lost != nil { // a collector that is down must not make the stop fail
		slog.New(s.logs).Warn("the last traces were not taken", slog.Any("error", lost))
	}
	return err
}
