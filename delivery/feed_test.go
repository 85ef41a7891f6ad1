package delivery_test

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
)

// drain gathers kinds of what a follower is passed until it is closed.
func drain(f *delivery.Follower) []string {
	var got []string
	for {
		select {
		case item, open := <-f.Items:
			if !open {
				return append(got, "closed")
			}
			got = append(got, fmt.Sprintf("%s %s %s%s", item.Kind, item.EventID, item.Outcome, item.State))
		default:
			return got
		}
	}
}

func TestFollowersSeeWhatTheyWantAndNothingFromBefore(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		w.apply(w.plan(byName(map[string]delivery.Target{"a": to("a"), "b": to("b")}), w.endpoint("a", retries()), w.endpoint("b")))
		w.answer("a", always(500))
		w.publish("a-before")
		pass(time.Second)
		// News of the dead letter comes by another goroutine, before or after its end.
		all, err := w.e.Follow("", func(i *delivery.FeedItem) bool { return i.Kind != "notice" })
		if err != nil {
			t.Fatal(err)
		}
		onlyB, err := w.e.Follow("", func(i *delivery.FeedItem) bool { return i.Endpoint == "b" })
		if err != nil {
			t.Fatal(err)
		}
		w.publish("a-1")
		pass(time.Second)
		w.publish("b-1")
		pass(time.Second)
		want(t, "all", drain(all), []string{
			"accepted a-1 ", "attempted a-1 server_error", "ended a-1 exhausted",
			"accepted b-1 ", "attempted b-1 delivered", "ended b-1 delivered",
		})
		want(t, "of b", drain(onlyB), []string{"attempted b-1 delivered", "ended b-1 delivered"})
		all.Close()
		all.Close()
		w.publish("b-2")
		pass(time.Second)
		want(t, "after Close", drain(all), []string{"closed"})
		want(t, "the other", drain(onlyB), []string{"attempted b-2 delivered", "ended b-2 delivered"})
	})
}

func TestASlowFollowerLosesItemsAndDelaysNobody(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		w.apply(w.plan(routeTo{targets: []delivery.Target{to("a")}}, w.endpoint("a")))
		slow, err := w.e.Follow("", nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 400 {
			w.publish(fmt.Sprintf("evt_%d", i))
		}
		pass(time.Minute)
		if n := len(w.seen("a")); n != 400 {
			t.Errorf("%d delivered", n)
		}
		if got, missed := len(drain(slow)), slow.Missed(); got != 1024 || missed != 1200-1024 || slow.Missed() != 0 {
			t.Errorf("%d items and %d missed, want 1024 and 176", got, missed)
		}
		slow.Close()
	})
}

func TestAFollowerThatComesBackGetsWhatItMissed(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		w.apply(w.plan(byName(map[string]delivery.Target{"a": to("a"), "b": to("b")}), w.endpoint("a"), w.endpoint("b")))
		onlyA := func(i *delivery.FeedItem) bool { return i.Endpoint == "a" }
		follow := func(cursor string, wants func(*delivery.FeedItem) bool) *delivery.Follower {
			f, err := w.e.Follow(cursor, wants)
			if err != nil {
				t.Fatal(err)
			}
			return f
		}
		publish := func(ids ...string) {
			for _, id := range ids {
				w.publish(id)
				pass(time.Second)
			}
		}
		// comeBack follows from a cursor on, and says what it got.
		comeBack := func(cursor string) (got []string) {
			f := follow(cursor, onlyA)
			defer f.Close()
			if got = drain(f); f.Gap {
				got = append([]string{"gap"}, got...)
			}
			return got
		}
		f := follow("", onlyA)
		start := f.Start
		publish("a-1", "b-1")
		first := <-f.Items
		cursor := f.Cursor(&first)
		f.Close()
		publish("b-2", "a-2")
		want(t, "from an item on", comeBack(cursor), []string{"ended a-1 delivered", "attempted a-2 delivered", "ended a-2 delivered"})
		want(t, "from the start on", comeBack(start), []string{
			"attempted a-1 delivered", "ended a-1 delivered", "attempted a-2 delivered", "ended a-2 delivered",
		})
		want(t, "from nowhere", comeBack(""), nil)
		for _, bad := range []string{"x", start[:30], "00" + start[2:], start + "00"} {
			want(t, "from "+bad, comeBack(bad), []string{"gap"})
		}
		for i := range 3000 {
			w.publish(fmt.Sprint("b-many-", i))
		}
		publish("a-3")
		want(t, "from where nothing is kept of", comeBack(start), []string{"gap", "attempted a-3 delivered", "ended a-3 delivered"})
		now := follow("", nil)
		now.Close()
		pass(29 * time.Second)
		want(t, "half a minute later", comeBack(now.Start), nil)
		pass(31 * time.Second)
		publish("a-4")
		want(t, "after that", comeBack(now.Start), []string{"gap"})
		w.crash()
		w.apply(w.plan(routeTo{}))
		want(t, "of the process before", comeBack(now.Start), []string{"gap"})
	})
}

