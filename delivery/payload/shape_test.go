package payload

import (
	"fmt"
	"strings"
	"testing"
)

func TestShapeKnowsThePlacesOfASchema(t *testing.T) {
	t.Parallel()
	const plain = `{"type":"object","properties":{"id":{"type":"string"},"to":{"$ref":"#/$defs/place"},
		"items":{"type":"array","items":{"properties":{"sku":{}}}},"any":{},"map":{"additionalProperties":{"type":"object","properties":{"x":{}}}},
		"pair":{"prefixItems":[{"type":"string"}]},"pattern":{"properties":{"a":{}},"patternProperties":{"^b":{}}},"open":{"properties":{"a":{}},"additionalProperties":true}},
		"allOf":[{"required":["id"]},{"properties":{"more":{"type":["object","null"],"properties":{"deep":{}}}}}],
		"$defs":{"place":{"type":"object","properties":{"city":{"type":"string"},"next":{"$ref":"#/$defs/place"}}}}}`
	for path, want := range map[string]string{
		"id": "", "to.city": "", "to.next.next.city": "", "items.*.sku": "", "any.thing.at.all": "", "map.k.x": "", "more.deep": "",
		"pattern.bx": "", "open.x": "", "pair.*.x": "", "": "",
		"di": "0 [any id items map more open pair pattern to]", "to.citty": "1 [city next]", "to.next.next.x": "3 [city next]",
		"id.x": "1 []", "items.sku": "1 []", "items.*.skus": "2 [sku]", "map.k.y": "2 [x]", "more.deeper": "1 [deep]", "to.*": "1 [city next]",
	} {
		c, err := LoadCatalog([]byte(`{"events":[{"type":"a","schema":`+plain+`},{"type":"b"}]}`), "f")
		if err != nil {
			t.Fatal(err)
		}
		var steps []string
		if path != "" {
			steps = strings.Split(strings.ReplaceAll(path, "*", Element), ".")
		}
		ok, at, names := c.Shape("a", steps)
		got := ""
		if !ok {
			got = fmt.Sprint(at, " ", names)
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
		if ok, _, _ := c.Shape("b", steps); !ok {
			t.Errorf("%s: a type without a schema lacks it", path)
		}
	}
}

func TestShapeFollowsNoCircle(t *testing.T) {
	t.Parallel()
	c, err := LoadCatalog([]byte(`{"events":[{"type":"a","schema":{"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}}}}]}`), "f")
	if err != nil {
		t.Skip("refused already")
	}
	if ok, _, _ := c.Shape("a", []string{"x"}); !ok {
		t.Error("a schema that says nothing lacks x")
	}
}
