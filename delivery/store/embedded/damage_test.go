package embedded_test

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/store/embedded"
)

// damagedStore is a store whose tables hold some of everything: delivered, waiting and ordered deliveries at two lanes.
func damagedStore(t *testing.T) *vfs.MemFS {
	t.Helper()
	mem := vfs.NewCrashableMem()
	for part := range 3 { // each opening flushes what the one before left in its log
		s := openOn(t, mem)
		h := &handover{take: false, holds: map[delivery.Key]*delivery.Delivery{}, queued: map[string]int{}}
		if err := s.Attach(h); err != nil {
			t.Fatal(err)
		}
		for i := range 60 {
			a := accept(fmt.Sprintf("e%d-%d", part, i), 300, []string{"x", "y"}[i%2])
			a.Deliveries[0].Event = a.Event
			if i%3 == 0 {
				a.Deliveries[0].OrderKey = fmt.Sprint("k", i%4)
			}
			if _, err := s.Append(t.Context(), []delivery.Accept{a}); err != nil {
				t.Fatal(err)
			}
		}
		var batch []delivery.Settlement
		for _, d := range claimAll(t, s, "x", 20) {
			batch = append(batch, settled(d))
		}
		if err := errors.Join(s.Settle(t.Context(), batch)...); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	s := openOn(t, mem)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return mem
}

func claimAll(t *testing.T, s *embedded.Store, lane string, n int) []*delivery.Delivery {
	t.Helper()
	l, err := s.Lease(t.Context(), lane)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Release(t.Context()) //nolint:errcheck // it has no errors
	var got delivery.Claimed
	if err := mended(func() (err error) {
		got, err = l.Claim(t.Context(), delivery.Claim{Now: time.Now().Add(time.Hour), Max: n, MaxBytes: 1 << 30})
		return err
	}); err != nil {
		t.Fatalf("claim from %s: %v", lane, err)
	}
	return got.Deliveries
}

// mended tries again while the store is mended.
func mended(try func() error) (err error) {
	for range 500 {
		if err = try(); !errors.Is(err, delivery.ErrUnavailable) {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	return err
}

// flip changes one bit of a file.
func flip(t *testing.T, fs *vfs.MemFS, name string, at int64) {
	t.Helper()
	f, err := fs.OpenReadWrite(fs.PathJoin(dir, name), vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, at); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	b[0] ^= 4
	if _, err := f.WriteAt(b, at); err != nil {
		t.Fatal(err)
	}
}

// TestADamagedTableStopsNothing flips bits in tables, all over them, and wants all work to go on that is not itself lost.
func TestADamagedTableStopsNothing(t *testing.T) {
	t.Parallel()
	mem := damagedStore(t)
	n := 0
	for name, text := range files(t, mem) {
		if !strings.HasSuffix(name, ".sst") {
			continue
		}
		for at := 20; at < len(text); at += 1 + len(text)/8 {
			n++
			t.Run(fmt.Sprintf("%s at %d of %d", name, at, len(text)), func(t *testing.T) {
				t.Parallel()
				fs := mem.CrashClone(vfs.CrashCloneCfg{})
				flip(t, fs, name, int64(at))
				log := &syncBuffer{}
				workOn(t, fs, log)
				if log.count("is corrupt") > 0 && log.count("file="+dir+"/"+name) == 0 {
					t.Errorf("the file is not named:\n%s", log.b.String())
				}
			})
		}
	}
	if n < 12 {
		t.Errorf("only %d places", n)
	}
}

// workOn delivers all there is, and wants every event delivered that the log does not call lost.
func workOn(t *testing.T, fs vfs.FS, log *syncBuffer) {
	t.Helper()
	s, err := embedded.Open(t.Context(), embedded.Options{
		Dir: dir, FS: fs, CacheBytes: 4 << 20, MemTableBytes: 1 << 20, Logger: slog.New(slog.NewTextHandler(log, nil)),
	})
	if err != nil {
		t.Fatalf("it does not open: %v\n%s", err, log.b.String())
	}
	defer s.Close() //nolint:errcheck // checked where it matters
	if err := s.Attach(&handover{queued: map[string]int{}}); err != nil {
		t.Fatalf("attach: %v", err)
	}
	deliver(t, s)
	if err := mended(func() error {
		_, err := s.Append(t.Context(), []delivery.Accept{accept("new", 10, "x")})
		return err
	}); err != nil {
		t.Fatalf("append: %v\n%s", err, log.b.String())
	}
	missing, pending := outcomes(t, s)
	if pending > 0 { // of those whose transitions were found lost only when they were read
		deliver(t, s)
		missing, pending = outcomes(t, s)
	}
	lost := log.count(`lost="the events`) > 0
	if !lost && missing > 0 || pending > 0 || missing > 60 {
		t.Errorf("%d events are missing, %d not delivered; log:\n%s", missing, pending, log.b.String())
	}
	if c, err := s.Counts(t.Context()); err != nil || c.Pending > 1+uint64(missing) || !lost && c.Delivered+c.Pending != 181 {
		t.Errorf("counts %+v, %v", c, err)
	}
	if !s.Healthy() {
		t.Error("it is not healthy")
	}
}

// deliver claims and settles until nothing is due any more.
func deliver(t *testing.T, s *embedded.Store) {
	t.Helper()
	for quiet := 0; quiet < 3; quiet++ {
		for _, lane := range []string{"x", "y"} {
			var batch []delivery.Settlement
			for _, d := range claimAll(t, s, lane, 1000) {
				quiet = 0
				batch = append(batch, settled(d))
			}
			if err := mended(func() error { return errors.Join(s.Settle(t.Context(), batch)...) }); err != nil {
				t.Fatalf("settle: %v", err)
			}
		}
	}
}

// outcomes counts the events that are gone, and those not delivered.
func outcomes(t *testing.T, s *embedded.Store) (missing, pending int) {
	t.Helper()
	for part := range 3 {
		for i := range 60 {
			var r *delivery.EventRecord
			if err := mended(func() (err error) {
				r, err = s.Event(t.Context(), fmt.Sprintf("e%d-%d", part, i), nil)
				return err
			}); err != nil {
				missing++
			} else if r.Deliveries[0].State != delivery.Delivered {
				pending++
			}
		}
	}
	return missing, pending
}
