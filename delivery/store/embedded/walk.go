package embedded

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/atoship/caddy-webhooks/delivery"
)

const (
	// examine bounds the events one page looks at, some 3 ms of work, whatever the filter; a look into the index of blocks
	// counts for seekCost of them.
	examine  = 1000
	seekCost = 4
	// Sequence numbers follow acceptance, but concurrent accepts and a stepped clock may put events somewhat out of order
	// of their times. A listing by time looks this much further on both sides: longer than any accept takes to be committed,
	// and no more, because at 1,000 events a second these are fifteen pages of nothing.
	clockSlack = 15 * time.Second
)

// walk goes through events by sequence number and stops at each that fits its terms.
type walk struct {
	s *Store
	c *conn
	q delivery.EventQuery // State and Endpoint narrow the blocks only: whether one delivery is both is the caller's to see

	events   *pebble.Iterator
	trans    *pebble.Iterator
	streams  []*stream
	indexed  uint64 // first sequence number that the blocks know
	examined int
	at       uint64 // the event that events stands at; 0: at none

	key, val []byte // of the event it stands at; valid until the next step
	// resume is where the next page goes on when the walk ended because it had examined enough; 0: there is no more.
	resume uint64
}

// newWalk makes a walk; close it.
func (s *Store) newWalk(c *conn, q delivery.EventQuery) (*walk, error) {
	w := &walk{s: s, c: c, q: q, indexed: s.indexed.Load()}
	var err error
	if w.events, err = c.scan([]byte{kindEvent}, []byte{kindEvent + 1}); err == nil {
		w.trans, err = c.scan([]byte{kindTransition}, []byte{kindTransition + 1})
	}
	for _, t := range termsOf(&q) {
		if err == nil {
			var of *stream
			if of, err = c.stream(t); err == nil {
				w.streams = append(w.streams, of)
			}
		}
	}
	if err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

// termsOf a query that the index of blocks knows.
func termsOf(q *delivery.EventQuery) (ts []term) {
	if q.Type != "" {
		ts = append(ts, termOf(termType, q.Type))
	}
	if q.Environment != "" {
		ts = append(ts, termOf(termEnvironment, q.Environment))
	}
	if q.Tenant != nil {
		ts = append(ts, termOf(termTenant, *q.Tenant))
	}
	if q.Endpoint != "" {
		ts = append(ts, termOf(termEndpoint, q.Endpoint))
	}
	if q.Routing != nil && *q.Routing != delivery.Routed {
		ts = append(ts, term{termRouting, uint32(*q.Routing)})
	}
	if q.State != nil && *q.State != delivery.Delivered {
		ts = append(ts, stateTerm(*q.State))
	}
	return ts
}

func (w *walk) close() {
	for _, it := range [...]*pebble.Iterator{w.events, w.trans} {
		if it != nil {
			_ = it.Close()
		}
	}
	for _, s := range w.streams {
		s.close()
	}
}

// first is where a walk without a cursor begins: at the end of the events, or where the query's times say.
func (w *walk) first() uint64 {
	if !w.events.First() {
		return 0
	}
	low := seqOf(w.events.Key())
	w.events.Last()
	high := seqOf(w.events.Key())
	switch {
	case w.q.Oldest && !w.q.Since.IsZero():
		return w.search(low, high, w.q.Since.Add(-clockSlack))
	case w.q.Oldest:
		return low
	case !w.q.Until.IsZero():
		return w.search(low, high, w.q.Until.Add(clockSlack))
	default:
		return high
	}
}

// search finds, to within 64, the first event accepted at t or after: newest first it errs upwards, oldest first downwards.
// Some 20 steps over a million events.
func (w *walk) search(low, high uint64, t time.Time) uint64 {
	for high-low > 64 {
		mid := low + (high-low)/2
		if w.events.SeekGE(eventKey(mid)) && accepted(w.events).Before(t) {
			low = mid
		} else {
			high = mid
		}
	}
	if w.q.Oldest {
		return low
	}
	return high
}

// accepted reads only the time of the event under the iterator; a corrupt one counts as old, which only makes a listing
// begin later in the past's direction than it could.
func accepted(events *pebble.Iterator) time.Time {
	val, err := value(events)
	if err != nil {
		return time.Time{}
	}
	d, err := open(events.Key(), val)
	if err != nil {
		return time.Time{}
	}
	return d.time()
}

// each visits the events that fit, from seq on, until visit answers false, there is no more, or enough was examined.
func (w *walk) each(ctx context.Context, seq uint64, visit func(h *eventHead) (more bool, err error)) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		at, ok, err := w.step(seq)
		if err != nil || !ok {
			return err
		}
		if w.examined++; w.examined > examine {
			w.resume = at
			return nil
		}
		h, err := headOf(w.key, w.val)
		switch {
		case err != nil:
			if _, err := w.spare(err); err != nil {
				return err
			}
		case w.past(&h):
			return nil
		case w.wants(&h):
			if more, err := visit(&h); err != nil || !more {
				return err
			}
		}
		if seq = at + 1; !w.q.Oldest {
			if at == 0 {
				return nil
			}
			seq = at - 1
		}
	}
}

