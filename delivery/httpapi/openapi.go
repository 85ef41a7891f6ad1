package httpapi

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The OpenAPI document is made from the table of routes and from the Go types of what they take and answer, so that it cannot
// say anything else than they do.

// doc is what the document says of a route beside its pattern.
type doc struct {
	summary string
	query   []string
	body    any  // a value of the type taken; nil: none
	needed  bool // the body may not be left out
	media   []string
	answer  any // a value of the type answered; nil: nothing, with status 204
	status  int // default 200, or 204
	also    int // another status with the same answer
	// unavailable is what status 503 answers, if it is no problem.
	unavailable any
	// refuses lists statuses beside those that any route may answer.
	refuses []int
}

// schema is a JSON Schema (2020-12), as OpenAPI 3.1 takes it.
type schema = map[string]any

// commonRefusals may answer any request.
var commonRefusals = []int{http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusInternalServerError, http.StatusServiceUnavailable}

// describe makes the document of a table.
func describe(routes []*route) ([]byte, error) {
	d := &document{components: schema{}}
	paths := map[string]schema{}
	for _, rt := range routes {
		method, pattern, _ := strings.Cut(rt.pattern, " ")
		if paths[pattern] == nil {
			paths[pattern] = schema{}
		}
		paths[pattern][strings.ToLower(method)] = d.operation(rt, method, pattern)
	}
	d.components["Problem"] = problemSchema
	return json.MarshalIndent(schema{
		"openapi": "3.1.0",
		"info": schema{
			"title": "caddy-webhooks management API", "version": "1",
			"description": "Errors are problem documents (RFC 9457). Lists are pages; `next` is the `cursor` of the one that follows, empty on the last.",
			"license":     schema{"name": "Apache-2.0", "identifier": "Apache-2.0"},
		},
		"servers":  []schema{{"url": "./", "description": "Where this document is"}},
		"security": []schema{{"token": []string{}}, {}},
		"paths":    paths,
		"components": schema{
			"schemas":         d.components,
			"securitySchemes": schema{"token": schema{"type": "http", "scheme": "bearer"}},
		},
	}, "", "\t")
}

// openAPI answers with the document.
func (a *API) openAPI(_ context.Context, c *call) (any, error) {
	if _, p := parseQuery(c.Request); p != nil {
		return nil, p
	}
	text, err := a.described()
	return json.RawMessage(text), err
}

// document collects what operations refer to.
type document struct{ components schema }

func (d *document) operation(rt *route, method, pattern string) schema {
	op := schema{
		"summary": rt.doc.summary, "operationId": operationID(method, pattern), "tags": []string{strings.Split(pattern, "/")[1]},
		"responses": d.responses(rt),
	}
	if rt.needs == Operator {
		op["description"] = "Needs the role operator."
	}
	var params []schema
	for part := range strings.SplitSeq(pattern, "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			params = append(params, schema{
				"name": strings.TrimSuffix(name, "}"), "in": "path", "required": true, "schema": schema{"type": "string", "minLength": 1},
			})
		}
	}
	for _, name := range rt.doc.query {
		params = append(params, schema{"name": name, "in": "query", "schema": querySchemas[name]})
	}
	if method == http.MethodPatch || method == http.MethodDelete && slices.Contains(rt.doc.refuses, http.StatusPreconditionFailed) {
		params = append(params, schema{
			"name": "If-Match", "in": "header", "required": true, "schema": schema{"type": "string"},
			"description": "The ETag that GET answered, or *.",
		})
	}
	if params != nil {
		op["parameters"] = params
	}
	if rt.doc.body != nil {
		content := schema{}
		for _, media := range append([]string{typeJSON}, rt.doc.media...) {
			content[media] = schema{"schema": d.of(reflect.TypeOf(rt.doc.body))}
		}
		op["requestBody"] = schema{"required": rt.doc.needed, "content": content}
	}
	return op
}

// operationID makes a name such as postEndpointsPause of POST /endpoints/{id}/pause.
func operationID(method, pattern string) string {
	var id strings.Builder
	id.WriteString(strings.ToLower(method))
	for _, part := range strings.FieldsFunc(pattern, func(r rune) bool { return r == '/' || r == '-' || r == '.' || r == '{' || r == '}' }) {
		id.WriteString(strings.ToUpper(part[:1]) + part[1:])
	}
	return id.String()
}

func (d *document) responses(rt *route) schema {
	out := schema{}
	media := typeJSON
	if rt.doc.answer == eventStreamText {
		media = "text/event-stream"
	}
	if rt.doc.answer == nil {
		out["204"] = schema{"description": "Done."}
	} else {
		status := cmp.Or(rt.doc.status, http.StatusOK)
		out[strconv.Itoa(status)] = schema{
			"description": http.StatusText(status),
			"content":     schema{media: schema{"schema": d.of(reflect.TypeOf(rt.doc.answer))}},
		}
		if rt.doc.also != 0 {
			out[strconv.Itoa(rt.doc.also)] = out[strconv.Itoa(status)]
		}
	}
	refusals := append(slices.Clone(commonRefusals), rt.doc.refuses...)
	if strings.Contains(rt.pattern, "{") {
		refusals = append(refusals, http.StatusNotFound)
	}
	if rt.doc.body != nil {
		refusals = append(refusals, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity)
	}
	for _, status := range refusals {
		out[strconv.Itoa(status)] = schema{
			"description": http.StatusText(status),
			"content":     schema{"application/problem+json": schema{"schema": schema{"$ref": "#/components/schemas/Problem"}}},
		}
	}
	if rt.doc.unavailable != nil {
		out["503"].(schema)["content"] = schema{typeJSON: schema{"schema": d.of(reflect.TypeOf(rt.doc.unavailable))}}
	}
	return out
}

