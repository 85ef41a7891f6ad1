package embedded

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/atoship/caddy-webhooks/delivery"
)

// lane is a leased lane. One is shared by all leases of a name, and lives as long as any of them.
//
// It remembers where its waiting rows begin. Claimed rows leave tombstones in Pebble until it compacts; without a place
// to begin, each claim of a long backlog would step over all those of the claims before it. A row that comes later with a
// lower place (a return, or the next of an ordering key, which is as old as its event) is remembered by itself, so that
// the way from it to the others is not gone again for each such row.
type lane struct {
	s      *Store
	name   string
	leases int // guarded by laneTable.mu

	claiming sync.Mutex // one Claim at a time

	mu sync.Mutex
	// By movable. No row stands below low, known from the last claim, except at the places of early and at or above fresh:
	// committed since. Places below low go to early while it has room, and then to fresh, the lowest of them.
	low, fresh [2]place
	early      [2][]place
	looking    [2]bool // a claim is about to raise low: all that is committed meanwhile counts as early
}

// maxEarly bounds the rows a lane remembers one by one: more than come between two claims, unless much is returned at once.
const maxEarly = 64

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
	if m := index(q.movable); l.looking[m] || bytes.Compare(q.at[:], l.low[m][:]) < 0 {
		l.remember(m, q.at)
	}
}

// remember adds an early place; mu is held.
func (l *lane) remember(m int, at place) {
	if len(l.early[m]) < maxEarly {
		l.early[m] = append(l.early[m], at)
		return
	}
	l.fresh[m] = lesser(l.fresh[m], at)
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

// begin tells where to look: at the early places, which are in order and below low, and from low on. Each begin is followed
// by a finish.
func (l *lane) begin(movable bool) (early []place, low place) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := index(movable)
	l.low[m] = lesser(l.low[m], l.fresh[m])
	l.fresh[m] = lastPlace
	low, early = l.low[m], l.early[m]
	l.early[m], l.looking[m] = nil, true
	early = slices.DeleteFunc(early, func(p place) bool { return bytes.Compare(p[:], low[:]) >= 0 })
	slices.SortFunc(early, func(a, b place) int { return bytes.Compare(a[:], b[:]) })
	return slices.Compact(early), low
}

// finish notes what a claim that looked from the head left: rows at these early places, and none below low beside them.
func (l *lane) finish(movable bool, early []place, low place, c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := index(movable)
	l.looking[m] = false
	for _, at := range early {
		l.remember(m, at)
	}
	if c.err() == nil { // asked under the lock: after a failure comes forget
		l.low[m] = low
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
