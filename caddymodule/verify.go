package caddymodule

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/atoship/caddy-webhooks/delivery/sign"
)

func init() { caddy.RegisterModule((*Verify)(nil)) }

// Defaults of Verify.
const (
	defaultVerifyBody   = 1 << 20
	defaultVerifyDedupe = 72 * time.Hour
)

// Verify is the receiving side: it lets only webhooks through that carry a valid signature, each once.
//
// It reads the body, checks the raw bytes, and hands the same bytes to the next handler, with the event's id; a
// `webhooks_ingest` behind it takes that id for the event's own. A bad signature or stale timestamp is answered 401, a
// missing header 400, a body that is too large 413, without telling which secret failed.
//
// An id is known once the next handler has answered 2xx. A known one is answered 200 and goes no further; a copy of a
// request still under way is answered 503 with Retry-After. Known ids are kept in memory: at most 100,000 per handler,
// the oldest go first, and a reload or restart forgets them. So the handler behind must still be able to see one event
// twice; `webhooks_ingest` is.
//
// What a scheme does not sign it cannot protect. `atoship`, `github` and `shopify` sign neither time nor id: whoever
// captured a request can send it again at any time, and under another id. `stripe` signs the time. `standard`,
// `standard_ed25519` and `rfc9421` sign both; the last also signs method, host, path and query, which a proxy in between must
// not change.
type Verify struct {
	// The name of the signature scheme, of the namespace `webhooks.signers`, such as `standard`. Required.
	Signature string `json:"signature"`

	// The secrets, any of which may have signed, as `{env.NAME}` or `{file./path}`; read at load. At least one is required.
	// For `standard_ed25519`, and where the sender has such a key for `rfc9421`, the public key: `whpk_…`.
	Secret []string `json:"secret"`

	// How far a signed timestamp may be from this machine's clock, either way. An error with schemes that sign none.
	// Default: `5m` with schemes that sign one.
	Tolerance caddy.Duration `json:"tolerance,omitempty"`

	// How long an id is known. Default: `72h`.
	Dedupe caddy.Duration `json:"dedupe,omitempty"`

	// The most bytes a body may have; more is answered 413. It is held in memory. Default: `1048576` (1 MiB).
	MaxBody int64 `json:"max_body,omitempty"`

	// What the names of the gateway's own headers begin with, for the scheme `atoship`. Default: `X-AtoShip`.
	HeaderPrefix string `json:"header_prefix,omitempty"`

	verifier sign.Verifier
	known    *knownIDs
}

// CaddyModule implements caddy.Module.
func (*Verify) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.webhooks_verify", New: func() caddy.Module { return new(Verify) }}
}

// Provision loads the scheme and resolves the secrets.
func (v *Verify) Provision(ctx caddy.Context) error {
	if v.Signature == "" {
		return errors.New("webhooks_verify: signature is required")
	}
	m, err := ctx.LoadModuleByID(signerNamespace+"."+v.Signature, nil)
	if err != nil {
		return fmt.Errorf("webhooks_verify: signature scheme '%s': %w", v.Signature, err)
	}
	scheme, err := guestAs[Signer](m)
	if err != nil {
		return err
	}
	log := ctx.Logger()
	secrets := make([]sign.Secret, len(v.Secret))
	for i, text := range v.Secret {
		value, err := resolveSecret(log, text, fmt.Sprintf("webhooks_verify, secret %d", i+1))
		if err != nil {
			return err
		}
		secrets[i] = sign.Secret{Value: value}
	}
	v.verifier, err = scheme.NewVerifier(secrets, sign.Options{Prefix: v.HeaderPrefix, Tolerance: time.Duration(v.Tolerance)})
	if errors.Is(err, sign.ErrNoTimestamp) {
		return fmt.Errorf("webhooks_verify: tolerance: %w", err)
	} else if err != nil {
		return fmt.Errorf("webhooks_verify: %w", err)
	}
	if v.MaxBody == 0 {
		v.MaxBody = defaultVerifyBody
	}
	if v.Dedupe == 0 {
		v.Dedupe = caddy.Duration(defaultVerifyDedupe)
	}
	v.known = newKnownIDs(maxKnownIDs, time.Duration(v.Dedupe))
	return nil
}

// retryCopy is the Retry-After, in seconds, for a copy of a request still under way.
const retryCopy = 5

// ServeHTTP implements caddyhttp.MiddlewareHandler.
func (v *Verify) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	body, err := v.readBody(w, r)
	if err != nil {
		return err
	}
	id, err := sign.VerifyRequest(v.verifier, asSent(r), body, time.Now())
	switch {
	case errors.Is(err, sign.ErrMissingHeader):
		return caddyhttp.Error(http.StatusBadRequest, err)
	case err != nil:
		return caddyhttp.Error(http.StatusUnauthorized, err)
	}
	switch v.known.begin(id, time.Now()) {
	case idKnown:
		w.WriteHeader(http.StatusOK)
		return nil
	case idUnderWay:
		w.Header().Set("Retry-After", strconv.Itoa(retryCopy))
		return caddyhttp.Error(http.StatusServiceUnavailable, errors.New("a copy of this webhook is being handled"))
	case idNew:
	}
	answered := false
	defer func() { v.known.end(id, answered, time.Now()) }() // deferred: a panic in the next handler must not block the id

	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	rec := caddyhttp.NewResponseRecorder(w, nil, nil)
	err = next.ServeHTTP(rec, r.WithContext(context.WithValue(r.Context(), verifiedIDKey{}, id)))
	answered = err == nil && rec.Status() >= 200 && rec.Status() <= 299
	return err
}

// asSent is the request with the method and URL that it arrived with, which rfc9421 signs: a handle_path or rewrite before
// this handler may have changed them.
func asSent(r *http.Request) *http.Request {
	original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request)
	if !ok {
		return r
	}
	sent := *r
	sent.Method, sent.URL = original.Method, original.URL
	return &sent
}

// readBody reads the body whole, under the cap that keeps senders without a valid signature from filling the memory.
func (v *Verify) readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.ContentLength > v.MaxBody {
		return nil, caddyhttp.Error(http.StatusRequestEntityTooLarge, fmt.Errorf("body of %d bytes", r.ContentLength))
	}
	var buf bytes.Buffer
	if r.ContentLength > 0 {
		buf.Grow(int(r.ContentLength) + bytes.MinRead) // room for the read that finds the end
	}
	if _, err := buf.ReadFrom(http.MaxBytesReader(w, r.Body, v.MaxBody)); err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return nil, caddyhttp.Error(http.StatusRequestEntityTooLarge, err)
		}
		return nil, caddyhttp.Error(http.StatusBadRequest, fmt.Errorf("reading the body: %w", err))
	}
	return buf.Bytes(), nil
}

// verifiedIDKey is the request context's key for the id that Verify checked.
type verifiedIDKey struct{}

// verifiedID is the id that a webhooks_verify before this handler checked, or "".
func verifiedID(r *http.Request) string {
	id, _ := r.Context().Value(verifiedIDKey{}).(string)
	return id
}

// Interface guards.
var (
	_ caddy.Provisioner           = (*Verify)(nil)
	_ caddyhttp.MiddlewareHandler = (*Verify)(nil)
)
