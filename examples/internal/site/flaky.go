package site

import (
	"net/http"
	"net/http/httptest"
	"sync"
)

// Flaky is a door before a receiver that does to deliveries what networks and crashes do: every second event is lost before it
// arrives, and so comes after those published behind it; every third is applied and its answer lost, and so comes twice.
type Flaky struct {
	Receiver http.Handler

	mu     sync.Mutex
	number map[string]int // of each event, in the order of arrival
	tries  map[string]int
	// Lost and Repeated count what was done.
	Lost, Repeated int
}

// ServeHTTP implements http.Handler.
func (f *Flaky) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := r.Header.Get("X-AtoShip-Event-Id")
	f.mu.Lock()
	if f.number == nil {
		f.number, f.tries = map[string]int{}, map[string]int{}
	}
	if _, known := f.number[id]; !known {
		f.number[id] = len(f.number) + 1
	}
	f.tries[id]++
	first, n := f.tries[id] == 1, f.number[id]
	lose, repeat := first && n%2 == 0, first && n%2 != 0 && n%3 == 0
	if lose {
		f.Lost++
	}
	if repeat {
		f.Repeated++
	}
	f.mu.Unlock()
	switch {
	case lose:
		http.Error(w, "lost on its way", http.StatusBadGateway)
	case repeat:
		f.Receiver.ServeHTTP(httptest.NewRecorder(), r)
		http.Error(w, "the answer was lost", http.StatusBadGateway)
	default:
		f.Receiver.ServeHTTP(w, r)
	}
}
