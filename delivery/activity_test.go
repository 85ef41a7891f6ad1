package delivery_test

import (
	"context"
	"testing"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
)

func TestActivityTellsOfSomeEndpointsWhatTheyDidInADay(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		w.answer("b", always(500))
		w.apply(w.plan(byName(map[string]delivery.Target{"a": to("a"), "b": to("b", "c")}),
			w.endpoint("a"), w.endpoint("b", noBreaker, retries(time.Hour)), w.endpoint("c")))
		w.publish("a-1", "a-2", "b-1")
		pass(time.Second)
		activity := func(names ...string) (all delivery.Activity, succeeded, failed uint64) {
			t.Helper()
			known := map[string]bool{}
			for _, name := range names {
				known[name] = true
			}
			all, err := w.e.Activity(context.Background(), func(name string) bool { return known[name] })
			if err != nil {
				t.Fatal(err)
			}
			for i, s := range all.Steps {
				succeeded, failed = succeeded+s.Succeeded, failed+s.Failed
				if next := all.Steps[min(i+1, len(all.Steps)-1)].At; i+1 < len(all.Steps) && next.Sub(s.At) != delivery.ActivityStep {
					t.Errorf("a step at %s, the next at %s", s.At, next)
				}
			}
			return all, succeeded, failed
		}
		check := func(what string, pending, delivered, succeeded, failed uint64, names ...string) delivery.Activity {
			t.Helper()
			all, yes, no := activity(names...)
			if all.Deliveries.Pending != pending || all.Deliveries.Delivered != delivered || yes != succeeded || no != failed {
				t.Errorf("%s: %+v, %d attempts succeeded and %d failed", what, all.Deliveries, yes, no)
			}
			return all
		}
		check("one that works", 0, 2, 2, 0, "a")
		check("one that fails", 1, 0, 0, 1, "b")
		all := check("both", 1, 2, 2, 1, "a", "b")
		if now := all.Steps[delivery.ActivitySteps-1]; now.Succeeded != 2 || now.Failed != 1 || time.Since(now.At) > delivery.ActivityStep {
			t.Errorf("the step under way is %+v", now)
		}
		check("one that is none", 0, 0, 0, 0, "x")

		pass(2 * time.Hour) // b's schedule is spent after an hour, and c takes what it left
		all = check("what a backup did is its own", 0, 1, 0, 2, "b")
		if n := len(all.Steps); all.Steps[n-1].Failed != 0 || all.Steps[n-3].Failed+all.Steps[n-2].Failed != 1 {
			t.Errorf("the steps' order: %+v", all.Steps[n-6:])
		}
		check("the backup", 0, 0, 1, 0, "c")

		pass(25 * time.Hour)
		check("a day later", 0, 3, 0, 0, "a", "b", "c")
		if n := w.e.Tallies(); n != 0 {
			t.Errorf("%d endpoints are still counted that did nothing for a day", n)
		}
		w.publish("a-3")
		pass(time.Second)
		check("anew", 0, 3, 1, 0, "a")
	})
}
