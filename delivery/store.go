package delivery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"
)

// Errors of a store that callers branch on.
var (
	// ErrUnavailable: the store cannot commit now (disk full, failed, reopening, closed). Nothing was promised; the same
	// call may work later.
	ErrUnavailable = errors.New("store unavailable")
	// ErrNotFound: no such event, delivery or document.
	ErrNotFound = errors.New("not found")
	// ErrStale: the settlement is for a delivery that is not handed over (any more) at that step. It settled nothing.
	ErrStale = errors.New("stale settlement")
	// ErrFinal: the delivery has ended, so that there is nothing to cancel.
	ErrFinal = errors.New("delivery has ended")
	// ErrTooLarge: more than a commit may carry (MaxBatch deliveries), or a document past MaxDocument.
	ErrTooLarge = errors.New("batch too large")
	// ErrCursor: the cursor of a listing is not one this store gave out.
	ErrCursor = errors.New("unknown cursor")
)

// MaxBatch bounds the deliveries of one Append: a commit stays small enough to be synced in milliseconds, and a hostile
// batch × fan-out cannot take the process's memory.
const MaxBatch = 10_000

// MaxErase bounds the events of one Erase: each is read and written anew by the one commit.
const MaxErase = 1000

// MaxOrderKey bounds Delivery.OrderKey, in bytes: the ids that things are ordered by fit twice over, and a hostile publisher
// cannot make every row of its deliveries long.
const MaxOrderKey = 128

// ConflictError says that an event's id is known with other content; the whole batch was refused.
type ConflictError struct {
	Index int // in the batch
	ID    string
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("event id %s is known with other content", e.ID)
}

// Accept is one event with the deliveries planned for it. The store sets Event.Seq and each delivery's Event, Ord and ID.
type Accept struct {
	Event      *Event
	Deliveries []*Delivery
	// Dedupe is how long a given id is remembered: an equal id accepted longer ago than this is a new event.
	Dedupe time.Duration
}

// Receipt answers one Accept. For a duplicate it describes the first acceptance: its event's id and its deliveries.
type Receipt struct {
	EventID    string
	Duplicate  bool
	Deliveries []*Delivery
}

// Queue is the half of a store that work flows through. All methods may be called concurrently.
//
// # Order
//
// Deliveries with one home endpoint (Chain[0]) and one OrderKey form a line and go one at a time. The first that has not
// ended is the line's head: it waits, is handed over or is scheduled again like any other delivery, at whichever target of
// its chain it is. The others are its successors. A successor is durable and pending, but stands in no lane: Reserve is not
// asked about it, Claim does not find it, Due does not count it.
//
// A delivery joins the end of its line when it is committed. Append's join in the order of Event.Seq, then Ord. One that
// Decide adds joins at the end as of then, though its event has a lower Seq: what was accepted after it may be delivered
// already, so its old place is gone.
//
// When a head ends, whatever ended it (Settle, Cancel, CancelLane, Prune, or a corrupt record that left nothing to send),
// the same commit promotes the next successor: it waits in the lane of its target, due when it was planned to be, and
// Handover.Queued is told. So a crash may repeat a line's last deliveries and never skips or swaps any. A successor whose
// own records cannot be read is passed over; it stays on record as pending.
//
// # Cancelling
//
// A delivery that waits, and a successor, is cancelled at once: an Ended transition with the note NoteCancelled leads to the
// state Cancelled. One that is handed over is marked, durably, and ends when it comes back: a settlement that leaves it
// pending, and a loss, is recorded as it is and followed by that Ended transition; a Return is replaced by it. Delivered and
// Exhausted stand. The settlement itself is answered as ever.
type Queue interface {
	// Attach connects the engine; it is called once, before anything else, and finishes recovery: deliveries that an
	// earlier process had handed over and not settled become waiting again, with a Lost transition on record.
	Attach(h Handover) error

	// Append stores events with their deliveries, all or nothing, and returns only when they would survive a power cut.
	// Receipts come one per item, in order. A given id that is known with the same Hash (or occurs twice in the batch) is
	// answered with the first receipt, Duplicate set, and stores nothing; with another Hash the whole batch is refused
	// with a *ConflictError. Two concurrent Appends of one id: the second waits for the first's outcome.
	// ErrUnavailable promises nothing: the events may or may not be kept.
	// When ctx ends first the answer is ctx.Err(), with the same meaning.
	Append(ctx context.Context, batch []Accept) ([]Receipt, error)

	// Lease makes this node the only one to work a lane, until released. The embedded store always grants.
	Lease(ctx context.Context, lane string) (Lane, error)

	// Due lists every lane that has waiting deliveries, with the earliest due time of each; successors are not among them.
	// It reads one row per lane.
	Due(ctx context.Context) (map[string]time.Time, error)

	// States lists what lanes remember over a restart (see Lane.State), of all that ever set it.
	States(ctx context.Context) (map[string]LaneState, error)

	// Settle records transitions and moves their deliveries on. It returns when they would survive a power cut: together
	// with the next Append, after 256 settlements or 50 ms, whichever is first. Losing a settlement costs a duplicate,
	// never an event. Answers come item by item: nil, or ErrStale for a delivery not handed over at that step.
	// ErrUnavailable (for all items) means: try the same batch again later; settling twice is harmless. After any other answer
	// the store has no more use for the batch's memory.
	Settle(ctx context.Context, batch []Settlement) []error

	// Decide adds deliveries to an undecided or unrouted event after it was routed again, and records what is still held. A delivery whose primary the event already has is left out. The event's Routing, Held and Digest replace the
	// stored ones. An event that is routed already is left as it is: deciding twice is harmless. An ordered
	// delivery joins its line now; see Order above.
	Decide(ctx context.Context, seq uint64, routing Routing, held []string, digest string, add []*Delivery) error

	// Extend adds deliveries to events on record, for replays: each has a Replay, a time Planned and its event's number. One that
	// the event has already, of the same Replay at the same primary, is not added again: extending twice is harmless. A new
	// one is asked about by Reserve or waits, and joins the end of its line, as Append's do. It returns when all would survive
	// a power cut. Answers come item by item; the error is about all of them: ErrUnavailable (then repeat it), ErrTooLarge for
	// more than MaxBatch, or the context's.
	Extend(ctx context.Context, batch []Extension) ([]Extended, error)

	// Undecided lists events to be routed again, oldest first, from after the given sequence number, at most n.
	Undecided(ctx context.Context, after uint64, n int) ([]*Event, error)

	// CancelLane cancels what an endpoint that is deleted leaves behind: the deliveries at home there (Chain[0] is the lane)
	// that wait in the lane or are successors, and those handed over at it, which are marked. Deliveries that moved to a
	// backup go on there, and those of other homes that wait in this lane go on here. It cancels or marks at most limit (1
	// to MaxBatch) and counts them, not those marked before; more tells that it stopped at the limit. It works in bounded
	// commits: after an error n of them are cancelled all the same.
	CancelLane(ctx context.Context, lane string, limit int) (n int, more bool, err error)

	// Pending counts the pending deliveries at home in a lane as of the last commit. It costs a look into memory and takes
	// no lock that a commit holds. While the store is unavailable it repeats what it said last.
	Pending(lane string) uint64

	// Healthy tells whether Append could succeed now; false while the store is failed or reopening.
	Healthy() bool
}

