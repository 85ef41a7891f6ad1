package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/egress"
	"github.com/atoship/caddy-webhooks/delivery/httpapi/client"
	"github.com/atoship/caddy-webhooks/delivery/payload"
	"github.com/atoship/caddy-webhooks/delivery/sign"
	"github.com/atoship/caddy-webhooks/delivery/store/memory"
	"github.com/atoship/caddy-webhooks/rules"
)

// Tokens of the bed's callers.
const (
	tokenAdmin  = "the-token-of-the-operator"
	tokenViewer = "the-token-of-a-viewer"
	tokenAcme   = "the-token-of-acme"
	tokenOther  = "the-token-of-another-tenant"
)

// bed is the API over a real engine, whose endpoints answer what the test says.
type bed struct {
	*testing.T

	engine *delivery.Engine
	server *httptest.Server
	log    *lockedBuffer

	mu      sync.Mutex
	status  int // answered by endpoints; 200 unless set
	answers []string
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newBed(t *testing.T) *bed {
	t.Helper()
	b := &bed{T: t, log: new(lockedBuffer), status: http.StatusOK}
	log := slog.New(slog.NewTextHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var err error
	if b.engine, err = delivery.Open(t.Context(), delivery.Config{Store: memory.New(), Logger: log}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.engine.Shutdown(context.Background()) })
	if err := b.engine.Apply(b.plan()); err != nil {
		t.Fatal(err)
	}
	guard := TokenGuard(b.engine.Documents)
	guard.Add(tokenAdmin, Full("admin"))
	guard.Add(tokenViewer, Access{Name: "viewer"})
	guard.Add(tokenAcme, Access{Name: "acme", Tenant: "acme", Role: Operator})
	guard.Add(tokenOther, Access{Name: "other", Tenant: "other", Role: Operator})
	api := NewAPI(func() Gateway { return b.engine }, log)
	b.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		access, p := guard.Access(w, r)
		if p != nil {
			p.Write(w)
			return
		}
		rec := httptest.NewRecorder()
		if r.URL.Path == "/stream" { // it has no end to wait for
			b.mu.Lock()
			b.answers = append(b.answers, r.Method+" "+r.URL.Path+"\n")
			b.mu.Unlock()
			api.ServeAs(w, r, access)
			return
		}
		api.ServeAs(rec, r, access)
		recorded(b.T, r, rec)
		b.mu.Lock()
		b.answers = append(b.answers, r.Method+" "+r.URL.Path+"\n"+rec.Body.String())
		b.mu.Unlock()
		maps.Copy(w.Header(), rec.Header())
		w.WriteHeader(rec.Code)
		_, _ = io.Copy(w, rec.Body)
	}))
	t.Cleanup(b.server.Close)
	return b
}

// plan has one endpoint of the configuration, config, which takes everything of tenant other.
func (b *bed) plan() *delivery.Plan {
	b.Helper()
	c := rules.Config{
		Endpoints:     []string{"config"},
		Subscriptions: []rules.Subscription{{Endpoint: "config", Types: []string{"*"}, Tenant: "other"}},
	}
	set, err := rules.Compile(c)
	if err != nil {
		b.Fatal(err)
	}
	keys, err := delivery.NewKeys("a secret key of at least thirty-two bytes")
	if err != nil {
		b.Fatal(err)
	}
	catalog, err := payload.LoadCatalog([]byte(`{"events":[{"type":"label.created","group":"Shipping","trigger":"Label generated","example":{"label_id":"lbl_1"}}]}`), "catalog.json")
	if err != nil {
		b.Fatal(err)
	}
	m := &bedMaker{b}
	config, err := m.Make("config", []byte(`{"url":"https://config.example/","tenant":"other"}`), []sign.Secret{{Value: sign.Generate()}})
	if err != nil {
		b.Fatal(err)
	}
	config.Endpoint.Pos = "Caddyfile:10"
	return &delivery.Plan{
		Router: delivery.RuleRouter{Set: set}, Endpoints: map[string]*delivery.Endpoint{"config": config.Endpoint},
		Dedupe: time.Hour, Expire: delivery.DefaultExpire, Retention: delivery.DefaultRetention, Drain: time.Second, MaxInFlight: 16,
		Intake: delivery.Intake{MaxBody: 8 << 10, Catalog: catalog}, Maker: m, Keys: keys, Egress: egress.NewList(), PlannedAt: time.Now(),
	}
}

