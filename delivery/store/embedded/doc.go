// Package embedded keeps events and deliveries in a directory of this machine: the store that needs no service. It is a
// delivery.Store on top of Pebble, a log-structured key-value engine; keys.go draws the key space and codec.go a record.
//
// # How a call is committed
//
//	Append ─┐  encode, look up    ┌───────────┐  one batch,  ┌────────┐
//	Claim  ─┤  given ids, find    │ committer │  one sync    │ conn   │──► Pebble ──► gate ──► disk
//	Settle ─┼────────────────────►│ goroutine │─────────────►│        │
//	Decide ─┤  in the caller's    └───────────┘              └────────┘
//	Prune  ─┘  goroutine            Reserve ▲    Committed, Queued │ then the callers wake
//	                                        └── Handover ◄─────────┘
//
// All changes go through one goroutine. It takes what waits (at most 10,000 deliveries or 8 MiB), writes it as one Pebble
// batch and syncs that once; while the disk works, the next group collects. Settlements alone wait for company: at most
// 50 ms or 256 of them. What is waiting and what is handed over is checked there, against a list of what the engine
// holds, so that settling reads nothing but, once for each head of requests, whether it is there. Reads use Pebble directly and see every committed change.
//
// # If power goes
//
// Every row below is one synced batch: all of it is on disk or none. After "none", the caller has had no answer or an error.
//
//	Append    event, id, mark if undecided; per delivery   none: nothing promised. all: kept, whether or not the answer
//	          a waiting or a handed-over row; counts       went out; publishers send again with the same id.
//	Claim     waiting row -> handed-over row               none: they wait. all: Attach finds them handed over and
//	                                                       lets them wait again, marked as lost: perhaps tried.
//	Settle    handed-over row -> transition, its index     none: as for a claim: a duplicate, marked. all: settled.
//	          rows, the head of its request if new,        No attempt is on record whose head is not.
//	          waiting row if it goes on; counts
//	Return    handed-over row -> waiting row               none: waits again, marked as lost. all: waits.
//	SetState  the lane's row                               none: the state before, and the operator had no answer.
//	Document  put or deleted; the last sequence number     none: as before, no answer. all: as asked.
//	Decide    event anew, waiting rows, mark, counts       none: undecided as before. all: decided.
//	Attach    handed-over row -> transition "lost" and     none: found again by the next Attach. all: waits.
//	          waiting row; counts                          Steps of 1,000: some may be done and others not.
//	expire    waiting row -> transition "expired"; counts  none: the next Prune does it. Steps of 200 events.
//	delete    all rows of an event; counts                 none: the next Prune does it. Steps of 200 events.
//	Cancel    waiting or successor row -> transition       none: pending, no answer. all: cancelled, or ends when it
//	          "ended"; in hand: a mark; counts             comes back. CancelLane: in steps of 1,000.
//	Extend    event anew, rows as for Append; counts       none: as before, no answer. all: added.
//	erase     event anew without what it carried           none: as before, no answer. all: erased.
//	index     index rows of what is old                    none: the next Prune does it.
//	aside     copy of a corrupt record                     none: the next reader of the record copies it.
//	opening   id key, where the index begins; recount      none: drawn or counted by the next opening.
//	reopening handed-over rows nobody holds -> waiting     none: the next reopening, or Attach, finds them.
//	mending   see damage.go: cut and put back in one edit  none: met again. cut and not made anew: MENDING says so, and
//	          of the manifest, then rows made anew         the next opening goes on.
//	marker    what it names is synced before it            none: the manifest before. all: the new one.
//	SYNCED    written aside, synced, renamed, dir synced   none: it vouches for less, and nothing is removed yet.
//	SYNCED    over what was there, after each sync of a    none: it vouches for less. In one sector: never a part.
//	  .now    log or manifest; not synced itself
//	FORMAT    written aside, synced, renamed, dir synced   none: an empty directory, or a store of an earlier format as
//	                                                       it was. all: one without events, or with the earlier's.
//
// # If the disk fails
//
// A failed write or sync means that nobody knows what is on disk, least of all the page cache. So the store gives the
// whole Pebble instance up: a gate below it lets nothing through any more (Pebble cannot be stopped otherwise), all calls
// get ErrUnavailable, and a new instance is opened over what the disk really has, after 250 ms and then at growing
// intervals up to 10 s. The directory's lock is held throughout. Pebble's habit of ending the process is taken away.
// A record that cannot be read is reported once, copied aside, and stops nothing but its own delivery. A table of Pebble's
// with a damaged block is kept aside whole, the damaged range of keys is cut out, and what is lost is told; see damage.go.
//
// A damaged manifest, log or FORMAT is refused at opening, with its name and nothing changed: put it back, or restore a backup.
// Pebble would take a manifest or log that ends too early for one that the power cut short, and lose what was accepted without a
// word; SYNCED and SYNCED.now tell the two apart (synced.go). After a kill or an orderly stop a single byte that is missing shows.
// After a power cut one shows that was synced before SYNCED.now last came to disk by itself, within some 30 s on Linux. A log
// that is cut short and gone for good costs the events accepted last: removing SYNCED opens the store without them.
//
// # Memory
//
// 40 MiB of cache by default, out of which the memtables (three of 16 MiB at most, mostly one or two) are taken; some 30 MiB of Pebble's
// own; one entry per home lane for the counts, one per delivery in the engine's hands. The backlog costs disk only.
package embedded
