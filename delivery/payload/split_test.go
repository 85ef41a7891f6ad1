package payload

import (
	"strings"
	"testing"
)

func TestSplitArray(t *testing.T) {
	t.Parallel()
	for in, want := range map[string][]string{
		`[]`:                           nil,
		" [ ] \n":                      nil,
		`[1]`:                          {`1`},
		` [ 1 , {"a":[1,2]} ,"x" ] `:   {`1 `, `{"a":[1,2]} `, `"x" `},
		`["]","[,\"",{"a":"}]"}]`:      {`"]"`, `"[,\""`, `{"a":"}]"}`},
		`["\\",2]`:                     {`"\\"`, `2`},
		`["a long string, with [ ",1]`: {`"a long string, with [ "`, `1`},
		`[[[]],{}]`:                    {`[[]]`, `{}`},
		`[{]]`:                         {`{]`}, // brackets are not told apart: the element is parsed next, and fails
	} {
		got, err := SplitArray([]byte(in), 3)
		if err != nil || len(got) != len(want) {
			t.Errorf("%s: got %q, %v", in, got, err)
			continue
		}
		for i := range want {
			if string(got[i]) != want[i] {
				t.Errorf("%s: element %d is %q, want %q", in, i, got[i], want[i])
			}
		}
	}
}

func TestSplitArrayRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		in, pointer string
		kind        Kind
		reason      string
	}{
		"nothing":                      {``, "", Syntax, "ends here, expected an array"},
		"an object":                    {`{}`, "", Value, "this is an object, it must be an array"},
		"a byte order mark":            {"\ufeff[]", "", Syntax, "byte order mark"},
		"an array that does not end":   {`[1`, "", Syntax, "ends here"},
		"a string that does not end":   {`["a,1]`, "", Syntax, "ends here"},
		"a backslash at the end":       {`["a\`, "", Syntax, "ends here"},
		"a nested one that does not":   {`[[1]`, "", Syntax, "ends here"},
		"a comma too many":             {`[1,]`, "/1", Syntax, "expected a value"},
		"a comma alone":                {`[,]`, "/0", Syntax, "expected a value"},
		"a wrong bracket":              {`[1}`, "", Syntax, "expected ',' or ']'"},
		"brackets crossed":             {`[{]},2]`, "", Syntax, "expected ',' or ']'"},
		"something behind":             {`[1]2`, "", Syntax, "expected the end"},
		"one element too many":         {`[1,2,3,4]`, "/3", TooLarge, "at most 3"},
		"more elements than can count": {`[` + strings.Repeat("0,", 100_000), "/3", TooLarge, "at most 3"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := SplitArray([]byte(c.in), 3)
			mustBe(t, err, c.kind, c.pointer, c.reason)
		})
	}
}
