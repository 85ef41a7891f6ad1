package rules

import (
	"math/rand/v2"
	"strings"
	"testing"
)

func transformOf(t testing.TB, text string) *Transform {
	t.Helper()
	tr, err := CompileTransform(`endpoint "a"`, "transform", Expr{text, Pos{"Caddyfile", 7}})
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return tr
}

func TestTransform(t *testing.T) {
	t.Parallel()
	ev := testEvent()
	ev.Data = []byte(`{"z":1,"a":{"y":[1,2.5],"x":null,"b":{"2":1,"1":2}},"items":[{"sku":"b","n":2},{"sku":"a","n":1}],"text":"\u00e9<\n","t":true}`)
	for text, want := range map[string]string{
		// Whatever is passed on keeps its order, at any depth.
		"data":          `{"z":1,"a":{"y":[1,2.5],"x":null,"b":{"2":1,"1":2}},"items":[{"sku":"b","n":2},{"sku":"a","n":1}],"text":"é\u003c\n","t":true}`,
		"data.a":        `{"y":[1,2.5],"x":null,"b":{"2":1,"1":2}}`,
		"data.items[1]": `{"sku":"a","n":1}`,
		`{"id": event.id, "carrier": upper(data.text), "a": data.a, "all": {"z": 1, "b": 2}}`: `{"id":"evt_1","carrier":"É\u003c\n","a":{"y":[1,2.5],"x":null,"b":{"2":1,"1":2}},"all":{"z":1,"b":2}}`,
		`map(data.items, ({"n": .n * 2, "sku": .sku}))`:                                       `[{"n":4,"sku":"b"},{"n":2,"sku":"a"}]`,
		`filter(data.items, .n > 1)`:                                                          `[{"sku":"b","n":2}]`,
		`map(data.items, let i = #; map(data.a.y, # * i.n))`:                                  `[[2,5],[1,2.5]]`,
		`let i = data.items[0]; {"x": i, "y": i}`:                                             `{"x":{"sku":"b","n":2},"y":{"sku":"b","n":2}}`,
		`{"gone": data.gone, "t": data.t, "or": data.gone ?? "none"}`:                         `{"gone":null,"t":true,"or":"none"}`,
		`split("a,b", ",")`: `["a","b"]`,
		`keys(data.a)`:      `["b","x","y"]`,
		`"text"`:            `"text"`, `nil`: `null`, `1 + 2`: `3`, `7 / 2`: `3.5`, `data.z == 1`: `true`, `{}`: `{}`, `[]`: `[]`,
		`if data.t {{"v": 2}} else {data}`: `{"v":2}`,
	} {
		got, err := transformOf(t, text).Of(ev)
		if err != nil || string(got) != want {
			t.Errorf("%s gave %s (%v), want %s", text, got, err, want)
		}
	}
}

func TestTransformFails(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"data.gone":                            "data.gone is missing",
		"data.gone.x + upper(data.away[0])":    "data.gone.x, data.away[0] are missing",
		`{"a": data.text + 1}`:                 "Caddyfile:7: cannot compute string + int\n    {\"a\": data.text + 1}\n                    ^",
		"[\n1 / 0,\nupper(data.n)]":            "Caddyfile:9: expected string, got int\n    upper(data.n)]\n    ^",
		"1 / 0":                                "the result holds a number that JSON does not have",
		`fromBase64("/w==")`:                   "the result holds a text that is not valid UTF-8",
		`map(data.rows, map(data.ones, data))`: "stopped after",
	} {
		ev := testEvent()
		if strings.Contains(want, "stopped") {
			ev = hostileEvent()
		}
		got, err := transformOf(t, text).Of(ev)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s gave %.100s, %v", text, got, err)
		}
		if err != nil && strings.Contains(err.Error(), "abc") {
			t.Errorf("%s shows a value: %s", text, err)
		}
	}
}

func TestTransformIsRefused(t *testing.T) {
	t.Parallel()
	deep := "map(data.a, map(#, map(#, #)))"
	for text, want := range map[string]string{
		"event.tpye":                            `Caddyfile:7: endpoint "a", transform: unknown field event.tpye; did you mean event.type?`,
		`{"a": 1, "b": 2, "a": 3}`:              `the key "a" stands in the object twice`,
		`{(data.a): 1}`:                         "a key of an object must be written out",
		deep:                                    "loops lie inside one another deeper than 2",
		"[" + strings.Repeat("1,", 1000) + "1]": "the expression has 1002 parts; at most 1000 are allowed",
		`"` + strings.Repeat("a", 16<<10) + `"`: "the expression is 16386 bytes long; at most 16384 are allowed",
		strings.Repeat("(", 65):                 "brackets nest deeper than 64 here",
		"now()":                                 "the function now is not offered in rules",
		"data.a &&":                             "the expression ends here, but is not complete",
	} {
		_, err := CompileTransform(`endpoint "a"`, "transform", Expr{text, Pos{"Caddyfile", 7}})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.50s: %v", text, err)
		}
	}
	if _, err := CompileTransform("x", "transform", when("map(data.a, map(#, #))")); err != nil {
		t.Errorf("two loops: %v", err)
	}
}

// TestHostileTransformsAreStopped holds transforms to the size of a body.
func TestHostileTransformsAreStopped(t *testing.T) {
	for name, text := range map[string]string{
		"the payload many times":       "[" + strings.TrimSuffix(strings.Repeat("data,", 400), ",") + "]",
		"the payload in every element": "map(data.rows, data.as)",
		"doubled trees":                "let a = [1,1]; let b = [a,a]; let c = [b,b]; let d = [c,c]; let e = [d,d]; let f = [e,e]; let g = [f,f]; let h = [g,g]; let i = [h,h]; let j = [i,i]; let k = [j,j]; let l = [k,k]; let m = [l,l]; let n = [m,m]; let o = [n,n]; let p = [o,o]; let q = [p,p]; let r = [q,q]; let s = [r,r]; let t = [s,s]; let u = [t,t]; let v = [u,u]; v",
		"doubled objects":              "let a = {'x': data.as, 'y': data.as}; let b = {'x': a, 'y': a}; let c = {'x': b, 'y': b}; let d = {'x': c, 'y': c}; let e = {'x': d, 'y': d}; e",
		"loops inside loops":           "map(data.ones, let x = #; map(data.ones, x + #))",
		"objects inside loops":         "map(data.rows, map(data.rows, ({'a': #, 'b': #})))",
	} {
		t.Run(name, func(t *testing.T) {
			tr, ev := transformOf(t, text), hostileEvent()
			for range 2 { // the first one boxes the payload
				got, err := tr.Of(ev)
				if err == nil {
					t.Errorf("made %d bytes", len(got))
				}
			}
		})
	}
}

// TestPassingOnChangesNothing holds the order of members to the payload's.
func TestPassingOnChangesNothing(t *testing.T) {
	t.Parallel()
	g := generator{rand.New(rand.NewPCG(rand.Uint64(), 3))}
	tr := transformOf(t, "{'data': data}")
	for range 500 {
		ev, _ := g.event(t) // sorted by json.Marshal; shuffled below
		text := strings.Replace(string(ev.Data), "{", `{"zz":0,`, 1)
		text = strings.ReplaceAll(strings.ReplaceAll(text, ",}", "}"), `"zz":0,}`, `"zz":0}`)
		ev.Data = []byte(text)
		got, err := tr.Of(ev)
		if want := `{"data":` + text + "}"; err != nil || string(got) != want {
			t.Fatalf("%s became %s (%v)", want, got, err)
		}
	}
}
