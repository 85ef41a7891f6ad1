// Package crash holds the proof of the first promise: it kills the real gateway with SIGKILL at random moments, under load
// from a real client, and then counts.
//
//	go test ./examples/crash                        5 rounds
//	KILL_ROUNDS=200 go test ./examples/crash        as CI does, in a minute or two
//	KILL_SEED=7 go test -v ./examples/crash         the moments of an earlier run
//
// What must hold, however often the process dies:
//
//   - every event that was answered 202 (or 200 as a duplicate) reaches the receiver;
//   - an event reaches it again only if a crash lies between, and after one crash at most Repeats events do;
//   - every attempt that the receiver saw is in the log under its number, as itself or as "unknown".
//
// A killed process loses its memory, not the operating system's: power cuts are simulated in
// delivery/store/embedded/crashpoints.
//
// Beside that, the disk fails while the real gateway runs: strace makes its syncs, renames and the n-th writes of its log answer
// EIO or ENOSPC or kills it there, its files may not grow, its file system is full (as root, in a mount namespace of its own) or
// becomes read-only (as root, on a loop device, by an error that ext4 makes on demand). Each time it must say what happened and
// stop acknowledging, and deliver all it acknowledged once the disk is put right. A damaged store must be mended or refused, with
// nothing changed and the place named: a flipped bit in each kind of file, logs and manifests that are cut short.
//
// A hundred reloads under load must lose nothing, repeat nothing, and leave alone what did not change: a breaker that is open,
// a rate limit that is used up.
package crash

// Repeats bounds how many events may arrive again because of one crash: those being tried, as many as the endpoint's
// concurrency (16), and those whose answer was not yet written, at most one batch of settlements in the making and one
// being committed (256 rows each).
const Repeats = 16 + 2*256
