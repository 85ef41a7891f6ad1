// Command inventory keeps the stock: an imported order takes from it, a cancelled one gives back. A cancellation that overtakes
// its order leaves the stock as it was.
package main

import (
	"net/http"
	"sync"

	"github.com/atoship/caddy-webhooks/examples/internal/site"
)

// Stock counts pieces by article. Its methods may be used concurrently.
type Stock struct {
	mu     sync.Mutex
	pieces map[string]int
	orders map[string]string // by id: taken, or canceled
}

// NewStock begins with so many pieces.
func NewStock(pieces map[string]int) *Stock {
	return &Stock{pieces: pieces, orders: map[string]string{}}
}

// Pieces are left of an article.
func (s *Stock) Pieces(article string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pieces[article]
}

// ServeHTTP applies one webhook. What an order already is decides what changes, so repeats change nothing.
func (s *Stock) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var data struct {
		Order string `json:"order_id"`
		Items []struct {
			Article string `json:"sku"`
			Pieces  int    `json:"quantity"`
		} `json:"items"`
	}
	ev, ok := site.Read(w, r, &data)
	if !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	sign, was := 0, s.orders[data.Order]
	switch {
	case ev.Type == "order.imported" && was == "":
		sign, s.orders[data.Order] = -1, "taken"
	case ev.Type == "order.canceled":
		if was == "taken" {
			sign = 1
		}
		s.orders[data.Order] = "canceled"
	}
	for _, item := range data.Items {
		s.pieces[item.Article] += sign * item.Pieces
	}
	w.WriteHeader(http.StatusNoContent)
}

func main() { site.Serve(NewStock(map[string]int{"mug": 100, "shirt": 100})) }
