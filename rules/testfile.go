package rules

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxTestNodes bounds what aliases can make of one event of a test file.
const maxTestNodes = 100_000

// ReadTests reads a test file, a YAML list of
//
//	name: USPS exceptions go to orders, then to its backup
//	event: {event: shipment.exception, data: {carrier: USPS}}
//	expect: [{endpoint: orders, backups: [orders-dr], route: by-carrier}]
//	held: [by-weight]
//
// of which held may be left out, and all but the endpoint in expect. file names
// it in messages; event reads the JSON of an event as the gateway would. The
// error holds every mistake, each with its line.
func ReadTests(file string, text []byte, event func(src []byte) (*Event, error)) ([]Test, error) {
	r := testReader{file: file, event: event}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if len(doc.Content) == 0 || doc.Content[0].Kind != yaml.SequenceNode {
		return nil, fmt.Errorf("%s: a test file is a list of tests, each with name, event and expect", file)
	}
	var tests []Test
	for _, n := range doc.Content[0].Content {
		tests = append(tests, r.test(n))
	}
	return tests, errors.Join(r.found...)
}

type testReader struct {
	file  string
	event func([]byte) (*Event, error)
	found []error
}

func (r *testReader) refuse(n *yaml.Node, format string, args ...any) {
	pos := Pos{File: r.file, Line: n.Line}
	r.found = append(r.found, fmt.Errorf("%s: %s", pos, fmt.Sprintf(format, args...)))
}

func (r *testReader) test(n *yaml.Node) Test {
	t := Test{Pos: Pos{File: r.file, Line: n.Line}}
	var expected, event bool
	r.members(n, "a test", []string{"name", "event", "expect", "held"}, func(key string, v *yaml.Node) {
		switch key {
		case "name":
			t.Name = r.text(v)
		case "event":
			event = true
			t.Event = r.readEvent(v)
		case "expect":
			expected = true
			for _, e := range r.list(v) {
				t.Expect = append(t.Expect, r.expectation(e))
			}
		default:
			t.Held = r.texts(v)
		}
	})
	switch {
	case n.Kind != yaml.MappingNode:
	case !event:
		r.refuse(n, "the test has no event")
	case !expected:
		r.refuse(n, "the test does not say what to expect; nobody is []")
	}
	return t
}

func (r *testReader) expectation(n *yaml.Node) Expectation {
	var e Expectation
	r.members(n, "an expected delivery", []string{"endpoint", "backups", "route"}, func(key string, v *yaml.Node) {
		switch key {
		case "endpoint":
			e.Endpoint = r.text(v)
		case "backups":
			e.Backups = r.texts(v)
		default:
			e.Route = r.text(v)
		}
	})
	if n.Kind == yaml.MappingNode && e.Endpoint == "" {
		r.refuse(n, "an expected delivery names its endpoint")
	}
	return e
}

// members goes through an object whose keys are known.
func (r *testReader) members(n *yaml.Node, what string, known []string, take func(key string, v *yaml.Node)) {
	n = resolved(n)
	if n.Kind != yaml.MappingNode {
		r.refuse(n, "%s is an object with %s", what, strings.Join(known, ", "))
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if !slices.Contains(known, key.Value) {
			hint := "known are " + strings.Join(known, ", ")
			if c := closest(key.Value, known); c != "" {
				hint = "did you mean " + c + "?"
			}
			r.refuse(key, "unknown member %s; %s", key.Value, hint)
			continue
		}
		take(key.Value, resolved(n.Content[i+1]))
	}
}

// resolved follows aliases.
func resolved(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

func (r *testReader) text(n *yaml.Node) string {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		r.refuse(n, "this must be a text")
		return ""
	}
	return n.Value
}

func (r *testReader) list(n *yaml.Node) []*yaml.Node {
	if n.Kind != yaml.SequenceNode {
		r.refuse(n, "this must be a list")
		return nil
	}
	out := make([]*yaml.Node, len(n.Content))
	for i, e := range n.Content {
		out[i] = resolved(e)
	}
	return out
}

// texts never gives nil: an empty list says that there are none.
func (r *testReader) texts(n *yaml.Node) []string {
	out := []string{}
	for _, e := range r.list(n) {
		out = append(out, r.text(e))
	}
	return out
}

func (r *testReader) readEvent(n *yaml.Node) *Event {
	j := yamlJSON{left: maxTestNodes}
	if bad, why := j.value(n); bad != nil {
		r.refuse(bad, "%s", why)
		return nil
	}
	ev, err := r.event(j.out)
	if err != nil {
		r.refuse(n, "the event: %s", err)
	}
	return ev
}

// yamlJSON writes YAML as JSON, member by member as it stands.
type yamlJSON struct {
	out  []byte
	left int // nodes
}

// value appends a node. It returns the one that cannot be JSON, and why.
func (j *yamlJSON) value(n *yaml.Node) (bad *yaml.Node, why string) {
	n = resolved(n)
	if j.left--; j.left < 0 {
		return n, "the event is too large"
	}
	switch n.Kind {
	case yaml.MappingNode:
		j.out = append(j.out, '{')
		for i := 0; i+1 < len(n.Content); i += 2 {
			if i > 0 {
				j.out = append(j.out, ',')
			}
			key := resolved(n.Content[i])
			if key.Kind != yaml.ScalarNode || key.Tag == "!!merge" {
				return key, "a key must be a text"
			}
			j.text(key.Value)
			j.out = append(j.out, ':')
			if bad, why = j.value(n.Content[i+1]); bad != nil {
				return bad, why
			}
		}
		j.out = append(j.out, '}')
	case yaml.SequenceNode:
		j.out = append(j.out, '[')
		for i, e := range n.Content {
			if i > 0 {
				j.out = append(j.out, ',')
			}
			if bad, why = j.value(e); bad != nil {
				return bad, why
			}
		}
		j.out = append(j.out, ']')
	default:
		return j.scalar(n)
	}
	return nil, ""
}

func (j *yamlJSON) text(s string) {
	b, _ := json.Marshal(s) // a string cannot fail
	j.out = append(j.out, b...)
}

func (j *yamlJSON) scalar(n *yaml.Node) (bad *yaml.Node, why string) {
	switch n.Tag {
	case "!!null":
		j.out = append(j.out, "null"...)
	case "!!bool", "!!int", "!!float":
		if json.Valid([]byte(n.Value)) { // exactly as written
			j.out = append(j.out, n.Value...)
			return nil, ""
		}
		var v any
		if err := n.Decode(&v); err != nil {
			return n, "this cannot be read: " + n.Value
		}
		if f, ok := v.(float64); ok && (math.IsInf(f, 0) || math.IsNaN(f)) {
			return n, "JSON has no number " + n.Value
		}
		b, err := json.Marshal(v)
		if err != nil {
			return n, "this cannot be JSON: " + n.Value
		}
		j.out = append(j.out, b...)
	case "!!binary":
		return n, "binary data cannot be JSON"
	default: // texts, and what only YAML takes for a time
		j.text(n.Value)
	}
	return nil, ""
}
