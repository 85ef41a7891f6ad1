// Command notifications writes messages to buyers: one for each event that concerns them, and never two, however often the event
// comes.
package main

import (
	"fmt"
	"net/http"
	"sync"

	"github.com/atoship/caddy-webhooks/examples/internal/site"
)

// texts of messages by event type.
var texts = map[string]string{
	"shipment.in_transit": "Your parcel %s is on its way.",
	"shipment.delivered":  "Your parcel %s has arrived.",
	"shipment.exception":  "There is a problem with your parcel %s. We are looking after it.",
}

// Outbox holds the messages that were written. Its methods may be used concurrently.
type Outbox struct {
	mu       sync.Mutex
	messages []string
	done     map[string]bool // ids of events that a message was written for
}

// NewOutbox is empty.
func NewOutbox() *Outbox { return &Outbox{done: map[string]bool{}} }

// Messages are all that were written, in their order.
func (o *Outbox) Messages() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]string(nil), o.messages...)
}

// ServeHTTP writes the message for a webhook, unless it is written already. Message and id are noted in one step: in a database,
// one transaction.
func (o *Outbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var data struct {
		Number string `json:"tracking_number"`
	}
	ev, ok := site.Read(w, r, &data)
	if !ok {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if text := texts[ev.Type]; text != "" && !o.done[ev.ID] {
		o.done[ev.ID] = true
		o.messages = append(o.messages, fmt.Sprintf(text, data.Number))
	}
	w.WriteHeader(http.StatusNoContent)
}

func main() { site.Serve(NewOutbox()) }
