package observability

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/prototext"

	"github.com/atoship/caddy-webhooks/delivery/httpapi/client"
	"github.com/atoship/caddy-webhooks/examples/internal/rig"
)

// planted are secrets of every kind that a gateway is given, by the environment variable that the configuration reads them from;
// those in small letters come by the API or from a receiver.
var planted = map[string]string{
	"SECRET_KEY":     "planted-key-by-which-the-store-encrypts-0123456789",
	"SIGNING":        "whsec_cGxhbnRlZC1zaWduaW5nLXNlY3JldC1vZi1jb25maWc=",
	"OLD_SIGNING":    "whsec_cGxhbnRlZC1vbGRlci1zZWNyZXQtb2YtY29uZmlnIQ==",
	"AUTHORIZATION":  "Bearer planted-authorization-of-a-header",
	"CLIENT_SECRET":  "planted-client-secret-of-oauth2",
	"PROXY_PASSWORD": "planted-password-of-the-proxy",
	"INGEST_TOKEN":   "planted-token-of-ingest",
	"ADMIN_TOKEN":    "planted-token-of-an-operator",
	"TENANT_TOKEN":   "planted-token-of-a-tenant",
	"access token":   "planted-access-token-of-oauth2",
	"api signing":    "whsec_cGxhbnRlZC1zaWduaW5nLXNlY3JldC1ieS1hcGkhISE=",
	"api header":     "planted-header-by-api",
	"api query":      "planted-query-by-api",
	"api client":     "planted-client-secret-by-api",
	"user info":      "planted-password-in-a-url",
	"config query":   "planted-query-of-config",
}

// forms of a secret in which it would be told as well.
func forms(secret string) []string {
	all := []string{secret, base64.StdEncoding.EncodeToString([]byte(secret))}
	if raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_")); err == nil {
		all = append(all, string(raw), strings.TrimPrefix(secret, "whsec_"))
	}
	if token, ok := strings.CutPrefix(secret, "Bearer "); ok {
		all = append(all, token)
	}
	return all
}

const secretive = `{
	debug
	admin %[1]s
	skip_install_trust
	auto_https off
	webhooks {
		store embedded %[3]s/store
		secret_key {env.SECRET_KEY}
		egress {
			allow 127.0.0.1
			ports any
		}
		egress proxied {
			proxy http://127.0.0.1:1 {
				basic_auth gateway {env.PROXY_PASSWORD}
			}
			allow 127.0.0.1
			ports any
		}
		defaults {
			events *
			retry 1s
			tls {
				trust_pool file %[3]s/ca.pem
			}
		}
		endpoint config {
			url %[4]s/config?key=planted-query-of-config
			secret {env.SIGNING}
			secret {env.OLD_SIGNING} until 2100-01-01T00:00:00Z
			header Authorization {env.AUTHORIZATION}
		}
		endpoint oauth {
			url %[4]s/oauth
			secret {env.SIGNING}
			oauth2 {
				token_url %[4]s/token
				client_id gateway
				client_secret {env.CLIENT_SECRET}
				tls {
					trust_pool file %[3]s/ca.pem
				}
			}
		}
		endpoint denied {
			url %[4]s/denied
			secret {env.SIGNING}
			oauth2 {
				token_url %[4]s/refused
				client_id gateway
				client_secret {env.CLIENT_SECRET}
				tls {
					trust_pool file %[3]s/ca.pem
				}
			}
		}
		endpoint proxied {
			url %[4]s/proxied
			secret {env.SIGNING}
			egress proxied
		}
	}
}
http://%[2]s {
	log
	tracing
	webhooks_ingest /events {
		auth token {env.INGEST_TOKEN}
	}
	webhooks_dashboard /webhooks/* {
		auth token {env.ADMIN_TOKEN}
		auth token {env.TENANT_TOKEN} tenant acme role viewer
	}
	handle /metrics {
		metrics
	}
	respond 404
}
`

// told is everything that a gateway said, by where.
type told struct {
	mu    sync.Mutex
	where []string
	text  []string
}

func (w *told) add(where string, text []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.where, w.text = append(w.where, where), append(w.text, string(text))
}

// holds reports where a secret is told.
func (w *told) holds(t *testing.T, name, secret string) {
	t.Helper()
	for _, form := range forms(secret) {
		for i, text := range w.text {
			if at := strings.Index(text, form); at >= 0 {
				t.Errorf("%s is told by %s: …%q", name, w.where[i], text[max(0, at-100):at+len(form)])
			}
		}
	}
}

// RoundTrip keeps what an API answers, unless a secret was asked for by name.
func (w *told) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	res.Body = io.NopCloser(bytes.NewReader(body))
	if r.Header.Get("Reveal") == "" {
		w.add(r.Method+" "+r.URL.Path, body)
		w.add("headers of "+r.Method+" "+r.URL.Path, fmt.Append(nil, res.Header))
	}
	return res, err
}

