package delivery_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/gate"
)

func rate(n int, unit time.Duration, burst int) gate.RateSettings {
	return gate.RateSettings{N: n, Unit: unit, Burst: burst}
}

// most is the largest number of requests within any span of d.
func most(sends []sent, d time.Duration) int {
	n := 0
	for i, first := range sends {
		j := i
		for j < len(sends) && sends[j].at.Sub(first.at) < d {
			j++
		}
		n = max(n, j-i)
	}
	return n
}

func TestEndpointRateIsKeptInEveryWindowAndTheBacklogArrives(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		w.apply(w.plan(routeTo{targets: []delivery.Target{to("a")}}, w.endpoint("a", func(ep *delivery.Endpoint) { ep.Rate = rate(1000, time.Minute, 100) })))
		w.answer("a", func(n int, _ *http.Request) (*http.Response, error) {
			time.Sleep(20 * time.Millisecond)
			if n%50 == 0 {
				return status(500) // a failed try counts like any other
			}
			return status(200)
		})
		for i := range 9000 {
			w.publish(fmt.Sprintf("evt_%d", i))
		}
		pass(10 * time.Minute)
		sends := w.seen("a")
		if n := most(sends, time.Minute); n > 1000 {
			t.Errorf("%d requests within a minute, at most 1000 are allowed", n)
		}
		if n := len(sends); n < 9000 || n > 10_100 {
			t.Errorf("%d requests in ten minutes, want the backlog of 9000 and no more than 1000 a minute", n)
		}
	})
}

func TestGlobalRateIsSharedFairlyByQuietAndBusyLanes(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		targets, eps := map[string]delivery.Target{"busy": to("busy")}, []*delivery.Endpoint{w.endpoint("busy")}
		for i := range 100 {
			name := fmt.Sprint("quiet", i)
			targets[name] = to(name)
			eps = append(eps, w.endpoint(name))
		}
		p := w.plan(byName(targets), eps...)
		p.Rate = rate(10, time.Second, 1)
		w.apply(p)
		for i := range 2000 {
			w.publish(fmt.Sprintf("busy-%d", i))
		}
		pass(time.Second)
		for i := range 100 {
			w.publish(fmt.Sprintf("quiet%d-1", i))
		}
		pass(15 * time.Second) // 150 tokens: every quiet lane needs one, the busy one gets its turns among them
		for i := range 100 {
			if n := len(w.seen(fmt.Sprint("quiet", i))); n != 1 {
				t.Errorf("quiet%d got %d requests", i, n)
			}
		}
		if n := most(w.seen(""), time.Second); n > 10 {
			t.Errorf("%d requests within a second, at most 10 are allowed", n)
		}
	})
}

func TestUnusedTokensAreNotBurnedByAnOpenBreaker(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		w.apply(w.plan(routeTo{targets: []delivery.Target{to("a")}}, w.endpoint("a", func(ep *delivery.Endpoint) { ep.Rate = rate(10, time.Hour, 10) })))
		w.answer("a", func(n int, _ *http.Request) (*http.Response, error) {
			if n <= 5 {
				return nil, errDown
			}
			return status(200)
		})
		for i := range 5 {
			w.publish(fmt.Sprintf("evt_%d", i))
		}
		pass(10 * time.Minute) // open after five failures; the probe after 30 s closes it; the retries follow
		if n := len(w.seen("a")); n != 10 {
			t.Errorf("%d requests, want 5 failures and 5 retries with the 10 tokens there are", n)
		}
	})
}

func TestPauseHoldsAndResumeReleasesInOrder(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		w.apply(w.plan(routeTo{targets: []delivery.Target{to("a", "b")}}, w.endpoint("a", func(ep *delivery.Endpoint) { ep.Concurrency = 1 }), w.endpoint("b")))
		if err := w.e.Pause(context.Background(), "a"); err != nil {
			t.Fatal(err)
		}
		for i := range 200 {
			w.publish(fmt.Sprintf("evt_%03d", i))
		}
		pass(time.Hour)
		if n := len(w.seen("")); n != 0 {
			t.Fatalf("%d requests while paused: a pause waits, it does not fail over", n)
		}
		w.crash()
		w.apply(w.plan(routeTo{targets: []delivery.Target{to("a", "b")}}, w.endpoint("a", func(ep *delivery.Endpoint) { ep.Concurrency = 1 }), w.endpoint("b")))
		pass(time.Minute)
		if n := len(w.seen("")); n != 0 {
			t.Fatalf("%d requests: the pause did not survive the crash", n)
		}
		if err := w.e.Resume(context.Background(), "a"); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		var order []string
		for _, s := range w.seen("a") {
			order = append(order, s.event)
		}
		if len(order) != 200 || !slices.IsSorted(order) {
			t.Errorf("%d requests, in order %v", len(order), slices.IsSorted(order))
		}
	})
}

