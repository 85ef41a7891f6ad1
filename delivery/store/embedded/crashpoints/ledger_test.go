package crashpoints

import (
	"slices"
	"sync"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
)

// ledger is what the world outside the gateway knows: publishers, endpoints, operators. It outlives power cuts.
type ledger struct {
	mu sync.Mutex
	history
}

// history is a ledger up to a moment. The lists only grow, so that a moment is their lengths.
type history struct {
	published []published
	answered  []answered
	requests  []request
	replies   []reply
	orders    []order
}

// published is an event that a publisher has sent, perhaps more than once.
type published struct {
	id   string
	kind kind
	at   time.Time
}

// answered is a publisher's answer: the event is accepted.
type answered struct {
	id      string
	seq     uint64 // 0 for a duplicate
	sent    int    // how many events had been published when this one was
	receipt delivery.Receipt
}

// request is a try as an endpoint saw it.
type request struct {
	life              int
	at                time.Time
	endpoint          string
	event, deliveryID string
	attempt           int
}

// reply is what the endpoint answered: a status, or 0 for none.
type reply struct {
	request int // its index
	status  int
}

// order is what an operator asked for, and whether the answer was yes.
type order struct {
	what   string // "pause", "resume", "cancel", "cancel all", "redeliver", "replay event", "replay", "stop replay"
	target string // endpoint, delivery, event or replay id
	done   bool   // otherwise it was only asked, or it failed
	state  delivery.State
	at     time.Time // of the answer
	made   []*delivery.Delivery
}

func (l *ledger) publish(p published) (sent int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.published = append(l.published, p)
	return len(l.published)
}

func (l *ledger) request(r request) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requests = append(l.requests, r)
	return len(l.requests) - 1
}

func (l *ledger) reply(r reply) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.replies = append(l.replies, r)
}

func (l *ledger) order(o order) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.orders = append(l.orders, o)
}

// snapshot is the history so far; mu is held by the caller when the moment matters.
func (h history) snapshot() history {
	return history{
		published: slices.Clip(h.published), answered: slices.Clip(h.answered),
		requests: slices.Clip(h.requests), replies: slices.Clip(h.replies), orders: slices.Clip(h.orders),
	}
}

func (l *ledger) now() history {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.snapshot()
}

// accepted are the events that were accepted, by id.
func (h history) accepted() map[string]bool {
	ids := map[string]bool{}
	for _, a := range h.answered {
		ids[a.id] = true
	}
	return ids
}

// unanswered are the events that a publisher would send again, in order.
func (h history) unanswered() (again []published) {
	done := h.accepted()
	for _, p := range h.published {
		if !done[p.id] {
			done[p.id] = true
			again = append(again, p)
		}
	}
	return again
}

// outcomes are the statuses by request; absent while the endpoint has not answered.
func (h history) outcomes() map[int]int {
	m := make(map[int]int, len(h.replies))
	for _, r := range h.replies {
		m[r.request] = r.status
	}
	return m
}
