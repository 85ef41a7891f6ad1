package embedded

import (
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/atoship/caddy-webhooks/delivery"
)

// attemptedWith delivers an event whose attempt ended then and was made by this head.
func attemptedWith(t *testing.T, s *Store, id string, at time.Time, h *delivery.RequestHead) *delivery.Delivery {
	t.Helper()
	ev := &delivery.Event{ID: id, Type: "label.created", Environment: "production", Body: []byte("{}"), Hash: [16]byte([]byte(id + "----------------")[:16]), Accepted: at}
	d := &delivery.Delivery{Route: "r", Chain: []string{"x"}, Progress: delivery.Progress{Due: at}}
	if _, err := s.Append(t.Context(), []delivery.Accept{{Event: ev, Deliveries: []*delivery.Delivery{d}}}); err != nil {
		t.Fatal(err)
	}
	errs := s.Settle(t.Context(), []delivery.Settlement{{Delivery: d, Transition: delivery.Transition{
		At: at, Kind: delivery.Attempted, Progress: delivery.Progress{Step: 1, Attempts: 1, State: delivery.Delivered},
		Attempt: &delivery.Attempt{N: 1, Endpoint: "x", Outcome: "delivered", Status: 200, Started: at, Request: h},
	}}})
	if errs[0] != nil {
		t.Fatal(errs[0])
	}
	return d
}

// wantHead wants an attempt to show the text of its head, "" for none.
func wantHead(t *testing.T, s *Store, d *delivery.Delivery, want string) {
	t.Helper()
	r, err := s.Delivery(t.Context(), d.ID)
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	if h := r.Transitions[0].Attempt.Request; h != nil {
		got = h.Text
	}
	if got != want {
		t.Errorf("the request of %s is %q, want %q", d.Event.ID, got, want)
	}
}

func TestAHeadIsKeptOnceUntilItsPeriodIsLongPast(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	s := searchStore(t, fs)
	const period = time.Millisecond << periodShift
	at := time.UnixMilli(400 << periodShift).UTC() // 2024-06-04, when a period begins
	h := &delivery.RequestHead{ID: 7, Text: "https://x.example/\n"}
	var ds []*delivery.Delivery
	for i, when := range []time.Time{at, at.Add(time.Hour), at.Add(period), at.Add(period + time.Hour)} {
		ds = append(ds, attemptedWith(t, s, fmt.Sprint("e", i), when, h))
	}
	if n := countRows(t, s, kindRequest); n != 2 {
		t.Errorf("%d rows for one head in two periods", n)
	}
	if err := s.Close(); err != nil { // what is known to be written is forgotten
		t.Fatal(err)
	}
	s = searchStore(t, fs)
	attemptedWith(t, s, "e9", at.Add(2*time.Hour), h)
	for _, d := range ds {
		wantHead(t, s, d, h.Text)
	}
	for _, c := range []struct {
		now  time.Time
		left int
	}{{at.Add(2*period - time.Hour), 2}, {at.Add(2*period + 2*time.Hour), 1}, {at.Add(3*period + 2*time.Hour), 0}} {
		if _, _, err := s.Prune(t.Context(), delivery.Prune{Now: c.now, Retention: time.Hour}); err != nil {
			t.Fatal(err)
		}
		if n := countRows(t, s, kindRequest); n != c.left {
			t.Errorf("at %v %d rows are left, want %d", c.now, n, c.left)
		}
	}
}

func TestAnAttemptWhoseHeadIsDamagedIsShownWithoutIt(t *testing.T) {
	t.Parallel()
	s := searchStore(t, vfs.NewMem())
	h := &delivery.RequestHead{ID: 7, Text: "https://x.example/\n"}
	d := attemptedWith(t, s, "one", searchStart, h)
	wantHead(t, s, d, h.Text)
	b := s.cur.db.NewBatch()
	must(b.Set(headRow(searchStart, h).key(), []byte("nonsense"), nil))
	if err := s.cur.db.Apply(b, nil); err != nil {
		t.Fatal(err)
	}
	wantHead(t, s, d, "")
}
