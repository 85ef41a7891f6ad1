package payload

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

const sampleCatalog = `{
  "events": [
    {"type": "label.created", "group": "Shipping", "trigger": "Label generated",
     "example": {"label_id": "lbl_abc123", "weight": 1.50},
     "schema": {
       "type": "object",
       "required": ["label_id"],
       "properties": {
         "label_id": {"type": "string", "pattern": "^lbl_"},
         "weight": {"type": "number", "maximum": 70.0000000000000000001},
         "pieces": {"type": "array", "items": {"$ref": "#/$defs/piece"}},
         "size": {"anyOf": [{"const": "S"}, {"type": "integer"}]},
         "count": {"type": "integer", "maximum": 9223372036854775807}
       },
       "additionalProperties": false,
       "$defs": {"piece": {"type": "object", "properties": {"a/b": {"type": "integer"}}}}
     }},
    {"type": "label.voided"},
    {"type": "order.imported", "group": "Orders", "example": null, "schema": true}
  ]
}`

func loadSample(t *testing.T) *Catalog {
	t.Helper()
	c, err := LoadCatalog([]byte(sampleCatalog), "events.json")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCatalogKeepsTheOrderOfTheFile(t *testing.T) {
	t.Parallel()
	c := loadSample(t)
	var types []string
	for _, entry := range c.Types() {
		types = append(types, entry.Type)
	}
	if got := strings.Join(types, " "); got != "label.created label.voided order.imported" {
		t.Errorf("got %s", got)
	}
	entry, ok := c.Lookup("label.created")
	if !ok || entry.Group != "Shipping" || entry.Trigger != "Label generated" || string(entry.Example) != `{"label_id":"lbl_abc123","weight":1.5}` {
		t.Errorf("got %+v", entry)
	}
	if entry, _ := c.Lookup("order.imported"); string(entry.Example) != "null" {
		t.Errorf("an example of null became %q", entry.Example)
	}
	if entry, _ := c.Lookup("label.voided"); entry.Example != nil || entry.Schema != nil {
		t.Errorf("got %+v", entry)
	}
	if _, ok := c.Lookup("label"); ok {
		t.Error("a type that is not listed was found")
	}
}

func TestCatalogEntriesPrintAsTheyAreRead(t *testing.T) {
	t.Parallel()
	c := loadSample(t)
	out, err := json.Marshal(map[string]any{"events": c.Types()})
	if err != nil {
		t.Fatal(err)
	}
	again, err := LoadCatalog(out, "printed")
	if err != nil || len(again.Types()) != len(c.Types()) {
		t.Fatalf("%v\n%s", err, out)
	}
}

func TestCatalogChecksPayloads(t *testing.T) {
	t.Parallel()
	c := loadSample(t)
	for name, row := range map[string]struct{ typ, data, pointer, reason string }{
		"the example":                      {"label.created", `{"label_id":"lbl_abc123"}`, "", ""},
		"any payload without a schema":     {"label.voided", `[1]`, "", ""},
		"any payload for the schema true":  {"order.imported", `"x"`, "", ""},
		"the largest exact number":         {"label.created", `{"label_id":"lbl_","count":9007199254740992}`, "", ""},
		"a whole number written as 1e+21":  {"label.created", `{"label_id":"lbl_","size":1e+21}`, "", ""},
		"an unknown type":                  {"shipment.lost", `{}`, "/event", `unknown event type "shipment.lost"`},
		"a mistyped type":                  {"label.creatd", `{}`, "/event", `did you mean "label.created"?`},
		"a missing member":                 {"label.created", `{}`, "/data", "label_id"},
		"a member too many":                {"label.created", `{"label_id":"lbl_","extra":1}`, "/data", "extra"},
		"a wrong type":                     {"label.created", `{"label_id":7}`, "/data/label_id", "got number, want string"},
		"a value off the pattern":          {"label.created", `{"label_id":"x"}`, "/data/label_id", "pattern"},
		"a number past the maximum":        {"label.created", `{"label_id":"lbl_","weight":71}`, "/data/weight", "maximum"},
		"a violation behind a $ref":        {"label.created", `{"label_id":"lbl_","pieces":[{},{"a/b":"x"}]}`, "/data/pieces/1/a~1b", "want integer"},
		"no branch of anyOf":               {"label.created", `{"label_id":"lbl_","size":"L"}`, "/data/size", "anyOf"},
		"a scalar instead of an object":    {"label.created", `null`, "/data", "want object"},
		"the first of several violations":  {"label.created", `{"weight":"x","size":"y","label_id":1,"pieces":7}`, "/data/label_id", "want string"},
		"a long value is not repeated":     {"label.created", `{"label_id":"` + strings.Repeat("é", 5000) + `"}`, "/data/label_id", "…"},
		"a payload that is no JSON at all": {"label.created", `{`, "/data", "reading the payload"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for range 5 { // the library goes through maps: the answer must not change
				err := c.Check(row.typ, []byte(row.data))
				if row.pointer == "" {
					if err != nil {
						t.Fatal(err)
					}
					continue
				}
				if at := mustBe(t, err, Value, row.pointer, row.reason); at != -1 {
					t.Errorf("an offset into nothing: %d", at)
				}
			}
		})
	}
}

