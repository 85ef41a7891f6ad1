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
