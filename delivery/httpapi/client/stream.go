package client

import (
	"bufio"
	"context"
	"encoding/json"
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
	// Kind is accepted, attempted, ended or notice; or missed: Items were lost because this reader was slow.
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

// Stream follows what happens from now on, until ctx ends, the caller stops or the gateway does; an error comes last.
func (c *Client) Stream(ctx context.Context, f StreamFilter) iter.Seq2[FeedItem, error] {
	return func(yield func(FeedItem, error) bool) {
		v := url.Values{}
		set(v, "endpoint", f.Endpoint)
		set(v, "type", f.Type)
		setTenant(v, f.Tenant)
		endless := *c
		http := *c.o.HTTP
		http.Timeout = 0
		endless.o.HTTP = &http
		if err := endless.stream(ctx, v, func(i FeedItem) bool { return yield(i, nil) }); err != nil {
			yield(FeedItem{}, err)
		}
	}
}

func (c *Client) stream(ctx context.Context, query url.Values, yield func(FeedItem) bool) error {
	res, err := c.send(ctx, request{method: http.MethodGet, path: "stream", query: query})
	if err != nil {
		return err
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, maxStreamLine)
	kind := ""
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "event":
			kind = value
		case "data":
			item := FeedItem{Kind: kind}
			if err := json.Unmarshal([]byte(value), &item); err != nil {
				return fmt.Errorf("reading the stream: %w", err)
			}
			if !yield(item) {
				return nil
			}
		}
	}
	if err := lines.Err(); err != nil && ctx.Err() == nil {
		return fmt.Errorf("reading the stream: %w", err)
	}
	return nil
}

// OpenAPI asks for the document that describes the API.
func (c *Client) OpenAPI(ctx context.Context) (json.RawMessage, error) {
	return get[json.RawMessage](ctx, c, "openapi.json", nil)
}
