package delivery_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/store/memory"
)

// manyEndpoints is a plan of a thousand, each with the next one as its backup.
func manyEndpoints(w *world, opts ...option) *delivery.Plan {
	const n = 1000
	targets, eps := map[string]delivery.Target{}, []*delivery.Endpoint{}
	for i := range n {
		name := fmt.Sprint("e", i)
		targets[name] = to(name, fmt.Sprint("e", (i+1)%n))
		eps = append(eps, w.endpoint(name, opts...))
	}
	return w.plan(byName(targets), eps...)
}

func TestEndpointsWithoutWorkHaveNoLane(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		lanes := func(what string, want int) {
			t.Helper()
			if n := w.e.Lanes(); n != want {
				t.Errorf("%s: %d lanes, want %d", what, n, want)
			}
		}
		w.apply(manyEndpoints(w))
		lanes("known", 0)
		if all := w.e.Endpoints(); len(all) != 1000 || all[7].Slots != 2 || all[7].Hold.Reason != "" {
			t.Errorf("%d endpoints are shown, %+v", len(all), all[7])
		}
		w.publish("e1-1")
		pass(time.Second)
		lanes("one with its backup", 2)
		w.apply(manyEndpoints(w))
		lanes("after a reload", 2)
		pass(9 * time.Minute)
		w.publish("e1-2")
		pass(9 * time.Minute)
		lanes("that has had work since", 1)
		pass(3 * time.Minute)
		lanes("in the end", 0)
		w.publish("e1-3")
		pass(time.Millisecond)
		if n := len(w.seen("e1")); n != 3 {
			t.Errorf("%d of 3 events arrived", n)
		}
	})
}

func TestALaneWithSomethingToRememberStays(t *testing.T) {
	t.Parallel()
	hourly := func(ep *delivery.Endpoint) { ep.Rate = rate(1, time.Hour, 1) }
	for name, c := range map[string]struct {
		opts   []option
		answer func(int, *http.Request) (*http.Response, error)
		do     func(t *testing.T, w *world)
		stays  time.Duration
	}{
		"a pause": {do: func(t *testing.T, w *world) {
			if err := w.e.Pause(context.Background(), "a"); err != nil {
				t.Error(err)
			}
		}, stays: 48 * time.Hour},
		"that it is gone":       {answer: always(410), stays: 48 * time.Hour},
		"that it asked to wait": {answer: always(429, "Retry-After", "7200"), opts: []option{retries(3 * time.Hour)}, stays: time.Hour},
		"an attempt in an hour": {opts: []option{hourly}, stays: 50 * time.Minute},
		"that it fails":         {answer: always(500), opts: []option{retries()}, stays: 48 * time.Hour},
		"a delivery that waits a day": {answer: func(n int, _ *http.Request) (*http.Response, error) {
			if n == 1 {
				return status(404)
			}
			return status(200)
		}, opts: []option{retries(24 * time.Hour)}, do: func(_ *testing.T, w *world) { w.publish("evt_2") }, stays: 23 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, func(t *testing.T, w *world) {
				w.apply(w.plan(routeTo{targets: []delivery.Target{to("a")}}, w.endpoint("a", c.opts...)))
				w.answer("a", c.answer)
				w.publish("evt_1")
				pass(time.Second)
				if c.do != nil {
					c.do(t, w)
				}
				pass(c.stays)
				if w.e.Lanes() != 1 {
					t.Error("the lane has gone")
				}
			})
		})
	}
}

func TestWhatALaneRemembersOutlivesTheProcess(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		w.apply(manyEndpoints(w))
		if err := w.e.Pause(context.Background(), "e5"); err != nil {
			t.Fatal(err)
		}
		w.crash()
		w.apply(manyEndpoints(w))
		for _, s := range w.e.Endpoints() {
			if s.State.Paused != (s.Name == "e5") {
				t.Errorf("%s is paused: %t", s.Name, s.State.Paused)
			}
		}
		w.publish("e4-1", "e5-1")
		w.answer("e4", down)
		w.answer("e6", always(404))
		pass(time.Hour)
		if len(w.seen("e5")) > 0 {
			t.Error("it got an event, or was taken for an open backup")
		}
	})
}

