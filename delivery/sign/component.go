package sign

import (
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
)

// paramsLine begins the last line of a signature base, which has no line end.
const paramsLine = `"@signature-params": `

// headerContentType in canonical form.
const headerContentType = "Content-Type"

// target holds the values of the derived components of a request that we
// know (RFC 9421, 2.2).
type target struct {
	method    string
	authority string // lower case, without the default port
	path      string // as on the wire, at least "/"
	query     string // with its "?", which stands alone when there is none
}

// targetOf is the target of a request to be sent.
func targetOf(m *Message) target {
	method := m.Method
	if method == "" {
		method = http.MethodPost
	}
	port := ":443"
	if m.URL.Scheme == "http" {
		port = ":80"
	}
	return newTarget(method, strings.TrimSuffix(strings.ToLower(m.URL.Host), port), m.URL)
}

// targetOfRequest is the target of a request that arrived. Without TLS it may
// have lost it at a proxy, so that either port could be the default one.
func targetOfRequest(r *http.Request) target {
	host := r.Host
	if host == "" {
		host = r.URL.Host
	}
	host = strings.TrimSuffix(strings.ToLower(host), ":443")
	if r.TLS == nil {
		host = strings.TrimSuffix(host, ":80")
	}
	return newTarget(r.Method, host, r.URL)
}

func newTarget(method, authority string, u *url.URL) target {
	t := target{method: method, authority: authority, path: u.EscapedPath(), query: "?" + u.RawQuery}
	if t.path == "" {
		t.path = "/"
	}
	return t
}

// appendLines adds a line per component (RFC 9421, 2.5). It reports false for
// a component that the request does not have or that we do not know: ones
// with parameters, and derived ones that a receiver behind a proxy could get
// wrong.
func (t target) appendLines(dst []byte, h http.Header, components []string) ([]byte, bool) {
	for _, name := range components {
		dst = append(dst, '"')
		dst = append(dst, name...)
		dst = append(dst, `": `...)
		switch name {
		case "@method":
			dst = append(dst, t.method...)
		case "@authority":
			dst = append(dst, t.authority...)
		case "@path":
			dst = append(dst, t.path...)
		case "@query":
			dst = append(dst, t.query...)
		default:
			var ok bool
			if dst, ok = appendField(dst, h, name); !ok {
				return dst, false
			}
		}
		dst = append(dst, '\n')
	}
	return dst, true
}

// appendField adds a header's lines, trimmed and joined as RFC 9421, 2.1 has
// it. A line break inside would let one component pose as two.
func appendField(dst []byte, h http.Header, name string) ([]byte, bool) {
	values := h[textproto.CanonicalMIMEHeaderKey(name)]
	if len(values) == 0 {
		return dst, false
	}
	for i, v := range values {
		if strings.ContainsAny(v, "\r\n") {
			return dst, false
		}
		if i > 0 {
			dst = append(dst, ", "...)
		}
		dst = append(dst, strings.Trim(v, " \t")...)
	}
	return dst, true
}
