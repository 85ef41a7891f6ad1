package caddymodule

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/gate"
	"github.com/atoship/caddy-webhooks/delivery/retry"
)

// planOf builds the plan of a config without starting anything, and returns what was logged.
func planOf(t *testing.T, a *App) (*delivery.Plan, *observer.ObservedLogs, error) {
	t.Helper()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	t.Cleanup(func() {
		cancel()
		if err := a.Cleanup(); err != nil {
			t.Error(err)
		}
	})
	core, logs := observer.New(zapcore.WarnLevel)
	a.logger = zap.New(core)
	plan, err := a.buildPlan(ctx)
	return plan, logs, err
}

func endpoint(name string, change func(*Endpoint)) Endpoint {
	e := Endpoint{Name: name, Pos: "Caddyfile:7", URL: "https://a.example.com/", Secret: []Secret{{Value: "{env.TEST_WEBHOOKS_SECRET}"}}}
	if change != nil {
		change(&e)
	}
	return e
}

func TestPlanHasTheDocumentedDefaults(t *testing.T) {
	t.Setenv("TEST_WEBHOOKS_SECRET", testSecret)
	p, logs, err := planOf(t, &App{Endpoint: []Endpoint{endpoint("a", nil)}})
	if err != nil {
		t.Fatal(err)
	}
	if p.Retention != 30*24*time.Hour || p.Dedupe != 72*time.Hour || p.Expire != 7*24*time.Hour || p.Drain != 4*time.Second ||
		p.MaxInFlight != 1024 || p.Intake.MaxBody != 256<<10 || p.HeaderPrefix != "X-AtoShip" {
		t.Errorf("plan %+v", p)
	}
	e := p.Endpoints["a"]
	want := retry.Default()
	if e.Timeout != 30*time.Second || e.Concurrency != 16 || e.Breaker != gate.DefaultBreaker() ||
		len(e.Retry.Delays) != len(want.Delays) || e.Retry.JitterPercent != want.JitterPercent {
		t.Errorf("endpoint %+v", e)
	}
	if logs.Len() != 0 {
		t.Errorf("logged %v", logs.All())
	}
}

