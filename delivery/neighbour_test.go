package delivery_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
)

// A reload may remove a backup that deliveries of others have moved to.
func TestDeliveryAtABackupThatIsRemovedGoesToTheNextTarget(t *testing.T) {
	t.Parallel()
	for name, restart := range map[string]bool{"a reload": false, "a restart with another configuration": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, func(t *testing.T, w *world) {
				router := byName(map[string]delivery.Target{"a": to("a", "b", "c"), "b": to("b", "c")})
				w.apply(w.plan(router, w.endpoint("a", retries(), noBreaker), w.endpoint("b", retries(time.Hour), noBreaker), w.endpoint("c")))
				w.answer("a", down)
				w.answer("b", down)
				w.publish("a-1") // fails at a, and then at b, where it waits for an hour
				w.publish("b-1")
				pass(time.Minute)
				if restart {
					w.crash()
				}
				w.apply(w.plan(router, w.endpoint("a"), w.endpoint("c")))
				pass(2 * time.Hour)
				var ids []string
				for _, s := range w.seen("c") {
					ids = append(ids, s.event)
				}
				want(t, "c, while b is gone", ids, []string{"a-1"})
				w.answer("b", nil)
				w.apply(w.plan(router, w.endpoint("a"), w.endpoint("b"), w.endpoint("c")))
				pass(time.Minute)
				if seen := w.seen("b"); seen[len(seen)-1].event != "b-1" {
					t.Errorf("b has returned, and what is at home there was not sent: %v", seen)
				}
			})
		})
	}
}

func TestBackupThatAskedToBeLeftAloneIsNotMovedTo(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		w.apply(w.plan(byName(map[string]delivery.Target{"a": to("a", "b", "c"), "b": to("b")}), w.endpoint("a", retries()), w.endpoint("b"), w.endpoint("c")))
		w.answer("b", always(429, "Retry-After", "36000"))
		w.publish("b-1")
		w.answer("a", down)
		pass(time.Second)
		for i := range 10 { // the first five exhaust themselves at a and open its breaker
			w.publish(fmt.Sprintf("a-%d", i))
			pass(time.Millisecond)
		}
		pass(time.Minute)
		if n := len(w.seen("c")); n != 10 {
			t.Errorf("c got %d of 10: the others wait ten hours at b", n)
		}
	})
}

// Slow answers hold as much of max_in_flight as none.
func TestEndpointsThatAnswerSlowlyLeaveRoomForOneThatIsQuick(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		plan := besideHanging(w, "quick")
		for i := range 100 {
			w.answer(fmt.Sprint("hangs", i), func(_ int, r *http.Request) (*http.Response, error) {
				select {
				case <-time.After(25 * time.Second):
					return status(200)
				case <-r.Context().Done():
					return nil, r.Context().Err()
				}
			})
		}
		w.apply(plan)
		w.publish("quick-0")
		pass(time.Second)
		for j := range 100 {
			for i := range 100 {
				w.publish(fmt.Sprintf("hangs%d-%d", i, j))
			}
		}
		pass(5 * time.Minute)
		for i := range 20 {
			before := len(w.seen("quick"))
			w.publish(fmt.Sprintf("quick-%d", i+1))
			pass(time.Second)
			if n := len(w.seen("quick")); n != before+1 {
				t.Errorf("event %d waits behind those that are slow", i)
			}
		}
	})
}

func TestALaneWhoseEndpointIsSilentHoldsLittleInMemory(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		w.apply(w.plan(routeTo{targets: []delivery.Target{to("a")}}, w.endpoint("a")))
		takes := func(most int) (n int) { // how many fresh deliveries the lane takes now
			d := &delivery.Delivery{Event: &delivery.Event{Body: []byte("{}")}, Chain: []string{"a"}}
			for n < most && w.e.Reserve(d) {
				n++
			}
			if n < most {
				w.e.Committed(d, false, delivery.ErrUnavailable)
			}
			for range n {
				w.e.Committed(d, true, delivery.ErrUnavailable)
			}
			return n
		}
		w.publish("evt_1")
		pass(time.Second)
		if n := takes(64); n < 64 {
			t.Errorf("a lane whose endpoint answers takes %d deliveries, want enough to stay busy over a commit", n)
		}
		w.answer("a", hang)
		w.publish("evt_2")
		pass(31 * time.Second)
		if n := takes(64); n == 0 || n > 8 {
			t.Errorf("a lane whose endpoint is silent takes %d deliveries, want a few", n)
		}
		w.answer("a", nil)
		pass(2 * time.Minute) // the retry is answered
		if n := takes(64); n < 64 {
			t.Errorf("a lane whose endpoint answers again takes %d deliveries, want enough again", n)
		}
	})
}
