package rules

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode/utf8"
)

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
func decode(b []byte) (any, error) {
	d := decoder{b: b}
	v, ok := d.value(0)
	d.space()
	if !ok || d.i != len(d.b) {
		return nil, errPayload
	}
	return v, nil
}

type decoder struct {
	b []byte
	i int
}

func (d *decoder) space() {
	for d.i < len(d.b) {
		switch d.b[d.i] {
		case ' ', '\t', '\n', '\r':
			d.i++
		default:
			return
		}
	}
}

// next skips space and returns the byte after it without taking it, 0 at the end.
func (d *decoder) next() byte {
	d.space()
	if d.i < len(d.b) {
		return d.b[d.i]
	}
	return 0
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
		return d.number()
	}
}

func (d *decoder) word(w string) bool {
	if !bytes.HasPrefix(d.b[d.i:], []byte(w)) {
		return false
	}
	d.i += len(w)
	return true
}

func (d *decoder) object(depth int) (any, bool) {
	d.i++
	m := make(map[string]any)
	if d.next() == '}' {
		d.i++
		return m, true
	}
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
		switch d.next() {
		case ',':
			d.i++
		case '}':
			d.i++
			return m, true
		default:
			return nil, false
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
		switch d.next() {
		case ',':
			d.i++
		case ']':
			d.i++
			return a, true
		default:
			return nil, false
		}
	}
}

// text reads the string at d.i, which is a quote. Strings with escapes or
// broken UTF-8 go the long way, through encoding/json.
func (d *decoder) text() (string, bool) {
	start, plain := d.i, true
	for d.i++; d.i < len(d.b); d.i++ {
		switch c := d.b[d.i]; {
		case c == '"':
			d.i++
			if inner := d.b[start+1 : d.i-1]; plain || utf8.Valid(inner) && !bytes.Contains(inner, []byte{'\\'}) {
				return string(inner), true
			}
			var s string
			err := json.Unmarshal(d.b[start:d.i], &s)
			return s, err == nil
		case c == '\\':
			plain = false
			d.i++
		case c >= utf8.RuneSelf:
			plain = false
		case c < ' ':
			return "", false
		}
	}
	return "", false
}

func (d *decoder) number() (any, bool) {
	start, integer := d.i, true
	d.take('-')
	if !d.take('0') && !d.digits() {
		return nil, false
	}
	if d.take('.') {
		integer = false
		if !d.digits() {
			return nil, false
		}
	}
	if d.take('e') || d.take('E') {
		integer = false
		if !d.take('+') {
			d.take('-')
		}
		if !d.digits() {
			return nil, false
		}
	}
	s := string(d.b[start:d.i])
	if integer {
		if n, err := strconv.Atoi(s); err == nil {
			return n, true
		}
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil
}

func (d *decoder) take(c byte) bool {
	if d.i < len(d.b) && d.b[d.i] == c {
		d.i++
		return true
	}
	return false
}

func (d *decoder) digits() bool {
	start := d.i
	for d.i < len(d.b) && d.b[d.i] >= '0' && d.b[d.i] <= '9' {
		d.i++
	}
	return d.i > start
}
