package openapi

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"

	"github.com/atoship/caddy-webhooks/examples/internal/rig"
)

const config = `{
	admin off
	persist_config off
	auto_https off
	webhooks {
		store embedded DIR/state
		secret_key a-key-for-tests-of-more-than-thirty-two-bytes
		egress {
			allow 127.0.0.1
			ports any
		}
		endpoint config {
			url https://127.0.0.1:9/in
			secret whsec_ZGVtbyBzZWNyZXQgZm9yIG9yZGVycywgbm90IHJlYWw=
			timeout 1s
		}
	}
}
http://127.0.0.1:PORT {
	webhooks_ingest /events {
		auth none
	}
	webhooks_dashboard /webhooks/* {
		auth none
	}
	respond 404
}
`

// api is a running gateway's, with its document.
type api struct {
	*testing.T

	base   string
	doc    *openapi3.T
	router routers.Router
}

func start(t *testing.T) *api {
	t.Helper()
	dir := t.TempDir()
	ports, err := rig.Ports(1)
	if err != nil {
		t.Fatal(err)
	}
	bin := build(t)
	file := filepath.Join(dir, "Caddyfile")
	text := strings.NewReplacer("DIR", dir, "PORT", fmt.Sprint(ports[0])).Replace(config)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	g, err := rig.Start(bin, file, dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Stop(); err != nil {
			t.Error(err)
		}
	})
	if err := g.Ready(t.Context(), fmt.Sprintf("127.0.0.1:%d", ports[0])); err != nil {
		t.Fatal(err)
	}
	a := &api{T: t, base: fmt.Sprintf("http://127.0.0.1:%d/webhooks/api", ports[0])}
	a.load()
	return a
}

// build makes the gateway in the folder of its own module; GATEWAY_BINARY names a ready one.
func build(t *testing.T) string {
	t.Helper()
	if ready := os.Getenv("GATEWAY_BINARY"); ready != "" {
		return ready
	}
	bin := filepath.Join(t.TempDir(), "gateway")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "./caddymodule/caddy")
	cmd.Dir = filepath.Join("..", "..")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building the gateway: %v\n%s", err, out)
	}
	return bin
}

// load reads the document, which must be valid. Its objects are closed for the tests: a member that is answered and not
// described is a mistake.
func (a *api) load() {
	a.Helper()
	status, _, text := a.send(http.MethodGet, "/openapi.json", nil, nil)
	if status != http.StatusOK {
		a.Fatalf("the document: %d %s", status, text)
	}
	var err error
	if a.doc, err = openapi3.NewLoader().LoadFromData(text); err != nil {
		a.Fatal(err)
	}
	if err := a.doc.Validate(a.Context()); err != nil {
		a.Fatalf("the document is not valid: %v", err)
	}
	closed := false
	for _, s := range a.doc.Components.Schemas {
		if s.Value.Type.Is("object") {
			s.Value.AdditionalProperties = openapi3.BoolSchema{Has: &closed}
		}
	}
	a.doc.Servers = nil
	if a.router, err = legacy.NewRouter(a.doc); err != nil {
		a.Fatal(err)
	}
}

// send makes one request; header is a list of names and values.
func (a *api) send(method, path string, body []byte, header map[string]string) (int, http.Header, []byte) {
	a.Helper()
	ctx, cancel := context.WithTimeout(a.Context(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, a.base+path, bytes.NewReader(body))
	if err != nil {
		a.Fatalf("%s %s: %v", method, path, err)
	}
	for name, value := range header {
		req.Header.Set(name, value)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		a.Fatalf("%s %s: %v", method, path, err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		a.Fatalf("%s %s: %v", method, path, err)
	}
	return res.StatusCode, res.Header, answer
}

// check holds an answer to the document; false: the path is none of it.
func (a *api) check(method, path string, status int, header http.Header, body []byte) error {
	req, err := http.NewRequestWithContext(a.Context(), method, path, http.NoBody)
	if err != nil {
		return nil //nolint:nilerr // no path at all
	}
	rt, params, err := a.router.FindRoute(req)
	if err != nil {
		return nil //nolint:nilerr // what has no route answers 404 or 405
	}
	return openapi3filter.ValidateResponse(a.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: req, PathParams: params, Route: rt},
		Status:                 status, Header: header, Body: io.NopCloser(bytes.NewReader(body)),
		Options: &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true},
	})
}

