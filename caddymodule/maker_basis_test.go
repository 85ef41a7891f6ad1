package caddymodule

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

func TestEndpointsMadeByAPIAreKeptWhileWhatTheyAreMadeByIsTheSame(t *testing.T) {
	write := func(file, text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	encoded := func(c *x509.Certificate) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
	}
	const types = `{"events":[{"type":"label.created"}]}`
	authorities, other := encoded(newAuthority(t, "one").cert), encoded(newAuthority(t, "two").cert)
	catalog, pool := writeFile(t, "catalog.json", ""), writeFile(t, "ca.pem", "")
	config := func() *App {
		t.Setenv("TEST_WEBHOOKS_SITE", "one")
		write(catalog, types)
		write(pool, authorities)
		return &App{
			Catalog: catalog,
			Egress:  []Egress{{Address: []string{"127.0.0.1"}, Ports: []string{"443", "8443"}}},
			Defaults: &EndpointOptions{
				Timeout: caddy.Duration(7), Header: map[string][]string{"X-Site": {"{env.TEST_WEBHOOKS_SITE}"}},
				TLS: &EndpointTLS{TrustPoolRaw: json.RawMessage(`{"module":"file","pem_files":["` + pool + `"]}`)},
			},
		}
	}
	before := makerOf(t, config())
	for name, tc := range map[string]struct {
		same   bool
		change func(*App)
	}{
		"nothing":                       {true, func(*App) {}},
		"what is no concern of theirs":  {true, func(a *App) { a.UserAgent, a.Environment = "Second", []string{"production"} }},
		"the defaults":                  {false, func(a *App) { a.Defaults.Timeout = caddy.Duration(8) }},
		"the prefix of headers":         {false, func(a *App) { a.HeaderPrefix = "X-Other" }},
		"a variable that a header has":  {false, func(*App) { t.Setenv("TEST_WEBHOOKS_SITE", "two") }},
		"the ports":                     {false, func(a *App) { a.Egress[0].Ports = []string{"443"} }},
		"what may be reached":           {false, func(a *App) { a.Egress[0].Allow = []string{"10.0.0.0/8"} }},
		"the source address":            {false, func(a *App) { a.Egress[0].Address = []string{"127.0.0.2"} }},
		"one profile more":              {false, func(a *App) { a.Egress = append(a.Egress, Egress{Name: "other"}) }},
		"the authorities in their file": {false, func(*App) { write(pool, other) }},
		"the catalog in its file":       {false, func(*App) { write(catalog, `{"events":[{"type":"label.voided"}]}`) }},
		"credentials kept elsewhere": {false, func(a *App) {
			a.Defaults.OAuth2 = &OAuth2{TokenURL: "https://a.example/", ClientID: "a", ClientSecret: "{env.TEST_WEBHOOKS_SITE}"}
		}},
	} {
		a := config()
		tc.change(a)
		if after := makerOf(t, a); after.Same(before) != tc.same {
			t.Errorf("%s changed: the same: %v", name, !tc.same)
		}
	}
}

func TestAnEndpointWithAGuestsSignatureIsMadeAnewByEachConfig(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		`[]`: true, `[{"module":"atoship"},{"module":"standard"}]`: true, `[{"module":"atoship"},{"module":"somebody_elses"}]`: false, `["standard"]`: false,
	} {
		var signatures []json.RawMessage
		if err := json.Unmarshal([]byte(text), &signatures); err != nil {
			t.Fatal(err)
		}
		if got := builtInSchemes(signatures); got != want {
			t.Errorf("%s: built in: %v", text, got)
		}
	}
}
