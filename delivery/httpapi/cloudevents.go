package httpapi

import (
	"net/http"
	"strings"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/payload"
)

// CloudEvents 1.0.2 (HTTP binding and JSON format): id, source, type and time become the event's members of the same
// meaning, and so do the extensions environment and tenant; traceparent and tracestate (distributed tracing extension) go
// before the headers of that name. Other attributes are checked and not kept: receivers get our body form, not a
// CloudEvent. Without data the data is null.
//
// The rules for attributes are those of the CloudEvents SDK. Its decoders are not used, because they change or hide what
// we must keep or refuse (v2.16.2, event/event_unmarshal.go and protocol/http/message.go):
//   - an event with a member given twice is taken, with either of the values, and a member with an empty name ends the
//     object silently: what follows it is lost;
//   - time is parsed into a time.Time, while we send the timestamp character for character;
//   - numbers in extensions are cut to 32-bit integers (1.9 becomes 1);
//   - values of binary headers are not percent-decoded, as the binding asks;
//   - errors tell no place.

// cloudEvent collects the attributes of one event.
type cloudEvent struct {
	context event.EventContextV1
	// Members that the SDK's context would parse or mix with other extensions.
	spec, source, time      string
	environment, tenant     string
	traceParent, traceState string
}

// set takes one attribute. Values are strings, booleans or numbers; those with a meaning for us must be strings.
func (c *cloudEvent) set(name string, value any) *Problem {
	var to *string
	switch name {
	case "specversion":
		to = &c.spec
	case "id":
		to = &c.context.ID
	case "type":
		to = &c.context.Type
	case "source":
		to = &c.source
	case "time":
		to = &c.time
	case "environment":
		to = &c.environment
	case "tenant":
		to = &c.tenant
	case "traceparent":
		to = &c.traceParent
	case "tracestate":
		to = &c.traceState
	case "subject":
		to = new(string)
		c.context.Subject = to
	case "datacontenttype":
		to = new(string)
		c.context.DataContentType = to
	case "dataschema":
		to = new(string)
	default:
		if err := c.context.SetExtension(name, value); err != nil {
			return attributeProblem(name, err.Error())
		}
		return nil
	}
	text, ok := value.(string)
	if !ok || text == "" {
		return attributeProblem(name, "must be a string that is not empty")
	}
	*to = text
	if name == "dataschema" {
		if c.context.DataSchema = types.ParseURI(text); c.context.DataSchema == nil {
			return attributeProblem(name, "must be a URI")
		}
	}
	return nil
}

// envelope checks the attributes, by the CloudEvents rules and then by ours.
func (c *cloudEvent) envelope(o payload.Options) (*payload.Envelope, *Problem) {
	if c.spec != event.CloudEventsVersionV1 {
		return nil, attributeProblem("specversion", `must be "1.0"`)
	}
	if c.source != "" {
		ref := types.ParseURIRef(c.source)
		if ref == nil {
			return nil, attributeProblem("source", "must be a URI-reference")
		}
		c.context.Source = *ref
	}
	if invalid := c.context.Validate(); len(invalid) > 0 {
		for _, name := range [...]string{"id", "source", "type", "datacontenttype", "dataschema", "subject"} {
			if err := invalid[name]; err != nil {
				return nil, attributeProblem(name, err.Error())
			}
		}
	}
	env := &payload.Envelope{
		Type:        c.context.Type,
		Timestamp:   c.time,
		ID:          c.context.ID,
		Environment: c.environment,
		Tenant:      c.tenant,
		Source:      c.source,
	}
	if err := env.Check(o); err != nil {
		return nil, asAttribute(inputProblem(err))
	}
	return env, nil
}

// finish makes the event of checked attributes and data. raw data is sent byte for byte as contentType; otherwise data is
// JSON in stable form.
func (c *cloudEvent) finish(in *intake, env *payload.Envelope, data []byte, raw bool, contentType string) (*delivery.Event, *Problem) {
	var ev *delivery.Event
	var p *Problem
	if raw {
		if !validContentType(contentType) {
			return nil, attributeProblem("datacontenttype", "must be at most 255 printable ASCII characters")
		}
		ev, p = in.rawEvent(env, contentType, data)
	} else {
		env.Data = data
		ev, p = in.jsonEvent(env)
	}
	if p != nil {
		return nil, asAttribute(p)
	}
	if parent, state := validTrace(c.traceParent, c.traceState); parent != "" {
		ev.TraceParent, ev.TraceState = parent, state
	}
	return ev, nil
}

// validContentType tells whether s may go out as a header: out of a JSON string anything could come.
func validContentType(s string) bool {
	if len(s) > 255 {
		return false
	}
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}

func attributeProblem(name, detail string) *Problem {
	return &Problem{
		Status:  http.StatusUnprocessableEntity,
		Detail:  "CloudEvents attribute " + clip(name, 64) + ": " + detail,
		Pointer: "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(clip(name, 64)),
	}
}

// asAttribute renames the place of a problem: members of ours have other names as CloudEvents attributes.
func asAttribute(p *Problem) *Problem {
	switch p.Pointer {
	case "/event":
		p.Pointer = "/type"
	case "/timestamp":
		p.Pointer = "/time"
	}
	return p
}
