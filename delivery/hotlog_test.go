package delivery_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/store/memory"
)

// page is what was logged, safe for concurrent use.
type page struct {
	mu   sync.Mutex
	text strings.Builder
}

func (p *page) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(b)
}

// lines that have a text.
func (p *page) lines(text string) (found []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for line := range strings.Lines(p.text.String()) {
		if strings.Contains(line, text) {
			found = append(found, line)
		}
	}
	return found
}

func TestWhatHappensWithEveryEventIsLoggedNowAndThen(t *testing.T) {
	t.Parallel()
	log := new(page)
	inWorldLike(t, func(w *world) { w.log = slog.New(slog.NewTextHandler(log, nil)) }, func(t *testing.T, w *world) {
		w.apply(w.plan(routeTo{decide: func(*delivery.Event) delivery.Decision {
			return delivery.Decision{Errors: []error{&delivery.RuleError{Route: "r", Text: "no"}}}
		}}))
		for i := range 250 {
			w.publish(fmt.Sprint("a", i))
		}
		if n := len(log.lines("rule failed")); n != 100 {
			t.Errorf("%d lines in a minute, want 100", n)
		}
		pass(time.Minute)
		w.publish("b")
		lines := log.lines("rule failed")
		if len(lines) != 101 || !strings.Contains(lines[100], "event=b") || !strings.Contains(lines[100], "lines_left_out=150") {
			t.Errorf("%d lines, the last %s", len(lines), lines[len(lines)-1])
		}
	})
}

func TestTheLogTellsEachChangeOfAnEndpointOnceAndNoSecret(t *testing.T) {
	t.Parallel()
	log := new(page)
	inWorldLike(t, func(w *world) { w.log = slog.New(slog.NewTextHandler(log, nil)) }, func(t *testing.T, w *world) {
		w.answer("a", func(n int, _ *http.Request) (*http.Response, error) {
			if n <= 5 {
				return status(500)
			}
			return status(200)
		})
		w.answer("b", always(410))
		w.apply(w.plan(byName(map[string]delivery.Target{"a": to("a"), "b": to("b"), "c": to("c")}), w.endpoint("a"), w.endpoint("b"),
			w.endpoint("c", retries())))
		w.answer("c", always(400))
		w.publish("a-1", "a-2", "a-3", "a-4", "a-5", "b-1", "c-1")
		pass(time.Millisecond) // the sixth's success, were it in flight with them, might come between
		w.publish("a-6")
		pass(10 * time.Minute)
		for text, n := range map[string]int{
			`msg="breaker opened" endpoint=a`: 1, `msg="breaker closed" endpoint=a`: 1, `msg="endpoint disabled" endpoint=b reason=gone`: 1,
			`msg="delivery exhausted"`: 1, "endpoint=c reason=schedule outcome=http_error": 1,
			"lbl_abc123": 0, "a secret for tests only": 0,
		} {
			if got := log.lines(text); len(got) != n {
				t.Errorf("%d lines with %q, want %d:\n%s", len(got), text, n, strings.Join(log.lines(""), ""))
			}
		}
	})
}

func TestTheLogTellsEachDeadLetterWhateverEndedIt(t *testing.T) {
	t.Parallel()
	log := new(page)
	inWorldLike(t, func(w *world) { w.log = slog.New(slog.NewTextHandler(log, nil)) }, func(t *testing.T, w *world) {
		w.answer("late", always(500))
		w.answer("crashes", hang)
		w.answer("refuses", always(400))
		plan := func() *delivery.Plan {
			p := w.plan(byName(map[string]delivery.Target{"late": to("late"), "crashes": to("crashes"), "refuses": to("refuses")}),
				w.endpoint("late", retries(70*time.Second), noBreaker), w.endpoint("crashes", retries(), noBreaker), w.endpoint("refuses", retries()))
			p.Expire = 65 * time.Second // after retention has looked for the first time, before it looks again
			return p
		}
		w.apply(plan())
		w.publish("late-1", "refuses-1")
		pass(75 * time.Second)
		w.publish("crashes-1")
		for range 3 {
			pass(time.Second)
			w.crash()
			w.apply(plan())
		}
		pass(time.Second)
		for text, n := range map[string]int{
			`msg="delivery exhausted"`: 3,
			`endpoint=late reason=expired note="pending longer than expire" attempts=1`:                                  1,
			`endpoint=refuses reason=schedule outcome=http_error attempts=1`:                                             1,
			`endpoint=crashes reason=schedule note="three unknown outcomes in a row count as one failed try" attempts=3`: 1,
			`msg="deliveries expired"`: 0,
		} {
			if got := log.lines(text); len(got) != n {
				t.Errorf("%d lines with %q, want %d:\n%s", len(got), text, n, strings.Join(log.lines(""), ""))
			}
		}
	})
}

