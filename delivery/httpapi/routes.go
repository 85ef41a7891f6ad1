package httpapi

import (
	"encoding/json"
	"net/http"

	"github.com/atoship/caddy-webhooks/rules"
)

// routes is the table of the API.
func (a *API) routes() []*route {
	listing := func(more ...string) []string { return append(more, "limit", "cursor") }
	const conflict, failed, missing = http.StatusConflict, http.StatusPreconditionFailed, http.StatusPreconditionRequired
	return append(append(a.replayRoutes(), a.upkeepRoutes()...), []*route{
		{pattern: "GET /endpoints", do: a.endpoints, doc: doc{
			summary: "List endpoints by id; failing=true those that something is wrong with", query: listing("failing"), answer: endpointPageView{},
		}},
		{pattern: "POST /endpoints", do: a.createEndpoint, doc: doc{
			summary: "Make an endpoint; its secrets are shown here", body: settingsBody{}, needed: true,
			answer: newEndpointView{}, status: http.StatusCreated, refuses: []int{conflict},
		}},
		{pattern: "GET /endpoints/{id}", do: a.endpoint, doc: doc{summary: "Show an endpoint", answer: endpointView{}}},
		{pattern: "PATCH /endpoints/{id}", do: a.patchEndpoint, doc: doc{
			summary: "Merge into the settings of an endpoint made by API", body: settingsPatch{}, needed: true, media: []string{typeMergePatch},
			answer: endpointView{}, refuses: []int{conflict, failed, missing},
		}},
		{pattern: "DELETE /endpoints/{id}", do: a.deleteEndpoint, doc: doc{
			summary: "End an endpoint made by API and cancel what is pending for it", query: []string{"confirm"},
			answer: deletedView{}, refuses: []int{conflict, failed, missing},
		}},
		{pattern: "POST /endpoints/{id}/pause", do: a.operate(Gateway.Pause), doc: doc{summary: "Hold an endpoint until it is resumed", answer: endpointView{}}},
		{pattern: "POST /endpoints/{id}/resume", do: a.operate(Gateway.Resume), doc: doc{
			summary: "End a pause, or put a disabled endpoint back into service", answer: endpointView{},
		}},
		{pattern: "POST /endpoints/{id}/test", do: plainly(a.test), doc: doc{
			summary: "Send one marked event now", body: testRequest{}, answer: deliveryRecordView{}, refuses: []int{http.StatusTooManyRequests},
		}},
		{pattern: "POST /endpoints/{id}/check", do: plainly(a.check), doc: doc{
			summary: "Look at everything between the gateway and an endpoint", body: testRequest{}, answer: checkView{}, refuses: []int{http.StatusTooManyRequests},
		}},
		{pattern: "POST /endpoints/{id}/rotate-secret", do: a.rotateSecret, doc: doc{
			summary: "Give an endpoint a new signing secret; it is shown here", body: rotation{}, answer: rotatedView{}, refuses: []int{conflict, failed},
		}},
		{pattern: "POST /endpoints/{id}/reveal-secret", do: a.revealSecret, doc: doc{
			summary: "Show an endpoint's signing secrets; it goes on record", answer: revealedView{}, refuses: []int{conflict},
		}},
		{pattern: "GET /stats", do: plainly(a.stats), global: true, doc: doc{summary: "Count what is kept", answer: statsView{}}},
		{pattern: "GET /pulse", do: plainly(a.pulse), global: true, doc: doc{summary: "Show the last hour by the minute", answer: pulseView{}}},
		{pattern: "GET /activity", do: plainly(a.activity), doc: doc{
			summary: "Show what the caller's endpoints, or one, did in the last day and have before them", query: []string{"endpoint"}, answer: activityView{},
			refuses: []int{http.StatusNotFound},
		}},
		{pattern: "GET /stream", do: a.stream, doc: doc{
			summary: "Follow what happens, as server-sent events", query: []string{"endpoint", "type", "tenant"},
			answer: eventStreamText, refuses: []int{http.StatusTooManyRequests},
		}},
		{pattern: "GET /events", do: reading(a.events), doc: doc{
			summary: "List events, newest first", query: listing("type", "environment", "tenant", "routing", "since", "until"), answer: eventPageView{},
		}},
		{pattern: "GET /events/{id}", do: reading(a.event), doc: doc{
			summary: "Show an event with its payload and deliveries", query: []string{"tenant"}, answer: eventRecordView{},
		}},
		{pattern: "GET /attempts", do: reading(a.attempts), doc: doc{
			summary: "List attempts, the one that ended last first", answer: attemptPageView{},
			query: listing("endpoint", "outcome", "status", "tenant", "since", "until"),
		}},
		{pattern: "GET /deliveries", do: reading(a.deliveries), doc: doc{
			summary: "List deliveries, newest event first", answer: pageView{},
			query: listing("state", "endpoint", "type", "event", "tenant", "latest", "since", "until"),
		}},
		{pattern: "GET /deliveries/{id}", do: reading(a.delivery), doc: doc{
			summary: "Show a delivery with every attempt", answer: deliveryRecordView{},
		}},
		{pattern: "GET /routes", do: plainly(a.listRules), global: true, doc: doc{summary: "List the routes in force, in their order", query: listing(), answer: rulesView{}}},
		{pattern: "POST /routes/explain", do: plainly(a.explainEvent), global: true, harmless: true, doc: doc{
			summary: "Say who would get an event, and why", query: []string{"route"}, body: map[string]json.RawMessage{}, needed: true,
			answer: rules.Explanation{}, refuses: []int{http.StatusUnprocessableEntity},
		}},
		{pattern: "GET /catalog", do: a.catalog, doc: doc{summary: "List the event types", answer: catalogView{}}},
		{pattern: "GET /egress", do: a.egress, doc: doc{summary: "List the addresses that deliveries come from", answer: egressView{}}},
		{pattern: "GET /health", do: a.health, idle: true, doc: doc{summary: "Tell whether events are taken", answer: healthView{}, unavailable: healthView{}}},
		{pattern: "GET /health/ready", do: a.health, idle: true, doc: doc{summary: "The same", answer: healthView{}, unavailable: healthView{}}},
		{pattern: "GET /health/live", do: a.health, idle: true, doc: doc{summary: "Tell whether the gateway runs", answer: healthView{}, unavailable: healthView{}}},
		{pattern: "GET /tenants/{tenant}/tokens", do: a.tokens, needs: Operator, global: true, doc: doc{
			summary: "List the tokens of a tenant", query: listing(), answer: tokenPageView{},
		}},
		{pattern: "POST /tenants/{tenant}/tokens", do: a.createToken, global: true, doc: doc{
			summary: "Make a token for a tenant; it is shown here", body: tokenRequest{}, answer: tokenView{}, status: http.StatusCreated, refuses: []int{conflict},
		}},
		{pattern: "POST /tenants/{tenant}/portal-links", do: a.createPortalLink, global: true, doc: doc{
			summary: "Make a link that shows a tenant's webhooks and nothing else", body: portalRequest{}, answer: portalView{}, status: http.StatusCreated,
		}},
		{pattern: "DELETE /tenants/{tenant}/tokens/{id}", do: a.deleteToken, global: true, doc: doc{summary: "End a token"}},
		{pattern: "GET /openapi.json", do: a.openAPI, doc: doc{summary: "This document", answer: map[string]json.RawMessage{}}},
	}...)
}
