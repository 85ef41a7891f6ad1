package sign

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// rfcRequest is the test request of RFC 9421, B.2.
func rfcRequest(t *testing.T) *http.Request {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(strings.ReplaceAll(`POST /foo?param=Value&Pet=dog HTTP/1.1
Host: example.com
Date: Tue, 20 Apr 2021 02:07:55 GMT
Content-Type: application/json
Content-Digest: sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:
Content-Length: 18

{"hello": "world"}`, "\n", "\r\n"))))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestVectorsOfRFC9421(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, input, base, secret, signature string
	}{
		{
			"B.2.5, hmac-sha256",
			`sig-b25=("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret"`,
			`"date": Tue, 20 Apr 2021 02:07:55 GMT
"@authority": example.com
"content-type": application/json
"@signature-params": ("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret"`,
			"whsec_uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==",
			"pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=",
		},
		{
			"B.2.6, ed25519",
			`sig-b26=("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519"`,
			`"date": Tue, 20 Apr 2021 02:07:55 GMT
"@method": POST
"@path": /foo
"@authority": example.com
"content-type": application/json
"content-length": 18
"@signature-params": ("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519"`,
			rfcPrivate,
			"wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==",
		},
		{
			"B.2.3, of which the base alone is checked: rsa-pss is not offered",
			`sig-b23=("date" "@method" "@path" "@query" "@authority" "content-type" "content-digest" "content-length");created=1618884473;keyid="test-key-rsa-pss"`,
			`"date": Tue, 20 Apr 2021 02:07:55 GMT
"@method": POST
"@path": /foo
"@query": ?param=Value&Pet=dog
"@authority": example.com
"content-type": application/json
"content-digest": sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:
"content-length": 18
"@signature-params": ("date" "@method" "@path" "@query" "@authority" "content-type" "content-digest" "content-length");created=1618884473;keyid="test-key-rsa-pss"`,
			"", "",
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := rfcRequest(t)
			inputs, ok := parseInputs(c.input)
			if !ok || len(inputs) != 1 || inputs[0].created != 1618884473 {
				t.Fatalf("parsed to %+v, %v", inputs, ok)
			}
			base, ok := targetOfRequest(r).appendLines(nil, r.Header, inputs[0].components)
			base = append(append(base, paramsLine...), inputs[0].text...)
			if !ok || string(base) != c.base {
				t.Fatalf("base is\n%s\nwant\n%s", base, c.base)
			}
			if c.secret == "" {
				return
			}
			keys, err := newRFCKeys([]Secret{{Value: c.secret}}, toSign, SharedSecret|PrivateKey)
			if err != nil {
				t.Fatal(err)
			}
			if got := keys[0].appendSignature(nil, base); string(got) != c.signature {
				t.Errorf("signature %s, want %s", got, c.signature)
			}
			got, ok := parseBytes("x=:" + c.signature + ":")
			if !ok || !keys[0].verify(base, got["x"]) {
				t.Error("the published signature does not verify")
			}
			if base[0]++; keys[0].verify(base, got["x"]) {
				t.Error("it verifies another base too")
			}
		})
	}
	t.Run("the request's digest is its body's", func(t *testing.T) {
		t.Parallel()
		header := rfcRequest(t).Header.Get("Content-Digest")
		if !digestMatches(header, []byte(`{"hello": "world"}`)) || digestMatches(header, []byte(`{"hello": "World"}`)) {
			t.Error("sha-512 is not checked as it should be")
		}
	})
}

// The whole of what is sent, written out by hand.
func TestRFC9421CoversTheProfile(t *testing.T) {
	t.Parallel()
	h := guideHeader()
	secrets := []Secret{{Value: rfcPrivate}, {Value: guideSecret}}
	if err := signer(t, "rfc9421", secrets...).Sign(h, guideMessage()); err != nil {
		t.Fatal(err)
	}
	params := `("@method" "@authority" "@path" "@query" "content-digest" "content-type" "webhook-id");created=1705314600;keyid="poqkLGiymh_W0uP6PZFw-dvez3QJT5SolqXBCW38r0U";alg="ed25519"`
	want := `sig1=` + params + `, ` + `sig2=("@method" "@authority" "@path" "@query" "content-digest" "content-type" "webhook-id");created=1705314600;keyid="0O8StYFBAQM76xAi";alg="hmac-sha256"`
	if got := h["Signature-Input"]; len(got) != 1 || got[0] != want {
		t.Fatalf("Signature-Input is %q, want %q", got, want)
	}
	base := `"@method": POST
"@authority": hooks.example.com
"@path": /in
"@query": ?x=1
"content-digest": sha-256=:QqwW8ckvK4RhSQsQJ+uK+SzvWcN60pyfq7gjtZIEcdQ=:
"content-type": application/json
"webhook-id": evt_1
"@signature-params": ` + params
	key, err := newEdKey(Secret{Value: rfcPublic})
	if err != nil {
		t.Fatal(err)
	}
	signatures, ok := parseBytes(h.Get("Signature"))
	if !ok || !(&rfcKey{pair: key}).verify([]byte(base), signatures["sig1"]) {
		t.Errorf("Signature %q is not one of\n%s", h.Get("Signature"), base)
	}
}

