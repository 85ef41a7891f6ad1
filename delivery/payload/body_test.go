package payload

import (
	"encoding/json"
	"testing"
)

func TestBodyIsItsOwnStableForm(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ typ, timestamp, data, want string }{
		"an ordinary event": {
			"label.created", "2024-01-15T10:30:00Z", `{"1":2,"a":[]}`,
			`{"event":"label.created","timestamp":"2024-01-15T10:30:00Z","data":{"1":2,"a":[]}}`,
		},
		"text that needs escapes": {
			"a\"\\/\x00\n\u2028é😀", "now", `null`,
			"{\"event\":\"a\\\"\\\\/\\u0000\\n\u2028é😀\",\"timestamp\":\"now\",\"data\":null}",
		},
		"text that is not UTF-8": {
			"a\xffb", "", `0`,
			"{\"event\":\"a\ufffdb\",\"timestamp\":\"\",\"data\":0}",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body := AppendBody([]byte("x"), c.typ, c.timestamp, []byte(c.data))[1:]
			if string(body) != c.want {
				t.Errorf("got  %s\nwant %s", body, c.want)
			}
			if again, err := AppendStable(nil, body); err != nil || string(again) != string(body) {
				t.Errorf("stable form %s, %v", again, err)
			}
			if !json.Valid(body) {
				t.Error("not JSON")
			}
		})
	}
}

func TestContentHash(t *testing.T) {
	t.Parallel()
	hash := func(in string) [16]byte {
		t.Helper()
		e, err := ParseEnvelope([]byte(in), Options{})
		if err != nil {
			t.Fatal(err)
		}
		return e.ContentHash()
	}
	base := hash(`{"event":"a","data":{"x":1,"7":"é"},"id":"one"}`)
	for name, in := range map[string]string{
		"other white space":            ` { "event" : "a" , "data" : { "x" : 1 , "7" : "é" } }`,
		"other order of members":       `{"data":{"7":"é","x":1},"event":"a"}`,
		"other spellings of the value": `{"event":"a","data":{"x":1.0,"7":"\u00e9"}}`,
		"the alias of event":           `{"type":"a","data":{"x":1,"7":"é"}}`,
		"another id":                   `{"event":"a","data":{"x":1,"7":"é"},"id":"two"}`,
	} {
		if hash(in) != base {
			t.Errorf("%s changes the hash", name)
		}
	}
	seen := map[[16]byte]string{base: "the base"}
	for name, in := range map[string]string{
		"another type":                `{"event":"b","data":{"x":1,"7":"é"}}`,
		"a timestamp":                 `{"event":"a","timestamp":"2024-01-15T10:30:00Z","data":{"x":1,"7":"é"}}`,
		"the same instant, elsewhere": `{"event":"a","timestamp":"2024-01-15T11:30:00+01:00","data":{"x":1,"7":"é"}}`,
		"an environment":              `{"event":"a","environment":"e","data":{"x":1,"7":"é"}}`,
		"a tenant of that name":       `{"event":"a","tenant":"e","data":{"x":1,"7":"é"}}`,
		"a source of that name":       `{"event":"a","source":"e","data":{"x":1,"7":"é"}}`,
		"other data":                  `{"event":"a","data":{"x":2,"7":"é"}}`,
		"a number as a string":        `{"event":"a","data":{"x":"1","7":"é"}}`,
		"members in another order":    `{"event":"a","data":{"7":"é","x":1,"y":null}}`,
	} {
		h := hash(in)
		if other, ok := seen[h]; ok {
			t.Errorf("%s has the hash of %s", name, other)
		}
		seen[h] = name
	}
}

// Text that moves from one part to its neighbour must change the hash: each
// row hashes the same bytes in a different division.
func TestContentHashIsFramed(t *testing.T) {
	t.Parallel()
	rows := [][16]byte{
		HashContent([]byte("ab"), Member{"c", "d"}),
		HashContent([]byte("a"), Member{"bc", "d"}),  // data into a name
		HashContent([]byte("ab"), Member{"cd", "e"}), // a value into its name
		HashContent([]byte("ab"), Member{"c", "de"}),
		HashContent([]byte("ab"), Member{"c", "d"}, Member{"e", "f"}),
		HashContent([]byte("ab"), Member{"e", "f"}, Member{"c", "d"}), // order counts
		HashContent([]byte("ab")),
		HashContent([]byte("ab\x00\x00\x00\x00\x00\x00\x00\x02")), // data that looks like the end
		HashContent(nil),
		// data that looks like a member
		HashContent([]byte("ab"), Member{"c", "d"}, Member{"g", "h"}),
		HashContent([]byte("ab\x00\x00\x00\x00\x00\x00\x00\x01c\x00\x00\x00\x00\x00\x00\x00\x01d"), Member{"g", "h"}),
	}
	seen := make(map[[16]byte]int)
	for i, h := range rows {
		if j, ok := seen[h]; ok {
			t.Errorf("rows %d and %d are equal", j, i)
		}
		seen[h] = i
	}
	if HashContent([]byte("ab"), Member{"c", ""}) != HashContent([]byte("ab")) {
		t.Error("a member that was not sent counts")
	}
}
