package httpapi

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
)

// Redeliverer is what sending one event again needs of *delivery.Engine.
type Redeliverer interface {
	// Redeliver sends a delivery once more, ReplayEvent an event; Cancel ends a pending delivery; Route routes an event that
	// went nowhere. What they do is durable on return.
	Redeliver(ctx context.Context, id string) (*delivery.Delivery, error)
	ReplayEvent(ctx context.Context, id string, tenant *string, endpoint string) ([]*delivery.Delivery, error)
	Cancel(ctx context.Context, id string) (delivery.State, error)
	Route(ctx context.Context, id string, tenant *string) (*delivery.EventRecord, error)
}

// Replayer is what bulk replays need of *delivery.Engine.
type Replayer interface {
	StartReplay(ctx context.Context, q delivery.ReplayQuery) (delivery.Replay, error)
	Replay(ctx context.Context, id string) (delivery.Replay, error)
	Replays(ctx context.Context) ([]delivery.Replay, error)
	CancelReplay(ctx context.Context, id string) (delivery.Replay, error)
}

// maxOperatorBody bounds the bodies of these requests, in bytes.
const maxOperatorBody = 16 << 10

// replayRoutes is the part of the table that this file handles.
func (a *API) replayRoutes() []*route {
	const accepted, conflict, busy = http.StatusAccepted, http.StatusConflict, http.StatusTooManyRequests
	return []*route{
		{pattern: "POST /deliveries/{id}/redeliver", do: plainly(a.redeliver), doc: doc{
			summary: "Send a delivery once more", answer: deliveryView{}, status: accepted, refuses: []int{busy, conflict},
		}},
		{pattern: "POST /deliveries/{id}/cancel", do: plainly(a.cancel), doc: doc{
			summary: "End a pending delivery; 202 while an attempt is under way", answer: deliveryRecordView{}, also: accepted, refuses: []int{conflict},
		}},
		{pattern: "POST /events/{id}/replay", do: plainly(a.replayEvent), doc: doc{
			summary: "Send an event once more, to all it was for or to one", query: []string{"tenant"}, body: eventReplayRequest{},
			answer: eventRecordView{}, status: accepted, refuses: []int{busy, conflict},
		}},
		{pattern: "POST /events/{id}/route", do: plainly(a.route), doc: doc{
			summary: "Route an undecided or unrouted event again", query: []string{"tenant"}, answer: eventRecordView{}, refuses: []int{busy, conflict},
		}},
		{pattern: "POST /replays", do: plainly(a.startReplay), doc: doc{
			summary: "Begin a bulk replay or a backfill", body: replayRequest{}, answer: replayView{}, status: accepted, refuses: []int{busy, conflict, http.StatusNotFound},
		}},
		{pattern: "GET /replays", do: plainly(a.replays), doc: doc{
			summary: "List replays, newest first", query: []string{"limit", "cursor"}, answer: replayPageView{},
		}},
		{pattern: "GET /replays/{id}", do: plainly(a.replay), doc: doc{summary: "Tell how far a replay got", answer: replayView{}}},
		{pattern: "POST /replays/{id}/cancel", do: plainly(a.cancelReplay), doc: doc{summary: "Stop a replay", answer: replayView{}}},
	}
}

type replayPageView struct {
	Items []*replayView `json:"items"`
	Next  string        `json:"next"` // empty on the last page
}

// eventReplayRequest is the body that replays one event; it may be left out.
type eventReplayRequest struct {
	Endpoint string `json:"endpoint"`
}

// repeatProblem says why something cannot be sent again.
func repeatProblem(err error) error {
	var backlog *delivery.BacklogError
	switch {
	case errors.As(err, &backlog):
		return &Problem{Status: http.StatusTooManyRequests, RetryAfter: retryBacklog, Detail: backlog.Error()}
	case errors.Is(err, delivery.ErrStopping):
		return notReady()
	case errors.Is(err, delivery.ErrNoTarget):
		return &Problem{Status: http.StatusConflict, Detail: "no endpoint has got this event: name one, or let it be routed again"}
	case errors.Is(err, delivery.ErrRouted):
		return &Problem{Status: http.StatusConflict, Detail: "the event is routed: replay it instead"}
	case errors.Is(err, delivery.ErrErased):
		return &Problem{Status: http.StatusConflict, Detail: "the payload of the event was erased: there is nothing to send"}
	case errors.Is(err, delivery.ErrTooLarge):
		return &Problem{Status: http.StatusConflict, Detail: "the event has as many deliveries as one may have"}
	case errors.Is(err, delivery.ErrTooManyReplays):
		return &Problem{Status: http.StatusTooManyRequests, RetryAfter: retryBusy, Detail: "as many replays are running as may: wait for one, or cancel it"}
	}
	return err
}

