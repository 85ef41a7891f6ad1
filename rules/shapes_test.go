package rules

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// shapeOf knows the members of each type, one or two deep: "a.created": "id to.city".
type shapeOf map[string]string

func (s shapeOf) Digest() string { return fmt.Sprint(s) }

func (s shapeOf) Shape(typ string, path []string) (bool, int, []string) {
	paths := strings.Fields(s[typ])
	for at := range path {
		var names []string
		here := strings.Join(path[:at], ".")
		for _, p := range paths {
			if rest, ok := strings.CutPrefix("."+p, strings.TrimSuffix("."+here, ".")+"."); ok {
				name, _, _ := strings.Cut(rest, ".")
				names = append(names, name)
			}
		}
		if !slices.Contains(names, path[at]) {
			return false, at, names
		}
	}
	return true, 0, nil
}

func TestPathsThatNoSchemaKnowsAreRefused(t *testing.T) {
	t.Parallel()
	shapes := shapeOf{"label.created": "id carrier to.city", "label.voided": "id refund", "order.paid": "id total"}
	types := []string{"label.created", "label.voided", "order.paid"}
	for name, tt := range map[string]struct {
		when string
		want string // "" for accepted
	}{
		"a path that one type has":            {`event.type == "label.created" && data.carrier == "USPS"`, ""},
		"a misspelt one":                      {`event.type == "label.created" && data.carier == "USPS"`, "the schema of label.created has no data.carier; did you mean data.carrier?\n    event.type == \"label.created\" && data.carier == \"USPS\"\n                                          ^"},
		"a misspelt one further down":         {`event.type == "label.created" && data.to.citty == "x"`, "has no data.to.citty; did you mean data.to.city?"},
		"a misspelt one further up":           {`event.type == "label.created" && data.tow.city == "x"`, "has no data.tow; did you mean data.to?"},
		"one that none of a prefix has":       {`event.type startsWith "label." && data.total > 3`, "the schema of label.created, label.voided has no data.total"},
		"one that some of a prefix have":      {`event.type startsWith "label." && data.refund > 3`, ""},
		"one inside a function":               {`event.type in ["label.created"] && lower(data.carier) == "x"`, "has no data.carier"},
		"a rule that may see other events":    {`data.carier == "USPS"`, ""},
		"one whose type is negated":           {`event.type != "order.paid" && data.carier == "USPS"`, ""},
		"one that a type has in another part": {`(event.type == "label.created" && data.carrier == "x") || (event.type == "order.paid" && data.total > 3)`, ""},
		"the whole payload":                   {`event.type == "label.created" && data != nil`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Compile(Config{
				Endpoints: []string{"a"}, Types: types, Shapes: shapes,
				Routes: []Route{{Name: "r", When: Expr{tt.when, Pos{"Caddyfile", 3}}, To: to("a")}},
			})
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), `Caddyfile:3: route "r", when: `)) {
				t.Errorf("got %v", err)
			}
		})
	}
	_, err := Compile(Config{
		Endpoints: []string{"a", "b"}, Types: types, Shapes: shapes,
		Routes: []Route{{Name: "p", When: when(`event.type == "order.paid"`), Pick: when("data.totl > 3 ? 'a' : 'b'")}, {Name: "x", When: when("event.tpye == 1"), To: to("a")}},
		Subscriptions: []Subscription{
			{Endpoint: "a", Types: []string{"label.*"}, When: when("data.carier == 'x'")}, {Endpoint: "b", Types: []string{"*"}, When: when("data.carier == 'x'")},
		},
	})
	for _, want := range []string{`route "p", pick: the schema of order.paid has no data.totl; did you mean data.total?`, `endpoint "a", when: the schema of label.created, label.voided has no data.carier`, `route "x", when: unknown field event.tpye`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s is not in %v", want, err)
		}
	}
	if strings.Contains(err.Error(), `endpoint "b"`) {
		t.Error(err)
	}
}
