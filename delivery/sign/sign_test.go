package sign

import (
	"errors"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// The guide's example payload and the signatures that its printed Node
// snippet, node:crypto and `openssl dgst -hmac` give for it.
const (
	guideBody      = `{"event":"label.created","timestamp":"2024-01-15T10:30:00Z","data":{"label_id":"lbl_abc123","tracking_number":"9400111899223","carrier":"USPS","service":"Priority Mail","order_id":"ord_xyz789"}}`
	guideSecret    = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
	guideAtoship   = "sha256=d5de42b1b56affe75cfcadb1c90d396262f933d7b13114a184b46b8ebd4a4d33"
	guideStandard  = "v1,LxRdXbyZE+Pomf6x+zKUV6r5mZLW6Ta2951bLxq/Rhw="
	olderSecret    = "an older secret of plain text"
	olderStandard  = "v1,CkqLG4w11ZFGKUv4DJglaw6AaCOb6eN5cJvhWtBsdm8="
	guideStripe    = "2935641ed5d020408ee55e1e2f933dc9a1228b51e1e55d76702799531ffc8b61"
	olderStripe    = "7167a144ccc87a9f3eb3d2d14dfbfa9a3c982604f2a2ca0d6547afcef305c4e1"
	guideShopify   = "1d5CsbVq/+dc/K2xyQ05YmL5M9exMRShhLRrjr1KTTM="
	guideTimestamp = 1705314600
)

// Ed25519 keys: Standard Webhooks' own pair, and that of RFC 9421, B.1.4.
const (
	specPrivate = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
	specPublic  = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
	rfcPrivate  = "whsk_n4Ni+HpISpVObnQMW0wOhCKROaIKqKtW/2ZYb2p9KcU=" // the seed alone
	rfcPublic   = "whpk_JrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs="
)

var (
	guideTime = time.Unix(guideTimestamp, 0)
	guideURL  = &url.URL{Scheme: "https", Host: "hooks.example.com", Path: "/in", RawQuery: "x=1"}
)

func guideMessage() *Message {
	return &Message{ID: "evt_1", Type: "label.created", Timestamp: guideTime, URL: guideURL, Body: []byte(guideBody)}
}

// guideHeader is what the engine has set before it signs.
func guideHeader() http.Header {
	return http.Header{"Content-Type": {"application/json"}, "X-Atoship-Event-Id": {"evt_1"}}
}

// keysFor are two keys of a form that the scheme signs with.
func keysFor(scheme string) (newer, older string) {
	if scheme == "standard_ed25519" {
		return specPrivate, rfcPrivate
	}
	return guideSecret, olderSecret
}

func signer(tb testing.TB, scheme string, secrets ...Secret) Signer {
	tb.Helper()
	s, ok := Lookup(scheme)
	if !ok {
		tb.Fatalf("no scheme %q", scheme)
	}
	signer, err := s.NewSigner(secrets, Options{})
	if err != nil {
		tb.Fatal(err)
	}
	return signer
}

func TestPublishedVectors(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, scheme, header, want string
		secrets                    []Secret
		message                    *Message
	}{
		{
			"the guide's payload under atoship is what its Node snippet computes",
			"atoship", "X-Atoship-Signature", guideAtoship,
			[]Secret{{Value: guideSecret}},
			guideMessage(),
		},
		{
			"GitHub's published example",
			"github", "X-Hub-Signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
			[]Secret{{Value: "It's a Secret to Everybody"}},
			&Message{Body: []byte("Hello, World!")},
		},
		{
			"GitHub's published example is the same HMAC under atoship",
			"atoship", "X-Atoship-Signature", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
			[]Secret{{Value: "It's a Secret to Everybody"}},
			&Message{Body: []byte("Hello, World!")},
		},
		{
			"Octokit's payload with escapes and letters beyond ASCII",
			"github", "X-Hub-Signature-256", "sha256=9dacf9003316b09be07df56d86a2d0d6872e42a1e6c72c3bad9ff915a7c5603e",
			[]Secret{{Value: "development"}},
			&Message{Body: []byte("{\n  \"foo\": \"Foo\\n\\u001B[34mbar: ♥♥♥♥♥♥♥♥\\nthis-is-lost\\u001B[0m\\u001B[2K\"\n}\n")},
		},
		{
			"Octokit's payload with an escaped backslash",
			"github", "X-Hub-Signature-256", "sha256=87316067e2011fae39998b18c46a14d83b3e7c3ffdd88fb2ee5afb7d11288e60",
			[]Secret{{Value: "development"}},
			&Message{Body: []byte("{\n  \"foo\": \"\\\\u001b\"\n}\n")},
		},
		{
			"shopify is the same HMAC in base64, as `openssl dgst -binary | base64` gives it",
			"shopify", "X-Shopify-Hmac-Sha256", guideShopify,
			[]Secret{{Value: guideSecret}},
			guideMessage(),
		},
		{
			"stripe signs once per live secret, a whsec_ not decoded, as node:crypto gives it",
			"stripe", "Stripe-Signature", "t=1705314600,v1=" + guideStripe + ",v1=" + olderStripe,
			[]Secret{{Value: guideSecret}, {Value: olderSecret}},
			guideMessage(),
		},
		{
			"Standard Webhooks' own v1a vector",
			"standard_ed25519", "Webhook-Signature", "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==",
			[]Secret{{Value: specPrivate}},
			&Message{ID: "msg_p5jXN8AQM9LWM0D4loKWxJek", Timestamp: time.Unix(1614265330, 0), Body: []byte(`{"test": 2432232314}`)},
		},
		{
			"the seed alone is the same key",
			"standard_ed25519", "Webhook-Signature", "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==",
			[]Secret{{Value: "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbc="}},
			&Message{ID: "msg_p5jXN8AQM9LWM0D4loKWxJek", Timestamp: time.Unix(1614265330, 0), Body: []byte(`{"test": 2432232314}`)},
		},
		{
			"Standard Webhooks' own v1 vector",
			"standard", "Webhook-Signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
			[]Secret{{Value: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}},
			&Message{ID: "msg_p5jXN8AQM9LWM0D4loKWxJek", Timestamp: time.Unix(1614265330, 0), Body: []byte(`{"test": 2432232314}`)},
		},
		{
			"standard signs with a whsec_ key decoded",
			"standard", "Webhook-Signature", guideStandard,
			[]Secret{{Value: guideSecret}},
			guideMessage(),
		},
		{
			"standard takes the bytes of a secret without whsec_ as they are",
			"standard", "Webhook-Signature", olderStandard,
			[]Secret{{Value: olderSecret}},
			guideMessage(),
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := http.Header{}
			if err := signer(t, c.scheme, c.secrets...).Sign(h, c.message); err != nil {
				t.Fatal(err)
			}
			if got := h[c.header]; len(got) != 1 || got[0] != c.want {
				t.Errorf("%s = %q, want %q", c.header, got, c.want)
			}
		})
	}
}

