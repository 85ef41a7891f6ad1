package egress

import (
	"bufio"
	"container/list"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"
)

const (
	// inlineBody is the largest request body that is written before the
	// answer is looked for. It fits into any socket's send buffer: a receiver
	// that answers without reading cannot stall us. Larger ones are written
	// beside the reading.
	inlineBody = 16 << 10

	// readBuffer is what a connection reads into, in bytes. A head that does not
	// fit costs some microseconds more; a thousand connections on which nothing
	// comes hold 2 MB less than with the usual 4 kB.
	readBuffer = 2 << 10

	// lastWord is how long an answer is waited for on a connection that took
	// no more of the request: a receiver may refuse early, and close. It is
	// also how long the rest of a refused request may take to go out.
	lastWord = 100 * time.Millisecond
)

// past is a deadline that ends all waiting.
var past = time.Unix(1, 0)

// wire is one connection and what is read from it. One request at a time.
type wire struct {
	c    *client
	host string
	raw  net.Conn // as it was dialled
	conn net.Conn // what is spoken over it: TLS, or raw itself
	r    *bufio.Reader
	left int   // bytes of header that the answer may still have
	err  error // what reading the connection ended with
	used bool
	look socket

	// Of calls.
	end      time.Time       // of the present one; zero: the connection's deadline is what counts
	deadline time.Time       // of the connection, if a call set it
	stop     context.Context //nolint:containedctx // watched for the end of all calls
	unwatch  func() bool
	peer     string   // the other end's address
	url      *url.URL // of the last request, and the start of its head
	start    []byte
	kept     []byte // of a plain answer's header

	asked time.Time     // when the request was sent, until the answer begins
	took  time.Duration // and how long that took

	// While idle, guarded by client.mu.
	since time.Time
	aged  *list.Element
}

func newWire(c *client, host string, conn net.Conn) *wire {
	w := &wire{c: c, host: host, raw: conn, conn: conn, look: newSocket(conn)}
	w.r = bufio.NewReaderSize((*bounded)(w), readBuffer)
	return w
}

// speak goes over to TLS.
func (w *wire) speak(conn net.Conn) { w.conn = conn }

// close gives the connection up. TLS would say good-bye first, and wait five
// seconds for a receiver that reads nothing to take it; nobody needs to know
// that nothing more comes on a connection between two requests, or in the
// middle of one.
func (w *wire) close() {
	if w.unwatch != nil {
		w.unwatch()
	}
	_ = w.raw.Close()
}

// watch makes the end of stop end what the connection does, until another one
// is watched. It reports false for a connection that is being broken off.
func (w *wire) watch(stop context.Context) bool {
	if w.stop == stop {
		return stop == nil || stop.Err() == nil
	}
	if w.unwatch != nil && !w.unwatch() {
		return false
	}
	w.stop, w.unwatch = stop, nil
	if stop != nil {
		w.unwatch = context.AfterFunc(stop, func() { _ = w.conn.SetDeadline(past) })
	}
	return true
}

// address of the other end.
func (w *wire) address() string {
	if w.peer == "" {
		if addr := w.conn.RemoteAddr(); addr != nil {
			w.peer = addr.String()
		}
	}
	return w.peer
}

// setDeadline is for calls; everybody else says so by deadline's zero.
func (w *wire) setDeadline(t time.Time) {
	_ = w.conn.SetDeadline(t)
	w.deadline = t
}

// bounded reads a connection up to what an answer's header may take.
type bounded wire

// waited is how long the answer took to begin, or was waited for in vain.
func (w *wire) waited() time.Duration {
	if !w.asked.IsZero() {
		return time.Since(w.asked)
	}
	return w.took
}

// errHeaderTooLarge ends an attempt whose answer has no end of headers.
var errHeaderTooLarge = &headerError{}

type headerError struct{}

func (*headerError) Error() string { return "the answer's header is larger than 64 KiB" }

