package delivery_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/store/memory"
)

// ambiguousStore settles what it is given, and answers once that it may not have.
type ambiguousStore struct {
	*memory.Store

	lie atomic.Bool
}

func (s *ambiguousStore) Settle(ctx context.Context, batch []delivery.Settlement) []error {
	errs := s.Store.Settle(ctx, batch)
	if s.lie.Swap(false) {
		for i := range errs {
			errs[i] = delivery.ErrUnavailable
		}
	}
	return errs
}

func TestAmbiguousSettlementDoesNotStopTheEngine(t *testing.T) {
	t.Parallel()
	var s *ambiguousStore
	wrap := func(m *memory.Store) delivery.Store { s = &ambiguousStore{Store: m}; return s }
	inWorldOver(t, wrap, func(t *testing.T, w *world) {
		w.apply(w.plan(routeTo{targets: []delivery.Target{to("a")}}, w.endpoint("a")))
		s.lie.Store(true)
		w.publish("evt_1")
		pass(time.Second)
		w.publish("evt_2")
		pass(time.Minute)
		if n := len(w.seen("a")); n != 2 {
			t.Errorf("a got %d requests, want 2", n)
		}
	})
}

func TestHeldLaneAtTheHeadOfTheLineDoesNotStopTheOthers(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		p := w.plan(byName(map[string]delivery.Target{"a": to("a"), "b": to("b"), "c": to("c")}),
			w.endpoint("a"), w.endpoint("b"), w.endpoint("c"))
		p.MaxInFlight = 1
		w.apply(p)
		w.answer("a", func(int, *http.Request) (*http.Response, error) {
			time.Sleep(time.Second)
			return status(503, "Retry-After", "36000")
		})
		w.publish("a-1")
		w.publish("a-2") // waits for the only attempt there is, and is held when its turn comes
		w.publish("b-1")
		pass(time.Minute)
		w.publish("c-1")
		pass(time.Minute)
		if b, c := len(w.seen("b")), len(w.seen("c")); b != 1 || c != 1 {
			t.Errorf("b got %d requests, c %d, want 1 each", b, c)
		}
	})
}

func TestDueRetryIsNotStarvedByFreshEvents(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		w.apply(w.plan(routeTo{targets: []delivery.Target{to("a")}}, w.endpoint("a", func(ep *delivery.Endpoint) { ep.Concurrency = 1 })))
		w.answer("a", func(n int, _ *http.Request) (*http.Response, error) {
			if n == 1 {
				return status(500)
			}
			time.Sleep(time.Second)
			return status(200)
		})
		w.publish("first")
		pass(time.Second)
		for i := range 50 {
			w.publish(fmt.Sprintf("backlog_%d", i))
		}
		for i := range 600 { // one a second comes and one goes: the window is never empty
			w.publish(fmt.Sprintf("fresh_%d", i))
			time.Sleep(time.Second)
		}
		tries := slices.DeleteFunc(w.seen("a"), func(s sent) bool { return s.event != "first" })
		if len(tries) < 2 {
			t.Errorf("%d tries in 10 minutes; the second was due after one", len(tries))
		}
	})
}

// slowClaimStore takes 10 ms for each claim once told to.
type slowClaimStore struct {
	*memory.Store

	claims atomic.Int64
}

func (s *slowClaimStore) Lease(ctx context.Context, name string) (delivery.Lane, error) {
	l, err := s.Store.Lease(ctx, name)
	return slowClaimLane{l, s}, err
}

type slowClaimLane struct {
	delivery.Lane

	s *slowClaimStore
}

func (l slowClaimLane) Claim(ctx context.Context, c delivery.Claim) (delivery.Claimed, error) {
	l.s.claims.Add(1)
	claimed, err := l.Lane.Claim(ctx, c)
	time.Sleep(10 * time.Millisecond)
	return claimed, err
}

func TestEventAcceptedDuringAClaimIsNotOvertaken(t *testing.T) {
	t.Parallel()
	var s *slowClaimStore
	wrap := func(m *memory.Store) delivery.Store { s = &slowClaimStore{Store: m}; return s }
	inWorldOver(t, wrap, func(t *testing.T, w *world) {
		w.apply(w.plan(routeTo{targets: []delivery.Target{to("a")}}, w.endpoint("a", func(ep *delivery.Endpoint) { ep.Concurrency = 1 })))
		w.answer("a", func(int, *http.Request) (*http.Response, error) {
			time.Sleep(time.Second)
			return status(200)
		})
		for i := range 67 { // fills the window of 64 and leaves some in the store
			w.publish(fmt.Sprintf("evt_%d", i))
		}
		for range 200_000 {
			if s.claims.Load() > 0 {
				break
			}
			time.Sleep(time.Millisecond)
		}
		w.publish("older") // during the claim: to the store
		time.Sleep(15 * time.Millisecond)
		w.publish("newer")
		pass(time.Hour)
		at := func(id string) int {
			return slices.IndexFunc(w.seen("a"), func(s sent) bool { return s.event == id })
		}
		if older, newer := at("older"), at("newer"); older < 0 || newer < older {
			t.Errorf("newer was sent as request %d, older as %d", newer, older)
		}
	})
}

