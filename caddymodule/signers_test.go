package caddymodule

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/atoship/caddy-webhooks/delivery/sign"
)

const testKeyPair = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="

func TestEverySchemeIsAModuleOfItsName(t *testing.T) {
	t.Parallel()
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	defer cancel()
	if got, want := guestNames(signerNamespace), slices.Sorted(slices.Values(sign.Names())); !slices.Equal(got, want) {
		t.Errorf("modules %v, schemes %v", got, want)
	}
	for _, name := range sign.Names() {
		m, err := ctx.LoadModuleByID(signerNamespace+"."+name, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := m.(Signer).Name(); got != name {
			t.Errorf("module %s is the scheme %s", name, got)
		}
	}
}

// schemes is the option `signature`.
func schemes(names ...string) []json.RawMessage {
	var raw []json.RawMessage
	for _, name := range names {
		raw = append(raw, json.RawMessage(`{"module":"`+name+`"}`))
	}
	return raw
}

func TestSignaturesThatCouldNotWorkAreRefusedAtLoad(t *testing.T) {
	t.Setenv("TEST_WEBHOOKS_SECRET", testSecret)
	t.Setenv("TEST_WEBHOOKS_PAIR", testKeyPair)
	shared, pair := Secret{Value: "{env.TEST_WEBHOOKS_SECRET}"}, Secret{Value: "{env.TEST_WEBHOOKS_PAIR}"}
	cases := []struct {
		name    string
		prefix  string
		schemes []string
		secrets []Secret
		want    []string // parts of the error; none: it loads
	}{
		{"all schemes with a secret of each form", "", sign.Names(), []Secret{shared, pair}, nil},
		{"an Ed25519 key alone for the schemes that take it", "", []string{"standard_ed25519", "rfc9421"}, []Secret{pair}, nil},
		{"a scheme for Ed25519 keys without one", "", []string{"standard", "standard_ed25519"}, []Secret{shared}, []string{"Caddyfile:7", "endpoint a", "signature standard_ed25519", "an Ed25519 private key (whsk_)"}},
		{"a scheme for shared secrets without one", "", []string{"stripe"}, []Secret{pair}, []string{"endpoint a", "signature stripe"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := planOf(t, &App{HeaderPrefix: c.prefix, Endpoint: []Endpoint{endpoint("a", func(e *Endpoint) {
				e.SignatureRaw, e.Secret = schemes(c.schemes...), c.secrets
			})}})
			if (err == nil) != (c.want == nil) {
				t.Fatalf("error %v, want one with %q", err, c.want)
			}
			for _, part := range c.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %v has no %q", err, part)
				}
			}
			if err != nil && (strings.Contains(err.Error(), testSecret[6:]) || strings.Contains(err.Error(), testKeyPair[5:])) {
				t.Errorf("error shows a secret: %v", err)
			}
		})
	}
}
