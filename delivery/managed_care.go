package delivery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
)

// This file looks after managed endpoints when something came in between: a commit of which nobody knows whether it
// survived, a process that ended in the middle of a deletion, a secret key that is to be retired.

// doubt notes that a document may have been changed or not.
func (e *Engine) doubt(name string) {
	if e.doubtful == nil {
		e.doubtful = map[string]bool{}
	}
	e.doubtful[name] = true
}

// settleDoubts reads again what a failed commit may have left changed, and goes by what the store has. applying is held.
func (e *Engine) settleDoubts(ctx context.Context) error {
	for name := range e.doubtful {
		d, err := e.store.Document(ctx, endpointKind, name)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		was, plan := e.managed[name], e.plan.Load()
		switch kept := err == nil; {
		case plan == nil || !kept && was == nil || kept && was != nil && was.revision == d.Revision:
		case !kept:
			if err := e.forget(was, plan); err != nil {
				return err
			}
		default:
			m := &managed{name: name, revision: d.Revision, sealed: d.Body}
			m.unseal(plan.Keys)
			if err := e.adopt(ctx, plan, was, m); err != nil {
				return err
			}
		}
		delete(e.doubtful, name)
	}
	return nil
}

// adopt puts in force what the store has of an endpoint; one that cannot be made has a Problem.
func (e *Engine) adopt(ctx context.Context, plan *Plan, was, m *managed) error {
	l, _ := e.findLane(m.name)
	if err := l.load(ctx); err != nil {
		return err
	}
	err := m.make(plan.Maker)
	if err == nil {
		var j *joined
		if j, err = e.joinOne(plan, was, m); err == nil {
			e.use(j, m.name)
			return nil
		}
	}
	if was != nil {
		if err := e.forget(was, plan); err != nil {
			return err
		}
	}
	m.fail(e.log, err)
	e.managedMu.Lock()
	e.managed = maps.Clone(e.managed)
	e.managed[m.name] = m
	e.managedMu.Unlock()
	return nil
}

// forget takes a managed endpoint out of force. applying is held.
func (e *Engine) forget(m *managed, plan *Plan) error {
	router, err := resubscribe(plan.Router, []string{m.name}, nil)
	if err != nil { // removing adds no mistake
		return fmt.Errorf("endpoint %s: %w", m.name, err)
	}
	j := &joined{managed: maps.Clone(e.managed)}
	delete(j.managed, m.name)
	endpoints := maps.Clone(plan.Endpoints)
	delete(endpoints, m.name)
	j.plan = plan.with(endpoints, router)
	e.use(j, m.name)
	return nil
}

// orphans are the lanes of managed endpoints that are gone and have work left.
func (e *Engine) orphans(lanes []string) []string {
	return slices.DeleteFunc(slices.Clone(lanes), func(name string) bool {
		return !strings.HasPrefix(name, ManagedPrefix) || e.managed[name] != nil
	})
}

// resealStale seals anew what an older key sealed, so that the key can be taken out of the configuration. It goes one by one,
// and what fails is tried after the next plan.
func (e *Engine) resealStale() {
	e.managedMu.RLock()
	names := slices.Sorted(maps.Keys(e.managed))
	e.managedMu.RUnlock()
	n := 0
	for _, name := range names {
		if e.work.Err() != nil {
			return
		}
		n += e.reseal(name)
	}
	if n > 0 {
		e.log.Info("endpoints were sealed with the newest secret key", slog.Int("endpoints", n))
	}
}

func (e *Engine) reseal(name string) int {
	e.applying.Lock()
	defer e.applying.Unlock()
	was := e.managed[name]
	plan := e.plan.Load()
	if was == nil || !was.stale(plan.Keys) {
		return 0
	}
	m := *was
	if err := e.keep(e.work, plan.Keys, &m); err != nil {
		e.log.Warn("an endpoint could not be sealed with the newest secret key", slog.String("endpoint", name), slog.Any("error", err))
		return 0
	}
	e.managedMu.Lock()
	was.revision, was.sealer = m.revision, m.sealer
	e.managedMu.Unlock()
	return 1
}

// cancelOrphans cancels what deleted endpoints left behind, because the process ended in between.
func (e *Engine) cancelOrphans(lanes []string) {
	for _, name := range lanes {
		if _, err := e.CancelEndpoint(e.work, name); err != nil {
			return // the next start goes on
		}
	}
}
