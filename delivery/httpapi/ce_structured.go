package httpapi

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/payload"
)

// ceStructured reads one CloudEvent in the JSON format: attributes and data are members of one object. The whole object
// goes through our strict scanner, which finds every mistake with its place; its stable form then holds no surprises for
// the standard library. (The object around it makes data's own limit of nesting 63 here.)
func (in *intake) ceStructured(src []byte) (*delivery.Event, *Problem) {
	stable, err := payload.AppendStable(make([]byte, 0, len(src)), src)
	if err != nil {
		return nil, inputProblem(err)
	}
	if stable[0] != '{' {
		return nil, &Problem{Status: http.StatusUnprocessableEntity, Detail: "a CloudEvent is an object"}
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(stable, &members); err != nil {
		return nil, &Problem{Status: http.StatusBadRequest, Detail: "the event is not JSON"}
	}
	var c cloudEvent
	for _, name := range slices.Sorted(maps.Keys(members)) { // sorted, so that equal requests get equal answers
		value := members[name]
		// A null attribute counts as left out (JSON format §2.2); null data is data.
		if name == "data" || name == "data_base64" || string(value) == "null" {
			continue
		}
		if p := c.setJSON(name, value); p != nil {
			return nil, p
		}
	}
	env, p := c.envelope(in.options)
	if p != nil {
		return nil, p
	}
	contentType := ""
	if c.context.DataContentType != nil {
		contentType = *c.context.DataContentType
	}
	data, raw, p := ceData(contentType, members["data"], members["data_base64"])
	if p != nil {
		return nil, p
	}
	if raw && contentType == "" {
		contentType = octets
	}
	return c.finish(in, env, data, raw, contentType)
}

// octets is the media type of bytes about which nothing is known.
const octets = "application/octet-stream"

// setJSON takes an attribute of its JSON type.
func (c *cloudEvent) setJSON(name string, value json.RawMessage) *Problem {
	var v any
	if err := json.Unmarshal(value, &v); err != nil {
		return attributeProblem(name, "is not JSON")
	}
	switch v := v.(type) {
	case string, bool:
		return c.set(name, v)
	case float64:
		if v != float64(int32(v)) {
			return attributeProblem(name, "must be an integer of 32 bits; send other numbers as strings")
		}
		return c.set(name, int32(v))
	default:
		return attributeProblem(name, "must be a string, a boolean or an integer")
	}
}

// ceData finds the data of an event in the JSON format (§3.1). Bytes that are not JSON, by their datacontenttype, are raw;
// without a datacontenttype data is JSON and data_base64 just bytes.
func ceData(contentType string, data, encoded json.RawMessage) (out []byte, raw bool, p *Problem) {
	base, _ := baseType(contentType)
	isText := contentType == "" || isJSON(base)
	switch {
	case data != nil && encoded != nil:
		return nil, false, attributeProblem("data_base64", "an event has data or data_base64, not both")
	case encoded == nil && isText:
		if data == nil {
			return []byte("null"), false, nil
		}
		return data, false, nil
	case encoded == nil && data == nil:
		return nil, true, nil
	case encoded == nil:
		var text *string
		if err := json.Unmarshal(data, &text); err != nil || text == nil {
			return nil, false, attributeProblem("data", "must be a string, because datacontenttype is not JSON")
		}
		return []byte(*text), true, nil
	}
	var text string
	if err := json.Unmarshal(encoded, &text); err != nil {
		return nil, false, attributeProblem("data_base64", "must be a string")
	}
	decoded, err := base64.StdEncoding.DecodeString(text)
	if err != nil || strings.ContainsAny(text, "\r\n") {
		return nil, false, attributeProblem("data_base64", "must be base64 (RFC 4648 §4)")
	}
	if contentType == "" || !isText {
		return decoded, true, nil
	}
	stable, err := payload.AppendStable(make([]byte, 0, len(decoded)), decoded)
	if err != nil {
		p := inputProblem(err)
		p.Detail, p.Pointer = "decoded data"+at(p.Pointer)+": "+p.Detail, "/data_base64"
		return nil, false, p
	}
	return stable, false, nil
}

// at says a place in words, for text that no pointer into the request can reach.
func at(pointer string) string {
	if pointer == "" {
		return ""
	}
	return " at " + pointer
}
