package delivery_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
)

// replay starts one and fails the test on an error.
func (w *world) replay(q delivery.ReplayQuery) delivery.Replay {
	w.t.Helper()
	r, err := w.e.StartReplay(w.t.Context(), q)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func (w *world) progress(r delivery.Replay) delivery.Replay {
	w.t.Helper()
	r, err := w.e.Replay(w.t.Context(), r.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// received counts what an endpoint got by event.
func (w *world) received(endpoint string) map[string]int {
	n := map[string]int{}
	for _, s := range w.seen(endpoint) {
		n[s.event]++
	}
	return n
}

func numbered(prefix string, n int) (ids []string) {
	for i := range n {
		ids = append(ids, fmt.Sprintf("%s-%03d", prefix, i))
	}
	return ids
}

func TestRedeliverySendsTheSameEventAgainAndLeavesTheDeliveryAsItIs(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		w.apply(w.plan(routeTo{targets: []delivery.Target{to("a")}}, w.endpoint("a", retries(time.Hour))))
		w.answer("a", func(n int, _ *http.Request) (*http.Response, error) {
			return status(map[bool]int{true: 500, false: 200}[n == 1])
		})
		first := w.publish("one")[0]
		pass(time.Second)
		before := w.record(first)
		d, err := w.e.Redeliver(t.Context(), first.Deliveries[0].ID)
		if err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		if after := w.record(first); after.Delivery.Progress != before.Delivery.Progress || after.Delivery.State != delivery.Pending {
			t.Errorf("the first was %+v, is %+v", before.Delivery.Progress, after.Delivery.Progress)
		}
		again, err := w.e.Journal().Delivery(t.Context(), d.ID)
		if err != nil || again.Delivery.State != delivery.Delivered || again.Delivery.Replay == "" || d.ID == first.Deliveries[0].ID {
			t.Errorf("the second is %+v (%v)", again, err)
		}
		sends := w.seen("a")
		if len(sends) != 2 || sends[1].event != "one" || sends[1].delivery != d.ID || sends[1].attempt != "1" || sends[1].body != sends[0].body {
			t.Errorf("sent %+v", sends)
		}
		pass(2 * time.Hour)
		if after := w.record(first); after.Delivery.State != delivery.Delivered || after.Delivery.Attempts != 2 {
			t.Errorf("its own schedule went on to %+v", after.Delivery.Progress)
		}
	})
}

func TestEventIsReplayedToAllItWasForOrToOneNamed(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		w.apply(w.plan(routeTo{targets: []delivery.Target{to("a", "b"), to("c")}}, w.endpoint("a"), w.endpoint("b"), w.endpoint("c"), w.endpoint("new")))
		w.publish("one")
		pass(time.Second)
		ds, err := w.e.ReplayEvent(t.Context(), "one", nil, "")
		if err != nil || len(ds) != 2 || !slices.Equal(ds[0].Chain, []string{"a", "b"}) || ds[1].Chain[0] != "c" {
			t.Fatalf("%+v, %v", ds, err)
		}
		ds, err = w.e.ReplayEvent(t.Context(), "one", nil, "new")
		if err != nil || len(ds) != 1 || ds[0].Chain[0] != "new" {
			t.Fatalf("%+v, %v", ds, err)
		}
		pass(time.Second)
		for name, want := range map[string]int{"a": 2, "b": 0, "c": 2, "new": 1} {
			if n := w.received(name)["one"]; n != want {
				t.Errorf("%s got it %d times, want %d", name, n, want)
			}
		}
		for _, c := range []struct {
			id, endpoint string
			want         error
		}{{"none", "", delivery.ErrNotFound}, {"one", "nowhere", delivery.ErrNotFound}} {
			if _, err := w.e.ReplayEvent(t.Context(), c.id, nil, c.endpoint); !errors.Is(err, c.want) {
				t.Errorf("%s to %q: %v", c.id, c.endpoint, err)
			}
		}
	})
}

