// Command orders is an order management system that webhooks keep up to date. Events may come twice and in any order; each says
// when it happened, and the latest word on a thing counts.
package main

import (
	"net/http"
	"sync"
	"time"

	"github.com/atoship/caddy-webhooks/examples/internal/site"
)

// Order is what is known of one order.
type Order struct {
	Status   string // imported, fulfilled, canceled
	Tracking string // of its label; empty when there is none or it was voided

	statusAt, labelAt time.Time
}

// Orders are kept by id. Its methods may be used concurrently.
type Orders struct {
	mu     sync.Mutex
	orders map[string]*Order
}

// NewOrders knows no order.
func NewOrders() *Orders { return &Orders{orders: map[string]*Order{}} }

// Order is a copy of what is known of an order.
func (o *Orders) Order(id string) Order {
	o.mu.Lock()
	defer o.mu.Unlock()
	if found := o.orders[id]; found != nil {
		return *found
	}
	return Order{}
}

// ServeHTTP applies one webhook and answers 204, also when it changes nothing any more.
func (o *Orders) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var data struct {
		Order    string `json:"order_id"`
		Tracking string `json:"tracking_number"`
	}
	ev, ok := site.Read(w, r, &data)
	if !ok {
		return
	}
	o.apply(ev, data.Order, data.Tracking)
	w.WriteHeader(http.StatusNoContent)
}

// apply takes the latest word on the order's status, and on its label. A word that came before changes nothing, so neither
// repeats nor the order of arrival matter.
func (o *Orders) apply(ev site.Event, id, tracking string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	order := o.orders[id]
	if order == nil {
		order = &Order{}
		o.orders[id] = order
	}
	switch ev.Type {
	case "order.imported", "order.fulfilled", "order.canceled":
		if ev.Timestamp.After(order.statusAt) {
			order.Status, order.statusAt = ev.Type[len("order."):], ev.Timestamp
		}
	case "label.created", "label.voided":
		if !ev.Timestamp.After(order.labelAt) {
			return
		}
		order.labelAt = ev.Timestamp
		if order.Tracking = tracking; ev.Type == "label.voided" {
			order.Tracking = ""
		}
	}
}

func main() { site.Serve(NewOrders()) }
