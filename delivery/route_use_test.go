package delivery_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/rules"
)

func TestARoutesUseIsCountedOverChangesOfTheConfiguration(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		route := func(name, when string, to ...string) rules.Route {
			r := rules.Route{Name: name, When: rules.Expr{Text: when}}
			for _, endpoint := range to {
				r.To = append(r.To, rules.Chain{Primary: endpoint})
			}
			return r
		}
		ruled := func(routes ...rules.Route) delivery.RuleRouter {
			set, err := rules.Compile(rules.Config{
				Endpoints: []string{"a", "b"}, Routes: routes, Subscriptions: []rules.Subscription{{Endpoint: "b", Types: []string{"*"}}},
			})
			if err != nil {
				t.Fatal(err)
			}
			return delivery.RuleRouter{Set: set}
		}
		check := func(name string, matched, failed uint64) delivery.RouteUse {
			t.Helper()
			use := w.e.RouteUse(name)
			if use.Matched != matched || use.Failed != failed {
				t.Errorf("%s matched %d and failed on %d, want %d and %d", name, use.Matched, use.Failed, matched, failed)
			}
			return use
		}

		both := route("both", `event.id startsWith "x"`, "a", "b")
		w.apply(w.plan(ruled(both, route("covered", "", "a"), route("broken", "data.label_id > 3", "a"), route("never", "false", "a")),
			w.endpoint("a"), w.endpoint("b")))
		w.publish("x-1", "y-1")
		pass(time.Second)
		check("both", 1, 0) // two deliveries are one match
		check("covered", 2, 0)
		check("broken", 0, 2)
		check("never", 0, 0)
		check(delivery.SubscriptionPrefix+"b", 0, 0)
		if use := check("none", 0, 0); !use.LastMatched.IsZero() {
			t.Errorf("a route that is none matched at %s", use.LastMatched)
		}

		w.apply(w.plan(ruled(route("new", "", "a"), both), w.endpoint("a"), w.endpoint("b")))
		w.publish("x-2")
		pass(time.Second)
		if use := check("both", 2, 0); time.Since(use.LastMatched) != time.Second {
			t.Errorf("the last match was at %s, now it is %s", use.LastMatched, time.Now())
		}
		check("new", 1, 0)
	})
}

func TestCountingRoutesIsBounded(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		names := make([]string, delivery.MaxRouteUses+1)
		for i := range names {
			names[i] = fmt.Sprint("r", i)
		}
		w.apply(w.plan(routeTo{decide: func(*delivery.Event) delivery.Decision {
			return delivery.Decision{Idle: names, Errors: []error{errors.New("a guest's own")}}
		}}))
		w.publish("x-1")
		if n := w.e.RouteUse(names[delivery.MaxRouteUses-1]).Matched; n != 1 {
			t.Errorf("the last one counted matched %d", n)
		}
		if n := w.e.RouteUse(names[delivery.MaxRouteUses]).Matched; n != 0 {
			t.Errorf("one beyond the bound matched %d", n)
		}
	})
}
