package embedded

import (
	"encoding/binary"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
)

// appendProgress encodes a Progress: about 16 bytes, and spanSize more with a span. The span stands behind the tries at all
// targets, where programs that knew none do not look.
func appendProgress(b []byte, p *delivery.Progress) []byte {
	b = binary.AppendUvarint(b, uint64(p.Step))
	b = append(b, byte(p.State), p.Target, p.Spent)
	b = binary.AppendUvarint(b, uint64(p.Attempts))
	b = append(b, p.Unknowns, p.LocalFaults)
	b = putTime(b, p.Due)
	b = putString(b, p.Reason)
	n := len(p.Tries)
	for n > 0 && p.Tries[n-1] == 0 {
		n--
	}
	if p.Span == (delivery.SpanContext{}) {
		return putString(b, p.Tries[:n])
	}
	b = binary.AppendUvarint(b, uint64(len(p.Tries)+spanSize))
	return appendSpan(append(b, p.Tries[:]...), p.Span)
}

// spanSize is what a SpanContext takes: trace id, span id, flags.
const spanSize = 16 + 8 + 1

func appendSpan(b []byte, s delivery.SpanContext) []byte {
	b = append(append(b, s.TraceID[:]...), s.SpanID[:]...)
	return append(b, s.Flags)
}

// takeSpan reads a SpanContext from the beginning of b, which has room for it.
func takeSpan(b []byte) (s delivery.SpanContext) {
	copy(s.TraceID[:], b)
	copy(s.SpanID[:], b[16:])
	s.Flags = b[24]
	return s
}

func (d *decoder) progress() (p delivery.Progress) {
	p.Step = uint16(d.uint())
	p.State = delivery.State(d.byte())
	p.Target, p.Spent = d.byte(), d.byte()
	p.Attempts = uint16(d.uint())
	p.Unknowns, p.LocalFaults = d.byte(), d.byte()
	p.Due = d.time()
	p.Reason = d.string()
	tries := d.bytes()
	if n := copy(p.Tries[:], tries); len(tries) == n+spanSize {
		p.Span = takeSpan(tries[n:])
	} else if len(tries) > n {
		d.fail()
	}
	if p.State > delivery.Cancelled || p.Target >= delivery.MaxChain {
		d.fail()
	}
	return p
}

// origin says what planned a delivery: a route, or a replay of what a route planned, and when. No ordinary delivery pays for
// the latter: where there is a replay it stands in front of the route, as replay:ID:TIME:ROUTE, and no route is named so.
type origin struct {
	route   string
	replay  string
	planned time.Time
}

const replayPrefix = "replay:"

func originOf(d *delivery.Delivery) origin { return origin{d.Route, d.Replay, d.Planned} }

func (o *origin) set(d *delivery.Delivery) {
	d.Route, d.Replay, d.Planned = o.route, o.replay, o.planned
}

func (o origin) encode() string {
	if o.replay == "" {
		return o.route
	}
	return replayPrefix + o.replay + ":" + strconv.FormatInt(o.planned.UnixMilli(), 36) + ":" + o.route
}

func parseOrigin(text string) (o origin, ok bool) {
	rest, replayed := strings.CutPrefix(text, replayPrefix)
	if !replayed {
		return origin{route: text}, true
	}
	replay, rest, _ := strings.Cut(rest, ":")
	at, route, ok := strings.Cut(rest, ":")
	ms, err := strconv.ParseInt(at, 36, 64)
	return origin{route, replay, time.UnixMilli(ms).UTC()}, ok && err == nil
}

func appendChain(b []byte, o origin, chain []string) []byte {
	b = putString(b, o.encode())
	b = binary.AppendUvarint(b, uint64(len(chain)))
	for _, lane := range chain {
		b = putString(b, lane)
	}
	return b
}

func (d *decoder) chain() (o origin, chain []string) {
	o, ok := parseOrigin(d.string())
	n := d.count()
	if !ok || n == 0 || n > delivery.MaxChain {
		d.fail()
		return origin{}, nil
	}
	chain = make([]string, n)
	for i := range chain {
		chain[i] = d.string()
	}
	return o, chain
}

