package main

import (
	"maps"
	"slices"
	"testing"

	"github.com/atoship/caddy-webhooks/examples/internal/site"
)

func TestEnvironmentsStayApartAndProductionHasABackup(t *testing.T) {
	t.Parallel()
	arrivals := NewArrivals()
	door := &site.Flaky{Receiver: arrivals}
	s := site.Start(t, door)
	publish := func(environment string, want ...string) {
		event := map[string]any{"event": "label.voided", "data": map[string]any{"label_id": "lbl"}}
		if environment != "" {
			event["environment"] = environment
		}
		if to := s.Publish(t, event); !slices.Equal(to, want) {
			t.Fatalf("an event of %q goes to %v, want %v", environment, to, want)
		}
	}
	for range 5 {
		publish("", "live") // the first environment is the default
		publish("production", "live")
		publish("sandbox", "sandbox")
	}
	s.Delivered(t)
	got := arrivals.Counts()
	if got["/sandbox"] != 5 || got["/live"]+got["/live-backup"] < 10 || got["/live-backup"] > door.Lost+door.Repeated {
		t.Errorf("arrived: %v; %d events came late and %d twice", got, door.Lost, door.Repeated)
	}

	before := maps.Clone(got)
	arrivals.TakeDown("/live")
	for range 4 {
		publish("production", "live")
	}
	s.Delivered(t)
	got = arrivals.Counts()
	if got["/live"] != before["/live"] || got["/live-backup"] != before["/live-backup"]+4 || got["/sandbox"] != 5 {
		t.Errorf("with production's first site down: %v, before it %v", got, before)
	}
}
