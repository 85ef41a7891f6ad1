// Package crashpoints proves the first promise for power cuts: it runs the real engine over the embedded store on a file
// system in memory, and cuts the power before every write, sync, rename, creation and removal that the store asks for.
//
//	go test ./delivery/store/embedded/crashpoints                         some hundred points
//	CRASH_POINTS=10000 go test ./delivery/store/embedded/crashpoints      as CI does
//	CRASH_SEED=17 go test -v -run Anywhere ./delivery/store/embedded/crashpoints   one history, 20 times
//
// # How
//
// A seed is a history: three lives of the gateway, one after another, on one disk. A life opens the store, recovers, and
// then does what its seed says: accept alone and in batches, first tries, retries, failover, ordering keys, held routes and
// reloads that decide them or take an endpoint away, pause and resume, cancelling,
// redelivering, replays of an event and of ranges, some of them stopped, hours in which things expire and are deleted, an orderly stop,
// and now and then a disk that fails for a moment. Before each change of the disk a copy of it is taken as a power cut
// would leave it. The next life begins on one of these copies, so that recovery is cut off as well.
//
// Losing power is simulated: what was synced is in the copy, and of what was not (blocks of 4 KiB, names in directories) a
// random part between none and all. A disk that reorders what it reported as synced, or lies about it, is beyond this and
// beyond any software.
//
// # What must hold
//
// Each copy is opened again, its endpoints are healed, its publishers send again what they had no answer for, and then:
//
//   - every accepted event is there with the deliveries it was promised, each delivered, exhausted or cancelled for a reason
//     that is on record, unless retention was due to delete it;
//   - there is nothing that nobody published, and nothing twice; replays make what they promised, and each repeats nothing;
//   - what was delivered, cancelled or paused before the cut still is, and nothing that had ended is tried again;
//   - every request that an endpoint saw is an attempt on record: with its outcome, or as "unknown";
//   - deliveries of one ordering key came one after another, in the order in which they were accepted;
//   - the counts are what counting gives.
//
// TestMistakesAreFound makes mistakes outside the store and wants each found. Mistakes inside were tried by hand, each found
// within 6,000 points: an answer before the sync; a settlement without its transition; nobody promoted when a head ends, or
// in a later commit; a hand-over without its row; counts, ids, decided events, marks of
// cancellations not written; handed-over, waiting and successor rows left behind; sequence numbers given twice.
//
// Time is virtual, so hours of retries take milliseconds. A seed fixes what is done, when, and what each cut loses; how the
// goroutines of one step take turns is the scheduler's business, so a failure that needs a rare turn may need its seed to
// be run more than once.
package crashpoints
