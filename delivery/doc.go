// Package delivery is the engine of the gateway: it takes events, plans their deliveries, and tries each delivery until
// its endpoint answers 2xx, its schedule is spent or an operator ends it.
//
// # The promise
//
// Accept returns only after the events and their deliveries would survive a power cut. From then on every delivery is
// tried at least once and reaches exactly one final state. Each HTTP try leaves one attempt on record; one whose outcome
// a crash swallowed is recorded as "unknown". After a crash duplicates are bounded by what was handed over and not yet
// settled (the lanes' windows), and carry the same event id. Order is the store's sequence, not the clock.
//
// # The path of one event
//
//	httpapi      decodes the request                      -> []*Event
//	accept.go    1  Engine.Accept: intake open? size?
//	route.go     2  Router.Route                          -> deliveries, each with its chain of targets
//	store.go     3  Queue.Append: one durable commit      -> receipts; 202 goes out
//	handover.go  4  Reserve/Committed: straight into the primary's window, or it waits in the store
//	lane_work.go 5  gates: stopping? removed? paused? disabled? told to wait? breaker? slots? engine's share?
//	deliver.go   6  one try: headers, signature, RoundTrip, capped read, retry.Classify
//	settle.go    7  what the outcome means: delivered | again at t | next target | exhausted
//	settler.go   8  Queue.Settle: attempt and next state in one batched commit
//	failover.go     a lane that cannot be tried now moves what has another target
//	refill.go       a lane that fell behind claims from the store
//
// # The life of a delivery
//
//	            ┌──── held (breaker open, disabled, Retry-After, local fault, removed) ◄──┐
//	accepted ─►│ waiting ─► handed over ─► attempting ─► 2xx ───────────► delivered       │
//	            │   ▲                        │ failed, schedule left ─► waiting until t ──┘
//	            │   └────────────────────────┤ failed, target left ─► waits at the next target
//	            │                            └ nothing left ─────────► exhausted (dead letter)
//	            └─ older than Plan.Expire ──────────────────────────► exhausted, reason "expired"
//
// # Lanes
//
// Each endpoint is a lane with its own window of deliveries in memory, its own breaker and its own slots, so a dead or
// slow endpoint delays only itself. A lane is caught up when everything due for it is in memory: then fresh deliveries
// are handed to it by the committer, in commit order, and read nothing from the store before they settle. When its
// window is full or its endpoint is down it is behind: only the store holds the backlog, and the lane claims windows of
// it as it can. It is caught up again when a claim found the end of what is due; what reached the store during that claim
// is known by its due time, and goes first.
//
// An endpoint has a lane while it has work, or while something is to be remembered about it; see rest.go. The others cost
// what their settings cost, however many a plan has.
//
// # Goroutines
//
// All start from Open or from a lane's pump: the settler, the maintainer (retention, idle lanes), one refill per lane at
// most, and one worker per attempt within the lane's slots (up to 64 idle ones wait for the next attempt of any lane, since
// a goroutine whose stack has grown costs 4 % less than a fresh one). Shutdown waits for each that works. Two contexts: work ends when the
// engine stops taking work, abort when it stops working.
package delivery
