package embedded_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/store/embedded"
)

// The cases here are about commits that were answered with an error and survived all the same: the log was written, its
// sync failed, and the next opening finds what was written.

func logSync(op errorfs.Op) bool {
	return strings.HasSuffix(op.Path, ".log") && (op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData)
}

// survives runs a call whose commit is answered with an error but survives, and waits until the store works again.
func (b *bench) survives(call func() error) {
	b.Helper()
	b.disk.set(noSpace(logSync))
	if err := call(); !errors.Is(err, delivery.ErrUnavailable) {
		b.Fatalf("the call's answer: %v", err)
	}
	b.disk.heal()
	b.eventually("the recovery", b.store.Healthy)
}

func (b *bench) settle(s ...delivery.Settlement) error {
	return b.store.Settle(b.Context(), s)[0]
}

func (b *bench) claimFrom(l delivery.Lane) []*delivery.Delivery {
	b.Helper()
	got, err := l.Claim(b.Context(), delivery.Claim{Now: time.Now().Add(time.Hour), Max: 10, MaxBytes: 1 << 20})
	if err != nil {
		b.Fatal(err)
	}
	return got.Deliveries
}

func (b *bench) lease(name string) delivery.Lane {
	b.Helper()
	l, err := b.store.Lease(b.Context(), name)
	if err != nil {
		b.Fatal(err)
	}
	return l
}

func (b *bench) only() *delivery.Delivery {
	b.Helper()
	for _, d := range b.handed.holds {
		return d
	}
	b.Fatal("the engine holds nothing")
	return nil
}

func TestAnAppendThatFailedAndSurvivedWaitsUnmarked(t *testing.T) {
	t.Parallel()
	b := newBench(t, true)
	b.survives(func() error { return b.append("one", 10) })
	if len(b.handed.holds) != 0 {
		t.Fatal("the engine was given what it was told had failed")
	}
	ds := b.claimFrom(b.lease("x"))
	if len(ds) != 1 || ds[0].Step != 0 || ds[0].Unknowns != 0 {
		t.Fatalf("claimed %+v", ds)
	}
	if got := b.handed.queued["x"]; got == 0 {
		t.Error("the engine was not told that something waits")
	}
	receipts, err := b.store.Append(t.Context(), []delivery.Accept{accept("one", 10, "x")})
	if err != nil || !receipts[0].Duplicate {
		t.Errorf("sent again: %+v, %v", receipts, err)
	}
}

func TestASettlementThatFailedAndSurvivedIsTakenAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t, true)
	if err := b.append("one", 10); err != nil {
		t.Fatal(err)
	}
	s := settled(b.only())
	b.survives(func() error { return b.settle(s) })
	if err := b.settle(s); err != nil {
		t.Errorf("the same again: %v", err)
	}
	if err := b.settle(s); !errors.Is(err, delivery.ErrStale) {
		t.Errorf("and once more: %v", err)
	}
	if r, err := b.store.Delivery(t.Context(), s.Delivery.ID); err != nil || len(r.Transitions) != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	if n, err := b.store.Counts(t.Context()); err != nil || n != (delivery.Counts{Events: 1, Delivered: 1}) {
		t.Errorf("counts %+v, %v: it was counted twice", n, err)
	}
}

func TestAReturnThatFailedAndSurvivedIsFoundByALaneThatWasPastIt(t *testing.T) {
	t.Parallel()
	b := newBench(t, false)
	l := b.lease("x") // held throughout: it remembers where its rows begin
	if err := b.append("early", 10); err != nil {
		t.Fatal(err)
	}
	early := b.claimFrom(l)
	time.Sleep(2 * time.Millisecond) // a later due time
	if err := b.append("late", 10); err != nil {
		t.Fatal(err)
	}
	if ds := b.claimFrom(l); len(ds) != 1 {
		t.Fatalf("claimed %d", len(ds))
	}
	b.survives(func() error { return b.settle(delivery.Settlement{Delivery: early[0], Return: true}) })
	if ds := b.claimFrom(l); len(ds) != 1 || ds[0].Event.ID != "early" {
		t.Errorf("claimed %+v", ds)
	}
}

