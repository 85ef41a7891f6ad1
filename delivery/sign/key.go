package sign

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"hash"
	"sync"
	"time"
)

// key is one secret made ready. A hash that has been reset keeps its padded
// key blocks, so signing 400 bytes takes about 0.5 µs and no allocation
// instead of 1.1 µs and six.
type key struct {
	until time.Time // as Secret.Until
	pool  sync.Pool // of *mac
}

// mac is an HMAC under one key with room for what is hashed and printed, so
// that neither is allocated. It belongs to one goroutine at a time.
type mac struct {
	hash hash.Hash
	head [192]byte // "id.timestamp." of the standard scheme, if it fits
	sum  [sha256.Size]byte
}

// newKeys makes secrets ready, newest first. derive turns a secret into key
// bytes. Errors tell which secret by its place.
func newKeys(secrets []Secret, derive func(string) ([]byte, error)) ([]*key, error) {
	if len(secrets) == 0 {
		return nil, fmt.Errorf("preparing signatures: %w", ErrNoSecret)
	}
	if len(secrets) > MaxSecrets {
		return nil, fmt.Errorf("preparing signatures: %d secrets, at most %d are allowed", len(secrets), MaxSecrets)
	}
	keys := make([]*key, len(secrets))
	for i, s := range secrets {
		err := checkSecret(s.Value)
		var raw []byte
		if err == nil {
			raw, err = derive(s.Value)
		}
		if err != nil {
			return nil, fmt.Errorf("preparing signatures, secret %d of %d: %w", i+1, len(secrets), err)
		}
		k := &key{until: s.Until}
		k.pool.New = func() any { return &mac{hash: hmac.New(sha256.New, raw)} }
		keys[i] = k
	}
	return keys, nil
}

// literalKey is the key of schemes that use the secret string as it is.
func literalKey(secret string) ([]byte, error) { return []byte(secret), nil }

func (k *key) live(now time.Time) bool { return k.until.IsZero() || now.Before(k.until) }

func (k *key) get() *mac {
	m := k.pool.Get().(*mac)
	m.hash.Reset()
	return m
}

func (k *key) put(m *mac) { k.pool.Put(m) }
