package sign

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestSecretIsNeverPrinted(t *testing.T) {
	t.Parallel()
	const value = "hunter2hunter2"
	s := Secret{Value: value, Until: time.Unix(1, 0)}
	holder := struct {
		Name    string
		Secret  Secret
		Pointer *Secret
		List    []Secret
		Map     map[string]Secret
	}{"orders", s, &s, []Secret{s}, map[string]Secret{"a": s}}

	forms := map[string]string{}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		forms[verb] = fmt.Sprintf(verb, s)
		forms["pointer "+verb] = fmt.Sprintf(verb, &s)
		forms["nested "+verb] = fmt.Sprintf(verb, holder)
	}
	forms["String"], forms["GoString"] = s.String(), s.GoString()
	asJSON, err := json.Marshal(holder)
	if err != nil {
		t.Fatal(err)
	}
	forms["json"] = string(asJSON)
	text, _ := s.MarshalText()
	forms["text"] = string(text)
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "secret", s, "pointer", &s, "nested", holder)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "secret", s, "nested", holder)
	forms["slog"] = log.String()

	hex := fmt.Sprintf("%x", value)
	for form, got := range forms {
		if strings.Contains(got, value) || strings.Contains(strings.ToLower(got), hex) {
			t.Errorf("%s shows the secret: %s", form, got)
		}
		if !strings.Contains(got, redacted) {
			t.Errorf("%s does not say that something was left out: %s", form, got)
		}
	}
}

func TestUnusableSecretsAreRefusedWithoutShowingThem(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("s3cr3t", MaxSecretBytes)
	many := make([]Secret, MaxSecrets+1)
	for i := range many {
		many[i] = Secret{Value: guideSecret}
	}
	cases := []struct {
		name    string
		secrets []Secret
		scheme  string
		want    string
	}{
		{"none at all", nil, "standard", "no signing secret"},
		{"an empty one", []Secret{{Value: guideSecret}, {}}, "atoship", "secret 2 of 2"},
		{"a file instead of a secret", []Secret{{Value: long}}, "atoship", "6144 bytes"},
		{"more than the header should carry", many, "standard", "at most 10"},
		{"a file's newline kept", []Secret{{Value: "s3cr3t-s3cr3t-s3cr3t-s3cr3t\n"}}, "atoship", "line break"},
		{"not UTF-8, which Node would change", []Secret{{Value: "s3cr3t\xff"}}, "atoship", "UTF-8"},
		{"whsec_ without base64", []Secret{{Value: "whsec_s3cr3t!"}}, "standard", "base64"},
		{"whsec_ with base64 that lost its padding", []Secret{{Value: "whsec_s3cr3ts3cr3tA"}}, "standard", "base64"},
		{"whsec_ and nothing", []Secret{{Value: "whsec_"}}, "standard", "base64"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, _ := Lookup(c.scheme)
			_, err := s.NewSigner(c.secrets, Options{})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want one about %q", err, c.want)
			}
			if strings.Contains(err.Error(), "s3cr3t") {
				t.Errorf("error shows the secret: %v", err)
			}
		})
	}
}

func TestGenerate(t *testing.T) {
	t.Parallel()
	a, b := Generate(), Generate()
	if a == b {
		t.Error("two generated secrets are equal")
	}
	key, err := standardKey(a)
	if err != nil || len(key) != 32 || !strings.HasPrefix(a, "whsec_") {
		t.Errorf("generated %d key bytes, error %v", len(key), err)
	}
	if w := Warnings(a); w != nil {
		t.Errorf("a generated secret has warnings: %q", w)
	}
}

func TestStandardForm(t *testing.T) {
	t.Parallel()
	if got := StandardForm(guideSecret); got != guideSecret {
		t.Error("a whsec_ secret changed")
	}
	form := StandardForm(olderSecret)
	key, err := standardKey(form)
	if err != nil || string(key) != olderSecret {
		t.Errorf("the form decodes to another key, error %v", err)
	}
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, secret, want string // want "": none
	}{
		{"23 bytes are few", strings.Repeat("k", 23), "23 bytes"},
		{"24 bytes are enough", strings.Repeat("k", 24), ""},
		{"64 bytes are not too many", strings.Repeat("k", 64), ""},
		{"65 bytes are too many for some libraries", strings.Repeat("k", 65), "more than 64"},
		{"a whsec_ secret counts by its key, not by its text", "whsec_c2hvcnQga2V5IG9mIDIwIGI=", "17 bytes"},
		{"a space at the end is part of the key", strings.Repeat("k", 30) + " ", "space"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := strings.Join(Warnings(c.secret), "; ")
			if (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
				t.Errorf("warnings %q, want %q", got, c.want)
			}
		})
	}
}

func TestLive(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	got := Live([]Secret{{Value: "a"}, {Value: "b", Until: now}, {Value: "c", Until: now.Add(1)}}, now)
	if len(got) != 2 || got[0].Value != "a" || got[1].Value != "c" {
		t.Errorf("%d live secrets, want the first and the third", len(got))
	}
}
