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
	// OldestEvent is when the oldest event kept was accepted, OldestDue since when the first delivery that is due waits.
	OldestEvent moment `json:"oldest_event,omitzero"`
	OldestDue   moment `json:"oldest_due,omitzero"`
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
	v := statsView{Events: s.Events, Deliveries: byState(s.Counts)}
	if s.Audit != nil {
		lost := s.Audit.Lost()
		v.Lost = &lost
	}
	if u := s.Store; u != nil {
		v.Store = &storeView{u.Kind, u.Size, u.Written, u.Syncs}
	}
	page, err := g.Journal().Events(ctx, delivery.EventQuery{Oldest: true, Limit: 1})
	if err != nil {
		return nil, err
	}
	for _, rec := range page.Items {
		v.OldestEvent = moment{rec.Event.Accepted}
	}
	due, err := g.Oldest(ctx)
	if err != nil {
		return nil, err
	}
	for _, at := range due {
		if v.OldestDue.IsZero() || at.Before(v.OldestDue.Time) {
			v.OldestDue = moment{at}
		}
	}
	return v, nil
}
