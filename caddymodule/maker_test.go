package caddymodule

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/httpapi"
	"github.com/atoship/caddy-webhooks/delivery/sign"
)

const testKey = "a secret key for tests, of more than 32 bytes"

// makerOf builds the plan of a config with secret keys, and returns its maker.
func makerOf(t *testing.T, a *App) delivery.EndpointMaker {
	t.Helper()
	t.Setenv("TEST_WEBHOOKS_KEY", testKey)
	t.Setenv("TEST_WEBHOOKS_SECRET", testSecret)
	a.SecretKey = []string{"{env.TEST_WEBHOOKS_KEY}"}
	plan, _, err := planOf(t, a)
	if err != nil {
		t.Fatal(err)
	}
	if plan.Keys == nil || plan.Maker == nil {
		t.Fatal("the plan lets no endpoints be made")
	}
	return plan.Maker
}

var madeSecrets = []sign.Secret{{Value: testSecret}}

func TestSettingsByAPIMeanWhatTheyMeanInTheConfig(t *testing.T) {
	settings := `{"url":"https://a.example.com/in","retry":["1m","5m"],"timeout":"7s","concurrency":3,"breaker":{"failures":9},
		"rate_limit":{"rate":"100/m","burst":5},"header":{"X-Own":["x"]},"events":["label.*"],"tenant":"acme","environment":["production"],
		"ordered_by":"data.id","paused":true,"signature":["standard",{"module":"atoship"}]}`
	a := &App{Defaults: &EndpointOptions{BackupAfter: 4, Timeout: caddy.Duration(time.Minute)}}
	m := makerOf(t, a)
	made, err := m.Make("ep_1", []byte(settings), madeSecrets)
	if err != nil {
		t.Fatal(err)
	}
	defer made.Release()
	var e Endpoint
	if err := json.Unmarshal([]byte(strings.Replace(settings, `["standard",`, `[{"module":"standard"},`, 1)), &e); err != nil {
		t.Fatal(err)
	}
	e.Name, e.Secret = "config", []Secret{{Value: "{env.TEST_WEBHOOKS_SECRET}"}}
	plan, _, err := planOf(t, &App{Defaults: a.Defaults, Endpoint: []Endpoint{e}})
	if err != nil {
		t.Fatal(err)
	}
	got, want := made.Endpoint, plan.Endpoints["config"]
	if got.Name != "ep_1" || got.Tenant != "acme" || got.URL.String() != want.URL.String() || got.Timeout != want.Timeout || got.Concurrency != want.Concurrency ||
		got.Breaker != want.Breaker || got.Rate != want.Rate || got.BackupAfter != 4 || !got.Paused || got.Order == nil ||
		got.Retry.JitterPercent != want.Retry.JitterPercent || len(got.Retry.Delays) != 2 || got.Header.Get("X-Own") != "x" ||
		got.Transport != want.Transport || got.DisableAfter != want.DisableAfter {
		t.Errorf("made %+v\nwant %+v", got, want)
	}
	if s := made.Subscription; s == nil || s.Endpoint != "ep_1" || s.Tenant != "acme" || s.Types[0] != "label.*" || s.Environments[0] != "production" {
		t.Errorf("subscription %+v", made.Subscription)
	}
}

