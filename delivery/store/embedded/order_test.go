package embedded_test

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/store/embedded"
)

// reopened opens the store of a file system and attaches an engine that takes all or nothing.
func reopened(t *testing.T, fs vfs.FS, take bool) *embedded.Store {
	t.Helper()
	s, err := embedded.Open(t.Context(), embedded.Options{Dir: dir, FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Attach(&handover{take: take, holds: map[delivery.Key]*delivery.Delivery{}, queued: map[string]int{}}); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestACorruptRecordStopsNoLine damages records of the line a, b, c, and wants all others of it to be delivered, in order,
// and no row of the line to be left.
func TestACorruptRecordStopsNoLine(t *testing.T) {
	t.Parallel()
	event := func(seq uint64) string { return string(binary.BigEndian.AppendUint64([]byte{'e'}, seq)) }
	for _, c := range []struct {
		name   string
		handed bool // the head, else it waits
		damage []string
		want   []string
	}{
		{"a successor's row, known from the event's plan", false, []string{"s"}, []string{"a", "b", "c", "d"}},
		{"the row of the head", false, []string{"o"}, []string{"a", "b", "c", "d"}},
		{"the rows of head and successors", true, []string{"o", "s"}, []string{"a", "b", "c", "d"}},
		{"the event of the next", false, []string{event(2)}, []string{"a", "c", "d"}},
		{"row and event of the next", false, []string{"s", event(2)}, []string{"a", "c", "d"}},
		{"row and event of all successors", false, []string{"s", event(2), event(3)}, []string{"a", "d"}},
		{"the event of a head that waits", false, []string{event(1)}, []string{"b", "c", "d"}},
		{"row and event of a head that waits", false, []string{"q", event(1)}, []string{"b", "c", "d"}},
		{"the event of a head in hand", true, []string{event(1)}, []string{"b", "c", "d"}},
		{"row and event of a head in hand", true, []string{"h", event(1)}, []string{"b", "c", "d"}},
		{"all events", true, []string{"e"}, []string{"d"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			fs := vfs.NewMem()
			s := reopened(t, fs, c.handed)
			if _, err := s.Append(t.Context(), []delivery.Accept{ordered("a"), ordered("b"), ordered("c")}); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			for _, prefix := range c.damage {
				damage(t, fs, []byte(prefix))
			}
			s = reopened(t, fs, false)
			if _, err := s.Append(t.Context(), []delivery.Accept{ordered("d")}); err != nil {
				t.Fatal(err)
			}
			if got := drain(t, s); !slices.Equal(got, c.want) {
				t.Errorf("delivered %v, want %v", got, c.want)
			}
			if n, err := s.Counts(t.Context()); err != nil || int(n.Delivered) != len(c.want) || int(n.Pending) != 4-len(c.want) {
				t.Errorf("counts %+v, %v", n, err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			for _, kind := range []byte("osqhk") {
				if n := rows(t, fs, kind); n != 0 {
					t.Errorf("%d rows of kind %c are left", n, kind)
				}
			}
			if rows(t, fs, '!') == 0 {
				t.Error("nothing was set aside")
			}
		})
	}
}

// TestEndedDeliveriesLeaveNothingBehind wants only events, their transitions and indexes, and counts on disk.
func TestEndedDeliveriesLeaveNothingBehind(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	s := reopened(t, fs, true)
	var ds []*delivery.Delivery
	for range 4 {
		for _, a := range []delivery.Accept{ordered(""), accept("", 10, "x")} {
			a.Event.GivenID, a.Event.ID = false, "made"
			if _, err := s.Append(t.Context(), []delivery.Accept{a}); err != nil {
				t.Fatal(err)
			}
			ds = append(ds, a.Deliveries...)
		}
	}
	for _, d := range ds { // in hand: ds[0] and those without a key
		if _, err := s.Cancel(t.Context(), d.ID); err != nil {
			t.Fatal(err)
		}
	}
	retry := settled(ds[3])
	retry.Transition.Progress.State = delivery.Pending
	for i, err := range s.Settle(t.Context(), []delivery.Settlement{
		settled(ds[0]), {Delivery: ds[1], Return: true}, retry, settled(ds[5]),
	}) {
		if err != nil {
			t.Fatalf("settlement %d: %v", i, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = reopened(t, fs, false) // ds[7] is lost
	if n, err := s.Counts(t.Context()); err != nil || n != (delivery.Counts{Events: 8, Delivered: 2, Cancelled: 6}) {
		t.Errorf("counts %+v, %v", n, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []byte("qhkos!") {
		if n := rows(t, fs, kind); n != 0 {
			t.Errorf("%d rows of kind %c are left", n, kind)
		}
	}
}

// TestPlacesGoOnAfterTheCountsAreLost loses the last sequence number, which a Decide drew.
func TestPlacesGoOnAfterTheCountsAreLost(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	s := reopened(t, fs, false)
	for _, id := range []string{"a", "b"} {
		a := accept(id, 10, "y")
		a.Deliveries, a.Event.Routing = nil, delivery.Undecided
		if _, err := s.Append(t.Context(), []delivery.Accept{a}); err != nil {
			t.Fatal(err)
		}
	}
	for seq := range uint64(2) {
		add := ordered("").Deliveries
		if err := s.Decide(t.Context(), seq+1, delivery.Routed, nil, "", add); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	damage(t, fs, []byte("c"))
	s = reopened(t, fs, false)
	if _, err := s.Append(t.Context(), []delivery.Accept{ordered("c")}); err != nil {
		t.Fatal(err)
	}
	if got := drain(t, s); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("delivered %v", got)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestASettlementThatSuccessorsWaitForIsNotHeldBack: with 50 ms for each, a line of 10,000 would take eight minutes.
func TestASettlementThatSuccessorsWaitForIsNotHeldBack(t *testing.T) {
	t.Parallel()
	b := newBench(t, false)
	batch := make([]delivery.Accept, 101)
	for i := range batch {
		batch[i] = ordered(string(rune('A' + i)))
	}
	if _, err := b.store.Append(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	l := b.lease("x")
	began := time.Now()
	for range len(batch) - 1 {
		if err := b.settle(settled(b.claimFrom(l)[0])); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(began); took > 100*40*time.Millisecond {
		t.Errorf("100 of them took %v", took)
	}
}
