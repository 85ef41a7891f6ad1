package delivery

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
)

// MinKeyBytes is the least a secret key may have: 32 random bytes in hex or base64 have more.
const MinKeyBytes = 32

// MaxKeys bounds the secret keys in use at once.
const MaxKeys = 16

// ErrSealed is the answer to reading what none of the keys sealed, or what was changed or moved since.
var ErrSealed = errors.New("none of the secret keys opens it")

// Keys encrypt what the store must keep and nobody may read in its files: the settings of endpoints made at run time, with
// their secrets. The first seals, all open. Safe for concurrent use.
//
// A sealed text is a version byte, eight bytes that name the key, and AES-256-GCM (NIST SP 800-38D) with a random nonce. The
// AES key and its name are derived by HKDF-SHA-256 (RFC 5869) from the configured text, so any text of enough entropy will do.
type Keys struct{ keys []sealingKey }

// keyName tells keys apart and says nothing about them.
type keyName [8]byte

type sealingKey struct {
	name keyName
	aead cipher.AEAD
}

const sealedVersion = 1

// NewKeys makes keys of configured texts, the one that seals first. Errors name a text by its place only.
func NewKeys(texts ...string) (*Keys, error) {
	if len(texts) == 0 || len(texts) > MaxKeys {
		return nil, fmt.Errorf("%d keys, want 1 to %d", len(texts), MaxKeys)
	}
	k := new(Keys)
	for i, text := range texts {
		if len(text) < MinKeyBytes {
			return nil, fmt.Errorf("key %d has %d bytes, want at least %d: `openssl rand -hex 32` prints a good one", i+1, len(text), MinKeyBytes)
		}
		derived, err := hkdf.Key(sha256.New, []byte(text), nil, "caddy-webhooks secret_key 1", 32+8)
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", i+1, err)
		}
		block, err := aes.NewCipher(derived[:32])
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", i+1, err)
		}
		aead, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", i+1, err)
		}
		k.keys = append(k.keys, sealingKey{keyName(derived[32:]), aead})
	}
	return k, nil
}

// seal encrypts text for a place: only open with the same place reads it back.
func (k *Keys) seal(place string, text []byte) []byte {
	first := k.keys[0]
	out := append([]byte{sealedVersion}, first.name[:]...)
	return first.aead.Seal(out, nil, text, append(out[:9:9], place...)) //nolint:gosec // it draws its own nonce: none may be given
}

// open is the inverse of seal. Errors: ErrSealed.
func (k *Keys) open(place string, sealed []byte) ([]byte, error) {
	if k == nil || len(sealed) < 9 || sealed[0] != sealedVersion {
		return nil, ErrSealed
	}
	for _, key := range k.keys {
		if key.name == sealedBy(sealed) {
			if text, err := key.aead.Open(nil, nil, sealed[9:], append(sealed[:9:9], place...)); err == nil {
				return text, nil
			}
		}
	}
	return nil, ErrSealed
}

// sealedBy names the key that sealed a text.
func sealedBy(sealed []byte) keyName { return keyName(sealed[1:9]) }

// sealer names the key that seals; zero without keys.
func (k *Keys) sealer() (name keyName) {
	if k != nil {
		name = k.keys[0].name
	}
	return name
}