func TestTargetIsNormalised(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, sent, host string // host: the Host that arrives
		want             target
	}{
		{"no path and no query", "https://a.example", "a.example", target{"POST", "a.example", "/", "?"}},
		{"a host in capitals", "https://A.Example/", "A.Example", target{"POST", "a.example", "/", "?"}},
		{"the default port", "https://a.example:443/x", "a.example:443", target{"POST", "a.example", "/x", "?"}},
		{"the default port of plain HTTP", "http://a.example:80/x", "a.example:80", target{"POST", "a.example", "/x", "?"}},
		{"another port", "https://a.example:8443/x", "a.example:8443", target{"POST", "a.example:8443", "/x", "?"}},
		{"an IPv6 address", "https://[2001:DB8::1]:443/x", "[2001:DB8::1]:443", target{"POST", "[2001:db8::1]", "/x", "?"}},
		{"escapes stay as on the wire", "https://a.example/a%2Fb%20c?q=%41&r", "a.example", target{"POST", "a.example", "/a%2Fb%20c", "?q=%41&r"}},
		{"an empty query", "https://a.example/x?", "a.example", target{"POST", "a.example", "/x", "?"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			u, err := url.Parse(c.sent)
			if err != nil {
				t.Fatal(err)
			}
			if got := targetOf(&Message{URL: u}); got != c.want {
				t.Errorf("sender says %+v, want %+v", got, c.want)
			}
			arrived, err := http.ReadRequest(bufio.NewReader(strings.NewReader("POST " + u.RequestURI() + " HTTP/1.1\r\nHost: " + c.host + "\r\n\r\n")))
			if err != nil {
				t.Fatal(err)
			}
			if got := targetOfRequest(arrived); got != c.want {
				t.Errorf("receiver behind a proxy says %+v, want %+v", got, c.want)
			}
			if arrived.TLS = new(tls.ConnectionState); u.Scheme == "https" {
				if got := targetOfRequest(arrived); got != c.want {
					t.Errorf("receiver says %+v, want %+v", got, c.want)
				}
			}
		})
	}
}

