// Package client calls the management API of a gateway from Go, one method per row of its table.
//
//	c, err := client.New("http://localhost:2019/webhooks/", client.Options{})
//	page, err := c.Endpoints(ctx, client.Page{})
//
// The address is Caddy's admin endpoint with /webhooks/ behind it, or a webhooks_dashboard with api/ behind it; behind a unix
// socket, unix//run/caddy/admin.sock|/webhooks/. An answer that is not 2xx is a *Problem.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// maxAnswer bounds what is read of an answer: a page of 500 deliveries has less than 1 MiB, an event at most 8.
const maxAnswer = 64 << 20

// Options of a Client. The zero value is usable.
type Options struct {
	// Token is sent as a bearer token. Default: none.
	Token string
	// HTTP sends the requests. Default: one with a timeout of a minute, which goes through the unix socket if the address names
	// one. With another, such an address is refused.
	HTTP *http.Client
	// Header is added to each request: Origin and Host matter to Caddy's admin endpoint. Default: none.
	Header http.Header
}

// Client calls one gateway. It is safe for concurrent use.
type Client struct {
	base *url.URL
	o    Options
}

// New makes a client of an address as the package comment shows it.
func New(address string, o Options) (*Client, error) {
	if rest, ok := strings.CutPrefix(address, "unix/"); ok {
		socket, path, _ := strings.Cut(rest, "|")
		if o.HTTP != nil {
			return nil, errors.New("an address with a unix socket needs the client's own HTTP")
		}
		o.HTTP = overSocket(socket)
		address = "http://127.0.0.1" + "/" + strings.TrimPrefix(path, "/")
	}
	base, err := url.Parse(address)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, fmt.Errorf("'%s' is no address such as http://localhost:2019/webhooks/", address)
	}
	if !strings.HasSuffix(base.Path, "/") {
		base.Path += "/"
	}
	if o.HTTP == nil {
		o.HTTP = &http.Client{Timeout: time.Minute}
	}
	return &Client{base, o}, nil
}

// overSocket connects to a unix socket, whatever the request's host.
func overSocket(socket string) *http.Client {
	t := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}
	return &http.Client{Transport: t, Timeout: time.Minute}
}

// Problem is an answer that is not 2xx (RFC 9457).
type Problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	// Pointer (RFC 6901) to the member of the body at fault, Parameter the name of the query parameter; as far as there is one.
	Pointer   string `json:"pointer"`
	Parameter string `json:"parameter"`
	// Pending is how many deliveries a deletion would cancel; see DeleteEndpoint.
	Pending *uint64 `json:"pending"`
	// RetryAfter is when the same request may succeed; zero: it says nothing of that.
	RetryAfter time.Duration `json:"-"`
}

func (p *Problem) Error() string {
	text := p.Detail
	if text == "" {
		text = p.Title
	}
	if at := p.Pointer + p.Parameter; at != "" {
		text += " (at " + at + ")"
	}
	return strconv.Itoa(p.Status) + ": " + text
}

// request is what goes into one.
type request struct {
	method string
	path   string // relative to the base, escaped
	query  url.Values
	body   any // nil: none
	match  string
	after  string // the item of a stream to go on behind
}

// do sends a request and decodes the answer into out, if that is not nil. It answers with the ETag.
func (c *Client) do(ctx context.Context, rq request, out any) (etag string, err error) {
	res, err := c.send(ctx, rq)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return "", fmt.Errorf("reading the gateway's answer: %w", err)
	}
	if out != nil {
		if err := json.Unmarshal(text, out); err != nil {
			return "", fmt.Errorf("reading the gateway's answer (is %s the API's address?): %w", c.base, err)
		}
	}
	return res.Header.Get("Etag"), nil
}

