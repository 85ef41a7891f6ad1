package sign

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
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

func (standard) NewSigner(secrets []Secret, _ Options) (Signer, error) {
	keys, err := newKeys(secrets, standardKey)
	if err != nil {
		return nil, err
	}
	return &standardKeys{keys: keys}, nil
}

func (standard) NewVerifier(secrets []Secret, o Options) (Verifier, error) {
	keys, err := newKeys(secrets, standardKey)
	if err != nil {
		return nil, err
	}
	if o.Tolerance < 0 {
		return nil, errors.New("preparing signatures: tolerance is negative")
	}
	if o.Tolerance == 0 {
		o.Tolerance = DefaultTolerance
	}
	return &standardKeys{keys: keys, tolerance: o.Tolerance}, nil
}

type standardKeys struct {
	keys      []*key
	tolerance time.Duration // verifying only
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
	text := room[:0]
	for _, k := range s.keys {
		if !k.live(m.Timestamp) {
			continue
		}
		if len(text) > 0 {
			text = append(text, ' ')
		}
		text = append(text, versionPrefix...)
		mc := k.get()
		text = base64.StdEncoding.AppendEncode(text, mc.signed(m.ID, timestamp, m.Body))
		k.put(mc)
	}
	if len(text) == 0 {
		return fmt.Errorf("signing with scheme standard: %w", ErrNoSecret)
	}
	values := [...]string{m.ID, string(timestamp), string(text)}
	h[headerID] = values[0:1:1]
	h[headerTimestamp] = values[1:2:2]
	h[headerSignature] = values[2:3:3]
	return nil
}

// signed returns the HMAC of "id.timestamp.body", valid until the mac is put back.
func (m *mac) signed(id string, timestamp, body []byte) []byte {
	head := append(m.head[:0], id...)
	head = append(head, '.')
	head = append(head, timestamp...)
	head = append(head, '.')
	m.hash.Write(head)
	m.hash.Write(body)
	return m.hash.Sum(m.sum[:0])
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
	for _, name := range [...]string{headerID, headerTimestamp, headerSignature} {
		switch v := h[name]; {
		case len(v) == 0 || v[0] == "":
			return "", missing(name)
		case len(v) > 1:
			return "", ErrBadSignature // two lines: which of them holds is anyone's guess
		}
	}
	id, timestamp := h[headerID][0], h[headerTimestamp][0]
	seconds, ok := parseSeconds(timestamp)
	if !ok || !validID(id) {
		return "", ErrBadSignature
	}
	entries := parseEntries(h[headerSignature][0])

	live, match := 0, false
	for _, k := range s.keys {
		if !k.live(now) {
			continue
		}
		live++
		mc := k.get()
		want := mc.signed(id, []byte(timestamp), body)
		for i := range entries {
			match = hmac.Equal(want, entries[i][:]) || match
		}
		k.put(mc)
	}
	switch {
	case live == 0:
		return "", fmt.Errorf("verifying with scheme standard: %w", ErrNoSecret)
	case !match:
		return "", ErrBadSignature
	}
	if off := now.Sub(time.Unix(seconds, 0)); off > s.tolerance || off < -s.tolerance {
		return "", ErrStale
	}
	return id, nil
}

// parseEntries returns the v1 signatures of a header. Other versions are
// skipped, as the specification asks; so is what is malformed.
func parseEntries(header string) [][sha256.Size]byte {
	var found [][sha256.Size]byte
	seen := 0
	for entry := range strings.SplitSeq(header, " ") {
		if seen++; seen > maxEntries {
			break
		}
		digits, ok := strings.CutPrefix(entry, versionPrefix)
		if !ok || len(entry) != entryLen {
			continue
		}
		var sum [sha256.Size + 1]byte // the decoder wants room for 44 digits without padding
		if n, err := base64.StdEncoding.Strict().Decode(sum[:], []byte(digits)); err == nil && n == sha256.Size {
			found = append(found, [sha256.Size]byte(sum[:n]))
		}
	}
	return found
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
