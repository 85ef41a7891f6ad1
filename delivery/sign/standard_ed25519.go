package sign

import (
	"crypto/ed25519"
	"encoding/base64"
	"time"
)

const versionPrefixA = "v1a,"

// standardEd25519 is Standard Webhooks 1.0 with key pairs (v1a): an Ed25519
// signature of "id.timestamp.body" per live whsk_ key, "v1a,<base64>" in the
// same single line as the v1 entries of standard. Receivers hold only the
// public key, see [PublicKeyOf], and cannot sign what they can verify.
type standardEd25519 struct{}

func (standardEd25519) Name() string { return "standard_ed25519" }

func (standardEd25519) Traits(Options) Traits {
	return Traits{Headers: []string{headerTimestamp, headerSignature}, Forms: PrivateKey}
}

func (standardEd25519) NewSigner(secrets []Secret, _ Options) (Signer, error) {
	keys, err := newEdKeys(secrets, toSign, PrivateKey)
	if err != nil {
		return nil, err
	}
	return &standardKeys{pairs: keys}, nil
}

// NewVerifier takes whpk_ and whsk_ keys.
func (standardEd25519) NewVerifier(secrets []Secret, o Options) (Verifier, error) {
	keys, err := newEdKeys(secrets, toVerify, PublicKey|PrivateKey)
	if err != nil {
		return nil, err
	}
	tolerance, err := o.tolerance()
	if err != nil {
		return nil, err
	}
	return &standardKeys{pairs: keys, tolerance: tolerance}, nil
}

func newEdKeys(secrets []Secret, why purpose, forms Form) ([]*edKey, error) {
	keys := make([]*edKey, 0, len(secrets))
	err := prepare("standard_ed25519", secrets, why, forms, func(s Secret) error {
		k, err := newEdKey(s)
		keys = append(keys, k)
		return err
	})
	if err != nil {
		return nil, err
	}
	return keys, nil
}

// appendV1a adds "v1a,<base64> " for every live key pair.
func (s *standardKeys) appendV1a(text, timestamp []byte, m *Message) ([]byte, error) {
	var message []byte // the same for all keys
	for _, k := range s.pairs {
		if !k.live(m.Timestamp) {
			continue
		}
		if message == nil {
			message = wholeMessage(m.ID, timestamp, m.Body)
		}
		text = append(text, versionPrefixA...)
		text = base64.StdEncoding.AppendEncode(text, ed25519.Sign(k.private, message))
		text = append(text, ' ')
	}
	if s.pairs != nil && message == nil {
		return nil, noSecret(toSign, "standard_ed25519")
	}
	return text, nil
}

// wholeMessage is "id.timestamp.body" in one piece, which Ed25519 needs: it
// goes over the message twice.
func wholeMessage(id string, timestamp, body []byte) []byte {
	message := make([]byte, 0, len(id)+len(timestamp)+len(body)+2)
	return append(appendHead(message, id, timestamp), body...)
}

// maxChecks bounds the Ed25519 verifications that one request may cost.
// Signatures cannot be told apart by key, so n of them and k keys are up to
// n × k checks, each some 50 µs and a hash of the body: with ten of both a
// stranger would buy 100 hashes of a body of his choice.
const maxChecks = 2 * MaxSecrets

// checkV1a looks for a v1a signature by any live key pair. Nothing here is
// secret, so the first match ends it.
func (s *standardKeys) checkV1a(id string, timestamp []byte, signatures string, body []byte, now time.Time) error {
	var live []*edKey
	for _, k := range s.pairs {
		if k.live(now) {
			live = append(live, k)
		}
	}
	if len(live) == 0 {
		return noSecret(toVerify, "standard_ed25519")
	}
	message := wholeMessage(id, timestamp, body)
	checks := 0
	for digits := range entriesOf(signatures, versionPrefixA) {
		signature, err := base64.StdEncoding.Strict().DecodeString(digits)
		if err != nil || len(signature) != ed25519.SignatureSize {
			continue
		}
		for _, k := range live {
			if checks++; checks > maxChecks {
				return ErrBadSignature
			}
			if ed25519.Verify(k.public, message, signature) {
				return nil
			}
		}
	}
	return ErrBadSignature
}
