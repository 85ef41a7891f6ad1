package interop_test

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/atoship/caddy-webhooks/delivery/sign"
)

// Shared secrets of the gateway for the schemes; `wrong` is one that it does not have. httpsign takes no HMAC key of less
// than 64 bytes, which is also the most that Standard Webhooks allows.
var shared = map[string]string{
	"main":  "whsec_" + base64.StdEncoding.EncodeToString([]byte("interop main secret, which has as many as sixty-four bytes of key")[:64]),
	"old":   "whsec_" + base64.StdEncoding.EncodeToString([]byte("interop old secret, which also has all of sixty-four bytes of key")[:64]),
	"wrong": "whsec_" + base64.StdEncoding.EncodeToString([]byte("interop wrong secret, one that is not in any endpoint's settings.")[:64]),
}

// Ed25519 keys of the gateway, likewise.
var pairs = map[string]string{
	"main":  "whsk_" + base64.StdEncoding.EncodeToString([]byte("interop main key, a seed of 32 B")),
	"old":   "whsk_" + base64.StdEncoding.EncodeToString([]byte("interop old key, a seed of 32 B.")),
	"wrong": "whsk_" + base64.StdEncoding.EncodeToString([]byte("interop wrong key, a 32 B seed..")),
}

// capturePath is where the receiver only records. What rfc9421 signs of it is spelt as it could get lost on the way.
const capturePath = "/capture/%s?source=gate%%20way&q=%%41"

// schemeEndpoints are the Caddyfile's endpoints for signatures: one per scheme alone, one with all of them, and one with
// all of them in the middle of a rotation. Each is also the environment that its events come from.
func schemeEndpoints(port int, certFile, until string) string {
	var text strings.Builder
	add := func(name string, lines ...string) {
		fmt.Fprintf(&text, "\t\tendpoint %s {\n\t\t\turl https://127.0.0.1:%d"+capturePath+"\n\t\t\tevents *\n\t\t\tenvironment %s\n", name, port, name, name)
		fmt.Fprintf(&text, "\t\t\ttls {\n\t\t\t\ttrust_pool file %s\n\t\t\t}\n", certFile)
		lines = append(lines, "header X-Shopify-Shop-Domain shop.example.com", "header X-Shopify-API-Version 2025-10")
		for _, line := range lines {
			text.WriteString("\t\t\t" + line + "\n")
		}
		text.WriteString("\t\t}\n")
	}
	secret, pair := "secret "+shared["main"], "secret "+pairs["main"]
	all := "signature " + strings.Join(sign.Names(), " ")
	for _, scheme := range sign.Names() {
		switch scheme {
		case "standard_ed25519":
			add("only_"+scheme, "signature "+scheme, pair)
		case "rfc9421":
			add("only_"+scheme, "signature "+scheme, secret, pair)
		default:
			add("only_"+scheme, "signature "+scheme, secret)
		}
	}
	add("all", all, secret, pair)
	add("turning", all, secret, "secret "+shared["old"]+" until "+until, pair, "secret "+pairs["old"]+" until "+until)
	return text.String()
}

// tampering lists per scheme what its signature must not survive.
var tampering = map[string][]change{
	"atoship":          {flipBody, flipAfter("X-Atoship-Signature", "sha256=")},
	"github":           {flipBody, flipAfter("X-Hub-Signature-256", "sha256=")},
	"shopify":          {flipBody, flipAfter("X-Shopify-Hmac-Sha256", "")},
	"stripe":           {flipBody, flipAfter("Stripe-Signature", "v1="), otherSecond("Stripe-Signature", "t=")},
	"standard":         {flipBody, flipAfter("Webhook-Signature", "v1,"), otherSecond("Webhook-Timestamp", ""), setHeader("Webhook-Id", "evt_other")},
	"standard_ed25519": {flipBody, flipAfter("Webhook-Signature", "v1a,"), otherSecond("Webhook-Timestamp", ""), setHeader("Webhook-Id", "evt_other")},

	"rfc9421 hmac-sha256": rfcTampering("sig1"),
	"rfc9421 ed25519":     rfcTampering("sig2"),
}

func rfcTampering(label string) []change {
	return []change{
		flipBody,
		flipAfter("Signature", label+"=:"),
		otherSecond("Signature-Input", label+`=("`+strings.Join(covered, `" "`)+`");created=`),
		flipAfter("Content-Digest", "sha-256=:"),
		setHeader("Webhook-Id", "evt_other"),
		setHeader("Content-Type", "text/plain"),
		otherURL("path", "/capture/", "/other/"),
		otherURL("query", "source=", "sink="),
		otherURL("host", "127.0.0.1", "127.0.0.2"),
	}
}

// receiverKey is what a customer has of a secret of ours: for Ed25519 the public key alone.
func receiverKey(t *testing.T, scheme, which, label string) key {
	t.Helper()
	secret := shared[which]
	text := secret
	if strings.HasSuffix(scheme, "ed25519") {
		secret = pairs[which]
		var err error
		if text, err = sign.PublicKeyOf(secret); err != nil {
			t.Fatal(err)
		}
	}
	id, err := sign.KeyID(text)
	if err != nil {
		t.Fatal(err)
	}
	return key{text: text, id: id, label: label}
}