func TestRotation(t *testing.T) {
	t.Parallel()
	end := guideTime.Add(time.Hour)
	secrets := []Secret{{Value: guideSecret}, {Value: olderSecret, Until: end}}
	both, newest := guideStandard+" "+olderStandard, guideStandard
	cases := []struct {
		name    string
		secrets []Secret
		at      time.Time
		want    int // live signatures of standard
	}{
		{"before the end the older secret signs too", secrets, guideTime, 2},
		{"at the end the older secret is out", secrets, end, 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := guideHeader()
			m := guideMessage()
			m.Timestamp = c.at
			err := Join(signer(t, "atoship", c.secrets...), signer(t, "standard", c.secrets...)).Sign(h, m)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Fields(h.Get("webhook-signature")); len(got) != c.want || len(h["Webhook-Signature"]) != 1 {
				t.Errorf("webhook-signature = %q, want one line of %d", h["Webhook-Signature"], c.want)
			}
			if c.at.Equal(guideTime) && h.Get("webhook-signature") != both {
				t.Errorf("webhook-signature = %q, want %q, newest first", h.Get("webhook-signature"), both)
			}
			if c.want == 1 && strings.HasPrefix(h.Get("webhook-signature"), newest) {
				t.Error("a new attempt carries the signature of an older timestamp")
			}
			if got := h.Get("X-AtoShip-Signature"); got != guideAtoship {
				t.Errorf("atoship = %q, want the newest secret's alone", got)
			}
		})
	}

	t.Run("with every secret past its end signing fails", func(t *testing.T) {
		t.Parallel()
		for _, scheme := range Names() {
			m := guideMessage()
			m.Timestamp = end
			_, older := keysFor(scheme)
			err := signer(t, scheme, Secret{Value: older, Until: end}).Sign(guideHeader(), m)
			if !errors.Is(err, ErrNoSecret) {
				t.Errorf("%s: error %v, want ErrNoSecret", scheme, err)
			}
		}
	})
	for scheme, want := range map[string]struct{ header, value string }{
		"atoship": {"X-AtoShip-Signature", guideAtoship},
		"github":  {"X-Hub-Signature-256", guideAtoship},
		"shopify": {"X-Shopify-Hmac-Sha256", guideShopify},
	} {
		t.Run(scheme+" falls back to the next secret when the newest ends first", func(t *testing.T) {
			t.Parallel()
			h := http.Header{}
			err := signer(t, scheme, Secret{Value: olderSecret, Until: guideTime}, Secret{Value: guideSecret}, Secret{Value: olderSecret}).Sign(h, guideMessage())
			if err != nil || len(h[http.CanonicalHeaderKey(want.header)]) != 1 || h.Get(want.header) != want.value {
				t.Errorf("got %q, %v", h.Get(want.header), err)
			}
		})
	}
	for scheme, count := range map[string]func(http.Header) int{
		"standard_ed25519": func(h http.Header) int { return strings.Count(h.Get("Webhook-Signature"), "v1a,") },
		"stripe":           func(h http.Header) int { return strings.Count(h.Get("Stripe-Signature"), ",v1=") },
		"rfc9421":          func(h http.Header) int { return strings.Count(h.Get("Signature"), "sig") },
	} {
		t.Run(scheme+" signs with the older secret until its end", func(t *testing.T) {
			t.Parallel()
			newer, older := keysFor(scheme)
			s := signer(t, scheme, Secret{Value: newer}, Secret{Value: older, Until: end})
			for at, want := range map[time.Time]int{guideTime: 2, end: 1} {
				h, m := guideHeader(), guideMessage()
				m.Timestamp = at
				if err := s.Sign(h, m); err != nil || count(h) != want {
					t.Errorf("at %v: want %d signatures, headers %v, error %v", at, want, h, err)
				}
			}
		})
	}
}

