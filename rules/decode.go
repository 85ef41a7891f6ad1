package rules

import "unicode/utf8"

// errPayload is why every path into an undecodable payload fails.
var errPayload = &safeError{msg: "the payload is not valid JSON"}

// decode turns JSON (RFC 8259) into the values expressions work on:
// map[string]any, []any, string, bool, nil, and for numbers int when they are
// written as an integer that fits, else float64.
//
// It exists because encoding/json offers integers only as json.Number, which
// expr can neither compare nor add, or as float64, which cannot tell
// 9007199254740993 from 9007199254740992; and because decoding, not matching,
// is most of the cost of an event: this takes less than half the time.
// It accepts exactly what encoding/json accepts, except deeper nesting and
// numbers beyond float64.
func decode(b []byte) (any, error) { return decodeNoting(b, nil) }

// decodeNoting is decode, noting the order of members.
func decodeNoting(b []byte, order keyOrder) (any, error) {
	d := decoder{scanner{b: b}, order}
	v, ok := d.value(0)
	d.space()
	if !ok || d.i != len(d.b) {
		return nil, errPayload
	}
	return v, nil
}

type decoder struct {
	scanner
	order keyOrder
}

func (d *decoder) value(depth int) (any, bool) {
	if depth > maxJSONDepth {
		return nil, false
	}
	switch c := d.next(); c {
	case '{':
		return d.object(depth)
	case '[':
		return d.array(depth)
	case '"':
		return d.text()
	case 't':
		return true, d.word("true")
	case 'f':
		return false, d.word("false")
	case 'n':
		return nil, d.word("null")
	default:
		return d.amount()
	}
}

func (d *decoder) object(depth int) (any, bool) {
	d.i++
	m := make(map[string]any)
	if d.next() == '}' {
		d.i++
		return m, true
	}
	var keys []string // noted only if asked for
	for {
		if d.next() != '"' {
			return nil, false
		}
		k, ok := d.text()
		if !ok || d.next() != ':' {
			return nil, false
		}
		d.i++
		v, ok := d.value(depth + 1)
		if !ok {
			return nil, false
		}
		m[k] = v
		if d.order != nil {
			keys = append(keys, k)
		}
		again, ok := d.more('}')
		if !ok {
			return nil, false
		}
		if !again {
			d.order.set(m, keys)
			return m, true
		}
	}
}

func (d *decoder) array(depth int) (any, bool) {
	d.i++
	a := []any{}
	if d.next() == ']' {
		d.i++
		return a, true
	}
	for {
		v, ok := d.value(depth + 1)
		if !ok {
			return nil, false
		}
		a = append(a, v)
		again, ok := d.more(']')
		if !ok {
			return nil, false
		}
		if !again {
			return a, true
		}
	}
}

// text reads the string at d.i, which is a quote.
func (d *decoder) text() (string, bool) {
	inner, plain, ok := d.quoted()
	if plain && utf8.Valid(inner) || !ok {
		return string(inner), ok
	}
	return string(unquote(make([]byte, 0, len(inner)), inner)), true
}

func (d *decoder) amount() (any, bool) {
	text, integer, _, ok := d.number()
	if !ok {
		return nil, false
	}
	n, ok := parseNumber(text, integer)
	return n.value(), ok
}
