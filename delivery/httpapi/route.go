package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
)

// route is one row of the API.
type route struct {
	pattern string // "GET /endpoints/{id}"
	do      func(ctx context.Context, c *call) (any, error)
	doc     doc
	// needs is the least role. Default: Viewer for GET, else Operator.
	needs Role
	// harmless routes change nothing, though they are not a GET.
	harmless bool
	// idle routes answer without an engine, too; their call's gateway is nil then.
	idle bool
	// global routes tell of all tenants at once, so they are not for callers that are limited to one.
	global bool
}

// call is one request on its way through the API.
type call struct {
	*http.Request

	w       http.ResponseWriter // for limits of the body
	gateway Gateway             // what the caller may see of it
	access  Access
}

// reply is an answer that is more than a body with status 200.
type reply struct {
	status   int
	etag     string
	location string // relative to the request's path
	body     any    // nil: none
}

// answered is what a route returns that wrote its answer itself.
var answered = new(reply)

// ServeHTTP marks a route as the mux's; serve does the work.
func (*route) ServeHTTP(http.ResponseWriter, *http.Request) {}

// setPathValues takes the values of the pattern's wildcards out of the path. The mux, which does so too, would have to be given
// the caller's access through the request.
func (rt *route) setPathValues(r *http.Request) {
	_, pattern, _ := strings.Cut(rt.pattern, " ")
	path := strings.Split(r.URL.EscapedPath(), "/") // as the mux looks at it: a %2F parts nothing
	for i, part := range strings.Split(pattern, "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			value, _ := url.PathUnescape(path[i]) // url.Parse has checked it
			r.SetPathValue(strings.TrimSuffix(name, "}"), value)
		}
	}
}

// missing says what there is not, by the part of the table that a route is in.
func (rt *route) missing() string {
	_, path, _ := strings.Cut(rt.pattern, " /")
	kind, more, _ := strings.Cut(path, "/")
	switch {
	case kind == "endpoints", path == "replays": // of which the body names it
		return "there is no such endpoint"
	case kind == "events" && strings.HasSuffix(more, "/replay"):
		return "there is no such event, or it is past retention; or no such endpoint"
	case kind == "events":
		return "there is no such event, or it is past retention"
	case kind == "deliveries":
		return "there is no such delivery, or it is past retention"
	case kind == "replays":
		return "there is no such replay, or it is too long ago"
	}
	return "there is no such thing, or it is past retention"
}

// strangers refuses what a page of another origin makes a browser send.
var strangers = http.NewCrossOriginProtection()

// serve answers a request that has a route.
func (a *API) serve(w http.ResponseWriter, r *http.Request, rt *route, access Access) {
	if strangers.Check(r) != nil {
		p := &Problem{Status: http.StatusForbidden, Detail: "a browser sent this from a page of another origin"}
		p.Write(w)
		return
	}
	if p := access.permits(rt); p != nil {
		p.Write(w)
		return
	}
	engine := a.engine()
	if engine == nil && !rt.idle {
		notReady().Write(w)
		return
	}
	if engine != nil && access.Tenant != "" {
		engine = &tenantGateway{whole: engine, tenant: access.Tenant}
	}
	rt.setPathValues(r)
	v, err := rt.do(r.Context(), &call{Request: r, w: w, gateway: engine, access: access})
	if err != nil {
		a.problem(r.Context(), rt, err).Write(w)
		return
	}
	if v != any(answered) {
		a.write(w, r, v)
	}
}

// write answers with what a route returned.
func (a *API) write(w http.ResponseWriter, r *http.Request, v any) {
	out, ok := v.(*reply)
	if !ok {
		out = &reply{body: v}
	}
	h := w.Header()
	h["X-Content-Type-Options"] = nosniff
	h["Cache-Control"] = noStore
	if out.etag != "" {
		h["Etag"] = []string{out.etag}
	}
	if out.location != "" {
		h["Location"] = []string{out.location}
	}
	if out.body == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	h["Content-Type"] = jsonType
	if out.status != 0 {
		w.WriteHeader(out.status)
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false) // payloads are shown as they were sent; nosniff and the media type keep browsers off
	if err := enc.Encode(out.body); err != nil {
		a.log.DebugContext(r.Context(), "writing an answer failed", "error", err)
	}
}