func TestSettingsByAPIAreRefusedWithTheirPlace(t *testing.T) {
	m := makerOf(t, &App{Egress: []Egress{{Name: "partners"}}})
	const url = `"url":"https://a.example.com/"`
	for name, c := range map[string]struct{ settings, pointer, says string }{
		"no object":                      {`[]`, "", "object"},
		"no url":                         {`{}`, "/url", "required"},
		"a plain http url":               {`{"url":"http://a.example.com/"}`, "/url", "https"},
		"a private address":              {`{"url":"https://10.0.0.1/"}`, "/url", "10.0.0.1"},
		"a port that is not permitted":   {`{"url":"https://a.example.com:444/"}`, "/url", "444"},
		"a misspelt setting":             {`{"ulr":"https://a.example.com/"}`, "/ulr", "did you mean url"},
		"a name":                         {`{"name":"orders",` + url + `}`, "/name", "no setting"},
		"a place in a Caddyfile":         {`{"when_pos":"x:1",` + url + `}`, "/when_pos", "no setting"},
		"a secret of the machine in url": {`{"url":"https://a.example.com/{env.TEST_WEBHOOKS_KEY}"}`, "/url", "placeholders"},
		"a file of the machine":          {`{` + url + `,"header":{"X-A":["{file./etc/passwd}"]}}`, "/header/X-A/0", "placeholders"},
		"a placeholder in oauth2": {
			`{` + url + `,"oauth2":{"token_url":"https://b.example.com/","client_id":"{env.HOME}","client_secret":"s"}}`, "/oauth2/client_id", "placeholders",
		},
		"a client certificate by file": {`{` + url + `,"tls":{"client_auth":{"cert":"/etc/c","key":"/etc/k"}}}`, "/tls", "client_auth"},
		"authorities by file":          {`{` + url + `,"tls":{"trust_pool":{"module":"file","pem_files":["/etc/x"]}}}`, "/tls", "inline"},
		"a hidden value":               {`{` + url + `,"header":{"X-A":["…"]}}`, "/header/X-A/0", "not shown"},
		"a profile that there is not":  {`{` + url + `,"egress":"none"}`, "/egress", "partners"},
		"a wrong type":                 {`{` + url + `,"concurrency":"many"}`, "/concurrency", "string"},
		"a wrong type below":           {`{` + url + `,"breaker":{"failures":true}}`, "/breaker/failures", "bool"},
		"an unknown member below":      {`{` + url + `,"breaker":{"failed":1}}`, "", "failed"},
		"a number out of bounds":       {`{` + url + `,"breaker":{"failures":-1}}`, "/breaker", "failures"},
		"a rate that is none":          {`{` + url + `,"rate_limit":{"rate":"many"}}`, "/rate_limit", "rate"},
		"a header of our own":          {`{` + url + `,"header":{"X-AtoShip-Event":["x"]}}`, "/header", "X-Atoship-Event"},
		"an unknown scheme":            {`{` + url + `,"signature":["none"]}`, "/signature", "none"},
		"a wrong expression":           {`{` + url + `,"ordered_by":"dat.x"}`, "/ordered_by", "dat"},
		"a wrong transform":            {`{` + url + `,"transform":"dat.x"}`, "/transform", "dat"},
		"a long description":           {`{` + url + `,"description":"` + strings.Repeat("x", 2000) + `"}`, "/description", "1024"},
	} {
		t.Run(name, func(t *testing.T) {
			made, err := m.Make("ep_1", []byte(c.settings), madeSecrets)
			if err == nil {
				made.Release()
				t.Fatal("it was made")
			}
			var placed *delivery.SettingError
			if !errors.As(err, &placed) || placed.Pointer != c.pointer || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error at %+v: %v", placed, err)
			}
			if strings.Contains(err.Error(), testKey) || strings.Contains(err.Error(), testSecret) {
				t.Errorf("a secret is told: %v", err)
			}
		})
	}
	if _, err := m.Make("ep_1", []byte(`{`+url+`}`), []sign.Secret{{Value: "{env.TEST_WEBHOOKS_KEY}"}}); err == nil {
		t.Error("a secret that is a placeholder was taken")
	}
}

func TestSchemesTellWhichSecretsTheyNeed(t *testing.T) {
	m := makerOf(t, &App{})
	for settings, want := range map[string][]sign.Form{
		`{}`:                                 {sign.SharedSecret, sign.SharedSecret},
		`{"signature":["standard_ed25519"]}`: {sign.PrivateKey},
	} {
		got, err := m.Forms([]byte(settings))
		if err != nil || len(got) != len(want) || got[0]&want[0] == 0 {
			t.Errorf("%s: %v, %v", settings, got, err)
		}
	}
}

func TestSecretKeysAreCheckedAtLoad(t *testing.T) {
	t.Setenv("TEST_WEBHOOKS_KEY", "short")
	if _, _, err := planOf(t, &App{SecretKey: []string{"{env.TEST_WEBHOOKS_KEY}"}}); err == nil || !strings.Contains(err.Error(), "at least 32") || strings.Contains(err.Error(), "short") {
		t.Errorf("a short key: %v", err)
	}
	if _, _, err := planOf(t, &App{SecretKey: []string{"{env.TEST_WEBHOOKS_NONE}"}}); err == nil {
		t.Error("a missing key was taken")
	}
}

func TestTheOpenAPIDocumentKnowsEverySetting(t *testing.T) {
	t.Parallel()
	described := httpapi.SettingNames()
	for _, name := range append(settingNames(), "secret") {
		if !slices.Contains(described, name) {
			t.Errorf("%s is not described", name)
		}
	}
	if len(described) != len(settingNames())+1 {
		t.Errorf("described are %v, there are %v", described, settingNames())
	}
}

func TestSettingsByAPIAreHeldToTheSchemasOfTheCatalog(t *testing.T) {
	catalog := writeFile(t, "events.json", `{"events":[{"type":"label.created","schema":{"properties":{"carrier":{}},"additionalProperties":false}}]}`)
	m := makerOf(t, &App{Catalog: catalog})
	const settings = `{"url":"https://a.example.com/","events":["label.created"],`
	for name, c := range map[string]struct{ settings, pointer string }{
		"ordered_by": {settings + `"ordered_by":"data.carier"}`, "/ordered_by"},
		"transform":  {settings + `"transform":"{\"carrier\": data.carier}"}`, "/transform"},
	} {
		made, err := m.Make("ep_1", []byte(c.settings), madeSecrets)
		if err == nil {
			made.Release()
		}
		var placed *delivery.SettingError
		if !errors.As(err, &placed) || placed.Pointer != c.pointer || !strings.Contains(err.Error(), "the schema of label.created has no data.carier; did you mean data.carrier?") {
			t.Errorf("%s: error at %+v: %v", name, placed, err)
		}
	}
	made, err := m.Make("ep_1", []byte(settings+`"ordered_by":"data.carrier","transform":"data.carrier"}`), madeSecrets)
	if err != nil {
		t.Fatal(err)
	}
	made.Release()
}