// Of two events in one commit the first is asked about during a claim, and the second after it.
func TestEventOfTheSameCommitIsNotOvertaken(t *testing.T) {
	t.Parallel()
	var s *slowClaimStore
	wrap := func(m *memory.Store) delivery.Store { s = &slowClaimStore{Store: m}; return s }
	inWorldOver(t, wrap, func(t *testing.T, w *world) {
		w.apply(w.plan(routeTo{targets: []delivery.Target{to("a")}}, w.endpoint("a", func(ep *delivery.Endpoint) { ep.Concurrency = 1 })))
		w.answer("a", func(int, *http.Request) (*http.Response, error) {
			time.Sleep(time.Second)
			return status(200)
		})
		for i := range 67 { // fills the window of 64 and leaves some in the store
			w.publish(fmt.Sprintf("evt_%d", i))
		}
		for range 200_000 {
			if s.claims.Load() > 0 {
				break
			}
			time.Sleep(time.Millisecond)
		}
		first := &delivery.Delivery{Event: newEvent("first"), Chain: []string{"a"}}
		second := &delivery.Delivery{Event: newEvent("second"), Chain: []string{"a"}}
		handed := w.e.Reserve(first)
		time.Sleep(15 * time.Millisecond) // the claim found the end
		if also := w.e.Reserve(second); handed || also {
			t.Errorf("handed over: the first %t, the second %t", handed, also)
		}
		for _, d := range []*delivery.Delivery{first, second} {
			w.e.Committed(d, false, delivery.ErrUnavailable)
		}
		w.publish("last")
		pass(time.Hour)
		if n := len(w.seen("a")); n != 68 {
			t.Errorf("%d of 68 events were sent", n)
		}
	})
}

func TestAnswerOfTheOldURLSaysNothingAboutTheNewOne(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		router := routeTo{targets: []delivery.Target{to("a")}}
		w.apply(w.plan(router, w.endpoint("a")))
		w.answer("a", func(int, *http.Request) (*http.Response, error) {
			time.Sleep(5 * time.Second)
			return status(410)
		})
		w.publish("evt_1")
		pass(time.Second)
		moved := w.endpoint("a")
		moved.URL = &url.URL{Scheme: "https", Host: "new", Path: "/"}
		w.apply(w.plan(router, moved))
		pass(10 * time.Second)
		w.publish("evt_2")
		pass(time.Hour)
		if n := len(w.seen("new")); n != 2 {
			t.Errorf("the new url got %d requests, want 2", n)
		}
	})
}

func TestWhatADrainedAttemptLearnedSurvivesTheStop(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		router := routeTo{targets: []delivery.Target{to("a")}}
		w.apply(w.plan(router, w.endpoint("a")))
		w.answer("a", func(int, *http.Request) (*http.Response, error) {
			time.Sleep(2 * time.Second)
			return status(503, "Retry-After", "36000")
		})
		w.publish("evt_1")
		pass(time.Second)
		if err := w.e.Shutdown(context.Background()); err != nil {
			t.Fatal(err)
		}
		w.store = w.store.Crash()
		w.open()
		w.apply(w.plan(router, w.endpoint("a")))
		w.publish("evt_2")
		pass(time.Minute)
		if n := len(w.seen("a")); n != 1 {
			t.Errorf("a got %d requests: it asked to be left alone for ten hours", n)
		}
	})
}

func TestTransportThatGivesUpByItselfBacksOff(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		w.apply(w.plan(routeTo{targets: []delivery.Target{to("a")}}, w.endpoint("a")))
		w.answer("a", func(n int, _ *http.Request) (*http.Response, error) {
			if n > 500 {
				return status(200)
			}
			return nil, context.Canceled
		})
		r := w.publish("evt_1")
		pass(time.Minute)
		if n := len(w.seen("a")); n > 50 {
			t.Errorf("%d tries in a minute", n)
		}
		if d := w.record(r[0]).Delivery; d.Tries[0] != 0 {
			t.Errorf("it spent %d steps of the schedule", d.Tries[0])
		}
	})
}

func TestReroutingTellsEventsOfOneIDApart(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		hold := true
		decide := func(ev *delivery.Event) delivery.Decision {
			if hold && ev.Source == "first" {
				return delivery.Decision{Held: []string{"r-a"}}
			}
			return delivery.Decision{Targets: []delivery.Target{to("a")}}
		}
		w.apply(w.plan(routeTo{decide: decide, digest: "1"}, w.endpoint("a")))
		for _, source := range []string{"first", "second"} {
			ev := newEvent("evt_same")
			ev.Source = source
			if _, err := w.e.Accept(context.Background(), []*delivery.Event{ev}); err != nil {
				t.Fatal(err)
			}
		}
		pass(time.Second)
		hold = false
		w.apply(w.plan(routeTo{decide: decide, digest: "2"}, w.endpoint("a")))
		pass(time.Second)
		if n := len(w.seen("a")); n != 2 {
			t.Errorf("a got %d requests, want one for each of the two events", n)
		}
	})
}