func TestWhatTheAPIsOwnTestsWereAnsweredIsAsTheDocumentSays(t *testing.T) {
	a := start(t)
	record := filepath.Join(t.TempDir(), "answers")
	cmd := exec.CommandContext(t.Context(), "go", "test", "-count=1", "./delivery/httpapi")
	cmd.Dir = filepath.Join("..", "..")
	cmd.Env = append(os.Environ(), "WEBHOOKS_HTTPAPI_RECORD="+record)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	f, err := os.Open(record)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines, n := bufio.NewScanner(f), 0
	lines.Buffer(nil, 16<<20)
	for ; lines.Scan(); n++ {
		var r struct {
			Method, URL, Body string
			Status            int
			Header            http.Header
		}
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		if err := a.check(r.Method, r.URL, r.Status, r.Header, []byte(r.Body)); err != nil {
			t.Errorf("%s %s: %d %s\n%v", r.Method, r.URL, r.Status, r.Body, err)
		}
	}
	if n < 100 {
		t.Errorf("only %d answers were recorded", n)
	}
	t.Logf("%d answers", n)
}

func TestAClientMadeFromTheDocumentCallsEveryOperation(t *testing.T) {
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("SKIP: the client that is made from the document needs Node 20 or newer, and there is no node here")
	}
	if _, err := os.Stat("node_modules/openapi-client-axios"); err != nil {
		t.Skip("SKIP: the client that is made from the document is not installed: run npm ci in examples/openapi")
	}
	a := start(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "node", "every-operation.mjs", a.base, strings.TrimSuffix(a.base, "/webhooks/api")+"/events").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

func TestRequestsMadeFromTheDocumentAreAnsweredAsItSays(t *testing.T) {
	a := start(t)
	m := &maker{rng: rand.New(rand.NewPCG(1, 2)), names: a.things()} //nolint:gosec // the same requests in every run
	statuses := map[int]int{}
	for _, path := range slices.Sorted(maps.Keys(a.doc.Paths.Map())) {
		for method, op := range a.doc.Paths.Map()[path].Operations() {
			if strings.HasSuffix(path, "/stream") {
				continue // it does not end
			}
			rounds := 60
			if strings.HasSuffix(path, "/test") || strings.HasSuffix(path, "/check") {
				rounds = 4 // they wait for the endpoint
			}
			for range rounds {
				at, body, header := m.request(path, op)
				status, answered, answer := a.send(method, at, body, header)
				statuses[status]++
				if status >= http.StatusInternalServerError {
					t.Errorf("%s %s %s: %d %s", method, at, body, status, answer)
				}
				if err := a.check(method, at, status, answered, answer); err != nil {
					t.Errorf("%s %s %s: %d %s\n%v", method, at, body, status, answer, err)
				}
			}
		}
	}
	t.Logf("answered by status: %v", statuses)
	if statuses[http.StatusOK] < 100 || statuses[http.StatusCreated] == 0 {
		t.Error("hardly anything was taken")
	}
}

// things makes one of each kind, for requests to name.
func (a *api) things() []string {
	a.Helper()
	names := []string{"config", "acme"}
	id := func(method, path, body string) {
		status, _, answer := a.send(method, path, []byte(body), map[string]string{"Content-Type": "application/json"})
		var thing struct {
			ID         string `json:"id"`
			Deliveries []struct {
				ID string `json:"id"`
			} `json:"deliveries"`
		}
		if err := json.Unmarshal(answer, &thing); err != nil || status > 299 {
			a.Fatalf("%s: %d %s", path, status, answer)
		}
		names = append(names, thing.ID)
		for _, d := range thing.Deliveries {
			names = append(names, d.ID)
		}
	}
	id(http.MethodPost, "/endpoints", `{"url":"https://127.0.0.1:9/","events":["*"],"timeout":"1s"}`)
	id(http.MethodPost, "/tenants/acme/tokens", `{}`)
	id(http.MethodPost, "/replays", `{"dry_run":true}`)
	base := a.base
	a.base = strings.TrimSuffix(base, "/webhooks/api")
	id(http.MethodPost, "/events", `{"event":"label.created","data":{}}`)
	a.base = base
	return names
}

