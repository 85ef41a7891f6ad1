package embedded_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/store/embedded"
)

func onDisk(t *testing.T, dir string) (*embedded.Store, *handover) {
	t.Helper()
	s, err := embedded.Open(t.Context(), embedded.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	h := &handover{holds: map[delivery.Key]*delivery.Delivery{}, queued: map[string]int{}}
	if err := s.Attach(h); err != nil {
		t.Fatal(err)
	}
	return s, h
}

// filesWith lists the files of a directory that hold a text.
func filesWith(t *testing.T, dir, text string) (names []string) {
	t.Helper()
	files := os.DirFS(dir)
	all, err := fs.ReadDir(files, ".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		b, err := fs.ReadFile(files, f.Name())
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // gone meanwhile, as it should
			t.Fatal(err)
		}
		if bytes.Contains(b, []byte(text)) {
			names = append(names, f.Name())
		}
	}
	return names
}

func TestErasedPayloadLeavesTheDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, _ := onDisk(t, dir)
	const body, answer, key = "PLANTED-IN-THE-PAYLOAD", "PLANTED-IN-THE-ANSWER", "PLANTED-IN-THE-KEY"
	a := accept("one", 100, "x")
	a.Event.Body = append(a.Event.Body, body...) // beside bytes that compress, in a file by itself
	a.Deliveries[0].OrderKey = key
	if _, err := s.Append(t.Context(), []delivery.Accept{a, accept("two", 100, "x")}); err != nil {
		t.Fatal(err)
	}
	l, err := s.Lease(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	got, err := l.Claim(t.Context(), delivery.Claim{Now: time.Now().Add(time.Hour), Max: 9, MaxBytes: 1 << 20})
	if err != nil || len(got.Deliveries) != 2 {
		t.Fatalf("claimed %d, %v", len(got.Deliveries), err)
	}
	done := settled(got.Deliveries[0])
	done.Transition.Attempt.Excerpt = []byte(answer)
	if err := s.Settle(t.Context(), []delivery.Settlement{done, settled(got.Deliveries[1])})[0]; err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{body, answer, key} {
		if names := filesWith(t, dir, text); len(names) == 0 {
			t.Fatalf("%s is in no file: the test cannot fail", text)
		}
	}
	if x, err := s.Erase(t.Context(), []uint64{a.Event.Seq}, false); err != nil || x.Erased != 1 {
		t.Fatalf("%+v, %v", x, err)
	}
	if err := s.Scrub(t.Context(), a.Event.Seq, a.Event.Seq); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{body, answer, key} {
		deadline := time.Now().Add(20 * time.Second) // Pebble deletes files on a goroutine of its own
		for names := filesWith(t, dir, text); len(names) > 0; names = filesWith(t, dir, text) {
			if time.Now().After(deadline) {
				t.Fatalf("%s is still in %v", text, names)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	if r, err := s.Event(t.Context(), "two", nil); err != nil || len(r.Event.Body) != 100 {
		t.Errorf("the other event: %+v, %v", r, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, _ = onDisk(t, dir)
	if r, err := s.Event(t.Context(), "one", nil); err != nil || !r.Event.Erased || r.Deliveries[0].State != delivery.Delivered {
		t.Errorf("after a restart: %+v, %v", r, err)
	}
}

func TestBackupOfAStoreAtWorkIsAStore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, _ := onDisk(t, filepath.Join(dir, "store"))
	for i := range 500 {
		if _, err := s.Append(t.Context(), []delivery.Accept{accept(fmt.Sprint("before", i), 2000, "x")}); err != nil {
			t.Fatal(err)
		}
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() { // publishers go on meanwhile
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				if _, err := s.Append(t.Context(), []delivery.Accept{accept(fmt.Sprint("during", i), 2000, "x")}); err != nil {
					t.Error(err)
					return
				}
			}
		}
	}()
	copied := filepath.Join(dir, "copies", "monday")
	if err := s.Backup(t.Context(), copied); err != nil {
		t.Fatal(err)
	}
	if err := s.Backup(t.Context(), copied); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over another one: %v", err)
	}
	close(stop)
	<-stopped
	if !s.Healthy() {
		t.Error("the store did not survive its backup")
	}
	restored, h := onDisk(t, copied)
	c, err := restored.Counts(t.Context())
	if err != nil || c.Pending < 500 || c.Events != c.Pending || h.queued["x"] > 0 {
		t.Errorf("counts %+v, %v", c, err)
	}
	l, err := restored.Lease(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	got, err := l.Claim(t.Context(), delivery.Claim{Now: time.Now().Add(time.Hour), Max: 500, MaxBytes: 1 << 30})
	if err != nil || len(got.Deliveries) != 500 || got.Deliveries[499].Event.ID != "before499" {
		t.Fatalf("claimed %d, %v", len(got.Deliveries), err)
	}
	if err := restored.Settle(t.Context(), []delivery.Settlement{settled(got.Deliveries[0])})[0]; err != nil {
		t.Fatal(err)
	}
	if r, err := s.Event(t.Context(), "before0", nil); err != nil || r.Deliveries[0].State != delivery.Pending {
		t.Errorf("the original heard of it: %+v, %v", r, err)
	}
}

func TestBackupThatCannotBeWrittenHarmsNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, _ := onDisk(t, filepath.Join(dir, "store"))
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Backup(t.Context(), filepath.Join(file, "below")); err == nil {
		t.Error("a directory below a file was written")
	}
	if _, err := s.Append(t.Context(), []delivery.Accept{accept("one", 10, "x")}); err != nil || !s.Healthy() {
		t.Errorf("then the store answers %v", err)
	}
}
