package payload

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// shape is a JSON Schema as far as it says which members there are.
type shape struct {
	root any // the schema, decoded
}

// Shape tells about a place in the payloads of an event type: names of members,
// and -1 for an element of a list. ok is false when the schema of the type has
// no such place; then at is the first step that it lacks and names are those
// that stand there. Where the schema says nothing, or uses a form that is not
// looked into, everything may be. Types that the catalog does not have and types
// without a schema say nothing.
func (c *Catalog) Shape(eventType string, path []string) (ok bool, at int, names []string) {
	i, known := c.places[eventType]
	if !known || c.shapes[i] == nil {
		return true, 0, nil
	}
	s := c.shapes[i]
	here := []any{s.root}
	for at, step := range path {
		var below []any
		said := false
		for _, n := range here {
			v := s.step(n, step, 0)
			if v.open || !v.said {
				return true, 0, nil
			}
			below, said = append(below, v.below...), true
		}
		if said && len(below) == 0 {
			for _, n := range here {
				names = s.members(n, names, 0)
			}
			slices.Sort(names)
			return false, at, slices.Compact(names)
		}
		here = below
	}
	return true, 0, nil
}

// maxSchemaDepth bounds references to references, which may go in circles.
const maxSchemaDepth = 32

// Element is the step of a path into a list.
const Element = "\x00"

// view is what a schema says about a step.
type view struct {
	below []any // the schemas of what may stand there
	open  bool  // anything may
	said  bool  // the schema says something about it
}

func (v *view) add(w view) {
	v.below, v.open, v.said = append(v.below, w.below...), v.open || w.open, v.said || w.said
}

// step looks one step into a schema.
func (s *shape) step(schema any, step string, depth int) (v view) {
	m, isObject := schema.(map[string]any)
	switch {
	case depth > maxSchemaDepth:
		return view{open: true}
	case !isObject:
		return view{said: schema == false}
	}
	for _, part := range s.parts(m) {
		v.add(s.step(part, step, depth+1))
	}
	if step == Element {
		v.add(s.element(m))
	} else {
		v.add(s.member(m, step))
	}
	return v
}

func (s *shape) element(m map[string]any) (v view) {
	prefix, hasPrefix := m["prefixItems"].([]any)
	items, hasItems := m["items"]
	v.said = hasPrefix || hasItems || !s.allows(m, "array")
	if v.below = prefix; hasItems {
		v.below = append(slices.Clone(prefix), items)
	}
	v.open = hasPrefix && !hasItems
	return v
}

func (s *shape) member(m map[string]any, name string) (v view) {
	properties, hasProperties := m["properties"].(map[string]any)
	more, hasMore := m["additionalProperties"]
	_, hasPatterns := m["patternProperties"]
	v.said = hasProperties || hasMore || !s.allows(m, "object")
	if p, ok := properties[name]; ok {
		v.below = []any{p}
		return v
	}
	if schema, ok := more.(map[string]any); ok {
		v.below = []any{schema}
	}
	v.open = more == true || hasPatterns
	return v
}

// allows tells whether a schema allows a type of value.
func (*shape) allows(m map[string]any, typ string) bool {
	switch t := m["type"].(type) {
	case string:
		return t == typ
	case []any:
		return slices.Contains(t, any(typ))
	}
	return m["const"] == nil && m["enum"] == nil
}

// parts are the schemas that a schema is made of.
func (s *shape) parts(m map[string]any) []any {
	var out []any
	for _, name := range [...]string{"allOf", "anyOf", "oneOf"} {
		list, _ := m[name].([]any)
		out = append(out, list...)
	}
	for _, name := range [...]string{"then", "else"} {
		if p, ok := m[name]; ok {
			out = append(out, p)
		}
	}
	dependent, _ := m["dependentSchemas"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(dependent)) {
		out = append(out, dependent[name])
	}
	if ref, ok := m["$ref"].(string); ok {
		out = append(out, s.reference(ref))
	}
	if _, ok := m["$dynamicRef"]; ok {
		out = append(out, true)
	}
	return out
}

// reference finds what "#/$defs/name" points to; true, which says nothing, for
// other forms.
func (s *shape) reference(ref string) any {
	pointer, local := strings.CutPrefix(ref, "#")
	here := s.root
	if !local || pointer != "" && pointer[0] != '/' {
		return true
	}
	for _, step := range strings.Split(pointer, "/")[1:] {
		m, _ := here.(map[string]any)
		below, ok := m[strings.NewReplacer("~1", "/", "~0", "~").Replace(step)]
		if !ok {
			return true
		}
		here = below
	}
	return here
}

// members adds the names of the members that a schema has.
func (s *shape) members(schema any, names []string, depth int) []string {
	m, ok := schema.(map[string]any)
	if !ok || depth > maxSchemaDepth {
		return names
	}
	properties, _ := m["properties"].(map[string]any)
	names = slices.AppendSeq(names, maps.Keys(properties))
	for _, p := range s.parts(m) {
		names = s.members(p, names, depth+1)
	}
	return names
}

// readShapes decodes the schemas once more, for Shape.
func (c *Catalog) readShapes() {
	c.shapes = make([]*shape, len(c.types))
	for i, t := range c.types {
		var root any
		if t.Schema != nil && json.Unmarshal(t.Schema, &root) == nil {
			c.shapes[i] = &shape{root}
		}
	}
}
