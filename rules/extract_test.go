package rules

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// planOf makes the plan of reading paths, written as in expressions, and for
// each the lists of texts of its elements and of their members a and b.
func planOf(t testing.TB, texts ...string) (*plan, []*path, []*each) {
	t.Helper()
	c := newExprCompiler()
	var lists []*each
	for _, text := range texts {
		tree, found := c.parse(text)
		if found != nil {
			t.Fatal(found)
		}
		p, ok := pathOf(tree.Node)
		if !ok {
			t.Fatalf("%s is no path", text)
		}
		lists = append(lists, c.paths.internEach(p, ofElements, ""), c.paths.internEach(p, ofMember, "a"), c.paths.internEach(p, ofMember, "b"))
	}
	return c.plan(), c.paths.reads.paths, lists
}

// textsOf is what an each collects, found in a decoded payload.
func textsOf(e *each, data any) (out []string) {
	list, _ := e.list.get(data).([]any)
	for _, v := range list {
		if e.of == ofMember {
			v = member(v, e.key)
		}
		if s, ok := v.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

// compareExtraction holds what is taken out of a payload to what is found in
// the decoded one.
func compareExtraction(t *testing.T, m *machine, doc []byte, read []*path, lists []*each) {
	t.Helper()
	data, err := decode(doc)
	m.ev = &Event{Data: doc}
	defer m.release()
	if ok := m.extract(); ok != (err == nil) && len(doc) > 0 {
		t.Fatalf("%q: extracting says %v, decoding %v", doc, ok, err)
	}
	for _, p := range read {
		if got, want := m.read(p), p.get(data); !reflect.DeepEqual(got, want) {
			t.Fatalf("%q: data%s is %#v, want %#v", doc, p.key(), got, want)
		}
		if s, ok := m.text(p); ok != (m.at(p).kind == kindText) || ok && s != p.get(data) {
			t.Fatalf("%q: data%s as a text is %q", doc, p.key(), s)
		}
	}
	for _, e := range lists {
		if got, want := m.textsOf(e), textsOf(e, data); !slices.Equal(got, want) {
			t.Fatalf("%q: the texts of data%s, %q: got %q, want %q", doc, e.list.key(), e.key, got, want)
		}
	}
}

var extracted = []string{
	"data", "data.a", "data.b", "data.a.a", "data.a.b", "data.a.a.b", "data.a[0]", "data.a[1]", "data.a[-1]", "data.a[-2].b", "data.a[0].a", "data.b[-1][-1]",
	"data[0]", "data[-1]", "data[-1].a", `data["é"]`, "data.text", "data.items", "data.items[1].sku", "data.tags",
}

func TestExtractionGivesWhatDecodingDoes(t *testing.T) {
	t.Parallel()
	plan, read, lists := planOf(t, extracted...)
	m := newMachine(plan)
	for _, doc := range append(slices.Clone(documents),
		`{"a":{"a":1},"a":2}`, `{"a":2,"a":{"a":1}}`, `{"a":[{"a":"x"}],"a":[{"a":"y","a":"z"},{"a":"u","a":1}]}`, `{"a":["x"],"a":null}`,
		`{"a":1,"\u0061":2,"\u00e9":"\ud83d\ude00\ud83d"}`, "{\"a\":\"\xff\",\"\xff\":1}", `{"a":"\u00"}`, `{"b":[[1,2],[3,4]]}`, `{"b":[[],[]]}`,
		`{"a":1e400}`, `{"x":1e400}`, `{"x":`+strings.Repeat("9", 400)+`}`, `{"a":12345678901234567890}`, `{"x":-}`, `{"x":{"y":01}}`, `[[{"a":1}]]`,
	) {
		compareExtraction(t, m, []byte(doc), read, lists)
	}
}

// TestExtractionOfRandomPayloads also breaks them, by a byte changed or cut.
func TestExtractionOfRandomPayloads(t *testing.T) {
	t.Parallel()
	rounds := 20_000
	if testing.Short() {
		rounds = 2000
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	g := generator{rand.New(rand.NewPCG(seed, 2))}
	plan, read, lists := planOf(t, extracted...)
	m := newMachine(plan)
	for range rounds {
		b, err := json.Marshal(g.value(5))
		if err != nil {
			t.Fatal(err)
		}
		switch g.IntN(6) {
		case 0:
			b[g.IntN(len(b))] = `{}[]",:\0 1eab`[g.IntN(14)]
		case 1:
			b = b[:g.IntN(len(b))]
		case 2: // a name twice
			b = fmt.Appendf(nil, `{"a":%s,"b":%s,"a":%s}`, b, `[["x"]]`, string(b[:len(b)/2])+string(b[len(b)/2:]))
		}
		compareExtraction(t, m, b, read, lists)
	}
}

func TestExtractionBoundsNesting(t *testing.T) {
	t.Parallel()
	plan, read, lists := planOf(t, "data.a", "data[-1]")
	m := newMachine(plan)
	for _, n := range []int{maxJSONDepth, maxJSONDepth + 1, 1_000_000} {
		compareExtraction(t, m, []byte(strings.Repeat("[", n)+strings.Repeat("]", n)), read, lists)
	}
}

func FuzzExtract(f *testing.F) {
	for _, doc := range documents {
		f.Add([]byte(doc))
	}
	plan, read, lists := planOf(f, extracted...)
	f.Fuzz(func(t *testing.T, b []byte) { compareExtraction(t, newMachine(plan), b, read, lists) })
}

func TestExtractionAllocatesNothing(t *testing.T) {
	plan, _, _ := planOf(t, "data.text", "data.items", "data.items[1].sku", "data.half", "data.escaped")
	m := newMachine(plan)
	ev := &Event{Data: []byte(strings.Replace(payload, "{", `{"escaped": "\u00e9\n",`, 1))}
	allocs := testing.AllocsPerRun(100, func() {
		m.ev = ev
		m.extract()
		m.release()
	})
	if allocs > 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func BenchmarkExtract(b *testing.B) {
	plan, _, _ := planOf(b, "data.text", "data.n", "data.items", "data.obj.a", "data.secret")
	m := newMachine(plan)
	b.ReportAllocs()
	b.SetBytes(int64(len(payload)))
	ev := &Event{Data: []byte(payload)}
	for b.Loop() {
		m.ev = ev
		if !m.extract() {
			b.Fatal("no JSON")
		}
		m.release()
	}
}