// Extension is a delivery to add to an event.
type Extension struct {
	Seq      uint64 // of the event
	Delivery *Delivery
}

// Extended answers one Extension.
type Extended struct {
	// Delivery as it is on record, its event included: the one added, or the one that was there.
	Delivery *Delivery
	// Known tells that it was there already.
	Known bool
	// Err: ErrNotFound for an event that is gone; ErrTooLarge for one that has MaxBatch deliveries.
	Err error
}

// Handover is the engine's side of the hot path. The store's committer calls it from one goroutine, in commit order; no
// method may block or call the store.
type Handover interface {
	// Reserve asks, before the commit, whether the lane will take this delivery straight from memory. True: the store
	// records it as handed over. False: the store queues it. Every Reserve is followed by one Committed. A successor is not
	// asked about: its turn comes when it is Queued.
	Reserve(d *Delivery) bool
	// Committed follows each Reserve after its commit: handed repeats the answer, err is nil when the delivery is durable.
	// With handed and no error the delivery is the engine's to try and to settle.
	Committed(d *Delivery, handed bool, err error)
	// Queued tells that a delivery now waits in a lane, due at the given time: after a settlement, Decide, recovery, or the
	// end of the delivery it was a successor of.
	Queued(lane string, due time.Time)
	// Lost tells, during Attach and after the commit that records it, that nobody knows what became of a delivery which an
	// earlier process had in this lane's hands: once for each Lost transition.
	Lost(lane string)
}

// Lane is the waiting line of one endpoint, worked by one node.
type Lane interface {
	// Claim takes waiting deliveries that are due, in order of due time and sequence, and records durably that they are
	// handed over. At most one Claim of a lane runs at a time.
	Claim(ctx context.Context, c Claim) (Claimed, error)
	// State and SetState hold what must outlive the process. SetState returns when it would survive a power cut.
	State(ctx context.Context) (LaneState, error)
	SetState(ctx context.Context, s LaneState) error
	// Release gives the lane up.
	Release(ctx context.Context) error
}

// Claim says how much a lane can take.
type Claim struct {
	Now time.Time
	// Max deliveries and MaxBytes of bodies; at least one delivery is returned when one is due.
	Max, MaxBytes int
	// Movable, when set, leaves out deliveries that could go nowhere else (see Delivery.Movable: they wait for this endpoint)
	// and those for which it answers false. It is asked without the event, and must neither block nor call the store.
	Movable func(*Delivery) bool
	// After leaves out what stands at or before this place of the line; the zero Place starts at its head.
	After Place
}

// Place of a delivery in the line of a lane.
type Place struct {
	Due time.Time
	Key Key
}

