package egress

import (
	"bytes"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// plainHead is the head of an answer that everybody reads the same way.
type plainHead struct {
	status               int
	length               int // of the body
	retryAfter, location string
}

var endOfHead = []byte("\r\n\r\n")

const statusLine = "HTTP/1.1 "

// plainAnswer reads a head if it is plain. When it is not, or does not come to
// its end, nothing was taken: [http.ReadResponse] is to judge.
func (w *wire) plainAnswer() (a plainHead, plain bool) {
	for {
		b, _ := w.r.Peek(w.r.Buffered())
		if n := min(len(b), len(statusLine)); string(b[:n]) != statusLine[:n] {
			return a, false
		}
		if size := bytes.Index(b, endOfHead); size >= 0 {
			if a, plain = parsePlain(b[:size+2]); plain {
				w.keepFields(a.status, b[:size+2])
				_, _ = w.r.Discard(size + len(endOfHead))
				w.left = int(^uint(0) >> 1) // the body is the caller's to bound
			}
			return a, plain
		}
		if bareLineEnd(b) || len(b) == w.r.Size() {
			return a, false
		}
		if _, err := w.r.Peek(len(b) + 1); err != nil {
			return a, false
		}
	}
}

// bareLineEnd tells that a line ends without CR: the blank line that ends the
// head may, too.
func bareLineEnd(b []byte) bool {
	for at := 0; ; {
		i := bytes.IndexByte(b[at:], '\n')
		if i < 0 {
			return false
		}
		if at += i; at == 0 || b[at-1] != '\r' {
			return true
		}
		at++
	}
}

// parsePlain reads the lines of a head, each with its CR LF. Plain is a final
// answer by HTTP/1.1 with one length, and nothing that changes how the message
// or the connection is to be read. So there are no two opinions about it; in
// whatever is not plain, or not correct, net/http's counts.
func parsePlain(b []byte) (a plainHead, ok bool) {
	const digits = len(statusLine)
	line, b, ok := nextLine(b)
	if !ok || len(line) < digits+3 || len(line) > digits+3 && line[digits+3] != ' ' || !clean(line) {
		return a, false
	}
	if a.status, ok = number(line[digits : digits+3]); !ok || a.status < 200 || a.status == 204 || a.status == 304 {
		return a, false
	}
	a.length = -1
	for len(b) > 0 {
		line, b, ok = nextLine(b)
		name, value, found := bytes.Cut(line, []byte(":"))
		if !ok || !found || !isToken(name) || !clean(value) || !a.field(name, bytes.Trim(value, " \t")) {
			return a, false
		}
	}
	return a, a.length >= 0
}

// field takes a header's line in; it reports false if that makes the answer
// not plain.
func (a *plainHead) field(name, value []byte) (ok bool) {
	switch len(name) {
	case len("Content-Length"):
		if is(name, "Content-Length") {
			if a.length >= 0 {
				return false
			}
			a.length, ok = number(value)
			return ok
		}
	case len("Transfer-Encoding"):
		return !is(name, "Transfer-Encoding")
	case len("Connection"):
		return !is(name, "Connection") || is(value, "keep-alive")
	case len("Retry-After"):
		if is(name, "Retry-After") {
			return take(&a.retryAfter, value)
		}
	case len("Location"):
		if is(name, "Location") {
			return take(&a.location, value)
		}
	}
	return true
}

// take keeps a value. One that is empty, or given twice, is for others to judge.
func take(into *string, value []byte) bool {
	if *into != "" || len(value) == 0 {
		return false
	}
	*into = string(value)
	return true
}

func nextLine(b []byte) (line, rest []byte, ok bool) {
	i := bytes.IndexByte(b, '\n')
	line, ok = bytes.CutSuffix(b[:i], []byte("\r"))
	return line, b[i+1:], ok
}

func is(b []byte, name string) bool { return strings.EqualFold(string(b), name) }

// number reads up to nine digits, and nothing but digits.
func number(b []byte) (n int, ok bool) {
	if len(b) == 0 || len(b) > 9 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}

func isToken(b []byte) bool {
	for _, c := range b {
		if !httpguts.IsTokenRune(rune(c)) {
			return false
		}
	}
	return len(b) > 0
}

// clean tells that there is no control character but tab, and so no line end.
func clean(b []byte) bool {
	for _, c := range b {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}
