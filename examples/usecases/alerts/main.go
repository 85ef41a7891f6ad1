// Command alerts keeps the list of parcels that somebody must look after. A parcel that has arrived needs nobody, also when the
// news of its trouble comes after that of its arrival.
package main

import (
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/atoship/caddy-webhooks/examples/internal/site"
)

// Alerts are parcels in trouble. Its methods may be used concurrently.
type Alerts struct {
	mu      sync.Mutex
	parcels map[string]*parcel
}

type parcel struct {
	reason    string
	at        time.Time // of the trouble
	delivered time.Time
}

func (p *parcel) open() bool { return p.at.After(p.delivered) }

// NewAlerts is empty.
func NewAlerts() *Alerts { return &Alerts{parcels: map[string]*parcel{}} }

// Open lists the tracking numbers of parcels in trouble.
func (a *Alerts) Open() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var open []string
	for _, number := range slices.Sorted(maps.Keys(a.parcels)) {
		if a.parcels[number].open() {
			open = append(open, number)
		}
	}
	return open
}

// ServeHTTP applies one webhook.
func (a *Alerts) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var data struct {
		Number string `json:"tracking_number"`
		Reason string `json:"reason"`
	}
	ev, ok := site.Read(w, r, &data)
	if !ok {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.parcels[data.Number]
	if p == nil {
		p = &parcel{}
		a.parcels[data.Number] = p
	}
	switch {
	case ev.Type == "shipment.delivered" && ev.Timestamp.After(p.delivered):
		p.delivered = ev.Timestamp
	case ev.Type == "shipment.exception" && ev.Timestamp.After(p.at):
		p.at, p.reason = ev.Timestamp, data.Reason
	}
	w.WriteHeader(http.StatusNoContent)
}

func main() { site.Serve(NewAlerts()) }
