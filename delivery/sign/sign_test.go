package sign

import (
	"errors"
	"net/http"
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
	guideTimestamp = 1705314600
)

var guideTime = time.Unix(guideTimestamp, 0)

func guideMessage() *Message {
	return &Message{ID: "evt_1", Timestamp: guideTime, Body: []byte(guideBody)}
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
			"GitHub's published example is the same HMAC",
			"atoship", "X-Atoship-Signature", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
			[]Secret{{Value: "It's a Secret to Everybody"}},
			&Message{Body: []byte("Hello, World!")},
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
			h := http.Header{}
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
			err := signer(t, scheme, Secret{Value: olderSecret, Until: end}).Sign(http.Header{}, m)
			if !errors.Is(err, ErrNoSecret) {
				t.Errorf("%s: error %v, want ErrNoSecret", scheme, err)
			}
		}
	})
	t.Run("atoship falls back to the next secret when the newest ends first", func(t *testing.T) {
		t.Parallel()
		h := http.Header{}
		m := guideMessage()
		err := signer(t, "atoship", Secret{Value: olderSecret, Until: guideTime}, Secret{Value: guideSecret}).Sign(h, m)
		if err != nil || h.Get("X-AtoShip-Signature") != guideAtoship {
			t.Errorf("got %q, %v", h.Get("X-AtoShip-Signature"), err)
		}
	})
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
			s := signer(b, scheme, Secret{Value: guideSecret})
			m := &Message{ID: "evt_01HZX3V7Q8", Timestamp: guideTime, Body: body}
			h := http.Header{}
			b.ReportAllocs()
			for b.Loop() {
				if err := s.Sign(h, m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
