package egress

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"time"
)

// Call is the request of one attempt, and what came of it. It is for a caller
// that makes ten thousand a second: unlike an [http.Request] with its
// [http.Response], a Call and its Header may be used again for the next, and
// over a [Transport] it costs a dozen allocations less. Clear what came of it
// before that; Excerpt is the caller's to keep.
type Call struct {
	// URL to POST to; the same pointer must always mean the same. Header holds
	// what is sent beside Host and Content-Length.
	URL    *url.URL
	Header http.Header
	Body   []byte
	// End is when the call is given up, whatever it waits for.
	End time.Time
	// Stop, when done, ends it before that. A connection watches the one it
	// was last used with, so many calls should have the same. Required.
	Stop context.Context //nolint:containedctx // it belongs to the connection rather than to the call
	// Read is how many bytes of the answer's body are read at most, and Keep
	// how many of them are kept. A longer body costs the connection.
	Read, Keep int
	// Secrets of the header: where the answer repeats one, asterisks are kept.
	Secrets []string

	// Address of the other end, once there was a connection; Reused tells that
	// it was kept since an earlier call.
	Address string
	Reused  bool
	// Timing of its phases.
	Timing Timing
	// Status of the answer and two of its headers; 0 and empty when there was
	// none.
	Status               int
	RetryAfter, Location string
	// Fields of the answer's header that were kept, for [Fields]: of a failure
	// all as far as they fit into 2 KiB, of a success Content-Type, Server, Via
	// and the ids of requests into 256 bytes, without what may be secret.
	Fields []byte
	// Excerpt of the answer's body, of which so many bytes were read.
	Excerpt []byte
	Bytes   int
}

// Make sends the call by way of rt and reads the answer. Whatever it returns,
// the fields say how far it got. The context is that of the attempt: it should
// be Stop, or derived from it.
func (c *Call) Make(ctx context.Context, rt http.RoundTripper) error {
	err := c.send(ctx, rt)
	c.hide(c.Secrets...)
	return err
}

func (c *Call) send(ctx context.Context, rt http.RoundTripper) error {
	if t, ok := rt.(interface{ direct(*url.URL) *client }); ok && len(c.Body) <= inlineBody {
		if way := t.direct(c.URL); way != nil {
			return way.call(ctx, c)
		}
	}
	return c.roundTrip(ctx, rt)
}

// direct is the client to use when there is nothing to choose: no source, no
// proxy. Nil: RoundTrip chooses, or says why not.
func (e *exit) direct(u *url.URL) *client {
	if e.order != nil || e.refused != nil {
		return nil
	}
	w := e.way(route{proxy: direct})
	if u.Scheme == "http" {
		return w.plain
	}
	return w.secure
}

func (t *Transport) direct(u *url.URL) *client { return t.nobody.direct(u) }

// roundTrip makes the call over any RoundTripper. GetBody is set, so that
// another way out may be tried as long as not a byte was sent.
func (c *Call) roundTrip(ctx context.Context, rt http.RoundTripper) error {
	ctx, cancel := context.WithDeadline(ctx, c.End)
	defer cancel()
	ctx = httptrace.WithClientTrace(timed(ctx, &c.Timing), &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) {
		c.Reused = i.Reused
		if addr := i.Conn.RemoteAddr(); addr != nil {
			c.Address = addr.String()
		}
	}})
	u, body := *c.URL, c.Body
	req := (&http.Request{
		Method: http.MethodPost, URL: &u, Host: u.Host, Header: c.Header.Clone(),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)),
		GetBody: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil },
	}).WithContext(ctx)
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return failure(ctx, err)
	}
	c.note(resp)
	if err = c.read(resp); err != nil {
		err = failure(ctx, err)
	}
	if resp.Request != nil && resp.Request != req { // a token was added on the way
		c.hide(resp.Request.Header.Get("Authorization"))
	}
	return err
}

func (c *Call) note(resp *http.Response) {
	c.Status, c.RetryAfter, c.Location = resp.StatusCode, resp.Header.Get("Retry-After"), resp.Header.Get("Location")
	c.Fields = keptOf(resp)
}

// read takes what is wanted of an answer's body. A longer body is cut off by
// closing the connection: reading it to its end is what a response bomb wants.
func (c *Call) read(resp *http.Response) error {
	defer resp.Body.Close() //nolint:errcheck // nothing is left to do about it
	if resp.ContentLength == 0 {
		return nil
	}
	chunk := readChunks.Get().(*[readChunk]byte)
	defer readChunks.Put(chunk)
	for c.Bytes < c.Read {
		n, err := resp.Body.Read(chunk[:min(readChunk, c.Read-c.Bytes)])
		c.take(chunk[:n])
		if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return err //nolint:wrapcheck // says what it was reading
		}
	}
	return nil // the rest is not wanted
}

// take counts a piece of the answer's body and keeps what is to be kept.
func (c *Call) take(b []byte) {
	c.Bytes += len(b)
	c.Excerpt = append(c.Excerpt, b[:min(len(b), c.Keep-len(c.Excerpt))]...)
}

