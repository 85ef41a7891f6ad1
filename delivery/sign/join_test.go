package sign

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func lookup(t *testing.T, names ...string) []Scheme {
	t.Helper()
	var list []Scheme
	for _, name := range names {
		s, ok := Lookup(name)
		if !ok {
			t.Fatalf("no scheme %q", name)
		}
		list = append(list, s)
	}
	return list
}

// Two lines of webhook-signature would be joined with ", " on the way, and no
// receiver's library would find its signature.
func TestStandardAndItsEd25519FormShareOneHeaderLine(t *testing.T) {
	t.Parallel()
	secrets := []Secret{{Value: specPrivate}, {Value: guideSecret}, {Value: olderSecret}, {Value: rfcPrivate}}
	for _, order := range [][]string{{"standard", "standard_ed25519"}, {"standard_ed25519", "standard"}, {"standard_ed25519", "rfc9421", "atoship", "standard"}} {
		s, err := New(lookup(t, order...), secrets, Options{})
		if err != nil {
			t.Fatal(err)
		}
		h := guideHeader()
		if err := s.Sign(h, guideMessage()); err != nil {
			t.Fatal(err)
		}
		if len(h["Webhook-Signature"]) != 1 {
			t.Fatalf("%v: lines %q", order, h["Webhook-Signature"])
		}
		entries := strings.Split(h.Get("webhook-signature"), " ")
		if len(entries) != 4 || entries[0] != guideStandard || entries[1] != olderStandard ||
			!strings.HasPrefix(entries[2], "v1a,") || !strings.HasPrefix(entries[3], "v1a,") {
			t.Errorf("%v: entries %q", order, entries)
		}
		for scheme, secret := range map[string]string{"standard": olderSecret, "standard_ed25519": rfcPublic} {
			if _, err := received(verifier(t, scheme, Secret{Value: secret}), h, []byte(guideBody), guideTime); err != nil {
				t.Errorf("%v: %s: %v", order, scheme, err)
			}
		}
	}
}

func TestEveryBuiltInSchemeGoesWithEveryOther(t *testing.T) {
	t.Parallel()
	secrets := []Secret{{Value: guideSecret}, {Value: specPrivate}}
	s, err := New(lookup(t, Names()...), secrets, Options{})
	if err != nil {
		t.Fatal(err)
	}
	h := guideHeader()
	if err := s.Sign(h, guideMessage()); err != nil {
		t.Fatal(err)
	}
	for name, lines := range h {
		if len(lines) != 1 {
			t.Errorf("%s has %d lines", name, len(lines))
		}
	}
	for _, scheme := range Names() {
		newer, _ := keysFor(scheme)
		if id, err := received(verifier(t, scheme, Secret{Value: newer}), h, []byte(guideBody), guideTime); err != nil || id != "evt_1" {
			t.Errorf("%s: id %q, error %v", scheme, id, err)
		}
	}
}

// rival is a scheme of somebody else that writes a header of ours.
type rival struct{ standard }

func (rival) Name() string          { return "rival" }
func (rival) Traits(Options) Traits { return Traits{Headers: []string{"Stripe-Signature"}} }

func TestNewRefusesWhatCouldNotWork(t *testing.T) {
	t.Parallel()
	shared, pair := Secret{Value: guideSecret}, Secret{Value: specPrivate}
	past := time.Now().Add(-time.Hour)
	cases := []struct {
		name    string
		schemes []Scheme
		secrets []Secret
		prefix  string
		want    string
	}{
		{"no scheme", nil, []Secret{shared}, "", "no scheme"},
		{"a scheme twice", lookup(t, "standard", "standard"), []Secret{shared}, "", "signature standard and signature standard both write the header Webhook-Timestamp"},
		{"a scheme twice with its other form between", lookup(t, "standard", "standard_ed25519", "standard"), []Secret{shared, pair}, "", "signature standard and signature standard both write"},
		{"a prefix that makes atoship write standard's header", lookup(t, "atoship", "standard"), []Secret{shared}, "webhook", "signature atoship and signature standard both write the header Webhook-Signature"},
		{"a prefix that makes atoship write stripe's header", lookup(t, "stripe", "atoship"), []Secret{shared}, "Stripe", "both write the header Stripe-Signature"},
		{"a prefix that makes the gateway write github's header", lookup(t, "github"), []Secret{shared}, "x-github", "X-Github-Delivery, which with the header prefix x-github"},
		{"a guest that writes a header of ours", append(lookup(t, "stripe"), rival{}), []Secret{shared}, "", "signature stripe and signature rival both write"},
		{"no secret at all", lookup(t, "atoship"), nil, "", "signature atoship needs a shared secret"},
		{"no secret of the form that a scheme needs", lookup(t, "standard", "standard_ed25519"), []Secret{shared}, "", "signature standard_ed25519 needs an Ed25519 private key (whsk_), and no secret is one"},
		{"a guest that says nothing of forms gets no Ed25519 key", []Scheme{rival{}}, []Secret{pair}, "", "secret 1 is an Ed25519 private key (whsk_), which signature rival cannot use"},
		{"a secret that no scheme uses", lookup(t, "atoship", "standard"), []Secret{shared, pair}, "", "secret 2 is an Ed25519 private key (whsk_), which signature atoship standard cannot use"},
		{"a public key", lookup(t, "standard_ed25519"), []Secret{pair, {Value: specPublic}}, "", "secret 2 is an Ed25519 public key (whpk_)"},
		{"a scheme whose every secret has ended", lookup(t, "standard", "standard_ed25519"), []Secret{shared, {Value: specPrivate, Until: past}}, "", "signature standard_ed25519 needs an Ed25519 private key (whsk_), and every one has passed its end"},
		{"a secret that cannot be read", lookup(t, "atoship", "standard"), []Secret{{Value: "whsec_s3cr3t!"}}, "", "signature standard: preparing signatures, secret 1 of 1"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := New(c.schemes, c.secrets, Options{Prefix: c.prefix})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want %q in it", err, c.want)
			}
			if strings.Contains(err.Error(), "s3cr3t") || strings.Contains(err.Error(), specPrivate[5:]) || strings.Contains(err.Error(), specPublic[5:]) {
				t.Errorf("error shows a secret: %v", err)
			}
		})
	}
}

// When both forms are asked for, one alone would leave half of the receivers
// without a signature.
func TestMergedSignersNeedALiveKeyEach(t *testing.T) {
	t.Parallel()
	end := guideTime
	for name, secrets := range map[string][]Secret{
		"standard":         {{Value: guideSecret, Until: end}, {Value: specPrivate}},
		"standard_ed25519": {{Value: guideSecret}, {Value: specPrivate, Until: end}},
	} {
		s := Join(signer(t, "standard", secrets...), signer(t, "standard_ed25519", secrets...))
		h := http.Header{}
		if err := s.Sign(h, guideMessage()); err == nil || !strings.HasSuffix(err.Error(), "scheme "+name+": "+ErrNoSecret.Error()) {
			t.Errorf("%s has ended: error %v, headers %v", name, err, h)
		}
	}
}
