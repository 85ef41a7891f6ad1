package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
)

// conn is one opening of the Pebble directory. When it fails it is given up and another one opened.
type conn struct {
	db   *pebble.DB
	gate *gate

	// failed is closed by the first fail, from any goroutine of ours or Pebble's; cause is written before that.
	failed   chan struct{}
	failOnce sync.Once
	cause    error

	opts        *pebble.Options
	damages     *damages
	mending     atomic.Bool // damage is collected, and fails nothing
	corruptOnce sync.Once   // Pebble tries a compaction again and again

	readers sync.WaitGroup // Pebble panics when it is read after Close

	// Commits run on a goroutine of the conn's own, so that one that hangs with its disk cannot take the committer with
	// it when the conn fails. Written by the committer, one at a time.
	batches chan *pebble.Batch
	results chan error
	stuck   bool // a commit panicked inside Pebble, which leaves its locks held; read after batches is drained
}

// connect opens the directory. Panics of Pebble are errors here: Open has some for damaged directories.
func connect(o *Options, cache *pebble.Cache, u *use, found *damages) (opened *conn, err error) {
	w, err := newWitness(o)
	if err != nil {
		return nil, err
	}
	c := &conn{
		damages: found,
		failed:  make(chan struct{}),
		batches: make(chan *pebble.Batch),
		results: make(chan error, 1),
	}
	c.gate = newGate(u, w, c.fail)
	c.mending.Store(true) // until mend: Pebble compacts as soon as it is open, and dies when that meets a failed opening
	defer func() {
		if r := recover(); r != nil {
			opened, err = nil, fmt.Errorf("open %s: %v", o.Dir, r)
		}
		if err != nil {
			c.gate.shut()
			c.gate.closeFiles()
			if refused := w.refusal(); refused != nil {
				err = refused
			}
		}
	}()
	c.opts = c.options(o, cache)
	c.db, err = pebble.Open(o.Dir, c.opts)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", o.Dir, err)
	}
	c.gate.opening.Store(false)
	if err := c.err(); err != nil { // one that Open, or a flush it started, carried on after
		c.gate.shut()
		_ = c.closeDB()
		return nil, fmt.Errorf("open %s: %w", o.Dir, err)
	}
	go c.commitLoop()
	return c, nil
}

// options: memory is the cache (default 40 MiB), out of which Pebble also takes its memtables (at most 3 of 16 MiB, then it
// makes writers wait), what the C allocator cannot give back of it, and about 30 MiB of tables' indexes and buffers. It does
// not grow with the backlog.
func (c *conn) options(o *Options, cache *pebble.Cache) *pebble.Options {
	po := &pebble.Options{
		FS:                 c.gate,
		Cache:              cache,
		FormatMajorVersion: pebble.FormatNewest,
		Logger:             pebbleLogger{c, o.Logger},
		EventListener: &pebble.EventListener{
			BackgroundError: func(err error) { c.background(err, o.Logger) },
			DataCorruption:  func(i pebble.DataCorruptionInfo) { c.damaged(i, o) },
		},
		MemTableSize:                o.MemTableBytes,
		MemTableStopWritesThreshold: 3,
		MaxOpenFiles:                512,
		// Two compactions keep up with 10,000 events a second and leave a core to everything else.
		CompactionConcurrencyRange: func() (int, int) { return 1, 2 },
		// Writing a WAL back bit by bit keeps the sync of a commit from paying for megabytes.
		WALBytesPerSync: 512 << 10,
	}
	tables(po)
	for i := range po.Levels {
		// Given event ids that are new, the common case, are answered by the filters without reading a block.
		po.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	return po
}

// background judges an error of a flush or compaction. Most fail the conn: Pebble would try again at once, for ever. Of what
// is corrupt damaged has heard; what could not be mended fails nothing, since the rest of the store works.
func (c *conn) background(err error, log *slog.Logger) {
	if pebble.IsCorruptionError(err) {
		c.corruptOnce.Do(func() { log.Error("the store cannot compact a corrupt file", "error", err) })
		return
	}
	c.fail(err)
	// Open waits for its first flush, which Pebble tries until it succeeds. In the void it does, and the conn is given up.
	c.gate.opening.Store(false)
}

// fail marks the conn as failed, for the first cause, and lets nothing of it reach the disk any more.
func (c *conn) fail(cause error) {
	c.failOnce.Do(func() {
		c.cause = cause
		c.gate.void.Store(true)
		close(c.failed)
	})
}

// err is the cause when the conn has failed.
func (c *conn) err() error {
	select {
	case <-c.failed:
		return c.cause
	default:
		return nil
	}
}

// commit applies a batch and syncs it. Without an error it would survive a power cut; with one it may or may not, and the
// conn is failed. Called by the committer only.
func (c *conn) commit(b *pebble.Batch) error {
	select {
	case c.batches <- b:
	case <-c.failed:
		return c.cause
	}
	select {
	case err := <-c.results:
		if err != nil {
			c.fail(err)
			return err
		}
		return c.err()
	case <-c.failed:
		return c.cause
	}
}

func (c *conn) commitLoop() {
	for b := range c.batches {
		c.results <- c.apply(b)
	}
	close(c.results)
}

// apply commits. Pebble's Apply returns nil whatever the disk said (see gate), so the conn's own state decides. The gate
// marks it before Pebble goes on, so what is unmarked here is on disk.
func (c *conn) apply(b *pebble.Batch) (err error) {
	defer func() {
		if r := recover(); r != nil {
			c.stuck = true
			err = fmt.Errorf("commit: pebble panicked: %v\n%s", r, debug.Stack())
		}
	}()
	began := time.Now()
	if err := c.db.Apply(b, pebble.Sync); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	if err := c.err(); err != nil {
		return err
	}
	c.gate.use.committed(time.Since(began))
	return b.Close()
}

// retire makes a failed conn harmless, at once, and closes it in the background. Should Pebble have panicked, for a reason
// of its own, it cannot be closed, and its memtables (at most 48 MiB) stay with the process.
func (c *conn) retire() {
	c.gate.shut()
	close(c.batches)
	go func() {
		for range c.results { //nolint:revive // wait for the commit under way, if it ever ends
		}
		c.readers.Wait()
		if !c.stuck {
			_ = c.closeDB()
		}
		c.gate.closeFiles()
	}()
}

// close ends a conn that works: it waits for its readers and for Pebble's flushes and compactions under way.
func (c *conn) close() error {
	close(c.batches)
	for range c.results { //nolint:revive // none is under way: the committer has ended
	}
	c.readers.Wait()
	err := errors.Join(c.closeDB(), c.gate.change(c.gate.witness.finish))
	c.gate.shut()
	c.gate.closeFiles()
	return err
}

func (c *conn) closeDB() (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("close: %v", r)
		}
	}()
	return c.db.Close()
}

// pebbleLogger keeps Pebble quiet, and the process alive: Pebble's own logger exits it on a fatal error. Fatalf returns, and
// what Pebble does after that happens in the void.
type pebbleLogger struct {
	c   *conn
	log *slog.Logger
}

func (l pebbleLogger) Infof(format string, args ...any) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.Debug("pebble", "says", fmt.Sprintf(format, args...))
	}
}

func (l pebbleLogger) Errorf(format string, args ...any) {
	l.log.Warn("pebble", "says", fmt.Sprintf(format, args...))
}

func (l pebbleLogger) Fatalf(format string, args ...any) {
	for _, a := range args {
		if err, ok := a.(error); ok { // keep it, so that errors.Is finds "no space left on device"
			l.c.fail(err)
			return
		}
	}
	l.c.fail(fmt.Errorf(format, args...))
}