// appendOrder encodes an ordering key and the place in its line, one byte where there is none. A place of 0 stands for the
// event's own sequence number, which nobody knows yet when an accepted event is encoded.
func appendOrder(b []byte, order string, joined uint64) []byte {
	b = putString(b, order)
	if order != "" {
		b = binary.AppendUvarint(b, joined)
	}
	return b
}

func (d *decoder) order(seq uint64) (order string, joined uint64) {
	if order = d.string(); order == "" {
		return "", 0
	}
	if joined = d.uint(); joined == 0 {
		joined = seq
	}
	return order, joined
}

// What the flags of an event say: its publisher gave the id; a SpanContext follows; an operator sent it as a
// test; its payload was erased.
const (
	flagGivenID = 1 << iota
	flagSpan
	flagTest
	flagErased
)

// appendEvent encodes an event with its plan. The body comes last and the plan before it can be skipped, so that claiming
// one delivery of an event with thousands decodes none of the others.
func appendEvent(b []byte, ev *delivery.Event, plan []*delivery.Delivery) []byte {
	b = putTime(b, ev.Accepted)
	flags := byte(0)
	if ev.GivenID {
		flags |= flagGivenID
	}
	if ev.Test {
		flags |= flagTest
	}
	if ev.Erased {
		flags |= flagErased
	}
	if ev.Span != (delivery.SpanContext{}) {
		flags |= flagSpan
	}
	b = append(b, flags, byte(ev.Routing))
	if flags&flagSpan != 0 {
		b = appendSpan(b, ev.Span)
	}
	b = append(b, ev.Hash[:]...)
	b = binary.AppendUvarint(b, uint64(ev.DataStart))
	b = binary.AppendUvarint(b, uint64(ev.DataEnd))
	for _, s := range [...]string{
		ev.ID, ev.Type, ev.Environment, ev.Tenant, ev.Source, ev.Timestamp,
		ev.ContentType, ev.TraceParent, ev.TraceState, ev.Digest,
	} {
		b = putString(b, s)
	}
	b = binary.AppendUvarint(b, uint64(len(ev.Held)))
	for _, route := range ev.Held {
		b = putString(b, route)
	}
	b = binary.AppendUvarint(b, uint64(len(plan)))
	b = putString(b, appendPlan(nil, plan))
	return append(b, ev.Body...)
}

func appendPlan(b []byte, plan []*delivery.Delivery) []byte {
	for _, p := range plan {
		b = appendChain(b, originOf(p), p.Chain)
		b = appendOrder(b, p.OrderKey, p.Joined)
		b = appendProgress(b, &p.Progress)
	}
	return b
}

// eventHead is what a search asks of an event. Its slices alias the record.
type eventHead struct {
	accepted                     time.Time
	routing                      delivery.Routing
	id, typ, environment, tenant []byte
	plans                        []byte
}

// headOf reads an event's head without copying anything.
func headOf(key, val []byte) (h eventHead, err error) {
	d, err := open(key, val)
	if err != nil {
		return h, err
	}
	h.accepted = d.time()
	flags := d.byte()
	h.routing = delivery.Routing(d.byte())
	if flags&flagSpan != 0 {
		_ = d.take(spanSize)
	}
	_ = d.take(16)
	_, _ = d.uint(), d.uint()
	h.id, h.typ, h.environment, h.tenant = d.bytes(), d.bytes(), d.bytes(), d.bytes()
	for range 6 {
		_ = d.bytes()
	}
	for range d.count() {
		_ = d.bytes()
	}
	_ = d.uint()
	h.plans = d.bytes()
	if d.bad {
		return h, d.err()
	}
	return h, nil
}

// decodeEvent reads an event; with plan, also its deliveries as planned: in their order, without ids.
func decodeEvent(key, val []byte, plan bool) (*delivery.Event, []*delivery.Delivery, error) {
	return decodeParts(key, val, plan, true)
}

// decodeListed reads an event for a listing: with its plan, and without its body unless that is wanted.
func decodeListed(key, val []byte, body bool) (*delivery.Event, []*delivery.Delivery, error) {
	return decodeParts(key, val, true, body)
}

// decodeHeadOnly reads an event without its plan and without its body.
func decodeHeadOnly(key, val []byte) (*delivery.Event, error) {
	ev, _, err := decodeParts(key, val, false, false)
	return ev, err
}

