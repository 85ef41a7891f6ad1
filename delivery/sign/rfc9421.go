package sign

import (
	"crypto/ed25519"
	"crypto/hmac"
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Header names of RFC 9421 in canonical form.
const (
	headerInput      = "Signature-Input"
	headerSignatures = "Signature"
)

// Algorithm names of the registry in RFC 9421, 6.2.2.
const (
	algHMAC    = "hmac-sha256"
	algEd25519 = "ed25519"
)

// coveredList is what our signatures cover, as it stands in Signature-Input,
// and what a signature must cover for a verifier to trust it. The target is
// signed in parts because a receiver behind a proxy that ends TLS cannot know
// the scheme of @target-uri; the body is signed by its digest.
const coveredList = `("@method" "@authority" "@path" "@query" "content-digest" "content-type" "webhook-id")`

var covered = strings.Split(strings.Trim(coveredList, `()"`), `" "`)

// rfc9421 is HTTP Message Signatures (RFC 9421) with a digest of the body
// (RFC 9530): Content-Digest, Signature-Input and Signature, with one label,
// sig1 and so on, per live secret, newest first. It sets Webhook-Id, which it
// signs.
//
// A shared secret signs with hmac-sha256 under the same key as in standard, a
// whsk_ key with ed25519. keyid is what [KeyID] tells.
//
// created is the time of the attempt. Many libraries refuse what is older
// than a few seconds unless told otherwise; receivers should allow 300.
type rfc9421 struct{}

func (rfc9421) Name() string { return "rfc9421" }

func (rfc9421) Traits(Options) Traits {
	return Traits{
		Headers: []string{headerDigest, headerInput, headerSignatures},
		Forms:   SharedSecret | PrivateKey,
	}
}

func (rfc9421) NewSigner(secrets []Secret, _ Options) (Signer, error) {
	keys, err := newRFCKeys(secrets, toSign, SharedSecret|PrivateKey)
	if err != nil {
		return nil, err
	}
	return &rfcKeys{keys: keys}, nil
}

// NewVerifier returns a [RequestVerifier].
func (rfc9421) NewVerifier(secrets []Secret, o Options) (Verifier, error) {
	keys, err := newRFCKeys(secrets, toVerify, SharedSecret|PrivateKey|PublicKey)
	if err != nil {
		return nil, err
	}
	tolerance, err := o.tolerance()
	if err != nil {
		return nil, err
	}
	return &rfcKeys{keys: keys, tolerance: tolerance}, nil
}

// rfcKey is a key of either kind; one of shared and pair is nil.
type rfcKey struct {
	lifetime
	shared *key
	pair   *edKey
	params string // ;keyid="…";alg="…"
	alg    string
}

func newRFCKeys(secrets []Secret, why purpose, forms Form) ([]*rfcKey, error) {
	var keys []*rfcKey
	err := prepare("rfc9421", secrets, why, forms, func(s Secret) error {
		id, err := KeyID(s.Value)
		if err != nil {
			return err
		}
		k := &rfcKey{lifetime: lifetime{s.Until}, alg: algHMAC}
		if FormOf(s.Value) == SharedSecret {
			k.shared, err = newKey(s, standardKey)
		} else {
			k.alg = algEd25519
			k.pair, err = newEdKey(s)
		}
		k.params = `;keyid="` + id + `";alg="` + k.alg + `"`
		keys = append(keys, k)
		return err
	})
	if err != nil {
		return nil, err
	}
	return keys, nil
}

func (k *rfcKey) appendSignature(dst, base []byte) []byte {
	if k.pair != nil {
		return base64.StdEncoding.AppendEncode(dst, ed25519.Sign(k.pair.private, base))
	}
	mc := k.shared.get()
	defer k.shared.put(mc)
	mc.hash.Write(base)
	return base64.StdEncoding.AppendEncode(dst, mc.hash.Sum(mc.sum[:0]))
}

func (k *rfcKey) verify(base, signature []byte) bool {
	if k.pair != nil {
		return ed25519.Verify(k.pair.public, base, signature)
	}
	mc := k.shared.get()
	defer k.shared.put(mc)
	mc.hash.Write(base)
	return hmac.Equal(mc.hash.Sum(mc.sum[:0]), signature)
}

type rfcKeys struct {
	keys      []*rfcKey
	tolerance time.Duration // verifying only
}

// Sign needs the message's URL and a Content-Type in h.
func (s *rfcKeys) Sign(h http.Header, m *Message) error {
	switch {
	case !validID(m.ID):
		return errors.New("signing with scheme rfc9421: the event id is empty, or has a dot, a space or a control character in it")
	case m.Timestamp.Unix() < 0:
		return errors.New("signing with scheme rfc9421: the attempt has no time")
	case m.URL == nil || len(h[headerContentType]) == 0:
		return errors.New("signing with scheme rfc9421: the attempt has no URL or no content type")
	}
	h[headerDigest] = []string{digest(m.Body)}
	h[headerID] = []string{m.ID}

	var room [1024]byte
	base, ok := targetOf(m).appendLines(room[:0], h, covered)
	if !ok {
		return errors.New("signing with scheme rfc9421: a header that is signed has a line break in it")
	}
	base = append(base, paramsLine...)
	lines := len(base)
	var input, signatures []byte
	n := 0
	for _, k := range s.keys {
		if !k.live(m.Timestamp) {
			continue
		}
		if n++; n > 1 {
			input = append(input, ", "...)
			signatures = append(signatures, ", "...)
		}
		base = append(base[:lines], coveredList...)
		base = append(base, ";created="...)
		base = strconv.AppendInt(base, m.Timestamp.Unix(), 10)
		base = append(base, k.params...)

		input = appendLabel(input, n)
		input = append(input, base[lines:]...)
		signatures = append(appendLabel(signatures, n), ':')
		signatures = append(k.appendSignature(signatures, base), ':')
	}
	if n == 0 {
		return noSecret(toSign, "rfc9421")
	}
	h[headerInput] = []string{string(input)}
	h[headerSignatures] = []string{string(signatures)}
	return nil
}

func appendLabel(dst []byte, n int) []byte {
	return append(strconv.AppendInt(append(dst, "sig"...), int64(n), 10), '=')
}