func TestRFC9421Refusals(t *testing.T) {
	t.Parallel()
	edit := func(name, from, to string) func(*http.Request) {
		return func(r *http.Request) {
			if before := r.Header.Get(name); !strings.Contains(before, from) {
				t.Errorf("%s has no %q to edit: %q", name, from, before)
			}
			r.Header.Set(name, strings.Replace(r.Header.Get(name), from, to, 1))
		}
	}
	del := func(name string) func(*http.Request) { return func(r *http.Request) { r.Header.Del(name) } }
	cases := []struct {
		name   string
		change func(*http.Request)
		want   error
	}{
		{"nothing changed", func(*http.Request) {}, nil},
		{"a proxy has joined it with a signature of its own", edit("Signature-Input", "sig1=", `proxy=("@path");created=1, sig1=`), nil},
		{"lists in two lines", func(r *http.Request) {
			r.Header["Signature-Input"] = append([]string{`other=("@authority";req);created=1`}, r.Header["Signature-Input"]...)
			r.Header["Signature"] = append([]string{`other=:AAAA:`}, r.Header["Signature"]...)
		}, nil},
		{"a further header that is not signed", func(r *http.Request) { r.Header.Set("X-Via", "proxy") }, nil},

		// What is signed and may not change.
		{"another method", func(r *http.Request) { r.Method = http.MethodPut }, ErrBadSignature},
		{"another host", func(r *http.Request) { r.Host = "evil.example.com" }, ErrBadSignature},
		{"another path", func(r *http.Request) { r.URL.Path = "/other" }, ErrBadSignature},
		{"another query", func(r *http.Request) { r.URL.RawQuery = "x=2" }, ErrBadSignature},
		{"another id", func(r *http.Request) { r.Header.Set("Webhook-Id", "evt_2") }, ErrBadSignature},
		{"a second id", func(r *http.Request) { r.Header.Add("Webhook-Id", "evt_2") }, ErrBadSignature},
		{"another content type", func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, ErrBadSignature},
		{"another time", edit("Signature-Input", "created=1705314600", "created=1705314601"), ErrBadSignature},
		{"another key's name", edit("Signature-Input", `keyid="`, `keyid="x`), ErrBadSignature},
		// The digest is signed, so one of another body cannot take its place.
		{"another digest", edit("Content-Digest", ":Qqw", ":Qqx"), ErrBadSignature},

		// Weaker signatures must not be enough: each leaves a part open.
		{"a component left out", edit("Signature-Input", ` "webhook-id"`, ``), ErrBadSignature},
		{"nothing covered", edit("Signature-Input", coveredList, `()`), ErrBadSignature},
		{"no time", edit("Signature-Input", ";created=1705314600", ""), ErrBadSignature},
		// The verifier's key decides the algorithm, not the request.
		{"another algorithm", edit("Signature-Input", algHMAC, algEd25519), ErrBadSignature},
		{"an algorithm nobody has", edit("Signature-Input", algHMAC, "none"), ErrBadSignature},
		{"another label", edit("Signature", "sig1", "sig2"), ErrBadSignature},

		{"no digest", del("Content-Digest"), ErrMissingHeader},
		{"no input", del("Signature-Input"), ErrMissingHeader},
		{"no signature", del("Signature"), ErrMissingHeader},
		{"no id", del("Webhook-Id"), ErrMissingHeader},
		{"a digest of an algorithm we do not know", edit("Content-Digest", "sha-256", "md5"), ErrBadSignature},
		{"a label twice", func(r *http.Request) { r.Header.Add("Signature-Input", r.Header.Get("Signature-Input")) }, ErrBadSignature},
		{"a parameter twice", edit("Signature-Input", ";created=", ";created=1;created="), ErrBadSignature},
		{"a component twice", edit("Signature-Input", `"@method"`, `"@method" "@method"`), ErrBadSignature},
		// Parsing is work for strangers.
		{"more labels than are looked at", func(r *http.Request) {
			var many strings.Builder
			for i := range maxMembers {
				many.WriteString("a" + strings.Repeat("a", i) + `=();created=1, `)
			}
			r.Header.Set("Signature-Input", many.String()+r.Header.Get("Signature-Input"))
		}, ErrBadSignature},
		{"a header past the cap", func(r *http.Request) { r.Header.Set("Signature", strings.Repeat("x", maxSignatureBytes+1)) }, ErrBadSignature},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			secret := Secret{Value: guideSecret}
			u := *guideURL
			r := &http.Request{Method: http.MethodPost, Host: u.Host, URL: &u, Header: signed(t, "rfc9421", secret)}
			c.change(r)
			id, err := VerifyRequest(verifier(t, "rfc9421", secret), r, []byte(guideBody), guideTime)
			if !errors.Is(err, c.want) || (err == nil) != (id == "evt_1") {
				t.Errorf("id %q, error %v, want %v", id, err, c.want)
			}
		})
	}
	t.Run("headers alone are never enough", func(t *testing.T) {
		t.Parallel()
		secret := Secret{Value: guideSecret}
		_, err := verifier(t, "rfc9421", secret).Verify(signed(t, "rfc9421", secret), []byte(guideBody), guideTime)
		if !errors.Is(err, ErrBadSignature) {
			t.Errorf("error %v", err)
		}
	})
}

// foreign is the guide's request, signed with the guide's secret as a sender
// of another make would: over these components, under these parameters.
func foreign(t *testing.T, components []string, params string) (http.Header, string) {
	t.Helper()
	keys, err := newRFCKeys([]Secret{{Value: guideSecret}}, toSign, SharedSecret)
	if err != nil {
		t.Fatal(err)
	}
	h := guideHeader()
	h.Set("Content-Digest", digest([]byte(guideBody)))
	h.Set("Webhook-Id", "evt_1")
	text := `("` + strings.Join(components, `" "`) + `")` + params
	base, ok := targetOf(guideMessage()).appendLines(nil, h, components)
	if !ok {
		t.Fatal("no base")
	}
	signature := string(keys[0].appendSignature(nil, append(append(base, paramsLine...), text...)))
	h.Set("Signature-Input", "whatever="+text)
	h.Set("Signature", "whatever=:"+signature+":")
	return h, signature
}

