package embedded_test

import (
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/store/embedded"
)

// flushedStore is a store whose only life went through several flushes, and compactions if there was time for them.
func flushedStore(t *testing.T, events int, each func(mem *vfs.MemFS, accepted int)) *vfs.MemFS {
	t.Helper()
	mem := vfs.NewCrashableMem()
	s, err := embedded.Open(t.Context(), embedded.Options{Dir: dir, FS: mem, CacheBytes: 1 << 20, MemTableBytes: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	for i := range events {
		if _, err := s.Append(t.Context(), []delivery.Accept{accept(fmt.Sprint("e", i), 6<<10, "x")}); err != nil {
			t.Fatal(err)
		}
		each(mem, i+1)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return mem
}

// currentManifest is the manifest that a directory's marker names.
func currentManifest(t *testing.T, all map[string]string) string {
	t.Helper()
	for name := range all {
		if strings.HasPrefix(name, "marker.manifest.") {
			return name[strings.LastIndexByte(name, '.')+1:]
		}
	}
	t.Fatal("no marker names a manifest")
	return ""
}

func wantEvents(t *testing.T, s *embedded.Store, ids []string) {
	t.Helper()
	for _, id := range ids {
		if _, err := s.Event(t.Context(), id, nil); err != nil {
			t.Fatalf("lost without a word: %v", err)
		}
	}
}

func TestADamagedManifestIsRefusedUntouched(t *testing.T) {
	t.Parallel()
	var flushed, reopened []string
	for i := range 120 {
		flushed = append(flushed, fmt.Sprint("e", i))
	}
	for i := range 180 {
		reopened = append(reopened, fmt.Sprintf("e%d-%d", i/60, i%60))
	}
	for _, c := range []struct {
		name string
		mem  *vfs.MemFS
		ids  []string
	}{
		{"of one long life", flushedStore(t, len(flushed), func(*vfs.MemFS, int) {}), flushed},
		{"of several lives", damagedStore(t), reopened},
	} {
		all, n := files(t, c.mem), 0
		manifest := currentManifest(t, all)
		for what, text := range damages(all[manifest]) {
			fs := c.mem.CrashClone(vfs.CrashCloneCfg{})
			writeFile(t, fs, manifest, text)
			before := files(t, fs)
			s, err := embedded.Open(t.Context(), embedded.Options{Dir: dir, FS: fs})
			if err == nil {
				t.Errorf("%s: %s is not refused", c.name, what)
				_ = s.Close()
				continue
			}
			if !strings.Contains(err.Error(), manifest) || !strings.Contains(err.Error(), "restore the directory") {
				t.Errorf("%s, %s: the error does not say what to do: %v", c.name, what, err)
			}
			if !maps.Equal(files(t, fs), before) {
				t.Errorf("%s, %s: files have changed", c.name, what)
			}
			if n++; n%20 == 1 {
				writeFile(t, fs, manifest, all[manifest])
				wantEvents(t, openOn(t, fs), c.ids)
			}
		}
	}
}

// damages of a file, all over it.
func damages(text string) map[string]string {
	all := map[string]string{}
	for at := 0; at < len(text); at += 1 + len(text)/20 {
		all[fmt.Sprintf("a bit flipped at %d of %d", at, len(text))] = text[:at] + string([]byte{text[at] ^ 4}) + text[at+1:]
		all[fmt.Sprintf("cut short at %d of %d", at, len(text))] = text[:at]
		all[fmt.Sprintf("zeroes from %d of %d", at, len(text))] = text[:at] + strings.Repeat("\x00", len(text)-at)
	}
	return all
}

// killed is what a process leaves that is killed after so many events: all that it wrote, synced or not.
func killed(t *testing.T, events int) *vfs.MemFS {
	t.Helper()
	mem := vfs.NewCrashableMem()
	s := openOn(t, mem)
	for i := range events {
		if _, err := s.Append(t.Context(), []delivery.Accept{accept(fmt.Sprint("e", i), 2<<10, "x")}); err != nil {
			t.Fatal(err)
		}
	}
	return mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
}

func newestLog(all map[string]string) (name string) {
	for n := range all {
		if strings.HasSuffix(n, ".log") && n > name {
			name = n
		}
	}
	return name
}

func TestADamagedLogIsRefusedUntouched(t *testing.T) {
	t.Parallel()
	const events = 40
	var ids []string
	for i := range events {
		ids = append(ids, fmt.Sprint("e", i))
	}
	stopped := func() *vfs.MemFS {
		mem := killed(t, 0)
		s := openOn(t, mem)
		for _, id := range ids {
			if _, err := s.Append(t.Context(), []delivery.Accept{accept(id, 2<<10, "x")}); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		return mem.CrashClone(vfs.CrashCloneCfg{}) // nothing is on disk that was not synced
	}
	for _, c := range []struct {
		name string
		mem  *vfs.MemFS
	}{{"of a process that was killed", killed(t, events)}, {"of one that was stopped, and the power cut", stopped()}} {
		all, n := files(t, c.mem), 0
		log := newestLog(all)
		for what, text := range damages(all[log]) {
			fs := c.mem.CrashClone(vfs.CrashCloneCfg{})
			writeFile(t, fs, log, text)
			before := files(t, fs)
			s, err := embedded.Open(t.Context(), embedded.Options{Dir: dir, FS: fs})
			if err == nil {
				t.Errorf("%s: %s is not refused", c.name, what)
				_ = s.Close()
				continue
			}
			if !strings.Contains(err.Error(), log) || !strings.Contains(err.Error(), "restore the directory") {
				t.Errorf("%s, %s: the error does not say what to do: %v", c.name, what, err)
			}
			if !maps.Equal(files(t, fs), before) {
				t.Errorf("%s, %s: files have changed", c.name, what)
			}
			if n++; n%20 == 1 {
				writeFile(t, fs, log, all[log])
				wantEvents(t, openOn(t, fs), ids)
			}
			if !strings.HasPrefix(what, "cut short") {
				continue
			}
			fs = c.mem.CrashClone(vfs.CrashCloneCfg{})
			writeFile(t, fs, log, text)
			if err := fs.Remove(fs.PathJoin(dir, "SYNCED")); err != nil { // as the error says
				t.Fatal(err)
			}
			wantOldest(t, openOn(t, fs), ids)
		}
	}
}

// wantOldest wants that no event is there that is younger than one that is lost.
func wantOldest(t *testing.T, s *embedded.Store, ids []string) {
	t.Helper()
	lost := ""
	for _, id := range ids {
		_, err := s.Event(t.Context(), id, nil)
		switch {
		case err != nil && lost == "":
			lost = id
		case err == nil && lost != "":
			t.Errorf("%s is there and %s is lost", id, lost)
		}
	}
	if lost == "" {
		t.Error("nothing is lost by a log cut short")
	}
}

func TestDamageToALogThatIsDoneWithIsNotRefused(t *testing.T) {
	t.Parallel()
	mem := flushedStore(t, 120, func(*vfs.MemFS, int) {})
	all := files(t, mem)
	n := 0
	for name, text := range all {
		if !strings.HasSuffix(name, ".log") || name == newestLog(all) || text == "" {
			continue
		}
		n++
		fs := mem.CrashClone(vfs.CrashCloneCfg{})
		writeFile(t, fs, name, text[:len(text)/2])
		openOnce(t, fs)
	}
	if n == 0 {
		t.Error("no log waits to be used again")
	}
}

// TestAManifestThatAPowerCutLeavesIsNotRefused cuts the power while tables are flushed and compacted, and again during the
// next opening, with any part of what was not synced on disk.
func TestAManifestThatAPowerCutLeavesIsNotRefused(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(19, 5))
	flushedStore(t, 240, func(mem *vfs.MemFS, accepted int) {
		if accepted%4 > 0 {
			return
		}
		var ids []string // what is younger than a flush, and some of what is older
		for i := accepted - 1; i >= 0; i -= 1 + (accepted-1-i)/10 {
			ids = append(ids, fmt.Sprint("e", i))
		}
		cut := powerCut(mem, rng)
		for range 2 {
			s, err := embedded.Open(t.Context(), embedded.Options{Dir: dir, FS: cut, CacheBytes: 1 << 20, MemTableBytes: 64 << 10})
			if err != nil {
				t.Fatalf("after %d events: %v\n%v", accepted, err, files(t, cut)["SYNCED"])
			}
			wantEvents(t, s, ids)
			next := powerCut(cut, rng)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			cut = next
		}
		openOnce(t, cut)
	})
}

func openOnce(t *testing.T, fs vfs.FS) {
	t.Helper()
	s, err := embedded.Open(t.Context(), embedded.Options{Dir: dir, FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestAnEditThatWasBeingWrittenIsNotRefused(t *testing.T) {
	t.Parallel()
	mem := damagedStore(t)
	all := files(t, mem)
	manifest := currentManifest(t, all)
	for _, tail := range []string{"\x00", "\x12\x34\x56", "\x12\x34\x56\x78\x40\x00\x01half of it", strings.Repeat("\x00", 5000)} {
		fs := mem.CrashClone(vfs.CrashCloneCfg{})
		writeFile(t, fs, manifest, all[manifest]+tail)
		openOnce(t, fs)
	}
}

func TestTheFilesBesideTheManifestAreChecked(t *testing.T) {
	t.Parallel()
	mem := damagedStore(t)
	all := files(t, mem)
	manifest := currentManifest(t, all)
	marker := ""
	for name := range all {
		if strings.HasSuffix(name, "."+manifest) {
			marker = name
		}
	}
	for _, c := range []struct {
		name    string
		damage  func(fs vfs.FS) error
		refused string
	}{
		{"a lost marker", func(fs vfs.FS) error { return fs.Remove(fs.PathJoin(dir, marker)) }, "no file marker.manifest names it"},
		{"a lost manifest", func(fs vfs.FS) error { return fs.Remove(fs.PathJoin(dir, manifest)) }, manifest},
		{"an older marker", func(fs vfs.FS) error {
			writeFile(t, fs, "MANIFEST-000001", all[manifest])
			writeFile(t, fs, marker[:len(marker)-len(manifest)]+"MANIFEST-000001", "")
			return fs.Remove(fs.PathJoin(dir, marker))
		}, "names the older MANIFEST-000001"},
		{"a damaged SYNCED", func(fs vfs.FS) error {
			writeFile(t, fs, "SYNCED", strings.Replace(all["SYNCED"], " bytes", "0 bytes", 1))
			return nil
		}, ""},
		{"an empty SYNCED", func(fs vfs.FS) error { writeFile(t, fs, "SYNCED", ""); return nil }, ""},
		{"no SYNCED, and an empty manifest", func(fs vfs.FS) error {
			writeFile(t, fs, manifest, "")
			return fs.Remove(fs.PathJoin(dir, "SYNCED"))
		}, manifest},
		{"no SYNCED.now", func(fs vfs.FS) error { return fs.Remove(fs.PathJoin(dir, "SYNCED.now")) }, ""},
		{"a SYNCED.now that never came to disk", func(fs vfs.FS) error {
			writeFile(t, fs, "SYNCED.now", strings.Repeat("\x00", 512))
			return nil
		}, ""},
		{"no SYNCED", func(fs vfs.FS) error { return fs.Remove(fs.PathJoin(dir, "SYNCED")) }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			fs := mem.CrashClone(vfs.CrashCloneCfg{})
			if err := c.damage(fs); err != nil {
				t.Fatal(err)
			}
			before := files(t, fs)
			log := &syncBuffer{}
			s, err := embedded.Open(t.Context(), embedded.Options{Dir: dir, FS: fs, Logger: slog.New(slog.NewTextHandler(log, nil))})
			if err == nil {
				defer s.Close() //nolint:errcheck // not the point
			}
			switch {
			case c.refused == "" && err != nil:
				t.Error(err)
			case c.refused == "":
				wantEvents(t, s, []string{"e0-0", "e2-59"})
				if want := strings.Contains(c.name, "a damaged") || strings.Contains(c.name, "an empty"); (log.count("is corrupt") > 0) != want {
					t.Errorf("the log says:\n%s", log.b.String())
				}
			case err == nil || !strings.Contains(err.Error(), c.refused):
				t.Errorf("error %v, want one about %q", err, c.refused)
			case !maps.Equal(files(t, fs), before):
				t.Error("files have changed")
			}
		})
	}
}

// cuts takes a copy of the disk as a power cut leaves it before each change.
type cuts struct {
	mem  *vfs.MemFS
	kept int

	mu   sync.Mutex // Pebble changes files from several goroutines
	rng  *rand.Rand
	left map[string]*vfs.MemFS
}

func (*cuts) String() string { return "cuts" }

func (c *cuts) MaybeError(op errorfs.Op) error {
	switch op.Kind {
	case errorfs.OpCreate, errorfs.OpLink, errorfs.OpRemove, errorfs.OpRename, errorfs.OpReuseForWrite, errorfs.OpFileWrite,
		errorfs.OpFileWriteAt, errorfs.OpFileSync, errorfs.OpFileSyncData:
		c.mu.Lock()
		defer c.mu.Unlock()
		at := fmt.Sprintf("with %d %% of what is not synced, before change %d, of %s", c.kept, len(c.left), op.Path)
		c.left[at] = c.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: c.kept, RNG: c.rng})
	default:
	}
	return nil
}

// TestNoStepOfAnOpeningLeavesARefusedStore cuts the power between the steps by which an opening, and the end, move on to
// another manifest and log, twice over: what the first opening left is opened with cuts as well.
func TestNoStepOfAnOpeningLeavesARefusedStore(t *testing.T) {
	t.Parallel()
	ids := []string{"e0", "e10", "e39"}
	for _, kept := range []int{0, 50, 100} {
		c := &cuts{kept: kept, rng: rand.New(rand.NewPCG(23, uint64(kept))), left: map[string]*vfs.MemFS{}}
		c.mem = killed(t, 40)
		again := []*vfs.MemFS{c.mem}
		steps := 0
		for life := range 2 {
			for _, c.mem = range again {
				openOnce(t, errorfs.Wrap(c.mem, c))
			}
			again = again[:0]
			for at, left := range c.left {
				steps++
				if life == 0 && steps%5 == 0 {
					again = append(again, left.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: c.rng}))
				}
				s, err := embedded.Open(t.Context(), embedded.Options{Dir: dir, FS: left})
				if err != nil {
					t.Errorf("%s: %v", at, err)
					continue
				}
				wantEvents(t, s, ids)
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}
			clear(c.left)
		}
		if steps < 200 {
			t.Errorf("only %d steps", steps)
		}
	}
}

// TestNobodyFailsWithoutACompanionOfSYNCED wants commits to go on when SYNCED.now cannot be written, and what SYNCED says at the end.
func TestNobodyFailsWithoutACompanionOfSYNCED(t *testing.T) {
	t.Parallel()
	b := newBench(t, false)
	b.disk.set(noSpace(func(op errorfs.Op) bool { return strings.HasSuffix(op.Path, "SYNCED.now") }))
	for i := range 20 {
		if err := b.append(fmt.Sprint("e", i), 10); err != nil {
			t.Fatal(err)
		}
	}
	if b.disk.hits.Load() == 0 {
		t.Fatal("nobody wanted to write it")
	}
	if err := b.store.Close(); err != nil {
		t.Fatal(err)
	}
	all := files(t, b.mem)
	log := newestLog(all)
	writeFile(t, b.mem, log, all[log][:len(all[log])-1])
	if _, err := embedded.Open(t.Context(), embedded.Options{Dir: dir, FS: b.mem}); err == nil || !strings.Contains(err.Error(), log) {
		t.Errorf("error %v, want one about %s", err, log)
	}
}