func decodeParts(key, val []byte, plan, body bool) (*delivery.Event, []*delivery.Delivery, error) {
	d, err := open(key, val)
	if err != nil {
		return nil, nil, err
	}
	ev := &delivery.Event{Seq: seqOf(key), Accepted: d.time()}
	flags := d.byte()
	ev.GivenID, ev.Test, ev.Erased = flags&flagGivenID != 0, flags&flagTest != 0, flags&flagErased != 0
	ev.Routing = delivery.Routing(d.byte())
	if flags&flagSpan != 0 {
		if b := d.take(spanSize); len(b) == spanSize {
			ev.Span = takeSpan(b)
		}
	}
	copy(ev.Hash[:], d.take(uint64(len(ev.Hash))))
	ev.DataStart, ev.DataEnd = uint32(d.uint()), uint32(d.uint())
	for _, s := range [...]*string{
		&ev.ID, &ev.Type, &ev.Environment, &ev.Tenant, &ev.Source, &ev.Timestamp,
		&ev.ContentType, &ev.TraceParent, &ev.TraceState, &ev.Digest,
	} {
		*s = d.string()
	}
	for range d.count() {
		ev.Held = append(ev.Held, d.string())
	}
	planned := int(d.uint())
	plans := d.bytes()
	if flags > flagGivenID|flagSpan|flagTest|flagErased || ev.Routing > delivery.Undecided || ev.DataStart > ev.DataEnd || int(ev.DataEnd) > len(d.b) ||
		planned > delivery.MaxBatch {
		d.fail()
	}
	if body {
		ev.Body = slices.Clone(d.b)
	} else {
		ev.DataStart, ev.DataEnd = 0, 0
	}
	if !d.bad {
		d.b = nil
	}
	if err := d.err(); err != nil || !plan {
		return ev, nil, err
	}
	pd := decoder{b: plans, key: key}
	ds := make([]*delivery.Delivery, planned)
	for i := range ds {
		ds[i] = &delivery.Delivery{Event: ev, Ord: uint16(i)}
		var o origin
		o, ds[i].Chain = pd.chain()
		o.set(ds[i])
		ds[i].OrderKey, ds[i].Joined = pd.order(ev.Seq)
		ds[i].Progress = pd.progress()
	}
	return ev, ds, pd.err()
}

// turn is the value of a waiting or handed-over delivery or of a successor: all that an attempt needs beside the event.
type turn struct {
	handed time.Time // when it was handed over; zero while it waits
	origin
	chain    []string
	order    string
	joined   uint64
	progress delivery.Progress
}

func turnOf(d *delivery.Delivery) turn {
	return turn{origin: originOf(d), chain: d.Chain, order: d.OrderKey, joined: d.Joined, progress: d.Progress}
}

func (t *turn) encode() []byte {
	b := putTime(newRecord(64+16*len(t.chain)), t.handed)
	b = appendProgress(b, &t.progress)
	return appendOrder(appendChain(b, t.origin, t.chain), t.order, t.joined)
}

func decodeTurn(key, val []byte) (turn, error) {
	d, err := open(key, val)
	if err != nil {
		return turn{}, err
	}
	var t turn
	t.handed = d.time()
	t.progress = d.progress()
	t.origin, t.chain = d.chain()
	t.order, t.joined = d.order(0)
	if int(t.progress.Target) >= len(t.chain) {
		d.fail()
	}
	return t, d.err()
}

func (t *turn) lane() string { return t.chain[t.progress.Target] }
func (t *turn) home() string { return t.chain[0] }

// waitingKey is where the delivery waits when it does.
func (t *turn) waitingKey(k delivery.Key) []byte {
	d := delivery.Delivery{Chain: t.chain, Progress: t.progress}
	return waitingKey(t.lane(), d.Movable(), makePlace(t.progress.Due, k, t.progress.Step))
}

// delivery makes the Delivery the engine sees.
func (t *turn) delivery(ev *delivery.Event, ord uint16, id string) *delivery.Delivery {
	d := &delivery.Delivery{Event: ev, Ord: ord, ID: id, Chain: t.chain, OrderKey: t.order, Joined: t.joined, Progress: t.progress}
	t.set(d)
	return d
}
