package memory

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/atoship/caddy-webhooks/delivery"
)

func pageSize(limit int) int {
	if limit <= 0 {
		return delivery.DefaultPage
	}
	return min(limit, delivery.MaxPage)
}

// Events implements delivery.Search. Its cursor is the sequence number of the last event shown.
func (s *Store) Events(ctx context.Context, q delivery.EventQuery) (page delivery.EventPage, err error) {
	var last uint64
	if q.Cursor != "" {
		if last, err = strconv.ParseUint(q.Cursor, 36, 64); err != nil {
			return page, fmt.Errorf("events: cursor %.20q: %w", q.Cursor, delivery.ErrCursor)
		}
	}
	if err := s.enter(ctx, "events"); err != nil {
		return page, err
	}
	defer s.mu.Unlock()
	seqs := slices.Sorted(maps.Keys(s.events))
	if !q.Oldest {
		slices.Reverse(seqs)
	}
	for _, seq := range seqs {
		shown := last != 0 && (seq >= last != q.Oldest || seq == last)
		if shown || !wantsEvent(&q, s.events[seq]) {
			continue
		}
		if len(page.Items) == pageSize(q.Limit) {
			page.Next = strconv.FormatUint(page.Items[len(page.Items)-1].Event.Seq, 36)
			return page, nil
		}
		ev, ds := s.events[seq].views()
		if !q.Body {
			bodiless(ev)
		}
		page.Items = append(page.Items, &delivery.EventRecord{Event: ev, Deliveries: ds})
	}
	return page, nil
}

func bodiless(ev *delivery.Event) { ev.Body, ev.DataStart, ev.DataEnd = nil, 0, 0 }

func wantsEvent(q *delivery.EventQuery, ev *event) bool {
	return (q.Type == "" || q.Type == ev.Type) &&
		(q.Environment == "" || q.Environment == ev.Environment) &&
		(q.Tenant == nil || *q.Tenant == ev.Tenant) &&
		(q.Routing == nil || *q.Routing == ev.Routing) &&
		(q.Since.IsZero() || !ev.Accepted.Before(q.Since)) &&
		(q.Until.IsZero() || ev.Accepted.Before(q.Until)) &&
		(q.State == nil && q.Endpoint == "" || slices.ContainsFunc(ev.rows, func(r *row) bool { return fits(r, q.State, q.Endpoint) }))
}

func fits(r *row, state *delivery.State, endpoint string) bool {
	return (state == nil || *state == r.State) && (endpoint == "" || endpoint == r.Chain[0] || endpoint == r.Lane())
}

// Deliveries implements delivery.Search. Its cursor is the sequence number and place of the last delivery shown.
func (s *Store) Deliveries(ctx context.Context, q delivery.DeliveryQuery) (page delivery.DeliveryPage, err error) {
	after := ^uint64(0) // seq<<16 | ^ord: falls from newest to oldest event, first to last delivery
	if q.Cursor != "" {
		if after, err = strconv.ParseUint(q.Cursor, 36, 64); err != nil {
			return page, fmt.Errorf("deliveries: cursor %.20q: %w", q.Cursor, delivery.ErrCursor)
		}
	}
	if err := s.enter(ctx, "deliveries"); err != nil {
		return page, err
	}
	defer s.mu.Unlock()
	of := delivery.EventQuery{Type: q.Type, Tenant: q.Tenant, Since: q.Since, Until: q.Until}
	for _, seq := range slices.Backward(slices.Sorted(maps.Keys(s.events))) {
		ev := s.events[seq]
		if !wantsEvent(&of, ev) || q.EventID != "" && q.EventID != ev.ID {
			continue
		}
		view := ev.copy()
		bodiless(view)
		for _, r := range ev.rows {
			if seq<<16|uint64(^r.Ord) >= after || !fits(r, q.State, q.Endpoint) || q.Latest && !ev.isLatest(r) {
				continue
			}
			if len(page.Items) == pageSize(q.Limit) {
				last := page.Items[len(page.Items)-1]
				page.Next = strconv.FormatUint(last.Event.Seq<<16|uint64(^last.Ord), 36)
				return page, nil
			}
			page.Items = append(page.Items, r.view(view))
		}
	}
	return page, nil
}

// isLatest tells whether a row is what DeliveryQuery.Latest leaves.
func (e *event) isLatest(r *row) bool {
	_, ds := e.views()
	return !e.Test && slices.ContainsFunc(delivery.LatestOf(ds), func(d *delivery.Delivery) bool { return d.Ord == r.Ord })
}

// attempt is one on record, with its place: when it ended, then its delivery and step.
type attempt struct {
	row *row
	t   *delivery.Transition
}

func (a attempt) place() string {
	return fmt.Sprintf("%020d.%020d.%05d.%05d", a.t.At.UnixMilli(), a.row.Event.Seq, a.row.Ord, a.t.Progress.Step)
}

// Attempts implements delivery.Search. Its cursor is the place of the last attempt shown.
func (s *Store) Attempts(ctx context.Context, q delivery.AttemptQuery) (page delivery.AttemptPage, err error) {
	if q.Cursor != "" && strings.Count(q.Cursor, ".") != 3 {
		return page, fmt.Errorf("attempts: cursor %.40q: %w", q.Cursor, delivery.ErrCursor)
	}
	if err := s.enter(ctx, "attempts"); err != nil {
		return page, err
	}
	defer s.mu.Unlock()
	var found []attempt
	for _, ev := range s.events {
		for _, r := range ev.rows {
			for i := range r.transitions {
				a := attempt{r, &r.transitions[i]}
				if a.t.Attempt != nil && wantsAttempt(&q, a) {
					found = append(found, a)
				}
			}
		}
	}
	slices.SortFunc(found, func(a, b attempt) int { return cmp.Compare(b.place(), a.place()) })
	for _, a := range found {
		if len(page.Items) == pageSize(q.Limit) {
			return page, nil
		}
		ev := s.events[a.row.Event.Seq].copy()
		bodiless(ev)
		page.Items = append(page.Items, &delivery.AttemptRecord{
			DeliveryID: a.row.ID, Event: ev, At: a.t.At, State: a.t.Progress.State, Attempt: a.t.Attempt,
		})
		if page.Next = a.place(); a == found[len(found)-1] {
			page.Next = ""
		}
	}
	return page, nil
}

func wantsAttempt(q *delivery.AttemptQuery, a attempt) bool {
	return q.Wants(a.t.Attempt) && (q.Tenant == nil || *q.Tenant == a.row.Event.Tenant) &&
		(q.Since.IsZero() || !a.t.At.Before(q.Since)) && (q.Until.IsZero() || a.t.At.Before(q.Until)) &&
		(q.Cursor == "" || a.place() < q.Cursor)
}