// maker makes requests of schemas: mostly what they ask for, and now and then something else.
type maker struct {
	rng   *rand.Rand
	names []string
}

var nasty = []string{"", "…", "\x00", "../..", "%", "é", "💥", "' OR 1=1", "{env.HOME}", "-1", "null", strings.Repeat("x", 600), "2024-01-15T10:30:00Z", "10m", "a/b"}

func (m *maker) request(path string, op *openapi3.Operation) (string, []byte, map[string]string) {
	query, header := url.Values{}, map[string]string{}
	for _, p := range op.Parameters {
		value := fmt.Sprint(m.value(p.Value.Schema.Value, 0))
		if m.rng.IntN(4) == 0 {
			value = m.word()
		}
		switch p.Value.In {
		case "path":
			if value == "" || m.rng.IntN(4) > 0 { // without a name it is another path
				value = m.names[m.rng.IntN(len(m.names))]
			}
			path = strings.Replace(path, "{"+p.Value.Name+"}", url.PathEscape(value), 1)
		case "query":
			if m.rng.IntN(3) == 0 {
				query.Set(p.Value.Name, value)
			}
		case "header":
			if m.rng.IntN(4) > 0 {
				header[p.Value.Name] = []string{"*", `"v1"`, "x"}[m.rng.IntN(3)]
			}
		}
	}
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	if op.RequestBody == nil || m.rng.IntN(10) == 0 {
		return path, nil, header
	}
	header["Content-Type"] = "application/json"
	body, err := json.Marshal(m.value(op.RequestBody.Value.Content["application/json"].Schema.Value, 0))
	if err != nil || m.rng.IntN(20) == 0 {
		body = []byte(`{"broken`)
	}
	return path, body, header
}

func (m *maker) word() string { return nasty[m.rng.IntN(len(nasty))] }

// value makes a value of a schema.
func (m *maker) value(s *openapi3.Schema, depth int) any {
	if s == nil || depth > 4 || m.rng.IntN(25) == 0 {
		return []any{nil, true, -1, 1e300, m.word(), []any{}, map[string]any{"x": m.word()}}[m.rng.IntN(7)]
	}
	switch {
	case len(s.Enum) > 0:
		return s.Enum[m.rng.IntN(len(s.Enum))]
	case len(s.AnyOf) > 0:
		return m.value(s.AnyOf[m.rng.IntN(len(s.AnyOf))].Value, depth+1)
	case s.Type.Is("null"):
		return nil
	case s.Type.Is("boolean"):
		return m.rng.IntN(2) == 0
	case s.Type.Is("integer"), s.Type.Is("number"):
		return m.rng.IntN(200) - 5
	case s.Type.Is("array"):
		list := make([]any, m.rng.IntN(3))
		for i := range list {
			list[i] = m.value(s.Items.Value, depth+1)
		}
		return list
	case s.Type.Is("object"):
		return m.object(s, depth)
	case s.Format == "uri":
		return []string{"https://127.0.0.1:9/hook", "https://127.0.0.1:9/?key=secret", "http://10.0.0.1/", m.word()}[m.rng.IntN(4)]
	case s.Format == "date-time":
		return time.Unix(1_700_000_000+int64(m.rng.IntN(300_000_000)), 0).UTC().Format(time.RFC3339)
	}
	return []string{"30s", "*", "label.*", "data.a == 1", "standard", "acme", m.names[m.rng.IntN(len(m.names))], m.word()}[m.rng.IntN(8)]
}

func (m *maker) object(s *openapi3.Schema, depth int) any {
	out := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		if slices.Contains(s.Required, name) || m.rng.IntN(6) == 0 {
			out[name] = m.value(s.Properties[name].Value, depth+1)
		}
	}
	if more := s.AdditionalProperties.Schema; more != nil {
		out["X-Made"] = m.value(more.Value, depth+1)
	}
	return out
}