// redeliver answers with the new delivery.
func (a *API) redeliver(ctx context.Context, g Gateway, r *http.Request) (any, error) {
	if p := readNothing(r); p != nil {
		return nil, p
	}
	d, err := g.Redeliver(ctx, r.PathValue("id"))
	if err != nil {
		return nil, repeatProblem(err)
	}
	v := viewDelivery(d)
	v.Event = a.listedEvent(d.Event)
	return &reply{status: http.StatusAccepted, body: v}, nil
}

// cancel answers with the delivery; one that an attempt is under way of is still pending, and 202 says so.
func (a *API) cancel(ctx context.Context, g Gateway, r *http.Request) (any, error) {
	if p := readNothing(r); p != nil {
		return nil, p
	}
	id := r.PathValue("id")
	state, err := g.Cancel(ctx, id)
	if errors.Is(err, delivery.ErrFinal) {
		return nil, &Problem{Status: http.StatusConflict, Detail: "the delivery has ended: it is " + state.String()}
	}
	if err != nil {
		return nil, err
	}
	rec, err := g.Journal().Delivery(ctx, id)
	if err != nil {
		return nil, err
	}
	if state == delivery.Pending {
		return &reply{status: http.StatusAccepted, body: a.linkRecord(viewDeliveryRecord(rec))}, nil
	}
	return a.linkRecord(viewDeliveryRecord(rec)), nil
}

// replayEvent answers with the new deliveries.
func (a *API) replayEvent(ctx context.Context, g Gateway, r *http.Request) (any, error) {
	var body eventReplayRequest
	tenant, p := readTenant(r)
	if p == nil {
		p = readObject(r, maxOperatorBody, &body, `the body is empty, or names an endpoint, such as {"endpoint":"orders"}`)
	}
	if p != nil {
		return nil, p
	}
	ds, err := g.ReplayEvent(ctx, r.PathValue("id"), tenant, body.Endpoint)
	if err != nil {
		return nil, repeatProblem(err)
	}
	v := eventRecordView{eventView: *a.listedEvent(ds[0].Event), Deliveries: make([]deliveryView, len(ds))}
	for i, d := range ds {
		v.Deliveries[i] = viewDelivery(d)
	}
	return &reply{status: http.StatusAccepted, body: v}, nil
}

// route answers with the event as it is then.
func (a *API) route(ctx context.Context, g Gateway, r *http.Request) (any, error) {
	tenant, p := readTenant(r)
	if p == nil {
		p = readNoBody(r)
	}
	if p != nil {
		return nil, p
	}
	rec, err := g.Route(ctx, r.PathValue("id"), tenant)
	if err != nil {
		return nil, repeatProblem(err)
	}
	return a.eventRecord(rec), nil
}

// replayRequest is the body that begins a replay; every member is optional.
type replayRequest struct {
	Endpoint string  `json:"endpoint"`
	Type     string  `json:"type"`
	Tenant   *string `json:"tenant"`
	State    string  `json:"state"`
	Since    string  `json:"since"`
	Until    string  `json:"until"`
	Rate     string  `json:"rate"`
	DryRun   bool    `json:"dry_run"`
}

// dryRunTime is how long the answer to a dry run waits for its result, so that a count among some hundred thousand events is
// there at once.
const dryRunTime = 2 * time.Second

func (*API) startReplay(ctx context.Context, g Gateway, r *http.Request) (any, error) {
	var body replayRequest
	if _, p := parseQuery(r); p != nil {
		return nil, p
	}
	if p := readObject(r, maxOperatorBody, &body,
		`the body is an object with the members endpoint, type, tenant, state, since, until, rate and dry_run, all optional, such as {"endpoint":"orders","state":"exhausted","since":"2024-01-15T10:30:00Z"}`); p != nil {
		return nil, p
	}
	q, p := body.query()
	if p != nil {
		return nil, p
	}
	replay, err := g.StartReplay(ctx, q)
	if err != nil {
		return nil, repeatProblem(err)
	}
	if q.DryRun {
		for until := time.Now().Add(dryRunTime); replay.Status == delivery.ReplayRunning && time.Now().Before(until) && ctx.Err() == nil; {
			time.Sleep(replayPoll)
			if replay, err = g.Replay(ctx, replay.ID); err != nil {
				return nil, err
			}
		}
	}
	return &reply{status: http.StatusAccepted, body: viewReplay(&replay)}, nil
}

// replayPoll is how often a dry run is looked after.
const replayPoll = 20 * time.Millisecond

