package sign

import (
	"crypto/ed25519"
	"encoding/base64"
	"strings"
	"testing"
)

func TestFormOf(t *testing.T) {
	t.Parallel()
	for secret, want := range map[string]Form{
		guideSecret: SharedSecret, olderSecret: SharedSecret, "whsk": SharedSecret, "WHSK_x": SharedSecret,
		specPrivate: PrivateKey, rfcPrivate: PrivateKey, specPublic: PublicKey,
	} {
		if got := FormOf(secret); got != want {
			t.Errorf("%q is %s, want %s", secret, got, want)
		}
	}
}

func TestPublicKeyOf(t *testing.T) {
	t.Parallel()
	for secret, want := range map[string]string{specPrivate: specPublic, rfcPrivate: rfcPublic, specPublic: specPublic} {
		if got, err := PublicKeyOf(secret); err != nil || got != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
	if got, err := PublicKeyOf(guideSecret); err == nil {
		t.Errorf("a shared secret has the public key %q", got)
	}
	generated := GenerateEd25519()
	if generated == GenerateEd25519() {
		t.Error("two generated keys are equal")
	}
	if _, err := PublicKeyOf(generated); err != nil || len(Warnings(generated)) != 0 {
		t.Errorf("a generated key: error %v, warnings %q", err, Warnings(generated))
	}
	if StandardForm(generated) != generated {
		t.Error("a private key became a shared secret")
	}
}

// Both ids are what an implementation of one's own gives: the thumbprint is
// the one of RFC 8037, A.3, whose key is test vector 2 of RFC 8032.
func TestKeyID(t *testing.T) {
	t.Parallel()
	rfc8037, err := base64.RawURLEncoding.DecodeString("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")
	if err != nil {
		t.Fatal(err)
	}
	for secret, want := range map[string]string{
		publicPrefix + base64.StdEncoding.EncodeToString(rfc8037): "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
		guideSecret: "0O8StYFBAQM76xAi",
	} {
		if got, err := KeyID(secret); err != nil || got != want {
			t.Errorf("key id %q, %v, want %q", got, err, want)
		}
	}
	private, err := KeyID(specPrivate)
	if public, _ := KeyID(specPublic); err != nil || private != public {
		t.Errorf("sender says %q, receiver %q, error %v", private, public, err)
	}
	if id, err := KeyID("whsec_s3cr3t!"); err == nil || strings.Contains(err.Error(), "s3cr3t") {
		t.Errorf("key id %q, error %v", id, err)
	}
}

// A secret of a form that the scheme has no use for is a mistake that names
// the scheme. Were a public key taken for a shared secret, whoever has the
// public key could sign.
func TestSecretsOfTheWrongFormAreRefusedWithoutShowingThem(t *testing.T) {
	t.Parallel()
	pub := ed25519.NewKeyFromSeed(make([]byte, 32)).Public().(ed25519.PublicKey)
	mixed := privatePrefix + base64.StdEncoding.EncodeToString(append(make([]byte, 31, 64), append([]byte{1}, pub...)...))
	cases := []struct {
		name, scheme string
		verifying    bool
		secrets      []string
		want         string
	}{
		{"an Ed25519 key alone cannot sign with HMAC", "atoship", false, []string{specPrivate}, "scheme atoship needs a shared secret"},
		{"nor be what an HMAC verifies with", "standard", true, []string{guideSecret, specPrivate}, "secret 2 of 2: scheme standard cannot verify with an Ed25519 private key"},
		{"a public key never is a shared secret", "github", true, []string{specPublic}, "scheme github cannot verify with an Ed25519 public key"},
		{"a public key cannot sign", "standard_ed25519", false, []string{specPrivate, specPublic}, "secret 2 of 2: scheme standard_ed25519 cannot sign with an Ed25519 public key"},
		{"a shared secret is no Ed25519 key", "standard_ed25519", false, []string{guideSecret}, "scheme standard_ed25519 needs an Ed25519 private key (whsk_)"},
		{"nor verifies as one", "standard_ed25519", true, []string{guideSecret}, "scheme standard_ed25519 cannot verify with a shared secret"},
		{"stripe takes no Ed25519 key", "stripe", false, []string{specPrivate}, "scheme stripe needs"},
		{"shopify takes no Ed25519 key", "shopify", false, []string{specPrivate}, "scheme shopify needs"},
		{"rfc9421 signs with no public key", "rfc9421", false, []string{specPublic}, "scheme rfc9421 cannot sign with"},
		{"a seed that is too short", "standard_ed25519", false, []string{privatePrefix + "c2hvcnQ="}, "32-byte seed"},
		{"a private key that is no base64", "rfc9421", false, []string{privatePrefix + "s3cr3t!"}, "32-byte seed"},
		{"a public key with a byte too many", "rfc9421", true, []string{publicPrefix + base64.StdEncoding.EncodeToString(make([]byte, 33))}, "32 bytes"},
		{"halves that do not belong together", "standard_ed25519", false, []string{mixed}, "not the public key"},
		{"a whsec_ that is no base64", "rfc9421", false, []string{"whsec_s3cr3t!"}, "base64"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var secrets []Secret
			for _, value := range c.secrets {
				secrets = append(secrets, Secret{Value: value})
			}
			s, _ := Lookup(c.scheme)
			_, err := s.NewSigner(secrets, Options{})
			if c.verifying {
				_, err = s.NewVerifier(secrets, Options{})
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want one about %q", err, c.want)
			}
			for _, value := range c.secrets {
				if _, key, _ := strings.Cut(value, "_"); strings.Contains(err.Error(), key) {
					t.Errorf("error shows the secret: %v", err)
				}
			}
		})
	}
}