// Outcome and Detail are what the attempt's row says.
func (*headerError) Outcome() string { return "response_too_large" }
func (*headerError) Detail() string  { return "headers" }

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errHeaderTooLarge
	}
	n, err := b.conn.Read(p[:min(len(p), b.left)])
	if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) && b.deadline.Before(b.end) && b.stop.Err() == nil {
		(*wire)(b).setDeadline(b.end) // an earlier call's deadline
		if b.stop.Err() == nil {
			n, err = b.conn.Read(p[:min(len(p), b.left)])
		}
	}
	b.left -= n
	b.err = err
	if n > 0 && !b.asked.IsZero() {
		b.took, b.asked = time.Since(b.asked), time.Time{}
	}
	return n, err //nolint:wrapcheck // callers say what they were reading
}

// answerError is an answer that is not HTTP as it should be. Whatever else
// goes wrong while one is read comes from the connection.
type answerError struct{ error }

func (e answerError) Unwrap() error { return e.error }

// Outcome is what the attempt's row says.
func (answerError) Outcome() string { return "protocol_error" }

// misread tells an answer that cannot be read from a connection that cannot.
func (w *wire) misread(err error) error {
	if w.err == nil && w.left > 0 {
		return answerError{err}
	}
	return err
}

// quiet reports that nothing has come on the idle connection, not even its
// end. A request on another would be lost, or answered with what was not
// meant for it. The socket is looked at first, then what lies above it: TLS
// reads more than it is asked for, and a record behind the last answer would
// be the beginning of the next one.
func (w *wire) quiet() bool {
	if w.r.Buffered() > 0 || !w.look.quiet() {
		return false
	}
	if _, bare := w.conn.(*net.TCPConn); bare {
		return true // there is nothing above it
	}
	var b [1]byte
	w.deadline, w.end = time.Time{}, time.Time{}
	_ = w.conn.SetReadDeadline(past)
	n, err := w.conn.Read(b[:])
	return n == 0 && errors.Is(err, os.ErrDeadlineExceeded)
}

// roundTrip sends a request and reads the answer's header.
func (w *wire) roundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	deadline, _ := ctx.Deadline() // zero: none
	_ = w.conn.SetDeadline(deadline)
	w.err, w.deadline, w.end = nil, time.Time{}, time.Time{}
	w.asked, w.took = time.Time{}, 0
	x := &exchange{w: w, ctx: ctx, stop: context.AfterFunc(ctx, func() { _ = w.conn.SetDeadline(past) })}
	if err := x.send(req); err != nil {
		x.end(false)
		return nil, failure(ctx, fmt.Errorf("sending the request: %w", err))
	}
	w.asked, x.timing = time.Now(), timing(ctx)
	return x.receive(req)
}

// receive reads the answer's header.
func (x *exchange) receive(req *http.Request) (*http.Response, error) {
	resp, err := x.w.response(req)
	x.timing.FirstByte += x.w.waited()
	if err != nil {
		x.end(false)
		if x.sendErr != nil {
			err = x.sendErr
		}
		return nil, failure(x.ctx, fmt.Errorf("reading the answer: %w", err))
	}
	x.taken = resp.StatusCode >= 200 && resp.StatusCode <= 299
	x.keep = !resp.Close && !req.Close && resp.StatusCode != http.StatusSwitchingProtocols
	if resp.Body == http.NoBody {
		x.end(true)
		return resp, nil
	}
	x.body, resp.Body = resp.Body, x
	return resp, nil
}

// response reads headers until one is the final answer's.
func (w *wire) response(req *http.Request) (*http.Response, error) {
	w.left = maxResponseHeaderBytes
	for {
		resp, err := http.ReadResponse(w.r, req)
		if err != nil {
			return nil, w.misread(err)
		}
		if resp.StatusCode/100 != 1 || resp.StatusCode == http.StatusSwitchingProtocols {
			w.left = int(^uint(0) >> 1) // the body is the caller's to bound
			return resp, nil
		}
	}
}