// bedMaker makes endpoints whose attempts the bed answers.
type bedMaker struct{ b *bed }

func (*bedMaker) Same(delivery.EndpointMaker) bool { return false }

func (*bedMaker) Forms([]byte) ([]sign.Form, error) { return []sign.Form{sign.SharedSecret}, nil }

func (m *bedMaker) Make(name string, text []byte, secrets []sign.Secret) (*delivery.MadeEndpoint, error) {
	var s struct {
		URL    string              `json:"url"`
		Tenant string              `json:"tenant"`
		Events []string            `json:"events"`
		Header map[string][]string `json:"header"`
		Egress string              `json:"egress"`
		Backup []string            `json:"backup"`
		When   string              `json:"when"`
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return nil, &delivery.SettingError{Err: err}
	}
	u, err := url.Parse(s.URL)
	if err != nil || u.Scheme != "https" {
		return nil, &delivery.SettingError{Pointer: "/url", Err: errors.New("must be https")}
	}
	scheme, _ := sign.Lookup("standard")
	signer, err := scheme.NewSigner(secrets, sign.Options{})
	if err != nil {
		return nil, &delivery.SettingError{Pointer: "/secret", Err: err}
	}
	made := &delivery.MadeEndpoint{Endpoint: &delivery.Endpoint{
		Name: name, URL: u, Tenant: s.Tenant, Signer: signer, Timeout: time.Second, Concurrency: 2, Backups: s.Backup,
		Header: s.Header, Transport: m,
	}}
	if s.Events != nil {
		made.Subscription = &rules.Subscription{Endpoint: name, Types: s.Events, Tenant: s.Tenant, When: rules.Expr{Text: s.When}}
	}
	return made, nil
}

func (m *bedMaker) RoundTrip(*http.Request) (*http.Response, error) {
	m.b.mu.Lock()
	defer m.b.mu.Unlock()
	return &http.Response{StatusCode: m.b.status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("thanks")), ContentLength: 6}, nil
}

// as is a client with a caller's token.
func (b *bed) as(token string) *client.Client {
	b.Helper()
	c, err := client.New(b.server.URL, client.Options{Token: token})
	if err != nil {
		b.Fatal(err)
	}
	return c
}

// settings of an endpoint with credentials in it.
func settingsOf(tenant string) map[string]any {
	s := map[string]any{
		"url": "https://in.example/hook?key=planted-query", "events": []string{"*"}, "header": map[string]any{"X-Key": []string{"planted-header"}},
	}
	if tenant != "" {
		s["tenant"] = tenant
	}
	return s
}

func (b *bed) create(token, tenant string) client.NewEndpoint {
	b.Helper()
	e, err := b.as(token).CreateEndpoint(b.Context(), settingsOf(tenant))
	if err != nil {
		b.Fatal(err)
	}
	return e
}

// publish accepts an event of a tenant.
func (b *bed) publish(id, tenant string) delivery.Receipt {
	b.Helper()
	const body = `{"event":"label.created","timestamp":"2024-01-15T10:30:00Z","data":{"of":"TENANT"}}`
	text := strings.Replace(body, "TENANT", tenant, 1)
	ev := &delivery.Event{
		ID: id, GivenID: true, Type: "label.created", Environment: "production", Tenant: tenant, Timestamp: "2024-01-15T10:30:00Z",
		Accepted: time.Now().UTC().Truncate(time.Millisecond), ContentType: "application/json",
		Body: []byte(text), DataStart: uint32(strings.Index(text, `{"of"`)), DataEnd: uint32(len(text) - 1),
	}
	receipts, err := b.engine.Accept(b.Context(), []*delivery.Event{ev})
	if err != nil {
		b.Fatal(err)
	}
	return receipts[0]
}