func TestUnroutedEventIsRoutedByTheRulesInForce(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		w.apply(w.plan(routeTo{digest: "d1"}, w.endpoint("a")))
		w.publish("one")
		if _, err := w.e.ReplayEvent(t.Context(), "one", nil, ""); !errors.Is(err, delivery.ErrNoTarget) {
			t.Errorf("replaying what nobody got: %v", err)
		}
		w.apply(w.plan(routeTo{digest: "d2", targets: []delivery.Target{to("a")}}, w.endpoint("a")))
		rec, err := w.e.Route(t.Context(), "one", nil)
		if err != nil || rec.Event.Routing != delivery.Routed || len(rec.Deliveries) != 1 {
			t.Fatalf("%+v, %v", rec, err)
		}
		pass(time.Second)
		if w.received("a")["one"] != 1 {
			t.Error("it was not sent")
		}
		if _, err := w.e.Route(t.Context(), "one", nil); !errors.Is(err, delivery.ErrRouted) {
			t.Errorf("routing it twice: %v", err)
		}
	})
}

func TestReplayRepeatsDeadLettersOldestFirstAndNothingElse(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		router := byName(map[string]delivery.Target{"bad": to("a"), "good": to("b")})
		w.apply(w.plan(router, w.endpoint("a", retries(), noBreaker), w.endpoint("b")))
		w.answer("a", always(400))
		bad := numbered("bad", 250)
		w.publish(append(slices.Clone(bad), numbered("good", 50)...)...)
		pass(time.Minute)
		w.answer("a", nil)
		if r := w.replay(delivery.ReplayQuery{DryRun: true}); true {
			pass(time.Minute)
			if r = w.progress(r); r.Status != delivery.ReplayDone || r.Matched != 250 || r.Replayed != 0 || r.Progress != 1 {
				t.Errorf("dry run: %+v", r)
			}
		}
		began := len(w.seen(""))
		r := w.replay(delivery.ReplayQuery{})
		live := w.publish("good-later")
		pass(time.Minute)
		if r = w.progress(r); r.Status != delivery.ReplayDone || r.Matched != 250 || r.Replayed != 250 || r.Skipped != 0 {
			t.Errorf("replay: %+v", r)
		}
		if w.record(live[0]).Delivery.State != delivery.Delivered {
			t.Error("what was published meanwhile was not delivered")
		}
		var got []string
		for _, s := range w.seen("a")[began-50:] {
			got = append(got, s.event)
		}
		if slices.Sort(got); !slices.Equal(got, bad) {
			t.Errorf("sent %d again", len(got))
		}
		again := w.replay(delivery.ReplayQuery{State: delivery.ReplayExhausted})
		pass(time.Minute)
		if again = w.progress(again); again.Matched != 0 {
			t.Errorf("what was delivered since is no dead letter any more: %+v", again)
		}
		all, err := w.e.Replays(t.Context())
		if err != nil || len(all) != 3 || all[0].ID != again.ID {
			t.Errorf("listed %+v, %v", all, err)
		}
	})
}

func TestReplayOfTheMissingBackfillsAnEndpointAddedLater(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		w.apply(w.plan(routeTo{digest: "d1", targets: []delivery.Target{to("a")}}, w.endpoint("a")))
		w.publish(numbered("e", 150)...)
		pass(time.Second)
		w.apply(w.plan(routeTo{digest: "d2", targets: []delivery.Target{to("a"), to("new", "a")}}, w.endpoint("a"), w.endpoint("new")))
		w.publish("live")
		for range 2 {
			r := w.replay(delivery.ReplayQuery{State: delivery.ReplayMissing})
			pass(time.Minute)
			if r = w.progress(r); r.Status != delivery.ReplayDone {
				t.Fatalf("%+v", r)
			}
		}
		if got := w.received("new"); len(got) != 151 || got["live"] != 1 || got["e-007"] != 1 {
			t.Errorf("%d events got through", len(got))
		}
		if got := w.received("a"); got["e-007"] != 1 {
			t.Error("an endpoint that had them got them again")
		}
	})
}

func TestReplayGoesOnAfterACrashAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		plan := func() *delivery.Plan {
			return w.plan(routeTo{targets: []delivery.Target{to("a")}}, w.endpoint("a", retries(), noBreaker))
		}
		w.apply(plan())
		w.answer("a", always(400))
		ids := numbered("e", 300)
		w.publish(ids...)
		pass(time.Minute)
		w.answer("a", nil)
		r := w.replay(delivery.ReplayQuery{Rate: "20/s"})
		for range 3 {
			pass(3*time.Second + 10*time.Millisecond)
			w.crash()
			w.apply(plan())
		}
		pass(time.Minute)
		if r = w.progress(r); r.Status != delivery.ReplayDone || r.Matched != 300 || r.Replayed != 300 {
			t.Errorf("%+v", r)
		}
		for id, n := range w.received("a") {
			if n != 2 {
				t.Errorf("%s was sent %d times", id, n)
			}
		}
	})
}

func TestReplayKeepsItsRate(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		w.apply(w.plan(routeTo{targets: []delivery.Target{to("a")}}, w.endpoint("a")))
		w.publish(numbered("e", 100)...)
		pass(time.Minute)
		began := time.Now()
		w.replay(delivery.ReplayQuery{State: delivery.ReplayDelivered, Rate: "10/s"})
		pass(5 * time.Second)
		if n := len(w.seen("a")) - 100; n < 40 || n > 60 {
			t.Errorf("%d in %s at 10 a second", n, time.Since(began))
		}
	})
}

func TestReplayWaitsForAnEndpointThatIsHeldAndGoesOnWithTheOthers(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		w.apply(w.plan(routeTo{targets: []delivery.Target{to("a"), to("b")}}, w.endpoint("a"), w.endpoint("b")))
		w.publish(numbered("e", 120)...)
		pass(time.Minute)
		if err := w.e.Pause(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		r := w.replay(delivery.ReplayQuery{State: delivery.ReplayDelivered})
		pass(time.Minute)
		if r = w.progress(r); r.Status != delivery.ReplayRunning || r.Waiting["a"] != "paused" || r.Replayed != 120 {
			t.Errorf("while it is paused: %+v", r)
		}
		if got := w.received("b"); got["e-000"] != 2 || got["e-119"] != 2 || len(w.seen("b")) != 240 || len(w.seen("a")) != 120 {
			t.Errorf("sent %d to b and %d to a", len(w.seen("b")), len(w.seen("a")))
		}
		if err := w.e.Resume(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		pass(3 * time.Minute)
		if r = w.progress(r); r.Status != delivery.ReplayDone || r.Matched != 240 || r.Replayed != 240 || len(r.Waiting) > 0 {
			t.Errorf("after it: %+v", r)
		}
		if len(w.seen("a")) != 240 || len(w.seen("b")) != 240 {
			t.Errorf("sent %d to a and %d to b", len(w.seen("a")), len(w.seen("b")))
		}
	})
}

func TestReplayThatIsCancelledStopsAndStaysSo(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		plan := w.plan(routeTo{targets: []delivery.Target{to("a")}}, w.endpoint("a"))
		w.apply(plan)
		w.publish(numbered("e", 100)...)
		pass(time.Minute)
		r := w.replay(delivery.ReplayQuery{State: delivery.ReplayDelivered, Rate: "1/s"})
		pass(10*time.Second + time.Millisecond)
		r, err := w.e.CancelReplay(t.Context(), r.ID)
		if err != nil || r.Status != delivery.ReplayWasStopped {
			t.Fatalf("%+v, %v", r, err)
		}
		sent := len(w.seen("a"))
		w.crash()
		w.apply(w.plan(routeTo{targets: []delivery.Target{to("a")}}, w.endpoint("a")))
		pass(time.Minute)
		if n := len(w.seen("a")); n != sent || n > 115 {
			t.Errorf("%d were sent, then %d", sent, n)
		}
		if r, err = w.e.CancelReplay(t.Context(), r.ID); err != nil || r.Status != delivery.ReplayWasStopped {
			t.Errorf("cancelled twice: %+v, %v", r, err)
		}
	})
}

