package embedded_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/store/embedded"
)

// faults is a disk that can be told to fail.
type faults struct {
	fails atomic.Pointer[func(op errorfs.Op) error]
	hits  atomic.Int64
}

func (f *faults) String() string { return "faults" }

func (f *faults) MaybeError(op errorfs.Op) error {
	fails := f.fails.Load()
	if fails == nil {
		return nil
	}
	if err := (*fails)(op); err != nil {
		f.hits.Add(1)
		return err
	}
	return nil
}

func (f *faults) set(fails func(op errorfs.Op) error) { f.fails.Store(&fails) }
func (f *faults) heal()                               { f.fails.Store(nil) }

// bench is a store on a disk with faults, and what it promised.
type bench struct {
	*testing.T

	mem    *vfs.MemFS
	disk   *faults
	store  *embedded.Store
	log    *syncBuffer
	handed *handover
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) count(text string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Count(s.b.String(), text)
}

// handover takes everything, or nothing, and remembers what it holds and was told.
type handover struct {
	take bool

	mu     sync.Mutex
	holds  map[delivery.Key]*delivery.Delivery
	open   int // reserves without a committed
	queued map[string]int
}

func (h *handover) Reserve(*delivery.Delivery) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.open++
	return h.take
}

func (h *handover) Committed(d *delivery.Delivery, handed bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.open--
	if handed && err == nil {
		h.holds[d.Key()] = d
	}
}

func (h *handover) Queued(lane string, _ time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.queued[lane]++
}

func (*handover) Lost(string) {}

