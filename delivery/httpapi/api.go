package httpapi

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"path"
	"strings"
	"sync"

	"github.com/atoship/caddy-webhooks/delivery"
)

// API shows what the gateway did and does, and lets an operator step in:
//
//	GET endpoints                 every endpoint: its state, what holds it, its breaker
//	GET endpoints/{id}            one of them
//	POST endpoints                make one of settings as the JSON configuration has them
//	PATCH, DELETE endpoints/{id}  change or end one made so; If-Match says which version is meant
//	POST endpoints/{id}/rotate-secret, reveal-secret
//	POST endpoints/{id}/pause     hold it until it is resumed
//	POST endpoints/{id}/resume    end a pause, or put a disabled endpoint back into service
//	POST endpoints/{id}/test      send it one event now, and show what it answered
//	POST endpoints/{id}/check     look at everything between us and it, step by step, and say what to do
//	GET health            is it ready for events, and how far behind is it; GET health/live: does it run at all. See [Health]
//	GET stats             counts of events and deliveries, and what the store costs
//	GET events            a page of events, newest first: those no rule wanted and those not yet decided among them
//	GET pulse             the last hour by the minute: events, attempts, latency
//	GET stream            what happens, as server-sent events; ?endpoint=, type=, tenant= narrow it
//	GET events/{id}       one event with its payload and its deliveries; ?tenant= where ids are not unique
//	GET deliveries        a page of deliveries, newest event first; see query.go for what narrows it
//	GET deliveries/{id}   one delivery with its event, every attempt and every transition
//	GET attempts          a page of attempts, the one that ended last first; see search.go for what narrows it
//	POST deliveries/{id}/redeliver   send it once more: a new delivery of the same event
//	POST deliveries/{id}/cancel      end a pending one
//	POST events/{id}/replay          send it once more to all it was for, or to {"endpoint":…}
//	POST events/{id}/route           route one that went nowhere again
//	POST replays                     begin a bulk replay or a backfill; see replays.go for what narrows it
//	GET replays                      those on record, newest first
//	GET replays/{id}                 how far one got
//	POST replays/{id}/cancel         stop one
//	POST events/{id}/erase           erase its payload
//	POST store/erase                 erase the payloads of a tenant
//	POST store/backup                copy the store to a directory of this machine, if AllowBackup says so
//	GET stats/endpoints              counts of deliveries by endpoint, and how long they wait
//
//	GET catalog, egress           event types, our addresses
//	GET, POST tenants/{tenant}/tokens, DELETE tenants/{tenant}/tokens/{id}
//
// Paths are relative to where it is mounted: strip the prefix before. It authenticates nobody; whoever mounts it does, and says
// by ServeAs what the caller may see and do.
// Answers are JSON, errors problem+json. Safe for concurrent use.
type API struct {
	engine func() Gateway
	log    *slog.Logger
	mux    *http.ServeMux
	backup bool // see AllowBackup

	described func() ([]byte, error) // the OpenAPI document, made when it is first asked for
	streams   streams
}

// NewAPI returns the API over the engine that is current at each request; nil from engine is answered 503. A nil logger
// means slog.Default().
func NewAPI(engine func() Gateway, log *slog.Logger) *API {
	if log == nil {
		log = slog.Default()
	}
	a := &API{engine: engine, log: log, mux: http.NewServeMux()}
	table := a.routes()
	a.described = sync.OnceValues(func() ([]byte, error) { return describe(table) })
	for _, rt := range table {
		if method, _, _ := strings.Cut(rt.pattern, " "); method != http.MethodGet && !rt.harmless {
			rt.needs = Operator
		}
		a.mux.Handle(rt.pattern, rt)
	}
	return a
}

// plainly makes a route of a function that asks the gateway.
func plainly(do func(context.Context, Gateway, *http.Request) (any, error)) func(context.Context, *call) (any, error) {
	return func(ctx context.Context, c *call) (any, error) { return do(ctx, c.gateway, c.Request) }
}

// reading makes a route of a function that asks the journal.
func reading(read func(context.Context, delivery.Journal, *http.Request) (any, error)) func(context.Context, *call) (any, error) {
	return func(ctx context.Context, c *call) (any, error) { return read(ctx, c.gateway.Journal(), c.Request) }
}

// ServeHTTP implements http.Handler for callers who may do everything.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.ServeAs(w, r, Full("")) }

