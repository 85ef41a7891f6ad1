package crashpoints

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/store/embedded"
)

// findings are what a life or a verifier has to object to.
type findings struct {
	mu   sync.Mutex
	list []string
}

func (f *findings) Errorf(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = append(f.list, fmt.Sprintf(format, args...))
}

func (f *findings) Failed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.list) > 0
}

func (f *findings) String() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.list[:min(len(f.list), 20)], "\n")
}

// fault is a mistake between the engine and its store, or between the store and its disk. The zero fault makes none.
type fault struct {
	store func(s delivery.Store) delivery.Store
	disk  func(fs vfs.FS) vfs.FS
}

func (f fault) wrapStore(s *embedded.Store) delivery.Store {
	if f.store == nil {
		return s
	}
	return f.store(s)
}

func (f fault) wrapDisk(fs vfs.FS) vfs.FS {
	if f.disk == nil {
		return fs
	}
	return f.disk(fs)
}

// TestMistakesAreFound makes the mistakes that the harness is there to find.
func TestMistakesAreFound(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name string
		f    fault
	}{
		{"a disk that has not synced the log it says it has", fault{disk: func(fs vfs.FS) vfs.FS { return forgetful{fs} }}},
		{"an attempt that is not recorded", with(func(s *mistakes) { s.settle = noAttempt })},
		{"a settlement that is not made", with(func(s *mistakes) { s.settle = nothing })},
		{"a failure recorded as a success", with(func(s *mistakes) { s.settle = allWell })},
		{"an order that is not kept", with(func(s *mistakes) { s.accept = noOrder })},
		{"a delivery that is not planned", with(func(s *mistakes) { s.accept = noLast })},
		{"an event id that is not looked up", with(func(s *mistakes) { s.accept = unknownID })},
		{"a cancellation that is not made", with(func(s *mistakes) { s.noCancel = true })},
		{"a retention that comes too early", with(func(s *mistakes) { s.early = true })},
		{"a pause that is not written", with(func(s *mistakes) { s.noState = true })},
		{"a redelivery that is not made", with(func(s *mistakes) { s.extend = notMade })},
		{"a replay that does not know what it made", with(func(s *mistakes) { s.extend = madeTwice })},
	}
	for _, c := range cases[:min(mistaken, len(cases))] {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for seed := uint64(1); seed < 40; seed++ {
				if points, found := chronicle(t, seed, c.f); found != "" {
					t.Logf("seed %d, after %d points: %s", seed, points, strings.SplitAfterN(found, "\n", 3)[:2])
					return
				}
			}
			t.Error("not found")
		})
	}
}

// forgetful forgets to sync logs.
type forgetful struct{ vfs.FS }

func (f forgetful) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return f.forget(name)(f.FS.Create(name, c))
}

func (f forgetful) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return f.forget(to)(f.FS.ReuseForWrite(from, to, c))
}

func (forgetful) forget(name string) func(vfs.File, error) (vfs.File, error) {
	return func(file vfs.File, err error) (vfs.File, error) {
		if err == nil && strings.HasSuffix(name, ".log") {
			return unsynced{file}, nil
		}
		return file, err
	}
}

type unsynced struct{ vfs.File }

func (unsynced) Sync() error                { return nil }
func (unsynced) SyncData() error            { return nil }
func (unsynced) SyncTo(int64) (bool, error) { return true, nil }

// mistakes is a store that makes some.
type mistakes struct {
	delivery.Store

	settle   func(*delivery.Settlement)
	accept   func(*delivery.Accept)
	extend   func(delivery.Store, []delivery.Extension) ([]delivery.Extended, error)
	noCancel bool
	early    bool
	noState  bool
}

func with(how func(*mistakes)) fault {
	return fault{store: func(s delivery.Store) delivery.Store {
		m := &mistakes{Store: s}
		how(m)
		return m
	}}
}

func noAttempt(s *delivery.Settlement) { s.Transition.Attempt = nil }
func nothing(s *delivery.Settlement)   { s.Delivery = nil }
func allWell(s *delivery.Settlement)   { s.Transition.Progress.State = delivery.Delivered }

func noOrder(a *delivery.Accept) {
	for _, d := range a.Deliveries {
		d.OrderKey = ""
	}
}

func noLast(a *delivery.Accept)    { a.Deliveries = a.Deliveries[:max(len(a.Deliveries)-1, 0)] }
func unknownID(a *delivery.Accept) { a.Event.GivenID = false }

func (m *mistakes) Settle(ctx context.Context, batch []delivery.Settlement) []error {
	if m.settle == nil {
		return m.Store.Settle(ctx, batch)
	}
	errs := make([]error, len(batch))
	for i := range batch {
		s := batch[i]
		if !s.Return {
			m.settle(&s)
		}
		if s.Delivery != nil {
			errs[i] = m.Store.Settle(ctx, []delivery.Settlement{s})[0]
		}
	}
	return errs
}

func (m *mistakes) Append(ctx context.Context, batch []delivery.Accept) ([]delivery.Receipt, error) {
	for i := range batch {
		if m.accept != nil {
			m.accept(&batch[i])
		}
	}
	return m.Store.Append(ctx, batch)
}

func notMade(_ delivery.Store, batch []delivery.Extension) ([]delivery.Extended, error) {
	out := make([]delivery.Extended, len(batch))
	for i, x := range batch {
		out[i].Delivery = x.Delivery
		out[i].Delivery.ID, out[i].Delivery.Event = fmt.Sprint("dlv_", x.Delivery.Replay, i), &delivery.Event{Seq: x.Seq}
	}
	return out, nil
}

// madeTwice makes each delivery under two names.
func madeTwice(s delivery.Store, batch []delivery.Extension) ([]delivery.Extended, error) {
	for _, x := range batch {
		d := *x.Delivery
		d.Replay += "x"
		if _, err := s.Extend(context.Background(), []delivery.Extension{{Seq: x.Seq, Delivery: &d}}); err != nil {
			return nil, err
		}
	}
	return s.Extend(context.Background(), batch)
}

func (m *mistakes) Extend(ctx context.Context, batch []delivery.Extension) ([]delivery.Extended, error) {
	if m.extend == nil {
		return m.Store.Extend(ctx, batch)
	}
	return m.extend(m.Store, batch)
}

func (m *mistakes) Cancel(ctx context.Context, id string) (delivery.State, error) {
	if !m.noCancel {
		return m.Store.Cancel(ctx, id)
	}
	return delivery.Cancelled, nil
}

func (m *mistakes) Prune(ctx context.Context, p delivery.Prune) (expired, deleted int, err error) {
	if m.early {
		p.Retention = time.Minute
	}
	return m.Store.Prune(ctx, p)
}

func (m *mistakes) Lease(ctx context.Context, name string) (delivery.Lane, error) {
	l, err := m.Store.Lease(ctx, name)
	if m.noState {
		return forgetfulLane{l}, err
	}
	return l, err
}

type forgetfulLane struct{ delivery.Lane }

func (forgetfulLane) SetState(context.Context, delivery.LaneState) error { return nil }