// Here the signature itself is genuine in every row, so nothing but the
// verifier's own rules can refuse it.
func TestRFC9421OfAnotherSender(t *testing.T) {
	t.Parallel()
	const created = ";created=1705314600"
	without := func(name string) []string {
		return slices.DeleteFunc(slices.Clone(covered), func(c string) bool { return c == name })
	}
	type row struct {
		name       string
		components []string
		params     string
		after      time.Duration
		want       error
	}
	cases := []row{
		{"as we sign", covered, created, 0, nil},
		{"in another order, with more covered and parameters of its own", append([]string{"x-atoship-event-id"}, covered...), `;nonce="a\"b"` + created + `;tag="x";n=-1.5;t=tok;b=:AA==:;f`, 0, nil},
		{"before the end it names", covered, created + ";expires=1705314660", 59 * time.Second, nil},
		{"at the end it names", covered, created + ";expires=1705314660", time.Minute, ErrStale},
		{"without a time it would hold for ever", covered, ";expires=1705400000", 0, ErrBadSignature},
		{"a time that is no time", covered, ";created=soon", 0, ErrBadSignature},
		// The key decides the algorithm: naming another is an attempt to have it read as one of that.
		{"the algorithm of another kind of key", covered, created + `;alg="ed25519"`, 0, ErrBadSignature},
		{"a time twice, of which others may take the other", covered, ";created=1" + created, 0, ErrBadSignature},
		{"a component twice", append([]string{"@method"}, covered...), created, 0, ErrBadSignature},
	}
	for _, name := range covered { // each left out leaves a part of the request open
		cases = append(cases, row{"without " + name, without(name), created, 0, ErrBadSignature})
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h, _ := foreign(t, c.components, c.params)
			_, err := received(verifier(t, "rfc9421", Secret{Value: guideSecret}), h, []byte(guideBody), guideTime.Add(c.after))
			if !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
		})
	}
	t.Run("a digest that we cannot check proves nothing of the body", func(t *testing.T) {
		t.Parallel()
		if digestMatches("md5=:CY9rzUYh03PK3k6DJie09g==:", []byte("test")) {
			t.Error("accepted")
		}
	})
}

// A stranger gets only so many checks for one request.
func TestRFC9421ChecksAreBounded(t *testing.T) {
	t.Parallel()
	v := verifier(t, "rfc9421", Secret{Value: olderSecret}, Secret{Value: guideSecret})
	for labels, want := range map[int]error{maxChecks/2 - 1: nil, maxChecks / 2: ErrBadSignature} {
		h, signature := foreign(t, covered, ";created=1705314600")
		text := strings.TrimPrefix(h.Get("Signature-Input"), "whatever")
		var inputs, signatures strings.Builder
		for i := range labels { // each checked with both keys
			label := "a" + strings.Repeat("a", i)
			inputs.WriteString(label + text + ", ")
			signatures.WriteString(label + "=:AAAA:, ")
		}
		h.Set("Signature-Input", inputs.String()+"good"+text)
		h.Set("Signature", signatures.String()+"good=:"+signature+":")
		if _, err := received(v, h, []byte(guideBody), guideTime); !errors.Is(err, want) {
			t.Errorf("after %d others: error %v, want %v", labels, err, want)
		}
	}
}

func TestRFC9421NeedsTheWholeRequest(t *testing.T) {
	t.Parallel()
	s := signer(t, "rfc9421", Secret{Value: guideSecret})
	typed := http.Header{"Content-Type": {"application/json"}}
	cases := []struct {
		name   string
		header http.Header
		m      *Message
	}{
		{"no URL", typed, &Message{ID: "evt_1", Timestamp: guideTime}},
		{"no content type", http.Header{}, guideMessage()},
		{"a line break in the content type", http.Header{"Content-Type": {"a\n\"webhook-id\": evt_2"}}, guideMessage()},
		{"an id with a line break", typed, &Message{ID: "evt\n1", Timestamp: guideTime, URL: guideURL}},
		{"no time", typed, &Message{ID: "evt_1", URL: guideURL}},
	}
	for _, c := range cases {
		if err := s.Sign(c.header.Clone(), c.m); err == nil {
			t.Errorf("%s: signed", c.name)
		}
	}
}

func FuzzParseInputs(f *testing.F) {
	f.Add(`sig1=("@method" "content-type");created=1;keyid="a\\b";alg="x", b=()`)
	f.Add(`a=("x";sf "y");t=:AA==:;f=?0;n=-1.5;tok=abc`)
	f.Add(`a=("x`)
	f.Fuzz(func(t *testing.T, field string) {
		inputs, ok := parseInputs(field)
		if !ok && inputs != nil {
			t.Error("a malformed field gave inputs")
		}
		for _, in := range inputs {
			if !strings.Contains(field, in.label+"="+in.text) {
				t.Errorf("%q is not what was signed in %q", in.text, field)
			}
			// What is read must be what stands there: written again it is the same.
			if list := `("` + strings.Join(in.components, `" "`) + `")`; len(in.components) > 0 && !strings.HasPrefix(in.text, list) {
				t.Errorf("%q was read as %s", in.text, list)
			}
		}
		if sums, ok := parseBytes(field); ok && bytes.Contains([]byte(field), []byte("=:")) && len(sums) == 0 {
			t.Error("no member in a dictionary that has one")
		}
	})
}