func TestPausedInThePlanAppliesAtFirstSightOnly(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		paused := func(ep *delivery.Endpoint) { ep.Paused = true }
		router := routeTo{targets: []delivery.Target{to("a")}}
		w.apply(w.plan(router, w.endpoint("a", paused)))
		w.publish("evt_1")
		pass(time.Minute)
		if n := len(w.seen("a")); n != 0 {
			t.Fatalf("%d requests to an endpoint that starts paused", n)
		}
		if err := w.e.Resume(context.Background(), "a"); err != nil {
			t.Fatal(err)
		}
		w.apply(w.plan(router, w.endpoint("a", paused)))
		w.crash()
		w.apply(w.plan(router, w.endpoint("a", paused)))
		pass(time.Minute)
		if n := len(w.seen("a")); n != 1 {
			t.Errorf("%d requests after an operator resumed it", n)
		}
	})
}

func TestNothingButFailuresForTooLongDisablesAndResumeEnables(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		w.apply(w.plan(routeTo{targets: []delivery.Target{to("a", "b")}},
			w.endpoint("a", noBreaker, func(ep *delivery.Endpoint) { ep.DisableAfter = 2 * time.Hour }), w.endpoint("b")))
		w.answer("a", always(500))
		w.publish("evt_1") // tries at 0, 1m, 6m, 36m, 2h36m
		pass(3 * time.Hour)
		s, err := w.e.Endpoint("a")
		if err != nil || s.State.Disabled != delivery.DisabledFailing || s.Hold.Reason != gate.ReasonDisabled {
			t.Fatalf("status %+v, %v", s, err)
		}
		w.publish("evt_2")
		pass(time.Minute)
		if n := len(w.seen("b")); n != 1 { // the first one's next try is due tomorrow, and moves then
			t.Errorf("the backup got %d deliveries, want the second event's", n)
		}
		w.answer("a", nil)
		if err := w.e.Resume(context.Background(), "a"); err != nil {
			t.Fatal(err)
		}
		before := len(w.seen("a"))
		w.publish("evt_3")
		pass(time.Minute)
		if n := len(w.seen("a")) - before; n != 1 {
			t.Errorf("%d requests after it was resumed", n)
		}
	})
}

func TestBackupAfterMovesOnlyToABackupThatIsUp(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		w.apply(w.plan(byName(map[string]delivery.Target{"a": to("a", "b"), "b": to("b")}),
			w.endpoint("a", noBreaker, func(ep *delivery.Endpoint) { ep.BackupAfter = 2 }), w.endpoint("b")))
		w.answer("a", always(500))
		w.answer("b", down)
		for i := range 5 { // opens b's breaker for 30 s
			w.publish(fmt.Sprintf("b-%d", i))
		}
		pass(40 * time.Second)
		w.publish("b-6") // keeps it open
		pass(time.Second)
		r := w.publish("a-1") // its second try is in a minute
		pass(50 * time.Second)
		w.publish("b-7") // the probe fails: open again when the second try comes
		pass(20 * time.Second)
		got := outcomes(w.record(r[0]))
		want(t, "while the backup is down", got, []string{"a:server_error", "a:server_error"})
		w.answer("b", nil)
		pass(10 * time.Minute)
		rec := w.record(r[0])
		want(t, "when it is up", outcomes(rec), []string{"a:server_error", "a:server_error", "a:server_error", "b:delivered"})
		if rec.Transitions[2].Note != "3 tries at a are enough: backup_after" {
			t.Errorf("the log says %q", rec.Transitions[2].Note)
		}
	})
}

