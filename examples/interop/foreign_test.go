package interop_test

import (
	"crypto/ed25519"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/remitly-oss/httpsig-go"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stripe/stripe-go/v85/webhook"
	svix "github.com/svix/svix-webhooks/go"
	"github.com/yaronf/httpsign"

	"github.com/atoship/caddy-webhooks/delivery/sign"
)

// foreignSigners sign as other senders do. What they cover and name is theirs.
var foreignSigners = []struct {
	name, scheme string
	sign         func(t *testing.T, r *request) error
}{
	{"standard-webhooks", "standard", func(_ *testing.T, r *request) error {
		wh, err := standardwebhooks.NewWebhook(shared["main"])
		if err != nil {
			return err
		}
		return setStandard(r, wh.Sign)
	}},
	{"svix-webhooks", "standard", func(_ *testing.T, r *request) error {
		wh, err := svix.NewWebhook(shared["main"])
		if err != nil {
			return err
		}
		return setStandard(r, wh.Sign)
	}},
	{"stripe-go", "stripe", func(_ *testing.T, r *request) error {
		signed := webhook.GenerateTestSignedPayload(&webhook.UnsignedPayload{Payload: r.body, Secret: shared["main"]})
		r.header.Set("Stripe-Signature", signed.Header)
		return nil
	}},
	{"httpsign, hmac-sha256", "rfc9421", func(t *testing.T, r *request) error {
		t.Helper()
		s, err := httpsign.NewHMACSHA256Signer(decoded(t, shared["main"]), httpsign.NewSignConfig().SignAlg(false).SetKeyID("theirs"), httpsign.Headers(covered...))
		return signHTTPSign(t, r, s, err)
	}},
	{"httpsign, ed25519", "rfc9421", func(t *testing.T, r *request) error {
		t.Helper()
		config := httpsign.NewSignConfig().SetNonce("once").SetExpires(time.Now().Add(time.Minute).Unix())
		s, err := httpsign.NewEd25519SignerFromSeed(decoded(t, pairs["main"]), config, httpsign.Headers(append(covered, "x-atoship-event-id")...))
		return signHTTPSign(t, r, s, err)
	}},
	{"httpsig-go, ed25519", "rfc9421", func(t *testing.T, r *request) error {
		t.Helper()
		req := r.http(t)
		err := httpsig.Sign(req, httpsig.SigningProfile{
			Algorithm: httpsig.Algo_ED25519, Digest: httpsig.DigestSHA512, Label: "theirs", Fields: httpsig.Fields(covered...),
			Metadata: []httpsig.Metadata{httpsig.MetaKeyID, httpsig.MetaCreated, httpsig.MetaExpires},
		}, httpsig.SigningKey{Key: ed25519.NewKeyFromSeed(decoded(t, pairs["main"])), MetaKeyID: "theirs"})
		r.header = req.Header
		return err
	}},
}

func setStandard(r *request, signWith func(id string, at time.Time, body []byte) (string, error)) error {
	now := time.Now()
	text, err := signWith(r.header.Get("Webhook-Id"), now, r.body)
	r.header.Set("Webhook-Timestamp", strconv.FormatInt(now.Unix(), 10))
	r.header.Set("Webhook-Signature", text)
	return err
}

func signHTTPSign(t *testing.T, r *request, s *httpsign.Signer, err error) error {
	t.Helper()
	if err != nil {
		return err
	}
	req := r.http(t)
	digest, err := httpsign.GenerateContentDigestHeader(&req.Body, []string{httpsign.DigestSha256})
	if err != nil {
		return err
	}
	req.Header.Set("Content-Digest", digest)
	input, signature, err := httpsign.SignRequest("theirs", *s, req)
	if err != nil {
		return err
	}
	req.Header.Set("Signature-Input", input)
	req.Header.Set("Signature", signature)
	r.header = req.Header
	return nil
}

// TestOurVerifiersTakeWhatOthersSign is the other direction: the receiving side, with requests of other senders.
func TestOurVerifiersTakeWhatOthersSign(t *testing.T) {
	t.Parallel()
	public, err := sign.PublicKeyOf(pairs["main"])
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range foreignSigners {
		t.Run(c.scheme+", "+c.name, func(t *testing.T) {
			t.Parallel()
			r := request{
				method: http.MethodPost, url: "https://hooks.example.com/in?x=1", body: []byte(`{"label_id":"lbl_abc123"}`),
				header: http.Header{"Content-Type": {"application/json"}, "Webhook-Id": {"evt_1"}, "X-Atoship-Event-Id": {"evt_1"}},
			}
			if err := c.sign(t, &r); err != nil {
				t.Fatal(err)
			}
			known := []sign.Secret{{Value: shared["old"]}, {Value: shared["main"]}}
			if c.scheme == "rfc9421" {
				known = append(known, sign.Secret{Value: public})
			}
			scheme, _ := sign.Lookup(c.scheme)
			v, err := scheme.NewVerifier(known, sign.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if id, err := sign.VerifyRequest(v, r.http(t), r.body, time.Now()); err != nil || id != "evt_1" {
				t.Errorf("id %q, error %v", id, err)
			}
			flipBody.apply(t, &r)
			if _, err := sign.VerifyRequest(v, r.http(t), r.body, time.Now()); err == nil {
				t.Error("accepted with a flipped byte in the body")
			}
		})
	}
}
