package httpapi

import (
	"net/http"
	"strings"
	"testing"
)

func TestAuth(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name   string
		auth   Auth
		header []string
		status int
		want   string // WWW-Authenticate
	}{
		{"nothing configured lets nobody in", Auth{}, []string{"Authorization", "Bearer "}, 401, `Bearer realm="webhooks"`},
		{"nothing configured refuses any token", Auth{}, []string{"Authorization", "Bearer x"}, 401, `Bearer realm="webhooks", error="invalid_token"`},
		// An environment variable that is not set must not become the empty password.
		{"an empty token is no token", TokenAuth(""), []string{"Authorization", "Bearer "}, 401, `Bearer realm="webhooks"`},
		{"open lets everybody in", OpenAuth(), nil, 202, ""},
		{"no header", TokenAuth("t0ken-1"), nil, 401, `Bearer realm="webhooks"`},
		{"another scheme", TokenAuth("t0ken-1"), []string{"Authorization", "Basic t0ken-1"}, 401, `Bearer realm="webhooks"`},
		{"a wrong token", TokenAuth("t0ken-1"), []string{"Authorization", "Bearer t0ken-1X"}, 401, `Bearer realm="webhooks", error="invalid_token"`},
		{"a prefix of a token", TokenAuth("t0ken-1"), []string{"Authorization", "Bearer t0ken"}, 401, `Bearer realm="webhooks", error="invalid_token"`},
		// A proxy in front may check one of the headers and we the other.
		{"two headers", TokenAuth("t0ken-1"), []string{"Authorization", "Bearer t0ken-1", "Authorization", "Bearer t0ken-2"}, 401, `Bearer realm="webhooks"`},
		{"the first token", TokenAuth("t0ken-1", "t0ken-2"), []string{"Authorization", "Bearer t0ken-1"}, 202, ""},
		{"the last token, scheme in lower case", TokenAuth("t0ken-1", "t0ken-2"), []string{"Authorization", "bearer  t0ken-2"}, 202, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e := newFake(t)
			h := e.ingest()
			h.Auth = c.auth
			status, header, body := do(h, post("application/json", sent, c.header...))
			if status != c.status || header.Get("WWW-Authenticate") != c.want {
				t.Errorf("%d %q, want %d %q", status, header.Get("WWW-Authenticate"), c.status, c.want)
			}
			if status != http.StatusAccepted && (len(e.taken) > 0 || strings.Contains(body, "t0ken")) {
				t.Errorf("%d taken, answer %s", len(e.taken), body)
			}
		})
	}
}

func TestTraceContext(t *testing.T) {
	t.Parallel()
	const id = "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"
	cases := []struct{ name, parent, state, want string }{
		{"version 00", "00-" + id + "-01", "a=1, b@c=2", "00-" + id + "-01 a=1, b@c=2"},
		{"version 00 with more", "00-" + id + "-01-x", "", " "},
		{"a later version", "cc-" + id + "-01", "", "00-" + id + "-01 "},
		{"a later version with more", "cc-" + id + "-01-what-ever", "", "00-" + id + "-01 "},
		{"a later version run on", "cc-" + id + "-01what", "", " "},
		{"version ff", "ff-" + id + "-01", "a=1", " "},
		{"upper case", "00-" + strings.ToUpper(id) + "-01", "", " "},
		{"no trace id", "00-00000000000000000000000000000000-b7ad6b7169203331-01", "", " "},
		{"no span id", "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", "", " "},
		{"too short", "00-" + id, "", " "},
		{"a state without value", "00-" + id + "-01", "a", "00-" + id + "-01 "},
		{"a state that is not ASCII", "00-" + id + "-01", "a=é", "00-" + id + "-01 "},
		{"a state over 512 bytes", "00-" + id + "-01", "a=" + strings.Repeat("x", 511), "00-" + id + "-01 "},
		{"33 members", "00-" + id + "-01", strings.TrimSuffix(strings.Repeat("a=1,", 33), ","), "00-" + id + "-01 "},
	}
	for _, c := range cases {
		parent, state := traceContext(http.Header{"Traceparent": {c.parent}, "Tracestate": {c.state}})
		if got := parent + " " + state; got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
	if parent, _ := traceContext(http.Header{"Traceparent": {"00-" + id + "-01", "00-" + id + "-00"}}); parent != "" {
		t.Errorf("two parents: %s", parent)
	}
}

func TestAnExcerptIsCutBetweenCharacters(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"": "", "a": "a", "aé": "aé", "a\xc3": "a", "a\xe2\x82": "a", "a\xf0\x9f\x98": "a", "a😀": "a😀",
		"a\xff": "a\xff", "\x80\x80\x80\x80": "\x80\x80\x80\x80", // not UTF-8 at all: left for base64
	} {
		if got := string(wholeRunes([]byte(in))); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestProblemsAreBoundedAndAlwaysJSON(t *testing.T) {
	t.Parallel()
	if got := clip(strings.Repeat("é", 300), 9); got != "ééé…" {
		t.Errorf("clip: %q", got)
	}
	if got, want := string(appendString(nil, "a\"\\\n\xffé\xc3")), `"a\"\\\u000a�é�"`; got != want {
		t.Errorf("appendString: %s, want %s", got, want)
	}
}
