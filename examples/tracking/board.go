package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
)

// maxBody bounds what one webhook may say; maxUpdates what the board remembers, since whoever can sign can also send
// updates without end.
const (
	maxBody    = 256 << 10
	maxUpdates = 1_000_000
)

// next tells which statuses may follow which. Exceptions come at any time between the first status and the last, and change
// no status: a package that was held is out for delivery again some day.
var next = map[string][]string{
	"":                 {"accepted"},
	"accepted":         {"in_transit"},
	"in_transit":       {"in_transit", "out_for_delivery"},
	"out_for_delivery": {"out_for_delivery", "delivered"},
}

// Parcel is what the board knows about one package.
type Parcel struct {
	Status     string
	Exceptions []string
	// Steps are all updates in the order they came: statuses, and reasons of exceptions.
	Steps []string
}

// Board follows packages on their way. It takes updates as the gateway posts them, each once, and refuses one that does not
// follow from what it knows: that is for show, since a delivery ordered by its tracking number never comes too early. Its
// methods may be used concurrently.
type Board struct {
	mu      sync.Mutex
	parcels map[string]*Parcel
	seen    map[string]bool // ids of events that were applied
}

// NewBoard is a board that knows no package.
func NewBoard() *Board { return &Board{parcels: map[string]*Parcel{}, seen: map[string]bool{}} }

// Parcel is a copy of what is known of the package with that tracking number.
func (b *Board) Parcel(number string) Parcel {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.parcels[number]
	if p == nil {
		return Parcel{}
	}
	return Parcel{p.Status, slices.Clone(p.Exceptions), slices.Clone(p.Steps)}
}

// ServeHTTP applies one webhook. It answers 204 when the board shows it, also when it did before; 409 when it does not
// follow from what the board shows; 400 when it makes no sense, and 503 when the board is full.
func (b *Board) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var update struct {
		Event string `json:"event"`
		Data  struct {
			Number string `json:"tracking_number"`
			Status string `json:"status"`
			Reason string `json:"reason"`
		} `json:"data"`
	}
	id := r.Header.Get("X-AtoShip-Event-Id")
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&update)
	if err != nil || id == "" || update.Data.Number == "" || (update.Data.Status == "") == (update.Data.Reason == "") {
		http.Error(w, "not an update that a tracking board understands", http.StatusBadRequest)
		return
	}
	status, text := b.apply(id, update.Data.Number, update.Data.Status, update.Data.Reason)
	if status == http.StatusNoContent {
		w.WriteHeader(status)
		return
	}
	http.Error(w, text, status)
}

func (b *Board) apply(id, number, status, reason string) (code int, text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.seen[id] {
		return http.StatusNoContent, ""
	}
	if len(b.seen) >= maxUpdates {
		return http.StatusServiceUnavailable, "the board is full"
	}
	p := b.parcels[number]
	if p == nil {
		p = &Parcel{}
	}
	switch {
	case status != "" && !slices.Contains(next[p.Status], status):
		return http.StatusConflict, fmt.Sprintf("%s does not follow from %q", status, p.Status)
	case reason != "" && (p.Status == "" || p.Status == "delivered"):
		return http.StatusConflict, fmt.Sprintf("no exception can follow from %q", p.Status)
	case status != "":
		p.Status = status
	default:
		p.Exceptions = append(p.Exceptions, reason)
	}
	p.Steps = append(p.Steps, status+reason)
	b.parcels[number], b.seen[id] = p, true
	return http.StatusNoContent, ""
}