// Before orders places as lanes are worked: by due time, then by acceptance.
func (p Place) Before(q Place) bool {
	return cmp.Or(p.Due.Compare(q.Due), cmp.Compare(p.Key.Seq, q.Key.Seq), cmp.Compare(p.Key.Ord, q.Key.Ord)) < 0
}

// MaxScan bounds the deliveries one Claim looks at that it does not take: looking at them is a few milliseconds of work.
const MaxScan = 4096

// Claimed is the answer to a Claim.
type Claimed struct {
	Deliveries []*Delivery
	// More tells that deliveries (movable ones, if those were asked for) are due at Claim.Now that were not looked at; Last
	// is the place of the last one that was: After for the claim that goes on.
	More bool
	Last Place
	// Left counts what Claim.Movable refused.
	Left int
	// Next is the earliest due time after Claim.Now (of a movable one, if those were asked for); zero when nothing waits.
	Next time.Time
}

// LaneState is what a lane remembers over a restart.
type LaneState struct {
	// URL the state belongs to, as a digest, since the query of a URL may hold a credential: another URL starts afresh (pause
	// excepted).
	URL string
	// HoldUntil stops all tries until then; the endpoint asked for it (Retry-After).
	HoldUntil time.Time
	// Disabled says why the endpoint gets nothing any more: "gone" after a 410. Empty: enabled. DisabledAt is when.
	Disabled   string
	DisabledAt time.Time
	// FailingSince is when the present run of nothing but failures began; zero when the last attempt succeeded.
	FailingSince time.Time
	// Paused by an operator, or by the configuration at first sight.
	Paused bool
	// Seen tells that the lane's endpoint has had work, or started paused, before: what the configuration says for the first
	// sight only is not for this one.
	Seen bool
}

// Settlement moves one handed-over delivery on.
type Settlement struct {
	// Delivery as it was handed over, but for its Progress.
	Delivery *Delivery
	// Step of the delivery when it was handed over.
	Step uint16
	// Return puts the delivery back in its lane as it was: no transition is recorded. The other fields are ignored.
	Return bool
	// Transition to record. Its Progress.Step is Step+1. A pending Progress queues the delivery in the lane of its Target,
	// due at Due; a final one ends it.
	Transition Transition
}

// Journal is the half of a store that people look at. Reads see every committed change.
type Journal interface {
	Search

	// Event finds an event by id. Ids are unique per tenant and source only: among several the newest is returned, unless
	// tenant (when not nil) narrows it.
	Event(ctx context.Context, id string, tenant *string) (*EventRecord, error)
	// Delivery finds a delivery with its transitions by its public id.
	Delivery(ctx context.Context, id string) (*DeliveryRecord, error)
	// Counts over all deliveries kept, by state.
	Counts(ctx context.Context) (Counts, error)
	// LaneCounts are the counts by home lane, without Events; lanes without deliveries are left out. It reads one row per
	// lane.
	LaneCounts(ctx context.Context) (map[string]Counts, error)
	// Cancel ends a delivery for an operator; what it does is durable on return. Cancelled: it ended now. Pending: it is
	// handed over and will end when it comes back, see Queue; so it is when it was cancelled before. With ErrFinal the
	// delivery had ended already, in the state returned. ErrNotFound: there is no such delivery.
	Cancel(ctx context.Context, id string) (State, error)
	// Erase removes the payloads of events: body, ordering keys, and of each attempt what the endpoint answered. An event with
	// pending deliveries is left as it is and counted, unless cancel says to cancel these; those in the engine's hands are
	// marked (see Queue), and their attempts leave no excerpt. Events that are gone, or erased already, are passed over.
	// Durable on return; at most MaxErase events.
	Erase(ctx context.Context, seqs []uint64, cancel bool) (Erasure, error)
	// Prune exhausts what is pending past Expire and deletes what was settled before Retention; it works in bounded steps
	// and returns how many deliveries it expired and how many events it deleted.
	Prune(ctx context.Context, p Prune) (expired, deleted int, err error)
}

// EventRecord is an event with all its deliveries in their present state, without transitions.
type EventRecord struct {
	Event      *Event
	Deliveries []*Delivery
}

// DeliveryRecord is a delivery with all that happened to it, oldest first.
type DeliveryRecord struct {
	Delivery    *Delivery
	Transitions []Transition
}

// Counts of deliveries by state, and of events.
type Counts struct {
	Events    uint64 // accepted in all
	Pending   uint64
	Delivered uint64
	Exhausted uint64
	Cancelled uint64
}

// Prune says what is too old.
type Prune struct {
	Now       time.Time
	Expire    time.Duration // pending longer than this since it was planned: exhausted, reason expired
	Retention time.Duration // settled longer ago than this: deleted
	// Expired, when set, is told of each delivery that expired, as it stood before, once that is durable. It must neither
	// block nor call the store.
	Expired func(*Delivery)
}

// Store is all of it.
type Store interface {
	Queue
	Journal
	Documents
	// Close stops the committer after what it holds is committed, and releases the lock. Further calls give ErrUnavailable.
	Close() error
}
