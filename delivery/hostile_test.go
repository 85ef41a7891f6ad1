package delivery_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
)

// besideHanging is a plan of 100 endpoints that never answer, each with a backlog, and one more of each name. Of 64 attempts
// at once 48 may be at silent endpoints, and 8 more at those that nobody knows yet.
func besideHanging(w *world, names ...string) *delivery.Plan {
	targets, eps := map[string]delivery.Target{}, []*delivery.Endpoint{}
	add := func(name string, opts ...option) {
		targets[name] = to(name)
		eps = append(eps, w.endpoint(name, opts...))
	}
	for i := range 100 {
		name := fmt.Sprint("hangs", i)
		add(name, noBreaker)
		w.answer(name, hang)
	}
	for _, name := range names {
		add(name)
	}
	p := w.plan(byName(targets), eps...)
	p.MaxInFlight = 64
	return p
}

func (w *world) attack() {
	for j := range 10 {
		for i := range 100 {
			w.publish(fmt.Sprintf("hangs%d-%d", i, j))
		}
	}
}

func TestANewEndpointDoesNotWaitBehindThoseThatHang(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		w.apply(besideHanging(w))
		w.attack()
		pass(5 * time.Minute) // by now all are known to hang
		w.apply(besideHanging(w, "new"))
		w.publish("new-1")
		w.publish("new-2")
		pass(time.Second)
		if n := len(w.seen("new")); n != 2 {
			t.Errorf("a new endpoint got %d of its 2 events within a second", n)
		}
	})
}

func TestARestartRemembersWhoHangs(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		w.apply(besideHanging(w, "works"))
		w.publish("works-1")
		w.attack()
		pass(5 * time.Minute)
		w.crash()
		w.apply(besideHanging(w, "works"))
		pass(time.Second)
		w.publish("works-2")
		pass(time.Second)
		if n := len(w.seen("works")); n != 2 {
			t.Errorf("an endpoint that works got %d of its 2 events: those that hang took its place after the restart", n)
		}
	})
}

func TestFirstTriesComeBeforeSecondOnesOfThoseThatHang(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		w.apply(besideHanging(w, "works"))
		w.attack()
		w.publish("works-1")
		pass(2*delivery.DefaultTimeout + 10*time.Second) // 56 and then the other 44, before anything is known of anyone
		if n := len(w.seen("works")); n != 1 {
			t.Errorf("the last of 101 unknown endpoints got %d events in two timeouts", n)
		}
	})
}

func TestAnEndpointThatAnswersWithErrorsIsNotTakenForOneThatHangs(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		w.apply(besideHanging(w, "fails"))
		w.answer("fails", always(500))
		w.publish("fails-1")
		w.attack()
		pass(5 * time.Minute)
		before := len(w.seen("fails"))
		w.publish("fails-2")
		pass(time.Second)
		if n := len(w.seen("fails")); n != before+1 {
			t.Errorf("%d tries after %d: it waits behind those that hang", n, before)
		}
	})
}

func TestTriesAtEndpointsThatHangAreSpreadOverTime(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		w.apply(besideHanging(w))
		w.attack()
		pass(10 * time.Minute)
		first := w.seen("")[0].at
		later := slices.DeleteFunc(w.seen(""), func(s sent) bool { return s.at.Sub(first) <= delivery.DefaultTimeout })
		if n := most(later, 100*time.Millisecond); n > 8 {
			t.Errorf("%d of 64 attempts began within 0.1 s", n)
		}
		if n := len(later); n < 240 {
			t.Errorf("%d tries in ten minutes: 16 of 30 s with pauses of 5 s would be 260", n)
		}
	})
}