// GitHub's and Shopify's receivers look at more than the signature.
func TestCompanionHeaders(t *testing.T) {
	t.Parallel()
	cases := []struct {
		scheme string
		given  http.Header // from the endpoint's own headers
		want   map[string]string
	}{
		{"github", nil, map[string]string{"X-GitHub-Delivery": "evt_1", "X-GitHub-Event": "label.created"}},
		{"github", http.Header{"X-Github-Event": {"push"}, "X-Github-Delivery": {"forged"}}, map[string]string{"X-GitHub-Delivery": "evt_1", "X-GitHub-Event": "push"}},
		{"shopify", nil, map[string]string{"X-Shopify-Webhook-Id": "evt_1", "X-Shopify-Topic": "label.created"}},
		{"shopify", http.Header{"X-Shopify-Topic": {"labels/create"}}, map[string]string{"X-Shopify-Webhook-Id": "evt_1", "X-Shopify-Topic": "labels/create"}},
		{"rfc9421", http.Header{"Content-Type": {"text/plain"}}, map[string]string{"Webhook-Id": "evt_1", "Content-Digest": "sha-256=:QqwW8ckvK4RhSQsQJ+uK+SzvWcN60pyfq7gjtZIEcdQ=:"}},
	}
	for _, c := range cases {
		h := http.Header{}
		maps.Copy(h, c.given)
		if err := signer(t, c.scheme, Secret{Value: guideSecret}).Sign(h, guideMessage()); err != nil {
			t.Fatal(err)
		}
		for name, want := range c.want {
			if got := h.Values(name); len(got) != 1 || got[0] != want {
				t.Errorf("%s: %s is %q, want %q", c.scheme, name, got, want)
			}
		}
	}
}

func TestStandardRefusesAnAmbiguousMessage(t *testing.T) {
	t.Parallel()
	s := signer(t, "standard", Secret{Value: guideSecret})
	for name, m := range map[string]*Message{
		"an empty id":             {ID: "", Timestamp: guideTime},
		"an id with a dot":        {ID: "evt.1", Timestamp: guideTime},
		"an id with a space":      {ID: "evt 1", Timestamp: guideTime},
		"an id with a newline":    {ID: "evt\n1", Timestamp: guideTime},
		"an id that is not ASCII": {ID: "évt", Timestamp: guideTime},
		"no time":                 {ID: "evt_1"},
	} {
		h := http.Header{}
		if err := s.Sign(h, m); err == nil || len(h) != 0 {
			t.Errorf("%s: signed, headers %v", name, h)
		}
	}
}

func TestPrefixNamesTheHeader(t *testing.T) {
	t.Parallel()
	s, err := atoship{}.NewSigner([]Secret{{Value: guideSecret}}, Options{Prefix: "x-acme"})
	if err != nil {
		t.Fatal(err)
	}
	h := http.Header{}
	if err := s.Sign(h, guideMessage()); err != nil || h["X-Acme-Signature"] == nil {
		t.Errorf("headers %v, error %v", h, err)
	}
}

func TestLookup(t *testing.T) {
	t.Parallel()
	for _, name := range Default() {
		if s, ok := Lookup(name); !ok || s.Name() != name {
			t.Errorf("default scheme %q is not found under its name", name)
		}
	}
	if _, ok := Lookup("rot13"); ok {
		t.Error("an unknown scheme was found")
	}
}

func BenchmarkSign(b *testing.B) {
	body := []byte(strings.Repeat("x", 400))
	for _, scheme := range Names() {
		b.Run(scheme, func(b *testing.B) {
			newer, _ := keysFor(scheme)
			s := signer(b, scheme, Secret{Value: newer})
			m := &Message{ID: "evt_01HZX3V7Q8", Timestamp: guideTime, URL: guideURL, Body: body}
			h := guideHeader()
			b.ReportAllocs()
			for b.Loop() {
				if err := s.Sign(h, m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