func TestFollowersAreBoundedAndEndWithTheEngine(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		w.apply(w.plan(routeTo{}))
		var last *delivery.Follower
		for range 64 {
			f, err := w.e.Follow("", nil)
			if err != nil {
				t.Fatal(err)
			}
			last = f
		}
		if _, err := w.e.Follow("", nil); !errors.Is(err, delivery.ErrBusy) {
			t.Errorf("one too many: %v", err)
		}
		last.Close()
		if _, err := w.e.Follow("", nil); err != nil {
			t.Errorf("after one has left: %v", err)
		}
		f := last
		w.close()
		if _, open := <-f.Items; open {
			t.Error("a follower outlives the engine")
		}
		if _, err := w.e.Follow("", nil); !errors.Is(err, delivery.ErrStopping) {
			t.Errorf("after the stop: %v", err)
		}
	})
}

func TestPulseCountsTheLastHourByTheMinute(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		w.apply(w.plan(byName(map[string]delivery.Target{"a": to("a"), "b": to("b")}), w.endpoint("a", retries(), noBreaker), w.endpoint("b")))
		w.answer("a", always(500))
		// The bubble's clock begins at midnight.
		for i := range 20 {
			w.publish(fmt.Sprintf("b-%d", i))
		}
		w.publish("a-1", "a-2", "a-3")
		pass(time.Minute)
		w.publish("b-later")
		pass(time.Second)
		p := w.e.Pulse()
		last, before := p[delivery.PulseMinutes-1], p[delivery.PulseMinutes-2]
		if before.Events != 23 || before.Succeeded != 20 || before.Failed != 3 || before.P95 <= 0 || before.P95 > time.Millisecond {
			t.Errorf("the minute before: %+v", before)
		}
		if last.Events != 1 || last.Succeeded != 1 || last.Failed != 0 || !last.At.Equal(time.Now().UTC().Truncate(time.Minute)) {
			t.Errorf("this minute: %+v", last)
		}
		pass(delivery.PulseMinutes * time.Minute)
		w.publish("b-much-later")
		pass(time.Second)
		total := uint64(0)
		for _, m := range w.e.Pulse() {
			total += m.Events
		}
		if total != 1 {
			t.Errorf("%d events in the last hour, want the one of this minute", total)
		}
	})
}

func TestPulseTellsLatencyFromAcceptanceOn(t *testing.T) {
	t.Parallel()
	inWorld(t, func(t *testing.T, w *world) {
		w.apply(w.plan(routeTo{targets: []delivery.Target{to("a")}}, w.endpoint("a", retries(10*time.Second))))
		w.answer("a", func(n int, _ *http.Request) (*http.Response, error) {
			if n == 1 {
				return status(500)
			}
			return status(200)
		})
		w.publish("one")
		pass(20 * time.Second)
		m := w.e.Pulse()[delivery.PulseMinutes-1]
		if m.P50 < 9*time.Second || m.P50 > 13*time.Second {
			t.Errorf("P50 is %s, want some 10 to 11 s: %+v", m.P50, m)
		}
	})
}
