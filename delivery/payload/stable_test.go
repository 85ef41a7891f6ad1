package payload

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"unicode/utf8"
)

// mustBe fails unless err is an *Error with this kind, pointer and part of a
// reason, short enough to be answered. It returns the offset.
func mustBe(t *testing.T, err error, kind Kind, pointer, reason string) (offset int) {
	t.Helper()
	e, ok := errors.AsType[*Error](err)
	if !ok {
		t.Fatalf("got %v, want an *Error at %q: %s", err, pointer, reason)
	}
	if e.Kind != kind || e.Pointer != pointer || !strings.Contains(e.Reason, reason) {
		t.Errorf("got %v %q %q\nwant %v %q …%q…", e.Kind, e.Pointer, e.Reason, kind, pointer, reason)
	}
	if len(e.Error()) > 1000 || !utf8.ValidString(e.Error()) {
		t.Errorf("the error has %d bytes or is not UTF-8: %.200q", len(e.Error()), e.Error())
	}
	return e.Offset
}

func TestStableForm(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ in, want string }{
		"white space around and between is dropped": {" {\t\"a\" :\r[ 1 ,\n2 ] } ", `{"a":[1,2]}`},
		"scalars stand for themselves":              {`[true,false,null,"",{},[]]`, `[true,false,null,"",{},[]]`},
		"a scalar is a document":                    {" null ", "null"},
		"members stay in the order they came":       {`{"b":1,"a":2}`, `{"b":1,"a":2}`},

		"integer-like names come first and ascend":       {`{"b":1,"10":2,"9":3,"a":4,"0":5}`, `{"0":5,"9":3,"10":2,"b":1,"a":4}`},
		"integer-like names in place stay":               {`{"0":1,"7":2,"a":3}`, `{"0":1,"7":2,"a":3}`},
		"an integer-like name after another name moves":  {`{"a":1,"7":2}`, `{"7":2,"a":1}`},
		"the largest array index is 2^32-2":              {`{"a":1,"4294967295":2,"4294967294":3}`, `{"4294967294":3,"a":1,"4294967295":2}`},
		"a name with a leading zero is no index":         {`{"a":1,"01":2,"00":3,"-1":4,"1.0":5,"1e0":6,"":7}`, `{"a":1,"01":2,"00":3,"-1":4,"1.0":5,"1e0":6,"":7}`},
		"an escaped digit is a digit":                    {`{"a":1,"\u0031":2}`, `{"1":2,"a":1}`},
		"members move with the objects inside them":      {`{"a":{"y":1,"2":2,"1":3},"5":{"x":[{"q":0,"3":1}],"4":2}}`, `{"5":{"4":2,"x":[{"3":1,"q":0}]},"a":{"1":3,"2":2,"y":1}}`},
		"__proto__ is a name like any other":             {`{"__proto__":{"a":1},"constructor":2,"1":3}`, `{"1":3,"__proto__":{"a":1},"constructor":2}`},
		"the same name may be in neighbours and parents": {`{"a":{"a":[{"a":1},{"a":2}]},"b":{"a":3}}`, `{"a":{"a":[{"a":1},{"a":2}]},"b":{"a":3}}`},

		"short escapes stay":                    {`"\"\\\b\f\n\r\t"`, `"\"\\\b\f\n\r\t"`},
		"a solidus loses its escape":            {`"\/a/"`, `"/a/"`},
		"needless escapes become characters":    {`"\u0041\u00e9\u20AC\u2028\u2029\u007f\u0080"`, "\"Aé€\u2028\u2029\x7f\u0080\""},
		"control characters are lower-case hex": {`"\u0000\u001F\u000b\u001B"`, `"\u0000\u001f\u000b\u001b"`},
		"long escapes become short ones":        {`"\u0008\u0009\u000A\u000C\u000D\u0022\u005C\u002f"`, `"\b\t\n\f\r\"\\/"`},
		"a surrogate pair becomes a character":  {`"\uD83D\uDE00\ud800\udc00\uDBFF\uDFFF"`, "\"😀\U00010000\U0010ffff\""},
		"noncharacters and U+FFFD pass":         {"\"\\uFFFF\uffff\ufffd\ufeff\"", "\"\uffff\uffff\ufffd\ufeff\""},
		"literal text of every width passes":    {"\"aé€😀 longer than eight bytes\"", "\"aé€😀 longer than eight bytes\""},
		"escapes in names are unescaped too":    {`{"\u0061\/":1}`, `{"a/":1}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := AppendStable([]byte("before"), []byte(c.in))
			if err != nil || string(got) != "before"+c.want {
				t.Fatalf("got %q, %v\nwant %q", got, err, "before"+c.want)
			}
			again, err := AppendStable(nil, got[len("before"):])
			if err != nil || string(again) != c.want {
				t.Errorf("the second time: got %q, %v", again, err)
			}
		})
	}
}

func TestStableRefuses(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("[", MaxDepth+1)
	for name, c := range map[string]struct {
		in, pointer string
		kind        Kind
		offset      int
		reason      string
	}{
		"nothing at all":                        {"", "", Syntax, 0, "ends here, expected a value"},
		"white space only":                      {" \n", "", Syntax, 2, "ends here"},
		"a byte order mark":                     {"\ufeff{}", "", Syntax, 0, "byte order mark"},
		"a second document":                     {"{} {}", "", Syntax, 3, "expected the end"},
		"a NUL behind the document":             {"{}\x00", "", Syntax, 2, "expected the end"},
		"an object that does not end":           {`{"a":1`, "", Syntax, 6, "expected ',' or '}'"},
		"an array closed as an object":          {`[1}`, "", Syntax, 2, "expected ',' or ']'"},
		"a comma too many in an array":          {`[1,]`, "/1", Syntax, 3, "expected a value"},
		"a comma too many in an object":         {`{"a":1,}`, "", Syntax, 7, "member name"},
		"a name without quotes":                 {`{a:1}`, "", Syntax, 1, "member name in double quotes"},
		"a missing colon":                       {`{"a" 1}`, "/a", Syntax, 5, "':'"},
		"a word that is none":                   {`{"a":[true,nul]}`, "/a/1", Syntax, 11, "expected a value"},
		"a word that goes on":                   {`trueish`, "", Syntax, 4, "expected the end"},
		"other white space":                     {"\u00a0{}", "", Syntax, 0, "expected a value"},
		"a comment":                             {`{} // x`, "", Syntax, 3, "expected the end"},
		"single quotes":                         {`{'a':1}`, "", Syntax, 1, "member name"},
		"a string that does not end":            {`{"a":"bc`, "/a", Syntax, 5, "not closed"},
		"a string that ends in a backslash":     {`"a\`, "", Syntax, 2, "invalid escape"},
		"a line break in a string":              {"\"a\nb\"", "", Syntax, 2, "control character"},
		"an escape there is none of":            {`["\x41"]`, "/0", Syntax, 2, "invalid escape"},
		"a \\u with three digits":               {`["\u004"]`, "/0", Syntax, 2, "invalid escape"},
		"a \\u with a sign":                     {`["\u+041"]`, "/0", Syntax, 2, "invalid escape"},
		"a byte that is not UTF-8":              {"[\"ab\xff\"]", "/0", Syntax, 4, "invalid UTF-8"},
		"an overlong encoding":                  {"[\"\xc0\xaf\"]", "/0", Syntax, 2, "invalid UTF-8"},
		"a surrogate encoded as UTF-8":          {"[\"\xed\xa0\x80\"]", "/0", Syntax, 2, "invalid UTF-8"},
		"a plus sign":                           {`[+1]`, "/0", Syntax, 1, "expected a value"},
		"a minus sign alone":                    {`[-]`, "/0", Syntax, 1, "minus sign"},
		"a leading zero":                        {`[01]`, "/0", Syntax, 1, "zero"},
		"a negative leading zero":               {`[-012]`, "/0", Syntax, 1, "zero"},
		"a point without digits":                {`[1.]`, "/0", Syntax, 2, "decimal point"},
		"a point at the front":                  {`[.5]`, "/0", Syntax, 1, "expected a value"},
		"an exponent without digits":            {`[1e+]`, "/0", Syntax, 2, "exponent"},
		"hexadecimal":                           {`[0x10]`, "", Syntax, 2, "expected ',' or ']'"},
		"NaN":                                   {`{"a":NaN}`, "/a", Syntax, 5, "expected a value"},
		"a member given twice":                  {`{"a":1,"b":{"c":1,"c":2}}`, "/b/c", Value, 18, "twice"},
		"a member given twice under escapes":    {`{"é":1,"\u00E9":2}`, "/é", Value, 8, "twice"},
		"an index given twice":                  {`{"1":1,"a":2,"1":3}`, "/1", Value, 13, "twice"},
		"a high surrogate alone":                {`{"a":["x\ud800y"]}`, "/a/0", Value, 8, "surrogate"},
		"a low surrogate alone":                 {`["\udc00"]`, "/0", Value, 2, "surrogate"},
		"surrogates the wrong way round":        {`["\udc00\ud800"]`, "/0", Value, 2, "surrogate"},
		"two high surrogates":                   {`["\ud800\ud800"]`, "/0", Value, 2, "surrogate"},
		"a surrogate alone in a name":           {`[{"\ud800":1}]`, "/0", Value, 3, "surrogate"},
		"one level too many":                    {deep, strings.Repeat("/0", MaxDepth), Value, MaxDepth, "deeper than 64"},
		"one object too many":                   {strings.Repeat(`{"a":`, MaxDepth+1), strings.Repeat("/a", MaxDepth), Value, 5 * MaxDepth, "deeper than 64"},
		"a name that a pointer escapes":         {`{"a/b~c":01}`, "/a~1b~0c", Syntax, 9, "zero"},
		"a name with escapes is shown as it is": {`{"\n\"\u0001":01}`, "/\n\"\x01", Syntax, 14, "zero"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := AppendStable([]byte("before"), []byte(c.in))
			if at := mustBe(t, err, c.kind, c.pointer, c.reason); at != c.offset {
				t.Errorf("at byte %d, want %d", at, c.offset)
			}
			if string(got) != "before" {
				t.Errorf("dst is not as it was: %q", got)
			}
		})
	}
}

func TestNestingOfMaxDepthIsAccepted(t *testing.T) {
	t.Parallel()
	in := strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth)
	if out, err := AppendStable(nil, []byte(in)); err != nil || string(out) != in {
		t.Errorf("got %q, %v", out, err)
	}
}

// A member name of any length must not come back in the error.
func TestErrorsAreShort(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é~/", 50_000)
	for name, in := range map[string]string{
		"a long name":                   `{"` + long + `":01}`,
		"long names inside one another": strings.Repeat(`{"`+long[:400]+`":`, 40) + "01",
		"a long string":                 `{"event":"` + long + `","data":1}`,
		"a long number":                 `[` + strings.Repeat("7", 200_000) + `]`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, stable := AppendStable(nil, []byte(in))
			_, envelope := ParseEnvelope([]byte(in), Options{})
			for _, err := range []error{stable, envelope} {
				if err == nil {
					continue
				}
				if n := len(err.Error()); n > 1000 || !utf8.ValidString(err.Error()) {
					t.Errorf("the error has %d bytes: %.200s", n, err)
				}
			}
			if envelope == nil {
				t.Error("the envelope was accepted")
			}
		})
	}
}

func TestALongNameIsCutAndMarked(t *testing.T) {
	t.Parallel()
	name := strings.Repeat("é~/", 30)
	_, err := AppendStable(nil, []byte(`{"a":{"`+name+`":[01]}}`))
	want := strings.NewReplacer("~", "~0", "/", "~1").Replace(name[:maxToken]) + "…"
	mustBe(t, err, Syntax, "/a/"+want+"/0", "zero")
}

// Objects above and below the size at which names are hashed, nested so that
// several are open at once, and with indices so that their bytes move.
func TestLargeObjectsFindRepeatedMembers(t *testing.T) {
	t.Parallel()
	object := func(n int, inner string) string {
		var b strings.Builder
		b.WriteByte('{')
		for i := range n {
			fmt.Fprintf(&b, `"k%d":%s,"%d":{"z":1,"0":2},`, i, inner, 2*n-i)
		}
		return strings.TrimSuffix(b.String(), ",") + "}"
	}
	for _, n := range []int{1, fewKeys/2 - 1, fewKeys / 2, fewKeys, 100, 1000} {
		good := object(n, object(min(n, 3), "0"))
		if _, err := AppendStable(nil, []byte(good)); err != nil {
			t.Errorf("%d members: %v", n, err)
		}
		for _, k := range []int{0, n / 2, n - 1} {
			bad := strings.TrimSuffix(good, "}") + fmt.Sprintf(`,"\u006b%d":0}`, k)
			_, err := AppendStable(nil, []byte(bad))
			mustBe(t, err, Value, fmt.Sprintf("/k%d", k), "twice")
		}
	}
}

func TestTheScannerForgetsWhatItRead(t *testing.T) {
	t.Parallel()
	var many strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&many, `"k%d":%d,`, i, i)
	}
	large := []byte("{" + strings.TrimSuffix(many.String(), ",") + "}")
	broken := []byte(strings.Repeat(`{"a":[`, 20) + "x")
	for range 3 {
		for _, in := range [][]byte{large, broken, large, []byte(`{"k1":1}`)} {
			out, err := AppendStable(nil, in)
			if (err != nil) != (in[len(in)-1] == 'x') {
				t.Fatalf("%.40s: %v", in, err)
			}
			if err == nil && !bytes.Equal(out, in) {
				t.Fatalf("%.40s came out as %.40s", in, out)
			}
		}
	}
}

func TestTheScannerKeepsLittleMemory(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&b, `,"%d":0`, 20_000-i)
	}
	for _, members := range []string{b.String()[1:], `"a":0`} {
		s := newScanner([]byte("{"+members+"}"), nil)
		if err := s.document(s.value); err != nil {
			t.Fatal(err)
		}
		s.reset() // not release: after that it would be another test's
		if cap(s.keys) > 1024 || len(s.names.slots) > 1024 || cap(s.spare) > 64<<10 || s.names.used > 0 || s.src != nil || s.dst != nil {
			t.Errorf("keeps %d keys, %d slots (%d used), %d bytes", cap(s.keys), len(s.names.slots), s.names.used, cap(s.spare))
		}
	}
}

// The event of the customer guide, through the expression in its verification
// snippet: the body we send must be what Node computes from what came in.
func TestTheGuideExamplePrintsAsNodePrintsIt(t *testing.T) {
	t.Parallel()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("SKIP: node not found")
	}
	in, err := os.ReadFile("testdata/corpus/guide.json")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(node, "-e", `process.stdout.write(JSON.stringify(JSON.parse(require("fs").readFileSync(0))))`)
	cmd.Stdin = bytes.NewReader(in)
	want, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	e, err := ParseEnvelope(in, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := AppendBody(nil, e.Type, e.Timestamp, e.Data); !bytes.Equal(got, want) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
