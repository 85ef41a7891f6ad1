package rules

import (
	"strings"
	"testing"
)

func TestValuesOfPathsThatNoSchemaKnowsAreRefused(t *testing.T) {
	t.Parallel()
	onA, onB := when(`event.type == "a"`), when(`event.type == "b"`)
	for name, tt := range map[string]struct {
		routes  []Route
		subs    []Subscription
		backups map[string][]string
		text    string
		want    string // in the error; "": none
	}{
		"the endpoint's own subscription": {
			subs: []Subscription{{Endpoint: "e", Types: []string{"a"}}}, text: "data.to.street", want: "the schema of a has no data.to.street",
		},
		"a path that the type has": {
			subs: []Subscription{{Endpoint: "e", Types: []string{"a"}}}, text: "string(data.id) + data.to.city",
		},
		"a path in an object, with a hint": {
			subs: []Subscription{{Endpoint: "e", Types: []string{"a"}}}, text: `{"x": data.to.citty}`, want: "did you mean data.to.city?",
		},
		"one of two types has the path": {
			subs: []Subscription{{Endpoint: "e", Types: []string{"a", "b"}}}, text: "data.n",
		},
		"neither of two types has the path": {
			subs: []Subscription{{Endpoint: "e", Types: []string{"a", "b"}}}, text: "data.m", want: "the schema of a, b has no data.m",
		},
		"a condition narrows the types": {
			subs: []Subscription{{Endpoint: "e", Types: []string{"*"}, When: onA}}, text: "data.n", want: "no data.n",
		},
		"all types, so one of no catalog too": {
			subs: []Subscription{{Endpoint: "e", Types: []string{"*"}}}, text: "data.m",
		},
		"a route sends it another type": {
			subs:   []Subscription{{Endpoint: "e", Types: []string{"a"}}},
			routes: []Route{{Name: "r", When: onB, To: to("e")}}, text: "data.n",
		},
		"it is the backup of a route of another type": {
			subs:   []Subscription{{Endpoint: "e", Types: []string{"a"}}},
			routes: []Route{{Name: "r", When: onB, To: to("f backup e")}}, text: "data.n",
		},
		"it is the usual backup of an endpoint of another type": {
			subs:    []Subscription{{Endpoint: "e", Types: []string{"a"}}, {Endpoint: "f", Types: []string{"b"}}},
			backups: map[string][]string{"f": {"e"}}, text: "data.n",
		},
		"it has a share of a split": {
			routes: []Route{{Name: "r", When: onA, Split: shares("e 1 f 1")}}, text: "data.n", want: "no data.n",
		},
		"a route can pick it": {
			subs:   []Subscription{{Endpoint: "e", Types: []string{"a"}}},
			routes: []Route{{Name: "r", When: onB, Pick: when("data.id")}}, text: "data.n",
		},
		"an otherwise-route sends it anything": {
			subs:   []Subscription{{Endpoint: "e", Types: []string{"a"}}},
			routes: []Route{{Name: "r", Otherwise: true, To: to("e")}}, text: "data.n",
		},
		"nobody sends to it": {text: "data.m"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := Config{
				Routes: tt.routes, Subscriptions: tt.subs, Endpoints: []string{"e", "f"}, Backups: tt.backups,
				Types: []string{"a", "b"}, Shapes: shapeOf{"a": "id to to.city", "b": "id n"},
			}
			if _, err := Compile(c); err != nil {
				t.Fatal(err)
			}
			err := NewPathChecker(&c).Endpoint("e", "transform", Expr{tt.text, line(7)})
			switch {
			case tt.want == "" && err != nil:
				t.Error(err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), `Caddyfile:7: endpoint "e", transform: `)):
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestTheTransformOfARouteSeesItsTypes(t *testing.T) {
	t.Parallel()
	c := Config{
		Routes:    []Route{{Name: "r", When: when(`event.type == "a"`), To: to("e")}, {Name: "s", To: to("e")}},
		Endpoints: []string{"e"}, Types: []string{"a"}, Shapes: shapeOf{"a": "id"},
	}
	p := NewPathChecker(&c)
	if err := p.Route("r", "transform", when("data.m")); err == nil || !strings.Contains(err.Error(), `route "r", transform: the schema of a has no data.m`) {
		t.Errorf("got %v", err)
	}
	for route, text := range map[string]string{"r": "data.id", "s": "data.m", "none": "data.m"} {
		if err := p.Route(route, "transform", when(text)); err != nil {
			t.Errorf("%s: %v", route, err)
		}
	}
}