func (b *replayRequest) query() (q delivery.ReplayQuery, p *Problem) {
	q = delivery.ReplayQuery{
		Endpoint: b.Endpoint, Type: b.Type, Tenant: b.Tenant, State: delivery.ReplayWhat(b.State), Rate: b.Rate, DryRun: b.DryRun,
	}
	for _, t := range [...]struct {
		name, text string
		to         *time.Time
	}{{"since", b.Since, &q.Since}, {"until", b.Until, &q.Until}} {
		if t.text == "" {
			continue
		}
		var detail string
		if *t.to, detail = instant(t.text); detail != "" {
			return q, &Problem{Status: http.StatusUnprocessableEntity, Detail: detail, Pointer: "/" + t.name}
		}
	}
	if len(b.Endpoint) > maxParameter || len(b.Type) > maxParameter || b.Tenant != nil && len(*b.Tenant) > maxParameter {
		return q, &Problem{Status: http.StatusUnprocessableEntity, Detail: "a name may have 512 bytes"}
	}
	if err := q.Check(); err != nil {
		return q, &Problem{Status: http.StatusUnprocessableEntity, Detail: err.Error()}
	}
	return q, nil
}

// replayView is a replay as it is shown.
type replayView struct {
	ID       string  `json:"id"`
	Status   string  `json:"status"` // running, done, cancelled
	Endpoint string  `json:"endpoint,omitempty"`
	Type     string  `json:"type,omitempty"`
	Tenant   *string `json:"tenant,omitempty"`
	State    string  `json:"state"`
	Since    moment  `json:"since,omitzero"`
	Until    moment  `json:"until,omitzero"`
	Rate     string  `json:"rate,omitempty"`
	DryRun   bool    `json:"dry_run"`
	Created  moment  `json:"created"`
	Ended    moment  `json:"ended,omitzero"`
	Matched  uint64  `json:"matched"`
	Replayed uint64  `json:"replayed"`
	Skipped  uint64  `json:"skipped"`
	// Progress through the events, from 0 to 1; Waiting names endpoints that are waited for, with what holds them.
	Progress float64           `json:"progress"`
	Waiting  map[string]string `json:"waiting,omitempty"`
}

func viewReplay(r *delivery.Replay) *replayView {
	q := &r.Query
	return &replayView{
		ID: r.ID, Status: r.Status, Endpoint: q.Endpoint, Type: q.Type, Tenant: q.Tenant, State: string(q.State),
		Since: moment{q.Since}, Until: moment{q.Until}, Rate: q.Rate, DryRun: q.DryRun, Created: moment{r.Created}, Ended: moment{r.Ended},
		Matched: r.Matched, Replayed: r.Replayed, Skipped: r.Skipped, Progress: r.Progress, Waiting: r.Waiting,
	}
}

func (*API) replays(ctx context.Context, g Gateway, r *http.Request) (any, error) {
	var limit int
	var cursor string
	if p := readTerms(r, terms{"limit": size(&limit), "cursor": word(&cursor)}); p != nil {
		return nil, p
	}
	all, err := g.Replays(ctx)
	if err != nil {
		return nil, err
	}
	page := replayPageView{Items: []*replayView{}}
	for i := range all {
		if cursor != "" && all[i].ID >= cursor {
			continue
		}
		if len(page.Items) == limit {
			page.Next = page.Items[limit-1].ID
			break
		}
		page.Items = append(page.Items, viewReplay(&all[i]))
	}
	return page, nil
}

func (*API) replay(ctx context.Context, g Gateway, r *http.Request) (any, error) {
	if _, p := parseQuery(r); p != nil {
		return nil, p
	}
	return shownReplay(g.Replay(ctx, replayID(r)))
}

func (*API) cancelReplay(ctx context.Context, g Gateway, r *http.Request) (any, error) {
	if p := readNothing(r); p != nil {
		return nil, p
	}
	return shownReplay(g.CancelReplay(ctx, replayID(r)))
}

// replayID is the id in the path, or one that none has.
func replayID(r *http.Request) string {
	if id := r.PathValue("id"); validID(id) {
		return id
	}
	return "-"
}

func shownReplay(replay delivery.Replay, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return viewReplay(&replay), nil
}

// readTenant reads the parameter that narrows an event id; one given empty is the tenant of events that have none.
func readTenant(r *http.Request) (*string, *Problem) {
	q, p := parseQuery(r, "tenant")
	if v, given := q["tenant"]; given {
		return &v, p
	}
	return nil, p
}

// readNothing refuses parameters and a body.
func readNothing(r *http.Request) *Problem {
	if _, p := parseQuery(r); p != nil {
		return p
	}
	return readNoBody(r)
}

// readNoBody refuses a body, but for an empty object.
func readNoBody(r *http.Request) *Problem {
	return readObject(r, maxOperatorBody, &struct{}{}, "this request takes no body")
}