// ServeAs answers a request of a caller with this access.
func (a *API) ServeAs(w http.ResponseWriter, r *http.Request, access Access) {
	// The mux would redirect an unclean path to one without the prefix that was stripped.
	if r.URL.Path == "" || r.URL.Path[0] != '/' {
		r = r.Clone(r.Context())
		r.URL.Path = "/" + r.URL.Path
		r.URL.RawPath = ""
	}
	if path.Clean(r.URL.Path) != r.URL.Path {
		notFound("there is nothing at this path").Write(w)
		return
	}
	h, pattern := a.mux.Handler(r)
	if pattern != "" {
		a.serve(w, r, h.(*route), access)
		return
	}
	var miss missed
	h.ServeHTTP(&miss, r)
	p := notFound("there is nothing at this path")
	if allow := miss.Header().Get("Allow"); allow != "" {
		w.Header().Set("Allow", allow)
		p = &Problem{Status: http.StatusMethodNotAllowed, Detail: "this path takes " + allow}
	}
	p.Write(w)
}

// missed swallows the mux's own plain-text answer and keeps its headers.
type missed struct{ header http.Header }

func (m *missed) Header() http.Header {
	if m.header == nil {
		m.header = make(http.Header)
	}
	return m.header
}
func (m *missed) Write(b []byte) (int, error) { return len(b), nil }
func (m *missed) WriteHeader(int)             {}

// problem turns an error of a route into an answer.
func (a *API) problem(ctx context.Context, rt *route, err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	if p := managementProblem(err); p != nil {
		return p
	}
	switch {
	case errors.Is(err, delivery.ErrNotFound):
		return notFound(rt.missing())
	case errors.Is(err, delivery.ErrCursor):
		return badParameter("cursor", "not one that a page before gave out as next")
	case errors.Is(err, delivery.ErrStopping):
		return notReady()
	case errors.Is(err, delivery.ErrUnavailable), ctx.Err() != nil:
		return &Problem{
			Status: http.StatusServiceUnavailable, RetryAfter: retryUnavailable,
			Detail: "the store cannot be read now",
		}
	}
	a.log.ErrorContext(ctx, "reading the journal failed", "error", err)
	return &Problem{Status: http.StatusInternalServerError, Detail: "reading failed because of a fault of the gateway"}
}

func notFound(detail string) *Problem { return &Problem{Status: http.StatusNotFound, Detail: detail} }

func (a *API) event(ctx context.Context, j delivery.Journal, r *http.Request) (any, error) {
	q, p := parseQuery(r, "tenant")
	if p != nil {
		return nil, p
	}
	var tenant *string
	if v, ok := q["tenant"]; ok { // also when empty: the event of no tenant
		tenant = &v
	}
	id := r.PathValue("id")
	if !validID(id) {
		return nil, notFound("there is no event with such an id")
	}
	rec, err := j.Event(ctx, id, tenant)
	if err != nil {
		return nil, err
	}
	return a.eventRecord(rec), nil
}

func (a *API) delivery(ctx context.Context, j delivery.Journal, r *http.Request) (any, error) {
	if _, p := parseQuery(r); p != nil {
		return nil, p
	}
	id := r.PathValue("id")
	if !validID(id) {
		return nil, notFound("there is no delivery with such an id")
	}
	rec, err := j.Delivery(ctx, id)
	if err != nil {
		return nil, err
	}
	return a.linkRecord(viewDeliveryRecord(rec)), nil
}

// plan is the one in force; nil without an engine.
func (a *API) plan() *delivery.Plan {
	if e := a.engine(); e != nil {
		return e.Plan()
	}
	return nil
}

// linkEvent adds where to look at the event's trace.
func (a *API) linkEvent(v *eventView) { v.TraceURL = a.plan().TraceLink(v.TraceID) }

// linked adds where to look at the attempt's trace.
func (a *API) linked(v attemptView) attemptView {
	v.TraceURL = a.plan().TraceLink(v.TraceID)
	return v
}

// listedEvent is an event in a list, or beside what belongs to it: without its payload.
func (a *API) listedEvent(ev *delivery.Event) *eventView {
	v := viewEvent(ev, false)
	a.linkEvent(v)
	return v
}

// eventRecord is one event with all there is to see of it.
func (a *API) eventRecord(r *delivery.EventRecord) *eventRecordView {
	v := viewEventRecord(r)
	a.linkEvent(&v.eventView)
	return v
}

// linkRecord does both for a delivery.
func (a *API) linkRecord(v *deliveryRecordView) *deliveryRecordView {
	a.linkEvent(v.Event)
	for i := range v.Attempts {
		v.Attempts[i] = a.linked(v.Attempts[i])
	}
	return v
}

func (a *API) deliveries(ctx context.Context, j delivery.Journal, r *http.Request) (any, error) {
	q, p := deliveryQuery(r)
	if p != nil {
		return nil, p
	}
	v := pageView{Items: []deliveryView{}}
	err := firstFilled(ctx, q.Cursor, func(cursor string) (int, string, error) {
		q.Cursor = cursor
		page, err := j.Deliveries(ctx, q)
		for _, d := range page.Items {
			dv := viewDelivery(d)
			dv.Event = a.listedEvent(d.Event)
			v.Items = append(v.Items, dv)
		}
		v.Next = page.Next
		return len(page.Items), page.Next, err
	})
	return v, err
}
