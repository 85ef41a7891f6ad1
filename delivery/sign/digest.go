package sign

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
)

// headerDigest in canonical form.
const headerDigest = "Content-Digest"

// digest is the Content-Digest of a body (RFC 9530, 2).
func digest(body []byte) string {
	const prefix = "sha-256=:"
	var room [len(prefix) + 44 + 1]byte
	sum := sha256.Sum256(body)
	text := base64.StdEncoding.AppendEncode(append(room[:0], prefix...), sum[:])
	return string(append(text, ':'))
}

// digestMatches reports whether a Content-Digest has a digest that we know,
// and every one of those is the body's.
func digestMatches(header string, body []byte) bool {
	digests, ok := parseBytes(header)
	if !ok {
		return false
	}
	known := 0
	if got, ok := digests["sha-256"]; ok {
		if want := sha256.Sum256(body); !bytes.Equal(got, want[:]) {
			return false
		}
		known++
	}
	if got, ok := digests["sha-512"]; ok {
		if want := sha512.Sum512(body); !bytes.Equal(got, want[:]) {
			return false
		}
		known++
	}
	return known > 0
}
