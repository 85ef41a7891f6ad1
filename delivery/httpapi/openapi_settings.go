package httpapi

import "encoding/json"

// settingsBody and settingsPatch stand for an endpoint's settings in the OpenAPI document.
type (
	settingsBody  json.RawMessage
	settingsPatch json.RawMessage
)

// SettingNames lists the settings that the OpenAPI document describes, with secret, which only a new endpoint takes.
func SettingNames() []string {
	names := make([]string, 0, len(settingProperties))
	for name := range settingProperties {
		names = append(names, name)
	}
	return names
}

// settingsSchema describes settings; in a patch all may be left out, and null takes one away.
func settingsSchema(whole bool) schema {
	properties := schema{}
	for name, s := range settingProperties {
		switch {
		case whole:
			properties[name] = s
		case name != "secret":
			properties[name] = schema{"anyOf": []schema{s, {"type": "null"}}}
		}
	}
	out := schema{"type": "object", "properties": properties, "additionalProperties": false}
	if whole {
		out["required"] = []string{"url"}
	}
	return out
}

func text(description string) schema { return schema{"type": "string", "description": description} }

func list(items schema) schema { return schema{"type": "array", "items": items} }

// duration is as Caddy reads it: a text, or nanoseconds.
func duration(description string) schema {
	return schema{"anyOf": []schema{{"type": "string"}, {"type": "integer", "minimum": 0}}, "description": description + ", such as 30s, 5m or 30d"}
}

func number(least, most int) schema {
	return schema{"type": "integer", "minimum": least, "maximum": most}
}

// settingProperties describes each setting; what they mean and their defaults are the configuration reference's.
var settingProperties = map[string]schema{
	"url":         {"type": "string", "format": "uri", "description": "https URL that receives the events"},
	"description": text("for people"),
	"events":      list(text("an exact type, prefix.*, or *")),
	"when":        text("an expression that narrows the subscription"),
	"environment": list(text("an environment")),
	"tenant":      text("whom it belongs to"),
	"signature": list(schema{"anyOf": []schema{
		{"type": "string"}, {"type": "object", "required": []string{"module"}, "properties": schema{"module": schema{"type": "string"}}},
	}}),
	"retry":         list(duration("a delay")),
	"jitter":        number(0, 100),
	"timeout":       duration("of one attempt"),
	"concurrency":   number(1, 1000),
	"breaker":       {"type": "object", "properties": schema{"off": schema{"type": "boolean"}, "failures": number(0, 1<<20), "ratio": schema{"type": "number"}, "over": duration("window"), "min": number(0, 1<<20), "open": duration("rest")}},
	"backup":        list(text("the id of an endpoint")),
	"ordered_by":    text("an expression that gives a string"),
	"transform":     text("an expression that gives the body to send, any JSON value"),
	"backup_after":  number(0, 100),
	"rate_limit":    {"type": "object", "properties": schema{"off": schema{"type": "boolean"}, "rate": text("such as 100/s"), "burst": schema{"type": "integer"}}},
	"disable_after": duration("nothing but failures; 0 is never"),
	"paused":        {"type": "boolean"},
	"trace_context": {"type": "boolean"},
	"trace":         text("link or parent"),
	"header":        {"type": "object", "additionalProperties": list(schema{"type": "string"})},
	"egress":        text("the name of an egress profile"),
	"tls":           {"type": "object", "properties": schema{"server_name": schema{"type": "string"}, "trust_pool": schema{"type": "object"}}},
	"oauth2": {"type": "object", "properties": schema{
		"token_url": schema{"type": "string"}, "client_id": schema{"type": "string"}, "client_secret": schema{"type": "string"},
		"scopes": list(schema{"type": "string"}), "tls": schema{"type": "object"},
	}},
	"secret": list(schema{"type": "object", "required": []string{"value"}, "properties": schema{"value": schema{"type": "string"}, "until": schema{"type": "string", "format": "date-time"}}}),
}
