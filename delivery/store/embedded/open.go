package embedded

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/atoship/caddy-webhooks/delivery"
)

// Options of a store. Dir is required.
type Options struct {
	// Dir is the directory that holds the store and nothing else; made when missing.
	Dir string
	// Logger for the operator: failures, recoveries, corrupt records. Default: discards.
	Logger *slog.Logger
	// FS below the store. Default: the operating system's. Tests put faults here.
	FS vfs.FS
	// CacheBytes bounds the memory for blocks read and for memtables together; what memtables leave is for blocks. Default
	// 40 MiB: the 8 MiB that two full memtables leave hold the filters and indexes of the tables. With none left an event
	// whose id the publisher gave cost 60 to 75 µs instead of 30, since its filters were read anew each time; with 32 MiB left
	// it cost 28 µs, and the C allocator held 60 MB more than was in use.
	CacheBytes int64
	// MemTableBytes is when a memtable is flushed; three can exist. Default 16 MiB. An Append of more than half of it
	// costs a flush of its own.
	MemTableBytes uint64
}

func (o Options) withDefaults() (Options, error) {
	if o.Dir == "" {
		return o, errors.New("embedded store: no directory given")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.CacheBytes <= 0 {
		o.CacheBytes = 40 << 20
	}
	if o.MemTableBytes == 0 {
		o.MemTableBytes = 16 << 20
	}
	return o, nil
}

// Store is the embedded delivery.Store. All methods may be called concurrently.
type Store struct {
	o     Options
	lock  io.Closer
	cache *pebble.Cache
	ids   idCipher

	ops      chan op
	reopened chan *conn    // from the reopening goroutine to the committer
	closing  chan struct{} // closed by Close
	exited   chan struct{} // closed by the committer when it has ended
	close    func() error  // once

	mu  sync.RWMutex
	cur *conn // nil while failed; written by the committer, read by all

	totals  atomic.Pointer[delivery.Counts] // published by the committer after each commit, as is pending
	pending sync.Map                        // home lane -> *atomic.Uint64
	indexed atomic.Uint64                   // see indexedKey
	expired atomic.Uint64                   // commits that took waiting deliveries away behind the lanes' backs
	lanes   laneTable
	flights flightTable
	bad     badRecords
	sweeps  sync.Mutex // one Prune at a time
	swept   indexSweep
	backups sync.Mutex // one Backup at a time
	scrubs  sync.Mutex // one Scrub at a time
	use     use
	damages damages

	reopening sync.WaitGroup

	committer // owned by the committer goroutine
}

// Open opens or creates a store and takes the directory for this process alone. A second Open fails at once, one by a
// newer program's format leaves the files untouched. Every Open is followed by one Close.
func Open(ctx context.Context, opts Options) (*Store, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := checkFormat(&o); err != nil {
		return nil, err
	}
	lock, err := takeDirectory(&o)
	if err != nil {
		return nil, err
	}
	s := &Store{
		o: o, lock: lock, cache: pebble.NewCache(o.CacheBytes),
		ops:      make(chan op, maxWaitingOps),
		reopened: make(chan *conn),
		closing:  make(chan struct{}),
		exited:   make(chan struct{}),
	}
	if err := s.start(); err != nil {
		s.cache.Unref()
		return nil, errors.Join(err, lock.Close())
	}
	return s, nil
}

// start does what comes after the lock.
func (s *Store) start() error {
	if err := writeFormat(&s.o); err != nil {
		return err
	}
	c, err := s.connectAndLoad()
	if err != nil {
		return err
	}
	s.lanes.init()
	s.flights.init()
	s.handed = map[delivery.Key]handedOver{}
	s.cur, s.conn = c, c
	s.close = sync.OnceValue(s.shutdown)
	go s.run()
	return nil
}

// connectAndLoad mends what loading comes across; each round finds more or is the last.
func (s *Store) connectAndLoad() (*conn, error) {
	for range 10 {
		c, err := connect(&s.o, s.cache, &s.use, &s.damages)
		if err != nil {
			return nil, err
		}
		if err = s.mend(c); err == nil {
			err = s.load(c)
		}
		if err == nil {
			err = c.peek()
		}
		if err == nil {
			return c, nil
		}
		retry := c.err() != nil && s.damages.any()
		if closed := c.close(); !retry {
			return nil, errors.Join(err, closed)
		}
	}
	return nil, fmt.Errorf("open %s: more is damaged than can be mended", s.o.Dir)
}

// peek reads what an engine reads before it starts, so that damage there is met here.
func (c *conn) peek() error {
	it, err := c.scan([]byte{kindHanded}, []byte{kindCancelled + 1})
	if err != nil {
		return err
	}
	for ok := it.First(); ok; ok = it.Next() {
	}
	return errors.Join(it.Error(), it.Close())
}

// takeDirectory makes the directory, durably, and locks it. The lock is Pebble's own file, so that Pebble's tools respect
// it too; it is held until Close, over all inner reopenings.
func takeDirectory(o *Options) (io.Closer, error) {
	if err := makeDir(o.FS, o.Dir); err != nil {
		return nil, fmt.Errorf("make %s: %w", o.Dir, err)
	}
	lock, err := pebble.LockDirectory(o.Dir, o.FS)
	if _, ok := errors.AsType[*fs.PathError](err); ok { // the file could not even be opened
		return nil, fmt.Errorf("lock the store in %s: %w", abs(o), err)
	}
	if err != nil {
		return nil, fmt.Errorf("the store in %s is in use by another process, or by another engine of this one: %w", abs(o), err)
	}
	return lock, nil
}

func abs(o *Options) string {
	if p, err := filepath.Abs(o.Dir); err == nil && o.FS == vfs.Default {
		return p
	}
	return o.Dir
}

// load reads what the committer keeps in memory: a few meta rows and one row per home lane.
func (s *Store) load(c *conn) error {
	if err := s.loadIDKey(c); err != nil {
		return err
	}
	if err := s.loadCounts(c); err != nil {
		return fmt.Errorf("load counts: %w", err)
	}
	if err := s.loadMarks(c); err != nil {
		return fmt.Errorf("load the sweeps' marks: %w", err)
	}
	if err := s.loadIndexed(c); err != nil {
		return fmt.Errorf("load the mark of the index: %w", err)
	}
	return nil
}

// loadIDKey reads the key of the delivery ids; the first opening draws it.
func (s *Store) loadIDKey(c *conn) error {
	name := namedKey(kindMeta, "id key")
	key, err := getRow(c, name, func(key, val []byte) ([]byte, error) {
		d, err := open(key, val)
		if err != nil {
			return nil, err
		}
		return []byte(d.string()), d.err()
	})
	if errors.Is(err, pebble.ErrNotFound) {
		key = make([]byte, 16)
		if _, err := rand.Read(key); err != nil {
			return fmt.Errorf("draw the key of delivery ids: %w", err)
		}
		b := c.db.NewBatch()
		put(b, name, putString(newRecord(32), key))
		err = c.commit(b)
	}
	if err != nil {
		return fmt.Errorf("read the key of delivery ids: %w", err)
	}
	s.ids, err = newIDCipher(key)
	return err
}

// Close implements delivery.Store. It may be called more than once; all calls give the first one's answer.
func (s *Store) Close() error { return s.close() }

func (s *Store) shutdown() error {
	close(s.closing)
	<-s.exited         // the committer commits what it holds; bounded by a few syncs
	s.reopening.Wait() // a failed conn must be shut off before the directory is anyone else's
	s.mu.Lock()
	c := s.cur
	s.cur = nil
	s.mu.Unlock()
	var err error
	if c != nil {
		err = c.close()
	}
	s.cache.Unref()
	return errors.Join(err, s.lock.Close())
}

// Healthy implements delivery.Queue.
func (s *Store) Healthy() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.cur != nil && s.cur.err() == nil
}

// view gives a reader the present conn, which will not be closed until the reader calls done.
func (s *Store) view(ctx context.Context, doing string) (c *conn, done func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.cur == nil || s.cur.err() != nil {
		return nil, nil, fmt.Errorf("%s: %w", doing, delivery.ErrUnavailable)
	}
	s.cur.readers.Add(1)
	return s.cur, s.cur.readers.Done, nil
}

// makeDir makes a directory that survives a power cut: each name on its way that was missing is synced in its parent.
func makeDir(fs vfs.FS, dir string) error {
	var parents []string
	for at := dir; ; at = fs.PathDir(at) {
		if _, err := fs.Stat(at); err == nil || fs.PathDir(at) == at {
			break
		}
		parents = append(parents, fs.PathDir(at))
	}
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, parent := range parents {
		if err := syncDir(fs, parent); err != nil {
			return err
		}
	}
	return nil
}

// syncDir makes what was created, renamed or removed in a directory survive a power cut.
func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

var _ delivery.Store = (*Store)(nil)
