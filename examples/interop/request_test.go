package interop_test

import (
	"bytes"
	"encoding/base64"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// request is a webhook as a receiver sees it.
type request struct {
	method string
	url    string // absolute, as the customer registered it
	header http.Header
	body   []byte
}

// requestOf is what the Node receiver saw. Each name in a webhook stands there once: of two lines, receivers' frameworks
// make one value that no verifier takes.
func requestOf(t *testing.T, seen report, origin string) request {
	t.Helper()
	r := request{method: seen.Method, url: origin + seen.URL, header: http.Header{}, body: []byte(seen.body(t))}
	for i := 0; i+1 < len(seen.RawHeaders); i += 2 {
		r.header.Add(seen.RawHeaders[i], seen.RawHeaders[i+1])
	}
	for name, lines := range r.header {
		if len(lines) != 1 {
			t.Errorf("%s came in %d lines", name, len(lines))
		}
	}
	return r
}

// http is the request as a Go server hands it to a handler.
func (r request) http(t *testing.T) *http.Request {
	t.Helper()
	u, err := url.Parse(r.url)
	if err != nil {
		t.Fatal(err)
	}
	relative := &url.URL{Path: u.Path, RawPath: u.RawPath, RawQuery: u.RawQuery}
	return &http.Request{
		Method: r.method, Host: u.Host, URL: relative, RequestURI: relative.RequestURI(),
		Header: r.header.Clone(), Body: io.NopCloser(bytes.NewReader(r.body)), ContentLength: int64(len(r.body)),
	}
}

// decoded are the key bytes after whsec_ or whpk_.
func decoded(t *testing.T, key string) []byte {
	t.Helper()
	_, text, _ := strings.Cut(key, "_")
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// change is a way of tampering with a request that its signature must not survive.
type change struct {
	name  string
	apply func(t *testing.T, r *request)
}

// flipBody changes one letter inside the JSON, which stays JSON: the signature, not the parser, must refuse it.
var flipBody = change{"a flipped byte in the body", func(t *testing.T, r *request) {
	t.Helper()
	at := bytes.Index(r.body, []byte("lbl_abc123"))
	if at < 0 {
		t.Fatalf("nothing to change in %s", r.body)
	}
	r.body = bytes.Clone(r.body)
	r.body[at+len("lbl_abc12")] ^= 1
}}

// flipAfter changes the first digit after marker in a header.
func flipAfter(name, marker string) change {
	return change{"a flipped digit in " + name, func(t *testing.T, r *request) {
		t.Helper()
		before, after, found := strings.Cut(r.header.Get(name), marker)
		if !found || after == "" {
			t.Fatalf("nothing to change in %s: %q", name, r.header.Get(name))
		}
		digit := "0"
		if after[0] == '0' {
			digit = "1"
		}
		r.header.Set(name, before+marker+digit+after[1:])
	}}
}

// otherSecond changes the time after marker in a header by one second: too little for it to be stale.
func otherSecond(name, marker string) change {
	return change{"another second in " + name, func(t *testing.T, r *request) {
		t.Helper()
		before, after, found := strings.Cut(r.header.Get(name), marker)
		digits := len(after) - len(strings.TrimLeft(after, "0123456789"))
		if !found || digits < 10 {
			t.Fatalf("no time in %s: %q", name, r.header.Get(name))
		}
		changed := []byte(after)
		changed[digits-1] ^= 1
		r.header.Set(name, before+marker+string(changed))
	}}
}

func setHeader(name, value string) change {
	return change{"another " + name, func(t *testing.T, r *request) {
		t.Helper()
		if before := r.header.Get(name); before == "" || before == value {
			t.Fatalf("%s is %q already", name, before)
		}
		r.header.Set(name, value)
	}}
}

func otherURL(name, from, to string) change {
	return change{"another " + name, func(t *testing.T, r *request) {
		t.Helper()
		if !strings.Contains(r.url, from) {
			t.Fatalf("no %q in %s", from, r.url)
		}
		r.url = strings.Replace(r.url, from, to, 1)
	}}
}
