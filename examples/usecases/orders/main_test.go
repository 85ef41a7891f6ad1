package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/atoship/caddy-webhooks/examples/internal/site"
)

func TestOrdersEndUpAsTheyAreThoughEventsComeTwiceAndLate(t *testing.T) {
	t.Parallel()
	orders := NewOrders()
	door := &site.Flaky{Receiver: orders}
	s := site.Start(t, door)
	at := time.Date(2024, 1, 15, 10, 0, 0, 0, time.UTC)
	for step, eventType := range []string{"order.imported", "label.created", "label.voided", "label.created", "order.fulfilled"} {
		for i := range 12 {
			if i%4 == 3 && step == 4 {
				eventType = "order.canceled"
			}
			s.Publish(t, map[string]any{
				"event": eventType, "timestamp": at.Add(time.Duration(step) * time.Minute).Format(time.RFC3339),
				"data": map[string]any{"order_id": fmt.Sprint("ord_", i), "label_id": "lbl", "tracking_number": fmt.Sprint("94-", i, "-", step), "carrier": "USPS"},
			})
			if i%4 == 3 && step == 4 {
				eventType = "order.fulfilled"
			}
		}
	}
	s.Delivered(t)
	for i := range 12 {
		want := "fulfilled"
		if i%4 == 3 {
			want = "canceled"
		}
		if o := orders.Order(fmt.Sprint("ord_", i)); o.Status != want || o.Tracking != fmt.Sprint("94-", i, "-3") {
			t.Errorf("order %d is %s with label %s", i, o.Status, o.Tracking)
		}
	}
	if door.Lost == 0 || door.Repeated == 0 {
		t.Errorf("%d events came late and %d twice: the test shows nothing", door.Lost, door.Repeated)
	}
}
