package httpapi

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"
)

// Auth decides who may call a handler. The zero value refuses everybody: forgetting to configure it opens nothing.
type Auth struct {
	open   bool
	hashes [][sha256.Size]byte
}

// OpenAuth lets every request in: something before the handler decided, or the user said so in as many words.
func OpenAuth() Auth { return Auth{open: true} }

// TokenAuth lets requests in that carry one of the tokens as `Authorization: Bearer` (RFC 6750). Empty tokens are left
// out, so that an unset variable never becomes a password.
func TokenAuth(tokens ...string) Auth {
	var a Auth
	for _, t := range tokens {
		if t != "" {
			a.hashes = append(a.hashes, sha256.Sum256([]byte(t)))
		}
	}
	return a
}

// Check returns nil when r may pass. Its time tells nothing about the tokens: both sides are hashed to one length, and
// every token is compared whatever the ones before it said.
func (a *Auth) Check(w http.ResponseWriter, r *http.Request) *Problem {
	if a.open {
		return nil
	}
	given, ok := bearer(r)
	if !ok {
		w.Header().Set("WWW-Authenticate", `Bearer realm="webhooks"`)
		return &Problem{Status: http.StatusUnauthorized, Detail: "this needs an Authorization header with a bearer token"}
	}
	sum := sha256.Sum256([]byte(given))
	match := 0
	for i := range a.hashes {
		match |= subtle.ConstantTimeCompare(sum[:], a.hashes[i][:])
	}
	if match == 1 {
		return nil
	}
	w.Header().Set("WWW-Authenticate", `Bearer realm="webhooks", error="invalid_token"`)
	return &Problem{Status: http.StatusUnauthorized, Detail: "the bearer token is not one of those allowed here"}
}

// bearer is the token of a request. Two Authorization headers are none: a proxy and we might pick different ones.
func bearer(r *http.Request) (string, bool) {
	v := r.Header["Authorization"]
	if len(v) != 1 {
		return "", false
	}
	scheme, token, ok := strings.Cut(v[0], " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return "", false
	}
	token = strings.TrimLeft(token, " ")
	return token, token != ""
}
