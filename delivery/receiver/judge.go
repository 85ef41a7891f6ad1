// Package receiver is the other side of a delivery, for a developer's desk: it tells whether a signature holds and, if not,
// which of the usual mistakes was made. It decides nothing for a gateway; receivers in production use webhooks_verify or a
// library of their language.
package receiver

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/atoship/caddy-webhooks/delivery/payload"
	"github.com/atoship/caddy-webhooks/delivery/sign"
)

// Verdict tells whether a request carries a signature of one scheme that holds.
type Verdict struct {
	Scheme string `json:"scheme"`
	Valid  bool   `json:"valid"`
	// EventID is the id that the scheme verified; empty when it does not hold.
	EventID string `json:"event_id,omitempty"`
	// Why it does not hold, and Hint which usual mistake would explain it. Neither holds a secret.
	Why  string `json:"why,omitempty"`
	Hint string `json:"hint,omitempty"`
}

// Judge tells what a scheme says of a request whose body has been read. Any of the secrets will do. The error is about the
// scheme and the secrets, not about the request.
func Judge(r *http.Request, body []byte, scheme string, secrets []string, o sign.Options, now time.Time) (Verdict, error) {
	v, err := newVerifier(scheme, secrets, o)
	if err != nil {
		return Verdict{}, err
	}
	id, err := sign.VerifyRequest(v, r, body, now)
	if err == nil {
		return Verdict{Scheme: scheme, Valid: true, EventID: id}, nil
	}
	why, hint := err.Error(), ""
	switch {
	case errors.Is(err, sign.ErrMissingHeader):
		hint = "was the request signed with " + scheme + "? A proxy may also have dropped the header"
	case errors.Is(err, sign.ErrStale):
		hint = "it is an old request, sent again, or a clock is wrong: ours says " + now.UTC().Format(time.RFC3339)
	case errors.Is(err, sign.ErrBadSignature):
		hint = explain(r, body, scheme, secrets, o, now)
	}
	return Verdict{Scheme: scheme, Why: why, Hint: hint}, nil
}

func newVerifier(name string, secrets []string, o sign.Options) (sign.Verifier, error) {
	scheme, ok := sign.Lookup(name)
	if !ok {
		return nil, fmt.Errorf("signature scheme %q: there are %s", name, strings.Join(sign.Names(), ", "))
	}
	if len(secrets) == 0 {
		return nil, errors.New("no secret is given")
	}
	list := make([]sign.Secret, len(secrets))
	for i, s := range secrets {
		list[i] = sign.Secret{Value: s}
	}
	v, err := scheme.NewVerifier(list, o)
	if errors.Is(err, sign.ErrNoTimestamp) && o.Tolerance != 0 {
		o.Tolerance = 0
		return scheme.NewVerifier(list, o)
	}
	return v, err
}

// explain tries the usual mistakes: a signature that holds for another body or another reading of the secret names its own
// cause.
func explain(r *http.Request, body []byte, scheme string, secrets []string, o sign.Options, now time.Time) string {
	holds := func(body []byte, secrets ...string) bool {
		v, err := newVerifier(scheme, secrets, o)
		if err != nil {
			return false
		}
		_, err = sign.VerifyRequest(v, r, body, now)
		return err == nil || errors.Is(err, sign.ErrStale)
	}
	stable, err := payload.AppendStable(nil, body)
	switch {
	case bytes.HasSuffix(body, []byte("\n")) && holds(bytes.TrimRight(body, "\r\n"), secrets...):
		return "it holds for the body without the line break at its end, which an editor or echo added"
	case holds(append(bytes.Clone(body), '\n'), secrets...):
		return "it holds for the body with a line break at its end, which was lost"
	case err == nil && holds(stable, secrets...):
		return "it holds for the same JSON without the spaces, so the body was reformatted: verify the raw body, before any parser"
	}
	for _, s := range secrets {
		for _, other := range readings(s) {
			if holds(body, other.secret) {
				return other.hint
			}
		}
	}
	return "another secret, or the body was changed on its way: verify the raw body, before any parser, with the secret of this endpoint"
}

// reading of a secret that somebody might have had in mind.
type reading struct{ secret, hint string }

func readings(secret string) []reading {
	var all []reading
	add := func(s, hint string) { all = append(all, reading{s, hint}) }
	if trimmed := strings.TrimSpace(secret); trimmed != secret {
		add(trimmed, "it holds for the secret without the white space around it")
	}
	if bare, ok := strings.CutPrefix(secret, "whsec_"); ok {
		add(bare, "it holds for the secret without whsec_: the sender uses the text after it as it stands")
		if key, err := base64.StdEncoding.DecodeString(bare); err == nil {
			add(string(key), "it holds for the decoded secret: the sender uses the bytes behind whsec_")
		}
	} else {
		add("whsec_"+secret, "it holds for whsec_ and this secret: give it with its prefix")
		add("whsec_"+base64.StdEncoding.EncodeToString([]byte(secret)), "it holds for the base64 of this secret: the sender's text form is whsec_ and its base64")
	}
	return all
}

// Present lists the schemes of which a request carries a signature, in the order of sign.Names.
func Present(h http.Header, o sign.Options) []string {
	prefix := o.Prefix
	if prefix == "" {
		prefix = sign.DefaultPrefix
	}
	var found []string
	for _, name := range sign.Names() {
		switch name {
		case "atoship":
			if h.Get(prefix+"-Signature") != "" {
				found = append(found, name)
			}
		case "standard":
			if hasVersion(h, "v1,") {
				found = append(found, name)
			}
		case "standard_ed25519":
			if hasVersion(h, "v1a,") {
				found = append(found, name)
			}
		default:
			scheme, _ := sign.Lookup(name)
			for _, header := range scheme.Traits(o).Headers {
				if strings.Contains(header, "Signature") || strings.Contains(header, "Hmac") {
					if h.Get(header) != "" {
						found = append(found, name)
					}
					break
				}
			}
		}
	}
	return found
}

// hasVersion tells whether the list of Standard Webhooks signatures has one of a version.
func hasVersion(h http.Header, version string) bool {
	for s := range strings.FieldsSeq(h.Get("Webhook-Signature")) {
		if strings.HasPrefix(s, version) {
			return true
		}
	}
	return false
}
