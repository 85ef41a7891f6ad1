package sign

import (
	"errors"
	"net/http"
	"net/url"
	"time"
)

const (
	// DefaultPrefix starts the names of our own headers unless configured otherwise.
	DefaultPrefix = "X-AtoShip"

	// DefaultTolerance is how far a signed timestamp may be from the
	// verifier's clock, both ways: what every Standard Webhooks library uses.
	DefaultTolerance = 5 * time.Minute
)

// Sentinel errors of signing and verifying.
var (
	// ErrNoSecret means that no secret is live at the time of signing or
	// verifying: all have passed their end.
	ErrNoSecret = errors.New("no signing secret is live")

	// ErrMissingHeader means that a header the scheme needs is absent or
	// empty. A receiver answers 400.
	ErrMissingHeader = errors.New("signature header missing")

	// ErrBadSignature means that no live secret made this signature over
	// this request, or that its headers are malformed. It never tells which.
	// A receiver answers 401.
	ErrBadSignature = errors.New("signature does not match")

	// ErrStale means that the signature is genuine but its timestamp is
	// further from now than the tolerance, either way. A receiver answers 401.
	ErrStale = errors.New("signature timestamp outside tolerance")

	// ErrNoTimestamp means that a tolerance was asked of a scheme that signs
	// no timestamp.
	ErrNoTimestamp = errors.New("scheme signs no timestamp, so a tolerance cannot be checked")
)

// Message is what one attempt sends.
type Message struct {
	// ID is the event id, the same in every attempt.
	ID string
	// Type is the event type, for schemes with a header for it.
	Type string
	// Timestamp is the time of this attempt. It also decides which secrets
	// are live. Schemes use whole seconds.
	Timestamp time.Time
	// Method and URL are those of the request. Only rfc9421 signs them. An
	// empty method is POST. URL is only read.
	Method string
	URL    *url.URL
	// Body is exactly what goes on the wire. It is only read.
	Body []byte
}

// Signer adds the signature headers of one scheme, for one endpoint. It may
// be used from several goroutines.
type Signer interface {
	// Sign sets the headers, under canonical names, replacing what is there;
	// only a header for the event type gives way to one that is set already.
	// It comes last: rfc9421 signs the Content-Type in h.
	// After an error h may hold part of them: the attempt must not be sent.
	Sign(h http.Header, m *Message) error
}

// Verifier checks requests on the receiving side. It may be used from
// several goroutines.
type Verifier interface {
	// Verify checks the raw body against the headers and returns the event
	// id. Errors are, or wrap, ErrMissingHeader, ErrBadSignature, ErrStale
	// or ErrNoSecret. Comparing takes the same time wherever the difference
	// is, and every live secret is tried.
	Verify(h http.Header, body []byte, now time.Time) (id string, err error)
}

// RequestVerifier is a [Verifier] whose scheme signs more than headers and
// body. Its Verify, which does not see the rest, refuses everything.
type RequestVerifier interface {
	Verifier
	// VerifyRequest checks r, whose body has been read into body. What it
	// needs of r is as the sender wrote it: Method, Host, URL and Header,
	// before any handler rewrote them, and TLS.
	VerifyRequest(r *http.Request, body []byte, now time.Time) (id string, err error)
}

// VerifyRequest checks a request with any kind of verifier.
func VerifyRequest(v Verifier, r *http.Request, body []byte, now time.Time) (id string, err error) {
	if rv, ok := v.(RequestVerifier); ok {
		return rv.VerifyRequest(r, body, now)
	}
	return v.Verify(r.Header, body, now)
}

// Scheme is one way of signing.
type Scheme interface {
	// Name is the word for it in the configuration.
	Name() string
	// Traits tells what its signers write and need.
	Traits(o Options) Traits
	// NewSigner prepares signing with secrets, newest first; they may end
	// at different times. It passes over secrets of a form that is not in
	// its traits, and fails when none is left. Errors do not contain a secret.
	NewSigner(secrets []Secret, o Options) (Signer, error)
	// NewVerifier prepares verifying with any of secrets, all of which must
	// be of use to the scheme.
	NewVerifier(secrets []Secret, o Options) (Verifier, error)
}

// Traits are what [New] must know of a scheme to combine it with others.
type Traits struct {
	// Headers are the canonical names of what its signers set. Webhook-Id is
	// not listed: every scheme that sets it gives it the event id.
	Headers []string
	// Forms are the secrets its signers use. Zero is [SharedSecret].
	Forms Form
}

// Options are the settings a scheme may need besides secrets. The zero value is usable.
type Options struct {
	// Prefix starts the names of our own headers. Default [DefaultPrefix].
	Prefix string
	// Tolerance is how far a signed timestamp may be off when verifying.
	// Default [DefaultTolerance]; setting it with a scheme that signs no
	// timestamp is [ErrNoTimestamp].
	Tolerance time.Duration
}

func (o Options) prefix() string {
	if o.Prefix == "" {
		return DefaultPrefix
	}
	return o.Prefix
}

// schemes lists what is built in.
var schemes = []Scheme{atoship{}, standard{}, standardEd25519{}, github{}, stripe{}, shopify{}, rfc9421{}}

// Default names the schemes of an endpoint that says nothing else.
func Default() []string { return []string{"atoship", "standard"} }

// Names lists the built-in schemes.
func Names() []string {
	names := make([]string, len(schemes))
	for i, s := range schemes {
		names[i] = s.Name()
	}
	return names
}

// Lookup finds a built-in scheme.
func Lookup(name string) (Scheme, bool) {
	for _, s := range schemes {
		if s.Name() == name {
			return s, true
		}
	}
	return nil, false
}
