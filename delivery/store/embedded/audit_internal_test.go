package embedded

import (
	"context"
	"log/slog"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"github.com/atoship/caddy-webhooks/delivery"
)

func TestAnAuditMissesWhatStandsNowhere(t *testing.T) {
	t.Parallel()
	s, err := Open(t.Context(), Options{Dir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ev := &delivery.Event{ID: "one", Environment: "production", Body: []byte(`{}`)}
	ds := []*delivery.Delivery{
		{Route: "r", Chain: []string{"a"}, OrderKey: "k"},
		{Route: "r", Chain: []string{"b", "a"}},
		{Route: "r", Chain: []string{"a"}, OrderKey: "k"},
	}
	if _, err := s.Append(t.Context(), []delivery.Accept{{Event: ev, Deliveries: ds}}); err != nil {
		t.Fatal(err)
	}
	if a, err := s.Audit(t.Context()); err != nil || a.Pending != 3 || a.Found != 3 || a.Lost() != 0 {
		t.Errorf("of a whole store: %+v, %v", a, err)
	}
	c, done, err := s.view(t.Context(), "test")
	if err != nil {
		t.Fatal(err)
	}
	turn := turnOf(ds[1])
	if err := c.db.Delete(turn.waitingKey(ds[1].Key()), pebble.Sync); err != nil {
		t.Fatal(err)
	}
	done()
	if a, err := s.Audit(t.Context()); err != nil || a.Lost() != 1 {
		t.Errorf("with a row less: %+v, %v", a, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Audit(ctx); err == nil {
		t.Error("an audit that nobody waits for goes on")
	}
}