// step stands at the next event from seq on, itself included, that all terms allow.
func (w *walk) step(seq uint64) (at uint64, ok bool, err error) {
	for {
		from, ok, err := w.allowed(seq)
		if err != nil || !ok {
			return 0, false, err
		}
		if !w.move(from) {
			return 0, false, w.events.Error()
		}
		if at = w.at; !w.known(at) { // the one allowed is gone: is this one?
			seq = at
			continue
		}
		w.key = w.events.Key()
		w.val, err = value(w.events)
		return at, err == nil, err
	}
}

// move puts the iterator on the first event from seq on; mostly that is the next one.
func (w *walk) move(seq uint64) bool {
	beside := w.events.Valid() && w.at != 0
	switch {
	case w.q.Oldest && beside && seq == w.at+1:
		w.events.Next()
	case w.q.Oldest:
		w.events.SeekGE(eventKey(seq))
	case beside && seq == w.at-1:
		w.events.Prev()
	default:
		w.events.SeekLT(eventKey(seq + 1))
	}
	if !w.events.Valid() {
		return false
	}
	w.at = seqOf(w.events.Key())
	return true
}

// known tells whether an event need not be looked up in the index: there are no terms, it is older than the index, or lies
// in blocks that were found before.
func (w *walk) known(seq uint64) bool {
	if seq < w.indexed {
		return true
	}
	for _, s := range w.streams {
		if !s.knows(seq) {
			return false
		}
	}
	return true
}

// allowed is the next sequence number from seq on that may be a match by all terms.
func (w *walk) allowed(seq uint64) (at uint64, ok bool, err error) {
	for agreed := 0; agreed < len(w.streams) && seq >= w.indexed; {
		s := w.streams[agreed]
		if s.knows(seq) {
			agreed++
			continue
		}
		if w.examined += seekCost; w.examined > examine {
			w.resume = seq
			return 0, false, nil
		}
		next := s.below
		if w.q.Oldest {
			next = s.above
		}
		at, ok := next(seq)
		if err := s.err(); err != nil {
			return 0, false, err
		}
		switch {
		case ok && at == seq:
			agreed++
		case ok && (w.q.Oldest || at >= w.indexed):
			seq, agreed = at, 0
		case !w.q.Oldest: // only what is older than the index is left
			return w.indexed - 1, w.indexed > 1, nil
		default:
			return 0, false, nil
		}
	}
	return seq, true, nil
}

// past tells that no later event of the walk can be within the query's times.
func (w *walk) past(h *eventHead) bool {
	if w.q.Oldest {
		return !w.q.Until.IsZero() && !h.accepted.Before(w.q.Until.Add(clockSlack))
	}
	return !w.q.Since.IsZero() && h.accepted.Before(w.q.Since.Add(-clockSlack))
}

func (w *walk) wants(h *eventHead) bool {
	q := &w.q
	return (q.Type == "" || q.Type == string(h.typ)) &&
		(q.Environment == "" || q.Environment == string(h.environment)) &&
		(q.Tenant == nil || *q.Tenant == string(h.tenant)) &&
		(q.Routing == nil || *q.Routing == h.routing) &&
		(q.Since.IsZero() || !h.accepted.Before(q.Since)) &&
		(q.Until.IsZero() || h.accepted.Before(q.Until)) &&
		(q.Endpoint == "" || bytes.Contains(h.plans, []byte(q.Endpoint)))
}

// read decodes the event that the walk stands at, with its deliveries in their present state.
func (w *walk) read(body bool) (*delivery.Event, []*delivery.Delivery, error) {
	ev, ds, err := decodeListed(w.key, w.val, body)
	if err != nil {
		return nil, nil, err
	}
	if len(ds) == 0 {
		return ev, ds, nil
	}
	w.trans.SetBounds(stepKey(kindTransition, delivery.Key{Seq: ev.Seq}, 0), stepKey(kindTransition, delivery.Key{Seq: ev.Seq + 1}, 0))
	if err := w.s.present(w.trans, ds); err != nil {
		return nil, nil, err
	}
	for _, d := range ds {
		d.ID = w.s.ids.encode(d.Key())
	}
	return ev, ds, nil
}

// spare lets the walk go on past an event that is corrupt; it is noted.
func (w *walk) spare(err error) (more bool, _ error) {
	if _, corrupt := errors.AsType[*CorruptError](err); !corrupt {
		return false, err
	}
	w.s.bad.note(w.s, w.key, w.val, err)
	return true, nil
}

// fits tells whether a delivery is in the state and at the endpoint; nothing narrows when they are zero.
func fits(d *delivery.Delivery, state *delivery.State, endpoint string) bool {
	return (state == nil || *state == d.State) && (endpoint == "" || endpoint == d.Chain[0] || endpoint == d.Lane())
}
