package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"strconv"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/rules"
)

// The routing rules of the configuration in force:
//
//	GET routes            the routes in their order, with what they did; limit 1–500, default 50, cursor
//	POST routes/explain   says who would get an event, and why; nothing is kept or sent. The body is the event as for ingest,
//	                      or {"event": <the event>}. ?route= names one rule: a route, or endpoint:<name> for a subscription

type rulesView struct {
	// Digest names the rules, as on events.
	Digest string     `json:"digest"`
	Items  []ruleView `json:"items"`
	Next   string     `json:"next"` // empty on the last page
}

// ruleView is a route with what it did since the gateway started, over changes of the configuration that keep its name.
type ruleView struct {
	rules.RouteInfo
	// Hits counts the events that it matched, Errors those on which it could not be evaluated.
	Hits   uint64 `json:"hits"`
	Errors uint64 `json:"errors"`
	// LastHit is when the last event that it matched was accepted.
	LastHit moment `json:"last_hit,omitzero"`
}

// explainer is the router in force, if it can be looked into.
func explainer(g Gateway) (*delivery.Plan, delivery.Explainer, *Problem) {
	plan := g.Plan()
	if plan == nil {
		return nil, nil, notReady()
	}
	e, ok := plan.Router.(delivery.Explainer)
	if !ok {
		return nil, nil, notFound("events are routed by a module that does not explain itself")
	}
	return plan, e, nil
}

func (*API) listRules(_ context.Context, g Gateway, r *http.Request) (any, error) {
	limit, cursor := 0, ""
	if p := readTerms(r, terms{"limit": size(&limit), "cursor": word(&cursor)}); p != nil {
		return nil, p
	}
	if limit == 0 {
		limit = defaultLimit
	}
	from := 0
	if cursor != "" {
		var err error
		if from, err = strconv.Atoi(cursor); err != nil || from < 0 {
			return nil, delivery.ErrCursor
		}
	}
	_, e, p := explainer(g)
	if p != nil {
		return nil, p
	}
	found := e.Routes(from, limit+1)
	v := &rulesView{Digest: e.Digest(), Items: make([]ruleView, min(len(found), limit))}
	for i := range v.Items {
		use := g.RouteUse(found[i].Name)
		v.Items[i] = ruleView{found[i], use.Matched, use.Failed, moment{use.LastMatched}}
	}
	if len(found) > limit {
		v.Next = strconv.Itoa(from + limit)
	}
	return v, nil
}

func (*API) explainEvent(_ context.Context, g Gateway, r *http.Request) (any, error) {
	q, p := parseQuery(r, "route")
	if p != nil {
		return nil, p
	}
	plan, e, p := explainer(g)
	if p != nil {
		return nil, p
	}
	limit := plan.Intake.MaxBody
	if limit <= 0 {
		limit = delivery.DefaultMaxBody
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, limit+1))
	switch {
	case err != nil:
		return nil, &Problem{Status: http.StatusBadRequest, Detail: "the body could not be read to its end"}
	case int64(len(body)) > limit:
		return nil, tooLarge("body", limit)
	}
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != typeJSON {
		return nil, &Problem{Status: http.StatusUnsupportedMediaType, Detail: "the body must be application/json"}
	}
	ev, err := plan.Intake.RuleEvent(unwrapped(body), time.Now())
	if err != nil {
		return nil, inputProblem(err)
	}
	var names []string
	if name, ok := q["route"]; ok {
		names = append(names, name)
	}
	x, err := e.Explain(ev, names...)
	if err != nil {
		return nil, badParameter("route", err.Error())
	}
	return x, nil
}

// unwrapped is the event in {"event": {…}}, or the body itself: an event's own member `event` is a text.
func unwrapped(body []byte) []byte {
	var w map[string]json.RawMessage
	if err := json.Unmarshal(body, &w); err != nil || len(w) != 1 || !bytes.HasPrefix(w["event"], []byte("{")) {
		return body
	}
	return w["event"]
}