func TestAClaimThatFailedAndSurvivedWaitsAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t, false)
	if err := b.append("one", 10); err != nil {
		t.Fatal(err)
	}
	l := b.lease("x")
	b.survives(func() error {
		_, err := l.Claim(t.Context(), delivery.Claim{Now: time.Now().Add(time.Hour), Max: 10, MaxBytes: 1 << 20})
		return err
	})
	if ds := b.claimFrom(l); len(ds) != 1 || ds[0].Unknowns != 0 {
		t.Errorf("claimed %+v", ds)
	}
}

// ordered is an accept whose delivery has the ordering key "k".
func ordered(id string) delivery.Accept {
	a := accept(id, 10, "x")
	a.Deliveries[0].OrderKey = "k"
	return a
}

// drain delivers all that waits at x, one claim after another, and returns the events in order.
func drain(t *testing.T, s *embedded.Store) (ids []string) {
	t.Helper()
	l, err := s.Lease(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	for empty := 0; empty < 5; { // a claim that finds a corrupt record may only promote the next
		got, err := l.Claim(t.Context(), delivery.Claim{Now: time.Now().Add(time.Hour), Max: 10, MaxBytes: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		if empty++; len(got.Deliveries) > 0 {
			empty = 0
		}
		for _, d := range got.Deliveries {
			ids = append(ids, d.Event.ID)
			if err := s.Settle(t.Context(), []delivery.Settlement{settled(d)})[0]; err != nil {
				t.Fatal(err)
			}
		}
	}
	return ids
}

func TestAPromotionThatFailedAndSurvivedIsTold(t *testing.T) {
	t.Parallel()
	b := newBench(t, true)
	for _, id := range []string{"a", "b", "c"} {
		if _, err := b.store.Append(t.Context(), []delivery.Accept{ordered(id)}); err != nil {
			t.Fatal(err)
		}
	}
	s := settled(b.only())
	b.survives(func() error { return b.settle(s) })
	if err := b.settle(s); err != nil {
		t.Errorf("the same again: %v", err)
	}
	if got := b.handed.queued["x"]; got == 0 { // the settlement came after the reminder
		t.Error("the engine was not told that something waits")
	}
	if got := drain(t, b.store); !slices.Equal(got, []string{"b", "c"}) {
		t.Errorf("delivered %v", got)
	}
}

func TestAHeadThatFailedAndSurvivedIsTheHead(t *testing.T) {
	t.Parallel()
	b := newBench(t, true)
	b.survives(func() error {
		_, err := b.store.Append(b.Context(), []delivery.Accept{ordered("a"), ordered("b")})
		return err
	})
	if _, err := b.store.Append(t.Context(), []delivery.Accept{ordered("c")}); err != nil {
		t.Fatal(err)
	}
	if len(b.handed.holds) != 0 {
		t.Error("a successor was handed over")
	}
	if got := drain(t, b.store); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("delivered %v", got)
	}
}

func TestACancelThatFailedAndSurvivedHolds(t *testing.T) {
	t.Parallel()
	b := newBench(t, true)
	if err := b.append("one", 10); err != nil {
		t.Fatal(err)
	}
	d := b.only()
	b.survives(func() error {
		_, err := b.store.Cancel(b.Context(), d.ID)
		return err
	})
	if state, err := b.store.Cancel(t.Context(), d.ID); err != nil || state != delivery.Pending {
		t.Errorf("cancelled again: %v, %v", state, err)
	}
	if err := b.settle(delivery.Settlement{Delivery: d, Return: true}); err != nil {
		t.Fatal(err)
	}
	if r, err := b.store.Delivery(t.Context(), d.ID); err != nil || r.Delivery.State != delivery.Cancelled {
		t.Errorf("%+v, %v", r, err)
	}
	if n := b.store.Pending("x"); n != 0 {
		t.Errorf("%d pending", n)
	}
}

// TestASecondAppendOfAnIDWaitsForTheFirst holds the first one's sync back.
func TestASecondAppendOfAnIDWaitsForTheFirst(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		fails bool
	}{{"and is its duplicate when that succeeds", false}, {"and is stored when that fails", true}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, false)
			syncing, proceed := make(chan struct{}), make(chan struct{})
			b.disk.set(func(op errorfs.Op) error {
				// The write comes before the sync; failing it keeps the first Append from surviving.
				if !strings.HasSuffix(op.Path, ".log") || op.Kind != errorfs.OpFileWrite {
					return nil
				}
				b.disk.heal()
				close(syncing)
				<-proceed
				if c.fails {
					return errorfs.ErrInjected
				}
				return nil
			})
			first := make(chan error, 1)
			go func() { first <- b.append("one", 10) }()
			<-syncing
			second := make(chan delivery.Receipt, 1)
			go func() {
				for { // a failure of the first closes the store for a moment
					rs, err := b.store.Append(t.Context(), []delivery.Accept{accept("one", 10, "x")})
					if err == nil {
						second <- rs[0]
						return
					}
					if !errors.Is(err, delivery.ErrUnavailable) {
						t.Error(err)
						close(second)
						return
					}
					time.Sleep(time.Millisecond)
				}
			}()
			select {
			case <-second:
				t.Fatal("the second did not wait")
			case <-time.After(20 * time.Millisecond):
			}
			close(proceed)
			if err := <-first; (err != nil) != c.fails {
				t.Errorf("the first: %v", err)
			}
			if r := <-second; r.Duplicate == c.fails {
				t.Errorf("the second: %+v", r)
			}
			if n, err := b.store.Counts(t.Context()); err != nil || n.Events != 1 {
				t.Errorf("counts %+v, %v", n, err)
			}
		})
	}
}

