package embedded

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/atoship/caddy-webhooks/delivery"
)

// pageSize is what a query asks for, within its bounds.
func pageSize(limit int) int {
	if limit <= 0 {
		return delivery.DefaultPage
	}
	return min(limit, delivery.MaxPage)
}

// Events implements delivery.Search. A cursor is the sequence number to go on at. An event whose time is more than 15 s
// out of order (the clock was stepped) may be missing from a listing by time.
func (s *Store) Events(ctx context.Context, q delivery.EventQuery) (page delivery.EventPage, err error) {
	from, err := cursorNumber("events", q.Cursor)
	if err != nil {
		return page, err
	}
	c, done, err := s.view(ctx, "events")
	if err != nil {
		return page, err
	}
	defer done()
	w, err := s.newWalk(c, q)
	if err != nil {
		return page, c.readError("events", err)
	}
	defer w.close()
	if q.Cursor == "" {
		from = w.first()
	}
	err = w.each(ctx, from, func(*eventHead) (bool, error) {
		if len(page.Items) == pageSize(q.Limit) {
			w.resume = w.at
			return false, nil
		}
		ev, ds, err := w.read(q.Body)
		if err != nil {
			return w.spare(err)
		}
		if (q.State != nil || q.Endpoint != "") &&
			!slices.ContainsFunc(ds, func(d *delivery.Delivery) bool { return fits(d, q.State, q.Endpoint) }) {
			return true, nil
		}
		page.Items = append(page.Items, &delivery.EventRecord{Event: ev, Deliveries: ds})
		return true, nil
	})
	if w.resume != 0 {
		page.Next = strconv.FormatUint(w.resume, 36)
	}
	return page, c.readError("events", err)
}

func cursorNumber(what, cursor string) (uint64, error) {
	if cursor == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(cursor, 36, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: cursor %.20q: %w", what, cursor, delivery.ErrCursor)
	}
	return n, nil
}

// Deliveries implements delivery.Search. A cursor is the place of the last delivery looked at.
func (s *Store) Deliveries(ctx context.Context, q delivery.DeliveryQuery) (page delivery.DeliveryPage, err error) {
	l := &listing{q: q, limit: pageSize(q.Limit), cursor: ^uint64(0)}
	if q.Cursor != "" {
		if l.cursor, err = cursorNumber("deliveries", q.Cursor); err != nil {
			return page, err
		}
	}
	c, done, err := s.view(ctx, "deliveries")
	if err != nil {
		return page, err
	}
	defer done()
	l.w, err = s.newWalk(c, delivery.EventQuery{
		Type: q.Type, Tenant: q.Tenant, Endpoint: q.Endpoint, State: q.State, Since: q.Since, Until: q.Until,
	})
	if err != nil {
		return page, c.readError("deliveries", err)
	}
	defer l.w.close()
	if q.EventID != "" {
		err = l.ofEvent(ctx)
	} else {
		from := l.cursor >> 16
		if q.Cursor == "" {
			from = l.w.first()
		}
		err = l.w.each(ctx, from, l.visit)
		if l.w.resume != 0 {
			l.page.Next = strconv.FormatUint(cursorAt(l.w.resume+1, ^uint16(0)), 36) // all of what is newer was looked at
		}
	}
	return l.page, c.readError("deliveries", err)
}

// listing collects one page of deliveries.
type listing struct {
	w      *walk
	q      delivery.DeliveryQuery
	limit  int
	cursor uint64 // deliveries at this place or above were shown
	page   delivery.DeliveryPage
}

// cursorAt falls from the newest event to the oldest, and from an event's first delivery to its last.
func cursorAt(seq uint64, ord uint16) uint64 { return seq<<16 | uint64(^ord) }

// ofEvent lists the deliveries of one event id, newest generation first.
func (l *listing) ofEvent(ctx context.Context) error {
	prefix := idPrefix(l.q.EventID)
	if l.q.Tenant != nil {
		prefix = tenantPrefix(l.q.EventID, *l.q.Tenant)
	}
	seqs, err := l.w.s.seqsOf(l.w.c, prefix)
	if err != nil {
		return err
	}
	slices.Sort(seqs)
	for _, seq := range slices.Backward(seqs) {
		if cursorAt(seq, ^uint16(0)) >= l.cursor {
			continue
		}
		more := true
		err := l.w.each(ctx, seq, func(h *eventHead) (bool, error) {
			if l.w.at == seq && string(h.id) == l.q.EventID {
				more, err = l.visit(h)
			}
			return false, err
		})
		if err != nil || !more {
			return err
		}
		if l.w.resume != 0 {
			l.page.Next = strconv.FormatUint(cursorAt(seq+1, ^uint16(0)), 36)
			return nil
		}
	}
	return nil
}

// visit adds the deliveries of the event that the walk stands at; false when the page is complete.
func (l *listing) visit(*eventHead) (more bool, err error) {
	ev, ds, err := l.w.read(false)
	if err != nil {
		return l.w.spare(err)
	}
	if l.q.Latest {
		if ds = delivery.LatestOf(ds); ev.Test {
			return true, nil
		}
	}
	for _, d := range ds {
		if cursorAt(ev.Seq, d.Ord) >= l.cursor || !fits(d, l.q.State, l.q.Endpoint) {
			continue
		}
		if len(l.page.Items) == l.limit {
			last := l.page.Items[l.limit-1]
			l.page.Next = strconv.FormatUint(cursorAt(last.Event.Seq, last.Ord), 36)
			return false, nil
		}
		l.page.Items = append(l.page.Items, d)
	}
	return true, nil
}
