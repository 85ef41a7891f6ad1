package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/egress"
	"github.com/atoship/caddy-webhooks/delivery/payload"
	"github.com/atoship/caddy-webhooks/delivery/sign"
)

const typeMergePatch = "application/merge-patch+json"

// maxManagement bounds the bodies of management requests, in bytes: the largest settings, and a secret or two.
const maxManagement = delivery.MaxSettings + 16<<10

// object reads a body that is a JSON object, strictly: repeated members, broken text and numbers that JavaScript would change
// are refused.
func (c *call) object(types ...string) (map[string]json.RawMessage, *Problem) {
	body, p := c.body()
	if p != nil {
		return nil, p
	}
	if t, _, err := mime.ParseMediaType(c.Header.Get("Content-Type")); err != nil || !slices.Contains(types, t) {
		return nil, &Problem{Status: http.StatusUnsupportedMediaType, Detail: "the body must be " + strings.Join(types, " or ")}
	}
	stable, err := payload.AppendStable(nil, body)
	if err != nil {
		return nil, inputProblem(err)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(stable, &members); err != nil || members == nil {
		return nil, &Problem{Status: http.StatusUnprocessableEntity, Detail: "the body must be a JSON object"}
	}
	return members, nil
}

func (c *call) body() ([]byte, *Problem) {
	body, err := io.ReadAll(http.MaxBytesReader(c.w, c.Body, maxManagement))
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return nil, tooLarge("body", maxManagement)
	}
	if err != nil {
		return nil, &Problem{Status: http.StatusBadRequest, Detail: "the body could not be read to its end"}
	}
	return body, nil
}

// optional reads a body that may be missing into a struct, which names all members there may be.
func (c *call) optional(dst any) *Problem {
	if c.ContentLength == 0 {
		return nil
	}
	members, p := c.object(typeJSON)
	if p != nil {
		return p
	}
	text, err := json.Marshal(members)
	if err != nil {
		return &Problem{Status: http.StatusUnprocessableEntity, Detail: "the body must be a JSON object"}
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(dst); err != nil {
		p := &Problem{Status: http.StatusUnprocessableEntity, Detail: strings.TrimPrefix(err.Error(), "json: ")}
		if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			p.Pointer, p.Detail = "/"+wrong.Field, "this cannot be a JSON "+wrong.Value
		}
		return p
	}
	return nil
}

// newSettings reads the settings of a new endpoint, and the secrets that it brings.
func (c *call) newSettings() (json.RawMessage, []sign.Secret, error) {
	if _, p := parseQuery(c.Request); p != nil {
		return nil, nil, p
	}
	members, p := c.object(typeJSON)
	if p != nil {
		return nil, nil, p
	}
	secrets, p := givenSecrets(members["secret"])
	if p != nil {
		return nil, nil, p
	}
	delete(members, "secret")
	settings, err := json.Marshal(members)
	return settings, secrets, err
}

// givenSecrets reads `secret` as the configuration has it: [{"value": …, "until": …}].
func givenSecrets(text json.RawMessage) ([]sign.Secret, *Problem) {
	if text == nil {
		return nil, nil
	}
	var given []struct {
		Value string    `json:"value"`
		Until time.Time `json:"until"`
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	wrong := &Problem{
		Status: http.StatusUnprocessableEntity, Pointer: "/secret",
		Detail: `must be a list of one to ten objects with value and, for an older one, until; leave it out to have one made`,
	}
	if err := d.Decode(&given); err != nil || len(given) == 0 || len(given) > sign.MaxSecrets {
		return nil, wrong
	}
	secrets := make([]sign.Secret, len(given))
	for i, g := range given {
		if g.Value == "" {
			return nil, wrong
		}
		secrets[i] = sign.Secret{Value: g.Value, Until: g.Until}
	}
	return secrets, nil
}

// mergePatch is a JSON merge patch (RFC 7396) on settings: null takes a member away, an object is merged, the rest replaces.
func mergePatch(was json.RawMessage, patch map[string]json.RawMessage) (json.RawMessage, error) {
	target := map[string]json.RawMessage{}
	if len(was) > 0 && was[0] == '{' {
		if err := json.Unmarshal(was, &target); err != nil {
			return nil, err
		}
	}
	for name, value := range patch {
		switch {
		case string(value) == "null":
			delete(target, name)
		case len(value) > 0 && value[0] == '{':
			var below map[string]json.RawMessage
			if err := json.Unmarshal(value, &below); err != nil {
				return nil, err
			}
			merged, err := mergePatch(target[name], below)
			if err != nil {
				return nil, err
			}
			target[name] = merged
		default:
			target[name] = value
		}
	}
	return json.Marshal(target)
}

// hidden stands where a value is not shown. It is refused as a value, so that what was shown cannot be sent back by mistake.
const hidden = egress.Hidden

// shownSettings are settings with what may be a credential hidden: the values of the URL's query and of headers, and the
// secret of an OAuth2 client.
func shownSettings(settings json.RawMessage) json.RawMessage {
	var members map[string]json.RawMessage
	if json.Unmarshal(settings, &members) != nil {
		return nil
	}
	hide(members, "url", func(text string) any {
		u, err := url.Parse(text)
		if err != nil {
			return hidden
		}
		return delivery.ShownURL(u)
	})
	hide(members, "header", func(header map[string][]string) any {
		for _, values := range header {
			for i := range values {
				values[i] = hidden
			}
		}
		return header
	})
	hide(members, "oauth2", func(o map[string]json.RawMessage) any {
		o["client_secret"] = json.RawMessage(`"` + hidden + `"`)
		return o
	})
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if enc.Encode(members) != nil {
		return nil
	}
	return bytes.TrimSpace(b.Bytes())
}

// hide replaces a member by what is shown of it; one of another type than it should have is not shown at all.
func hide[T any](members map[string]json.RawMessage, name string, show func(T) any) {
	text, ok := members[name]
	if !ok {
		return
	}
	var value T
	if json.Unmarshal(text, &value) != nil {
		delete(members, name)
		return
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if enc.Encode(show(value)) != nil {
		delete(members, name)
		return
	}
	members[name] = bytes.TrimSpace(b.Bytes())
}
