package main

import (
	"fmt"
	"testing"

	"github.com/atoship/caddy-webhooks/examples/internal/site"
)

func TestStockIsRightThoughCancellationsOvertakeOrders(t *testing.T) {
	t.Parallel()
	stock := NewStock(map[string]int{"mug": 100, "shirt": 100})
	door := &site.Flaky{Receiver: stock}
	s := site.Start(t, door)
	event := func(eventType string, i int) {
		s.Publish(t, map[string]any{"event": eventType, "data": map[string]any{
			"order_id": fmt.Sprint("ord_", i), "items": []map[string]any{{"sku": "mug", "quantity": 2}, {"sku": "shirt", "quantity": 1}},
		}})
	}
	for i := range 20 {
		event("order.imported", i)
		if i%2 == 1 { // and every second import is lost at first, so that its cancellation comes before it
			event("order.canceled", i)
		}
	}
	s.Delivered(t)
	if mugs, shirts := stock.Pieces("mug"), stock.Pieces("shirt"); mugs != 80 || shirts != 90 {
		t.Errorf("%d mugs and %d shirts are left of 100, want 80 and 90: ten orders stand", mugs, shirts)
	}
	if door.Lost == 0 || door.Repeated == 0 {
		t.Errorf("%d events came late and %d twice: the test shows nothing", door.Lost, door.Repeated)
	}
}
