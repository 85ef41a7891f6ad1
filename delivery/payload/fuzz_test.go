package payload

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/big"
	"testing"
	"unicode/utf8"
)

// decode reads JSON with exact numbers.
func decode(tb testing.TB, text []byte) (v any) {
	tb.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		tb.Fatalf("encoding/json does not read %q: %v", text, err)
	}
	return v
}

// same compares decoded values, numbers as decimals.
func same(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for k, v := range a {
			if w, ok := b[k]; !ok || !same(v, w) {
				return false
			}
		}
		return true
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for i := range a {
			if !same(a[i], b[i]) {
				return false
			}
		}
		return true
	case json.Number:
		b, ok := b.(json.Number)
		if !ok {
			return false
		}
		// Zero comes with any exponent: 0e999999999 must not be expanded.
		f, _ := a.Float64()
		if g, _ := b.Float64(); f == 0 || g == 0 {
			return f == g
		}
		x, okX := new(big.Rat).SetString(string(a))
		y, okY := new(big.Rat).SetString(string(b))
		return okX && okY && x.Cmp(y) == 0
	}
	return a == b
}

// FuzzStable: what is accepted keeps its value and is a fixed point, what is
// refused as syntax is no JSON, and every error has a place.
func FuzzStable(f *testing.F) {
	for _, doc := range corpus(f) {
		f.Add(doc)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		valid := json.Valid(in) && utf8.Valid(in)
		out, err := AppendStable(nil, in)
		if err != nil {
			checkError(t, in, err)
			if e, _ := errors.AsType[*Error](err); valid && e.Kind != Value {
				t.Errorf("%q is JSON, but: %v", in, err)
			}
			return
		}
		if !valid {
			t.Fatalf("%q is no JSON, but came out as %q", in, out)
		}
		if again, err := AppendStable(nil, out); err != nil || !bytes.Equal(again, out) {
			t.Errorf("%q: first %q, then %q, %v", in, out, again, err)
		}
		if !same(decode(t, in), decode(t, out)) {
			t.Errorf("%q came out as %q", in, out)
		}
	})
}

// FuzzEnvelope: an accepted event makes a body that is its own stable form,
// parses back to the same event, and passes its own checks; as an element of a
// batch it is the same.
func FuzzEnvelope(f *testing.F) {
	f.Add([]byte(`{"event":"a","timestamp":"2024-01-15T10:30:00Z","data":{"b":1,"1":2}}`))
	f.Add([]byte(`{"type":"a.b","id":"evt_1","environment":"e","tenant":"t","source":"/s?\"","data":null}`))
	f.Add([]byte(`{"event":"a","type":"b","data":[{"x":"\ud83d\ude00"}]}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		e, err := ParseEnvelope(in, Options{})
		if err != nil {
			checkError(t, in, err)
		}
		batch := append(append([]byte("[0,"), in...), ']')
		elements, splitErr := SplitArray(batch, 2)
		if err != nil {
			return
		}
		if splitErr != nil || len(elements) != 2 {
			t.Fatalf("%q as a batch: %q, %v", batch, elements, splitErr)
		}
		other, err := ParseEnvelope(elements[1], Options{})
		if err != nil || other.ContentHash() != e.ContentHash() {
			t.Errorf("in a batch: %+v, %v", other, err)
		}
		if err := e.Check(Options{}); err != nil {
			t.Error(err)
		}
		body := AppendBody(nil, e.Type, e.Timestamp, e.Data)
		if e.Timestamp == "" {
			body = AppendBody(nil, e.Type, "2024-01-15T10:30:00Z", e.Data)
		}
		back, err := ParseEnvelope(body, Options{})
		if err != nil || back.Type != e.Type || !bytes.Equal(back.Data, e.Data) || e.Timestamp != "" && back.Timestamp != e.Timestamp {
			t.Errorf("%q makes the body %q: %v", in, body, err)
		}
	})
}

func checkError(t *testing.T, in []byte, err error) {
	t.Helper()
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Kind != Syntax && e.Kind != Value || e.Offset < 0 || e.Offset > len(in) || e.Reason == "" {
		t.Errorf("%q: %#v", in, err)
	}
	if len(err.Error()) > 1000 || !utf8.ValidString(err.Error()) {
		t.Errorf("%q: error of %d bytes: %q", in, len(err.Error()), err.Error())
	}
}
