package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
)

// testStorage is Caddy's storage in memory.
type testStorage struct {
	mu     sync.Mutex
	values map[string][]byte
	broken bool
}

func (s *testStorage) Load(_ context.Context, key string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken {
		return nil, errors.New("the storage is away")
	}
	if v, ok := s.values[key]; ok {
		return v, nil
	}
	return nil, fs.ErrNotExist
}

func (s *testStorage) Store(_ context.Context, key string, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken {
		return errors.New("the storage is away")
	}
	if s.values == nil {
		s.values = make(map[string][]byte)
	}
	s.values[key] = value
	return nil
}

// listOf is the handler of a config whose app is not started.
func listOf(t *testing.T, storage listStorage, loaded time.Time, profiles ...Egress) *EgressList {
	t.Helper()
	a := &App{Egress: profiles}
	if _, _, err := planOf(t, a); err != nil {
		t.Fatal(err)
	}
	return &EgressList{list: a.egressList(zap.NewNop()), storage: storage, loaded: loaded, log: zap.NewNop()}
}

// ask sends a request; header is a name and a value, or nothing.
func ask(t *testing.T, l *EgressList, method, path string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, nil)
	if len(header) > 0 {
		r.Header.Set(header[0], header[1])
	}
	w := httptest.NewRecorder()
	if err := l.ServeHTTP(w, r, nil); err != nil {
		e, ok := errors.AsType[caddyhttp.HandlerError](err)
		if !ok {
			t.Fatal(err)
		}
		w.Code = e.StatusCode
	}
	return w.Result()
}

func text(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var someProfiles = []Egress{
	{Address: []string{"203.0.113.10", "2001:db8::10"}, Upcoming: []EgressUpcoming{{"203.0.113.12", "2126-12-24"}}},
	// Behind proxies the machine's own addresses are of no interest to customers.
	{Name: "eu", Address: []string{"203.0.113.99"}, Proxy: []EgressProxy{
		{URL: "https://egress-1:3128", Address: []string{"203.0.113.20"}}, {URL: "https://egress-2:3128"},
	}},
	{Name: "lab"},
}

func TestEgressListIsMadeOfTheProfiles(t *testing.T) {
	t.Parallel()
	loaded := time.Date(2026, 11, 23, 8, 0, 0, 999, time.UTC)
	l := listOf(t, new(testStorage), loaded, someProfiles...)
	const want = `{"syncToken":"1795420800","createDate":"2026-11-23-08-00-00","prefixes":[` +
		`{"ip_prefix":"203.0.113.10/32","profile":"default","status":"active"},` +
		`{"ip_prefix":"203.0.113.12/32","profile":"default","status":"upcoming","not_before":"2126-12-24"},` +
		`{"ip_prefix":"203.0.113.20/32","profile":"eu","status":"active"}],` +
		`"ipv6_prefixes":[{"ipv6_prefix":"2001:db8::10/128","profile":"default","status":"active"}]}` + "\n"
	r := ask(t, l, http.MethodGet, "/.well-known/webhook-egress.json")
	if got := text(t, r); r.StatusCode != 200 || got != want {
		t.Errorf("%d\n%s\nwant\n%s", r.StatusCode, got, want)
	}
	if h := r.Header; h.Get("Content-Type") != "application/json" || h.Get("Cache-Control") == "" || h.Get("Vary") != "" ||
		h.Get("Last-Modified") != "Mon, 23 Nov 2026 08:00:00 GMT" {
		t.Errorf("header %v", h)
	}
}

func TestEgressListForms(t *testing.T) {
	t.Parallel()
	l := listOf(t, new(testStorage), time.Now(), someProfiles...)
	const lines = "203.0.113.10/32\n203.0.113.12/32\n203.0.113.20/32\n2001:db8::10/128\n"
	for _, c := range []struct {
		path, accept string
		text         bool
	}{
		{"/ips.txt", "", true},
		{"/ips.txt", "application/json", true}, // the extension decides
		{"/ips.json", "text/plain", false},
		{"/ips", "", false},
		{"/ips", "*/*", false},
		{"/ips", "text/plain", true},
		{"/ips", "text/*", true},
		{"/ips", "text/html, application/json;q=0.9, */*;q=0.8", false},
		{"/ips", "application/json;q=0.5, text/plain;q=0.6", true},
		{"/ips", "text/plain;q=0", false},
		{"/ips", "nonsense", false},
	} {
		r := ask(t, l, http.MethodGet, c.path, "Accept", c.accept)
		body := text(t, r)
		if c.text != (body == lines) || c.text != strings.HasPrefix(r.Header.Get("Content-Type"), "text/plain") {
			t.Errorf("%s, %q: %s %q", c.path, c.accept, r.Header.Get("Content-Type"), body)
		}
		if negotiated := r.Header.Get("Vary") == "Accept"; negotiated != (c.path == "/ips") {
			t.Errorf("%s: Vary %q", c.path, r.Header.Get("Vary"))
		}
	}
}

func TestEgressListIsReadOnlyAndCached(t *testing.T) {
	t.Parallel()
	l := listOf(t, new(testStorage), time.Now(), someProfiles...)
	tag := ask(t, l, http.MethodGet, "/ips.json").Header.Get("Etag")
	if r := ask(t, l, http.MethodGet, "/ips.json", "If-None-Match", tag); r.StatusCode != http.StatusNotModified || text(t, r) != "" {
		t.Errorf("the same list again is answered %d", r.StatusCode)
	}
	if r := ask(t, l, http.MethodGet, "/ips.txt", "If-None-Match", tag); r.StatusCode != http.StatusOK {
		t.Errorf("the other form is answered %d", r.StatusCode)
	}
	if r := ask(t, l, http.MethodHead, "/ips.json"); r.StatusCode != 200 || text(t, r) != "" || r.Header.Get("Etag") != tag {
		t.Errorf("HEAD is answered %d %v", r.StatusCode, r.Header)
	}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions} {
		if r := ask(t, l, method, "/ips.json"); r.StatusCode != http.StatusMethodNotAllowed || r.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s is answered %d", method, r.StatusCode)
		}
	}
}

