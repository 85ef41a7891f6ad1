package embedded

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestAMarkThatWasMovedBackStaysThere is a Decide between two steps of a sweep: it moves the mark back to its event, and
// the sweep's next step must not move it on again.
func TestAMarkThatWasMovedBackStaysThere(t *testing.T) {
	t.Parallel()
	s, err := Open(t.Context(), Options{Dir: "store", FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	w := &expiry{}
	step := func(was, upTo uint64) {
		t.Helper()
		o := &sweepOp{call: newCall(), w: w, was: was, upTo: upTo}
		if err := s.submit(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		if err := s.await(t.Context(), &o.call); err != nil {
			t.Fatal(err)
		}
	}
	mark := func() uint64 {
		t.Helper()
		m, err := s.readMark(t.Context(), w)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	step(0, 50)
	if got := mark(); got != 50 {
		t.Fatalf("the mark is %d after a step to 50", got)
	}
	step(50, 7)   // Decide
	step(50, 100) // the sweep, which knows nothing of it
	if got := mark(); got != 7 {
		t.Errorf("the mark is %d, want 7", got)
	}
}
