package main

import (
	"fmt"
	"testing"

	"github.com/atoship/caddy-webhooks/examples/internal/site"
)

func TestEachEventGivesOneMessage(t *testing.T) {
	t.Parallel()
	outbox := NewOutbox()
	door := &site.Flaky{Receiver: outbox}
	s := site.Start(t, door)
	want := map[string]int{}
	for i := range 10 {
		for eventType, text := range texts {
			number := fmt.Sprint("94-", i)
			s.Publish(t, map[string]any{"event": eventType, "data": map[string]any{"tracking_number": number, "status": "in_transit", "reason": "package_held"}})
			want[fmt.Sprintf(text, number)]++
		}
	}
	if to := s.Publish(t, map[string]any{"event": "label.voided", "data": map[string]any{"label_id": "lbl"}}); len(to) != 0 {
		t.Errorf("an event that concerns no buyer goes to %v", to)
	}
	s.Delivered(t)
	for _, m := range outbox.Messages() {
		want[m]--
	}
	for m, left := range want {
		if left != 0 {
			t.Errorf("%q was written %d times too few", m, left)
		}
	}
	if door.Repeated == 0 {
		t.Error("no event came twice: the test shows nothing")
	}
}
