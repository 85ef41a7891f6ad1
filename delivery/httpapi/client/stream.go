package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// maxStreamLine bounds one line of a stream; an item has some 500 bytes.
const maxStreamLine = 1 << 20

// FeedItem is something that happened.
type FeedItem struct {
	// Kind is accepted, attempted, ended or notice; or missed: Items were lost because this reader was slow or, when they are 0,
	// what happened while it was away is not known any more.
	Kind        string    `json:"-"`
	At          time.Time `json:"at"`
	EventID     string    `json:"event_id"`
	EventType   string    `json:"event_type"`
	Environment string    `json:"environment"`
	Tenant      string    `json:"tenant"`
	Delivery    string    `json:"delivery"`
	Endpoint    string    `json:"endpoint"`
	N           int       `json:"n"`
	Status      int       `json:"status"`
	Outcome     string    `json:"outcome"`
	DurationMS  int64     `json:"duration_ms"`
	State       string    `json:"state"`
	Deliveries  int       `json:"deliveries"`
	Test        bool      `json:"test"`
	Items       uint64    `json:"items"`
}

// StreamFilter narrows what happens; zero values do not.
type StreamFilter struct {
	Endpoint, Type string
	Tenant         *string
}

// Stream follows what happens from now on, until ctx ends, the caller stops or the connection does; an error comes last.
func (c *Client) Stream(ctx context.Context, f StreamFilter) iter.Seq2[FeedItem, error] {
	return func(yield func(FeedItem, error) bool) {
		s := c.newStream(f)
		if _, err := s.read(ctx, func(i FeedItem) bool { return yield(i, nil) }); err != nil && ctx.Err() == nil {
			yield(FeedItem{}, err)
		}
	}
}

const (
	followAgain    = 250 * time.Millisecond // between the first two tries to come back, doubled with each; the first is at once
	followAgainMax = 5 * time.Second
)

// Follow is a Stream that comes back when its connection breaks, as when the gateway's configuration is reloaded, and goes on
// with what it missed. Where that is not known any more, after a restart or half a minute, there is an item of the kind missed.
// Each try that fails is told to broken, if not nil. It ends with ctx, with the caller, or with an error: of the first try, or an
// answer that another try would get again.
func (c *Client) Follow(ctx context.Context, f StreamFilter, broken func(error)) iter.Seq2[FeedItem, error] {
	return func(yield func(FeedItem, error) bool) {
		s := c.newStream(f)
		for wait := time.Duration(0); ; wait = min(max(2*wait, followAgain), followAgainMax) {
			before := s.cursor
			stopped, err := s.read(ctx, func(i FeedItem) bool { return yield(i, nil) })
			p, answered := errors.AsType[*Problem](err)
			switch {
			case stopped, ctx.Err() != nil:
				return
			case s.cursor == "", answered && p.Status < 500 && p.Status != http.StatusTooManyRequests:
				if err != nil {
					yield(FeedItem{}, err)
				}
				return
			case s.cursor != before:
				wait = 0
			}
			if err != nil && broken != nil {
				broken(err)
			}
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				return
			}
		}
	}
}

// stream is a connection to the stream, and those after it.
type stream struct {
	client Client
	query  url.Values
	cursor string // id of the last item; empty before the first answer
}

func (c *Client) newStream(f StreamFilter) *stream {
	s := &stream{client: *c, query: url.Values{}}
	set(s.query, "endpoint", f.Endpoint)
	set(s.query, "type", f.Type)
	setTenant(s.query, f.Tenant)
	endless := *c.o.HTTP
	endless.Timeout = 0
	s.client.o.HTTP = &endless
	return s
}

// read passes items on until the connection ends or yield says stop.
func (s *stream) read(ctx context.Context, yield func(FeedItem) bool) (stopped bool, err error) {
	res, err := s.client.send(ctx, request{method: http.MethodGet, path: "stream", query: s.query, after: s.cursor})
	if err != nil {
		return false, err
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, maxStreamLine)
	kind, cursor := "", s.cursor
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ":")
		switch value = strings.TrimPrefix(value, " "); name {
		case "event":
			kind = value
		case "id":
			cursor = value
		case "data":
			item := FeedItem{Kind: kind}
			if err := json.Unmarshal([]byte(value), &item); err != nil {
				return false, fmt.Errorf("reading the stream: %w", err)
			}
			if !yield(item) {
				return true, nil
			}
		case "":
			if lines.Text() == "" {
				s.cursor = cursor // the item is whole
			}
		}
	}
	if err := lines.Err(); err != nil {
		return false, fmt.Errorf("reading the stream: %w", err)
	}
	return false, nil
}

// OpenAPI asks for the document that describes the API.
func (c *Client) OpenAPI(ctx context.Context) (json.RawMessage, error) {
	return get[json.RawMessage](ctx, c, "openapi.json", nil)
}