// eventStreamText stands for a stream of server-sent events.
const eventStreamText = "event stream"

// of is the schema of what encoding/json makes of a type. A named struct becomes a component.
func (d *document) of(t reflect.Type) schema {
	switch t {
	case reflect.TypeFor[moment](), reflect.TypeFor[time.Time]():
		return schema{"type": "string", "format": "date-time"}
	case reflect.TypeFor[json.RawMessage]():
		return schema{}
	case reflect.TypeFor[settingsBody](), reflect.TypeFor[settingsPatch]():
		return settingsSchema(t == reflect.TypeFor[settingsBody]())
	}
	switch t.Kind() {
	case reflect.Pointer:
		return d.of(t.Elem())
	case reflect.Bool:
		return schema{"type": "boolean"}
	case reflect.String:
		return schema{"type": "string"}
	case reflect.Int, reflect.Int64, reflect.Uint64:
		return schema{"type": "integer"}
	case reflect.Float64:
		return schema{"type": "number"}
	case reflect.Slice:
		return schema{"type": "array", "items": d.of(t.Elem())}
	case reflect.Map:
		return schema{"type": "object", "additionalProperties": d.of(t.Elem())}
	case reflect.Struct:
		return d.component(t)
	default:
		panic("openapi: no schema for " + t.String())
	}
}

// component is a struct's schema, by reference where it has a name.
func (d *document) component(t reflect.Type) schema {
	name := strings.TrimSuffix(t.Name(), "View")
	if name == "" {
		return d.object(t)
	}
	name = strings.ToUpper(name[:1]) + name[1:]
	if d.components[name] == nil {
		d.components[name] = schema{} // it may refer to itself
		d.components[name] = d.object(t)
	}
	return schema{"$ref": "#/components/schemas/" + name}
}

func (d *document) object(t reflect.Type) schema {
	properties, required := schema{}, []string{}
	for _, f := range reflect.VisibleFields(t) {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous || name == "-" || name == "":
			continue
		case len(f.Index) > 1 && properties[name] != nil: // hidden by a field further out
			continue
		}
		properties[name] = d.of(f.Type)
		if !strings.Contains(options, "omit") && !slices.Contains(required, name) && !isRequest(t) {
			required = append(required, name)
		}
	}
	out := schema{"type": "object", "properties": properties}
	if len(required) > 0 {
		out["required"] = required
	}
	return out
}

// isRequest tells whether a type is read: all members of those may be left out.
func isRequest(t reflect.Type) bool {
	return slices.Contains([]reflect.Type{
		reflect.TypeFor[testRequest](), reflect.TypeFor[rotation](), reflect.TypeFor[tokenRequest](), reflect.TypeFor[replayRequest](),
		reflect.TypeFor[eventReplayRequest](),
	}, t)
}

// querySchemas are the parameters of the lists, by name.
var querySchemas = map[string]schema{
	"limit":       {"type": "integer", "minimum": 1, "maximum": maxLimit, "default": defaultLimit},
	"cursor":      {"type": "string", "description": "next of the page before"},
	"state":       {"enum": []string{"pending", "delivered", "exhausted", "cancelled"}},
	"routing":     {"enum": []string{"routed", "unrouted", "undecided"}},
	"endpoint":    {"type": "string"},
	"type":        {"type": "string", "description": "event type"},
	"event":       {"type": "string", "description": "event id"},
	"environment": {"type": "string"},
	"tenant":      {"type": "string", "description": "empty: of none"},
	"outcome":     {"type": "string"},
	"status":      {"type": "string", "description": "such as 503, or 5xx"},
	"route":       {"type": "string", "description": "one rule: a route, or endpoint:<name> for a subscription"},
	"since":       {"type": "string", "format": "date-time"},
	"until":       {"type": "string", "format": "date-time"},
	"latest":      {"type": "string", "enum": []string{"true"}, "description": "only an event's last delivery to each endpoint, and no test events"},
	"failing":     {"type": "string", "enum": []string{"true"}, "description": "only those that something is wrong with"},
	"confirm":     {"type": "integer", "minimum": 0, "description": "the number of pending deliveries to cancel"},
}

var problemSchema = schema{
	"type": "object", "required": []string{"type", "title", "status", "detail"},
	"properties": schema{
		"type": schema{"type": "string"}, "title": schema{"type": "string"}, "status": schema{"type": "integer"}, "detail": schema{"type": "string"},
		"pointer":   schema{"type": "string", "description": "JSON pointer to the member at fault"},
		"parameter": schema{"type": "string", "description": "query parameter at fault"},
		"index":     schema{"type": "integer"},
		"pending":   schema{"type": "integer", "description": "deliveries that a deletion would cancel"},
	},
}