// TestReplayNeverKeepsLiveTrafficWaiting publishes while a replay has all it may of an endpoint that takes a second.
func TestReplayNeverKeepsLiveTrafficWaiting(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		w.apply(w.plan(routeTo{targets: []delivery.Target{to("a")}}, w.endpoint("a", func(ep *delivery.Endpoint) { ep.Concurrency = 8 })))
		w.publish(numbered("old", 600)...)
		pass(time.Minute)
		w.answer("a", func(int, *http.Request) (*http.Response, error) {
			time.Sleep(time.Second)
			return status(200)
		})
		w.replay(delivery.ReplayQuery{State: delivery.ReplayDelivered})
		pass(20 * time.Second)
		replayed := len(w.seen("a")) - 600
		if replayed < 80 {
			t.Errorf("the replay sent only %d in 20 s", replayed)
		}
		for i := range 60 {
			at := time.Now()
			w.publish(fmt.Sprint("live-", i))
			pass(500 * time.Millisecond)
			sends := w.seen("a")
			sent := slices.IndexFunc(sends, func(s sent) bool { return s.event == fmt.Sprint("live-", i) })
			if sent < 0 || sends[sent].at.Sub(at) > time.Millisecond {
				t.Fatalf("live event %d did not go out at once", i)
			}
		}
		during := 0
		for _, s := range w.seen("a")[600:] {
			if strings.HasPrefix(s.event, "old-") {
				during++
			}
		}
		if during-replayed < 100 {
			t.Errorf("beside live traffic the replay sent only %d in 30 s", during-replayed)
		}
	})
}

// TestReplayGoesOnBesideALaneFullOfLiveTraffic has a share of its own, however much waits.
func TestReplayGoesOnBesideALaneFullOfLiveTraffic(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		w.apply(w.plan(routeTo{targets: []delivery.Target{to("a")}}, w.endpoint("a", func(ep *delivery.Endpoint) { ep.Concurrency = 4 })))
		w.publish(numbered("old", 100)...)
		pass(time.Minute)
		w.answer("a", func(int, *http.Request) (*http.Response, error) {
			time.Sleep(100 * time.Millisecond)
			return status(200)
		})
		w.publish(numbered("live", 2000)...)
		r := w.replay(delivery.ReplayQuery{State: delivery.ReplayDelivered})
		pass(20 * time.Second)
		live, old := 0, 0
		for _, s := range w.seen("a")[100:] {
			if strings.HasPrefix(s.event, "live") {
				live++
			} else {
				old++
			}
		}
		if old < 95 || live < 3*old {
			t.Errorf("%d live ones and %d replays went out; the replay: %+v", live, old, w.progress(r))
		}
	})
}

func TestReplaysAreBounded(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		w.apply(w.plan(routeTo{targets: []delivery.Target{to("a")}}, w.endpoint("a")))
		w.publish(numbered("e", 10)...)
		pass(time.Second)
		for range 4 {
			w.replay(delivery.ReplayQuery{State: delivery.ReplayDelivered, Rate: "1/m"})
		}
		if _, err := w.e.StartReplay(t.Context(), delivery.ReplayQuery{}); !errors.Is(err, delivery.ErrTooManyReplays) {
			t.Errorf("a fifth: %v", err)
		}
		if _, err := w.e.StartReplay(t.Context(), delivery.ReplayQuery{Endpoint: "b"}); !errors.Is(err, delivery.ErrNotFound) {
			t.Errorf("to nowhere: %v", err)
		}
		for _, q := range []delivery.ReplayQuery{{State: "lost"}, {Rate: "fast"}, {Since: time.Now(), Until: time.Now().Add(-time.Hour)}} {
			if _, err := w.e.StartReplay(t.Context(), q); err == nil {
				t.Errorf("%+v was taken", q)
			}
		}
	})
}
