package interop_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-github/v74/github"
	"github.com/remitly-oss/httpsig-go"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stripe/stripe-go/v85/webhook"
	svix "github.com/svix/svix-webhooks/go"
	"github.com/yaronf/httpsign"
)

// key is what a customer verifies with: a shared secret or a public key, and for RFC 9421 what names it in the request.
type key struct{ text, id, label string }

// verifier is somebody else's code that accepts a request, or says why not.
type verifier struct {
	scheme string // as in the option `signature`, with the algorithm for rfc9421
	name   string
	verify func(t *testing.T, r request, k key) error
}

// goVerifiers are Go modules that no code of ours shares anything with.
var goVerifiers = []verifier{
	{"standard", "standard-webhooks (Go)", func(_ *testing.T, r request, k key) error {
		wh, err := standardwebhooks.NewWebhook(k.text)
		if err != nil {
			return err
		}
		return wh.Verify(r.body, r.header)
	}},
	{"standard", "svix-webhooks (Go)", func(_ *testing.T, r request, k key) error {
		wh, err := svix.NewWebhook(k.text)
		if err != nil {
			return err
		}
		return wh.Verify(r.body, r.header)
	}},
	{"stripe", "stripe-go", func(_ *testing.T, r request, k key) error {
		return webhook.ValidatePayloadWithTolerance(r.body, r.header.Get("Stripe-Signature"), k.text, webhook.DefaultTolerance)
	}},
	{"github", "go-github", func(t *testing.T, r request, k key) error {
		t.Helper()
		req := r.http(t)
		if github.DeliveryID(req) == "" || github.WebHookType(req) == "" {
			return errors.New("X-GitHub-Delivery or X-GitHub-Event is missing")
		}
		_, err := github.ValidatePayload(req, []byte(k.text))
		return err
	}},
	{"atoship", "go-github", func(_ *testing.T, r request, k key) error {
		return github.ValidateSignature(r.header.Get("X-Atoship-Signature"), r.body, []byte(k.text))
	}},
	{"rfc9421 hmac-sha256", "httpsign", func(t *testing.T, r request, k key) error {
		t.Helper()
		v, err := httpsign.NewHMACSHA256Verifier(decoded(t, k.text), httpsignConfig(k), httpsign.Headers(covered...))
		return verifyHTTPSign(t, r, k, v, err)
	}},
	{"rfc9421 ed25519", "httpsign", func(t *testing.T, r request, k key) error {
		t.Helper()
		v, err := httpsign.NewEd25519Verifier(decoded(t, k.text), httpsignConfig(k), httpsign.Headers(covered...))
		return verifyHTTPSign(t, r, k, v, err)
	}},
	{"rfc9421 hmac-sha256", "httpsig-go", func(t *testing.T, r request, k key) error {
		t.Helper()
		return verifyHTTPSig(t, r, k, httpsig.KeySpec{Algo: httpsig.Algo_HMAC_SHA256, Secret: decoded(t, k.text)})
	}},
	{"rfc9421 ed25519", "httpsig-go", func(t *testing.T, r request, k key) error {
		t.Helper()
		return verifyHTTPSig(t, r, k, httpsig.KeySpec{Algo: httpsig.Algo_ED25519, PubKey: ed25519.PublicKey(decoded(t, k.text))})
	}},
}

// covered is what a receiver asks a signature to cover.
var covered = []string{"@method", "@authority", "@path", "@query", "content-digest", "content-type", "webhook-id"}

// httpsignConfig widens the 10 s that httpsign allows by itself.
func httpsignConfig(k key) *httpsign.VerifyConfig {
	return httpsign.NewVerifyConfig().SetNotOlderThan(300 * time.Second).SetKeyID(k.id)
}

func verifyHTTPSign(t *testing.T, r request, k key, v *httpsign.Verifier, err error) error {
	t.Helper()
	if err != nil {
		return err
	}
	req := r.http(t)
	if err := httpsign.ValidateContentDigestHeader(req.Header.Values("Content-Digest"), &req.Body, []string{httpsign.DigestSha256}); err != nil {
		return err
	}
	return httpsign.VerifyRequest(k.label, *v, req)
}

func verifyHTTPSig(t *testing.T, r request, k key, spec httpsig.KeySpec) error {
	t.Helper()
	spec.KeyID = k.id
	_, err := httpsig.Verify(r.http(t), oneKey{spec}, httpsig.VerifyProfile{
		SignatureLabel:    k.label,
		RequiredFields:    httpsig.Fields(covered...),
		RequiredMetadata:  []httpsig.Metadata{httpsig.MetaCreated, httpsig.MetaKeyID},
		AllowedAlgorithms: []httpsig.Algorithm{spec.Algo},
	})
	return err
}

// oneKey is the key store of a receiver with one key.
type oneKey struct{ spec httpsig.KeySpec }

func (o oneKey) FetchByKeyID(_ context.Context, _ http.Header, id string) (httpsig.KeySpecer, error) {
	if id != o.spec.KeyID {
		return nil, errors.New("no such key")
	}
	return o.spec, nil
}

func (o oneKey) Fetch(context.Context, http.Header, httpsig.MetadataProvider) (httpsig.KeySpecer, error) {
	return nil, errors.New("no keyid")
}
