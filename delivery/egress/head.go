package egress

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// appendHead writes a request's line and header as HTTP/1.1 has them
// (RFC 9112). Nothing gets into either that could end it early: the values
// come from configurations and events, and were judged there already.
func appendHead(b []byte, req *http.Request) ([]byte, error) {
	host := req.Host
	if host == "" {
		host = req.URL.Host
	}
	if req.ContentLength < 0 || req.ContentLength == 0 && req.Body != nil && req.Body != http.NoBody {
		return b, errors.New("the request has a body of unknown length")
	}
	method := req.Method
	if method == "" {
		method = http.MethodGet
	}
	b, err := appendStart(b, method, req.URL, host)
	if err != nil {
		return b, err
	}
	if req.ContentLength > 0 || method == http.MethodPost || method == http.MethodPut || method == http.MethodPatch {
		b = appendLength(b, req.ContentLength)
	}
	if req.Close {
		b = append(b, "Connection: close\r\n"...)
	}
	return appendFields(b, req.Header)
}

// appendStart writes the request line and Host.
func appendStart(b []byte, method string, u *url.URL, host string) ([]byte, error) {
	if !httpguts.ValidHostHeader(host) {
		return b, errors.New("the request's host is not valid")
	}
	target := u.RequestURI()
	if !httpguts.ValidHeaderFieldName(method) || !validTarget(target) {
		return b, errors.New("the request's method or path is not valid")
	}
	b = append(b, method...)
	b = append(b, ' ')
	b = append(b, target...)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, host...)
	return append(b, "\r\n"...), nil
}

func appendLength(b []byte, n int64) []byte {
	b = append(b, "Content-Length: "...)
	b = strconv.AppendInt(b, n, 10)
	return append(b, "\r\n"...)
}

// appendFields writes the rest of the header, and the blank line behind it.
func appendFields(b []byte, header http.Header) ([]byte, error) {
	for name, values := range header {
		if framing(name) {
			continue
		}
		if !httpguts.ValidHeaderFieldName(name) {
			return b, fmt.Errorf("%q cannot be a header's name", name)
		}
		for _, value := range values {
			if !httpguts.ValidHeaderFieldValue(value) {
				return b, fmt.Errorf("header %s has a value with a control character", name) // which may be a secret
			}
			b = append(b, name...)
			b = append(b, ": "...)
			b = append(b, value...)
			b = append(b, "\r\n"...)
		}
	}
	return append(b, "\r\n"...), nil
}

// framing tells the headers that say where the message ends and whose it is,
// however they are spelled: a second one would let a receiver, or a proxy
// before it, read another message than we sent. They are written from the
// request's own fields, as [http.Request.Write] does.
func framing(name string) bool {
	var known string
	switch len(name) {
	case len("Host"):
		known = "Host"
	case len("Trailer"):
		known = "Trailer"
	case len("Connection"):
		known = "Connection"
	case len("Content-Length"):
		known = "Content-Length"
	case len("Transfer-Encoding"):
		known = "Transfer-Encoding"
	}
	return known != "" && strings.EqualFold(name, known)
}

// validTarget refuses what would end the request line.
func validTarget(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == 0x7f {
			return false
		}
	}
	return s != ""
}