// settled waits until a delivery has ended.
func (b *bed) settled(id string) {
	b.Helper()
	for range 500 {
		r, err := b.engine.Journal().Delivery(b.Context(), id)
		if err != nil {
			b.Fatal(err)
		}
		if r.Delivery.State.Final() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	b.Fatal("the delivery does not end")
}

// status of an error that the client gave; 0 for none.
func status(err error) int {
	if p, ok := errors.AsType[*client.Problem](err); ok {
		return p.Status
	}
	if err != nil {
		return -1
	}
	return 0
}

func TestAnEndpointIsMadeChangedAndDeletedByClient(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	ctx, c := t.Context(), b.as(tokenAdmin)
	e := b.create(tokenAdmin, "")
	if !strings.HasPrefix(e.ID, "ep_") || e.Source != "api" || e.State != "active" || len(e.Secrets) != 1 || !strings.HasPrefix(e.Secrets[0].Value, "whsec_") || e.ETag != `"v1"` {
		t.Fatalf("made %+v", e)
	}
	r := b.publish("evt_1", "")
	b.settled(r.Deliveries[0].ID)

	if _, err := c.PatchEndpoint(ctx, e.ID, "", map[string]any{"when": `data.of == "x"`}); status(err) != 428 {
		t.Errorf("a change of no version: %v", err)
	}
	changed, err := c.PatchEndpoint(ctx, e.ID, e.ETag, map[string]any{"when": `data.of == "x"`, "header": map[string]any{"X-Key": nil, "X-New": []string{"v"}}})
	if err != nil || changed.ETag != `"v2"` || changed.Version != 2 {
		t.Fatalf("changed to %+v, %v", changed, err)
	}
	want := `{"events":["*"],"header":{"X-New":["…"]},"url":"https://in.example/hook?key=…","when":"data.of == \"x\""}`
	if string(changed.Settings) != want {
		t.Errorf("settings\n%s\nwant\n%s", changed.Settings, want)
	}
	for what, stale := range map[string]func() error{
		"a stale change":            func() error { _, err := c.PatchEndpoint(ctx, e.ID, e.ETag, map[string]any{}); return err },
		"a stale delete":            func() error { _, err := c.DeleteEndpoint(ctx, e.ID, e.ETag, 0); return err },
		"a stale rotation":          func() error { _, err := c.RotateSecret(ctx, e.ID, e.ETag, client.Rotation{}); return err },
		"an ETag of something else": func() error { _, err := c.DeleteEndpoint(ctx, e.ID, `"abc"`, 0); return err },
	} {
		if err := stale(); status(err) != 412 {
			t.Errorf("%s: %v", what, err)
		}
	}
	rotated, err := c.RotateSecret(ctx, e.ID, changed.ETag, client.Rotation{Overlap: "1h"})
	if err != nil || rotated.Secret.Value == e.Secrets[0].Value || time.Until(rotated.OldUntil) > time.Hour {
		t.Fatalf("rotated %v, %v", rotated.OldUntil, err)
	}
	secrets, err := c.RevealSecret(ctx, e.ID)
	if err != nil || len(secrets) != 2 || secrets[0].Value != rotated.Secret.Value || secrets[1].Value != e.Secrets[0].Value || !secrets[1].Until.Equal(rotated.OldUntil) {
		t.Errorf("%d secrets, %v", len(secrets), err)
	}
	if log := b.log.String(); !strings.Contains(log, `did="revealed signing secrets"`) || !strings.Contains(log, "who=admin") || strings.Contains(log, rotated.Secret.Value) {
		t.Errorf("the log says\n%s", log)
	}
	if _, err := c.PauseEndpoint(ctx, e.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := c.PatchEndpoint(ctx, e.ID, "*", map[string]any{"when": nil}); err != nil {
		t.Fatal(err)
	}
	b.publish("evt_2", "")
	var p *client.Problem
	if _, err := c.DeleteEndpoint(ctx, e.ID, "*", 0); !errors.As(err, &p) || p.Status != 409 || p.Pending == nil || *p.Pending != 1 {
		t.Fatalf("deleting with one pending: %v", err)
	}
	if n, err := c.DeleteEndpoint(ctx, e.ID, "*", 1); n != 1 || err != nil {
		t.Errorf("deleting: %d cancelled, %v", n, err)
	}
	if _, err := c.Endpoint(ctx, e.ID); status(err) != 404 {
		t.Errorf("after that: %v", err)
	}
}

func TestEveryRowOfTheAPIAnswersTheClient(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	ctx, c := t.Context(), b.as(tokenAdmin)
	e := b.create(tokenAdmin, "acme")
	r := b.publish("evt_1", "acme")
	b.settled(r.Deliveries[0].ID)
	acme := "acme"
	for row, ask := range map[string]func() (any, error){
		"endpoints": func() (any, error) {
			var ids []string
			for e, err := range client.All(func(cursor string) (client.List[client.Endpoint], error) {
				return c.Endpoints(ctx, client.Page{Limit: 1, Cursor: cursor})
			}) {
				if err != nil {
					return nil, err
				}
				ids = append(ids, e.ID)
			}
			if !slices.Equal(ids, []string{"config", e.ID}) {
				return nil, fmt.Errorf("endpoints %v", ids)
			}
			return ids, nil
		},
		"endpoint": func() (any, error) { return c.Endpoint(ctx, "config") },
		"pause":    func() (any, error) { return c.PauseEndpoint(ctx, "config") },
		"resume":   func() (any, error) { return c.ResumeEndpoint(ctx, "config") },
		"test":     func() (any, error) { return c.TestEndpoint(ctx, e.ID, client.TestEvent{}) },
		"events": func() (any, error) {
			return c.Events(ctx, client.EventFilter{Tenant: &acme, Type: "label.created", Since: time.Now().Add(-time.Hour)}, client.Page{})
		},
		"event": func() (any, error) { return c.Event(ctx, "evt_1", &acme) },
		"deliveries": func() (any, error) {
			return c.Deliveries(ctx, client.DeliveryFilter{State: "delivered", Endpoint: e.ID, Event: "evt_1"}, client.Page{Limit: 5})
		},
		"delivery": func() (any, error) { return c.Delivery(ctx, r.Deliveries[0].ID) },
		"attempts": func() (any, error) {
			return c.Attempts(ctx, client.AttemptFilter{Endpoint: e.ID, Status: "2xx", Outcome: "delivered"}, client.Page{})
		},
		"activity": func() (any, error) {
			a, err := c.Activity(ctx, e.ID)
			if err == nil && (a.Deliveries["delivered"] < 1 || len(a.Steps) != delivery.ActivitySteps || a.Steps[len(a.Steps)-1].Succeeded+a.Steps[len(a.Steps)-2].Succeeded != 1) {
				err = errors.New("that is not what was done")
			}
			return a, err
		},
		"failing endpoints": func() (any, error) {
			list, err := c.FailingEndpoints(ctx, client.Page{})
			if err == nil && len(list.Items) != 0 {
				err = errors.New("nothing fails")
			}
			return list, err
		},
		"stats":   func() (any, error) { return c.Stats(ctx) },
		"catalog": func() (any, error) { return c.Catalog(ctx) },
		"egress":  func() (any, error) { return c.Egress(ctx) },
		"health":  func() (any, error) { return c.Health(ctx) },
		"tokens": func() (any, error) {
			made, err := c.CreateToken(ctx, "a/b c", client.NewToken{Role: "operator", Description: "CI"})
			if err != nil {
				return nil, err
			}
			list, err := c.Tokens(ctx, "a/b c", client.Page{})
			if err != nil || len(list.Items) != 1 || list.Items[0].ID != made.ID || list.Items[0].Token != "" {
				return nil, fmt.Errorf("listed %+v, %w", list, err)
			}
			return list, c.DeleteToken(ctx, "a/b c", made.ID)
		},
	} {
		if v, err := ask(); err != nil {
			t.Errorf("%s: %v (%+v)", row, err, v)
		}
	}
	if page, err := c.Attempts(ctx, client.AttemptFilter{Endpoint: e.ID}, client.Page{}); err != nil || len(page.Items) == 0 || page.Items[0].Attempt.Response.Excerpt != "thanks" {
		t.Errorf("attempts %+v, %v", page, err)
	}
}

// TestATenantSeesAndChangesNothingOfAnother asks every route of the table for what belongs to another tenant.
func TestATenantSeesAndChangesNothingOfAnother(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	foreign := b.create(tokenOther, "")
	if s, _ := b.engine.Endpoint(foreign.ID); s.Managed.Tenant != "other" {
		t.Fatalf("made by a tenant, it belongs to %q", s.Managed.Tenant)
	}
	own := b.create(tokenAcme, "")
	r := b.publish("evt_other", "other")
	for _, d := range r.Deliveries {
		b.settled(d.ID)
	}
	foreignToken, err := b.as(tokenAdmin).CreateToken(t.Context(), "other", client.NewToken{})
	if err != nil {
		t.Fatal(err)
	}
	made, err := b.as(tokenAdmin).CreateToken(t.Context(), "acme", client.NewToken{Role: "operator"})
	if err != nil {
		t.Fatal(err)
	}
	other := "other"
	replay, err := b.engine.StartReplay(t.Context(), delivery.ReplayQuery{Tenant: &other, DryRun: true, State: delivery.ReplayWhat("exhausted")})
	if err != nil {
		t.Fatal(err)
	}
	before, _ := json.Marshal(b.engine.Endpoints())
	marks := []string{foreign.ID, "evt_other", `"other"`, "config", foreignToken.ID, replay.ID}
	for _, d := range r.Deliveries {
		marks = append(marks, d.ID)
	}
	names := map[string][]string{ // what stands for {id} and {tenant}
		"endpoints":  {foreign.ID, "config"},
		"events":     {"evt_other"},
		"deliveries": {r.Deliveries[0].ID, r.Deliveries[1].ID},
		"tenants":    {"other"},
		"replays":    {replay.ID},
	}
	for _, token := range []string{tokenAcme, made.Token} {
		for _, rt := range rows() {
			method, pattern, _ := strings.Cut(rt.pattern, " ")
			kind, _, _ := strings.Cut(pattern[1:], "/")
			ids := names[kind]
			if !strings.Contains(pattern, "{") {
				ids = []string{""}
			}
			if len(ids) == 0 {
				t.Errorf("%s: this test does not know what to put for its id", rt.pattern)
			}
			for _, id := range ids {
				path := strings.NewReplacer("{tenant}", id, "tokens/{id}", "tokens/"+foreignToken.ID, "{id}", id).Replace(pattern)
				queries := []string{""}
				if method == http.MethodGet {
					queries = append(queries, "?tenant=other", "?endpoint=config", "?endpoint="+foreign.ID)
				}
				for _, query := range queries {
					sent := map[string]any{}
					switch pattern {
					case "/replays":
						sent = map[string]any{"tenant": "other"}
					case "/endpoints":
						sent = map[string]any{"tenant": "other", "url": "https://x.example/"}
					}
					code, body := b.ask(token, method, path+query, sent)
					t.Run(method+" "+path+query, func(t *testing.T) { b.wantNothing(t, rt, code, body, marks) })
				}
			}
		}
	}
	after, _ := json.Marshal(b.engine.Endpoints())
	if !bytes.Equal(before, after) {
		t.Errorf("endpoints were changed\n%s\n%s", before, after)
	}
	list, err := b.as(made.Token).Endpoints(t.Context(), client.Page{})
	if err != nil || len(list.Items) != 1 || list.Items[0].ID != own.ID {
		t.Errorf("the tenant's own endpoints are %+v, %v", list.Items, err)
	}
}

// rows are all of the API's but the stream, which does not end.
func rows() []*route {
	return slices.DeleteFunc(NewAPI(nil, nil).routes(), func(rt *route) bool { return rt.pattern == "GET /stream" })
}

func TestAStreamShowsATenantItsOwnOnly(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	g := &tenantGateway{b.engine, "acme"}
	f, err := g.Follow("", func(*delivery.FeedItem) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b.publish("evt_other", "other")
	b.publish("evt_acme", "acme")
	if item := <-f.Items; item.EventID != "evt_acme" {
		t.Errorf("the first item is %+v", item)
	}
}

// ask sends one request as a caller.
func (b *bed) ask(token, method, path string, body map[string]any) (int, string) {
	b.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		b.Fatal(err)
	}
	req, err := http.NewRequestWithContext(b.Context(), method, b.server.URL+path, bytes.NewReader(text))
	if err != nil {
		b.Fatal(err)
	}
	if method == http.MethodGet {
		req.Body, req.ContentLength = http.NoBody, 0
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("If-Match", "*")
	res, err := b.server.Client().Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		b.Fatal(err)
	}
	return res.StatusCode, string(answer)
}

// wantNothing accepts a refusal, or an answer without any mark of the other tenant.
func (b *bed) wantNothing(t *testing.T, rt *route, code int, body string, marks []string) {
	t.Helper()
	for _, mark := range marks {
		if strings.Contains(body, mark) {
			t.Errorf("%d: %s is told: %s", code, mark, body)
		}
	}
	switch {
	case code >= 500:
		t.Errorf("%d %s", code, body)
	case strings.Contains(rt.pattern, "{") && code != http.StatusNotFound && code != http.StatusForbidden && code != http.StatusBadRequest:
		t.Errorf("%d %s", code, body)
	case rt.needs > Viewer && code < 400:
		t.Errorf("%d %s", code, body)
	}
}

func TestAViewerChangesNothingAndSeesNoSecret(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	e := b.create(tokenAdmin, "acme")
	for _, rt := range rows() {
		method, pattern, _ := strings.Cut(rt.pattern, " ")
		path := strings.NewReplacer("{tenant}", "acme", "{id}", e.ID).Replace(pattern)
		code, body := b.ask(tokenViewer, method, path, map[string]any{})
		if rt.needs == Operator && code != http.StatusForbidden || code >= 500 {
			t.Errorf("%s: %d %s", rt.pattern, code, body)
		}
		if strings.Contains(body, e.Secrets[0].Value) {
			t.Errorf("%s shows a secret", rt.pattern)
		}
	}
}

func TestTokensOfTenantsEnd(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	ctx, admin := t.Context(), b.as(tokenAdmin)
	short, err := admin.CreateToken(ctx, "acme", client.NewToken{Expires: time.Now().Add(300 * time.Millisecond)})
	if err != nil {
		t.Fatal(err)
	}
	long, err := admin.CreateToken(ctx, "acme", client.NewToken{})
	if err != nil || long.Role != "viewer" || time.Until(long.Expires) < 89*24*time.Hour {
		t.Fatalf("%+v, %v", long, err)
	}
	for _, token := range []string{short.Token, long.Token} {
		if _, err := b.as(token).Endpoints(ctx, client.Page{}); err != nil {
			t.Errorf("a fresh token: %v", err)
		}
	}
	for time.Now().Before(short.Expires) {
		time.Sleep(10 * time.Millisecond)
	}
	if _, err := b.as(short.Token).Endpoints(ctx, client.Page{}); status(err) != 401 {
		t.Errorf("an expired token: %v", err)
	}
	if err := admin.DeleteToken(ctx, "acme", long.ID); err != nil {
		t.Fatal(err)
	}
	for what, token := range map[string]string{
		"a deleted token": long.Token, "a changed token": short.Token[:len(short.Token)-1] + "x", "no token of ours": "whtok_x_y", "nothing": "",
	} {
		if _, err := b.as(token).Endpoints(ctx, client.Page{}); status(err) != 401 {
			t.Errorf("%s: %v", what, err)
		}
	}
	docs, err := b.engine.Documents().ListDocuments(ctx, "token", "", 10)
	if err != nil || len(docs) != 1 || bytes.Contains(docs[0].Body, []byte(short.Token[len("whtok_")+33:])) {
		t.Errorf("%d tokens are kept, %v: %s", len(docs), err, docs[0].Body)
	}
	for name, body := range map[string]string{
		"an unknown role": `{"role":"root"}`, "a time that has passed": `{"expires":"2020-01-01T00:00:00Z"}`, "a member that there is not": `{"x":1}`,
	} {
		var m map[string]any
		_ = json.Unmarshal([]byte(body), &m)
		if code, answer := b.ask(tokenAdmin, "POST", "/tenants/acme/tokens", m); code != 422 {
			t.Errorf("%s: %d %s", name, code, answer)
		}
	}
}

func TestAPlantedSecretIsShownOnlyWhereItIsAskedFor(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	ctx, c := t.Context(), b.as(tokenAdmin)
	planted := "whsec_" + "cGxhbnRlZC1zZWNyZXQtcGxhbnRlZC1zZWNyZXQ="
	settings := settingsOf("acme")
	settings["secret"] = []map[string]any{{"value": planted}}
	e, err := c.CreateEndpoint(ctx, settings)
	if err != nil {
		t.Fatal(err)
	}
	b.mu.Lock()
	b.status, b.answers = http.StatusInternalServerError, nil
	b.mu.Unlock()
	r := b.publish("evt_1", "acme")
	b.settled(r.Deliveries[0].ID)
	for _, rt := range rows() {
		method, pattern, _ := strings.Cut(rt.pattern, " ")
		if strings.HasSuffix(pattern, "reveal-secret") || method == http.MethodDelete {
			continue
		}
		path := strings.NewReplacer("{tenant}", "acme", "{id}", e.ID).Replace(pattern)
		b.ask(tokenAdmin, method, path, map[string]any{})
	}
	_, _ = c.PatchEndpoint(ctx, e.ID, "*", map[string]any{"url": "ftp://planted-query.example/?key=planted-query", "secret": planted})
	b.mu.Lock()
	defer b.mu.Unlock()
	all := strings.Join(b.answers, "\n") + b.log.String()
	for _, secret := range []string{planted, "planted-header", "planted-query\"", "key=planted-query"} {
		if i := strings.Index(all, secret); i >= 0 {
			t.Errorf("%s is told: …%s", secret, all[max(0, i-300):i+20])
		}
	}
}

func TestWhatCannotBeAnEndpointIsRefused(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	e := b.create(tokenAdmin, "")
	for name, c := range map[string]struct {
		token, method, path, body, pointer string
		code                               int
	}{
		"no JSON":                      {tokenAdmin, "POST", "/endpoints", `{`, "", 400},
		"a list":                       {tokenAdmin, "POST", "/endpoints", `[]`, "", 422},
		"a member twice":               {tokenAdmin, "POST", "/endpoints", `{"url":"https://a.example/","url":"https://b.example/"}`, "/url", 422},
		"a wrong setting":              {tokenAdmin, "POST", "/endpoints", `{"url":"http://a.example/"}`, "/url", 422},
		"secrets that are none":        {tokenAdmin, "POST", "/endpoints", `{"url":"https://a.example/","secret":"x"}`, "/secret", 422},
		"a wrong expression":           {tokenAdmin, "POST", "/endpoints", `{"url":"https://a.example/","events":["*"],"when":"dat"}`, "/when", 422},
		"another tenant's endpoint":    {tokenAcme, "POST", "/endpoints", `{"url":"https://a.example/","tenant":"other"}`, "/tenant", 422},
		"a way out of one's own":       {tokenAcme, "POST", "/endpoints", `{"url":"https://a.example/","egress":"internal"}`, "/egress", 422},
		"a secret in a patch":          {tokenAdmin, "PATCH", "/endpoints/" + e.ID, `{"secret":[]}`, "/secret", 422},
		"a patch of the configuration": {tokenAdmin, "PATCH", "/endpoints/config", `{}`, "", 409},
		"a parameter":                  {tokenAdmin, "POST", "/endpoints?force=1", `{}`, "", 400},
		"too much":                     {tokenAdmin, "POST", "/endpoints", `{"url":"` + strings.Repeat("x", 1<<17) + `"}`, "", 413},
		"a rotation backwards":         {tokenAdmin, "POST", "/endpoints/" + e.ID + "/rotate-secret", `{"overlap":"-1h"}`, "/overlap", 422},
		"a rotation both ways":         {tokenAdmin, "POST", "/endpoints/" + e.ID + "/rotate-secret", `{"overlap":"1h","until":"2030-01-01T00:00:00Z"}`, "/until", 422},
	} {
		req := httptest.NewRequest(c.method, c.path, strings.NewReader(c.body))
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("If-Match", "*")
		access := Full("")
		if c.token == tokenAcme {
			access = Access{Tenant: "acme", Role: Operator}
		}
		w := httptest.NewRecorder()
		NewAPI(func() Gateway { return b.engine }, nil).ServeAs(w, req, access)
		recorded(t, req, w)
		var p struct{ Pointer string }
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != c.code || p.Pointer != c.pointer || w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	if n := len(b.engine.Endpoints()); n != 2 {
		t.Errorf("there are %d endpoints", n)
	}
}

func TestAnEndpointOfTheConfigurationSaysWhereItIsChanged(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	ask := func(method, path string, access Access) (int, string) {
		req := httptest.NewRequest(method, path, http.NoBody)
		req.Header.Set("If-Match", "*")
		w := httptest.NewRecorder()
		NewAPI(func() Gateway { return b.engine }, nil).ServeAs(w, req, access)
		recorded(t, req, w)
		return w.Code, w.Body.String()
	}
	for what, says := range map[string]string{
		"POST /endpoints/config/rotate-secret": "its secret is changed there",
		"POST /endpoints/config/reveal-secret": "its secrets are there",
		"DELETE /endpoints/config":             "is changed there",
	} {
		method, path, _ := strings.Cut(what, " ")
		if code, body := ask(method, path, Full("")); code != http.StatusConflict || !strings.Contains(body, "Caddyfile:10") || !strings.Contains(body, says) {
			t.Errorf("%s: %d %s", what, code, body)
		}
		// A tenant learns nothing of the gateway's files.
		code, body := ask(method, path, Access{Tenant: "other", Role: Operator})
		if code != http.StatusConflict || strings.Contains(body, "Caddyfile") || !strings.Contains(body, says) {
			t.Errorf("%s by a tenant: %d %s", what, code, body)
		}
	}
}

func TestABodyThatIsNoJSONIsRefusedByItsType(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	for _, media := range []string{"", "text/plain", "application/x-www-form-urlencoded"} {
		req := httptest.NewRequest(http.MethodPost, "/endpoints", strings.NewReader(`{"url":"https://a.example/"}`))
		req.Header.Set("Content-Type", media)
		code, _, body := do(NewAPI(func() Gateway { return b.engine }, nil), req)
		if code != http.StatusUnsupportedMediaType {
			t.Errorf("%q: %d %s", media, code, body)
		}
	}
}

// FuzzEveryRoute looks for requests to the management API that its handlers do not answer in their own words.
func FuzzEveryRoute(f *testing.F) {
	f.Add(uint8(0), "ep_1", "limit=1", `{"url":"https://a.example/"}`)
	f.Add(uint8(3), "config", "confirm=9", `{"when":null}`)
	f.Add(uint8(7), "..%2f", "tenant=%00&tenant=", `{"secret":[{"value":"x"}],"url":1}`)
	f.Add(uint8(131), "ep_1", "", `{"tenant":"acme"}`)
	table := rows()
	f.Fuzz(func(t *testing.T, row uint8, id, query, body string) {
		b := newBed(t)
		rt, access := table[int(row)%len(table)], Access{Tenant: "acme", Role: Operator}
		if row >= 128 {
			access = Full("an operator")
		}
		method, pattern, _ := strings.Cut(rt.pattern, " ")
		path := strings.NewReplacer("{tenant}", url.PathEscape(id), "{id}", url.PathEscape(id)).Replace(pattern)
		req, err := http.NewRequestWithContext(t.Context(), method, "http://gateway.example"+path, strings.NewReader(body))
		if err != nil {
			t.Skip()
		}
		req.URL.RawQuery = query
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("If-Match", "*")
		w := httptest.NewRecorder()
		NewAPI(func() Gateway { return b.engine }, slog.New(slog.DiscardHandler)).ServeAs(w, req, access)
		if w.Code >= 500 || w.Code >= 400 && w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %s?%s: %d %s", method, path, query, w.Code, w.Body)
		}
	})
}
