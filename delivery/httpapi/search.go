package httpapi

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/retry"
)

// searchTime is how long a listing goes on looking when a page came back empty with more to look at: a search for something
// rare among millions then answers with what it is for, or says within a moment where to go on.
const searchTime = 100 * time.Millisecond

// firstFilled repeats a search from where it left off until it finds something, reaches the end or has looked long enough.
func firstFilled(ctx context.Context, cursor string, page func(cursor string) (found int, next string, err error)) error {
	for until := time.Now().Add(searchTime); ; {
		found, next, err := page(cursor)
		if err != nil || found > 0 || next == "" || ctx.Err() != nil || !time.Now().Before(until) {
			return err
		}
		cursor = next
	}
}

type eventPageView struct {
	Items []eventListView `json:"items"`
	Next  string          `json:"next"` // empty on the last page
}

// eventListView is an event in a listing: without payload, its deliveries counted by state.
type eventListView struct {
	eventView
	Deliveries eventCountsView `json:"deliveries"`
}

type eventCountsView struct {
	Total     int `json:"total"`
	Pending   int `json:"pending"`
	Delivered int `json:"delivered"`
	Exhausted int `json:"exhausted"`
	Cancelled int `json:"cancelled"`
}

func countDeliveries(ds []*delivery.Delivery) (v eventCountsView) {
	v.Total = len(ds)
	for _, d := range ds {
		switch d.State {
		case delivery.Pending:
			v.Pending++
		case delivery.Delivered:
			v.Delivered++
		case delivery.Exhausted:
			v.Exhausted++
		case delivery.Cancelled:
			v.Cancelled++
		}
	}
	return v
}

func (a *API) events(ctx context.Context, j delivery.Journal, r *http.Request) (any, error) {
	q, p := eventQuery(r)
	if p != nil {
		return nil, p
	}
	v := eventPageView{Items: []eventListView{}}
	err := firstFilled(ctx, q.Cursor, func(cursor string) (int, string, error) {
		q.Cursor = cursor
		page, err := j.Events(ctx, q)
		for _, rec := range page.Items {
			v.Items = append(v.Items, eventListView{*a.listedEvent(rec.Event), countDeliveries(rec.Deliveries)})
		}
		v.Next = page.Next
		return len(page.Items), page.Next, err
	})
	return v, err
}

type attemptPageView struct {
	Items []attemptListView `json:"items"`
	Next  string            `json:"next"` // empty on the last page
}

// attemptListView is an attempt with what it belongs to. State is what became of the delivery by it.
type attemptListView struct {
	Delivery string     `json:"delivery"`
	Event    *eventView `json:"event"`
	At       moment     `json:"at"`
	State    string     `json:"state"`
	attemptView
}

func (a *API) attempts(ctx context.Context, j delivery.Journal, r *http.Request) (any, error) {
	q, p := attemptQuery(r)
	if p != nil {
		return nil, p
	}
	v := attemptPageView{Items: []attemptListView{}}
	err := firstFilled(ctx, q.Cursor, func(cursor string) (int, string, error) {
		q.Cursor = cursor
		page, err := j.Attempts(ctx, q)
		for _, rec := range page.Items {
			v.Items = append(v.Items, attemptListView{
				Delivery: rec.DeliveryID, Event: a.listedEvent(rec.Event), At: moment{rec.At}, State: rec.State.String(),
				attemptView: a.linked(viewAttempt(rec.Attempt)),
			})
		}
		v.Next = page.Next
		return len(page.Items), page.Next, err
	})
	return v, err
}

// eventQuery reads the filters of a listing of events: type, environment, tenant, routing (routed, unrouted, undecided), and
// since, until, limit and cursor as for deliveries. A tenant given empty means events of no tenant.
func eventQuery(r *http.Request) (q delivery.EventQuery, p *Problem) {
	var routing string
	var tenant tenantFilter
	p = readTerms(r, terms{
		"type": word(&q.Type), "environment": word(&q.Environment), "tenant": tenant.read, "routing": word(&routing),
		"since": timeTo(&q.Since), "until": timeTo(&q.Until), "limit": size(&q.Limit), "cursor": word(&q.Cursor),
	})
	if q.Tenant = tenant.name; p != nil || routing == "" {
		return q, p
	}
	for _, one := range [...]delivery.Routing{delivery.Routed, delivery.Unrouted, delivery.Undecided} {
		if routing == one.String() {
			q.Routing = &one
			return q, nil
		}
	}
	return q, badParameter("routing", "must be one of routed, unrouted, undecided")
}

