package httpapi

import (
	"maps"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/payload"
)

// cePrefix of the headers of a binary CloudEvent, as net/http spells them.
const cePrefix = "Ce-"

// ceBinary reads one CloudEvent whose attributes are headers and whose data is the body. JSON data is sent in our body
// form; anything else byte for byte, under its own Content-Type.
func (in *intake) ceBinary(contentType string, body []byte) (*delivery.Event, *Problem) {
	var c cloudEvent
	for _, key := range slices.Sorted(maps.Keys(in.header)) { // sorted, so that equal requests get equal answers
		if !strings.HasPrefix(key, cePrefix) {
			continue
		}
		name, values := strings.ToLower(key[len(cePrefix):]), in.header[key]
		if len(values) != 1 {
			return nil, attributeProblem(name, "is given twice")
		}
		value, ok := headerValue(values[0])
		if !ok {
			return nil, attributeProblem(name, "must be UTF-8, percent-encoded (HTTP binding §3.1.3.2)")
		}
		if name == "datacontenttype" {
			return nil, attributeProblem(name, "is sent as Content-Type")
		}
		if p := c.set(name, value); p != nil {
			return nil, p
		}
	}
	if contentType != "" {
		if p := c.set("datacontenttype", contentType); p != nil {
			return nil, p
		}
	}
	env, p := c.envelope(in.options)
	if p != nil {
		return nil, p
	}
	base, _ := baseType(contentType)
	switch {
	case len(body) == 0 && (contentType == "" || isJSON(base)):
		return c.finish(in, env, []byte("null"), false, "")
	case isJSON(base):
		data, err := payload.AppendStable(make([]byte, 0, len(body)), body)
		if err != nil {
			p := inputProblem(err)
			p.Pointer = "/data" + p.Pointer // the body is the data
			return nil, p
		}
		return c.finish(in, env, data, false, "")
	case contentType == "":
		contentType = octets
	}
	return c.finish(in, env, body, true, contentType)
}

// headerValue undoes the encoding of the HTTP binding §3.1.3.2: a value in double quotes first loses them and its
// backslashes, then percent-encoded bytes are decoded. The result must be UTF-8.
func headerValue(s string) (string, bool) {
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		s = s[1 : len(s)-1]
		if strings.Contains(s, `\`) {
			var b strings.Builder
			for i := 0; i < len(s); i++ {
				if s[i] == '\\' && i+1 < len(s) {
					i++
				}
				b.WriteByte(s[i])
			}
			s = b.String()
		}
	}
	if strings.Contains(s, "%") {
		var err error
		if s, err = url.PathUnescape(s); err != nil {
			return "", false
		}
	}
	return s, utf8.ValidString(s)
}
