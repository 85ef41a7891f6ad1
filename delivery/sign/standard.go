package sign

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Header names of Standard Webhooks 1.0 in canonical form.
const (
	headerID        = "Webhook-Id"
	headerTimestamp = "Webhook-Timestamp"
	headerSignature = "Webhook-Signature"
)

const (
	versionPrefix = "v1,"
	entryLen      = len(versionPrefix) + 44 // 32 bytes are 44 base64 digits

	// maxEntries bounds the signatures looked at in one request: ten keys
	// and as many of a version we do not know. A header full of entries
	// would otherwise buy a stranger work.
	maxEntries = 2 * MaxSecrets
)

// standard is Standard Webhooks 1.0 with symmetric keys (v1): HMAC-SHA256
// over "id.timestamp.body", one "v1,<base64>" per live secret, newest first
// and separated by spaces in a single header line: two lines would be joined
// with ", " on the way and no longer parse.
//
// https://github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md
type standard struct{}

func (standard) Name() string { return "standard" }

func (standard) Traits(Options) Traits {
	return Traits{Headers: []string{headerTimestamp, headerSignature}, Forms: SharedSecret}
}

func (standard) NewSigner(secrets []Secret, _ Options) (Signer, error) {
	keys, err := newKeys("standard", secrets, toSign, standardKey)
	if err != nil {
		return nil, err
	}
	return &standardKeys{shared: keys}, nil
}

func (standard) NewVerifier(secrets []Secret, o Options) (Verifier, error) {
	keys, err := newKeys("standard", secrets, toVerify, standardKey)
	if err != nil {
		return nil, err
	}
	tolerance, err := o.tolerance()
	if err != nil {
		return nil, err
	}
	return &standardKeys{shared: keys, tolerance: tolerance}, nil
}

// standardKeys are those of standard, of standard_ed25519, or of both.
type standardKeys struct {
	shared    []*key        // v1
	pairs     []*edKey      // v1a
	tolerance time.Duration // verifying only
}

// with returns the keys of both.
func (s *standardKeys) with(o *standardKeys) *standardKeys {
	merged := &standardKeys{shared: s.shared, pairs: s.pairs}
	if merged.shared == nil {
		merged.shared = o.shared
	}
	if merged.pairs == nil {
		merged.pairs = o.pairs
	}
	return merged
}

// Sign refuses an id that cannot be signed unambiguously.
func (s *standardKeys) Sign(h http.Header, m *Message) error {
	if !validID(m.ID) {
		return errors.New("signing with scheme standard: the event id is empty, or has a dot, a space or a control character in it")
	}
	if m.Timestamp.Unix() < 0 {
		return errors.New("signing with scheme standard: the attempt has no time")
	}
	var digits [20]byte
	timestamp := strconv.AppendInt(digits[:0], m.Timestamp.Unix(), 10)

	var room [MaxSecrets * (entryLen + 1)]byte
	text, err := s.appendV1(room[:0], timestamp, m)
	if err != nil {
		return err
	}
	if text, err = s.appendV1a(text, timestamp, m); err != nil {
		return err
	}
	text = text[:len(text)-1] // the last space
	values := [...]string{m.ID, string(timestamp), string(text)}
	h[headerID] = values[0:1:1]
	h[headerTimestamp] = values[1:2:2]
	h[headerSignature] = values[2:3:3]
	return nil
}

// appendV1 adds "v1,<base64> " for every live shared key.
func (s *standardKeys) appendV1(text, timestamp []byte, m *Message) ([]byte, error) {
	live := false
	for _, k := range s.shared {
		if !k.live(m.Timestamp) {
			continue
		}
		live = true
		text = append(text, versionPrefix...)
		mc := k.get()
		text = base64.StdEncoding.AppendEncode(text, mc.signed(m.ID, timestamp, m.Body))
		k.put(mc)
		text = append(text, ' ')
	}
	if s.shared != nil && !live {
		return nil, noSecret(toSign, "standard")
	}
	return text, nil
}

// signed returns the HMAC of "id.timestamp.body", valid until the mac is put back.
func (m *mac) signed(id string, timestamp, body []byte) []byte {
	m.hash.Write(appendHead(m.head[:0], id, timestamp))
	m.hash.Write(body)
	return m.hash.Sum(m.sum[:0])
}

// appendHead adds "id.timestamp.".
func appendHead(dst []byte, id string, timestamp []byte) []byte {
	dst = append(append(dst, id...), '.')
	return append(append(dst, timestamp...), '.')
}

// validID keeps "id.timestamp.body" unambiguous and the header one word: with
// a dot in the id, a genuine ("a", 1, "2.x") would also verify as ("a.1", 2, "x").
func validID(id string) bool {
	for i := range len(id) {
		if c := id[i]; c <= ' ' || c == '.' || c >= 0x7f {
			return false
		}
	}
	return id != ""
}

// Verify checks the signature before the timestamp, so that only the holder
// of a genuine message learns that it is stale.
func (s *standardKeys) Verify(h http.Header, body []byte, now time.Time) (string, error) {
	var values [3]string
	for i, name := range [...]string{headerID, headerTimestamp, headerSignature} {
		var err error
		if values[i], err = single(h, name); err != nil {
			return "", err
		}
	}
	id, timestamp, signatures := values[0], values[1], values[2]
	seconds, ok := parseSeconds(timestamp)
	if !ok || !validID(id) {
		return "", ErrBadSignature
	}
	check := s.checkV1
	if s.pairs != nil {
		check = s.checkV1a
	}
	if err := check(id, []byte(timestamp), signatures, body, now); err != nil {
		return "", err
	}
	if stale(seconds, now, s.tolerance) {
		return "", ErrStale
	}
	return id, nil
}

// checkV1 looks for a v1 signature by any live shared key.
func (s *standardKeys) checkV1(id string, timestamp []byte, signatures string, body []byte, now time.Time) error {
	entries := parseEntries(signatures)
	live, match := 0, false
	for _, k := range s.shared {
		if !k.live(now) {
			continue
		}
		live++
		mc := k.get()
		want := mc.signed(id, timestamp, body)
		for i := range entries {
			match = hmac.Equal(want, entries[i][:]) || match
		}
		k.put(mc)
	}
	switch {
	case live == 0:
		return noSecret(toVerify, "standard")
	case !match:
		return ErrBadSignature
	}
	return nil
}

// parseEntries returns the v1 signatures of a header. Other versions are
// skipped, as the specification asks; so is what is malformed.
func parseEntries(header string) [][sha256.Size]byte {
	var found [][sha256.Size]byte
	for digits := range entriesOf(header, versionPrefix) {
		if sum, ok := decodeSum(digits); ok {
			found = append(found, sum)
		}
	}
	return found
}

// entriesOf yields what follows the prefix in every entry of a
// Webhook-Signature header that has it, among the first maxEntries.
func entriesOf(header, prefix string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		seen := 0
		for entry := range strings.SplitSeq(header, " ") {
			if seen++; seen > maxEntries {
				return
			}
			if digits, ok := strings.CutPrefix(entry, prefix); ok && !yield(digits) {
				return
			}
		}
	}
}

// parseSeconds reads a Unix time: decimal digits alone, since a sign, a
// point or a leading zero would be another text for the same time. Twelve
// digits reach past the year 30000, and a duration from now still fits.
func parseSeconds(s string) (int64, bool) {
	if s == "" || len(s) > 12 || s[0] == '0' {
		return 0, false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}
