package embedded

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/atoship/caddy-webhooks/delivery"
)

const (
	// examine bounds the events one page looks at, about 10 ms of work, whatever the filter: a search that matches nothing
	// in a million events is a thousand short pages, each of which can be given up.
	examine = 1000
	// Sequence numbers follow acceptance, but concurrent accepts and a stepped clock may put events somewhat out of order
	// of their times. A listing by time looks this much further on both sides.
	clockSlack = time.Hour
)

// Deliveries implements delivery.Journal. A cursor is the place of the last delivery looked at. An event whose time is
// more than an hour out of order (the clock was stepped) may be missing from a listing by time.
func (s *Store) Deliveries(ctx context.Context, q delivery.DeliveryQuery) (delivery.DeliveryPage, error) {
	var page delivery.DeliveryPage
	l := &listing{s: s, q: q, limit: min(q.Limit, 500), cursor: ^uint64(0)}
	if l.limit <= 0 {
		l.limit = 50
	}
	if q.Cursor != "" {
		n, err := strconv.ParseUint(q.Cursor, 36, 64)
		if err != nil {
			return page, fmt.Errorf("deliveries: cursor %.20q: %w", q.Cursor, delivery.ErrCursor)
		}
		l.cursor = n
	}
	c, done, err := s.view(ctx, "deliveries")
	if err != nil {
		return page, err
	}
	defer done()
	l.c = c
	if err := l.run(ctx); err != nil {
		return page, c.readError("deliveries", err)
	}
	return l.page, nil
}

// listing collects one page.
type listing struct {
	s     *Store
	c     *conn
	q     delivery.DeliveryQuery
	limit int

	cursor   uint64 // deliveries at this place or above were shown
	examined int
	page     delivery.DeliveryPage
}

// cursorAt falls from the newest event to the oldest, and from an event's first delivery to its last.
func cursorAt(seq uint64, ord uint16) uint64 { return seq<<16 | uint64(^ord) }

func (l *listing) run(ctx context.Context) error {
	events, err := l.c.scan([]byte{kindEvent}, []byte{kindEvent + 1})
	if err != nil {
		return err
	}
	defer events.Close()
	trans, err := l.c.scan([]byte{kindTransition}, []byte{kindTransition + 1})
	if err != nil {
		return err
	}
	defer trans.Close()
	if l.q.EventID != "" {
		return l.runID(events, trans)
	}
	ok := l.start(events)
	for ; ok; ok = events.Prev() {
		if err := ctx.Err(); err != nil {
			return err
		}
		more, err := l.event(events, trans)
		if err != nil || !more {
			return err
		}
	}
	return events.Error()
}

// runID lists the deliveries of one event id, newest generation first.
func (l *listing) runID(events, trans *pebble.Iterator) error {
	seqs, err := l.s.seqsOf(l.c, idPrefix(l.q.EventID))
	if err != nil {
		return err
	}
	slices.Sort(seqs)
	for _, seq := range slices.Backward(seqs) {
		if cursorAt(seq, ^uint16(0)) >= l.cursor {
			continue
		}
		if key := eventKey(seq); !events.SeekGE(key) || !slices.Equal(events.Key(), key) {
			continue
		}
		if more, err := l.event(events, trans); err != nil || !more {
			return err
		}
	}
	return events.Error()
}

// start puts the iterator on the newest event that can match: the cursor's, or the last before Until.
func (l *listing) start(events *pebble.Iterator) bool {
	if l.q.Cursor != "" {
		return events.SeekLT(eventKey(l.cursor>>16 + 1))
	}
	if l.q.Until.IsZero() || !events.First() {
		return events.Last()
	}
	low := seqOf(events.Key())
	if !events.Last() {
		return false
	}
	high, limit := seqOf(events.Key())+1, l.q.Until.Add(clockSlack)
	for high-low > 64 { // some 20 steps over a million events
		mid := low + (high-low)/2
		if events.SeekGE(eventKey(mid)) && accepted(events).Before(limit) {
			low = mid
		} else {
			high = mid
		}
	}
	return events.SeekLT(eventKey(high))
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

// event adds the deliveries of the event under the iterator; false when the page is complete.
func (l *listing) event(events, trans *pebble.Iterator) (more bool, err error) {
	val, err := value(events)
	if err != nil {
		return false, err
	}
	seq := seqOf(events.Key())
	if l.examined++; l.examined > examine {
		l.page.Next = strconv.FormatUint(cursorAt(seq+1, ^uint16(0)), 36) // all of what is newer was looked at
		return false, nil
	}
	ev, ds, err := decodeEvent(events.Key(), val, true)
	if err != nil {
		l.s.bad.note(l.s, events.Key(), val, err)
		return true, nil
	}
	if !l.q.Since.IsZero() && ev.Accepted.Before(l.q.Since.Add(-clockSlack)) {
		return false, nil
	}
	if !l.wantsEvent(ev) {
		return true, nil
	}
	trans.SetBounds(stepKey(kindTransition, delivery.Key{Seq: seq}, 0), stepKey(kindTransition, delivery.Key{Seq: seq + 1}, 0))
	if err := l.s.present(trans, ds); err != nil {
		return false, err
	}
	for _, d := range ds {
		if cursorAt(seq, d.Ord) >= l.cursor || !l.wants(d) {
			continue
		}
		if len(l.page.Items) == l.limit {
			last := l.page.Items[l.limit-1]
			l.page.Next = strconv.FormatUint(cursorAt(last.Event.Seq, last.Ord), 36)
			return false, nil
		}
		d.ID = l.s.ids.encode(d.Key())
		l.page.Items = append(l.page.Items, d)
	}
	return true, nil
}

func (l *listing) wantsEvent(ev *delivery.Event) bool {
	return (l.q.Type == "" || l.q.Type == ev.Type) &&
		(l.q.EventID == "" || l.q.EventID == ev.ID) &&
		(l.q.Since.IsZero() || !ev.Accepted.Before(l.q.Since)) &&
		(l.q.Until.IsZero() || ev.Accepted.Before(l.q.Until))
}

func (l *listing) wants(d *delivery.Delivery) bool {
	return (l.q.State == nil || *l.q.State == d.State) &&
		(l.q.Endpoint == "" || l.q.Endpoint == d.Chain[0] || l.q.Endpoint == d.Lane())
}
