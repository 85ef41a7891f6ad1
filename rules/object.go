package rules

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"unicode/utf8"
)

// keyOrder remembers in which order the members of objects stand, which Go's
// maps do not. It is nil where nobody asks. Objects are told apart by their
// addresses, so each is kept as long as the order is.
type keyOrder map[uintptr]orderedObject

type orderedObject struct {
	object map[string]any
	keys   []string
}

func (o keyOrder) set(object map[string]any, keys []string) {
	if o != nil {
		o[reflect.ValueOf(object).Pointer()] = orderedObject{object, keys}
	}
}

// of returns the keys of an object in their order; sorted when that is unknown.
func (o keyOrder) of(object map[string]any) []string {
	if known, ok := o[reflect.ValueOf(object).Pointer()]; ok {
		return known.keys
	}
	return slices.Sorted(maps.Keys(object))
}

// makeObject is what an object written in an expression becomes.
func makeObject(m *machine, a []any) (any, error) {
	keys, values := a[0].([]string), a[1:]
	if err := m.grow(objectRoom + memberRoom*len(keys)); err != nil {
		return nil, err
	}
	object := make(map[string]any, len(keys))
	for i, k := range keys {
		object[k] = values[i]
	}
	m.order.set(object, keys)
	return object, nil
}

// jsonWriter writes a value as JSON, of at most maxOutput bytes.
type jsonWriter struct {
	out   []byte
	order keyOrder
}

var errOutput = fmt.Errorf("the result is larger than %d bytes", maxOutput)

func (w *jsonWriter) value(v any, depth int) error {
	switch {
	case len(w.out) > maxOutput:
		return errOutput
	case depth > maxJSONDepth:
		return fmt.Errorf("the result nests deeper than %d", maxJSONDepth)
	}
	switch x := v.(type) {
	case nil:
		w.out = append(w.out, "null"...)
	case bool:
		w.out = strconv.AppendBool(w.out, x)
	case int:
		w.out = strconv.AppendInt(w.out, int64(x), 10)
	case float64:
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return errors.New("the result holds a number that JSON does not have")
		}
		w.out = strconv.AppendFloat(w.out, x, 'g', -1, 64)
	case string:
		return w.text(x)
	case []string:
		return writeList(w, x, depth)
	case []any:
		return writeList(w, x, depth)
	case map[string]any:
		return w.object(x, depth)
	default:
		return fmt.Errorf("the result holds a value of type %s, which JSON does not have", typeName(v))
	}
	return nil
}

func (w *jsonWriter) text(s string) error {
	if len(w.out)+len(s) > maxOutput {
		return errOutput
	}
	if !utf8.ValidString(s) {
		return errors.New("the result holds a text that is not valid UTF-8")
	}
	b, err := json.Marshal(s)
	w.out = append(w.out, b...)
	return err
}

func writeList[E any](w *jsonWriter, list []E, depth int) error {
	w.out = append(w.out, '[')
	for i, e := range list {
		if i > 0 {
			w.out = append(w.out, ',')
		}
		if err := w.value(e, depth+1); err != nil {
			return err
		}
	}
	w.out = append(w.out, ']')
	return nil
}

func (w *jsonWriter) object(object map[string]any, depth int) error {
	w.out = append(w.out, '{')
	for i, k := range w.order.of(object) {
		if i > 0 {
			w.out = append(w.out, ',')
		}
		if err := w.text(k); err != nil {
			return err
		}
		w.out = append(w.out, ':')
		if err := w.value(object[k], depth+1); err != nil {
			return err
		}
	}
	w.out = append(w.out, '}')
	return nil
}
