package caddymodule

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

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
		{"a secret that no scheme uses", "", []string{"atoship"}, []Secret{shared, pair}, []string{"endpoint a", "secret 2", "which signature atoship cannot use"}},
		{"two schemes that write one header", "webhook", []string{"atoship", "standard"}, []Secret{shared}, []string{"endpoint a", "signature atoship and signature standard both write the header Webhook-Signature"}},
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

// A handle_path before webhooks_verify strips part of the path, which the sender has signed.
func TestURLIsVerifiedAsItWasSent(t *testing.T) {
	t.Parallel()
	public, err := sign.PublicKeyOf(testKeyPair)
	if err != nil {
		t.Fatal(err)
	}
	scheme, _ := sign.Lookup("rfc9421")
	signer, err := scheme.NewSigner([]sign.Secret{{Value: testKeyPair}}, sign.Options{})
	if err != nil {
		t.Fatal(err)
	}
	sent := &url.URL{Scheme: "https", Host: "example.com", Path: "/in/hooks", RawQuery: "x=1"}
	for path, want := range map[string]int{"/in/hooks": http.StatusOK, "/in/other": http.StatusUnauthorized} {
		r := newReceiver(t, &Verify{Signature: "rfc9421", Secret: []string{public}})
		req := httptest.NewRequest(http.MethodPost, "/hooks?x=1", strings.NewReader("{}")) // as the handler sees it
		req.Header.Set("Content-Type", "application/json")
		if err := signer.Sign(req.Header, &sign.Message{ID: "evt_1", Timestamp: time.Now(), URL: sent, Body: []byte("{}")}); err != nil {
			t.Fatal(err)
		}
		arrived := http.Request{Method: http.MethodPost, URL: &url.URL{Path: path, RawQuery: "x=1"}}
		req = req.WithContext(context.WithValue(req.Context(), caddyhttp.OriginalRequestCtxKey, arrived))
		if status, _ := r.send(t, req); status != want {
			t.Errorf("signed for /in/hooks, arrived at %s: %d, want %d", path, status, want)
		}
	}
}