func TestFullBacklogIsRefusedAndNamesTheEndpoint(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		p := w.plan(routeTo{targets: []delivery.Target{to("a")}}, w.endpoint("a", func(ep *delivery.Endpoint) { ep.Paused = true }))
		p.MaxPending = 3
		w.apply(p)
		w.publish("evt_1", "evt_2", "evt_3")
		_, err := w.e.Accept(context.Background(), []*delivery.Event{newEvent("evt_4")})
		if full, ok := errors.AsType[*delivery.BacklogError](err); !ok || full.Endpoint != "a" || full.Max != 3 {
			t.Fatalf("error %v", err)
		}
		if err := w.e.Resume(context.Background(), "a"); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		w.publish("evt_4")
	})
}

func TestOperatingAnUnknownEndpointIsAnError(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		w.apply(w.plan(routeTo{}, w.endpoint("a")))
		for _, f := range []func(context.Context, string) error{w.e.Pause, w.e.Resume} {
			if err := f(context.Background(), "b"); !errors.Is(err, delivery.ErrNotFound) {
				t.Errorf("error %v", err)
			}
		}
	})
}

func TestOperationalEventsReachThoseWhoAskedAndNobodyElse(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		ops := func(patterns ...string) option {
			return func(ep *delivery.Endpoint) { ep.Notices = patterns }
		}
		subscribed := routeTo{decide: func(ev *delivery.Event) delivery.Decision {
			var d delivery.Decision
			for _, name := range []string{"a", "ops", "exact", "everything"} {
				if delivery.IsNotice(ev.Type) || name == "a" {
					d.Targets = append(d.Targets, delivery.Target{Route: delivery.SubscriptionPrefix + name, Primary: name, Backups: []string{"a"}, OwnBackups: name != "a"})
				}
			}
			if delivery.IsNotice(ev.Type) { // a route without a condition
				d.Targets = append(d.Targets, delivery.Target{Route: "all", Primary: "routed"})
			}
			return d
		}}
		w.apply(w.plan(subscribed, w.endpoint("a", retries(), ops("webhooks.*")), w.endpoint("ops", ops("webhooks.*")),
			w.endpoint("exact", ops(delivery.NoticeBreakerClosed)), w.endpoint("everything"), w.endpoint("routed", ops("webhooks.*"))))
		w.answer("a", down)
		for i := range 5 {
			w.publish(fmt.Sprintf("evt_%d", i))
			pass(time.Millisecond)
		}
		pass(35 * time.Second)
		w.publish("evt_probe") // fails: the breaker opens again, which is no news
		pass(35 * time.Second)
		w.answer("a", nil)
		w.publish("evt_last")
		pass(time.Minute)

		var types []string
		for _, s := range w.seen("ops") {
			var body struct {
				Event string
				Data  map[string]any
			}
			if err := json.Unmarshal([]byte(s.body), &body); err != nil || body.Data["endpoint"] != "a" {
				t.Errorf("body %s: %v", s.body, err)
			}
			types = append(types, body.Event)
		}
		slices.Sort(types)
		exhausted := slices.Repeat([]string{delivery.NoticeDeliveryExhausted}, 6)
		want(t, "ops", types, append([]string{delivery.NoticeBreakerClosed, delivery.NoticeBreakerOpened}, exhausted...))
		if n := len(w.seen("exact")); n != 1 {
			t.Errorf("the one that asked for breaker_closed got %d", n)
		}
		for _, name := range []string{"everything", "routed"} {
			if n := len(w.seen(name)); n != 0 {
				t.Errorf("%s got %d", name, n)
			}
		}
		for _, s := range w.seen("a") {
			if s.header.Get("X-AtoShip-Event") != "label.created" {
				t.Errorf("a got news about itself: %s", s.body)
			}
		}
	})
}

