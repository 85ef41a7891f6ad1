package egress

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

const (
	// tokenTimeout bounds asking for a token, both ways of sending the secret
	// together. It is not the attempt's own timeout: the answer is for all
	// that wait, and for those to come.
	tokenTimeout = 20 * time.Second

	// tokenMargin is how long before its end a token is not used any more, at
	// most: an attempt may take a moment to arrive, and clocks differ. Of
	// short-lived tokens it is a tenth of their life.
	tokenMargin = time.Minute

	// defaultTokenLife is for tokens that do not say how long they last. The
	// 401 that ends one sooner costs an attempt.
	defaultTokenLife = time.Hour

	// minTokenAge is how old a token must be for a 401 to discard it. An
	// endpoint that answers 401 to everything, for reasons of its own or to do
	// harm, must not make us ask the token endpoint for each attempt.
	minTokenAge = time.Minute

	// minTokenLife is how long a token is used however short it claims to
	// last: a server whose tokens end at once is not asked for each attempt.
	minTokenLife = time.Second

	// After a failure to get a token nothing is asked for a second, then for
	// twice as long each time, up to a minute: token endpoints lock out
	// clients that keep on trying.
	minTokenPause, maxTokenPause = time.Second, time.Minute
)

// Tokens gets tokens with one client's credentials and keeps the current one
// until shortly before its end. However many deliveries wait for a token, it
// is asked for once. It is safe for concurrent use.
type Tokens struct {
	config *clientcredentials.Config
	client *http.Client

	mu      sync.Mutex
	current *token        // nil: none yet, or discarded
	asking  *tokenRequest // nil: none on its way
	failed  error         // what get answers until retry
	retry   time.Time
	pause   time.Duration // before retry, this time; 0 after a success
}

type token struct {
	value string
	got   time.Time
	until time.Time // not used from then on
}

// tokenRequest is one call of the token endpoint; token and err are set when
// done is closed.
type tokenRequest struct {
	done  chan struct{}
	token *token
	err   error
}

// NewTokens makes a source of tokens. Requests to the token endpoint go through
// next, which is to be of the endpoint's own egress profile, so that the same
// guard judges its address. Redirects are not followed.
func NewTokens(c ClientCredentials, next http.RoundTripper) (*Tokens, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	return &Tokens{
		config: c.config(),
		client: &http.Client{
			Transport:     cappedResponses{next},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// get returns a token that is good for now, and asks for one if there is none.
// It waits no longer than ctx. That no token could be had is a [*TokenError],
// and so is a deadline of ctx that passes meanwhile. If ctx is cancelled, it
// is that alone: nothing has failed.
func (s *Tokens) get(ctx context.Context) (*token, error) {
	r, t, err := s.currentOrRequest()
	if r == nil {
		return t, err
	}
	select {
	case <-r.done:
		return r.token, r.err
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.Canceled) {
			return nil, ctx.Err()
		}
		return nil, &TokenError{fmt.Errorf("waiting for the token endpoint: %w", ctx.Err())}
	}
}

// currentOrRequest returns a usable token, or the standing failure, or the
// request to wait for.
func (s *Tokens) currentOrRequest() (*tokenRequest, *token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	switch {
	case s.current != nil && now.Before(s.current.until):
		return nil, s.current, nil
	case s.asking == nil && now.Before(s.retry):
		return nil, nil, s.failed
	case s.asking == nil:
		s.asking = &tokenRequest{done: make(chan struct{})}
		go s.ask(s.asking)
	}
	return s.asking, nil, nil
}

// ask makes one request. Its context is none of the deliveries': the one that
// came first may give up before others do, and its trace is of its own
// connection.
func (s *Tokens) ask(r *tokenRequest) {
	ctx, cancel := context.WithTimeout(context.Background(), tokenTimeout)
	defer cancel()
	asked := time.Now()
	got, err := s.config.Token(context.WithValue(ctx, oauth2.HTTPClient, s.client))
	answered := time.Now()
	if err != nil {
		err = tokenError(err)
	} else {
		err = checkToken(got)
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	defer close(r.done)
	s.asking = nil
	if err != nil {
		r.err = &TokenError{err}
		s.pause = min(max(2*s.pause, minTokenPause), maxTokenPause)
		s.failed, s.retry = r.err, answered.Add(s.pause)
		return
	}
	life := defaultTokenLife
	if !got.Expiry.IsZero() {
		life = got.Expiry.Sub(answered)
	}
	// Counted from when it was asked for: it may have been made then.
	r.token = &token{value: got.AccessToken, got: asked, until: asked.Add(usable(life))}
	s.current, s.failed, s.pause = r.token, nil, 0
}

// usable is how much of its life a token is used.
func usable(life time.Duration) time.Duration {
	return max(life-min(life/10, tokenMargin), minTokenLife)
}

// reject says that an endpoint answered 401 to the token. Nobody uses it
// again; but one got less than a minute ago is kept: another would fare no
// better.
func (s *Tokens) reject(t *token) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current == t && time.Since(t.got) >= minTokenAge {
		s.current = nil
	}
}