// captured publishes an event to an endpoint and returns what arrived.
func (f *fixture) captured(t *testing.T, endpoint string) request {
	t.Helper()
	receipt := f.publish(t, "label.created", endpoint, `{"label_id":"lbl_abc123"}`)
	r := requestOf(t, f.receiver.wait(t, endpoint, receipt.ID), fmt.Sprintf("https://127.0.0.1:%d", f.receiver.port))
	if got := r.header.Get("Webhook-Id"); got != "" && got != receipt.ID {
		t.Errorf("webhook-id is %q, the event's id %q", got, receipt.ID)
	}
	return r
}

func (f *fixture) testSchemes(t *testing.T) {
	verifiers := slices.Concat(startNode(t).verifiers(), goVerifiers, []verifier{openSSL})
	for _, scheme := range sign.Names() {
		if !slices.ContainsFunc(verifiers, func(v verifier) bool { return schemeOf(v) == scheme }) {
			t.Errorf("scheme %s is checked by nobody", scheme)
		}
	}
	t.Run("alone", func(t *testing.T) {
		for _, scheme := range sign.Names() {
			r := f.captured(t, "only_"+scheme)
			for _, v := range verifiers {
				if schemeOf(v) == scheme {
					t.Run(v.scheme+", "+v.name, func(t *testing.T) { judge(t, v, r) })
				}
			}
		}
	})
	t.Run("all in one request", func(t *testing.T) {
		r := f.captured(t, "all")
		for _, v := range verifiers {
			t.Run(v.scheme+", "+v.name, func(t *testing.T) { judge(t, v, r) })
		}
	})
	t.Run("all in the middle of a rotation", func(t *testing.T) { judgeRotation(t, verifiers, f.captured(t, "turning")) })
	t.Run("an hour old", func(t *testing.T) { judgeStale(t, verifiers) })
}

// schemeOf is the scheme's name without the algorithm.
func schemeOf(v verifier) string {
	name, _, _ := strings.Cut(v.scheme, " ")
	return name
}

func labelOf(v verifier) string {
	if v.scheme == "rfc9421 ed25519" {
		return "sig2"
	}
	return "sig1"
}

// judge checks that a verifier takes the request as it is, and in no other form or under no other key.
func judge(t *testing.T, v verifier, r request) {
	t.Helper()
	k := receiverKey(t, v.scheme, "main", labelOf(v))
	if err := v.verify(t, r, k); err != nil {
		t.Errorf("refused: %v", err)
	}
	other := receiverKey(t, v.scheme, "wrong", labelOf(v))
	other.id = k.id
	if v.verify(t, r, other) == nil {
		t.Error("accepted under another key")
	}
	for _, c := range tampering[v.scheme] {
		changed := r
		changed.header = r.header.Clone()
		c.apply(t, &changed)
		if v.verify(t, changed, k) == nil {
			t.Errorf("accepted with %s", c.name)
		}
	}
}

// judgeRotation checks that a receiver may still have the old key where the scheme has room for both signatures, and must
// have the new one where it has not.
func judgeRotation(t *testing.T, verifiers []verifier, r request) {
	t.Helper()
	for _, v := range verifiers {
		newLabel, oldLabel := "sig1", "sig2"
		if v.scheme == "rfc9421 ed25519" {
			newLabel, oldLabel = "sig3", "sig4"
		}
		single := slices.Contains([]string{"atoship", "github", "shopify"}, v.scheme)
		if err := v.verify(t, r, receiverKey(t, v.scheme, "main", newLabel)); err != nil {
			t.Errorf("%s, %s: the new key is refused: %v", v.scheme, v.name, err)
		}
		if err := v.verify(t, r, receiverKey(t, v.scheme, "old", oldLabel)); (err == nil) == single {
			t.Errorf("%s, %s: under the old key: %v", v.scheme, v.name, err)
		}
	}
}

// judgeStale shows verifiers a genuine request of an hour ago, as somebody who captured it would send it again.
func judgeStale(t *testing.T, verifiers []verifier) {
	t.Helper()
	var schemes []sign.Scheme
	for _, name := range sign.Names() {
		scheme, _ := sign.Lookup(name)
		schemes = append(schemes, scheme)
	}
	signer, err := sign.New(schemes, []sign.Secret{{Value: shared["main"]}, {Value: pairs["main"]}}, sign.Options{})
	if err != nil {
		t.Fatal(err)
	}
	signedAt := func(at time.Time) request {
		r := request{
			method: "POST", url: "https://hooks.example.com/in?x=1", body: []byte(`{"label_id":"lbl_abc123"}`),
			header: map[string][]string{"Content-Type": {"application/json"}},
		}
		u, err := url.Parse(r.url)
		if err != nil {
			t.Fatal(err)
		}
		if err := signer.Sign(r.header, &sign.Message{ID: "evt_1", Type: "label.created", Timestamp: at, URL: u, Body: r.body}); err != nil {
			t.Fatal(err)
		}
		return r
	}
	for _, v := range verifiers {
		if !slices.Contains([]string{"standard", "stripe", "rfc9421"}, schemeOf(v)) {
			continue // no signed time, or code of ours that looks at the signature alone
		}
		k := receiverKey(t, v.scheme, "main", labelOf(v))
		if err := v.verify(t, signedAt(time.Now()), k); err != nil {
			t.Errorf("%s, %s: a fresh one is refused: %v", v.scheme, v.name, err)
		}
		if v.verify(t, signedAt(time.Now().Add(-time.Hour)), k) == nil {
			t.Errorf("%s, %s: accepted", v.scheme, v.name)
		}
	}
}
