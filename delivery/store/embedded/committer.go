package embedded

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/atoship/caddy-webhooks/delivery"
)

const (
	// maxWaitingOps bounds the calls that wait for the committer; more callers wait in their own goroutines.
	maxWaitingOps = 1024
	// A commit carries at most this much, so that its sync takes milliseconds and nobody's batch makes all others wait. One
	// Append is never split, so a single larger one makes a larger commit.
	maxCommitRows  = delivery.MaxBatch
	maxCommitBytes = 8 << 20
	// Settlements alone wait this long, or for this many, before they are synced: see Queue.Settle.
	settleLinger = 50 * time.Millisecond
	settleRows   = 256
	// joinRounds is how often a commit lets those who are about to join it do so, before it closes.
	joinRounds = 2
)

// op is one call on its way through the committer.
type op interface {
	// size in deliveries and bytes, for the bounds of a commit.
	size() (rows, bytes int)
	// lazy ops wait a little for company.
	lazy() bool
	// build checks the call against the present state and writes into the commit. An error refuses the call, and then
	// nothing was written. Runs in the committer's goroutine.
	build(tx *tx) error
	// done gives the outcome: after the commit, in commit order, in the committer's goroutine. It tells the Handover and
	// wakes the caller; it never blocks.
	done(err error)
}

// call is the caller's side of an op.
type call struct {
	end chan struct{}
	err error // written before end is closed
}

func newCall() call { return call{end: make(chan struct{})} }

func (c *call) finish(err error) {
	c.err = err
	close(c.end)
}

// committer is the state that only the committer's goroutine touches (Open fills it before that runs).
type committer struct {
	conn     *conn // nil while the store is failed
	handover delivery.Handover
	seq      uint64                      // last one given
	handed   map[delivery.Key]handedOver // what the engine holds; bounded by its windows
	counts   counts
	marks    marks
	marked   map[blockTerm]struct{} // rows of the index of blocks known to be written
	active   map[string]uint64      // by endpoint: the last slice of time it was marked in
	heads    map[headID]struct{}    // of requests, known to be written
	spare    op                     // did not fit in the last commit
	outages
}

// handedOver is a delivery in the engine's hands.
type handedOver struct {
	step uint16
	// settled: its settlement was answered with an error, but survived. The engine will try again and is told yes.
	settled bool
	// cancelled meanwhile: it ends when it comes back. erased: and what its attempt brings is not kept.
	cancelled, erased bool
}

// tx is one commit in the making.
type tx struct {
	*Store

	b         *pebble.Batch
	now       time.Time               // of the commit, for records that say when
	take      map[delivery.Key]uint16 // handed over by this commit, at which step
	drop      map[delivery.Key]bool   // settled by it
	decided   map[uint64]bool         // events that Decide rewrites in it
	documents map[string]uint64       // by key: the revision after it, 0 when it removes the document
	doomed    []delivery.Key          // in hand, cancelled by it
	erased    []delivery.Key          // in hand, of events that it erases
	vanish    bool                    // Prune or Cancel takes waiting rows away behind the lanes' backs
	queued    []queuedRow
	lines     map[lineID]*orderLine // of ordering keys it looked at or changed; lineOrder has them in order
	lineOrder []*orderLine
	touched   map[string]struct{} // home lanes whose counts changed
	totals    bool                // the row of totals changed
}

func (s *Store) newTx(bytes int) *tx {
	return &tx{Store: s, b: s.conn.db.NewBatchWithSize(bytes), now: time.Now().UTC().Truncate(time.Millisecond)}
}

// queuedRow is a delivery that the commit put into a lane.
type queuedRow struct {
	lane    string
	movable bool
	at      place
	tell    bool // Handover.Queued
}

// run is the committer. It ends when the store closes, after committing what it holds.
func (s *Store) run() {
	defer close(s.exited)
	var lazy group // settlements that linger
	var timer *time.Timer
	var due <-chan time.Time // nil unless some linger
	commit := func(g group) {
		if timer != nil {
			timer.Stop()
		}
		due, lazy = nil, group{}
		s.commitGroup(g)
	}
	for {
		if s.spare != nil {
			commit(s.gather(lazy))
			continue
		}
		var failed <-chan struct{}
		if s.conn != nil {
			failed = s.conn.failed
		}
		select {
		case o := <-s.ops:
			s.spare = o
			g := s.gather(lazy)
			if g.urgent || g.rows >= settleRows || s.conn == nil {
				commit(g)
				continue
			}
			if lazy = g; due == nil {
				timer = time.NewTimer(settleLinger)
				due = timer.C
			}
		case <-due:
			commit(lazy)
		case <-failed:
			s.giveUp(s.conn.cause)
		case c := <-s.reopened:
			s.takeOver(c)
		case <-s.closing:
			commit(lazy)
			for len(s.ops) > 0 {
				s.spare = <-s.ops
				for s.spare != nil {
					commit(s.gather(group{}))
				}
			}
			return
		}
	}
}

// group is the ops of one commit.
type group struct {
	ops         []op
	rows, bytes int
	urgent      bool
}

func (g *group) add(o op) {
	rows, bytes := o.size()
	g.ops, g.rows, g.bytes = append(g.ops, o), g.rows+rows, g.bytes+bytes
	g.urgent = g.urgent || !o.lazy()
}