func newBench(t *testing.T, take bool) *bench {
	t.Helper()
	b := &bench{T: t, mem: vfs.NewCrashableMem(), disk: &faults{}, log: &syncBuffer{}}
	b.handed = &handover{take: take, holds: map[delivery.Key]*delivery.Delivery{}, queued: map[string]int{}}
	s, err := embedded.Open(t.Context(), embedded.Options{
		Dir: dir, FS: errorfs.Wrap(b.mem, b.disk), CacheBytes: 4 << 20, MemTableBytes: 1 << 20,
		Logger: slog.New(slog.NewTextHandler(b.log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	b.store = s
	t.Cleanup(func() {
		b.disk.heal()
		_ = s.Close()
	})
	if err := s.Attach(b.handed); err != nil {
		t.Fatal(err)
	}
	return b
}

func accept(id string, size int, chain ...string) delivery.Accept {
	ev := &delivery.Event{
		ID: id, GivenID: true, Type: "t", Environment: "production", Accepted: time.Now().UTC().Truncate(time.Millisecond),
		Body: bytes.Repeat([]byte{'x'}, size), ContentType: "text/plain",
	}
	return delivery.Accept{Event: ev, Dedupe: time.Hour, Deliveries: []*delivery.Delivery{
		{Route: "r", Chain: chain, Progress: delivery.Progress{Due: ev.Accepted}},
	}}
}

func (b *bench) append(id string, size int) error {
	_, err := b.store.Append(b.Context(), []delivery.Accept{accept(id, size, "x")})
	return err
}

func settled(d *delivery.Delivery) delivery.Settlement {
	return delivery.Settlement{Delivery: d, Step: d.Step, Transition: delivery.Transition{
		At: time.Now(), Progress: delivery.Progress{Step: d.Step + 1, Attempts: d.Attempts + 1, State: delivery.Delivered},
		Attempt: &delivery.Attempt{N: d.Attempts + 1, Endpoint: d.Lane(), Outcome: "delivered"},
	}}
}

// eventually waits for something that happens on the store's own goroutines.
func (b *bench) eventually(what string, is func() bool) {
	b.Helper()
	for deadline := time.Now().Add(30 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.Fatalf("%s did not happen; log:\n%s", what, b.log.b.String())
		}
	}
}

func noSpace(match func(op errorfs.Op) bool) func(op errorfs.Op) error {
	return func(op errorfs.Op) error {
		if match(op) {
			return syscall.ENOSPC
		}
		return nil
	}
}

func writes(op errorfs.Op) bool {
	switch op.Kind {
	case errorfs.OpFileWrite, errorfs.OpFileSync, errorfs.OpFileSyncData, errorfs.OpCreate, errorfs.OpReuseForWrite:
		return true
	default:
		return false
	}
}

func TestAFailedDiskIsSurvived(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		fails      func(op errorfs.Op) bool
		reopensToo bool // and the reopenings meanwhile
	}{
		{"every write fails", writes, true},
		{"syncs of the log fail", func(op errorfs.Op) bool {
			return strings.HasSuffix(op.Path, ".log") && (op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData)
		}, false},
		{"writes to the log fail", func(op errorfs.Op) bool {
			return strings.HasSuffix(op.Path, ".log") && op.Kind == errorfs.OpFileWrite
		}, false},
		{"no new log can be made", func(op errorfs.Op) bool {
			return strings.HasSuffix(op.Path, ".log") && (op.Kind == errorfs.OpCreate || op.Kind == errorfs.OpReuseForWrite)
		}, false},
		{"tables cannot be written", func(op errorfs.Op) bool {
			return strings.HasSuffix(op.Path, ".sst") && op.Kind == errorfs.OpFileWrite
		}, false},
		{"no table can be made", func(op errorfs.Op) bool {
			return strings.HasSuffix(op.Path, ".sst") && op.Kind == errorfs.OpCreate
		}, false},
		{"the manifest cannot be synced", func(op errorfs.Op) bool {
			return strings.Contains(op.Path, "MANIFEST") && op.Kind == errorfs.OpFileSync
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, false)
			kept := map[string]bool{}
			try := func(i int) error {
				id := fmt.Sprint("e", i)
				err := b.append(id, 64<<10) // a few of them fill a memtable
				if err == nil {
					kept[id] = true
				} else if !errors.Is(err, delivery.ErrUnavailable) {
					t.Fatalf("append: %v", err)
				}
				return err
			}
			n := 0
			for ; n < 8; n++ {
				if err := try(n); err != nil {
					t.Fatal(err)
				}
			}
			b.disk.set(noSpace(c.fails))
			b.eventually("the failure", func() bool { n++; return try(n) != nil })
			if b.store.Healthy() {
				t.Error("healthy after a failure")
			}
			if err := try(n + 1); err == nil {
				t.Error("accepted while the disk fails")
			}
			b.eventually("the message", func() bool { return b.log.count("the store failed") > 0 }) // behind the refusal
			if got := b.log.count("the store failed"); got != 1 || b.log.count("no space left") == 0 {
				t.Errorf("the failure is logged %d times", got)
			}
			if c.reopensToo {
				hits := b.disk.hits.Load()
				b.eventually("a reopening that fails as well", func() bool { return b.disk.hits.Load() >= hits+2 })
			}
			b.disk.heal()
			b.eventually("the recovery", b.store.Healthy)
			b.eventually("the message that ends each failure's", func() bool { return b.log.count("the store works again") == b.log.count("the store failed") })
			n += 2
			if err := try(n); err != nil {
				t.Errorf("after the recovery: %v", err)
			}
			b.wantAll(b.store, kept)
			b.handed.mu.Lock()
			defer b.handed.mu.Unlock()
			if b.handed.open != 0 || b.handed.queued["x"] == 0 {
				t.Errorf("%d reserves were never answered; queued %v", b.handed.open, b.handed.queued)
			}
		})
	}
}

// An opening whose log fills more than a memtable writes a table, and Pebble tries that for as long as it takes.
func TestAnOpeningEndsThatCannotWriteTables(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		fails errorfs.OpKind
	}{
		{"no table can be made", errorfs.OpCreate},
		{"tables cannot be written", errorfs.OpFileWrite},
		{"tables cannot be synced", errorfs.OpFileSyncData},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, false)
			b.disk.set(noSpace(func(op errorfs.Op) bool { return strings.HasSuffix(op.Path, ".sst") && op.Kind == c.fails }))
			kept := map[string]bool{}
			b.eventually("the failure", func() bool {
				id := fmt.Sprint("e", len(kept))
				err := b.append(id, 64<<10)
				kept[id] = err == nil
				return err != nil
			})
			delete(kept, fmt.Sprint("e", len(kept)-1))
			killed := b.mem.CrashClone(vfs.CrashCloneCfg{})
			open := func() (*embedded.Store, error) {
				return embedded.Open(t.Context(), embedded.Options{
					Dir: dir, FS: errorfs.Wrap(killed, b.disk), CacheBytes: 4 << 20, MemTableBytes: 1 << 20,
					Logger: slog.New(slog.NewTextHandler(b.log, nil)),
				})
			}
			if s, err := open(); err == nil {
				_ = s.Close()
				t.Error("opened, and cannot write")
			} else if !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("opening: %v; want ENOSPC", err)
			}
			if err := b.store.Close(); err != nil && !errors.Is(err, delivery.ErrUnavailable) {
				t.Errorf("closing the failed store: %v", err)
			}
			b.disk.heal()
			s, err := open()
			if err != nil {
				t.Fatal(err)
			}
			b.wantAll(s, kept)
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// wantAll wants all kept events in the store, and in the lane exactly once.
func (b *bench) wantAll(s *embedded.Store, kept map[string]bool) {
	b.Helper()
	for id := range kept {
		if _, err := s.Event(b.Context(), id, nil); err != nil {
			b.Errorf("accepted and lost: %v", err)
		}
	}
	l, err := s.Lease(b.Context(), "x")
	if err != nil {
		b.Fatal(err)
	}
	got, err := l.Claim(b.Context(), delivery.Claim{Now: time.Now().Add(time.Hour), Max: 1 << 20, MaxBytes: 1 << 40})
	if err != nil {
		b.Fatal(err)
	}
	for _, d := range got.Deliveries {
		delete(kept, d.Event.ID)
	}
	if len(kept) > 0 {
		b.Errorf("accepted and not waiting: %v", kept)
	}
}

