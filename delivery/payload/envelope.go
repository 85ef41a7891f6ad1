package payload

import (
	"slices"
	"strconv"
	"time"
)

// Limits of the members of an event. They bound keys in the store, labels in
// pages and header values: X-AtoShip-Event repeats the type, webhook-id the id.
const (
	MaxType = 128 // bytes of an event type
	MaxID   = 128 // bytes of an event id
	MaxName = 256 // bytes of an environment, a tenant, a source
)

// Envelope is one event as a publisher sent it. A member that was not sent is
// empty, which none of them may be when sent.
type Envelope struct {
	// Type is the event type (`event`, or its alias `type`): letters, digits
	// and _ . - only.
	Type string
	// Timestamp is the RFC 3339 time, character for character as it was sent;
	// Time is the same instant.
	Timestamp string
	Time      time.Time
	// ID identifies the event within its tenant and source: letters, digits
	// and _ - only.
	ID string
	// Environment, Tenant and Source are names without control characters.
	Environment, Tenant, Source string
	// Data is the payload in stable form, any JSON value.
	Data []byte
}

// Options are what one ingest route allows. The zero value allows everything
// the format does.
type Options struct {
	// Environments are the declared names; another one is refused. Empty:
	// any name.
	Environments []string
	// Environment and Tenant, where the route fixes them, are the only value
	// that an event may name itself. Events that name none keep the member
	// empty: filling it in is the caller's, after [Envelope.ContentHash].
	Environment, Tenant string
}

// envelopeFields are the members of an event; the constants are their places.
var envelopeFields = []string{"event", "type", "timestamp", "data", "id", "environment", "tenant", "source"}

const (
	fieldEvent = iota
	fieldType
	fieldTimestamp
	fieldData
	fieldID
	fieldEnvironment
	fieldTenant
	fieldSource
)

// ParseEnvelope reads one event object, in one pass: `event` (or `type`, not
// both) and `data` are required; `timestamp`, `id`, `environment`, `tenant`
// and `source` are optional; any other member is refused. `data` may be nested
// [MaxDepth] deep, whatever surrounds it. The error is an [*Error] whose
// pointer starts at the event: in a batch the caller adds which one it was.
// The result does not refer to src.
func ParseEnvelope(src []byte, o Options) (Envelope, error) {
	// Data rarely needs more than what is left of src without the rest of the
	// envelope.
	s := newScanner(src, make([]byte, 0, len(src)))
	defer s.release()
	var e Envelope
	if err := s.document(func() *Error { return s.envelope(&e, &o) }); err != nil {
		return Envelope{}, err
	}
	return e, nil
}

func (s *scanner) envelope(e *Envelope, o *Options) *Error {
	s.space()
	start := s.pos
	typeGiven := false
	seen, err := s.fields(envelopeFields, func(field int) *Error {
		at := s.pos
		if field == fieldData {
			var err *Error
			e.Data, err = s.stable()
			return err
		}
		if field == fieldEvent || field == fieldType {
			if typeGiven {
				return s.fail(Value, at, "`type` is an alias of `event`: give one of them")
			}
			typeGiven = true
		}
		text, err := s.text()
		if err != nil {
			return err
		}
		if reason := e.set(field, text, o); reason != "" {
			return s.fail(Value, at, reason)
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case !typeGiven:
		return s.fail(Value, start, "the event type is missing").under("event")
	case seen&(1<<fieldData) == 0:
		return s.fail(Value, start, "the payload is missing").under("data")
	}
	return nil
}

// set checks one text member and takes it; it returns why it may not.
func (e *Envelope) set(field int, text string, o *Options) (reason string) {
	switch field {
	case fieldEvent, fieldType:
		e.Type = text
		return typeFault(text)
	case fieldTimestamp:
		e.Timestamp = text
		e.Time, reason = parseTimestamp(text)
		return reason
	case fieldID:
		e.ID = text
		return idFault(text)
	case fieldEnvironment:
		e.Environment = text
		return environmentFault(text, o)
	case fieldTenant:
		e.Tenant = text
		return tenantFault(text, o)
	default:
		e.Source = text
		return nameFault(text)
	}
}

// Check applies the rules of [ParseEnvelope] to an envelope that was put
// together from something else, such as a CloudEvent: Type is required, other
// members may be empty, Time is set from Timestamp, Data is not looked at. The
// pointer of the [*Error] names the member as in our own format.
func (e *Envelope) Check(o Options) error {
	for field, text := range [...]string{
		fieldEvent:       e.Type,
		fieldTimestamp:   e.Timestamp,
		fieldID:          e.ID,
		fieldEnvironment: e.Environment,
		fieldTenant:      e.Tenant,
		fieldSource:      e.Source,
	} {
		if text == "" && field != fieldEvent {
			continue
		}
		if reason := e.set(field, text, &o); reason != "" {
			return refused("/"+envelopeFields[field], reason)
		}
	}
	return nil
}

// typeFault says what is wrong with an event type, "" for nothing. So do its
// siblings for other members.
func typeFault(text string) string {
	return charsetFault(text, "an event type", MaxType, "_.-")
}

func idFault(text string) string {
	return charsetFault(text, "an event id", MaxID, "_-")
}

func charsetFault(text, what string, most int, signs string) string {
	if len(text) >= 1 && len(text) <= most {
		ok := true
		for i := range len(text) {
			c := text[i]
			ok = ok && ('a' <= c|0x20 && c|0x20 <= 'z' || isDigit(c) || slices.Contains([]byte(signs), c))
		}
		if ok {
			return ""
		}
	}
	return what + " is 1 to " + strconv.Itoa(most) + " characters out of A-Z a-z 0-9 " + signs + ", not " + excerpt(text)
}

func nameFault(text string) string {
	switch {
	case text == "":
		return "this must not be empty: leave the member out"
	case len(text) > MaxName:
		return "this must not be longer than " + strconv.Itoa(MaxName) + " bytes"
	}
	for _, r := range text {
		if r < ' ' || 0x7f <= r && r <= 0x9f {
			return "control characters are not allowed here"
		}
	}
	return ""
}

func environmentFault(text string, o *Options) string {
	if reason := nameFault(text); reason != "" {
		return reason
	}
	if o.Environment != "" && text != o.Environment {
		return "events that come in here belong to environment " + excerpt(o.Environment)
	}
	if len(o.Environments) > 0 && !slices.Contains(o.Environments, text) {
		return "unknown environment " + excerpt(text) + didYouMean(text, slices.Values(o.Environments))
	}
	return ""
}

func tenantFault(text string, o *Options) string {
	if reason := nameFault(text); reason != "" {
		return reason
	}
	if o.Tenant != "" && text != o.Tenant {
		// The name is another customer's business: it is not told.
		return "events that come in here belong to another tenant"
	}
	return ""
}
