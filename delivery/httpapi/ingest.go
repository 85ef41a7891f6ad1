package httpapi

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/payload"
)

// Ingest takes events. Its fields are set before the first request and not changed after; it serves concurrently.
//
// Answers: 202 (or Status) with receipts when all events are durable, 200 when all of them were known already. Refusals:
// 400 not JSON, 401 token, 405 method, 409 known id with other content, 413 too large, 415 media type, 422 a member is
// wrong, 429 an endpoint's backlog is full, 503 not now (with Retry-After), 508 a delivery of our own. A refused batch leaves nothing behind.
type Ingest struct {
	// Engine is asked once per request, so that a reload may swap it; nil (a nil interface, not
	// a nil *delivery.Engine in one) means there is none yet, and is answered 503.
	Engine func() Engine
	// Auth decides who may publish. Its zero value refuses everybody.
	Auth Auth
	// Environment and Tenant, when set, are those of every event that comes in here; an event that names another is
	// refused. Otherwise an event names its own; the default is the plan's first environment, and no tenant.
	Environment, Tenant string
	// Status of a first acceptance: 202, or 200 for publishers that know nothing else. Default 202.
	Status int
	// Wrap, when set, is the event type of whatever JSON comes in: the whole body becomes its data.
	Wrap string
	// VerifiedID returns the id that a handler before this one verified, or "". It becomes the id of an event that brings
	// none itself, so that a redelivery to us is recognised. nil: there is none.
	VerifiedID func(*http.Request) string
	// Refused, if set, is told the status of each request that is refused.
	Refused func(status int)
	// Logger is told of failures that are nobody's input. Default: slog.Default().
	Logger *slog.Logger
}

// Seconds in Retry-After: while a store reopens or a reload ends.
const (
	retryUnavailable = 5
	retryStarting    = 1
	retryBacklog     = 30 // an endpoint that works through its backlog makes room at once, a dead one does not for days
)

// ServeHTTP implements http.Handler.
func (h *Ingest) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s := scratches.Get().(*scratch)
	defer s.release()
	if p := h.serve(w, r, s); p != nil {
		if h.Refused != nil {
			h.Refused(p.Status)
		}
		p.Write(w)
	}
}

func (h *Ingest) serve(w http.ResponseWriter, r *http.Request, s *scratch) *Problem {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return &Problem{Status: http.StatusMethodNotAllowed, Detail: "events are published with POST"}
	}
	if p := h.Auth.Check(w, r); p != nil {
		return p
	}
	in := intake{h: h, header: r.Header}
	if h.VerifiedID != nil {
		in.verified = eventID(h.VerifiedID(r))
	}
	// A verified sender may well be a gateway like this one. A loop through it ends by itself: its event id stays the
	// same, so the second round is a duplicate or a conflict.
	if in.verified == "" && loops(r.Header) {
		return &Problem{Status: http.StatusLoopDetected, Detail: "this is a delivery of a gateway like this one: taking it in would loop"}
	}
	engine := h.Engine()
	if engine == nil {
		return notReady()
	}
	if in.plan = engine.Plan(); in.plan == nil {
		return notReady()
	}
	in.prepare()

	m, contentType, p := h.mediaOf(w, r.Header)
	if p != nil {
		return p
	}
	if s.body, p = readBody(w, r, m, in.maxBody, s.body); p != nil {
		return p
	}
	evs, batch, p := in.events(m, contentType, s.body)
	if p != nil {
		return p
	}
	receipts, err := engine.Accept(r.Context(), evs)
	if err != nil {
		return h.refused(r.Context(), err, batch)
	}
	s.out = appendReceipts(s.out, receipts, batch)
	h.accepted(w, receipts, s.out)
	return nil
}

// accepted answers with the receipts. Duplicates alone are 200: nothing was accepted by this request.
func (h *Ingest) accepted(w http.ResponseWriter, receipts []delivery.Receipt, body []byte) {
	status := http.StatusOK
	for i := range receipts {
		if receipts[i].Duplicate {
			continue
		}
		if status = h.Status; status == 0 {
			status = http.StatusAccepted
		}
		break
	}
	header := w.Header()
	header["Content-Type"] = jsonType
	header["X-Content-Type-Options"] = nosniff
	header["Cache-Control"] = noStore
	w.WriteHeader(status)
	_, _ = w.Write(body) // the events are durable; a publisher that is gone sends again and finds them
}

// refused turns an error of Accept into an answer.
func (h *Ingest) refused(ctx context.Context, err error, batch bool) *Problem {
	if c, ok := errors.AsType[*delivery.ConflictError](err); ok {
		p := &Problem{
			Status:  http.StatusConflict,
			Detail:  "event id " + c.ID + " is known with other content: another event needs another id",
			Pointer: "/id",
		}
		if batch {
			return p.at(c.Index)
		}
		return p
	}
	if b, ok := errors.AsType[*delivery.BacklogError](err); ok {
		return &Problem{
			Status: http.StatusTooManyRequests, RetryAfter: retryBacklog,
			Detail: "endpoint " + b.Endpoint + " has " + strconv.Itoa(b.Max) + " pending deliveries, which is all it may have: nothing was taken, send again later",
		}
	}
	switch {
	case errors.Is(err, delivery.ErrTooLarge):
		return &Problem{
			Status: http.StatusRequestEntityTooLarge,
			Detail: "these events have more deliveries than the " + strconv.Itoa(delivery.MaxBatch) + " of one commit: send fewer events at once",
		}
	case errors.Is(err, delivery.ErrStopping):
		return &Problem{
			Status: http.StatusServiceUnavailable, RetryAfter: retryStarting,
			Detail: "the gateway is stopping; nothing is promised: send again with the same id",
		}
	case errors.Is(err, delivery.ErrUnavailable), ctx.Err() != nil:
		return &Problem{
			Status: http.StatusServiceUnavailable, RetryAfter: retryUnavailable,
			Detail: "the event could not be stored; nothing is promised: send again with the same id",
		}
	}
	log := h.Logger
	if log == nil {
		log = slog.Default()
	}
	log.ErrorContext(ctx, "accepting events failed", "error", err)
	return &Problem{
		Status: http.StatusInternalServerError,
		Detail: "the event was not accepted because of a fault of the gateway; nothing is promised: send again with the same id",
	}
}

func notReady() *Problem {
	return &Problem{
		Status: http.StatusServiceUnavailable, RetryAfter: retryStarting,
		Detail: "the gateway is starting; nothing was taken: send again",
	}
}

// intake is what all events of one request share.
type intake struct {
	h        *Ingest
	header   http.Header
	plan     *delivery.Plan
	verified string // the id a handler before us vouches for; "" for none

	options                 payload.Options
	environment, tenant     string // of events that name none
	maxBody                 int64
	now                     time.Time // acceptance, UTC, milliseconds
	traceParent, traceState string
}

// prepare reads from plan, route and headers what the events need.
func (in *intake) prepare() {
	p := &in.plan.Intake
	in.options = payload.Options{Environments: p.Environments, Environment: in.h.Environment, Tenant: in.h.Tenant}
	in.tenant = in.h.Tenant
	switch {
	case in.h.Environment != "":
		in.environment = in.h.Environment
	default:
		in.environment = p.DefaultEnvironment()
	}
	if in.maxBody = p.MaxBody; in.maxBody <= 0 {
		in.maxBody = delivery.DefaultMaxBody
	}
	in.now = time.Now().UTC().Truncate(time.Millisecond)
	in.traceParent, in.traceState = traceContext(in.header)
}
