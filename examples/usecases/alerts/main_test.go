package main

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/atoship/caddy-webhooks/examples/internal/site"
)

func TestAlertsAreOpenForParcelsInTroubleAlone(t *testing.T) {
	t.Parallel()
	alerts := NewAlerts()
	door := &site.Flaky{Receiver: alerts}
	s := site.Start(t, door)
	at := time.Date(2024, 1, 15, 10, 0, 0, 0, time.UTC)
	publish := func(eventType string, i, minute int, reason string) []string {
		data := map[string]any{"tracking_number": fmt.Sprintf("94-%02d", i), "carrier": "USPS"}
		if reason != "" {
			data["reason"] = reason
		} else {
			data["status"] = "delivered"
		}
		return s.Publish(t, map[string]any{"event": eventType, "timestamp": at.Add(time.Duration(minute) * time.Minute).Format(time.RFC3339), "data": data})
	}
	var want []string
	for i := range 20 {
		if to := publish("shipment.exception", i, 0, "package_held"); len(to) != 0 {
			t.Fatalf("a parcel that is held goes to %v: nobody must act", to)
		}
		publish("shipment.exception", i, 1, "address_issue")
		if i%2 == 0 {
			publish("shipment.delivered", i, 2, "")
		} else {
			want = append(want, fmt.Sprintf("94-%02d", i))
		}
	}
	s.Delivered(t)
	if got := alerts.Open(); !slices.Equal(got, want) {
		t.Errorf("open: %v, want %v", got, want)
	}
	if door.Lost == 0 || door.Repeated == 0 {
		t.Errorf("%d events came late and %d twice: the test shows nothing", door.Lost, door.Repeated)
	}
}
