package delivery

import "time"

// Event is something that happened, as a publisher told us: immutable once accepted. Its Body is fixed at ingest and is
// what every attempt of every delivery sends, byte for byte.
type Event struct {
	// Seq is the store's own sequence number, given in commit order; order is by Seq, never by clock or by ID.
	// 0 until the event is stored.
	Seq uint64

	// ID is unique per Tenant and Source: 1–128 of A–Z a–z 0–9 _ -. Given by the publisher (GivenID) or made by us.
	ID string
	// GivenID tells that the publisher chose the ID, so that it must be looked up among the known ones.
	GivenID bool

	Type        string // event type, such as label.created
	Environment string // such as production; never empty
	Tenant      string // may be empty
	Source      string // may be empty; the CloudEvents source

	// Timestamp is the member as sent in Body: RFC 3339, the publisher's or the time of acceptance.
	Timestamp string
	// Accepted is when the gateway took the event: UTC, millisecond precision.
	Accepted time.Time

	// Test marks an event that an operator sent to try an endpoint: it goes to that endpoint alone, once, and its attempt says
	// so in a header.
	Test bool

	// ContentType of Body: application/json, or whatever a binary CloudEvent brought.
	ContentType string
	// Body is the exact request body of every attempt.
	Body []byte
	// DataStart and DataEnd bound the JSON value of `data` inside Body; both 0 when Body is not our JSON form.
	DataStart, DataEnd uint32

	// Erased tells that an operator had the payload erased: Body is empty, and nothing can be sent any more.
	Erased bool

	// Hash identifies the members as the publisher sent them: equal ids with equal hashes are a retry, with unequal ones
	// a conflict. SHA-256, truncated to 16 bytes.
	Hash [16]byte

	// TraceParent and TraceState are the W3C trace context the event came with; empty when there was none.
	TraceParent, TraceState string
	// Span is the gateway's own span of the publishing, which the spans of all attempts link to; zero without tracing. Set
	// by the engine at acceptance.
	Span SpanContext

	// Routing says whether the rules found it a way; Held names the routes that could not decide (Undecided only).
	Routing Routing
	Held    []string
	// Digest identifies the rule set that decided.
	Digest string
}

// Data is the JSON value of the `data` member, a slice of Body; nil when the event has none.
func (e *Event) Data() []byte {
	if e.DataEnd == 0 {
		return nil
	}
	return e.Body[e.DataStart:e.DataEnd]
}

// Routing is what became of an event's routing.
type Routing uint8

const (
	// Routed means that at least one delivery was planned and no route is held.
	Routed Routing = iota
	// Unrouted means that no route and no subscription wants it. Kept and visible.
	Unrouted
	// Undecided means that a rule failed and its route says hold. Kept, visible, and routed again after a config change.
	Undecided
)

var routingNames = [...]string{"routed", "unrouted", "undecided"}

func (r Routing) String() string { return routingNames[r] }