// send sends a request. The answer is 2xx, and its body the caller's to close.
func (c *Client) send(ctx context.Context, rq request) (*http.Response, error) {
	r, err := c.request(ctx, rq)
	if err != nil {
		return nil, err
	}
	res, err := c.o.HTTP.Do(r)
	if err != nil {
		return nil, fmt.Errorf("asking the gateway: %w", err)
	}
	if res.StatusCode >= 200 && res.StatusCode <= 299 {
		return res, nil
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("reading the gateway's answer: %w", err)
	}
	return nil, problemOf(res, text)
}

func (c *Client) request(ctx context.Context, rq request) (*http.Request, error) {
	target, err := c.base.Parse(rq.path)
	if err != nil {
		return nil, fmt.Errorf("making the address of %s: %w", rq.path, err)
	}
	target.RawQuery = rq.query.Encode()
	var body io.Reader = http.NoBody
	if rq.body != nil {
		text, err := json.Marshal(rq.body)
		if err != nil {
			return nil, fmt.Errorf("encoding the request: %w", err)
		}
		body = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(ctx, rq.method, target.String(), body)
	if err != nil {
		return nil, fmt.Errorf("making the request: %w", err)
	}
	maps.Copy(r.Header, c.o.Header)
	r.Header.Set("Accept", "application/json, application/problem+json")
	if rq.body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if rq.match != "" {
		r.Header.Set("If-Match", rq.match)
	}
	if rq.after != "" {
		r.Header.Set("Last-Event-ID", rq.after)
	}
	if c.o.Token != "" {
		r.Header.Set("Authorization", "Bearer "+c.o.Token)
	}
	return r, nil
}

// problemOf reads what went wrong; an answer that is none of the API's keeps its status.
func problemOf(res *http.Response, text []byte) error {
	p := new(Problem)
	if json.Unmarshal(text, p) != nil || p.Status == 0 {
		p = &Problem{Title: http.StatusText(res.StatusCode)}
	}
	p.Status = res.StatusCode
	if seconds, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil {
		p.RetryAfter = time.Duration(seconds) * time.Second
	}
	return p
}

// get reads one thing.
func get[T any](ctx context.Context, c *Client, path string, query url.Values) (T, error) {
	var out T
	_, err := c.do(ctx, request{method: http.MethodGet, path: path, query: query}, &out)
	return out, err
}

// post asks for something to be done.
func post[T any](ctx context.Context, c *Client, path string, body any) (T, error) {
	var out T
	_, err := c.do(ctx, request{method: http.MethodPost, path: path, body: body}, &out)
	return out, err
}

// at makes a path of parts, the odd ones of which are names from outside.
func at(parts ...string) string {
	for i := 1; i < len(parts); i += 2 {
		parts[i] = url.PathEscape(parts[i])
	}
	return strings.Join(parts, "/")
}

// Page says which part of a list.
type Page struct {
	// Limit of items, 1 to 500. Default: 50.
	Limit int
	// Cursor is the Next of the page before. Default: from the beginning.
	Cursor string
}

func (p Page) values() url.Values {
	v := url.Values{}
	if p.Limit != 0 {
		v.Set("limit", strconv.Itoa(p.Limit))
	}
	set(v, "cursor", p.Cursor)
	return v
}

func set(v url.Values, name, value string) {
	if value != "" {
		v.Set(name, value)
	}
}

func setTime(v url.Values, name string, t time.Time) {
	if !t.IsZero() {
		v.Set(name, t.UTC().Format(time.RFC3339Nano))
	}
}

// List is one page of a list.
type List[T any] struct {
	Items []T `json:"items"`
	// Next is the cursor of the page that follows; empty on the last one. A page may be short, even empty, with Next set.
	Next string `json:"next"`
}

// All goes through all pages of a list, which list asks for by their cursor. It ends with the first error.
func All[T any](list func(cursor string) (List[T], error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for cursor := ""; ; {
			page, err := list(cursor)
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, item := range page.Items {
				if !yield(item, nil) {
					return
				}
			}
			if page.Next == "" {
				return
			}
			cursor = page.Next
		}
	}
}