// TestAPlantedSecretIsToldNowhere gives a gateway secrets of every kind, lets it do everything, and looks for them in each answer
// of the API, in logs at the level debug, metrics, exported spans, pages and the files of the store. Only the answers that
// are there to show a secret are left out, and Caddy's own /config, which shows what it was given: placeholders here.
func TestAPlantedSecretIsToldNowhere(t *testing.T) {
	t.Parallel()
	receiver := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/token":
			w.Header().Set("Content-Type", "application/json")
			_, _ = fmt.Fprintf(w, `{"access_token":"%s","token_type":"Bearer"}`, planted["access token"])
		case "/refused":
			http.Error(w, `{"error":"invalid_client"}`, http.StatusUnauthorized)
		default:
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	t.Cleanup(receiver.Close)
	bin, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	ports, err := rig.Ports(2)
	if err != nil {
		t.Fatal(err)
	}
	dir, spans, said := t.TempDir(), new(otlp), new(told)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: receiver.Certificate().Raw})
	g := &gateway{t: t, dir: dir, bin: bin, admin: fmt.Sprint("127.0.0.1:", ports[0]), ingest: fmt.Sprint("127.0.0.1:", ports[1])}
	file := filepath.Join(dir, "Caddyfile")
	config := fmt.Sprintf(secretive, g.admin, g.ingest, dir, receiver.URL)
	if err := errorsOf(os.WriteFile(filepath.Join(dir, "ca.pem"), ca, 0o600), os.WriteFile(file, []byte(config), 0o600)); err != nil {
		t.Fatal(err)
	}
	env := []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + spans.listen(t, "http/protobuf"), "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"}
	for name, secret := range planted {
		if name == strings.ToUpper(name) {
			env = append(env, name+"="+secret)
		}
	}
	if g.process, err = rig.Start(bin, file, dir, env...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.process.Kill)
	if err := g.process.Ready(t.Context(), g.admin, g.ingest); err != nil {
		t.Fatal(err)
	}

	shown := g.useSecrets(said, receiver.URL)
	for _, at := range []struct{ base, token string }{
		{"http://" + g.admin + "/webhooks/", ""},
		{"http://" + g.ingest + "/webhooks/api/", planted["ADMIN_TOKEN"]},
		{"http://" + g.ingest + "/webhooks/api/", planted["TENANT_TOKEN"]},
		{"http://" + g.ingest + "/webhooks/api/", "a-wrong-token"},
	} {
		g.askEverything(said, at.base, at.token)
	}
	page := g.send(said, http.MethodGet, "http://"+g.ingest+"/webhooks/", "", "")
	for _, m := range regexp.MustCompile(`(?:src|href)="([^"#:]+)"`).FindAllStringSubmatch(page, -1) {
		g.send(said, http.MethodGet, "http://"+g.ingest+"/webhooks/"+m[1], "", "")
	}
	if metrics := g.send(said, http.MethodGet, "http://"+g.ingest+"/metrics", "", ""); !strings.Contains(metrics, `caddy_webhooks_attempts_total{endpoint="proxied",outcome="local"}`) {
		t.Errorf("the proxy was not tried:\n%s", metrics)
	}
	g.stop()

	log, err := os.ReadFile(g.process.Log())
	if err != nil {
		t.Fatal(err)
	}
	said.add("the log", log)
	for _, name := range []string{"deliver config", "deliver oauth", "POST", "publish label.created"} {
		if len(spans.named(name)) == 0 {
			t.Errorf("no span is named %s", name)
		}
	}
	for _, s := range spans.spans {
		text, err := prototext.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		said.add("the span "+s.GetName(), text)
	}
	// The store keeps what is sent, and what was answered; of the gateway's own secrets nothing.
	if err := filepath.WalkDir(filepath.Join(dir, "store"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path) //nolint:gosec // the test's own folder
		said.add(path, text)
		return err
	}); err != nil {
		t.Error(err)
	}
	for name, secret := range planted {
		said.holds(t, name, secret)
	}
	for name, secret := range shown {
		said.holds(t, name, secret)
	}
	for i, text := range said.text {
		if strings.HasPrefix(said.where[i], "the ") && strings.Contains(text, "a-payload-for-nobody-else") {
			t.Errorf("the payload is told by %s", said.where[i])
		}
	}
}

func errorsOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// send makes a request and keeps the answer.
func (g *gateway) send(said *told, method, url, token, body string) string {
	g.t.Helper()
	req, err := http.NewRequestWithContext(g.t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if method == http.MethodPatch {
		req.Header.Set("If-Match", "*")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := (&http.Client{Transport: said, Timeout: time.Minute}).Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(res.Body)
	return string(text)
}

// useSecrets makes an endpoint, tokens and events, and mistakes with secrets in them. What it returns was shown once.
func (g *gateway) useSecrets(said *told, receiver string) map[string]string {
	g.t.Helper()
	ctx, base := g.t.Context(), "http://"+g.ingest+"/webhooks/api/"
	reveal, err := client.New(base, client.Options{
		Token: planted["ADMIN_TOKEN"], Header: http.Header{"Reveal": {"yes"}}, HTTP: &http.Client{Transport: said, Timeout: time.Minute},
	})
	if err != nil {
		g.t.Fatal(err)
	}
	e, err := reveal.CreateEndpoint(ctx, map[string]any{
		"url": receiver + "/made?key=" + planted["api query"], "events": []string{"*"}, "tenant": "acme", "retry": []string{"1s"},
		"secret": []map[string]string{{"value": planted["api signing"]}}, "header": map[string][]string{"X-Api-Key": {planted["api header"]}},
		"oauth2": map[string]any{"token_url": receiver + "/token", "client_id": "x", "client_secret": planted["api client"]},
	})
	if err != nil {
		g.t.Fatal(err)
	}
	rotated, err1 := reveal.RotateSecret(ctx, e.ID, "*", client.Rotation{})
	_, err2 := reveal.RevealSecret(ctx, e.ID)
	token, err3 := reveal.CreateToken(ctx, "acme", client.NewToken{})
	link, err4 := reveal.CreatePortalLink(ctx, "acme", "viewer", time.Time{})
	if err := errorsOf(err1, err2, err3, err4); err != nil {
		g.t.Fatal(err)
	}
	for _, mistake := range []string{
		`{"url":"https://user:` + planted["user info"] + `@example.com/"}`, `{"url":"ftp://example.com/?key=` + planted["api query"] + `"}`,
		`{"secret":"` + planted["api signing"] + `"}`, `{"header":{"Host":["` + planted["api header"] + `"]}}`,
		`{"oauth2":{"client_secret":["` + planted["api client"] + `"]}}`,
	} {
		g.send(said, http.MethodPatch, base+"endpoints/"+e.ID, planted["ADMIN_TOKEN"], mistake)
		g.send(said, http.MethodPost, base+"endpoints", planted["ADMIN_TOKEN"], mistake)
	}
	const event = `{"event":"label.created","tenant":"acme","data":{"note":"a-payload-for-nobody-else"}}`
	g.send(said, http.MethodPost, "http://"+g.ingest+"/events", "a-wrong-token", event)
	var receipt rig.Receipt
	if err := json.Unmarshal([]byte(g.send(said, http.MethodPost, "http://"+g.ingest+"/events", planted["INGEST_TOKEN"], event)), &receipt); err != nil {
		g.t.Fatal(err)
	}
	if len(receipt.Deliveries) != 5 {
		g.t.Fatalf("%+v", receipt)
	}
	for _, d := range receipt.Deliveries {
		g.until(d.ID, func(d *delivery) bool { return len(d.Attempts) > 0 })
	}
	return map[string]string{
		"the rotated secret": rotated.Secret.Value, "a token by API": token.Token,
		"the token of a portal link": link.URL[strings.Index(link.URL, "token=")+len("token="):],
	}
}

// askEverything sends each request of the API's own description, but for those that end something or show a secret.
func (g *gateway) askEverything(said *told, base, token string) {
	g.t.Helper()
	var doc struct {
		Paths map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal([]byte(g.send(said, http.MethodGet, "http://"+g.admin+"/webhooks/openapi.json", "", "")), &doc); err != nil || len(doc.Paths) < 20 {
		g.t.Fatalf("%v, %d paths", err, len(doc.Paths))
	}
	ids := map[string][]string{"tenants": {"acme"}}
	for _, list := range []string{"endpoints", "events", "deliveries"} {
		var page struct{ Items []struct{ ID string } }
		_ = json.Unmarshal([]byte(g.send(said, http.MethodGet, base+list, token, "")), &page)
		for _, item := range page.Items {
			ids[list] = append(ids[list], item.ID)
		}
		if list != "endpoints" {
			ids[list] = ids[list][:min(2, len(ids[list]))]
		}
	}
	left := []string{"/stream", "/store/backup", "reveal-secret", "rotate-secret", "/tokens", "/portal-links", "/erase", "/cancel"}
	for path, methods := range doc.Paths {
		if slices.ContainsFunc(left, func(part string) bool { return strings.Contains(path, part) }) {
			continue
		}
		kind, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
		for method := range methods {
			if method == "delete" || method == "parameters" {
				continue
			}
			for _, one := range append([]string{"nobody"}, ids[kind]...) {
				at := strings.NewReplacer("{id}", one, "{tenant}", "acme").Replace(strings.TrimPrefix(path, "/"))
				g.send(said, strings.ToUpper(method), base+at, token, "{}")
				if !strings.Contains(path, "{id}") {
					break
				}
			}
		}
	}
}
