package sign

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
)

// KeyID is the keyid that rfc9421 gives to signatures by a secret, for
// receivers that look their key up by it. It is no secret.
//
// For an Ed25519 key it is the JWK thumbprint of the public half (RFC 7638,
// RFC 8037), which the receiver can compute. A shared secret must not be
// hashed as it is, since many would be found in tables of hashes: its id is
// 12 bytes of an HMAC under it.
func KeyID(secret string) (string, error) {
	if FormOf(secret) == SharedSecret {
		raw, err := standardKey(secret)
		if err != nil {
			return "", fmt.Errorf("telling the key id: %w", err)
		}
		mac := hmac.New(sha256.New, raw)
		mac.Write([]byte("keyid of an RFC 9421 signature"))
		return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:12]), nil
	}
	k, err := newEdKey(Secret{Value: secret})
	if err != nil {
		return "", fmt.Errorf("telling the key id: %w", err)
	}
	sum := sha256.Sum256([]byte(`{"crv":"Ed25519","kty":"OKP","x":"` + base64.RawURLEncoding.EncodeToString(k.public) + `"}`))
	return base64.RawURLEncoding.EncodeToString(sum[:]), nil
}