func TestAnEndpointThatReturnsIsRemembered(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		router := routeTo{targets: []delivery.Target{to("a")}}
		w.apply(w.plan(router, w.endpoint("a")))
		if err := w.e.Pause(context.Background(), "a"); err != nil {
			t.Fatal(err)
		}
		w.apply(w.plan(router))
		pass(time.Hour)
		if w.e.Lanes() != 0 {
			t.Error("a removed endpoint with nothing left has a lane")
		}
		w.apply(w.plan(router, w.endpoint("a")))
		if s, err := w.e.Endpoint("a"); err != nil || !s.State.Paused {
			t.Errorf("it is not paused: %+v (%v)", s, err)
		}
	})
}

func TestABackupThatRestsIsFound(t *testing.T) {
	t.Parallel()
	t.Run("when a breaker opens", func(t *testing.T) {
		t.Parallel()
		inWorld(t, func(t *testing.T, w *world) {
			w.apply(w.plan(routeTo{targets: []delivery.Target{to("a", "b")}}, w.endpoint("a", retries(30*time.Minute, 24*time.Hour)), w.endpoint("b")))
			w.answer("a", always(404))
			for i := range 20 {
				w.publish(fmt.Sprintf("evt_%d", i))
			}
			pass(29 * time.Minute)
			if w.e.Lanes() != 1 {
				t.Fatalf("%d lanes", w.e.Lanes())
			}
			w.answer("a", down)
			pass(time.Minute + 10*time.Second)
			if n := len(w.seen("b")); n < 13 { // the others opened a's breaker
				t.Errorf("b got %d of 20", n)
			}
		})
	})
	t.Run("at the end of a schedule", func(t *testing.T) {
		t.Parallel()
		inWorld(t, func(t *testing.T, w *world) {
			w.apply(w.plan(routeTo{targets: []delivery.Target{to("a", "b", "c")}}, w.endpoint("a", retries(time.Hour)), w.endpoint("b"), w.endpoint("c")))
			w.answer("a", always(404))
			w.publish("evt_1")
			pass(time.Hour + time.Second)
			if n := len(w.seen("b")); n != 1 {
				t.Errorf("b got %d requests, c %d", n, len(w.seen("c")))
			}
		})
	})
}

// Lanes go at the moment they get work, in all orders that many goroutines find.
func TestNothingIsLostBetweenRestAndWork(t *testing.T) {
	t.Parallel()
	const endpoints, events = 20, 3000
	w := newRealWorld(t)
	targets, eps := map[string]delivery.Target{}, []*delivery.Endpoint{}
	for i := range endpoints {
		name := fmt.Sprint("e", i)
		targets[name] = to(name, fmt.Sprint("e", (i+1)%endpoints))
		eps = append(eps, w.endpoint(name, noBreaker))
	}
	w.apply(w.plan(byName(targets), eps...))
	done := make(chan struct{})
	var resting sync.WaitGroup
	resting.Go(func() {
		for now := time.Now(); ; now = now.Add(time.Hour) {
			select {
			case <-done:
				return
			default:
				w.e.RestIdleLanes(now)
			}
		}
	})
	var publishing sync.WaitGroup
	for p := range 4 {
		publishing.Go(func() {
			for i := range events / 4 {
				ev := newEvent(fmt.Sprintf("e%d-%d-%d", (i*7+p)%endpoints, p, i))
				if _, err := w.e.Accept(context.Background(), []*delivery.Event{ev}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	publishing.Wait()
	deadline := time.Now().Add(30 * time.Second)
	for len(w.seen("")) < events && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	close(done)
	resting.Wait()
	if n := len(w.seen("")); n != events {
		t.Errorf("%d requests for %d events", n, events)
	}
	w.close()
	if c, err := w.store.Counts(context.Background()); err == nil && c.Pending > 0 {
		t.Errorf("%d are pending", c.Pending)
	}
}

// newRealWorld is a world whose time is the machine's.
func newRealWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		t: t, store: memory.New(),
		answers: map[string]func(int, *http.Request) (*http.Response, error){}, counts: map[string]int{},
	}
	w.open()
	return w
}