func TestTheLogTellsOnceThatAnEndpointAsksToWaitHoweverManyAttemptsItAsks(t *testing.T) {
	t.Parallel()
	log := new(page)
	inWorldLike(t, func(w *world) { w.log = slog.New(slog.NewTextHandler(log, nil)) }, func(t *testing.T, w *world) {
		w.apply(w.plan(routeTo{targets: []delivery.Target{to("a")}}, w.endpoint("a", noBreaker)))
		busy := func(n int, _ *http.Request) (*http.Response, error) {
			time.Sleep(time.Duration(n) * 10 * time.Millisecond)
			return status(429, "Retry-After", "600")
		}
		for i, ids := range [][]string{{"a-1", "a-2"}, {"b-1", "b-2"}} {
			w.answer("a", busy)
			before := len(w.seen("a"))
			w.publish(ids...) // under way at once
			pass(time.Minute)
			if n, got := len(w.seen("a"))-before, log.lines("asked to wait"); n != 2 || len(got) != i+1 {
				t.Errorf("%d lines, the last of %d answers: %q", len(got), n, got)
			}
			w.answer("a", always(200))
			pass(time.Hour)
		}
	})
}

func TestATransformThatFailsOnEveryEventDoesNotFillTheLog(t *testing.T) {
	t.Parallel()
	log := new(page)
	inWorldLike(t, func(w *world) { w.log = slog.New(slog.NewTextHandler(log, nil)) }, func(t *testing.T, w *world) {
		w.apply(w.plan(routeTo{targets: []delivery.Target{to("a")}}, w.endpoint("a", makes("endpoint", "evt_"))))
		for i := range 250 {
			w.publish(fmt.Sprint("evt_", i))
		}
		pass(time.Second)
		if n := len(log.lines("transform failed")); n != 100 {
			t.Errorf("%d lines in a minute, want 100", n)
		}
	})
}

// forgetful is a store whose audit misses so many deliveries.
type forgetful struct {
	*memory.Store

	lost *atomic.Uint64
}

func (f forgetful) Audit(context.Context) (delivery.Audit, error) {
	return delivery.Audit{At: time.Now(), Pending: 10, Found: 10 - f.lost.Load()}, nil
}

func TestTheLogTellsOnceThatDeliveriesAreLostAndThatTheyAreFoundAgain(t *testing.T) {
	t.Parallel()
	log, lost := new(page), new(atomic.Uint64)
	inWorldLike(t, func(w *world) {
		w.log = slog.New(slog.NewTextHandler(log, nil))
		w.wrap = func(s *memory.Store) delivery.Store { return forgetful{s, lost} }
	}, func(t *testing.T, w *world) {
		w.apply(w.plan(routeTo{}))
		for _, step := range []struct{ lost, missing, found uint64 }{{0, 0, 0}, {2, 1, 0}, {2, 1, 0}, {0, 1, 1}, {0, 1, 1}, {1, 2, 1}} {
			lost.Store(step.lost)
			pass(10 * time.Minute)
			missing, found := log.lines("deliveries that are pending and stand nowhere"), log.lines("finds every delivery again")
			if uint64(len(missing)) != step.missing || uint64(len(found)) != step.found {
				t.Errorf("with %d lost: %d and %d lines, want %d and %d", step.lost, len(missing), len(found), step.missing, step.found)
			}
			stats, err := w.e.Stats(t.Context())
			if err != nil || stats.Audit == nil || uint64(stats.Audit.Lost()) != step.lost {
				t.Errorf("stats: %+v, %v", stats.Audit, err)
			}
		}
		if got := log.lines("lost=2 pending=10"); len(got) != 1 {
			t.Errorf("how many: %q", got)
		}
	})
}
