package httpapi

import (
	"crypto/sha256"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/payload"
)

// event reads one event in our own format.
func (in *intake) event(src []byte) (*delivery.Event, *Problem) {
	env, err := payload.ParseEnvelope(src, in.options)
	if err != nil {
		return nil, inputProblem(err)
	}
	return in.jsonEvent(&env)
}

// wrapped makes the whole body the data of an event of the route's type.
func (in *intake) wrapped(src []byte) (*delivery.Event, *Problem) {
	data, err := payload.AppendStable(make([]byte, 0, len(src)), src)
	if err != nil {
		return nil, inputProblem(err)
	}
	ev, p := in.jsonEvent(&payload.Envelope{Type: in.h.Wrap, Data: data})
	if p != nil {
		p.Pointer = strings.TrimPrefix(p.Pointer, "/data") // the body is the data
	}
	return ev, p
}

// jsonEvent finishes an event whose data is JSON in stable form: it is sent in our body form.
func (in *intake) jsonEvent(env *payload.Envelope) (*delivery.Event, *Problem) {
	ev := in.newEvent(env)
	ev.Hash = env.ContentHash()
	ev.ContentType = typeJSON
	// 35 bytes are the three member names and the punctuation; type and timestamp need no escapes.
	size := len(ev.Type) + len(ev.Timestamp) + len(env.Data) + 35
	ev.Body = payload.AppendBody(make([]byte, 0, size), ev.Type, ev.Timestamp, env.Data)
	// The data's place is known from the end: it is followed by the closing brace only.
	end := len(ev.Body) - 1
	ev.DataStart, ev.DataEnd = uint32(end-len(env.Data)), uint32(end) //nolint:gosec // bounded by max_body
	return in.checked(ev)
}

// rawEvent finishes an event whose data is not JSON: it is sent byte for byte.
func (in *intake) rawEvent(env *payload.Envelope, contentType string, body []byte) (*delivery.Event, *Problem) {
	ev := in.newEvent(env)
	ev.Hash = payload.HashContent(body,
		payload.Member{Name: "event", Value: env.Type},
		payload.Member{Name: "timestamp", Value: env.Timestamp},
		payload.Member{Name: "environment", Value: env.Environment},
		payload.Member{Name: "tenant", Value: env.Tenant},
		payload.Member{Name: "source", Value: env.Source},
		payload.Member{Name: "datacontenttype", Value: contentType},
	)
	ev.ContentType = contentType
	ev.Body = append(make([]byte, 0, len(body)), body...)
	ev, p := in.checked(ev)
	if p != nil && strings.HasPrefix(p.Pointer, "/data") {
		p.Detail, p.Pointer = "events of this type have a schema: their data must be JSON", "/data"
	}
	return ev, p
}

// newEvent fills in what the publisher left out.
func (in *intake) newEvent(env *payload.Envelope) *delivery.Event {
	ev := &delivery.Event{
		ID:          env.ID,
		GivenID:     true,
		Type:        env.Type,
		Environment: env.Environment,
		Tenant:      env.Tenant,
		Source:      env.Source,
		Timestamp:   env.Timestamp,
		Accepted:    in.now,
		TraceParent: in.traceParent,
		TraceState:  in.traceState,
	}
	if ev.ID == "" {
		ev.ID = in.verified
	}
	if ev.ID == "" {
		ev.ID, ev.GivenID = delivery.NewEventID(in.now), false
	}
	if ev.Environment == "" {
		ev.Environment = in.environment
	}
	if ev.Tenant == "" {
		ev.Tenant = in.tenant
	}
	if ev.Timestamp == "" {
		// Whole seconds, as receivers were shown them.
		ev.Timestamp = in.now.Format("2006-01-02T15:04:05Z")
	}
	return ev
}

// checked asks the catalog, and holds what is sent to the same cap as what came in: 1e20 becomes 21 digits, and memory
// downstream is counted in what is sent.
func (in *intake) checked(ev *delivery.Event) (*delivery.Event, *Problem) {
	if delivery.IsNotice(ev.Type) {
		return nil, &Problem{
			Status: http.StatusUnprocessableEntity, Pointer: "/event",
			Detail: "event types that begin with " + delivery.NoticePrefix + " are the gateway's own operational events",
		}
	}
	if int64(len(ev.Body)) > in.maxBody {
		return nil, tooLarge("event as it would be sent", in.maxBody)
	}
	if c := in.plan.Intake.Catalog; c != nil {
		if err := c.Check(ev.Type, ev.Data()); err != nil {
			return nil, inputProblem(err)
		}
	}
	return ev, nil
}

// inputProblem is the answer to input that the payload package or a catalog refused.
func inputProblem(err error) *Problem {
	e, ok := errors.AsType[*payload.Error](err)
	if !ok {
		return &Problem{Status: http.StatusUnprocessableEntity, Detail: err.Error()}
	}
	p := &Problem{Status: http.StatusUnprocessableEntity, Detail: e.Reason, Pointer: e.Pointer}
	switch e.Kind {
	case payload.Syntax:
		p.Status = http.StatusBadRequest
		if e.Offset >= 0 {
			p.Detail += " (at byte " + strconv.Itoa(e.Offset) + ")"
		}
	case payload.TooLarge:
		p.Status = http.StatusRequestEntityTooLarge
	case payload.Value:
	}
	return p
}

// eventID makes an event id of one that somebody else chose. Ids of the wrong shape are hashed rather than refused: the
// sender cannot change them, and what matters is that equal ones stay equal.
func eventID(foreign string) string {
	if foreign == "" || validID(foreign) {
		return foreign
	}
	sum := sha256.Sum256([]byte(foreign))
	return delivery.EventIDFrom([16]byte(sum[:16]))
}

// maxID bounds an event's id, ours or a publisher's.
const maxID = 128

// validID tells whether s may be an event id: it goes out in headers, stands in URLs and names things in the store.
func validID(s string) bool {
	if s == "" || len(s) > maxID {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return true
}
