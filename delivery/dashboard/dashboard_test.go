package dashboard

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/atoship/caddy-webhooks/delivery/httpapi"
)

// open lets the bearer of "secret" in, as a viewer of the tenant acme.
func open(w http.ResponseWriter, r *http.Request) (httpapi.Access, *httpapi.Problem) {
	if r.Header.Get("Authorization") != "Bearer secret" {
		w.Header().Set("WWW-Authenticate", "Bearer")
		return httpapi.Access{}, &httpapi.Problem{Status: http.StatusUnauthorized, Detail: "who are you?"}
	}
	return httpapi.Access{Tenant: "acme", Role: httpapi.Viewer}, nil
}

func serve(h *Handler, r *http.Request, rest string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.Serve(w, r, rest, "/webhooks/")
	return w
}

func TestPagesAreServedWithAPolicyThatForbidsInlineScripts(t *testing.T) {
	t.Parallel()
	h := &Handler{Who: open}
	for rest, mediaType := range map[string]string{
		"/": "text/html; charset=utf-8", "/static/app.js": "text/javascript; charset=utf-8",
		"/static/pages/logs.js": "text/javascript; charset=utf-8", "/static/style.css": "text/css; charset=utf-8", "/static/icon.svg": "image/svg+xml",
	} {
		w := serve(h, httptest.NewRequest("GET", "/", nil), rest)
		csp := w.Header().Get("Content-Security-Policy")
		if w.Code != 200 || w.Header().Get("Content-Type") != mediaType || w.Body.Len() == 0 {
			t.Errorf("%s: %d, %s, %d bytes", rest, w.Code, w.Header().Get("Content-Type"), w.Body.Len())
		}
		if !strings.Contains(csp, "script-src 'self';") || !strings.Contains(csp, "frame-ancestors 'none'") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: policy %q", rest, csp)
		}
		again := httptest.NewRequest("GET", "/", nil)
		again.Header.Set("If-None-Match", w.Header().Get("Etag"))
		if w := serve(h, again, rest); w.Code != 304 || w.Body.Len() != 0 {
			t.Errorf("%s known: %d", rest, w.Code)
		}
		packed := httptest.NewRequest("GET", "/", nil)
		packed.Header.Set("Accept-Encoding", "br, gzip")
		z, err := gzip.NewReader(serve(h, packed, rest).Body)
		if err != nil {
			t.Fatal(err)
		}
		if text, err := io.ReadAll(z); err != nil || string(text) != w.Body.String() {
			t.Errorf("%s packed is something else (%v)", rest, err)
		}
	}
	for _, rest := range []string{"/static/../dashboard.go", "/static/", "/other", "/static/none.js"} {
		if w := serve(h, httptest.NewRequest("GET", "/", nil), rest); w.Code != 404 {
			t.Errorf("%s: %d", rest, w.Code)
		}
	}
	if w := serve(h, httptest.NewRequest("POST", "/", nil), "/"); w.Code != 405 {
		t.Errorf("POST of a page: %d", w.Code)
	}
	framed := &Handler{Who: open, Frames: []string{"https://shop.example.com"}}
	if csp := serve(framed, httptest.NewRequest("GET", "/", nil), "/").Header().Get("Content-Security-Policy"); !strings.HasSuffix(csp, "frame-ancestors https://shop.example.com") {
		t.Errorf("policy %q", csp)
	}
}

func TestPagesAreSmallAndHoldNoInlineScriptNorOtherHosts(t *testing.T) {
	t.Parallel()
	total := 0
	for name, f := range files() {
		total += len(f.packed)
		text := string(f.plain)
		if foreign := regexp.MustCompile(`https?://[^"'\s)]+`).FindAllString(text, -1); foreign != nil {
			for _, u := range foreign {
				if !strings.HasPrefix(u, "http://www.w3.org/") && !strings.HasPrefix(u, "https://example.com/") {
					t.Errorf("%s names %s", name, u)
				}
			}
		}
		for _, bad := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", " onclick=", "<style", "srcdoc"} {
			if strings.Contains(text, bad) {
				t.Errorf("%s has %q", name, bad)
			}
		}
	}
	if total > 100<<10 {
		t.Errorf("%d bytes compressed, at most 100 kB are promised", total)
	}
}

func TestEveryModuleIsLoadedAtOnce(t *testing.T) {
	t.Parallel()
	index := string(files()["index.html"].plain)
	for name := range files() {
		if strings.HasSuffix(name, ".js") && !strings.Contains(index, `"modulepreload" href="static/`+name+`"`) && !strings.Contains(index, `src="static/`+name+`"`) {
			t.Errorf("index.html does not preload %s: it would be found only when another has been read", name)
		}
	}
}