func TestCatalogMayBeCheckedFromManyGoroutines(t *testing.T) {
	t.Parallel()
	c := loadSample(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 50 {
				data := fmt.Appendf(nil, `{"label_id":"lbl_%d","size":%d}`, i, i)
				if err := c.Check("label.created", data); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestCatalogRefuses(t *testing.T) {
	t.Parallel()
	entry := func(rest string) string { return "{\"events\":[{\"type\":\"ok\"},\n{\"type\":\"a\"," + rest + "}]}" }
	for name, c := range map[string]struct {
		in, pointer string
		line        int
		reason      string
	}{
		"an empty file":                 {"", "", 1, "ends here"},
		"a file that is cut off":        {"{\"events\":[\n{\"type\":\"a\"}", "/events", 2, "expected ',' or ']'"},
		"a list":                        {"[]", "", 1, "must be an object"},
		"no events member":              {"{}", "", 1, `"events" is missing`},
		"no events":                     {`{"events":[]}`, "/events", 1, "refuse every event"},
		"events that are an object":     {`{"events":{}}`, "/events", 1, "must be an array"},
		"an unknown member":             {`{"event":[]}`, "/event", 1, `did you mean "events"?`},
		"events given twice":            {`{"events":[{"type":"a"}],"events":[]}`, "/events", 1, "twice"},
		"an entry that is a string":     {`{"events":["a"]}`, "/events/0", 1, "must be an object"},
		"an entry without a type":       {"{\"events\":[\n{\"type\":\"a\"},\n{\"group\":\"g\"}]}", "/events/1", 3, `"type" is missing`},
		"a type that is no type":        {"{\"events\":[\n{\"type\":\"a b\"}]}", "/events/0/type", 2, `not "a b"`},
		"a type listed twice":           {"{\"events\":[{\"type\":\"a\"},\n\n{\"type\":\"a\"}]}", "/events/1/type", 3, "listed before, at /events/0"},
		"a member of an entry twice":    {entry(`"group":"x","group":"y"`), "/events/1/group", 2, "twice"},
		"an unknown member of an entry": {entry(`"examples":{}`), "/events/1/examples", 2, `did you mean "example"?`},
		"a trigger that is a number":    {entry(`"trigger":1`), "/events/1/trigger", 2, "must be a string"},
		"an example JavaScript changes": {entry(`"example":{"n":9007199254740993}`), "/events/1/example/n", 2, "send it as a string"},
		"an example off its schema":     {entry("\n\"example\":{\"n\":\"x\"},\n\"schema\":{\"properties\":{\"n\":{\"type\":\"number\"}}}"), "/events/1/example/n", 3, "want number"},
		"a schema that is a list":       {entry("\n\"schema\":[]"), "/events/1/schema", 3, "object, true or false"},
		"a schema that is null":         {entry(`"schema":null`), "/events/1/schema", 2, "object, true or false"},
		"a schema with a repeated name": {entry(`"schema":{"type":"object","type":"array"}`), "/events/1/schema/type", 2, "twice"},
		"a schema that is no schema":    {entry(`"schema":{"properties":{"a":{"type":"strin"}}}`), "/events/1/schema/properties/a/type", 2, ""},
		"a schema with a bad pattern":   {entry(`"schema":{"pattern":"("}`), "/events/1/schema/pattern", 2, ""},
		"a number that never ends":      {entry(`"schema":{"maximum":1e999999999}`), "/events/1/schema/maximum", 2, "outside"},
		"digits and a huge exponent":    {entry(`"schema":{"maximum":1234567890123456789e999999999}`), "/events/1/schema/maximum", 2, "outside"},
		"a schema of another draft":     {entry(`"schema":{"$schema":"http://json-schema.org/draft-07/schema#","type":"object"}`), "/events/1/schema/$schema", 2, "2020-12"},
		"a pointer to nowhere":          {entry(`"schema":{"$ref":"#/$defs/none"}`), "/events/1/schema", 2, "none"},

		// A schema must not make the gateway read or call anything.
		"a $ref to a file":           {entry(`"schema":{"$ref":"file:///etc/passwd"}`), "/events/1/schema", 2, "nothing is fetched"},
		"a $ref to a path":           {entry(`"schema":{"$ref":"/etc/passwd"}`), "/events/1/schema", 2, "nothing is fetched"},
		"a $ref to a neighbour":      {entry(`"schema":{"$ref":"ok"}`), "/events/1/schema", 2, `"ok": a schema may refer to itself`},
		"a $ref to the network":      {entry(`"schema":{"properties":{"a":{"$ref":"https://example.com/s.json"}}}`), "/events/1/schema", 2, "nothing is fetched"},
		"a $ref by a foreign $id":    {entry(`"schema":{"$id":"http://169.254.169.254/x","$ref":"y"}`), "/events/1/schema", 2, "nothing is fetched"},
		"a $dynamicRef elsewhere":    {entry(`"schema":{"$dynamicRef":"http://127.0.0.1/#a"}`), "/events/1/schema", 2, "nothing is fetched"},
		"a meta-schema of one's own": {entry(`"schema":{"$schema":"http://127.0.0.1/meta"}`), "/events/1/schema", 2, "nothing is fetched"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := LoadCatalog([]byte(c.in), "events.json")
			e, ok := errors.AsType[*Error](err)
			if !ok {
				t.Fatalf("got %v", err)
			}
			if want := fmt.Sprintf("catalog events.json, line %d: ", c.line); !strings.HasPrefix(err.Error(), want) {
				t.Errorf("got %q, want %q", err, want)
			}
			if e.Pointer != c.pointer || !strings.Contains(e.Reason, c.reason) {
				t.Errorf("got %q %q\nwant %q …%q…", e.Pointer, e.Reason, c.pointer, c.reason)
			}
		})
	}
}

// A file that is there and is a schema must still not be read.
func TestASchemaIsNotReadFromDisk(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "schema.json")
	if err := os.WriteFile(file, []byte(`{"type":"object"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{file, "file://" + file} {
		_, err := LoadCatalog(fmt.Appendf(nil, `{"events":[{"type":"a","schema":{"$ref":%q}}]}`, ref), "x")
		mustBe(t, err, Value, "/events/0/schema", "nothing is fetched")
	}
}

func TestCatalogSize(t *testing.T) {
	t.Parallel()
	if _, err := LoadCatalog(make([]byte, maxCatalogSize+1), "/dev/zero"); err == nil || !strings.Contains(err.Error(), "catalog /dev/zero") {
		t.Errorf("got %v", err)
	}
	var b strings.Builder
	for i := range maxCatalogTypes + 1 {
		fmt.Fprintf(&b, `,{"type":"t%d"}`, i)
	}
	_, err := LoadCatalog([]byte(`{"events":[`+b.String()[1:]+`]}`), "large")
	mustBe(t, err, TooLarge, fmt.Sprintf("/events/%d", maxCatalogTypes), "at most")
}

func TestASchemaMayUseTheMetaSchema(t *testing.T) {
	t.Parallel()
	c, err := LoadCatalog([]byte(`{"events":[{"type":"a","schema":{"$schema":"https://json-schema.org/draft/2020-12/schema",`+
		`"properties":{"s":{"$ref":"https://json-schema.org/draft/2020-12/schema"},"zero":{"maximum":0e999999999}}}}]}`), "x")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Check("a", []byte(`{"s":{"type":"string"},"zero":0}`)); err != nil {
		t.Error(err)
	}
	mustBe(t, c.Check("a", []byte(`{"s":{"type":7}}`)), Value, "/data/s/type", "")
}
