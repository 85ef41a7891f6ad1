package httpapi

import (
	"context"
	"net/http"

	"github.com/atoship/caddy-webhooks/delivery"
)

type statsView struct {
	// Events accepted in all and still kept; Deliveries by state.
	Events     uint64            `json:"events"`
	Deliveries map[string]uint64 `json:"deliveries"`
	// Lost deliveries are pending and stand nowhere, as the last audit of the store found; anything but 0 is our fault.
	Lost  *int64     `json:"lost,omitempty"`
	Store *storeView `json:"store,omitempty"`
}

// storeView is what the store costs since the gateway started.
type storeView struct {
	Kind    string `json:"kind"`
	Size    int64  `json:"size_bytes"`
	Written uint64 `json:"written_bytes"`
	Syncs   uint64 `json:"syncs"`
}

func (*API) stats(ctx context.Context, g Gateway, r *http.Request) (any, error) {
	if _, p := parseQuery(r); p != nil {
		return nil, p
	}
	s, err := g.Stats(ctx)
	if err != nil {
		return nil, err
	}
	v := statsView{Events: s.Events, Deliveries: map[string]uint64{
		delivery.Pending.String(): s.Pending, delivery.Delivered.String(): s.Delivered,
		delivery.Exhausted.String(): s.Exhausted, delivery.Cancelled.String(): s.Cancelled,
	}}
	if s.Audit != nil {
		lost := s.Audit.Lost()
		v.Lost = &lost
	}
	if u := s.Store; u != nil {
		v.Store = &storeView{u.Kind, u.Size, u.Written, u.Syncs}
	}
	return v, nil
}