// undecidedStore cannot list undecided events until told, and lets a test act in the middle of Append.
type undecidedStore struct {
	*memory.Store

	down      atomic.Bool
	appending func()
}

func (s *undecidedStore) Undecided(ctx context.Context, after uint64, n int) ([]*delivery.Event, error) {
	if s.down.Load() {
		return nil, delivery.ErrUnavailable
	}
	return s.Store.Undecided(ctx, after, n)
}

func (s *undecidedStore) Append(ctx context.Context, batch []delivery.Accept) ([]delivery.Receipt, error) {
	if s.appending != nil {
		s.appending()
	}
	return s.Store.Append(ctx, batch)
}

// heldUntil routes nothing before the rules with the digest "2".
func heldUntil(digest string) routeTo {
	if digest == "2" {
		return routeTo{targets: []delivery.Target{to("a")}, digest: digest}
	}
	return routeTo{digest: digest, decide: func(*delivery.Event) delivery.Decision {
		return delivery.Decision{Held: []string{"r-a"}}
	}}
}

func TestReroutingOutlastsAStoreThatIsDown(t *testing.T) {
	t.Parallel()
	var s *undecidedStore
	wrap := func(m *memory.Store) delivery.Store { s = &undecidedStore{Store: m}; return s }
	inWorldOver(t, wrap, func(t *testing.T, w *world) {
		w.apply(w.plan(heldUntil("1"), w.endpoint("a")))
		w.publish("evt_1")
		s.down.Store(true)
		w.apply(w.plan(heldUntil("2"), w.endpoint("a")))
		pass(time.Minute)
		s.down.Store(false)
		pass(10 * time.Second)
		if n := len(w.seen("a")); n != 1 {
			t.Errorf("a got %d requests after the store came back, want 1", n)
		}
	})
}

func TestEventThatOldRulesHeldIsRoutedThoughItWasStoredAfterTheChange(t *testing.T) {
	t.Parallel()
	var s *undecidedStore
	wrap := func(m *memory.Store) delivery.Store { s = &undecidedStore{Store: m}; return s }
	inWorldOver(t, wrap, func(t *testing.T, w *world) {
		w.apply(w.plan(heldUntil("1"), w.endpoint("a")))
		s.appending = func() { // the rules change, and the undecided events are gone through, before it is stored
			s.appending = nil
			w.apply(w.plan(heldUntil("2"), w.endpoint("a")))
			pass(time.Second)
		}
		w.publish("evt_1")
		pass(time.Minute)
		if n := len(w.seen("a")); n != 1 {
			t.Errorf("a got %d requests, want 1", n)
		}
	})
}

// tellingStore tells of something queued in a lane while that lane's state is written, as a commit does that carries both.
type tellingStore struct {
	*memory.Store

	handover delivery.Handover
	stalled  atomic.Bool
}

func (s *tellingStore) Attach(h delivery.Handover) error {
	s.handover = h
	return s.Store.Attach(h)
}

func (s *tellingStore) Lease(ctx context.Context, name string) (delivery.Lane, error) {
	l, err := s.Store.Lease(ctx, name)
	return tellingLane{l, s, name}, err
}

type tellingLane struct {
	delivery.Lane

	s    *tellingStore
	name string
}

func (l tellingLane) SetState(ctx context.Context, st delivery.LaneState) error {
	told := make(chan struct{})
	go func() {
		defer close(told)
		l.s.handover.Queued(l.name, time.Now().Add(time.Hour))
	}()
	select {
	case <-told:
		return l.Lane.SetState(ctx, st)
	case <-ctx.Done():
		l.s.stalled.Store(true)
		return ctx.Err()
	}
}

// TestAStopDoesNotStallTheStore needs real time: a lane that waits for the store's commit while that waits for the lane is
// nothing that virtual time would go on for.
func TestAStopDoesNotStallTheStore(t *testing.T) {
	t.Parallel()
	var s *tellingStore
	w := &world{
		t: t, store: memory.New(), counts: map[string]int{},
		wrap:    func(m *memory.Store) delivery.Store { s = &tellingStore{Store: m}; return s },
		answers: map[string]func(int, *http.Request) (*http.Response, error){},
	}
	w.open()
	began, stopping := make(chan struct{}), make(chan struct{})
	w.answer("a", func(int, *http.Request) (*http.Response, error) {
		close(began)
		<-stopping
		return status(503, "Retry-After", "3600") // a state to be written, with nobody left to write it but the stop
	})
	w.apply(w.plan(routeTo{targets: []delivery.Target{to("a")}}, w.endpoint("a")))
	w.publish("evt_1")
	<-began
	go func() {
		for w.e.Healthy() {
			time.Sleep(time.Millisecond)
		}
		close(stopping)
	}()
	w.close()
	if s.stalled.Load() {
		t.Error("the lane was locked while the store wrote its state")
	}
}
