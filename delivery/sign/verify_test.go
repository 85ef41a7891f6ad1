package sign

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

func verifier(tb testing.TB, scheme string, secrets ...Secret) Verifier {
	tb.Helper()
	s, _ := Lookup(scheme)
	v, err := s.NewVerifier(secrets, Options{})
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

// received checks the guide's request with these headers and body.
func received(v Verifier, h http.Header, body []byte, now time.Time) (string, error) {
	return VerifyRequest(v, &http.Request{Method: http.MethodPost, Host: guideURL.Host, URL: guideURL, Header: h}, body, now)
}

// signed returns the headers of the guide's message, with those that the
// engine adds.
func signed(tb testing.TB, scheme string, secrets ...Secret) http.Header {
	tb.Helper()
	h := guideHeader()
	if err := signer(tb, scheme, secrets...).Sign(h, guideMessage()); err != nil {
		tb.Fatal(err)
	}
	return h
}

func TestVerifyAcceptsWhatSignMade(t *testing.T) {
	t.Parallel()
	older, newer := Secret{Value: olderSecret}, Secret{Value: guideSecret}
	for _, scheme := range Names() {
		a, b := keysFor(scheme)
		older, newer := Secret{Value: b}, Secret{Value: a}
		for _, c := range []struct {
			name             string
			sign, verifyWith []Secret
		}{
			{"one secret on both sides", []Secret{newer}, []Secret{newer}},
			{"the receiver knows the new one and the old one", []Secret{newer}, []Secret{older, newer}},
			{"a sender that has not rotated yet", []Secret{older}, []Secret{newer, older}},
			{"a sender in the middle of a rotation", []Secret{newer, older}, []Secret{newer}},
		} {
			t.Run(scheme+": "+c.name, func(t *testing.T) {
				t.Parallel()
				id, err := received(verifier(t, scheme, c.verifyWith...), signed(t, scheme, c.sign...), []byte(guideBody), guideTime)
				if err != nil || id != "evt_1" {
					t.Errorf("id %q, error %v", id, err)
				}
			})
		}
	}
	for _, scheme := range []string{"standard_ed25519", "rfc9421"} {
		t.Run(scheme+": a receiver that has only the public key", func(t *testing.T) {
			t.Parallel()
			v := verifier(t, scheme, Secret{Value: rfcPublic}, Secret{Value: specPublic})
			if _, err := received(v, signed(t, scheme, Secret{Value: specPrivate}), []byte(guideBody), guideTime); err != nil {
				t.Error(err)
			}
		})
	}
	for _, scheme := range []string{"stripe", "rfc9421"} {
		t.Run(scheme+": a receiver with only the old secret during a rotation", func(t *testing.T) {
			t.Parallel()
			_, err := received(verifier(t, scheme, older), signed(t, scheme, newer, older), []byte(guideBody), guideTime)
			if err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("standard: a receiver with only the old secret during a rotation", func(t *testing.T) {
		t.Parallel()
		_, err := verifier(t, "standard", older).Verify(signed(t, "standard", newer, older), []byte(guideBody), guideTime)
		if err != nil {
			t.Error(err)
		}
	})
	t.Run("standard: entries of other versions are skipped", func(t *testing.T) {
		t.Parallel()
		h := signed(t, "standard", newer)
		h.Set("Webhook-Signature", "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg== "+h.Get("Webhook-Signature"))
		if _, err := verifier(t, "standard", newer).Verify(h, []byte(guideBody), guideTime); err != nil {
			t.Error(err)
		}
	})
}

// unsigned are the headers that a scheme sends or reads but does not sign.
var unsigned = map[string][]string{
	"atoship": {"X-Atoship-Event-Id", "Content-Type"},
	"github":  {"X-Github-Delivery", "X-Github-Event", "X-Atoship-Event-Id", "Content-Type"},
	"stripe":  {"X-Atoship-Event-Id", "Content-Type"},
	"shopify": {"X-Shopify-Webhook-Id", "X-Shopify-Topic", "X-Atoship-Event-Id", "Content-Type"},
	"rfc9421": {"X-Atoship-Event-Id"},

	"standard":         {"X-Atoship-Event-Id", "Content-Type"},
	"standard_ed25519": {"X-Atoship-Event-Id", "Content-Type"},
}

// Every single-bit change of the body or of a signed header is refused.
func TestVerifyRefusesEveryFlippedBit(t *testing.T) {
	t.Parallel()
	for _, scheme := range Names() {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			newer, _ := keysFor(scheme)
			secret := Secret{Value: newer}
			v := verifier(t, scheme, secret)
			for i := range len(guideBody) {
				body := []byte(guideBody)
				body[i] ^= 1 << (i % 8)
				if _, err := received(v, signed(t, scheme, secret), body, guideTime); !errors.Is(err, ErrBadSignature) {
					t.Fatalf("body byte %d flipped: error %v", i, err)
				}
			}
			for name, values := range signed(t, scheme, secret) {
				if slices.Contains(unsigned[scheme], name) {
					continue
				}
				for i := range len(values[0]) {
					h := signed(t, scheme, secret)
					changed := []byte(values[0])
					changed[i] ^= 1
					h[name] = []string{string(changed)}
					if _, err := received(v, h, []byte(guideBody), guideTime); err == nil {
						t.Fatalf("%s byte %d changed to %q was accepted", name, i, changed)
					}
				}
			}
		})
	}
}

func TestVerifyRefusals(t *testing.T) {
	t.Parallel()
	set := func(name, value string) func(http.Header) {
		return func(h http.Header) { h.Set(name, value) }
	}
	del := func(name string) func(http.Header) {
		return func(h http.Header) { h.Del(name) }
	}
	cases := []struct {
		name, scheme string
		change       func(http.Header)
		want         error
	}{
		{"no signature", "atoship", del("X-AtoShip-Signature"), ErrMissingHeader},
		{"no event id", "atoship", del("X-AtoShip-Event-Id"), ErrMissingHeader},
		{"an empty signature", "atoship", set("X-AtoShip-Signature", ""), ErrMissingHeader},
		{"another algorithm", "atoship", set("X-AtoShip-Signature", "sha1="+strings.Repeat("a", 64)), ErrBadSignature},
		{"no hex", "atoship", set("X-AtoShip-Signature", "sha256="+strings.Repeat("x", 64)), ErrBadSignature},
		{"a truncated signature", "atoship", set("X-AtoShip-Signature", guideAtoship[:20]), ErrBadSignature},
		{"a list of signatures", "atoship", set("X-AtoShip-Signature", guideAtoship+","+guideAtoship), ErrBadSignature},
		{"a second signature line", "atoship", func(h http.Header) { h.Add("X-AtoShip-Signature", guideAtoship) }, ErrBadSignature},

		{"no id", "standard", del("webhook-id"), ErrMissingHeader},
		{"no timestamp", "standard", del("webhook-timestamp"), ErrMissingHeader},
		{"no signature", "standard", del("webhook-signature"), ErrMissingHeader},
		{"a second id line", "standard", func(h http.Header) { h.Add("webhook-id", "evt_2") }, ErrBadSignature},
		{"another id", "standard", set("webhook-id", "evt_2"), ErrBadSignature},
		{"another timestamp", "standard", set("webhook-timestamp", "1705314601"), ErrBadSignature},
		{"a timestamp that is no number", "standard", set("webhook-timestamp", "soon"), ErrBadSignature},
		{"a timestamp with a sign", "standard", set("webhook-timestamp", "+1705314600"), ErrBadSignature},
		{"a timestamp past all ranges", "standard", set("webhook-timestamp", "99999999999999999999"), ErrBadSignature},
		{"a signature without version", "standard", set("webhook-signature", strings.TrimPrefix(guideStandard, "v1,")), ErrBadSignature},
		{"only a version we do not know", "standard", set("webhook-signature", "v2"+strings.TrimPrefix(guideStandard, "v1")), ErrBadSignature},
		{"a comma instead of a space, as joined header lines have it", "standard", set("webhook-signature", guideStandard+", "+guideStandard), nil},
		{"the good one after more entries than are looked at", "standard", set("webhook-signature", strings.Repeat("v1,x ", maxEntries)+guideStandard), ErrBadSignature},

		{"no signature", "standard_ed25519", del("webhook-signature"), ErrMissingHeader},
		{"another id", "standard_ed25519", set("webhook-id", "evt_2"), ErrBadSignature},
		{"only a v1 signature", "standard_ed25519", set("webhook-signature", guideStandard), ErrBadSignature},
		{"a signature too short", "standard_ed25519", set("webhook-signature", "v1a,AAAA"), ErrBadSignature},
		{"a v1 beside the good one", "standard_ed25519", func(h http.Header) { h.Set("webhook-signature", guideStandard+" "+h.Get("webhook-signature")) }, nil},

		{"no signature", "github", del("X-Hub-Signature-256"), ErrMissingHeader},
		{"no id", "github", del("X-GitHub-Delivery"), ErrMissingHeader},
		{"the old SHA-1 signature in its place", "github", set("X-Hub-Signature-256", "sha1="+strings.Repeat("a", 40)), ErrBadSignature},
		{"upper-case hex, which Octokit refuses too but is the same value", "github", set("X-Hub-Signature-256", "sha256="+strings.ToUpper(guideAtoship[7:])), nil},

		{"no signature", "shopify", del("X-Shopify-Hmac-Sha256"), ErrMissingHeader},
		{"no id", "shopify", del("X-Shopify-Webhook-Id"), ErrMissingHeader},
		{"base64 that lost its padding", "shopify", set("X-Shopify-Hmac-Sha256", strings.TrimRight(guideShopify, "=")), ErrBadSignature},
		{"base64 with bits to spare set", "shopify", set("X-Shopify-Hmac-Sha256", strings.Replace(guideShopify, "M=", "N=", 1)), ErrBadSignature},
		{"hex instead of base64", "shopify", set("X-Shopify-Hmac-Sha256", guideAtoship), ErrBadSignature},

		{"no signature", "stripe", del("Stripe-Signature"), ErrMissingHeader},
		{"no id anywhere", "stripe", del("X-AtoShip-Event-Id"), ErrMissingHeader},
		{"no time", "stripe", set("Stripe-Signature", "v1="+guideStripe), ErrBadSignature},
		{"two times", "stripe", set("Stripe-Signature", "t=1705314601,t=1705314600,v1="+guideStripe), ErrBadSignature},
		{"another time", "stripe", set("Stripe-Signature", "t=1705314601,v1="+guideStripe), ErrBadSignature},
		{"only a version we do not know", "stripe", set("Stripe-Signature", "t=1705314600,v0="+guideStripe), ErrBadSignature},
		{"a version we do not know beside the good one", "stripe", set("Stripe-Signature", "t=1705314600,v0=00,v1="+guideStripe), nil},
		{"the good one after more entries than are looked at", "stripe", set("Stripe-Signature", "t=1705314600,"+strings.Repeat("v1=x,", maxEntries)+"v1="+guideStripe), ErrBadSignature},
		{"a second signature line", "stripe", func(h http.Header) { h.Add("Stripe-Signature", h.Get("Stripe-Signature")) }, ErrBadSignature},
	}
	for _, c := range cases {
		t.Run(c.scheme+": "+c.name, func(t *testing.T) {
			t.Parallel()
			newer, _ := keysFor(c.scheme)
			secret := Secret{Value: newer}
			h := signed(t, c.scheme, secret)
			c.change(h)
			id, err := verifier(t, c.scheme, secret).Verify(h, []byte(guideBody), guideTime)
			if !errors.Is(err, c.want) || (err != nil && id != "") {
				t.Errorf("id %q, error %v, want %v", id, err, c.want)
			}
		})
	}
}

// An Ed25519 check costs some 50 µs and a hash of the body, so a stranger gets
// only so many for one request.
func TestEd25519ChecksAreBounded(t *testing.T) {
	t.Parallel()
	v := verifier(t, "standard_ed25519", Secret{Value: rfcPublic}, Secret{Value: specPublic})
	bad := "v1a," + strings.Repeat("A", 86) + "== "
	for _, c := range []struct {
		name    string
		entries int // before the good one, each checked with both keys
		want    error
	}{
		{"the good one is found while there are checks left", maxChecks/2 - 1, nil},
		{"and not after them", maxChecks / 2, ErrBadSignature},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := signed(t, "standard_ed25519", Secret{Value: specPrivate})
			h.Set("webhook-signature", strings.Repeat(bad, c.entries)+h.Get("webhook-signature"))
			if _, err := v.Verify(h, []byte(guideBody), guideTime); !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
		})
	}
}

