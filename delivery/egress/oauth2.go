package egress

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

const (
	// maxTokenResponseBytes bounds the answer of a token endpoint, which is
	// held in memory whole.
	maxTokenResponseBytes = 64 << 10

	// maxTokenBytes bounds a token: each attempt carries it. Servers refuse
	// requests with more than 16 KiB of headers; the largest tokens met (with
	// a directory's groups inside) have about 8.
	maxTokenBytes = 10 << 10

	maxScopes = 64
)

// ClientCredentials are how we get tokens for an endpoint: OAuth 2.0 client
// credentials (RFC 6749, section 4.4).
type ClientCredentials struct {
	// TokenURL is the token endpoint's, as [CheckURL] returns it. https only.
	TokenURL *url.URL
	// ID and Secret of the client. They are sent in an Authorization header;
	// to a server that does not take that, in the body (section 2.3.1).
	ID, Secret string
	// Scopes asked for. None: the server's default.
	Scopes []string
}

func (c *ClientCredentials) check() error {
	switch {
	case c.TokenURL == nil || c.TokenURL.Scheme != "https":
		return errors.New("oauth2: token_url must begin with https://: the client secret is sent there")
	case c.ID == "":
		return errors.New("oauth2: client_id is required")
	case c.Secret == "":
		return errors.New("oauth2: client_secret is required")
	case len(c.Scopes) > maxScopes:
		return fmt.Errorf("oauth2: %d scopes, at most %d are allowed", len(c.Scopes), maxScopes)
	}
	for _, s := range c.Scopes {
		// RFC 6749, section 3.3: a space would make two of it.
		if s == "" || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }) {
			return fmt.Errorf("oauth2: scope %q has a character that is not allowed in one", s)
		}
	}
	return nil
}

// Bearer is an [http.RoundTripper] that adds a token to each request. A
// request it gets no token for is not sent and fails with a [*TokenError]. A
// 401 is returned as it came and never tried again here, since each try has a
// row in the log of attempts; but the token that it was the answer to is not
// used again, unless it is less than a minute old.
type Bearer struct {
	// Tokens supplies the tokens. Several endpoints may share it.
	Tokens *Tokens
	// Next sends the requests.
	Next http.RoundTripper
}

// RoundTrip implements [http.RoundTripper].
func (b *Bearer) RoundTrip(req *http.Request) (*http.Response, error) {
	t, err := b.Tokens.get(req.Context())
	if err != nil {
		if req.Body != nil {
			_ = req.Body.Close() // as RoundTripper promises
		}
		return nil, err
	}
	sent := req.WithContext(req.Context()) // a shallow copy: a request belongs to its maker
	sent.Header = maps.Clone(req.Header)
	if sent.Header == nil {
		sent.Header = make(http.Header)
	}
	sent.Header.Set("Authorization", "Bearer "+t.value)
	resp, err := b.Next.RoundTrip(sent)
	if err == nil && resp.StatusCode == http.StatusUnauthorized {
		b.Tokens.reject(t)
	}
	return resp, err
}

// TokenError means that there was no token for a request, which therefore was
// not sent. Its text is for the operator's log and holds neither the client
// secret nor a token.
type TokenError struct{ Err error }

func (e *TokenError) Error() string { return "oauth2: " + e.Err.Error() }

// Unwrap returns what failed.
func (e *TokenError) Unwrap() error { return e.Err }

// Outcome returns "local".
func (e *TokenError) Outcome() string { return outcomeLocal }

// Detail returns "oauth2".
func (e *TokenError) Detail() string { return "oauth2" }

// tokenError says why a token endpoint gave no token, without repeating what
// it said: a broken or hostile one may echo the secret, and a parser's message
// may quote the token.
func tokenError(err error) error {
	if refused, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		code := ""
		if slices.Contains(tokenErrorCodes, refused.ErrorCode) {
			code = ", " + refused.ErrorCode
		}
		return fmt.Errorf("the token endpoint answered %d%s", refused.Response.StatusCode, code)
	}
	if failed, ok := errors.AsType[*url.Error](err); ok { // its text holds the URL
		return fmt.Errorf("asking the token endpoint: %w", failed.Err)
	}
	return errors.New("the token endpoint's answer is not a token response (RFC 6749, section 5.1)")
}

// tokenErrorCodes are those of RFC 6749, section 5.2, and two that servers
// borrow from section 4.1.2.1.
var tokenErrorCodes = []string{
	"invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type",
	"invalid_scope", "server_error", "temporarily_unavailable",
}

// checkToken refuses tokens that could not be sent (RFC 6750, section 2.1).
func checkToken(t *oauth2.Token) error {
	switch {
	case !strings.EqualFold(t.Type(), "Bearer"):
		return errors.New("the token endpoint gave a token that is not of type Bearer")
	case len(t.AccessToken) > maxTokenBytes:
		return fmt.Errorf("the token endpoint gave a token of %d bytes, at most %d are allowed", len(t.AccessToken), maxTokenBytes)
	case strings.ContainsFunc(t.AccessToken, func(r rune) bool { return r <= ' ' || r > '~' }):
		return errors.New("the token endpoint gave a token with characters that are not allowed in one")
	}
	return nil
}

// cappedResponses bounds the bodies of responses.
type cappedResponses struct{ next http.RoundTripper }

func (c cappedResponses) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := c.next.RoundTrip(req)
	if err == nil {
		resp.Body = http.MaxBytesReader(nil, resp.Body, maxTokenResponseBytes)
	}
	return resp, err
}

// config is what golang.org/x/oauth2 needs to ask for a token.
func (c *ClientCredentials) config() *clientcredentials.Config {
	return &clientcredentials.Config{
		ClientID:     c.ID,
		ClientSecret: c.Secret,
		TokenURL:     c.TokenURL.String(),
		Scopes:       slices.Clone(c.Scopes),
	}
}

var _ http.RoundTripper = (*Bearer)(nil)
