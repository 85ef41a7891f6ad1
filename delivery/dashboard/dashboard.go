// Package dashboard is the page in front of the management API: static files and a session. Everything it shows comes from the
// API, with the access of whoever looks at it, so it can do nothing that the API would not do for them.
//
// The files are plain ES modules without a build step or a dependency: about 36 kB compressed. They make every piece of the page
// by DOM calls and read no HTML, so that nothing a publisher or a receiver says can become markup; the content security policy
// forbids inline scripts and styles besides.
//
// # Sessions
//
// A browser shows a token once and gets a cookie: the token and an end, sealed (AES-256-GCM) under a key that this process drew
// when it started. With each request the token is taken out again and goes to the API as if it had come in a header, so a token
// that is revoked ends its sessions, a restart ends all of them, a reload none, and there is nothing to store or to bound.
//
// A customer who comes by a portal link has no session: the tab keeps the link's token, in a frame of another site too, and
// sends it in a header; see static/api.js.
package dashboard

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"

	"github.com/atoship/caddy-webhooks/delivery/httpapi"
)

//go:embed static
var static embed.FS

// Handler serves the pages. Its fields must not change once it serves.
type Handler struct {
	// Who tells who makes a request, after Authorize; it may set headers for an answer of 401.
	Who func(w http.ResponseWriter, r *http.Request) (httpapi.Access, *httpapi.Problem)
	// SignsIn tells that tokens are asked for, so that there are sessions to begin and to end.
	SignsIn bool
	// Frames lists the origins that may show the pages in a frame (CSP frame-ancestors). None: nobody may.
	Frames []string
}

// Serve answers a request for what is not the API. rest is the path below the dashboard, with its slash; base the path of the
// dashboard as the browser knows it, with a final slash.
func (h *Handler) Serve(w http.ResponseWriter, r *http.Request, rest, base string) {
	switch {
	case rest == "/session":
		h.session(w, r, base)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		problem(w, http.StatusMethodNotAllowed, "pages are read")
	case rest == "/":
		h.file(w, r, "index.html")
	case strings.HasPrefix(rest, "/static/"):
		h.file(w, r, strings.TrimPrefix(rest, "/static/"))
	default:
		problem(w, http.StatusNotFound, "there is no such page; the management API is below "+base+"api/")
	}
}

func problem(w http.ResponseWriter, status int, detail string) {
	p := &httpapi.Problem{Status: status, Detail: detail}
	p.Write(w)
}

// file is one embedded file, as it is sent.
type file struct {
	mediaType, etag string
	plain, packed   []byte
}

// files are read once: they are the same for every handler.
var files = sync.OnceValue(func() map[string]*file {
	all := make(map[string]*file)
	root, err := fs.Sub(static, "static")
	if err != nil {
		panic(err) // the directory is embedded
	}
	err = fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		all[name] = newFile(name, text)
		return nil
	})
	if err != nil {
		panic(err) // likewise
	}
	return all
})

func newFile(name string, text []byte) *file {
	sum := sha256.Sum256(text)
	f := &file{mediaType: mediaType(name), etag: `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`, plain: text}
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // fails for unknown levels only
	_, _ = z.Write(text)                                  // a buffer takes everything
	_ = z.Close()
	f.packed = b.Bytes()
	return f
}

// mediaType does not ask the machine's own table, which says text/plain for scripts on some.
func mediaType(name string) string {
	switch path.Ext(name) {
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".html":
		return "text/html; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	}
	return mime.TypeByExtension(path.Ext(name))
}

// file sends an embedded file. Browsers ask each time whether it changed: a new binary must not meet old scripts.
func (h *Handler) file(w http.ResponseWriter, r *http.Request, name string) {
	f := files()[name]
	if f == nil {
		problem(w, http.StatusNotFound, "there is no such file")
		return
	}
	head := w.Header()
	head.Set("Content-Type", f.mediaType)
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("Referrer-Policy", "no-referrer")
	head.Set("Content-Security-Policy", h.policy())
	head.Set("Cache-Control", "no-cache")
	head.Set("Etag", f.etag)
	head.Set("Vary", "Accept-Encoding")
	if r.Header.Get("If-None-Match") == f.etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	body := f.plain
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		head.Set("Content-Encoding", "gzip")
		body = f.packed
	}
	head.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // the reader went away: nobody is left to tell
	}
}

// policy is what a browser may do for the page (CSP, level 3). Styles that scripts set by themselves, as the widths of bars, are
// not inline styles.
func (h *Handler) policy() string {
	frames := "'none'"
	if len(h.Frames) > 0 {
		frames = strings.Join(h.Frames, " ")
	}
	return "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
		"base-uri 'none'; form-action 'self'; frame-ancestors " + frames
}
