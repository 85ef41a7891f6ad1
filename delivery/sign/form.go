package sign

import "strings"

// Prefixes that tell the form of a secret (Standard Webhooks 1.0, "Signature scheme").
const (
	standardPrefix = "whsec_" // shared key in base64
	privatePrefix  = "whsk_"  // Ed25519 private key in base64
	publicPrefix   = "whpk_"  // Ed25519 public key in base64
)

// Form is what kind of key a secret is. Schemes state the forms they take as
// a set, one bit each.
type Form uint8

// The forms of a secret.
const (
	// SharedSecret is any text without one of the prefixes below: both sides
	// have it. It may start with whsec_.
	SharedSecret Form = 1 << iota
	// PrivateKey is an Ed25519 key that signs: whsk_ and the base64 of its
	// 32-byte seed, or of the seed and the 32-byte public key.
	PrivateKey
	// PublicKey is an Ed25519 key that only verifies: whpk_ and the base64
	// of its 32 bytes.
	PublicKey
)

// FormOf tells the form of a secret by its prefix. An HMAC scheme must not
// take a key pair for a shared secret: the public half, which anyone may
// know, would then sign.
func FormOf(secret string) Form {
	switch {
	case strings.HasPrefix(secret, privatePrefix):
		return PrivateKey
	case strings.HasPrefix(secret, publicPrefix):
		return PublicKey
	default:
		return SharedSecret
	}
}

// String names the forms of the set, for messages to users.
func (f Form) String() string {
	var names []string
	for _, one := range [...]struct {
		form Form
		name string
	}{
		{SharedSecret, "a shared secret"},
		{PrivateKey, "an Ed25519 private key (whsk_)"},
		{PublicKey, "an Ed25519 public key (whpk_)"},
	} {
		if f&one.form != 0 {
			names = append(names, one.name)
		}
	}
	return strings.Join(names, " or ")
}
