package embedded_test

import (
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/store/embedded"
)

func TestASecondOpenIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a", "store") // the operating system's file system, and directories to be made
	o := embedded.Options{Dir: path}
	s, err := embedded.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := embedded.Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "in use") {
		t.Errorf("second open: %v", err)
	}
	if _, err := s.Append(t.Context(), []delivery.Accept{accept("one", 10, "x")}); err != nil {
		t.Errorf("the first: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := embedded.Open(t.Context(), o)
	if err != nil {
		t.Fatalf("after Close: %v", err)
	}
	if _, err := again.Event(t.Context(), "one", nil); err != nil {
		t.Error(err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}

// files reads a directory.
func files(t *testing.T, fs vfs.FS) map[string]string {
	t.Helper()
	names, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, name := range names {
		f, err := fs.Open(fs.PathJoin(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(f)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = string(b)
		_ = f.Close()
	}
	return all
}

func writeFile(t *testing.T, fs vfs.FS, name, text string) {
	t.Helper()
	f, err := fs.Create(fs.PathJoin(dir, name), vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = f.Write([]byte(text))
	_ = f.Sync()
	_ = f.Close()
}

func TestADirectoryThatIsNotOursIsRefusedUntouched(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, format, want string }{
		{"of a newer program", "caddy-webhooks embedded store, format 3\n", "newer program"},
		{"with a strange format", "something else\n", "something else"},
		{"of another program", "", "another program"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			fs := vfs.NewMem()
			s, err := embedded.Open(t.Context(), embedded.Options{Dir: dir, FS: fs})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if c.format == "" {
				if err := fs.Remove(fs.PathJoin(dir, "FORMAT")); err != nil {
					t.Fatal(err)
				}
			} else {
				writeFile(t, fs, "FORMAT", c.format)
			}
			before := files(t, fs)
			if _, err := embedded.Open(t.Context(), embedded.Options{Dir: dir, FS: fs}); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one about %q", err, c.want)
			}
			if !maps.Equal(files(t, fs), before) {
				t.Error("the files have changed")
			}
		})
	}
}

func TestOpeningNeedsADirectory(t *testing.T) {
	t.Parallel()
	if _, err := embedded.Open(t.Context(), embedded.Options{}); err == nil {
		t.Error("no error without a directory")
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := embedded.Open(t.Context(), embedded.Options{Dir: file}); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("on a file: %v", err)
	}
}

func TestADirectoryThatPebbleCannotOpenIsAnError(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	prepareStore(t, fs)
	for name := range files(t, fs) {
		if strings.HasPrefix(name, "MANIFEST") {
			writeFile(t, fs, name, "not a manifest")
		}
	}
	if _, err := embedded.Open(t.Context(), embedded.Options{Dir: dir, FS: fs}); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("error %v, want one that names the directory", err)
	}
}

// damage flips a bit in the value of every key that begins so.
func damage(t *testing.T, fs vfs.FS, prefix []byte) {
	t.Helper()
	db, err := pebble.Open(dir, &pebble.Options{FS: fs, FormatMajorVersion: pebble.FormatNewest, Logger: pebbleQuiet{}})
	if err != nil {
		t.Fatal(err)
	}
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: append(slices.Clone(prefix), 0xff, 0xff)})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for ok := it.First(); ok; ok = it.Next() {
		val, _ := it.ValueAndErr()
		val = append([]byte(nil), val...)
		val[len(val)/2] ^= 1
		// A single-deleted key may be set once only: delete it first, as if this value had been the first.
		if err := db.Delete(it.Key(), nil); err != nil {
			t.Fatal(err)
		}
		if err := db.Set(it.Key(), val, pebble.Sync); err != nil {
			t.Fatal(err)
		}
		n++
	}
	if err := it.Close(); err != nil || n == 0 {
		t.Fatalf("%d damaged, %v", n, err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// setAside counts the copies of corrupt records.
func setAside(t *testing.T, fs vfs.FS) int { return rows(t, fs, '!') }

// rows counts the rows of a kind in a store that is closed.
func rows(t *testing.T, fs vfs.FS, kind byte) (n int) {
	t.Helper()
	db, err := pebble.Open(dir, &pebble.Options{FS: fs, FormatMajorVersion: pebble.FormatNewest, Logger: pebbleQuiet{}})
	if err != nil {
		t.Fatal(err)
	}
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte{kind}, UpperBound: []byte{kind + 1}})
	if err != nil {
		t.Fatal(err)
	}
	for ok := it.First(); ok; ok = it.Next() {
		n++
	}
	_ = it.Close()
	_ = db.Close()
	return n
}

type pebbleQuiet struct{}

func (pebbleQuiet) Infof(string, ...any)  {}
func (pebbleQuiet) Errorf(string, ...any) {}
func (pebbleQuiet) Fatalf(f string, a ...any) {
	panic(fmt.Sprintf(f, a...))
}

// TestACorruptRecordStopsOnlyItsOwn damages all records of a kind, and wants the store to open, say so once, set them
// aside, and go on with new work in the same lane.
func TestACorruptRecordStopsOnlyItsOwn(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		kind  byte
		waits int // of the two damaged deliveries, how many can still be delivered
	}{
		{"event", 'e', 0},
		{"waiting, known from the event's plan", 'q', 2},
		{"handed over, known from the event's plan", 'h', 2},
		{"transition", 'd', 2},
		{"event id", 'i', 2},
		{"lane state", 'l', 2},
		{"count", 'c', 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			fs := vfs.NewMem()
			prepareStore(t, fs)
			damage(t, fs, []byte{c.kind})
			log := &syncBuffer{}
			s, err := embedded.Open(t.Context(), embedded.Options{Dir: dir, FS: fs, Logger: slog.New(slog.NewTextHandler(log, nil))})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Attach(&handover{queued: map[string]int{}}); err != nil {
				t.Fatal(err)
			}
			if n, err := s.Counts(t.Context()); err != nil || n != (delivery.Counts{Events: 2, Pending: 2}) {
				t.Errorf("counts %+v, %v", n, err)
			}
			if _, err := s.Append(t.Context(), []delivery.Accept{accept("new", 10, "x")}); err != nil {
				t.Fatal(err)
			}
			l, err := s.Lease(t.Context(), "x")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := l.State(t.Context()); err != nil {
				t.Error(err)
			}
			got, err := l.Claim(t.Context(), delivery.Claim{Now: time.Now().Add(time.Hour), Max: 10, MaxBytes: 1 << 20})
			if err != nil || len(got.Deliveries) != c.waits+1 || got.Deliveries[len(got.Deliveries)-1].Event.ID != "new" && c.waits == 0 {
				t.Errorf("claimed %d, %v; want %d and the new one", len(got.Deliveries), err, c.waits)
			}
			for range 2 { // look at everything, twice
				_, _ = s.Event(t.Context(), "waits", nil)
				_, _ = s.Event(t.Context(), "handed", nil)
				if _, err := s.Deliveries(t.Context(), delivery.DeliveryQuery{}); err != nil {
					t.Error(err)
				}
				if _, _, err := s.Prune(t.Context(), delivery.Prune{Now: time.Now(), Expire: time.Hour, Retention: time.Hour}); err != nil {
					t.Error(err)
				}
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			aside := setAside(t, fs)
			if logged := log.count("is corrupt"); logged == 0 || logged != aside {
				t.Errorf("%d reported, %d set aside", logged, aside)
			}
		})
	}
}

// prepareStore leaves one delivery that waits after a try, one in hand, and the state of a lane.
func prepareStore(t *testing.T, fs vfs.FS) {
	t.Helper()
	s, err := embedded.Open(t.Context(), embedded.Options{Dir: dir, FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	h := &handover{take: true, holds: map[delivery.Key]*delivery.Delivery{}, queued: map[string]int{}}
	if err := s.Attach(h); err != nil {
		t.Fatal(err)
	}
	waits, handed := accept("waits", 10, "x"), accept("handed", 10, "x")
	if _, err := s.Append(t.Context(), []delivery.Accept{waits, handed}); err != nil {
		t.Fatal(err)
	}
	retry := settled(waits.Deliveries[0])
	retry.Transition.Progress.State = delivery.Pending
	retry.Transition.Progress.Due = time.Now()
	if err := s.Settle(t.Context(), []delivery.Settlement{retry})[0]; err != nil {
		t.Fatal(err)
	}
	l, err := s.Lease(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.SetState(t.Context(), delivery.LaneState{Paused: true}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