func TestWhatTheEngineHoldsStaysItsOwnOverAReopening(t *testing.T) {
	t.Parallel()
	b := newBench(t, true)
	for i := range 3 {
		if err := b.append(fmt.Sprint("e", i), 10); err != nil {
			t.Fatal(err)
		}
	}
	var ds []*delivery.Delivery
	for _, d := range b.handed.holds {
		ds = append(ds, d)
	}
	b.disk.set(noSpace(writes))
	for _, err := range b.store.Settle(t.Context(), []delivery.Settlement{settled(ds[0])}) {
		if !errors.Is(err, delivery.ErrUnavailable) {
			t.Errorf("settle on a failing disk: %v", err)
		}
	}
	b.disk.heal()
	b.eventually("the recovery", b.store.Healthy)
	// The first settlement may have survived or not; trying again is right either way.
	for i, err := range b.store.Settle(t.Context(), []delivery.Settlement{
		settled(ds[0]), settled(ds[1]), {Delivery: ds[2], Return: true},
	}) {
		if err != nil {
			t.Errorf("settlement %d: %v", i, err)
		}
	}
	for i, d := range ds[:2] {
		r, err := b.store.Delivery(t.Context(), d.ID)
		if err != nil || r.Delivery.State != delivery.Delivered || len(r.Transitions) != 1 {
			t.Errorf("delivery %d: %+v, %v", i, r, err)
		}
	}
	if c, err := b.store.Counts(t.Context()); err != nil || c != (delivery.Counts{Events: 3, Pending: 1, Delivered: 2}) {
		t.Errorf("counts %+v, %v", c, err)
	}
}

func TestOneFailureAnywhereLosesNothing(t *testing.T) {
	t.Parallel()
	for n := range int64(24) {
		t.Run(fmt.Sprintf("when write %d fails", n*3), func(t *testing.T) {
			t.Parallel()
			b := newBench(t, n%2 == 0)
			var seen atomic.Int64
			b.disk.set(func(op errorfs.Op) error {
				if writes(op) && seen.Add(1) == n*3+1 {
					return syscall.EIO
				}
				return nil
			})
			kept := map[string]bool{}
			for i := 0; i < 40 || seen.Load() <= n*3; i++ {
				id := fmt.Sprint("e", i)
				switch err := b.append(id, 40<<10); {
				case err == nil:
					kept[id] = true
				case !errors.Is(err, delivery.ErrUnavailable):
					t.Fatal(err)
				default:
					b.eventually("the recovery", b.store.Healthy)
				}
			}
			b.eventually("health", b.store.Healthy)
			b.eventually("the recovery", func() bool { return b.append("last", 10) == nil })
			// What the engine holds is lost by the power cut, and so waits again.
			cut := powerCut(b.mem, rand.New(rand.NewPCG(uint64(n), 2)))
			again := openOn(t, cut)
			if err := again.Attach(&handover{queued: map[string]int{}}); err != nil {
				t.Fatal(err)
			}
			b.wantAll(again, kept)
		})
	}
}