func TestEveryModuleThatIsImportedIsThere(t *testing.T) {
	t.Parallel()
	from := regexp.MustCompile(`from "([^"]+)"`)
	for name, f := range files() {
		for _, m := range from.FindAllStringSubmatch(string(f.plain), -1) {
			target := strings.TrimPrefix(m[1], "./")
			if strings.HasPrefix(name, "pages/") {
				if up, ok := strings.CutPrefix(m[1], "../"); ok {
					target = up
				} else {
					target = "pages/" + target
				}
			}
			if _, err := fs.Stat(static, "static/"+target); err != nil {
				t.Errorf("%s imports %s: %v", name, m[1], err)
			}
		}
	}
}

// signIn shows a token and returns the cookie.
func signIn(t *testing.T, h *Handler, token string, change ...func(*http.Request)) (*httptest.ResponseRecorder, *http.Cookie) {
	t.Helper()
	body, _ := json.Marshal(map[string]string{"token": token})
	r := httptest.NewRequest("POST", "https://gateway.test/webhooks/session", strings.NewReader(string(body)))
	for _, f := range change {
		f(r)
	}
	w := serve(h, r, "/session")
	for _, c := range w.Result().Cookies() {
		return w, c
	}
	return w, nil
}

func TestATokenShownOnceOpensASessionThatActsWithItsAccess(t *testing.T) {
	t.Parallel()
	h := &Handler{Who: open, SignsIn: true}
	if w := serve(h, httptest.NewRequest("GET", "/webhooks/session", nil), "/session"); w.Code != 401 {
		t.Errorf("before: %d", w.Code)
	}
	w, c := signIn(t, h, "secret")
	if w.Code != 200 || c == nil || strings.TrimSpace(w.Body.String()) != `{"tenant":"acme","role":"viewer","signed_in":true}` {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if !c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteStrictMode || c.Path != "/webhooks/" || c.MaxAge != 12*60*60 || strings.Contains(c.Value, "secret") {
		t.Errorf("cookie %+v", c)
	}
	r := httptest.NewRequest("GET", "/webhooks/session", nil)
	r.AddCookie(c)
	if w := serve(h, r, "/session"); w.Code != 200 || !strings.Contains(w.Body.String(), `"signed_in":true`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	bearing := httptest.NewRequest("GET", "/webhooks/session", nil)
	bearing.Header.Set("Authorization", "Bearer secret")
	if w := serve(h, bearing, "/session"); w.Code != 200 || !strings.Contains(w.Body.String(), `"signed_in":false`) {
		t.Errorf("a token of its own is no session to end: %d %s", w.Code, w.Body)
	}
	authorized := Authorize(r)
	if authorized.Header.Get("Authorization") != "Bearer secret" || authorized.Header.Get("Cookie") != "" || r.Header.Get("Authorization") != "" {
		t.Errorf("%v, and the request itself %v", authorized.Header, r.Header)
	}
	out := serve(h, httptest.NewRequest("DELETE", "/webhooks/session", nil), "/session").Result().Cookies()
	if len(out) != 1 || out[0].MaxAge >= 0 || out[0].Path != "/webhooks/" {
		t.Errorf("signing out sets %v", out)
	}
}

func TestSessionsThatMustNotBeAreRefused(t *testing.T) {
	t.Parallel()
	h := &Handler{Who: open, SignsIn: true}
	if w, c := signIn(t, h, "guess"); w.Code != 401 || c != nil || strings.Contains(w.Body.String(), "guess") {
		t.Errorf("a wrong token: %d %s", w.Code, w.Body)
	}
	if w, c := signIn(t, h, strings.Repeat("x", 1025)); w.Code != 422 || c != nil {
		t.Errorf("a huge token: %d", w.Code)
	}
	if w, c := signIn(t, &Handler{Who: open}, "secret"); w.Code != 409 || c != nil {
		t.Errorf("where nobody signs in: %d", w.Code)
	}
	if w, c := signIn(t, h, "secret", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }); w.Code != 403 || c != nil {
		t.Errorf("from another site: %d", w.Code)
	}
	for name, value := range map[string]string{
		"ended": seal("secret", time.Now().Add(-time.Second)), "changed": seal("secret", time.Now().Add(time.Hour))[1:], "made up": "c2VjcmV0", "empty": "",
	} {
		r := httptest.NewRequest("GET", "/webhooks/session", nil)
		r.AddCookie(&http.Cookie{Name: cookieName, Value: value}) //nolint:gosec // a request's cookie has no attributes
		if a := Authorize(r).Header.Get("Authorization"); a != "" {
			t.Errorf("a cookie that is %s gives %q", name, a)
		}
	}
	own := httptest.NewRequest("GET", "/webhooks/session", nil)
	own.AddCookie(&http.Cookie{Name: cookieName, Value: seal("secret", time.Now().Add(time.Hour))}) //nolint:gosec // likewise
	own.Header.Set("Authorization", "Bearer other")
	if a := Authorize(own).Header.Get("Authorization"); a != "Bearer other" {
		t.Errorf("the cookie replaced a token that was sent: %q", a)
	}
}
