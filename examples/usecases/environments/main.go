// Command environments counts what arrives where, to show that production and sandbox stay apart.
package main

import (
	"maps"
	"net/http"
	"sync"

	"github.com/atoship/caddy-webhooks/examples/internal/site"
)

// Arrivals counts events by the path they arrived at, each event once a path. Its methods may be used concurrently.
type Arrivals struct {
	mu     sync.Mutex
	counts map[string]int
	known  map[string]bool // path and event id
	down   string          // a path that answers 503
}

// NewArrivals has counted nothing.
func NewArrivals() *Arrivals { return &Arrivals{counts: map[string]int{}, known: map[string]bool{}} }

// Counts are the events by path.
func (a *Arrivals) Counts() map[string]int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.counts)
}

// TakeDown lets a path answer 503 from now on.
func (a *Arrivals) TakeDown(path string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.down = path
}

// ServeHTTP counts one webhook.
func (a *Arrivals) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ev, ok := site.Read(w, r, nil)
	if !ok {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if r.URL.Path == a.down {
		http.Error(w, "this site is down", http.StatusServiceUnavailable)
		return
	}
	if key := r.URL.Path + " " + ev.ID; !a.known[key] {
		a.known[key] = true
		a.counts[r.URL.Path]++
	}
	w.WriteHeader(http.StatusNoContent)
}

func main() { site.Serve(NewArrivals()) }
