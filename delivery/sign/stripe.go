package sign

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const headerStripe = "Stripe-Signature"

// stripe signs as Stripe's webhooks do: Stripe-Signature holds
// "t=<seconds>,v1=<hex>", one v1 per live secret and no spaces, where the hex
// is the HMAC-SHA256 of "t.body" and the key the secret string in UTF-8, a
// whsec_ included.
//
// It does not sign the event id, so a verifier takes the id of the body when
// that is an event of Stripe's own, which has it there, and else
// <Prefix>-Event-Id, under which a captured request could come again within
// the tolerance.
//
// https://docs.stripe.com/webhooks#verify-manually
type stripe struct{}

func (stripe) Name() string { return "stripe" }

func (stripe) Traits(Options) Traits {
	return Traits{Headers: []string{headerStripe}, Forms: SharedSecret}
}

func (stripe) NewSigner(secrets []Secret, _ Options) (Signer, error) {
	keys, err := newKeys("stripe", secrets, toSign, literalKey)
	if err != nil {
		return nil, err
	}
	return &stripeKeys{keys: keys}, nil
}

func (stripe) NewVerifier(secrets []Secret, o Options) (Verifier, error) {
	keys, err := newKeys("stripe", secrets, toVerify, literalKey)
	if err != nil {
		return nil, err
	}
	tolerance, err := o.tolerance()
	if err != nil {
		return nil, err
	}
	return &stripeKeys{keys: keys, tolerance: tolerance, idHeader: o.own("Event-Id")}, nil
}

type stripeKeys struct {
	keys      []*key
	tolerance time.Duration // verifying only
	idHeader  string        // canonical; verifying only
}

func (s *stripeKeys) Sign(h http.Header, m *Message) error {
	if m.Timestamp.Unix() < 0 {
		return errors.New("signing with scheme stripe: the attempt has no time")
	}
	var digits [20]byte
	timestamp := strconv.AppendInt(digits[:0], m.Timestamp.Unix(), 10)

	var room [256]byte // t and three signatures
	text := append(append(room[:0], "t="...), timestamp...)
	unsigned := len(text)
	for _, k := range s.keys {
		if !k.live(m.Timestamp) {
			continue
		}
		text = append(text, ",v1="...)
		mc := k.get()
		text = hex.AppendEncode(text, mc.timed(timestamp, m.Body))
		k.put(mc)
	}
	if len(text) == unsigned {
		return noSecret(toSign, "stripe")
	}
	h[headerStripe] = []string{string(text)}
	return nil
}

// timed returns the HMAC of "timestamp.body", valid until the mac is put back.
func (m *mac) timed(timestamp, body []byte) []byte {
	m.hash.Write(append(append(m.head[:0], timestamp...), '.'))
	m.hash.Write(body)
	return m.hash.Sum(m.sum[:0])
}

// Verify checks the signature before the timestamp, so that only the holder
// of a genuine message learns that it is stale.
func (s *stripeKeys) Verify(h http.Header, body []byte, now time.Time) (string, error) {
	header, err := single(h, headerStripe)
	if err != nil {
		return "", err
	}
	timestamp, sums := parseStripe(header)
	seconds, ok := parseSeconds(timestamp)
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
		want := mc.timed([]byte(timestamp), body)
		for i := range sums {
			match = hmac.Equal(want, sums[i][:]) || match
		}
		k.put(mc)
	}
	switch {
	case live == 0:
		return "", noSecret(toVerify, "stripe")
	case !match:
		return "", ErrBadSignature
	case stale(seconds, now, s.tolerance):
		return "", ErrStale
	}
	if id := stripeID(body); id != "" {
		return id, nil
	}
	return single(h, s.idHeader)
}

// parseStripe returns the time and the v1 signatures of a header. Other
// versions are skipped, and what is malformed. A second time leaves none.
func parseStripe(header string) (timestamp string, sums [][sha256.Size]byte) {
	seen := 0
	for element := range strings.SplitSeq(header, ",") {
		if seen++; seen > maxEntries {
			break
		}
		name, value, _ := strings.Cut(element, "=")
		switch name {
		case "t":
			if timestamp != "" {
				return "", nil
			}
			timestamp = value
		case "v1":
			if sum, ok := decodeHex(value); ok {
				sums = append(sums, sum)
			}
		}
	}
	return timestamp, sums
}

// stripeID returns the id in the body of an event that Stripe itself made,
// or "". Other bodies may have an id too, but of what, one cannot know: taking
// an order's for the event's would drop its second event as a duplicate.
func stripeID(body []byte) string {
	var event struct{ ID, Object string }
	if json.Unmarshal(body, &event) != nil || event.Object != "event" && event.Object != "v2.core.event" {
		return ""
	}
	return event.ID
}
