package delivery_test

import (
	"testing"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
)

func TestGeneratedIDsSortByTimeAndDiffer(t *testing.T) {
	t.Parallel()
	for want, bits := range map[string][16]byte{ // computed elsewhere, as one number in base 32
		"7zzzzzzzzzzzzg000000000001": {255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 1},
		"014d2pf2dbsqqzxq5tk1v58cgg": {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0xfe, 0xdc, 0xba, 0x98, 0x76, 0x54, 0x32, 0x10},
	} {
		if got := delivery.EventIDFrom(bits); got != "evt_"+want {
			t.Errorf("base 32: %s, want evt_%s", got, want)
		}
	}
	seen := map[string]bool{}
	last := ""
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for range 1000 {
		id := delivery.NewEventID(at)
		if seen[id] || id <= last || len(id) != 30 {
			t.Fatalf("%s after %s", id, last)
		}
		seen[id], last = true, id
		at = at.Add(time.Millisecond)
	}
}
