package rules

import (
	"bytes"
	"encoding/json"
	"io"
	"reflect"
	"strings"
	"testing"
)

// reference decodes with encoding/json.
func reference(b []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errPayload
	}
	return convert(v)
}

func convert(v any) (any, error) {
	var err error
	switch x := v.(type) {
	case json.Number:
		if n, err := x.Int64(); err == nil {
			return int(n), nil
		}
		return x.Float64()
	case []any:
		for i := range x {
			if x[i], err = convert(x[i]); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		for k := range x {
			if x[k], err = convert(x[k]); err != nil {
				return nil, err
			}
		}
	}
	return v, nil
}

var documents = []string{
	payload, `null`, `true`, ` [ ] `, `{}`, `[1,-1,0,-0,1.5,1e3,1E+2,1e-2,9223372036854775807,9223372036854775808,-9223372036854775808]`,
	`"\u00e9\ud83d\ude00\n\"\\"`, `"é😀"`, "\"\xff\"", `"\ud800"`, `{"a":1,"a":2}`, `{"\u0061":1}`, `1e400`, `123456789012345678901234567890`,
	// Not JSON.
	``, `{`, `[`, `"`, `"\`, `"\"`, `tru`, `truee`, `[1,]`, `{"a":1,}`, `{"a"}`, `{a:1}`, `01`, `-`, `1.`, `.5`, `1e`, `+1`, `[1 2]`, `1 2`, "\"\n\"", `"\x"`, `nul`, `NaN`, "\x00", `//`,
}

func TestDecodeAcceptsAndGivesWhatEncodingJSONDoes(t *testing.T) {
	t.Parallel()
	for _, doc := range documents {
		compareDecoders(t, []byte(doc))
	}
}

func compareDecoders(t *testing.T, b []byte) {
	t.Helper()
	got, err := decode(b)
	want, wantErr := reference(b)
	if wantErr != nil {
		want = nil
	}
	if (err != nil) != (wantErr != nil) || !reflect.DeepEqual(got, want) {
		t.Errorf("%q: got %#v, %v; want %#v, %v", b, got, err, want, wantErr)
	}
}

func TestDecodeBoundsNesting(t *testing.T) {
	t.Parallel()
	nested := func(n int) []byte { return []byte(strings.Repeat("[", n) + strings.Repeat("]", n)) }
	if _, err := decode(nested(maxJSONDepth)); err != nil {
		t.Errorf("refused %d levels", maxJSONDepth)
	}
	if _, err := decode(nested(1_000_000)); err == nil {
		t.Error("accepted a million levels")
	}
}

func FuzzDecode(f *testing.F) {
	for _, doc := range documents {
		f.Add([]byte(doc))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if bytes.Count(b, []byte("["))+bytes.Count(b, []byte("{")) < maxJSONDepth {
			compareDecoders(t, b)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	b.ReportAllocs()
	b.SetBytes(int64(len(payload)))
	for b.Loop() {
		if _, err := decode([]byte(payload)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeByEncodingJSON(b *testing.B) {
	b.ReportAllocs()
	b.SetBytes(int64(len(payload)))
	for b.Loop() {
		if _, err := reference([]byte(payload)); err != nil {
			b.Fatal(err)
		}
	}
}
