package delivery_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
)

// herald keeps the operational events of a type.
type herald struct {
	delivery.NopObserver

	of    string
	mu    sync.Mutex
	heard []delivery.Notice
}

func (h *herald) Noticed(n delivery.Notice) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n.Type == h.of {
		h.heard = append(h.heard, n)
	}
}

func TestAnEndpointThatIsDisabledIsNewsOnceEachTime(t *testing.T) {
	t.Parallel()
	news := &herald{of: delivery.NoticeEndpointDisabled}
	inWorldLike(t, func(w *world) { w.observer = news }, func(t *testing.T, w *world) {
		w.apply(w.plan(byName(map[string]delivery.Target{"gone": to("gone"), "failing": to("failing")}),
			w.endpoint("gone"), w.endpoint("failing", noBreaker, retries(slices.Repeat([]time.Duration{time.Hour}, 20)...), func(ep *delivery.Endpoint) { ep.DisableAfter = 6 * time.Hour })))
		w.answer("gone", always(410))
		w.answer("failing", always(500))
		w.publish("gone-1", "gone-2", "gone-3", "failing-1")
		pass(12 * time.Hour)
		var told []string
		for _, n := range news.heard {
			told = append(told, n.Endpoint+" "+n.Data["reason"].(string))
		}
		want(t, "told", told, []string{"gone " + delivery.DisabledGone, "failing " + delivery.DisabledFailing})

		if err := w.e.Resume(t.Context(), "gone"); err != nil { // what waited is tried again
			t.Fatal(err)
		}
		pass(time.Hour)
		if n := len(news.heard); n != 3 || news.heard[2].Endpoint != "gone" {
			t.Errorf("after an operator let it in again: %+v", news.heard)
		}
	})
}
