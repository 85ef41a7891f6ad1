package rules

import (
	"errors"
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite testdata/diagnostics.golden")

// mistakes are conditions that must be refused. The messages are in
// testdata/diagnostics.golden.
var mistakes = []string{
	// Names and fields, with a suggestion where there is a near one.
	`event.tpye == "x"`, `event["foo"] == "x"`, `event.type.foo == "x"`, `event == nil`, `event[data.x] == "a"`,
	`type == "x"`, `carrier == "USPS"`, `dta.x == 1`, `let carier = data.x; carrier == 1`, `$env.x == 1`,
	// Functions.
	`lowr(data.x) == "a"`, `data.x.foo()`, `env("HOME") == "x"`, `now() > data.x`, `data.x | frobnicate()`,
	`reduce(data.x, #acc + #, 0) > 1`, `toJSON(data.x) == ""`, `toPairs(data.x)[0] == 1`, `repeat("x", 9) == data.x`,
	`sort(data.x)[0] == 1`, `uniq(data.x)[0] == 1`, `groupBy(data.x, #)["a"] == 1`,
	// Calls that are wrong in themselves.
	`glob(data.x, "a")`, `glob("a*")`, `cidr(data.ip, data.net)`, `cidr(data.ip, "10.0.0.0/99")`, `cidr("x")`,
	`semver(data.v, "newest")`, `semver(data.v)`, `has(1)`, `has(lower(data.x))`, `hash(data.x, 0) == 1`, `hash(data.x, "a") == 1`,
	`lower(5) == "a"`, `data.x matches "("`, `data.x matches data.y`, `any("text", true)`, `any(data.x, 5)`,
	// Types.
	`event.type == 1`, `event.type`, `5`, `nil`, `data.x + 1`, `data.x ? 1 : "x"`, `event.type && data.x`, `!event.type`,
	`let x = 5; x`, `[1]`, `filter(data.x, true)`,
	// Syntax.
	`data.x &&`, `(data.x`, `data.x)`, `"abc`, `data.x = 1`, `data.x == 1 data.y`, `data..x`, ` `, `data.x == '` + "\n" + `'`,
	"data.a == 1\n\t&& data.b == 2\n\t&& event.tpye == 3\n\t&& data.d == 4",
	`data.größe == 1 && event.tpye == 3`,
	`data.a == "` + strings.Repeat("a", 100) + `" && event.tpye == "` + strings.Repeat("b", 100) + `"`,
	// What the language has and rules do not.
	`1..3 == data.x`, `any(data.x, any(.y, true))`, `data.x; data.y`, `{(data.x): 1}["a"] == 1`, `b"abc" == data.x`,
	// Several at once.
	`tpye == 1 && event.tpye == 2 && lowr(data.x) == 3`,
}

func TestDiagnosticsOfConditions(t *testing.T) {
	t.Parallel()
	var got strings.Builder
	for _, text := range mistakes {
		_, err := Compile(Config{
			Endpoints: []string{"a"},
			Routes:    []Route{{Name: "r", When: Expr{text, Pos{"Caddyfile", 10}}, To: to("a")}},
		})
		if err == nil {
			t.Errorf("accepted: %s", text)
			continue
		}
		got.WriteString(err.Error() + "\n\n")
	}
	const file = "testdata/diagnostics.golden"
	if *update {
		if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("the messages differ from %s (go test -update rewrites it):\n%s", file, got.String())
	}
}

func TestDiagnosticsOfConfigurations(t *testing.T) {
	t.Parallel()
	at := func(line int) Pos { return Pos{"Caddyfile", line} }
	for name, tt := range map[string]struct {
		config Config
		want   string
	}{
		"a route that sends nothing": {
			Config{Routes: []Route{{Name: "r", Pos: at(3)}}},
			`Caddyfile:3: route "r": the route sends nothing: it needs to, pick or split`,
		},
		"a name used twice": {
			Config{Routes: []Route{{Name: "r", To: to("a"), Pos: at(3)}, {Name: "r", To: to("a"), Pos: at(9)}}},
			`Caddyfile:9: route "r": another route has this name already`,
		},
		"a name that is none": {
			Config{Routes: []Route{{Name: "endpoint:a", To: to("a"), Pos: Pos{Line: 3}}}},
			`line 3: route "endpoint:a": a name has 1 to 64 of A-Z a-z 0-9 _ and -`,
		},
		"otherwise with when": {
			Config{Routes: []Route{{Name: "r", Otherwise: true, When: when("true"), To: to("a"), Pos: at(3)}}},
			`Caddyfile:3: route "r", otherwise: a route has either when or otherwise`,
		},
		"an unknown primary, with a suggestion": {
			Config{Endpoints: []string{"orders"}, Routes: []Route{{Name: "r", To: to("order"), Pos: at(3)}}},
			`Caddyfile:3: route "r", to: unknown endpoint "order"; did you mean orders?`,
		},
		"an unknown backup": {
			Config{Routes: []Route{{Name: "r", To: to("a backup zzz"), Pos: Pos{File: "Caddyfile"}}}},
			`Caddyfile: route "r", to: unknown endpoint "zzz"`,
		},
		"a primary among its own backups": {
			Config{Routes: []Route{{Name: "r", To: to("a backup b a"), Pos: at(3)}}},
			`Caddyfile:3: route "r", to: "a" stands in the chain twice`,
		},
		"an unknown way to handle errors": {
			Config{Routes: []Route{{Name: "r", To: to("a"), OnError: 9}}},
			`route "r", on_error: unknown value 9`,
		},
		"a pick that can name unknown endpoints": {
			Config{
				Endpoints: []string{"orders", "audit"},
				Routes:    []Route{{Name: "r", Pick: Expr{"data.x == 1\n? ['order', 'audit', 'audit']\n: {'u': 'audits'}[data.y] ?? 'rest'", at(3)}}},
			},
			"Caddyfile:4: route \"r\", pick: unknown endpoint \"order\"; did you mean orders?\n    ? ['order', 'audit', 'audit']\n       ^\n" +
				"Caddyfile:4: route \"r\", pick: \"audit\" stands in the list twice\n    ? ['order', 'audit', 'audit']\n                         ^\n" +
				"Caddyfile:5: route \"r\", pick: unknown endpoint \"audits\"; did you mean audit?\n    : {'u': 'audits'}[data.y] ?? 'rest'\n            ^\n" +
				"Caddyfile:5: route \"r\", pick: unknown endpoint \"rest\"\n    : {'u': 'audits'}[data.y] ?? 'rest'\n                                 ^",
		},
		"a pick of a number in one branch": {
			Config{Routes: []Route{{Name: "r", Pick: Expr{"let x = data.y; x == 1 ? 'a' : 5", at(3)}}}},
			"Caddyfile:3: route \"r\", pick: pick must give an endpoint name or a list of them; this is 5\n    let x = data.y; x == 1 ? 'a' : 5\n                                   ^",
		},
		"a pick that is a condition": {
			Config{Routes: []Route{{Name: "r", Pick: Expr{"data.x == 1", at(3)}}}},
			"Caddyfile:3: route \"r\", pick: pick must give an endpoint name or a list of them; this gives bool\n    data.x == 1\n           ^",
		},
		"a pick of a list of lists": {
			Config{Routes: []Route{{Name: "r", Pick: Expr{"[['a']]", at(3)}}}},
			"Caddyfile:3: route \"r\", pick: pick must give an endpoint name or a list of them\n    [['a']]\n     ^",
		},
		"a subscription without endpoint or types": {
			Config{Subscriptions: []Subscription{{Pos: at(3)}}},
			"Caddyfile:3: endpoint \"\": the subscription names no endpoint\n" +
				"Caddyfile:3: endpoint \"\", events: the subscription names no event types; * stands for all",
		},
		"patterns that are none": {
			Config{Subscriptions: []Subscription{{Endpoint: "a", Types: []string{"label*", "*.x", "", ".*", "**"}, Pos: at(3)}}},
			"Caddyfile:3: endpoint \"a\", events: \"label*\" is no event type, prefix.* or *\n" +
				"Caddyfile:3: endpoint \"a\", events: \"*.x\" is no event type, prefix.* or *\n" +
				"Caddyfile:3: endpoint \"a\", events: \"\" is no event type, prefix.* or *\n" +
				"Caddyfile:3: endpoint \"a\", events: \".*\" is no event type, prefix.* or *\n" +
				"Caddyfile:3: endpoint \"a\", events: \"**\" is no event type, prefix.* or *",
		},
		"an environment that is not declared": {
			Config{Environments: []string{"production", "sandbox"}, Subscriptions: []Subscription{{Endpoint: "a", Types: []string{"*"}, Environments: []string{"sandbox", "prodution"}, Pos: at(3)}}},
			`Caddyfile:3: endpoint "a", environment: unknown environment "prodution"; did you mean production?`,
		},
		"mistakes in several rules, all at once": {
			Config{
				Routes: []Route{
					{Name: "one", When: Expr{"event.tpye == 'x'", at(3)}, To: to("zzz"), Pos: at(2)},
					{Name: "two", When: Expr{"true", at(6)}, Pos: at(5)},
				},
				Subscriptions: []Subscription{{Endpoint: "a", Types: []string{"*"}, When: Expr{"foo(1)", at(9)}}},
			},
			"Caddyfile:3: route \"one\", when: unknown field event.tpye; did you mean event.type?\n    event.tpye == 'x'\n          ^\n" +
				"Caddyfile:2: route \"one\", to: unknown endpoint \"zzz\"\n" +
				"Caddyfile:5: route \"two\": the route sends nothing: it needs to, pick or split\n" +
				"Caddyfile:9: endpoint \"a\", when: unknown function foo\n    foo(1)\n    ^",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tt.config.Endpoints == nil {
				tt.config.Endpoints = []string{"a", "b"}
			}
			s, err := Compile(tt.config)
			if s != nil || err == nil {
				t.Fatal("accepted")
			}
			var ds Diagnostics
			if !errors.As(err, &ds) || len(ds) == 0 {
				t.Errorf("the error is a %T", err)
			}
			if err.Error() != tt.want {
				t.Errorf("got:\n%s\nwant:\n%s", err, tt.want)
			}
		})
	}
}

func TestClosest(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"tpye": "type", "TYPE": "type", "typ": "type", "environmint": "environment", "tennant": "tenant",
		"type": "", "x": "", "carrier": "", "di": "id", strings.Repeat("type", 1000): "",
	} {
		if got := closest(name, eventFields); got != want {
			t.Errorf("%.20s: got %q, want %q", name, got, want)
		}
	}
}
