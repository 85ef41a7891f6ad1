package dashboard

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/atoship/caddy-webhooks/delivery/httpapi"
)

const (
	cookieName = "webhooks_session"
	// sessionLife is a working day: who comes back tomorrow shows the token again.
	sessionLife = 12 * time.Hour
	// maxToken bounds a token, in bytes: browsers keep cookies of 4 kB.
	maxToken = 1024
)

// sealer seals cookies under a key of this process.
var sealer = sync.OnceValue(func() cipher.AEAD {
	var key [32]byte
	_, _ = rand.Read(key[:]) // never fails: it ends the program instead
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err) // the key has the right size
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err) // AES has the right block size
	}
	return aead
})

// seal makes the value of a cookie.
func seal(token string, end time.Time) string {
	text := binary.BigEndian.AppendUint64(nil, uint64(end.Unix())) //nolint:gosec // after 1970
	text = append(text, token...)
	return base64.RawURLEncoding.EncodeToString(sealer().Seal(nil, nil, text, []byte(cookieName))) //nolint:gosec // it draws its own nonce
}

// unseal takes the token out of a cookie's value, unless it has ended or is none of ours.
func unseal(value string, now time.Time) (token string, ok bool) {
	sealed, err := base64.RawURLEncoding.DecodeString(value)
	if err != nil {
		return "", false
	}
	text, err := sealer().Open(nil, nil, sealed, []byte(cookieName))
	if err != nil || len(text) < 8 || now.Unix() >= int64(binary.BigEndian.Uint64(text)) { //nolint:gosec // we wrote it
		return "", false
	}
	return string(text[8:]), true
}

// Authorize is the request with the token of its session, if it has one and brings no token itself. Call it before asking who
// makes a request.
func Authorize(r *http.Request) *http.Request {
	if r.Header.Get("Authorization") != "" {
		return r
	}
	c, err := r.Cookie(cookieName)
	if err != nil {
		return r
	}
	token, ok := unseal(c.Value, time.Now())
	if !ok {
		return r
	}
	out := r.WithContext(r.Context()) // a shallow copy: the header must not change under whoever logs the request
	out.Header = r.Header.Clone()
	out.Header.Set("Authorization", "Bearer "+token)
	out.Header.Del("Cookie")
	return out
}

// strangers refuses what a page of another origin makes a browser send.
var strangers = http.NewCrossOriginProtection()

// sessionView is who looks at the page.
type sessionView struct {
	Tenant string `json:"tenant"`
	Role   string `json:"role"`
	// SignedIn tells that there is a session to end.
	SignedIn bool `json:"signed_in"`
}

// session tells who is here (GET), begins a session (POST) or ends it (DELETE).
func (h *Handler) session(w http.ResponseWriter, r *http.Request, base string) {
	if strangers.Check(r) != nil {
		problem(w, http.StatusForbidden, "a browser sent this from a page of another origin")
		return
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		as := Authorize(r)
		h.here(w, as, as != r)
	case http.MethodPost:
		h.signIn(w, r, base)
	case http.MethodDelete:
		setCookie(w, r, base, "", -1)
		answer(w, struct{}{})
	default:
		w.Header().Set("Allow", "GET, HEAD, POST, DELETE")
		problem(w, http.StatusMethodNotAllowed, "a session is begun, looked at or ended")
	}
}

// here tells who makes a request; inSession, that its token came from the cookie.
func (h *Handler) here(w http.ResponseWriter, r *http.Request, inSession bool) {
	access, p := h.Who(w, r)
	if p != nil {
		p.Write(w)
		return
	}
	answer(w, sessionView{access.Tenant, access.Role.String(), h.SignsIn && inSession})
}

func (h *Handler) signIn(w http.ResponseWriter, r *http.Request, base string) {
	var given struct {
		Token string `json:"token"`
	}
	d := json.NewDecoder(io.LimitReader(r.Body, 2*maxToken))
	d.DisallowUnknownFields()
	switch err := d.Decode(&given); {
	case !h.SignsIn:
		problem(w, http.StatusConflict, "nobody signs in here: the gateway's configuration leaves it to what is before it")
		return
	case err != nil, given.Token == "", len(given.Token) > maxToken:
		problem(w, http.StatusUnprocessableEntity, `the body is an object with the member token`)
		return
	}
	as := r.WithContext(r.Context())
	as.Header = r.Header.Clone()
	as.Header.Set("Authorization", "Bearer "+given.Token)
	access, p := h.Who(w, as)
	if p != nil {
		if p.Status == http.StatusUnauthorized {
			p = &httpapi.Problem{Status: p.Status, Detail: "this token opens nothing here, or it has ended"}
		}
		p.Write(w)
		return
	}
	setCookie(w, r, base, seal(given.Token, time.Now().Add(sessionLife)), int(sessionLife/time.Second))
	answer(w, sessionView{access.Tenant, access.Role.String(), true})
}

// setCookie sets the cookie of the session, for this dashboard alone.
func setCookie(w http.ResponseWriter, r *http.Request, base, value string, seconds int) {
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // Secure wherever there is TLS; a gateway on a desk has none
		Name: cookieName, Value: value, Path: base, MaxAge: seconds,
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil,
	})
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(v) // the reader went away: nobody is left to tell
}
