package receiver_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/atoship/caddy-webhooks/delivery/receiver"
	"github.com/atoship/caddy-webhooks/delivery/sign"
)

const (
	secret = "whsec_cmVjZWl2ZXIgc2VjcmV0IDAwMDAwMDAwMDAwMDAwMDE=" // of 32 bytes
	body   = `{"event":"label.created","data":{"a":1}}`
)

// signed makes the request of a delivery.
func signed(t *testing.T, schemes []string, with string, at time.Time) *http.Request {
	t.Helper()
	list := make([]sign.Scheme, len(schemes))
	for i, name := range schemes {
		list[i], _ = sign.Lookup(name)
	}
	s, err := sign.New(list, []sign.Secret{{Value: with}}, sign.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, "https://hooks.test/in", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-AtoShip-Event-Id", "evt_1")
	u, _ := url.Parse("https://hooks.test/in")
	m := sign.Message{ID: "evt_1", Type: "label.created", Timestamp: at, URL: u, Body: []byte(body)}
	if err := s.Sign(r.Header, &m); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestVerdictNamesTheUsualMistake(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for name, tc := range map[string]struct {
		scheme, signedWith, judgedWith, body string
		at                                   time.Time
		hint                                 string // empty: it holds
	}{
		"none":                              {"standard", secret, secret, body, now, ""},
		"a line break from an editor":       {"standard", secret, secret, body + "\n", now, "without the line break"},
		"reformatted JSON":                  {"atoship", secret, secret, "{\n \"event\": \"label.created\", \"data\": {\"a\": 1}}", now, "raw body"},
		"the prefix left out":               {"atoship", secret, strings.TrimPrefix(secret, "whsec_"), body, now, "with its prefix"},
		"white space copied with it":        {"atoship", secret, " " + secret, body, now, "white space"},
		"the decoded secret":                {"atoship", "receiver secret 0000000000000001", secret, body, now, "decoded"},
		"the text form of a plain secret":   {"standard", "whsec_bXkgcGxhaW4gc2VjcmV0IG9mIDI0IGJ5dGU=", "my plain secret of 24 byte", body, now, ""},
		"an old request":                    {"standard", secret, secret, body, now.Add(-time.Hour), "old request"},
		"another secret":                    {"standard", secret, sign.Generate(), body, now, "another secret"},
		"a changed body":                    {"github", secret, secret, strings.Replace(body, "1", "2", 1), now, "the body was changed"},
		"a request that has no such header": {"stripe", secret, secret, body, now, "signed with stripe"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			signedBy := tc.scheme
			if signedBy == "stripe" {
				signedBy = "atoship"
			}
			r := signed(t, []string{signedBy}, tc.signedWith, tc.at)
			v, err := receiver.Judge(r, []byte(tc.body), tc.scheme, []string{tc.judgedWith}, sign.Options{}, now)
			if err != nil {
				t.Fatal(err)
			}
			if v.Valid != (tc.hint == "") || !strings.Contains(v.Hint, tc.hint) {
				t.Errorf("%+v", v)
			}
			if strings.Contains(v.Why+v.Hint, tc.judgedWith) {
				t.Errorf("the secret is told: %+v", v)
			}
		})
	}
}

func TestSchemesAreKnownByTheirHeaders(t *testing.T) {
	t.Parallel()
	for _, schemes := range [][]string{{"atoship", "standard"}, {"github"}, {"stripe"}, {"shopify"}, {"rfc9421"}} {
		if got := receiver.Present(signed(t, schemes, secret, time.Now()).Header, sign.Options{}); !slices.Equal(got, schemes) {
			t.Errorf("%v, want %v", got, schemes)
		}
	}
	if got := receiver.Present(signed(t, []string{"standard_ed25519"}, "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==", time.Now()).Header, sign.Options{}); !slices.Equal(got, []string{"standard_ed25519"}) {
		t.Error(got)
	}
}

func TestReceiverAnswersAsTheSignatureSays(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		rc     *receiver.Receiver
		r      func() *http.Request
		status int
		says   string
	}{
		"it holds":        {&receiver.Receiver{Secrets: []string{secret}}, func() *http.Request { return signed(t, sign.Default(), secret, time.Now()) }, 200, "✓ standard"},
		"it does not":     {&receiver.Receiver{Secrets: []string{sign.Generate()}}, func() *http.Request { return signed(t, sign.Default(), secret, time.Now()) }, 401, "✗ atoship"},
		"there is none":   {&receiver.Receiver{Secrets: []string{secret}}, func() *http.Request { return httptest.NewRequest("POST", "/", strings.NewReader("{}")) }, 400, "no signature"},
		"nobody asks":     {&receiver.Receiver{}, func() *http.Request { return httptest.NewRequest("POST", "/", strings.NewReader("{}")) }, 200, "answered 200"},
		"it is told what": {&receiver.Receiver{Secrets: []string{secret}, Status: 503}, func() *http.Request { return signed(t, sign.Default(), secret, time.Now()) }, 503, "answered 503"},
		"the body is huge": {&receiver.Receiver{}, func() *http.Request {
			return httptest.NewRequest("POST", "/", strings.NewReader(strings.Repeat("x", 2<<20)))
		}, 413, ""},
		"the terminal is safe": {&receiver.Receiver{}, func() *http.Request {
			r := httptest.NewRequest("POST", "/", strings.NewReader("\x1b[2J\u009b"))
			r.Header.Set("X-Evil", "\x1b]0;title\x07")
			return r
		}, 200, "·[2J·"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			tc.rc.Out = &out
			w := httptest.NewRecorder()
			tc.rc.ServeHTTP(w, tc.r())
			if w.Code != tc.status || !strings.Contains(out.String(), tc.says) {
				t.Errorf("%d, printed:\n%s", w.Code, out.String())
			}
			if strings.ContainsAny(out.String(), "\x1b\x07\u009b") {
				t.Errorf("control characters are printed: %q", out.String())
			}
		})
	}
}

func TestReceiverTellsRepeatsAndPrintsJSON(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	rc := &receiver.Receiver{Secrets: []string{secret}, Out: &out, JSON: true}
	for range 2 {
		rc.ServeHTTP(httptest.NewRecorder(), signed(t, sign.Default(), secret, time.Now()))
	}
	d := json.NewDecoder(strings.NewReader(out.String()))
	for want := 1; want <= 2; want++ {
		var q receiver.Request
		if err := d.Decode(&q); err != nil || q.Times != want || q.Body != body || len(q.Verdicts) != 2 || !q.Verdicts[0].Valid {
			t.Errorf("%+v (%v)", q, err)
		}
	}
}
