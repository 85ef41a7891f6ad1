package crash

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/atoship/caddy-webhooks/examples/internal/rig"
)

// damagedStore leaves a store with events that nobody has taken yet: its gateway was killed while the receiver was down.
func damagedStore(t *testing.T) *fixture {
	t.Helper()
	f := setup(t)
	f.receiver.away.Store(true)
	for round := range 2 { // the second opening writes what the first left in its log into tables
		gateway := f.start(t)
		if err := gateway.Ready(t.Context(), f.ingest); err != nil {
			t.Fatal(err)
		}
		f.publisher.load(t.Context(), round)
		gateway.Kill()
	}
	f.receiver.away.Store(false)
	return f
}

func (f *fixture) files(t *testing.T) map[string]string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(f.dir, "store", "*"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, name := range names {
		if st, err := os.Stat(name); err == nil && st.Mode().IsRegular() {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			all[filepath.Base(name)] = string(text)
		}
	}
	return all
}

func (f *fixture) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(f.dir, "store", name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestADamagedStoreIsRefusedOrMended damages each kind of file. What cannot be mended is refused with an error that names
// the place, and nothing is lost once the file is put back; a table is mended.
func TestADamagedStoreIsRefusedOrMended(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIP: runs the real gateway; run without -short")
	}
	t.Parallel()
	flip := func(text string, at int) string {
		b := []byte(text)
		b[at] ^= 4
		return string(b)
	}
	for _, c := range []struct {
		name, file string
		damage     func(text string, synced int) string // synced: how much of it is certainly on disk, where that is known
		refused    string                               // what the error says; "" when it is mended
	}{
		// Early in it: what is further on may be left of an earlier use of the file, which nobody reads.
		{"a flipped bit in the log", ".log", func(s string, n int) string { return flip(s, n/3) }, "has changed"},
		{"a flipped bit in the log's last record", ".log", func(s string, n int) string { return flip(s, n-10) }, "has changed"},
		{"a log without its last byte", ".log", func(s string, n int) string { return s[:n-1] }, "ends after"},
		{"half a log", ".log", func(s string, n int) string { return s[:n/2] }, "ends after"},
		{"an empty log", ".log", func(string, int) string { return "" }, "ends after"},
		{"a flipped bit in the manifest", "MANIFEST-", func(s string, n int) string { return flip(s, n/2) }, "has changed"},
		{"a flipped bit in the manifest's last byte", "MANIFEST-", func(s string, n int) string { return flip(s, n-1) }, "has changed"},
		{"a manifest cut short", "MANIFEST-", func(s string, n int) string { return s[:n-3] }, "ends after"},
		{"a flipped bit in what is said of the manifest", "SYNCED", func(s string, _ int) string { return flip(s, len(s)/2) }, ""},
		{"a flipped bit in the format file", "FORMAT", func(s string, _ int) string { return flip(s, 5) }, "FORMAT"},
		{"a store of a newer format", "FORMAT", func(s string, _ int) string {
			return s[:strings.LastIndexByte(s, ' ')+1] + "99\n"
		}, "newer program"},
		{"a flipped bit in a table", ".sst", func(s string, _ int) string { return flip(s, 100) }, ""},
		{"a flipped bit in the options", "OPTIONS-", func(s string, _ int) string { return flip(s, len(s)/2) }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := damagedStore(t)
			files := f.files(t)
			victim := ""
			for name, text := range files {
				if c.file == ".log" { // the newest: an older one may be done with
					if strings.HasSuffix(name, c.file) && len(text) > 0 && name > victim {
						victim = name
					}
				} else if (strings.HasPrefix(name, c.file) || strings.HasSuffix(name, c.file)) && len(text) > len(files[victim]) {
					victim = name
				}
			}
			if victim == "" {
				t.Fatalf("no %s among %d files", c.file, len(files))
			}
			f.write(t, victim, c.damage(files[victim], synced(t, files["SYNCED.now"], victim)))
			before := f.files(t)
			gateway := f.start(t)
			if c.refused == "" {
				f.recovers(t, gateway, gateway.Ready(t.Context(), f.ingest), victim)
				return
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			err := gateway.Exit(ctx)
			if err == nil {
				gateway.Kill()
				t.Fatalf("it starts on a damaged %s", victim)
			}
			if !strings.Contains(err.Error(), c.refused) || !strings.Contains(err.Error(), filepath.Join(f.dir, "store")) {
				t.Errorf("the error names neither %q nor the directory:\n%v", c.refused, err)
			}
			if after := f.files(t); !maps.Equal(after, before) {
				t.Error("files have changed: " + difference(before, after))
			}
			f.write(t, victim, files[victim])
			gateway = f.start(t)
			f.recovers(t, gateway, gateway.Ready(t.Context(), f.ingest), victim)
		})
	}
}

// synced is how much of a file is certainly on disk, as SYNCED.now has it; 0 when that says nothing of the file.
func synced(t *testing.T, now, name string) (n int) {
	t.Helper()
	_, text, found := strings.Cut(now, "\n"+name+" ")
	if _, err := fmt.Sscanf(text, "%d bytes", &n); found && err != nil {
		t.Fatalf("SYNCED.now holds %q", now)
	}
	return n
}

func difference(a, b map[string]string) string {
	var out []string
	for name := range a {
		if a[name] != b[name] {
			out = append(out, fmt.Sprintf("%s (%d, %d bytes)", name, len(a[name]), len(b[name])))
		}
	}
	for name := range b {
		if _, ok := a[name]; !ok {
			out = append(out, name+" is new")
		}
	}
	return strings.Join(out, ", ")
}

// recovers wants all events delivered, but for those that the log calls lost.
func (f *fixture) recovers(t *testing.T, gateway *rig.Gateway, err error, victim string) {
	t.Helper()
	defer func() {
		if err := gateway.Stop(); err != nil {
			t.Errorf("stopping the gateway: %v\n%s", err, gateway.LogTail())
		}
	}()
	if err != nil {
		t.Fatalf("it does not start: %v", err)
	}
	f.publisher.load(t.Context(), 9)
	if strings.HasSuffix(victim, ".sst") { // the damage is met when it is read, and while it is mended events are refused
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		f.publisher.again(ctx)
	}
	text, _ := os.ReadFile(gateway.Log())
	if bytes.Contains(text, []byte("the events in this range")) {
		if !bytes.Contains(text, []byte(victim)) {
			t.Errorf("the log does not name %s", victim)
		}
		return // what is lost is told; what is not, the store's own tests count
	}
	f.nothingLost(t)
}