// attemptQuery reads the filters of a listing of attempts:
//
//	endpoint   that was tried
//	outcome    one of retry.Outcomes
//	status     503, or 5xx for all that begin with the digit
//	tenant     of the event; empty: of none
//	since      ended at or after, RFC 3339
//	until      ended before, RFC 3339
//
// and limit and cursor as for deliveries.
func attemptQuery(r *http.Request) (q delivery.AttemptQuery, p *Problem) {
	var tenant tenantFilter
	p = readTerms(r, terms{
		"endpoint": word(&q.Endpoint), "outcome": outcome(&q.Outcome), "tenant": tenant.read,
		"status": func(v string) (detail string) { q.StatusFrom, q.StatusTo, detail = statusRange(v); return detail },
		"since":  timeTo(&q.Since), "until": timeTo(&q.Until), "limit": size(&q.Limit), "cursor": word(&q.Cursor),
	})
	q.Tenant = tenant.name
	return q, p
}

// terms are the parameters a listing takes, each with what reads its value or says what is wrong with it.
type terms map[string]func(v string) (detail string)

// readTerms reads all parameters. One given empty is a mistake, not a missing one; only a tenant may be empty.
func readTerms(r *http.Request, ts terms) *Problem {
	allowed := make([]string, 0, len(ts))
	for _, name := range [...]string{
		"state", "endpoint", "outcome", "status", "type", "event", "environment", "tenant", "routing", "latest", "since", "until", "limit", "cursor",
	} {
		if ts[name] != nil {
			allowed = append(allowed, name)
		}
	}
	given, p := parseQuery(r, allowed...)
	if p != nil {
		return p
	}
	if given["limit"] == "" {
		ts["limit"](strconv.Itoa(defaultLimit))
	}
	for _, name := range allowed {
		v, ok := given[name]
		if !ok {
			continue
		}
		detail := "must not be empty: leave it out"
		if v != "" || name == "tenant" {
			detail = ts[name](v)
		}
		if detail != "" {
			return badParameter(name, detail)
		}
	}
	return nil
}

func word(to *string) func(string) string {
	return func(v string) string { *to = v; return "" }
}

func yes(to *bool) func(string) string {
	return func(v string) string {
		if v != "true" {
			return "must be true, or left out"
		}
		*to = true
		return ""
	}
}

func timeTo(to *time.Time) func(string) string {
	return func(v string) (detail string) { *to, detail = instant(v); return detail }
}

func size(to *int) func(string) string {
	return func(v string) string {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > maxLimit {
			return "must be a number from 1 to " + strconv.Itoa(maxLimit)
		}
		*to = n
		return ""
	}
}

func outcome(to *string) func(string) string {
	return func(v string) string {
		if !retry.Outcome(v).Valid() {
			var all []string
			for _, o := range retry.Outcomes() {
				all = append(all, o.String())
			}
			return "must be one of " + strings.Join(all, ", ")
		}
		*to = v
		return ""
	}
}

// tenantFilter keeps a tenant that was given, be it empty.
type tenantFilter struct{ name *string }

func (f *tenantFilter) read(v string) string {
	f.name = &v
	return ""
}

// statusRange reads 503 or 5xx.
func statusRange(v string) (from, to int, detail string) {
	if len(v) == 3 && v[0] >= '1' && v[0] <= '5' && strings.EqualFold(v[1:], "xx") {
		from = int(v[0]-'0') * 100
		return from, from + 99, ""
	}
	if n, err := strconv.Atoi(v); err == nil && len(v) == 3 && n >= 100 {
		return n, n, ""
	}
	return 0, 0, "must be a status, such as 503, or a class of them, such as 5xx"
}