// gather adds the spare op and all that wait, as far as one commit carries them. While one commit is being synced the
// next group collects by itself. Publishers that have the processor next may join: on a busy machine a sync, which costs
// some 100 µs of CPU time and the runtime's watching over it, is then shared by half as many more, and on an idle one
// giving the processor up costs nothing.
func (s *Store) gather(g group) group {
	o := s.spare
	s.spare = nil
	rounds := joinRounds
	for {
		rows, bytes := o.size()
		if len(g.ops) > 0 && (g.rows+rows > maxCommitRows || g.bytes+bytes > maxCommitBytes) {
			s.spare = o
			g.urgent = true // full: commit now
			return g
		}
		g.add(o)
		if len(s.ops) == 0 && rounds > 0 {
			rounds--
			runtime.Gosched()
		}
		select {
		case o = <-s.ops:
		default:
			return g
		}
	}
}

// commitGroup builds and syncs one commit and tells everyone.
func (s *Store) commitGroup(g group) {
	if len(g.ops) == 0 {
		return
	}
	if s.conn == nil {
		for _, o := range g.ops {
			o.done(delivery.ErrUnavailable)
		}
		return
	}
	tx := s.newTx(g.bytes + 4<<10)
	built := g.ops[:0]
	for _, o := range g.ops {
		if err := o.build(tx); err != nil {
			o.done(err)
			continue
		}
		built = append(built, o)
	}
	err := tx.commit()
	if err == nil {
		tx.tell()
	} else {
		s.forgetMarks()
		s.giveUp(err)
	}
	for _, o := range built {
		o.done(err)
	}
}

// commit syncs the batch and makes it count in memory.
func (tx *tx) commit() error {
	tx.placeHeads()
	tx.writeCounts()
	if tx.b.Empty() { // nothing for the disk; what it changes in memory still counts
		must(tx.b.Close())
	} else if err := tx.conn.commit(tx.b); err != nil {
		return fmt.Errorf("%w: %w", delivery.ErrUnavailable, err)
	}
	for k := range tx.drop {
		delete(tx.handed, k)
	}
	for k, step := range tx.take {
		tx.handed[k] = handedOver{step: step}
	}
	for _, k := range tx.doomed {
		if h, ok := tx.handed[k]; ok {
			h.cancelled = true
			tx.handed[k] = h
		}
	}
	for _, k := range tx.erased {
		if h, ok := tx.handed[k]; ok {
			h.erased = true
			tx.handed[k] = h
		}
	}
	tx.publishCounts()
	for home := range tx.touched {
		tx.publishPending(home)
	}
	for _, q := range tx.queued {
		tx.lanes.inserted(q)
	}
	if tx.vanish {
		tx.expired.Add(1)
	}
	return nil
}

// tell reports what now waits. Appended deliveries are not among it: Committed told.
func (tx *tx) tell() {
	for _, q := range tx.queued {
		if q.tell && tx.handover != nil {
			tx.handover.Queued(q.lane, q.at.due())
		}
	}
}

// enqueue writes a waiting row.
func (tx *tx) enqueue(k delivery.Key, t turn, tell bool) {
	t.handed = time.Time{}
	key := t.waitingKey(k)
	put(tx.b, key, t.encode())
	lane, movable, at, _ := parseWaiting(key)
	tx.markWaiting(k, t)
	tx.queued = append(tx.queued, queuedRow{lane, movable, at, tell})
}

// handOver writes a handed-over row.
func (tx *tx) handOver(k delivery.Key, t turn) {
	t.handed = tx.now
	put(tx.b, stepKey(kindHanded, k, t.progress.Step), t.encode())
	if tx.take == nil {
		tx.take = map[delivery.Key]uint16{}
	}
	tx.take[k] = t.progress.Step
}

// takeBack removes a handed-over row and what was noted beside it.
func (tx *tx) takeBack(k delivery.Key, h handedOver) {
	singleDelete(tx.b, stepKey(kindHanded, k, h.step))
	if h.cancelled {
		remove(tx.b, cancelledKey(k))
	}
	tx.forget(k)
}

// forget takes a delivery out of the list of what the engine holds.
func (tx *tx) forget(k delivery.Key) {
	if tx.drop == nil {
		tx.drop = map[delivery.Key]bool{}
	}
	tx.drop[k] = true
}

// inHand tells whether the engine holds a delivery, or will after this commit.
func (tx *tx) inHand(k delivery.Key) bool {
	_, taken := tx.take[k]
	_, handed := tx.handed[k]
	return taken || handed
}

// put seals a record and writes it. Writing into a batch fails only when that was committed already: our bug.
func put(b *pebble.Batch, key, rec []byte) {
	must(b.Set(key, seal(key, rec), nil))
}

// putKey writes a row that is all key.
func putKey(b *pebble.Batch, key []byte) { must(b.Set(key, nil, nil)) }

func remove(b *pebble.Batch, key []byte) { must(b.Delete(key, nil)) }

// singleDelete is the cheap delete of a key that was set exactly once since it was last deleted.
func singleDelete(b *pebble.Batch, key []byte) { must(b.SingleDelete(key, nil)) }

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// submit gives an op to the committer.
func (s *Store) submit(ctx context.Context, o op) error {
	select {
	case <-s.closing:
		return delivery.ErrUnavailable
	default:
	}
	select {
	case s.ops <- o:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-s.closing:
		return delivery.ErrUnavailable
	}
}

// await waits for an op's outcome, or for ctx: then the outcome is anyone's guess.
func (s *Store) await(ctx context.Context, c *call) error {
	select {
	case <-c.end:
		return c.err
	case <-ctx.Done():
		return ctx.Err()
	case <-s.exited:
		select {
		case <-c.end: // it was the committer's last
			return c.err
		default:
			return delivery.ErrUnavailable
		}
	}
}
