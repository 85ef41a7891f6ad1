package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
)

// activityView is what the caller's endpoints, or one of them, did within a day and have before them.
type activityView struct {
	// Deliveries kept of which they are the primary, by state.
	Deliveries map[string]uint64 `json:"deliveries"`
	// OldestDue is since when the first delivery that is due waits.
	OldestDue moment `json:"oldest_due,omitzero"`
	// Steps of so many seconds, oldest first, the last one under way; those before the gateway started are 0.
	StepSeconds int                `json:"step_seconds"`
	Steps       []activityStepView `json:"steps"`
}

// activityStepView counts attempts by their end.
type activityStepView struct {
	At        moment `json:"at"`
	Succeeded uint64 `json:"succeeded"`
	Failed    uint64 `json:"failed"`
}

// activity sums up the caller's endpoints, or the one that is named.
func (*API) activity(ctx context.Context, g Gateway, r *http.Request) (any, error) {
	q, p := parseQuery(r, "endpoint")
	if p != nil {
		return nil, p
	}
	name, one := q["endpoint"]
	if one {
		if _, err := g.Endpoint(name); err != nil {
			return nil, err
		}
	}
	a, err := g.Activity(ctx, func(of string) bool { return !one || name == of })
	if err != nil {
		return nil, err
	}
	v := activityView{
		Deliveries: byState(a.Deliveries), OldestDue: moment{a.Due},
		StepSeconds: int(delivery.ActivityStep / time.Second), Steps: make([]activityStepView, len(a.Steps)),
	}
	for i, s := range a.Steps {
		v.Steps[i] = activityStepView{moment{s.At}, s.Succeeded, s.Failed}
	}
	return v, nil
}

func byState(c delivery.Counts) map[string]uint64 {
	return map[string]uint64{
		delivery.Pending.String(): c.Pending, delivery.Delivered.String(): c.Delivered,
		delivery.Exhausted.String(): c.Exhausted, delivery.Cancelled.String(): c.Cancelled,
	}
}
