package main

import (
	"fmt"
	"testing"

	"github.com/atoship/caddy-webhooks/examples/internal/site"
)

func TestAReceiverMovesToStandardWebhooksWithoutLosingAnEvent(t *testing.T) {
	t.Parallel()
	rc := NewReceiver("atoship")
	s := site.Start(t, &site.Flaky{Receiver: rc})
	n := 0
	some := func() {
		for range 6 {
			n++
			s.Publish(t, map[string]any{"id": fmt.Sprint("move-", n), "event": "label.voided", "data": map[string]any{"label_id": "lbl"}})
		}
		s.Delivered(t)
	}
	some()
	rc.Move("standard", "atoship")
	some()
	rc.Move("standard")
	some()
	s.Reload(t, [2]string{"signature atoship standard", "signature standard"})
	some()
	by, refused := rc.Events()
	if by["atoship"] != 6 || by["standard"] != 18 || refused != 0 {
		t.Errorf("events by scheme: %v, %d requests refused", by, refused)
	}
	rc.Move("atoship") // nothing signs so any more
	s.Publish(t, map[string]any{"id": "move-back", "event": "label.voided", "data": map[string]any{"label_id": "lbl"}})
	site.Until(t, "the old signature is missed", func() bool { _, refused := rc.Events(); return refused > 0 }, func() any { return by })
}
