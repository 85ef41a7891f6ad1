// Command migration is a receiver on its way from the hex signature of X-AtoShip-Signature to Standard Webhooks. It moves in
// three steps, none of which loses an event: it verifies the old signature, then either, then the new one alone.
package main

import (
	"bytes"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/atoship/caddy-webhooks/delivery/sign"
	"github.com/atoship/caddy-webhooks/examples/internal/site"
)

const secret = "whsec_ZGVtbyBzZWNyZXQgZm9yIGV4YW1wbGVzLCBub3QgcmVhbA==" //nolint:gosec // the demonstration's, which protects nothing

// Receiver takes events whose signature holds under any of its schemes. Its methods may be used concurrently.
type Receiver struct {
	mu      sync.Mutex
	schemes []string
	events  map[string]string // ids of events, with the scheme that verified them
	refused int
}

// NewReceiver verifies by these schemes.
func NewReceiver(schemes ...string) *Receiver {
	return &Receiver{schemes: schemes, events: map[string]string{}}
}

// Move lets it verify by other schemes from now on.
func (rc *Receiver) Move(schemes ...string) {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	rc.schemes = schemes
}

// Events tells how many events were taken by each scheme, and how many requests were refused.
func (rc *Receiver) Events() (by map[string]int, refused int) {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	by = map[string]int{}
	for _, scheme := range rc.events {
		by[scheme]++
	}
	return by, rc.refused
}

// ServeHTTP takes one webhook, or answers 401.
func (rc *Receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 256<<10))
	if err != nil {
		http.Error(w, "too large", http.StatusRequestEntityTooLarge)
		return
	}
	rc.mu.Lock()
	defer rc.mu.Unlock()
	scheme, ok := rc.verify(r.Header, body)
	if !ok {
		rc.refused++
		http.Error(w, "the signature does not hold", http.StatusUnauthorized)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if ev, ok := site.Read(w, r, nil); ok {
		rc.events[ev.ID] = scheme
		w.WriteHeader(http.StatusNoContent)
	}
}

// verify tries the schemes in their order: while both are sent, put the stronger first. A receiver in another language uses its
// own library for the new one.
func (rc *Receiver) verify(h http.Header, body []byte) (scheme string, ok bool) {
	for _, name := range rc.schemes {
		s, known := sign.Lookup(name)
		if !known {
			continue
		}
		v, err := s.NewVerifier([]sign.Secret{{Value: secret}}, sign.Options{})
		if err != nil {
			continue
		}
		if _, err := v.Verify(h, body, time.Now()); err == nil {
			return name, true
		}
	}
	return "", false
}

func main() { site.Serve(NewReceiver("standard", "atoship")) }
