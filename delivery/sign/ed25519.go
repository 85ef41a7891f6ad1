package sign

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// edKey is one Ed25519 key made ready.
type edKey struct {
	lifetime
	private ed25519.PrivateKey // nil when only the public half is known
	public  ed25519.PublicKey
}

// newEdKey reads a whsk_ or whpk_ secret. Errors contain nothing of it.
func newEdKey(s Secret) (*edKey, error) {
	k := &edKey{lifetime: lifetime{s.Until}}
	if text, ok := strings.CutPrefix(s.Value, publicPrefix); ok {
		raw, err := base64.StdEncoding.Strict().DecodeString(text)
		if err != nil || len(raw) != ed25519.PublicKeySize {
			return nil, errors.New("secret starts with whpk_ but what follows is not the base64 of 32 bytes")
		}
		k.public = raw
		return k, nil
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(strings.TrimPrefix(s.Value, privatePrefix))
	if err != nil || len(raw) != ed25519.SeedSize && len(raw) != ed25519.PrivateKeySize {
		return nil, errors.New("secret starts with whsk_ but what follows is not the base64 of a 32-byte seed, alone or with its 32-byte public key")
	}
	k.private = ed25519.NewKeyFromSeed(raw[:ed25519.SeedSize])
	if len(raw) == ed25519.PrivateKeySize && !bytes.Equal(raw, k.private) {
		// Signing with a public key that is not the seed's can give the seed away.
		return nil, errors.New("secret starts with whsk_ but its second half is not the public key of the first")
	}
	k.public = k.private.Public().(ed25519.PublicKey)
	return k, nil
}

// GenerateEd25519 makes a new whsk_ secret: seed and public key in base64.
func GenerateEd25519() string {
	seed := make([]byte, ed25519.SeedSize)
	_, _ = rand.Read(seed) // never fails: it ends the program instead
	return privatePrefix + base64.StdEncoding.EncodeToString(ed25519.NewKeyFromSeed(seed))
}

// PublicKeyOf returns what receivers verify with: whpk_ and the base64 of the
// public key that belongs to a whsk_ secret. It is no secret.
func PublicKeyOf(secret string) (string, error) {
	if FormOf(secret) == SharedSecret {
		return "", errors.New("telling the public key: a shared secret has none")
	}
	k, err := newEdKey(Secret{Value: secret})
	if err != nil {
		return "", fmt.Errorf("telling the public key: %w", err)
	}
	return publicPrefix + base64.StdEncoding.EncodeToString(k.public), nil
}
