package httpapi

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/payload"
)

// Limits of a listing. The store answers one page at a time from a bounded look at its index, whatever is asked.
const (
	defaultLimit = 50
	maxLimit     = 500
	maxParameter = 512 // bytes of one value
)

// parseQuery reads the query and refuses what is not among the allowed parameters: a misspelt filter would otherwise show
// everything and look like an answer.
func parseQuery(r *http.Request, allowed ...string) (map[string]string, *Problem) {
	if r.URL.RawQuery == "" {
		return nil, nil
	}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, &Problem{Status: http.StatusBadRequest, Detail: "the query is not URL-encoded"}
	}
	q := make(map[string]string, len(values))
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		switch v := values[name]; {
		case !slices.Contains(allowed, name):
			detail := "unknown parameter; this path takes none"
			if len(allowed) > 0 {
				detail = "unknown parameter; this path takes " + strings.Join(allowed, ", ")
			}
			return nil, badParameter(name, detail)
		case len(v) > 1:
			return nil, badParameter(name, "given twice")
		case len(v[0]) > maxParameter:
			return nil, badParameter(name, "longer than "+strconv.Itoa(maxParameter)+" bytes")
		default:
			q[name] = v[0]
		}
	}
	return q, nil
}

// pageQuery reads limit and cursor, beside other parameters that are allowed.
func pageQuery(r *http.Request, more ...string) (q map[string]string, limit int, p *Problem) {
	q, p = parseQuery(r, append(more, "limit", "cursor")...)
	if p != nil {
		return nil, 0, p
	}
	limit = defaultLimit
	if v, given := q["limit"]; given {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > maxLimit {
			return nil, 0, badParameter("limit", "must be a number from 1 to "+strconv.Itoa(maxLimit))
		}
		limit = n
	}
	return q, limit, nil
}

func badParameter(name, detail string) *Problem {
	return &Problem{Status: http.StatusBadRequest, Detail: detail, Parameter: name}
}

// deliveryQuery reads the filters of a listing of deliveries:
//
//	state      pending, delivered, exhausted or cancelled
//	endpoint   primary, or the one it is at
//	type       event type
//	event      event id
//	tenant     of the event; empty: of none
//	latest     true: only an event's last delivery to each endpoint, and no tests
//	since      accepted at or after, RFC 3339
//	until      accepted before, RFC 3339
//	limit      1–500, default 50
//	cursor     `next` of the page before, with the same filters
//
// All that are given apply. A parameter given empty is a mistake, not a missing one.
func deliveryQuery(r *http.Request) (q delivery.DeliveryQuery, p *Problem) {
	var state string
	var tenant tenantFilter
	p = readTerms(r, terms{
		"state": word(&state), "endpoint": word(&q.Endpoint), "type": word(&q.Type), "event": word(&q.EventID), "tenant": tenant.read,
		"latest": yes(&q.Latest),
		"since":  timeTo(&q.Since), "until": timeTo(&q.Until), "limit": size(&q.Limit), "cursor": word(&q.Cursor),
	})
	if q.Tenant = tenant.name; p != nil || state == "" {
		return q, p
	}
	s, err := delivery.ParseState(state)
	if err != nil {
		return q, badParameter("state", "must be one of pending, delivered, exhausted, cancelled")
	}
	q.State = &s
	return q, nil
}

// instant reads an RFC 3339 time, or says what is wrong with it.
func instant(v string) (t time.Time, detail string) {
	t, err := payload.ParseTimestamp(v)
	if err != nil {
		return t, err.Error()
	}
	return t.UTC(), ""
}