// exchange is a request under way, and then the body of its answer.
type exchange struct {
	w    *wire
	ctx  context.Context //nolint:containedctx // of the attempt, whose end breaks off the reading
	stop func() bool
	body io.ReadCloser

	timing *Timing // of the call

	taken   bool       // the answer is 2xx
	keep    bool       // the connection may be used again, as far as the answer tells
	sendErr error      // of an inline body: the receiver took no more
	sending chan error // of a body written beside
	ended   bool
}

// send writes the request. An error means that none of it needs an answer.
func (x *exchange) send(req *http.Request) error {
	buf := buffers.Get().(*[]byte)
	defer func() { buffers.Put(buf) }()
	head, err := appendHead((*buf)[:0], req)
	*buf = head
	if err != nil {
		closeBody(req)
		return err
	}
	size := req.ContentLength
	if size > inlineBody || size < 0 {
		x.sending = make(chan error, 1)
		if _, err := x.w.conn.Write(head); err != nil {
			closeBody(req)
			x.sending <- err
			return x.refused(err)
		}
		go x.sendBeside(req)
		return nil
	}
	if size > 0 {
		n := len(head)
		head = append(head, make([]byte, size)...)
		*buf = head
		if _, err := io.ReadFull(req.Body, head[n:]); err != nil {
			closeBody(req)
			return fmt.Errorf("reading its body: %w", err)
		}
	}
	closeBody(req)
	if _, err := x.w.conn.Write(head); err != nil {
		return x.refused(err)
	}
	return nil
}

// refused gives a receiver that takes no more a moment for its last word.
func (x *exchange) refused(err error) error {
	if x.ctx.Err() != nil {
		return err
	}
	x.sendErr = err
	x.w.deadline, x.w.end = time.Time{}, time.Time{}
	_ = x.w.conn.SetReadDeadline(time.Now().Add(lastWord))
	return nil
}

// sendBeside writes a large body while the answer is read.
func (x *exchange) sendBeside(req *http.Request) {
	n, err := io.Copy(x.w.conn, req.Body)
	closeBody(req)
	if err == nil && n != req.ContentLength {
		err = fmt.Errorf("the body has %d bytes, not %d", n, req.ContentLength)
		_ = x.w.conn.SetDeadline(past) // the receiver waits for the rest
	}
	x.sending <- err
}

// Read reads the answer's body.
func (x *exchange) Read(p []byte) (int, error) {
	if x.ended {
		return 0, http.ErrBodyReadAfterClose
	}
	n, err := x.body.Read(p)
	switch {
	case errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		x.end(true)
		return n, io.EOF
	case err != nil:
		x.end(false)
		return n, failure(x.ctx, fmt.Errorf("reading the answer's body: %w", x.w.misread(err)))
	}
	return n, nil
}

// Close gives up what was not read, and with it the connection.
func (x *exchange) Close() error {
	x.end(false)
	return nil
}

// end is the end of the exchange: the connection is kept if all went well.
func (x *exchange) end(complete bool) {
	if x.ended {
		return
	}
	x.ended = true
	if complete && x.taken && x.sending != nil {
		// The receiver took the event before it had all of it, and may be
		// reading still. It gets the rest as long as the attempt lasts;
		// if it wants no more, its answer stands.
		x.sendErr, x.sending = <-x.sending, nil
	}
	if !x.stop() || !complete || !x.keep || x.sendErr != nil || x.w.r.Buffered() > 0 {
		x.w.close()
		return
	}
	if x.sending == nil {
		x.w.c.put(x.w)
		return
	}
	// The last of the request may be on its way still, or the receiver did
	// not care for it.
	x.w.deadline, x.w.end = time.Time{}, time.Time{}
	_ = x.w.conn.SetDeadline(time.Now().Add(lastWord))
	go func() {
		if err := <-x.sending; err != nil {
			x.w.close()
			return
		}
		x.w.c.put(x.w)
	}()
}

// readChunk is what an attempt holds to read a body: little, because a thousand
// endpoints may drip theirs until the timeout.
const readChunk = 2 << 10

var readChunks = sync.Pool{New: func() any { return new([readChunk]byte) }}

// buffers hold requests while they are written.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 2<<10); return &b }}