// Restarts and other machines with the same storage say the same of the same list, and a changed list says so.
func TestEgressListRemembersWhenItChanged(t *testing.T) {
	t.Parallel()
	storage := new(testStorage)
	first := time.Now().Add(-time.Hour)
	created := func(loaded time.Time, profiles ...Egress) string {
		t.Helper()
		var got struct{ SyncToken, CreateDate string }
		body := text(t, ask(t, listOf(t, storage, loaded, profiles...), http.MethodGet, "/ips.json"))
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatal(err)
		}
		return got.CreateDate
	}
	const layout = "2006-01-02-15-04-05"
	if got := created(first, someProfiles...); got != first.UTC().Format(layout) {
		t.Errorf("created %s", got)
	}
	if got := created(first.Add(time.Minute), someProfiles...); got != first.UTC().Format(layout) {
		t.Errorf("created %s after a restart", got)
	}
	changed := first.Add(2 * time.Minute)
	if got := created(changed, someProfiles[1:]...); got != changed.UTC().Format(layout) {
		t.Errorf("created %s after a change", got)
	}
	storage.broken = true
	later := first.Add(3 * time.Minute)
	if got := created(later, someProfiles...); got != later.UTC().Format(layout) {
		t.Errorf("created %s without storage", got)
	}
}

func TestEgressListWarnsOfWhatItCannotTell(t *testing.T) {
	t.Setenv("TEST_WEBHOOKS_SECRET", testSecret)
	for what, c := range map[string]struct {
		egress string
		want   int
	}{
		"a profile without addresses":       {"lab", 1},
		"a proxy without an address":        {"eu", 1},
		"a profile whose addresses we know": {"default", 0},
	} {
		a := &App{Egress: someProfiles, Endpoint: []Endpoint{endpoint("a", func(e *Endpoint) { e.Egress = c.egress })}}
		_, logs, err := planOf(t, a)
		if err != nil {
			t.Fatal(err)
		}
		a.egressList(a.logger)
		if got := logs.FilterMessageSnippet("not complete").Len(); got != c.want {
			t.Errorf("%s: %d warnings, want %d", what, got, c.want)
		}
	}
}

// The handler in a running Caddy; matched paths only, before the final respond.
func TestEgressListInCaddy(t *testing.T) {
	g := newGateway(t)
	site := "webhooks_egress_list /.well-known/webhook-egress.*"
	g.mustLoad(g.caddyfile(everything+`
		egress listed {
			address 203.0.113.10
		}`, site))
	get := func(path string) (int, string, string) {
		t.Helper()
		r, err := g.client.Get("http://" + g.address + path)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		var got struct{ CreateDate string }
		_ = json.NewDecoder(r.Body).Decode(&got) // empty where it is no JSON
		return r.StatusCode, got.CreateDate, r.Header.Get("Etag")
	}
	status, created, tag := get("/.well-known/webhook-egress.json")
	if status != 200 || created == "" || tag == "" {
		t.Fatalf("answered %d, created %q", status, created)
	}
	if status, _, _ := get("/elsewhere.json"); status != 404 {
		t.Errorf("another path is answered %d", status)
	}
	g.mustLoad(g.caddyfile(everything+`
		user_agent Second
		egress listed {
			address 203.0.113.10
		}`, site))
	if _, again, _ := get("/.well-known/webhook-egress.json"); again != created {
		t.Errorf("a reload made it %s, created %s before", again, created)
	}
	g.mustLoad(g.caddyfile(everything+`
		egress listed {
			address 203.0.113.11
		}`, site))
	if _, _, changed := get("/.well-known/webhook-egress.json"); changed == tag {
		t.Error("another address has the same tag")
	}
	err := g.load(":0 {\n\twebhooks_egress_list\n}\n", false)
	if err == nil || !strings.Contains(err.Error(), "webhooks_egress_list needs the global option webhooks") {
		t.Errorf("without the app: %v", err)
	}
}