// TestAPowerCutUnderLoadLosesNothingAcknowledged cuts the power at random moments while calls are under way.
func TestAPowerCutUnderLoadLosesNothingAcknowledged(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			b := newBench(t, seed%2 == 0)
			rng := rand.New(rand.NewPCG(seed, 3))
			var mu sync.Mutex
			kept, done := map[string]bool{}, map[string]bool{} // acknowledged; by delivery id: settled
			ctx, stop := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			for g := range 4 {
				wg.Go(func() {
					for i := 0; ctx.Err() == nil; i++ {
						a := accept(fmt.Sprint(g, "-", i), 2<<10, "x")
						if _, err := b.store.Append(context.WithoutCancel(ctx), []delivery.Accept{a}); err != nil {
							t.Error(err)
							return
						}
						mu.Lock()
						kept[a.Event.ID] = true
						mu.Unlock()
						if seed%2 == 0 && i%3 == 0 {
							s := settled(a.Deliveries[0])
							if err := b.store.Settle(context.WithoutCancel(ctx), []delivery.Settlement{s})[0]; err != nil {
								t.Error(err)
								return
							}
							mu.Lock()
							done[s.Delivery.ID] = true
							mu.Unlock()
						}
					}
				})
			}
			for range 5 {
				time.Sleep(time.Duration(5+rng.IntN(40)) * time.Millisecond)
				mu.Lock()
				wantKept, wantDone := clone(kept), clone(done)
				mu.Unlock()
				checkCut(t, powerCut(b.mem, rng), wantKept, wantDone)
			}
			stop()
			wg.Wait()
		})
	}
}

func clone(m map[string]bool) map[string]bool {
	c := make(map[string]bool, len(m))
	for k := range m {
		c[k] = true
	}
	return c
}

func checkCut(t *testing.T, cut *vfs.MemFS, kept, done map[string]bool) {
	t.Helper()
	s := openOn(t, cut)
	for id := range kept {
		if _, err := s.Event(t.Context(), id, nil); err != nil {
			t.Errorf("acknowledged and lost: %v", err)
		}
	}
	for id := range done {
		if r, err := s.Delivery(t.Context(), id); err != nil || r.Delivery.State != delivery.Delivered {
			t.Errorf("settled and lost: %s, %v", id, err)
		}
	}
	recount(t, s)
	if err := s.Attach(&handover{queued: map[string]int{}}); err != nil {
		t.Fatal(err)
	}
	recount(t, s)
}

// recount counts all there is, one by one.
func recount(t *testing.T, s *embedded.Store) {
	t.Helper()
	want, err := s.Counts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := delivery.Counts{Events: want.Events}
	for q := (delivery.DeliveryQuery{Limit: 500}); ; {
		page, err := s.Deliveries(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range page.Items {
			switch d.State {
			case delivery.Pending:
				got.Pending++
			case delivery.Delivered:
				got.Delivered++
			case delivery.Exhausted:
				got.Exhausted++
			case delivery.Cancelled:
				got.Cancelled++
			}
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			break
		}
	}
	if got != want || got.Events != got.Pending+got.Delivered {
		t.Errorf("counts say %+v, there are %+v", want, got)
	}
}

// A store may fail between its opening and its Attach, as when a compaction meets damage at once.
func TestAttachWaitsForAStoreThatFailed(t *testing.T) {
	t.Parallel()
	for _, heals := range []bool{true, false} {
		t.Run(fmt.Sprint("heals ", heals), func(t *testing.T) {
			t.Parallel()
			disk, log := &faults{}, &syncBuffer{}
			s, err := embedded.Open(t.Context(), embedded.Options{
				Dir: dir, FS: errorfs.Wrap(vfs.NewCrashableMem(), disk), CacheBytes: 4 << 20, MemTableBytes: 1 << 20,
				Logger: slog.New(slog.NewTextHandler(log, nil)),
			})
			if err != nil {
				t.Fatal(err)
			}
			disk.set(noSpace(writes))
			if _, err := s.Append(t.Context(), []delivery.Accept{accept("e", 10, "x")}); !errors.Is(err, delivery.ErrUnavailable) {
				t.Fatalf("append: %v", err)
			}
			attached := make(chan error)
			go func() { attached <- s.Attach(&handover{queued: map[string]int{}}) }()
			(&bench{T: t, log: log}).eventually("a reopening that fails", func() bool { return disk.hits.Load() > 3 })
			if heals {
				disk.heal()
				if err := <-attached; err != nil {
					t.Errorf("attach: %v", err)
				}
				_ = s.Close()
				return
			}
			closed := make(chan struct{})
			go func() {
				defer close(closed)
				_ = s.Close() // the failure is known
			}()
			if err := <-attached; !errors.Is(err, delivery.ErrUnavailable) {
				t.Errorf("attach: %v; want that the store is unavailable", err)
			}
			<-closed
		})
	}
}
