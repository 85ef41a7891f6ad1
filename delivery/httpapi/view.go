package httpapi

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
)

// The shapes the API shows, in the words of the documentation. Times are RFC 3339 in UTC with milliseconds. A member that
// has nothing to say is left out, but lists are always there.

// moment is a time as shown; the zero time is left out by omitzero.
type moment struct{ time.Time }

// MarshalJSON implements json.Marshaler.
func (m moment) MarshalJSON() ([]byte, error) {
	return m.UTC().AppendFormat(nil, `"2006-01-02T15:04:05.000Z"`), nil
}

type eventView struct {
	ID          string `json:"id"`
	Type        string `json:"type"`
	Environment string `json:"environment"`
	Tenant      string `json:"tenant,omitempty"`
	Source      string `json:"source,omitempty"`
	Timestamp   string `json:"timestamp"`
	Accepted    moment `json:"accepted"`
	// Routing is routed, unrouted or undecided; Held names the routes that could not decide.
	Routing string   `json:"routing"`
	Held    []string `json:"held,omitempty"`
	Digest  string   `json:"digest,omitempty"`
	Test    bool     `json:"test,omitempty"` // an operator sent it to try an endpoint
	// TraceParent is the trace context that the event came with; TraceID that of the gateway's own span of its publishing.
	TraceParent string `json:"traceparent,omitempty"`
	TraceID     string `json:"trace_id,omitempty"`
	TraceURL    string `json:"trace_url,omitempty"`
	ContentType string `json:"content_type"`
	// Erased tells that an operator had the payload erased.
	Erased bool `json:"erased,omitempty"`
	// Payload is the body every attempt sends: as it is when it is JSON, else PayloadBase64. Neither in lists.
	Payload       json.RawMessage `json:"payload,omitempty"`
	PayloadBase64 *string         `json:"payload_base64,omitempty"`
}

type eventRecordView struct {
	eventView
	Deliveries []deliveryView `json:"deliveries"`
}

type deliveryView struct {
	ID string `json:"id"`
	// Event is left out below an event.
	Event    *eventView `json:"event,omitempty"`
	Endpoint string     `json:"endpoint"`
	Backups  []string   `json:"backups"`
	Route    string     `json:"route"`
	// Replay is the id of the replay or redelivery that made it, Planned when that was.
	Replay  string `json:"replay,omitempty"`
	Planned moment `json:"planned,omitzero"`
	State   string `json:"state"`
	// Target is the endpoint of the chain it waits at, or was at last.
	Target        string `json:"target"`
	AttemptsCount int    `json:"attempts_count"`
	// Due is when it is tried next; pending deliveries only.
	Due moment `json:"due,omitzero"`
	// Waiting says why a pending delivery has no due time: its transform failed, and it waits for another configuration.
	Waiting string `json:"waiting,omitempty"`
	// Reason says why an exhausted delivery ended.
	Reason string `json:"reason,omitempty"`
}

// waitingTransform is what a delivery waits for whose transform failed.
const waitingTransform = "transform"

type deliveryRecordView struct {
	deliveryView
	Attempts    []attemptView    `json:"attempts"`
	Transitions []transitionView `json:"transitions"`
}

type transitionView struct {
	At   moment `json:"at"`
	Kind string `json:"kind"` // attempted, lost, moved, ended
	// Attempt is the number of the attempt made or lost in this step.
	Attempt int    `json:"attempt,omitempty"`
	Note    string `json:"note,omitempty"`
	// What was so after the step.
	State  string `json:"state"`
	Target string `json:"target"`
	Due    moment `json:"due,omitzero"`
	Reason string `json:"reason,omitempty"`
}

type pageView struct {
	Items []deliveryView `json:"items"`
	Next  string         `json:"next"` // empty on the last page
}

func viewEvent(ev *delivery.Event, withPayload bool) *eventView {
	v := &eventView{
		ID: ev.ID, Type: ev.Type, Environment: ev.Environment, Tenant: ev.Tenant, Source: ev.Source,
		Timestamp: ev.Timestamp, Accepted: moment{ev.Accepted}, Routing: ev.Routing.String(), Held: ev.Held, Digest: ev.Digest,
		Test: ev.Test, TraceParent: ev.TraceParent, ContentType: ev.ContentType,
	}
	if ev.Span.Sampled() {
		v.TraceID = hex.EncodeToString(ev.Span.TraceID[:])
	}
	v.Erased = ev.Erased
	switch {
	case !withPayload || ev.Erased:
	case ev.DataEnd > 0 && json.Valid(ev.Body): // checked again: a broken row must not break the whole answer
		v.Payload = ev.Body
	default:
		s := base64.StdEncoding.EncodeToString(ev.Body)
		v.PayloadBase64 = &s
	}
	return v
}

func viewEventRecord(r *delivery.EventRecord) *eventRecordView {
	v := &eventRecordView{eventView: *viewEvent(r.Event, true), Deliveries: make([]deliveryView, len(r.Deliveries))}
	for i, d := range r.Deliveries {
		v.Deliveries[i] = viewDelivery(d)
	}
	return v
}

func viewDelivery(d *delivery.Delivery) deliveryView {
	v := deliveryView{
		ID: d.ID, Endpoint: d.Chain[0], Backups: d.Chain[1:], Route: d.Route, Replay: d.Replay, Planned: moment{d.Planned},
		State: d.State.String(), Target: d.Lane(), AttemptsCount: int(d.Attempts), Reason: d.Reason,
	}
	switch {
	case d.Parked():
		v.Waiting = waitingTransform
	case !d.State.Final():
		v.Due = moment{d.Due}
	}
	return v
}

func viewDeliveryRecord(r *delivery.DeliveryRecord) *deliveryRecordView {
	d := r.Delivery
	v := &deliveryRecordView{
		deliveryView: viewDelivery(d),
		Attempts:     make([]attemptView, 0, len(r.Transitions)),
		Transitions:  make([]transitionView, len(r.Transitions)),
	}
	v.Event = viewEvent(d.Event, true)
	for i := range r.Transitions {
		t := &r.Transitions[i]
		tv := transitionView{
			At: moment{t.At}, Kind: t.Kind.String(), Note: t.Note,
			State: t.Progress.State.String(), Target: d.Chain[t.Progress.Target], Reason: t.Progress.Reason,
		}
		if !t.Progress.State.Final() && !t.Progress.Parked() {
			tv.Due = moment{t.Progress.Due}
		}
		if t.Attempt != nil {
			tv.Attempt = int(t.Attempt.N)
			a := viewAttempt(t.Attempt)
			a.Request = viewRequest(d, t.Attempt)
			v.Attempts = append(v.Attempts, a)
		}
		v.Transitions[i] = tv
	}
	return v
}