// call makes a call over a connection of the client.
func (c *client) call(ctx context.Context, k *Call) error {
	w, err := c.wireUntil(ctx, k)
	if err != nil {
		return err
	}
	k.Address, k.Reused = w.address(), w.used
	w.used = true
	return w.call(k)
}

// wireUntil takes a kept connection, or makes one before the call is over.
func (c *client) wireUntil(ctx context.Context, k *Call) (*wire, error) {
	host := c.address(k.URL)
	if w := c.kept(host, k.Stop); w != nil {
		return w, nil
	}
	ctx, cancel := context.WithDeadline(ctx, k.End)
	defer cancel()
	w, err := c.connect(timed(ctx, &k.Timing), host)
	if err != nil {
		return nil, err
	}
	w.watch(k.Stop)
	return w, nil
}

// call sends the request in one write, and reads an ordinary answer in one
// look; any other is [http.ReadResponse]'s.
func (w *wire) call(k *Call) error {
	w.begin(k)
	if k.Stop.Err() != nil {
		w.close()
		return failure(k.Stop, errors.New("sending the request"))
	}
	sendErr, err := w.send(k)
	if err != nil {
		w.close()
		return failure(k.Stop, fmt.Errorf("sending the request: %w", err))
	}
	w.asked, w.left = time.Now(), maxResponseHeaderBytes
	a, plain := w.plainAnswer()
	if !plain {
		return w.anyAnswer(k, sendErr)
	}
	k.Timing.FirstByte = w.waited()
	k.Status, k.RetryAfter, k.Location = a.status, a.retryAfter, a.location
	if err := w.body(k, a.length); err != nil {
		w.close()
		return failure(k.Stop, fmt.Errorf("reading the answer's body: %w", err))
	}
	if k.Bytes < a.length || sendErr != nil || w.r.Buffered() > 0 || k.Stop.Err() != nil {
		w.close()
		return nil
	}
	w.c.put(w)
	return nil
}

// early is how much before its end a call may find the connection's deadline,
// as a part of what it has: see begin.
const early = 10

// begin sets the connection's deadline for a call. Doing so for each would be
// two timers moved per attempt, so a deadline that an earlier call left is as
// good if it is not later than this one's and not much earlier; reading that
// it breaks off goes on, see [bounded]. Writing does not: an attempt of 30 s
// that could not write a few kilobytes for 27 has run out of time.
func (w *wire) begin(k *Call) {
	w.err, w.end = nil, k.End
	w.asked, w.took = time.Time{}, 0
	if w.deadline.After(k.End) || k.End.Sub(w.deadline) > time.Until(k.End)/early {
		w.setDeadline(k.End)
	}
}

// send writes head and body. A receiver that takes no more has a moment for
// its last word: then refused is why, and there may be an answer.
func (w *wire) send(k *Call) (refused, err error) {
	buf := buffers.Get().(*[]byte)
	defer func() { buffers.Put(buf) }()
	if w.url != k.URL {
		if w.start, err = appendStart(w.start[:0], http.MethodPost, k.URL, k.URL.Host); err != nil {
			return nil, err
		}
		w.url = k.URL
	}
	b := appendLength(append((*buf)[:0], w.start...), int64(len(k.Body)))
	b, err = appendFields(b, k.Header)
	b = append(b, k.Body...)
	*buf = b
	if err != nil {
		return nil, err
	}
	if _, refused = w.conn.Write(b); refused != nil {
		if k.Stop.Err() != nil {
			return nil, refused
		}
		w.deadline, w.end = time.Time{}, time.Time{}
		_ = w.conn.SetReadDeadline(time.Now().Add(lastWord))
	}
	return refused, nil
}

// anyAnswer reads an answer that is not plain, or none.
func (w *wire) anyAnswer(k *Call, sendErr error) error {
	x := &exchange{w: w, ctx: k.Stop, stop: func() bool { return k.Stop.Err() == nil }, timing: &k.Timing, sendErr: sendErr}
	resp, err := x.receive(posted)
	if err != nil {
		return err
	}
	k.note(resp)
	return k.read(resp)
}

// posted is what an answer is to, for those who read it.
var posted = &http.Request{Method: http.MethodPost}

// firstRoom is for the body of an answer that is not here yet, in bytes.
const firstRoom = 256

// body reads a body of known length, as much of it as is wanted.
func (w *wire) body(k *Call, length int) error {
	want := min(length, k.Read)
	// Most answers are here whole by now. Of others no more room is made than was sent: a thousand that drip would hold 10 MB.
	if n := min(want, k.Keep, max(w.r.Buffered(), firstRoom)); n+len(w.kept) > 0 {
		room := append(make([]byte, 0, len(w.kept)+n), w.kept...)
		k.Fields, k.Excerpt = room[:len(w.kept):len(w.kept)], room[len(w.kept):]
	}
	for k.Bytes < want {
		if _, err := w.r.Peek(1); err != nil {
			if errors.Is(err, io.EOF) {
				return io.ErrUnexpectedEOF
			}
			return err //nolint:wrapcheck // call does
		}
		b, _ := w.r.Peek(min(w.r.Buffered(), want-k.Bytes)) // what is there
		k.take(b)
		_, _ = w.r.Discard(len(b))
	}
	return nil
}
