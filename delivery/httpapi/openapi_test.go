package httpapi

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestTheOpenAPIDocumentHasEveryRow(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	code, body := b.ask(tokenViewer, http.MethodGet, "/openapi.json", nil)
	var document struct {
		OpenAPI    string `json:"openapi"`
		Paths      map[string]map[string]json.RawMessage
		Components struct {
			Schemas map[string]json.RawMessage `json:"schemas"`
		} `json:"components"`
	}
	if err := json.Unmarshal([]byte(body), &document); err != nil || code != http.StatusOK || document.OpenAPI != "3.1.0" {
		t.Fatalf("%d, %v: %.200s", code, err, body)
	}
	n := 0
	for _, rt := range NewAPI(nil, nil).routes() {
		method, pattern, _ := strings.Cut(rt.pattern, " ")
		if document.Paths[pattern][strings.ToLower(method)] == nil || rt.doc.summary == "" {
			t.Errorf("%s is not described", rt.pattern)
		}
		n++
	}
	for _, operations := range document.Paths {
		n -= len(operations)
	}
	if n != 0 {
		t.Errorf("%d operations too many or too few", n)
	}
	for name, s := range document.Components.Schemas {
		if len(s) < 10 {
			t.Errorf("component %s is %s", name, s)
		}
		if !strings.Contains(body, `"#/components/schemas/`+name+`"`) {
			t.Errorf("component %s is not used", name)
		}
	}
}

// TestTheTableKeepsWhatIsPromised has what others build on, which may be added to and not changed: rows, what narrows a list,
// and members of bodies.
func TestTheTableKeepsWhatIsPromised(t *testing.T) {
	t.Parallel()
	_, body := newBed(t).ask(tokenViewer, http.MethodGet, "/openapi.json", nil)
	var document struct {
		Paths map[string]map[string]struct {
			Parameters []struct{ Name string }
			Body       struct {
				Content map[string]struct{ Schema json.RawMessage }
			} `json:"requestBody"`
		}
		Components struct {
			Schemas map[string]struct{ Properties map[string]any }
		}
	}
	if err := json.Unmarshal([]byte(body), &document); err != nil {
		t.Fatal(err)
	}
	for row, promised := range map[string]string{
		"GET /endpoints": "limit cursor", "POST /endpoints": "", "GET /endpoints/{id}": "id", "PATCH /endpoints/{id}": "id If-Match",
		"DELETE /endpoints/{id}": "id If-Match", "POST /endpoints/{id}/pause": "", "POST /endpoints/{id}/resume": "",
		"POST /endpoints/{id}/test": "", "POST /endpoints/{id}/check": "", "POST /endpoints/{id}/rotate-secret": "",
		"POST /endpoints/{id}/reveal-secret": "",
		"GET /events":                        "type environment tenant since until routing limit cursor",
		"GET /events/{id}":                   "id", "POST /events/{id}/replay": "endpoint", "POST /events/{id}/route": "",
		"GET /deliveries":      "state endpoint type event since until limit cursor",
		"GET /deliveries/{id}": "id", "POST /deliveries/{id}/redeliver": "", "POST /deliveries/{id}/cancel": "",
		"GET /attempts":     "endpoint outcome status since until limit cursor",
		"POST /replays":     "endpoint type state since until rate dry_run",
		"GET /replays/{id}": "id", "POST /replays/{id}/cancel": "",
		"GET /routes": "limit cursor", "POST /routes/explain": "",
		"GET /catalog": "", "GET /egress": "", "GET /stats": "", "GET /stream": "", "GET /health": "", "GET /openapi.json": "",
	} {
		method, path, _ := strings.Cut(row, " ")
		op, ok := document.Paths[path][strings.ToLower(method)]
		if !ok {
			t.Errorf("there is no %s", row)
		}
		var takes []string
		for _, p := range op.Parameters {
			takes = append(takes, p.Name)
		}
		if schema := string(op.Body.Content["application/json"].Schema); schema != "" {
			_, name, _ := strings.Cut(strings.TrimSuffix(schema, `"}`), "#/components/schemas/")
			for member := range document.Components.Schemas[strings.Trim(name, "\"} \n\t")].Properties {
				takes = append(takes, member)
			}
		}
		for name := range strings.FieldsSeq(promised) {
			if !slices.Contains(takes, name) {
				t.Errorf("%s takes %v, and no %s", row, takes, name)
			}
		}
	}
	if _, merge := document.Paths["/endpoints/{id}"]["patch"].Body.Content["application/merge-patch+json"]; !merge {
		t.Error("a patch may be no application/merge-patch+json")
	}
	if routing := querySchemas["routing"]["enum"]; !slices.Contains(routing.([]string), "unrouted") || !slices.Contains(routing.([]string), "undecided") {
		t.Errorf("routing is %v", routing)
	}
}

func TestAnswersHaveNoMemberThatTheDocumentDoesNotHave(t *testing.T) {
	t.Parallel()
	text, err := describe(NewAPI(nil, nil).routes())
	if err != nil {
		t.Fatal(err)
	}
	var document struct {
		Components struct {
			Schemas map[string]struct {
				Properties map[string]any `json:"properties"`
				Required   []string       `json:"required"`
			} `json:"schemas"`
		} `json:"components"`
	}
	if err := json.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	endpoint := document.Components.Schemas["Endpoint"]
	if endpoint.Properties["settings"] == nil || slices.Contains(endpoint.Required, "settings") || !slices.Contains(endpoint.Required, "id") {
		t.Errorf("an endpoint is %+v", endpoint)
	}
	made := document.Components.Schemas["NewEndpoint"]
	if made.Properties["secrets"] == nil || made.Properties["url"] == nil || !slices.Contains(made.Required, "secrets") {
		t.Errorf("a new endpoint is %+v", made)
	}
}
