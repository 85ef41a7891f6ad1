package sign

import (
	"errors"
	"net/http"
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

// signed returns the headers of the guide's message, with the event id
// header that the engine adds.
func signed(tb testing.TB, scheme string, secrets ...Secret) http.Header {
	tb.Helper()
	h := http.Header{"X-Atoship-Event-Id": {"evt_1"}}
	if err := signer(tb, scheme, secrets...).Sign(h, guideMessage()); err != nil {
		tb.Fatal(err)
	}
	return h
}

func TestVerifyAcceptsWhatSignMade(t *testing.T) {
	t.Parallel()
	older, newer := Secret{Value: olderSecret}, Secret{Value: guideSecret}
	cases := []struct {
		name             string
		sign, verifyWith []Secret
	}{
		{"one secret on both sides", []Secret{newer}, []Secret{newer}},
		{"the receiver knows the new one and the old one", []Secret{newer}, []Secret{older, newer}},
		{"an atoship sender that has not rotated yet", []Secret{older}, []Secret{newer, older}},
	}
	for _, c := range cases {
		for _, scheme := range Names() {
			t.Run(scheme+": "+c.name, func(t *testing.T) {
				t.Parallel()
				id, err := verifier(t, scheme, c.verifyWith...).Verify(signed(t, scheme, c.sign...), []byte(guideBody), guideTime)
				if err != nil || id != "evt_1" {
					t.Errorf("id %q, error %v", id, err)
				}
			})
		}
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

// Every single-bit change of the body, the id, the timestamp or the
// signature is refused, except in atoship's unsigned id.
func TestVerifyRefusesEveryFlippedBit(t *testing.T) {
	t.Parallel()
	for _, scheme := range Names() {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			secret := Secret{Value: guideSecret}
			v := verifier(t, scheme, secret)
			for i := range len(guideBody) {
				body := []byte(guideBody)
				body[i] ^= 1 << (i % 8)
				if _, err := v.Verify(signed(t, scheme, secret), body, guideTime); !errors.Is(err, ErrBadSignature) {
					t.Fatalf("body byte %d flipped: error %v", i, err)
				}
			}
			for name, values := range signed(t, scheme, secret) {
				if name == "X-Atoship-Event-Id" {
					continue
				}
				for i := range len(values[0]) {
					h := signed(t, scheme, secret)
					changed := []byte(values[0])
					changed[i] ^= 1
					h[name] = []string{string(changed)}
					if _, err := v.Verify(h, []byte(guideBody), guideTime); err == nil {
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
	}
	for _, c := range cases {
		t.Run(c.scheme+": "+c.name, func(t *testing.T) {
			t.Parallel()
			secret := Secret{Value: guideSecret}
			h := signed(t, c.scheme, secret)
			c.change(h)
			id, err := verifier(t, c.scheme, secret).Verify(h, []byte(guideBody), guideTime)
			if !errors.Is(err, c.want) || (err != nil && id != "") {
				t.Errorf("id %q, error %v, want %v", id, err, c.want)
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
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			secret := Secret{Value: guideSecret}
			_, err := verifier(t, "standard", secret).Verify(signed(t, "standard", secret), []byte(guideBody), guideTime.Add(c.off))
			if !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
		})
	}
	t.Run("a stale forgery is called a forgery", func(t *testing.T) {
		t.Parallel()
		secret := Secret{Value: guideSecret}
		_, err := verifier(t, "standard", Secret{Value: olderSecret}).Verify(signed(t, "standard", secret), []byte(guideBody), guideTime.Add(time.Hour))
		if !errors.Is(err, ErrBadSignature) {
			t.Errorf("error %v, want ErrBadSignature", err)
		}
	})
	t.Run("atoship refuses a tolerance, which it could not check", func(t *testing.T) {
		t.Parallel()
		_, err := atoship{}.NewVerifier([]Secret{{Value: guideSecret}}, Options{Tolerance: time.Minute})
		if !errors.Is(err, ErrNoTimestamp) {
			t.Errorf("error %v, want ErrNoTimestamp", err)
		}
	})
	t.Run("a secret past its end verifies nothing", func(t *testing.T) {
		t.Parallel()
		secret := Secret{Value: guideSecret}
		ended := Secret{Value: guideSecret, Until: guideTime}
		for _, scheme := range Names() {
			_, err := verifier(t, scheme, ended).Verify(signed(t, scheme, secret), []byte(guideBody), guideTime)
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
	secret := Secret{Value: guideSecret}
	verifiers := []Verifier{verifier(f, "atoship", secret), verifier(f, "standard", secret)}
	f.Fuzz(func(t *testing.T, id, timestamp, standard, atoship, body string) {
		h := http.Header{
			"Webhook-Id": {id}, "Webhook-Timestamp": {timestamp}, "Webhook-Signature": {standard},
			"X-Atoship-Event-Id": {id}, "X-Atoship-Signature": {atoship},
		}
		for _, v := range verifiers {
			got, err := v.Verify(h, []byte(body), guideTime)
			if err == nil && (got != id || body != guideBody) {
				t.Errorf("accepted id %q and body %q", got, body)
			}
		}
	})
}
