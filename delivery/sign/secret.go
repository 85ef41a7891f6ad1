package sign

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	// MaxSecrets bounds the secrets of one endpoint. Every live one costs an
	// HMAC and 47 header bytes in each attempt, so an endless rotation would
	// slow deliveries and overflow the receiver's header limit.
	MaxSecrets = 10

	// MaxSecretBytes bounds one secret. Real ones have 24 to 64 bytes; a
	// longer one is a file given by mistake.
	MaxSecretBytes = 1024

	// minKeyBytes and maxKeyBytes are the key sizes Standard Webhooks 1.0 asks for.
	minKeyBytes = 24
	maxKeyBytes = 64

	redacted = "[redacted]"
)

// Secret is one signing secret of an endpoint.
//
// However it is printed, logged or marshalled it reads "[redacted]", on its
// own and inside exported fields. Two things get past that: reading Value, and
// fmt with an unexported field of type Secret, for which fmt may not call
// methods. A store that keeps secrets encrypts Value itself.
type Secret struct {
	// Value is the secret as both sides know it, with its whsec_ if it has
	// one, or an Ed25519 key, see [Form].
	Value string
	// Until is when it stops being used. Zero means no end.
	Until time.Time
}

// Live reports whether the secret is in use at now. It is not from Until on.
func (s Secret) Live(now time.Time) bool {
	return s.Until.IsZero() || now.Before(s.Until)
}

// String returns "[redacted]".
func (Secret) String() string { return redacted }

// GoString returns "[redacted]".
func (Secret) GoString() string { return redacted }

// Format writes "[redacted]" whatever the verb: %x and %d would otherwise
// take the fields apart.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue logs "[redacted]".
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON encodes "[redacted]".
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// MarshalText encodes "[redacted]", for map keys, YAML and the like.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Live returns the secrets in use at now, in their order.
func Live(secrets []Secret, now time.Time) []Secret {
	var live []Secret
	for _, s := range secrets {
		if s.Live(now) {
			live = append(live, s)
		}
	}
	return live
}

// Generate makes a new shared secret: whsec_ and 32 random bytes in base64.
// Every scheme for shared secrets takes it: standard and rfc9421 decoded, the
// others as it stands.
func Generate() string {
	var key [32]byte
	_, _ = rand.Read(key[:]) // never fails: it ends the program instead
	return standardPrefix + base64.StdEncoding.EncodeToString(key[:])
}

// StandardForm returns the secret as receivers' Standard Webhooks libraries
// need it: unchanged if it starts with whsec_, else whsec_ and its bytes in
// base64. It is the secret: show it only where the secret may be shown. An
// Ed25519 key is returned as it is; receivers get its [PublicKeyOf].
func StandardForm(secret string) string {
	if strings.HasPrefix(secret, standardPrefix) || FormOf(secret) != SharedSecret {
		return secret
	}
	return standardPrefix + base64.StdEncoding.EncodeToString([]byte(secret))
}

// Warnings says what is unwise about a secret that would still be accepted;
// none is nil. The texts start with "secret" and do not contain it.
func Warnings(secret string) []string {
	key, err := standardKey(secret)
	if err != nil {
		key = []byte(secret)
	}
	var w []string
	switch {
	case FormOf(secret) != SharedSecret: // those have one size
	case len(key) < minKeyBytes:
		w = append(w, fmt.Sprintf("secret has %d bytes of key, use at least %d: a short one can be guessed from a captured request", len(key), minKeyBytes))
	case len(key) > maxKeyBytes:
		w = append(w, fmt.Sprintf("secret has %d bytes of key: some Standard Webhooks libraries refuse more than %d", len(key), maxKeyBytes))
	}
	if strings.TrimSpace(secret) != secret {
		w = append(w, "secret starts or ends with a space, which is part of the key")
	}
	return w
}

// checkSecret refuses what both sides could not read as the same key. An
// error names no part of the secret.
func checkSecret(secret string) error {
	switch {
	case secret == "":
		return errors.New("secret is empty")
	case len(secret) > MaxSecretBytes:
		return fmt.Errorf("secret has %d bytes, at most %d are allowed", len(secret), MaxSecretBytes)
	case !utf8.ValidString(secret):
		return errors.New("secret is not valid UTF-8")
	case strings.ContainsFunc(secret, unicode.IsControl):
		return errors.New("secret contains a line break or another control character (does the file end in an empty line?)")
	}
	return nil
}

// standardKey returns the HMAC key of standard and rfc9421: the decoded base64
// after whsec_, or the bytes of a secret without that prefix.
func standardKey(secret string) ([]byte, error) {
	rest, ok := strings.CutPrefix(secret, standardPrefix)
	if !ok {
		return []byte(secret), nil
	}
	key, err := base64.StdEncoding.Strict().DecodeString(rest)
	if err != nil || len(key) == 0 {
		// The decoder's own error tells an offset only, but would be of no
		// use without the text, which may not be shown.
		return nil, errors.New("secret starts with whsec_ but what follows is not standard base64 with padding")
	}
	return key, nil
}

// Compile-time guards.
var (
	_ fmt.Formatter  = Secret{}
	_ fmt.GoStringer = Secret{}
	_ slog.LogValuer = Secret{}
)
