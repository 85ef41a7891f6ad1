package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"time"
)

// healthView says whether the gateway works, and how far behind it is.
type healthView struct {
	// Status is ready, or unavailable: events would be answered 503 now.
	Status string `json:"status"`
	// Live tells that the gateway runs; while it does not, starting the process again is the way out.
	Live bool `json:"live"`
	// StoreWritable tells whether an event could be stored now. A store whose disk failed is opened again by itself.
	StoreWritable bool `json:"store_writable"`
	// OldestDue is the delivery that is due for longest, over all endpoints; endpoints that are paused or disabled count.
	OldestDue *oldestView `json:"oldest_due,omitempty"`
	// Pending deliveries, and Lost ones as the last audit of the store found.
	Pending *uint64 `json:"pending,omitempty"`
	Lost    *int64  `json:"lost,omitempty"`
}

type oldestView struct {
	Endpoint string  `json:"endpoint"`
	Since    moment  `json:"since"`
	Seconds  float64 `json:"seconds"`
}

const (
	statusReady       = "ready"
	statusUnavailable = "unavailable"
)

// healthTimeout bounds what a health check may ask of the store: a load balancer waits a second or two.
const healthTimeout = time.Second

// Health tells load balancers and supervisors about the gateway:
//
//	GET        is it ready? 200, or 503 while it takes no events: starting, stopping, its store failed
//	GET live   is it alive? 200 as long as the engine runs, also while its store is failed and opened again by itself: a
//	           restart would not mend the disk. 503 when no engine runs
//
// Both answer the same JSON. It asks nobody who they are. Safe for concurrent use.
type Health struct {
	// Engine is the one that is current at each request; nil from it: none runs.
	Engine func() Gateway
	// Terse leaves out what only operators should see: names of endpoints, and how much there is.
	Terse bool
}

// ServeHTTP implements http.Handler: live for a path that ends in /live, ready for any other.
func (h *Health) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		p := &Problem{Status: http.StatusMethodNotAllowed, Detail: "this path takes GET, HEAD"}
		p.Write(w)
		return
	}
	var engine Condition
	if g := h.Engine(); g != nil {
		engine = g
	}
	v := viewHealth(r.Context(), engine, h.Terse)
	ok := v.Status == statusReady
	if liveOnly(r.URL.Path) {
		ok = v.Live
	}
	header := w.Header()
	header["Content-Type"] = jsonType
	header["X-Content-Type-Options"] = nosniff
	header["Cache-Control"] = noStore
	if !ok {
		header.Set("Retry-After", "1")
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	if r.Method == http.MethodGet {
		_ = json.NewEncoder(w).Encode(v) // who asked is gone
	}
}

func liveOnly(path string) bool {
	const live = "/live"
	return len(path) >= len(live) && path[len(path)-len(live):] == live
}

func viewHealth(ctx context.Context, g Condition, terse bool) *healthView {
	v := &healthView{Status: statusUnavailable}
	if g == nil {
		return v
	}
	v.Live, v.StoreWritable = true, g.Healthy()
	if v.StoreWritable {
		v.Status = statusReady
	}
	if terse {
		return v
	}
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	if stats, err := g.Stats(ctx); err == nil {
		v.Pending = &stats.Pending
		if stats.Audit != nil {
			lost := stats.Audit.Lost()
			v.Lost = &lost
		}
	}
	if due, err := g.Oldest(ctx); err == nil {
		v.OldestDue = oldest(due, time.Now())
	}
	return v
}

func oldest(due map[string]time.Time, now time.Time) *oldestView {
	var v *oldestView
	for name, since := range due {
		if v == nil || since.Before(v.Since.Time) || since.Equal(v.Since.Time) && name < v.Endpoint {
			v = &oldestView{Endpoint: name, Since: moment{since}, Seconds: now.Sub(since).Round(time.Millisecond).Seconds()}
		}
	}
	return v
}