// A genuine ("a", 1700000000, "2.x") must not be a proof for ("a.1700000000", 2, "x").
func TestVerifyRefusesAShiftedDot(t *testing.T) {
	t.Parallel()
	secret := Secret{Value: guideSecret}
	h := http.Header{}
	err := signer(t, "standard", secret).Sign(h, &Message{ID: "a", Timestamp: guideTime, Body: []byte("1705314600.x")})
	if err != nil {
		t.Fatal(err)
	}
	h.Set("webhook-id", "a.1705314600")
	if _, err := verifier(t, "standard", secret).Verify(h, []byte("x"), guideTime); !errors.Is(err, ErrBadSignature) {
		t.Errorf("error %v, want ErrBadSignature", err)
	}
}

func TestTolerance(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name string
		off  time.Duration
		want error
	}{
		{"five minutes late is in time", 5 * time.Minute, nil},
		{"a second more is stale", 5*time.Minute + time.Second, ErrStale},
		{"five minutes early is in time", -5 * time.Minute, nil},
		{"a second more is from the future", -5*time.Minute - time.Second, ErrStale},
	}
	for _, c := range cases {
		for _, scheme := range []string{"standard", "standard_ed25519", "stripe", "rfc9421"} {
			t.Run(scheme+": "+c.name, func(t *testing.T) {
				t.Parallel()
				newer, _ := keysFor(scheme)
				secret := Secret{Value: newer}
				_, err := received(verifier(t, scheme, secret), signed(t, scheme, secret), []byte(guideBody), guideTime.Add(c.off))
				if !errors.Is(err, c.want) {
					t.Errorf("error %v, want %v", err, c.want)
				}
			})
		}
	}
	t.Run("a stale forgery is called a forgery", func(t *testing.T) {
		t.Parallel()
		secret := Secret{Value: guideSecret}
		_, err := verifier(t, "standard", Secret{Value: olderSecret}).Verify(signed(t, "standard", secret), []byte(guideBody), guideTime.Add(time.Hour))
		if !errors.Is(err, ErrBadSignature) {
			t.Errorf("error %v, want ErrBadSignature", err)
		}
	})
	for _, scheme := range []string{"atoship", "github", "shopify"} {
		t.Run(scheme+" refuses a tolerance, which it could not check", func(t *testing.T) {
			t.Parallel()
			s, _ := Lookup(scheme)
			_, err := s.NewVerifier([]Secret{{Value: guideSecret}}, Options{Tolerance: time.Minute})
			if !errors.Is(err, ErrNoTimestamp) || !strings.Contains(err.Error(), scheme) {
				t.Errorf("error %v, want ErrNoTimestamp", err)
			}
		})
	}
	t.Run("a secret past its end verifies nothing", func(t *testing.T) {
		t.Parallel()
		for _, scheme := range Names() {
			newer, _ := keysFor(scheme)
			ended := Secret{Value: newer, Until: guideTime}
			_, err := received(verifier(t, scheme, ended), signed(t, scheme, Secret{Value: newer}), []byte(guideBody), guideTime)
			if !errors.Is(err, ErrNoSecret) {
				t.Errorf("%s: error %v, want ErrNoSecret", scheme, err)
			}
		}
	})
}

