package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http/httputil"
	"strconv"
)

// The load generator and the receiver share two processors with what they measure, so they speak HTTP/1.1 by hand: a
// message costs a few microseconds, most of them system calls.

// head is what both need of a message's first lines.
type head struct {
	first   []byte // request or status line; valid until the next read
	length  int    // Content-Length
	chunked bool
}

// maxBody bounds the message bodies read, so that a wrong length cannot take the machine's memory.
const maxBody = 16 << 20

// readHead reads up to the blank line.
func readHead(r *bufio.Reader, h *head) error {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return err //nolint:wrapcheck // io.EOF is how a connection ends
	}
	h.first = append(h.first[:0], bytes.TrimRight(line, "\r\n")...)
	h.length, h.chunked = 0, false
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return fmt.Errorf("reading a header: %w", err)
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			return nil
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case len(name) == len("content-length") && bytes.EqualFold(name, []byte("content-length")):
			h.length, err = strconv.Atoi(string(value))
			if err != nil || h.length < 0 || h.length > maxBody {
				return fmt.Errorf("unexpected Content-Length %q", value)
			}
		case len(name) == len("transfer-encoding") && bytes.EqualFold(name, []byte("transfer-encoding")):
			h.chunked = true
		}
	}
}

// readBody reads the body that follows h into buf, which it grows.
func readBody(r *bufio.Reader, h *head, buf []byte) ([]byte, error) {
	if !h.chunked {
		if cap(buf) < h.length {
			buf = make([]byte, h.length)
		}
		buf = buf[:h.length]
		if _, err := io.ReadFull(r, buf); err != nil {
			return nil, fmt.Errorf("reading a body: %w", err)
		}
		return buf, nil
	}
	body, err := io.ReadAll(io.LimitReader(httputil.NewChunkedReader(r), maxBody))
	if err != nil {
		return nil, fmt.Errorf("reading a chunked body: %w", err)
	}
	// The chunked reader leaves the final blank line.
	if _, err := r.ReadSlice('\n'); err != nil {
		return nil, fmt.Errorf("reading the end of a chunked body: %w", err)
	}
	return body, nil
}

// sentAt finds the publisher's clock in a body: {"sent":"<unix nanoseconds>"}, a string because JavaScript would round it.
func sentAt(body []byte) (int64, error) {
	_, digits, found := bytes.Cut(body, []byte(`"sent":"`))
	if !found {
		return 0, errors.New("no publishing time in the body")
	}
	digits, _, _ = bytes.Cut(digits, []byte(`"`))
	n, err := strconv.ParseInt(string(digits), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("publishing time in the body: %w", err)
	}
	return n, nil
}