func TestAStoreCanBeClosedWhileItFails(t *testing.T) {
	t.Parallel()
	b := newBench(t, false)
	if err := b.append("one", 10); err != nil {
		t.Fatal(err)
	}
	b.disk.set(noSpace(writes))
	if err := b.append("two", 10); !errors.Is(err, delivery.ErrUnavailable) {
		t.Fatalf("append: %v", err)
	}
	if err := b.store.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	b.disk.heal()
	again := openOn(t, b.mem) // the lock is free, and nothing of the failed opening writes any more
	if err := again.Attach(&handover{queued: map[string]int{}}); err != nil {
		t.Fatal(err)
	}
	b.wantAll(again, map[string]bool{"one": true})
}

func TestSettlementsAloneDoNotWaitLong(t *testing.T) {
	t.Parallel()
	b := newBench(t, true)
	if err := b.append("one", 10); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := b.settle(settled(b.only())); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < 40*time.Millisecond || took > 5*time.Second {
		t.Errorf("it took %v, want the 50 ms of the contract and no more than a busy machine adds", took)
	}
}

func TestSettlementsRideOnTheNextAppend(t *testing.T) {
	t.Parallel()
	b := newBench(t, true)
	if err := b.append("one", 10); err != nil {
		t.Fatal(err)
	}
	s := settled(b.only())
	done := make(chan error, 1)
	go func() { done <- b.settle(s) }()
	for i := 0; ; i++ { // appends until one takes the settlement along: the second at the latest, once it is queued
		if err := b.append(fmt.Sprint("e", i), 10); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
			return
		default:
		}
	}
}

func TestADocumentThatFailedAndSurvivedIsThereAtItsRevision(t *testing.T) {
	t.Parallel()
	b := newBench(t, true)
	put := func(body string, revision uint64) (uint64, error) {
		return b.store.PutDocument(t.Context(), delivery.Document{Kind: "k", Name: "n", Body: []byte(body), Revision: revision})
	}
	old, err := put("first", 0)
	if err != nil {
		t.Fatal(err)
	}
	b.survives(func() error { _, err := put("second", old); return err })
	d, err := b.store.Document(t.Context(), "k", "n")
	if err != nil || string(d.Body) != "second" || d.Revision <= old {
		t.Fatalf("%+v, %v", d, err)
	}
	if _, err := put("second", old); !errors.Is(err, delivery.ErrRevision) {
		t.Errorf("its repetition: %v", err)
	}
	if again, err := put("third", d.Revision); err != nil || again <= d.Revision {
		t.Errorf("revision %d after %d, %v", again, d.Revision, err)
	}
}
