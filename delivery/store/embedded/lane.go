package embedded

import (
	"bytes"
	"context"
	"fmt"
	"sync"

	"github.com/atoship/caddy-webhooks/delivery"
)

// lane is a leased lane. One is shared by all leases of a name, and lives as long as any of them.
//
// It remembers where its waiting rows begin. Claimed rows leave tombstones in Pebble until it compacts; without a place
// to begin, each claim of a long backlog would step over all those of the claims before it.
type lane struct {
	s      *Store
	name   string
	leases int // guarded by laneTable.mu

	claiming sync.Mutex // one Claim at a time

	mu sync.Mutex
	// By movable. No row stands below the lesser of low, known from the last claim, and fresh, the lowest committed since.
	low, fresh [2]place
}

// laneTable holds the leased lanes: as many as the engine works at a time.
type laneTable struct {
	mu    sync.Mutex
	lanes map[string]*lane
}

func (t *laneTable) init() { t.lanes = map[string]*lane{} }

// Lease implements delivery.Queue. The store has one node, so it always grants.
func (s *Store) Lease(ctx context.Context, name string) (delivery.Lane, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := checkLane(name); err != nil {
		return nil, fmt.Errorf("lease: %w", err)
	}
	t := &s.lanes
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.lanes[name]
	if l == nil {
		l = &lane{s: s, name: name, fresh: [2]place{lastPlace, lastPlace}}
		t.lanes[name] = l
	}
	l.leases++
	return &lease{lane: l}, nil
}

// lease is one holder's handle on a lane.
type lease struct {
	*lane

	release sync.Once
}

// Release implements delivery.Lane. It may be called more than once.
func (l *lease) Release(context.Context) error {
	l.release.Do(func() {
		t := &l.s.lanes
		t.mu.Lock()
		defer t.mu.Unlock()
		if l.leases--; l.leases == 0 {
			delete(t.lanes, l.name)
		}
	})
	return nil
}

func (t *laneTable) get(name string) *lane {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.lanes[name]
}

// inserted notes a row that is committed. It must be called after the commit: a claim that began before then does not
// see the row, and one that begins after does; either way the row is not below the mark.
func (t *laneTable) inserted(q queuedRow) {
	l := t.get(q.lane)
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fresh[index(q.movable)] = lesser(l.fresh[index(q.movable)], q.at)
}

// forget makes all lanes look from the beginning again: after a reopening nobody knows what was committed.
func (t *laneTable) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, l := range t.lanes {
		l.mu.Lock()
		l.low = [2]place{}
		l.mu.Unlock()
	}
}

// begin tells where to look, and takes the fresh rows into account from here on.
func (l *lane) begin(movable bool) place {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := index(movable)
	l.low[m] = lesser(l.low[m], l.fresh[m])
	l.fresh[m] = lastPlace
	return l.low[m]
}

// advance notes that no row stood below a place when the claim looked, unless the store was reopened since.
func (l *lane) advance(movable bool, to place, c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.err() == nil { // asked under the lock: forget comes after the failure
		l.low[index(movable)] = to
	}
}

func index(movable bool) int {
	if movable {
		return 1
	}
	return 0
}

func lesser(a, b place) place {
	if bytes.Compare(a[:], b[:]) < 0 {
		return a
	}
	return b
}
