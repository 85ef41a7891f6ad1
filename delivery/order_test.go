package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
)

// keyed orders by what stands before the dash of an event's id.
type keyed struct{}

func (keyed) Key(ev *delivery.Event) (string, error) {
	key, _, ok := strings.Cut(ev.ID, "-")
	if !ok {
		return "", errors.New("no dash")
	}
	return key, nil
}

func ordered(ep *delivery.Endpoint) { ep.Order = keyed{} }

// sequence lists the events an endpoint saw whose id begins with a key, without repeats in a row.
func sequence(sends []sent, key string) []string {
	var ids []string
	for _, s := range sends {
		if strings.HasPrefix(s.event, key+"-") {
			ids = append(ids, s.event)
		}
	}
	return slices.Compact(ids)
}

func TestOneKeyGoesInOrderThroughRetriesFailoverAndACrash(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		plan := func() *delivery.Plan {
			return w.plan(routeTo{targets: []delivery.Target{to("a", "b")}}, w.endpoint("a", ordered, noBreaker, retries(time.Minute)), w.endpoint("b", retries(time.Minute)))
		}
		w.apply(plan())
		failing := func(_ int, r *http.Request) (*http.Response, error) {
			if r.Header.Get("X-AtoShip-Event-Id") == "parcel-2" {
				return status(500)
			}
			return status(200)
		}
		w.answer("a", failing)
		w.answer("b", func(n int, _ *http.Request) (*http.Response, error) {
			if n == 1 {
				return status(500)
			}
			return status(200)
		})
		for i := range 4 {
			w.publish(fmt.Sprintf("parcel-%d", i+1))
		}
		w.publish("other-1")
		pass(time.Second)
		want(t, "before the retry", sequence(w.seen(""), "parcel"), []string{"parcel-1", "parcel-2"})
		want(t, "another key", sequence(w.seen(""), "other"), []string{"other-1"})
		w.crash()
		w.apply(plan())
		pass(10 * time.Minute)
		want(t, "after failover to b, which fails once", sequence(w.seen(""), "parcel"), []string{"parcel-1", "parcel-2", "parcel-3", "parcel-4"})
	})
}

func TestTenThousandOfOneKeyDelayNoOther(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		w.apply(w.plan(routeTo{targets: []delivery.Target{to("a")}}, w.endpoint("a", ordered, noBreaker)))
		w.answer("a", func(_ int, r *http.Request) (*http.Response, error) {
			if strings.HasPrefix(r.Header.Get("X-AtoShip-Event-Id"), "stuck-") {
				return status(500)
			}
			return status(200)
		})
		for i := range 100 {
			ids := make([]string, 100)
			for j := range ids {
				ids[j] = fmt.Sprintf("stuck-%05d", 100*i+j)
			}
			w.publish(ids...)
		}
		for i := range 1000 {
			w.publish(fmt.Sprintf("key%d-1", i))
		}
		pass(time.Second)
		free := slices.DeleteFunc(w.seen("a"), func(s sent) bool { return strings.HasPrefix(s.event, "stuck-") })
		if len(free) != 1000 {
			t.Errorf("%d of the thousand other keys were delivered within a second", len(free))
		}
	})
}

func TestEventsWithoutAKeyAreNotHeldUp(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		w.apply(w.plan(routeTo{targets: []delivery.Target{to("a")}}, w.endpoint("a", ordered, noBreaker)))
		w.answer("a", func(n int, _ *http.Request) (*http.Response, error) {
			if n == 1 {
				return status(500)
			}
			return status(200)
		})
		w.publish("nokey1")
		pass(time.Second)
		w.publish("nokey2")
		pass(time.Second)
		if n := len(w.seen("a")); n != 2 {
			t.Errorf("%d requests", n)
		}
	})
}

func TestCancelledHeadLetsTheNextOfItsKeyGo(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		w.apply(w.plan(routeTo{targets: []delivery.Target{to("a")}}, w.endpoint("a", ordered, noBreaker)))
		w.answer("a", always(500))
		first := w.publish("parcel-1")
		w.publish("parcel-2")
		pass(time.Second)
		w.answer("a", nil)
		if _, err := w.e.Journal().Cancel(context.Background(), first[0].Deliveries[0].ID); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		want(t, "requests", sequence(w.seen("a"), "parcel"), []string{"parcel-1", "parcel-2"})
		if d := w.record(first[0]).Delivery; d.State != delivery.Cancelled {
			t.Errorf("the first is %s", d.State)
		}
	})
}

func TestDeletedEndpointsDeliveriesAreCancelled(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		router := routeTo{targets: []delivery.Target{to("a")}}
		w.apply(w.plan(router, w.endpoint("a", func(ep *delivery.Endpoint) { ep.Paused = true })))
		for i := range 5 {
			w.publish(fmt.Sprintf("evt_%d", i))
		}
		w.apply(w.plan(router))
		if n, err := w.e.CancelEndpoint(context.Background(), "a"); n != 5 || err != nil {
			t.Fatalf("cancelled %d, %v", n, err)
		}
		w.apply(w.plan(router, w.endpoint("a")))
		if err := w.e.Resume(context.Background(), "a"); err != nil {
			t.Fatal(err)
		}
		pass(time.Hour)
		if n := len(w.seen("a")); n != 0 {
			t.Errorf("%d cancelled deliveries were sent", n)
		}
	})
}