func TestDeliveriesOfOperationalEventsRaiseNone(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		all := func(ep *delivery.Endpoint) { ep.Notices = []string{"webhooks.*"} }
		subscribed := routeTo{decide: func(*delivery.Event) delivery.Decision {
			return delivery.Decision{Targets: []delivery.Target{
				{Route: delivery.SubscriptionPrefix + "a", Primary: "a"}, {Route: delivery.SubscriptionPrefix + "b", Primary: "b"},
			}}
		}}
		w.apply(w.plan(subscribed, w.endpoint("a", retries(), all), w.endpoint("b", retries(), all)))
		w.answer("a", down)
		w.answer("b", down)
		for i := range 10 {
			w.e.Notify(delivery.Notice{Type: delivery.NoticeEgressChanged, Data: map[string]any{"n": i}})
		}
		pass(24 * time.Hour)
		synctest.Wait()
		if n := len(w.seen("")); n > 2*10+2 {
			t.Errorf("ten operational events led to %d requests", n)
		}
		c, err := w.e.Journal().Counts(context.Background())
		if err != nil || c.Events != 10 {
			t.Errorf("%d events stored, %v; want the ten", c.Events, err)
		}
	})
}

func TestEndpointsThatHangLeaveRoomForOneThatAnswers(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		targets, eps := map[string]delivery.Target{"works": to("works")}, []*delivery.Endpoint{w.endpoint("works")}
		for i := range 100 {
			name := fmt.Sprint("hangs", i)
			targets[name] = to(name)
			eps = append(eps, w.endpoint(name))
			w.answer(name, hang)
		}
		p := w.plan(byName(targets), eps...)
		p.MaxInFlight = 64
		w.apply(p)
		w.publish("works-first")
		pass(time.Second)
		for i := range 100 {
			for j := range 3 {
				w.publish(fmt.Sprintf("hangs%d-%d", i, j))
			}
		}
		pass(time.Second)
		if n := len(w.seen("")) - 1; n != 56 {
			t.Errorf("%d attempts at endpoints that never answered, want seven eighths of 64", n)
		}
		for i := range 20 {
			w.publish(fmt.Sprintf("works-%d", i))
			pass(time.Millisecond)
			if n := len(w.seen("works")); n != i+2 {
				t.Fatalf("event %d waits behind endpoints that hang", i)
			}
		}
		pass(24 * time.Hour)
		begun := map[time.Duration]int{} // by half a minute, which an attempt takes
		for _, s := range w.seen("")[56+1+20:] {
			begun[s.at.Sub(w.seen("")[0].at)/(30*time.Second)]++
		}
		for at, n := range begun {
			if at > 3 && n > 2*16 { // all were tried by then; those under way at its beginning end in it
				t.Errorf("half a minute %d: %d attempts began at endpoints that do not answer, which share 16", at, n)
			}
		}
		for i := range 100 {
			if len(w.seen(fmt.Sprint("hangs", i))) == 0 {
				t.Errorf("hangs%d was never tried", i)
			}
		}
	})
}

func TestEachDeliveryThatExpiresIsNewsUpToABound(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		ops := func(ep *delivery.Endpoint) { ep.Notices = []string{delivery.NoticeDeliveryExhausted} }
		paused := func(ep *delivery.Endpoint) { ep.Paused = true }
		router := routeTo{decide: func(ev *delivery.Event) delivery.Decision {
			name := "held"
			if delivery.IsNotice(ev.Type) {
				name = "ops"
			}
			return delivery.Decision{Targets: []delivery.Target{{Route: delivery.SubscriptionPrefix + name, Primary: name}}}
		}}
		p := w.plan(router, w.endpoint("held", paused), w.endpoint("ops", ops))
		p.Expire = time.Hour
		w.apply(p)
		ids := make([]string, 130)
		for i := range ids {
			ids[i] = fmt.Sprintf("evt_%03d", i)
		}
		w.publish(ids...)
		pass(time.Hour + 2*time.Minute)

		each, rest := map[string]bool{}, 0.0
		for _, s := range w.seen("ops") {
			var body struct{ Data map[string]any }
			if err := json.Unmarshal([]byte(s.body), &body); err != nil || body.Data["reason"] != delivery.ReasonExpired {
				t.Fatalf("body %s: %v", s.body, err)
			}
			if n, ok := body.Data["deliveries"].(float64); ok {
				rest += n
				continue
			}
			if body.Data["endpoint"] != "held" || body.Data["delivery_id"] == "" || body.Data["event_type"] != "label.created" {
				t.Errorf("body %s", s.body)
			}
			each[body.Data["event_id"].(string)] = true
		}
		if len(each) != 100 || rest != 30 {
			t.Errorf("%d were told of one by one, and %v together", len(each), rest)
		}
	})
}