func FuzzVerify(f *testing.F) {
	f.Add("evt_1", "1705314600", guideStandard, guideAtoship, guideBody)
	f.Add("", "", "", "", "")
	f.Add("a.b", "-1", "v1,", "sha256=", "\xff")
	f.Add("a", "999999999999", "v1,"+strings.Repeat("=", 44), "sha256="+strings.Repeat("g", 64), "{}")
	f.Add("evt_1", "1705314600", "v1a,AAAA", "t=1705314600,v1="+guideStripe, guideBody)
	var verifiers []Verifier
	for _, scheme := range Names() {
		newer, _ := keysFor(scheme)
		verifiers = append(verifiers, verifier(f, scheme, Secret{Value: newer}))
	}
	f.Fuzz(func(t *testing.T, id, timestamp, standard, other, body string) {
		h := http.Header{
			"Webhook-Id": {id}, "Webhook-Timestamp": {timestamp}, "Webhook-Signature": {standard},
			"X-Atoship-Event-Id": {id}, "X-Atoship-Signature": {other},
			"X-Github-Delivery": {id}, "X-Hub-Signature-256": {other}, "X-Shopify-Webhook-Id": {id}, "X-Shopify-Hmac-Sha256": {other},
			"Stripe-Signature": {other}, "Content-Digest": {digest([]byte(body))}, "Signature-Input": {other}, "Signature": {standard},
		}
		for _, v := range verifiers {
			got, err := received(v, h, []byte(body), guideTime)
			if err == nil && (got != id || body != guideBody) {
				t.Errorf("accepted id %q and body %q", got, body)
			}
		}
	})
}
