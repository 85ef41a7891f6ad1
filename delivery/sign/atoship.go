package sign

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/textproto"
	"strings"
	"time"
)

// hexPrefix names the algorithm before the digits, as GitHub's
// X-Hub-Signature-256 does; the two schemes differ in the header's name only.
const hexPrefix = "sha256="

// atoship signs the body alone: <Prefix>-Signature holds "sha256=" and the
// lowercase hex HMAC-SHA256 of the raw body, whose key is the secret string
// in UTF-8, a whsec_ included.
//
// It signs neither time nor id. A captured request verifies for ever, and
// under another id: receivers that need more use standard.
type atoship struct{}

func (atoship) Name() string { return "atoship" }

func (atoship) NewSigner(secrets []Secret, o Options) (Signer, error) {
	keys, err := newKeys(secrets, literalKey)
	if err != nil {
		return nil, err
	}
	return &atoshipKeys{keys: keys, header: signatureHeader(o)}, nil
}

func (atoship) NewVerifier(secrets []Secret, o Options) (Verifier, error) {
	if o.Tolerance != 0 {
		return nil, fmt.Errorf("scheme atoship: %w", ErrNoTimestamp)
	}
	keys, err := newKeys(secrets, literalKey)
	if err != nil {
		return nil, err
	}
	id := textproto.CanonicalMIMEHeaderKey(o.prefix() + "-Event-Id")
	return &atoshipKeys{keys: keys, header: signatureHeader(o), idHeader: id}, nil
}

func signatureHeader(o Options) string {
	return textproto.CanonicalMIMEHeaderKey(o.prefix() + "-Signature")
}

type atoshipKeys struct {
	keys     []*key
	header   string // canonical
	idHeader string // canonical; verifying only
}

// Sign uses the newest live secret: the header holds one value, and
// receivers refuse a list.
func (s *atoshipKeys) Sign(h http.Header, m *Message) error {
	for _, k := range s.keys {
		if !k.live(m.Timestamp) {
			continue
		}
		var text [len(hexPrefix) + 2*sha256.Size]byte
		copy(text[:], hexPrefix)
		mc := k.get()
		mc.hash.Write(m.Body)
		hex.Encode(text[len(hexPrefix):], mc.hash.Sum(mc.sum[:0]))
		k.put(mc)
		h[s.header] = []string{string(text[:])}
		return nil
	}
	return fmt.Errorf("signing with scheme atoship: %w", ErrNoSecret)
}

// Verify takes the id from <Prefix>-Event-Id, which is not signed.
func (s *atoshipKeys) Verify(h http.Header, body []byte, now time.Time) (string, error) {
	signature, id := h[s.header], h[s.idHeader]
	switch {
	case len(signature) == 0 || signature[0] == "":
		return "", missing(s.header)
	case len(id) == 0 || id[0] == "":
		return "", missing(s.idHeader)
	case len(signature) > 1 || len(id) > 1:
		return "", ErrBadSignature // two lines: which of them holds is anyone's guess
	}
	digits, ok := strings.CutPrefix(signature[0], hexPrefix)
	if !ok || len(digits) != 2*sha256.Size {
		return "", ErrBadSignature
	}
	var got [sha256.Size]byte
	if _, err := hex.Decode(got[:], []byte(digits)); err != nil {
		return "", ErrBadSignature
	}
	live, match := 0, false
	for _, k := range s.keys {
		if !k.live(now) {
			continue
		}
		live++
		mc := k.get()
		mc.hash.Write(body)
		match = hmac.Equal(mc.hash.Sum(mc.sum[:0]), got[:]) || match
		k.put(mc)
	}
	switch {
	case live == 0:
		return "", fmt.Errorf("verifying with scheme atoship: %w", ErrNoSecret)
	case !match:
		return "", ErrBadSignature
	}
	return id[0], nil
}

func missing(header string) error { return fmt.Errorf("%w: %s", ErrMissingHeader, header) }
