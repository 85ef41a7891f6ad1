package sign

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/textproto"
	"time"
)

// hexPrefix names the algorithm before the digits of the hexadecimal schemes.
const hexPrefix = "sha256="

// bodyLayout tells how a scheme that signs the body alone puts the HMAC into
// its header: atoship, github and shopify differ in nothing else.
//
// Such schemes sign neither time nor id. A captured request verifies for
// ever, and under another id: receivers that need more use standard.
type bodyLayout struct {
	scheme    string
	signature string // header with the HMAC, canonical
	id        string // header with the event id, canonical; not signed
	event     string // header with the event type, canonical; "" if the scheme has none
	setsID    bool   // whether signing sets id; otherwise the sender does
	base64    bool   // standard base64 with padding, instead of "sha256=" and lowercase hex
}

func (l *bodyLayout) traits() Traits {
	t := Traits{Headers: []string{l.signature}, Forms: SharedSecret}
	if l.setsID {
		t.Headers = append(t.Headers, l.id)
	}
	if l.event != "" {
		t.Headers = append(t.Headers, l.event)
	}
	return t
}

// signer and verifier have the same keys: what the secret string is in UTF-8.
func (l *bodyLayout) signer(secrets []Secret) (Signer, error) {
	keys, err := newKeys(l.scheme, secrets, toSign, literalKey)
	if err != nil {
		return nil, err
	}
	return &bodyKeys{bodyLayout: l, keys: keys}, nil
}

func (l *bodyLayout) verifier(secrets []Secret, o Options) (Verifier, error) {
	if o.Tolerance != 0 {
		return nil, fmt.Errorf("scheme %s: %w", l.scheme, ErrNoTimestamp)
	}
	keys, err := newKeys(l.scheme, secrets, toVerify, literalKey)
	if err != nil {
		return nil, err
	}
	return &bodyKeys{bodyLayout: l, keys: keys}, nil
}

type bodyKeys struct {
	*bodyLayout
	keys []*key
}

// Sign uses the newest live secret: the header holds one value, and
// receivers refuse a list.
func (s *bodyKeys) Sign(h http.Header, m *Message) error {
	for _, k := range s.keys {
		if !k.live(m.Timestamp) {
			continue
		}
		var room [len(hexPrefix) + 2*sha256.Size]byte
		mc := k.get()
		mc.hash.Write(m.Body)
		text := s.encode(room[:0], mc.hash.Sum(mc.sum[:0]))
		k.put(mc)
		h[s.signature] = []string{string(text)}
		if s.setsID {
			h[s.id] = []string{m.ID}
		}
		if s.event != "" && len(h[s.event]) == 0 {
			h[s.event] = []string{m.Type}
		}
		return nil
	}
	return noSecret(toSign, s.scheme)
}

func (l *bodyLayout) encode(dst, sum []byte) []byte {
	if l.base64 {
		return base64.StdEncoding.AppendEncode(dst, sum)
	}
	return hex.AppendEncode(append(dst, hexPrefix...), sum)
}

// Verify takes the id from its header, which is not signed.
func (s *bodyKeys) Verify(h http.Header, body []byte, now time.Time) (string, error) {
	signature, err := single(h, s.signature)
	if err != nil {
		return "", err
	}
	id, err := single(h, s.id)
	if err != nil {
		return "", err
	}
	got, ok := s.decode(signature)
	if !ok {
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
		return "", noSecret(toVerify, s.scheme)
	case !match:
		return "", ErrBadSignature
	}
	return id, nil
}

func (l *bodyLayout) decode(signature string) ([sha256.Size]byte, bool) {
	if l.base64 {
		return decodeSum(signature)
	}
	if len(signature) != len(hexPrefix)+2*sha256.Size || signature[:len(hexPrefix)] != hexPrefix {
		return [sha256.Size]byte{}, false
	}
	return decodeHex(signature[len(hexPrefix):])
}

// decodeHex reads the 64 digits of a hexadecimal HMAC.
func decodeHex(digits string) (sum [sha256.Size]byte, ok bool) {
	if len(digits) != 2*sha256.Size {
		return sum, false
	}
	_, err := hex.Decode(sum[:], []byte(digits))
	return sum, err == nil
}

// decodeSum reads the 44 characters of an HMAC in base64.
func decodeSum(digits string) (sum [sha256.Size]byte, ok bool) {
	var room [sha256.Size + 1]byte // the decoder wants room for 44 digits without padding
	if len(digits) != base64.StdEncoding.EncodedLen(sha256.Size) {
		return sum, false
	}
	n, err := base64.StdEncoding.Strict().Decode(room[:], []byte(digits))
	return [sha256.Size]byte(room[:sha256.Size]), err == nil && n == sha256.Size
}

// single returns the value of a header that must be there exactly once: of
// two lines, which one holds is anyone's guess.
func single(h http.Header, name string) (string, error) {
	switch v := h[name]; {
	case len(v) == 0 || v[0] == "":
		return "", fmt.Errorf("%w: %s", ErrMissingHeader, name)
	case len(v) > 1:
		return "", ErrBadSignature
	default:
		return v[0], nil
	}
}

// own is the name of one of the sender's own headers.
func (o Options) own(suffix string) string {
	return textproto.CanonicalMIMEHeaderKey(o.prefix() + "-" + suffix)
}