func TestEndpointsTakeWhatTheyDoNotSayFromTheDefaults(t *testing.T) {
	t.Setenv("TEST_WEBHOOKS_SECRET", testSecret)
	zero, no := 0, 0
	p, _, err := planOf(t, &App{
		Defaults: &EndpointOptions{
			Retry: []caddy.Duration{caddy.Duration(time.Minute)}, Timeout: caddy.Duration(time.Second), Concurrency: 3,
			Breaker: &Breaker{Failures: &no}, Header: map[string][]string{"X-Team": {"logistics"}},
		},
		Endpoint: []Endpoint{
			endpoint("silent", nil),
			endpoint("own", func(e *Endpoint) {
				e.Retry, e.Jitter, e.Timeout = []caddy.Duration{}, &zero, caddy.Duration(2*time.Second)
				e.Breaker = &Breaker{Off: true}
				e.Header = map[string][]string{"x-own": {"{env.TEST_WEBHOOKS_SECRET}"}}
			}),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	silent, own := p.Endpoints["silent"], p.Endpoints["own"]
	if len(silent.Retry.Delays) != 1 || silent.Retry.JitterPercent != 10 || silent.Timeout != time.Second || silent.Concurrency != 3 ||
		silent.Breaker.Failures != 0 || silent.Breaker.Ratio != 0.5 || silent.Header.Get("X-Team") != "logistics" {
		t.Errorf("silent is %+v", silent)
	}
	if len(own.Retry.Delays) != 0 || own.Retry.JitterPercent != 0 || own.Timeout != 2*time.Second || own.Concurrency != 3 ||
		!own.Breaker.Off || own.Header.Get("X-Own") != testSecret || own.Header.Get("X-Team") != "" {
		t.Errorf("own is %+v", own)
	}
	if silent.Transport != own.Transport {
		t.Error("two endpoints of one identity have two transports")
	}
}

// Each row is a config that must not load, and a part of the error it must give.
func TestPlanRefusesWhatCannotWork(t *testing.T) {
	t.Setenv("TEST_WEBHOOKS_SECRET", testSecret)
	one := func(change func(*Endpoint)) *App { return &App{Endpoint: []Endpoint{endpoint("a", change)}} }
	count := -1
	for what, c := range map[string]struct {
		app  *App
		want string
	}{
		"no url":                      {one(func(e *Endpoint) { e.URL = "" }), "Caddyfile:7: endpoint a: url is required"},
		"plain http":                  {one(func(e *Endpoint) { e.URL = "http://a.example.com" }), "Caddyfile:7: endpoint a: url must begin with https://"},
		"private address":             {one(func(e *Endpoint) { e.URL = "https://10.0.0.1/" }), "blocked"},
		"other port":                  {one(func(e *Endpoint) { e.URL = "https://a.example.com:8443/" }), "port 8443"},
		"unset url variable":          {one(func(e *Endpoint) { e.URL = "{env.TEST_WEBHOOKS_UNSET}" }), "url: {env.TEST_WEBHOOKS_UNSET}: the environment variable is not set"},
		"no secret":                   {one(func(e *Endpoint) { e.Secret = nil }), "secret is required"},
		"unset secret":                {one(func(e *Endpoint) { e.Secret[0].Value = "{env.TEST_WEBHOOKS_UNSET}" }), "secret 1: {env.TEST_WEBHOOKS_UNSET}: the environment variable is not set"},
		"unknown placeholder":         {one(func(e *Endpoint) { e.Secret[0].Value = "{evn.SECRET}" }), "neither a secret nor a known placeholder"},
		"bad secret":                  {one(func(e *Endpoint) { e.Secret[0].Value = "whsec_@@@" }), "secret 1 of 1"},
		"only ended secrets":          {one(func(e *Endpoint) { e.Secret[0].Until = time.Unix(0, 0) }), "every secret has passed its `until`"},
		"own header":                  {one(func(e *Endpoint) { e.Header = map[string][]string{"X-Atoship-Event": {"x"}} }), "X-Atoship-Event is set by the gateway"},
		"hop-by-hop header":           {one(func(e *Endpoint) { e.Header = map[string][]string{"connection": {"x"}} }), "Connection"},
		"own backup":                  {one(func(e *Endpoint) { e.Backup = []string{"a"} }), "its own backup"},
		"unknown backup":              {one(func(e *Endpoint) { e.Backup = []string{"b"} }), "backup b is not an endpoint"},
		"narrowed without events":     {one(func(e *Endpoint) { e.Environment = []string{"x"} }), "there are no events"},
		"negative breaker count":      {one(func(e *Endpoint) { e.Breaker = &Breaker{Failures: &count} }), "breaker failures"},
		"retry too far off":           {one(func(e *Endpoint) { e.Retry = []caddy.Duration{caddy.Duration(365 * 24 * time.Hour)} }), "delay 1"},
		"bad certificate":             {one(func(e *Endpoint) { e.TLS = &EndpointTLS{ClientAuth: &ClientAuth{Cert: "/nowhere"}} }), "client_auth"},
		"two of a name":               {&App{Endpoint: []Endpoint{endpoint("a", nil), endpoint("a", nil)}}, "endpoint a exists already"},
		"reserved name":               {&App{Endpoint: []Endpoint{endpoint("ep_1", nil)}}, "starts with ep_"},
		"unknown match":               {&App{Match: "some"}, "match is all or first"},
		"unknown on_error":            {&App{Route: []Route{{Name: "r", OnError: "retry"}}}, "on_error is hold or skip"},
		"route to nowhere":            {&App{Route: []Route{{Name: "r", To: []Target{{Endpoint: "x"}}}}}, "x"},
		"environment twice":           {&App{Environment: []string{"a", "a"}}, "declared twice"},
		"body beyond the store":       {&App{MaxBody: 9 << 20}, "max_body"},
		"prefix that is no name":      {&App{HeaderPrefix: "X Y"}, "header_prefix"},
		"agent with a line break":     {&App{UserAgent: "a\r\nX: y"}, "user_agent"},
		"allow that is no address":    {&App{Egress: []Egress{{Allow: []string{"localhost"}}}}, "localhost"},
		"port out of range":           {&App{Egress: []Egress{{Ports: []string{"70000"}}}}, "70000"},
		"catalog that does not exist": {&App{Catalog: "/nowhere/events.json"}, "reading the catalog"},
	} {
		_, _, err := planOf(t, c.app)
		switch {
		case err == nil:
			t.Errorf("%s: accepted", what)
		case !strings.Contains(err.Error(), c.want):
			t.Errorf("%s: error %q lacks %q", what, err, c.want)
		case strings.Contains(err.Error(), testSecret), strings.Contains(err.Error(), "@@@"):
			t.Errorf("%s: the error holds the secret: %v", what, err)
		}
	}
}

func TestMistakesOfAllEndpointsAreReportedAtOnce(t *testing.T) {
	t.Setenv("TEST_WEBHOOKS_SECRET", testSecret)
	bad := func(e *Endpoint) { e.URL = "ftp://x" }
	_, _, err := planOf(t, &App{Endpoint: []Endpoint{endpoint("a", bad), endpoint("b", bad)}})
	if err == nil || !strings.Contains(err.Error(), "endpoint a:") || !strings.Contains(err.Error(), "endpoint b:") {
		t.Errorf("error %v", err)
	}
}

func TestLiteralAndShortSecretsWarnWithoutTheSecret(t *testing.T) {
	t.Parallel()
	const short = "hunter2"
	_, logs, err := planOf(t, &App{Endpoint: []Endpoint{endpoint("a", func(e *Endpoint) { e.Secret[0].Value = short })}})
	if err != nil {
		t.Fatal(err)
	}
	entries := logs.All()
	if len(entries) != 2 || !strings.Contains(entries[0].Message, "literally") || !strings.Contains(entries[1].Message, "7 bytes") {
		t.Errorf("logged %v", entries)
	}
	for _, e := range entries {
		if e.ContextMap()["endpoint"] != "a" || strings.Contains(e.Message, short) {
			t.Errorf("logged %v", e)
		}
	}
}

func TestSecretFileIsReadWithoutItsLastLineBreak(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("with {braces} and more\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := resolveSecret(zap.NewNop(), "{file."+file+"}", "here")
	if err != nil || got != "with {braces} and more" {
		t.Errorf("read %q, %v", got, err)
	}
}

func TestLogsFollowTheConfigInForce(t *testing.T) {
	t.Parallel()
	var first, second bytes.Buffer
	handler := func(w *bytes.Buffer, level slog.Level) slog.Handler {
		return slog.NewTextHandler(w, &slog.HandlerOptions{Level: level})
	}
	live := newLiveLogs(handler(&first, slog.LevelInfo))
	logger := slog.New(live).With("a", 1).WithGroup("g").With("b", 2)
	logger.Info("one")
	live.use(handler(&second, slog.LevelWarn))
	logger.Info("unheard")
	logger.Warn("two", "c", 3)
	if got := first.String(); !strings.Contains(got, "msg=one a=1 g.b=2") || strings.Contains(got, "two") {
		t.Errorf("first config logged %q", got)
	}
	if got := second.String(); !strings.Contains(got, "msg=two a=1 g.b=2 g.c=3") || strings.Contains(got, "unheard") {
		t.Errorf("second config logged %q", got)
	}
}
