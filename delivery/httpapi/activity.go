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
	// DeadLetters are those that nothing was done about: what was sent again since is on record only, as tests are. Both are
	// counted in Deliveries. It is cut off at maxDeadLetters, or when looking takes too long: MoreDeadLetters.
	DeadLetters     int  `json:"dead_letters"`
	MoreDeadLetters bool `json:"more_dead_letters,omitempty"`
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
	dead, more, err := countDeadLetters(ctx, g.Journal(), name)
	if err != nil {
		return nil, err
	}
	v := activityView{
		DeadLetters: dead, MoreDeadLetters: more,
		Deliveries: byState(a.Deliveries), OldestDue: moment{a.Due},
		StepSeconds: int(delivery.ActivityStep / time.Second), Steps: make([]activityStepView, len(a.Steps)),
	}
	for i, s := range a.Steps {
		v.Steps[i] = activityStepView{moment{s.At}, s.Succeeded, s.Failed}
	}
	return v, nil
}

// maxDeadLetters is how many are counted: enough to tell a few from far too many, and looked up in some milliseconds.
const maxDeadLetters = 2 * maxLimit

// countDeadLetters counts those at an endpoint, or all, that nothing was done about. It stops looking after searchTime.
func countDeadLetters(ctx context.Context, j delivery.Journal, endpoint string) (n int, more bool, err error) {
	q := delivery.DeliveryQuery{State: new(delivery.Exhausted), Endpoint: endpoint, Latest: true, Limit: maxLimit}
	for until := time.Now().Add(searchTime); ; {
		page, err := j.Deliveries(ctx, q)
		n += len(page.Items)
		q.Cursor = page.Next
		if more = q.Cursor != ""; err != nil || !more || n >= maxDeadLetters || !time.Now().Before(until) {
			return min(n, maxDeadLetters), more, err
		}
	}
}

func byState(c delivery.Counts) map[string]uint64 {
	return map[string]uint64{
		delivery.Pending.String(): c.Pending, delivery.Delivered.String(): c.Delivered,
		delivery.Exhausted.String(): c.Exhausted, delivery.Cancelled.String(): c.Cancelled,
	}
}
