package payload

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strconv"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Limits of a catalog file: a wrong path in the configuration should fail,
// not fill the memory of a running gateway.
const (
	maxCatalogSize  = 8 << 20
	maxCatalogTypes = 10_000
)

// EventType is one entry of a catalog. Its JSON is that of the catalog file.
type EventType struct {
	// Type is what events of this type have in `event`. Required.
	Type string `json:"type"`
	// Group is the heading under which the type is listed; may be empty.
	Group string `json:"group,omitempty"`
	// Trigger says when such an event is sent; may be empty.
	Trigger string `json:"trigger,omitempty"`
	// Example is a payload in stable form, used by test events; nil if the
	// file has none.
	Example json.RawMessage `json:"example,omitempty"`
	// Schema is the JSON Schema that payloads must meet; nil: any payload.
	Schema json.RawMessage `json:"schema,omitempty"`

	compiled *jsonschema.Schema
}

// Catalog is the closed list of event types that a gateway takes. It does not
// change after [LoadCatalog] and may be used from many goroutines.
type Catalog struct {
	types  []EventType
	places map[string]int
	shapes []*shape // by place; nil: the type has no schema
	digest string
}

// LoadCatalog reads a catalog file,
//
//	{"events":[{"type":…,"group":…,"trigger":…,"example":…,"schema":…}]}
//
// of which only `type` is required. Schemas are JSON Schema 2020-12, in which
// `format` is a remark and not checked; they may refer to themselves and to
// the JSON Schema meta-schemas only: nothing is fetched from network or disk.
// Examples must meet their schema. An unknown or repeated member, a type
// listed twice and an empty list are errors; each names the file by name, the
// line and the JSON pointer, and wraps an [*Error].
func LoadCatalog(data []byte, name string) (*Catalog, error) {
	if len(data) > maxCatalogSize {
		return nil, fmt.Errorf("catalog %s: %d bytes are more than the %d allowed", name, len(data), maxCatalogSize)
	}
	s := newScanner(data, nil)
	defer s.release()
	sum := sha256.Sum256(data)
	c := &Catalog{places: make(map[string]int), digest: hex.EncodeToString(sum[:8])}
	err := s.document(func() *Error {
		seen, err := s.fields([]string{"events"}, func(int) *Error { return s.elements(c.reader(s)) })
		switch {
		case err != nil:
			return err
		case seen == 0:
			return s.fail(Value, 0, "the member \"events\" is missing")
		case len(c.types) == 0:
			return s.fail(Value, 0, "a catalog without event types would refuse every event").under("events")
		}
		return nil
	})
	if err != nil {
		line := 1
		if e, ok := errors.AsType[*Error](err); ok {
			line += bytes.Count(data[:max(0, e.Offset)], []byte("\n"))
		}
		return nil, fmt.Errorf("catalog %s, line %d: %w", name, line, err)
	}
	c.readShapes()
	return c, nil
}

// reader returns what reads one entry of the list.
func (c *Catalog) reader(s *scanner) func(i int) *Error {
	names := []string{"type", "group", "trigger", "example", "schema"}
	return func(i int) *Error {
		if i == maxCatalogTypes {
			return s.fail(TooLarge, s.pos, "a catalog is at most "+strconv.Itoa(maxCatalogTypes)+" event types")
		}
		var t EventType
		var places [5]int
		start := s.pos
		_, err := s.fields(names, func(field int) (err *Error) {
			places[field] = s.pos
			switch field {
			case 0:
				t.Type, err = s.text()
			case 1:
				t.Group, err = s.text()
			case 2:
				t.Trigger, err = s.text()
			case 3:
				t.Example, err = s.detached()
			default:
				s.verbatim = true
				t.Schema, err = s.detached()
				s.verbatim = false
			}
			return err
		})
		if err != nil {
			return err
		}
		if places[0] == 0 {
			return s.fail(Value, start, "the member \"type\" is missing")
		}
		if reason := typeFault(t.Type); reason != "" {
			return s.fail(Value, places[0], reason).under("type")
		}
		if first, ok := c.places[t.Type]; ok {
			return s.fail(Value, places[0], excerpt(t.Type)+" is listed before, at /events/"+strconv.Itoa(first)).under("type")
		}
		if err := t.compile(); err != nil {
			err.Offset = places[4]
			return err.under("schema")
		}
		if t.Example != nil {
			if err := t.check(t.Example); err != nil {
				err.Offset = places[3]
				return err.under("example")
			}
		}
		c.places[t.Type] = i
		c.types = append(c.types, t)
		return nil
	}
}

// detached is stable with memory of its own: a catalog lives as long as the
// configuration, and its parts should not hold the whole file.
func (s *scanner) detached() ([]byte, *Error) {
	b, err := s.stable()
	s.dst = s.dst[:0]
	return bytes.Clone(b), err
}

// Types returns the entries in the order of the file. The slice is shared:
// it must not be changed.
func (c *Catalog) Types() []EventType { return c.types }

// Digest names the catalog: files with the same bytes have the same.
func (c *Catalog) Digest() string { return c.digest }

// Lookup returns the entry of an event type.
func (c *Catalog) Lookup(typ string) (EventType, bool) {
	i, ok := c.places[typ]
	if !ok {
		return EventType{}, false
	}
	return c.types[i], true
}

// Check says whether an event of type typ with this payload, in stable form,
// may be taken. It returns an [*Error] of kind [Value]: at /event for a type
// that is not listed, at /data or below for a payload that does not meet the
// type's schema.
func (c *Catalog) Check(typ string, stableData []byte) error {
	i, ok := c.places[typ]
	if !ok {
		return refused("/event", "unknown event type "+excerpt(typ)+didYouMean(typ, c.names()))
	}
	if err := c.types[i].check(stableData); err != nil {
		return err.under("data")
	}
	return nil
}

func (c *Catalog) names() iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := range c.types {
			if !yield(c.types[i].Type) {
				return
			}
		}
	}
}
