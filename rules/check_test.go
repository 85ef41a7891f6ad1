package rules

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"slices"
	"strings"
	"testing"
)

// readEvent reads events as tests of this package write them: with the members
// event, environment, tenant and data.
func readEvent(src []byte) (*Event, error) {
	var e struct {
		Event, Environment, Tenant string
		Data                       json.RawMessage
	}
	if err := json.Unmarshal(src, &e); err != nil {
		return nil, err
	}
	if e.Event == "" {
		return nil, errors.New("event is missing")
	}
	return &Event{Type: e.Event, Environment: e.Environment, Tenant: e.Tenant, Data: e.Data}, nil
}

// checked is what the tests below are run against.
func checked(t *testing.T) *Set {
	t.Helper()
	return mustCompile(t, Config{
		Backups: map[string][]string{"c": {"d"}},
		Routes: []Route{
			{Name: "usps", When: when(`event.type == "lost" && data.carrier == "USPS"`), To: to("a backup b", "c"), Pos: Pos{"Caddyfile", 3}},
			{Name: "heavy", When: when("data.weight > 30"), To: to("b"), OnError: OnErrorHold, Pos: Pos{"Caddyfile", 7}},
			{Name: "rest", Otherwise: true, To: to("e"), Pos: Pos{"Caddyfile", 11}},
		},
		Subscriptions: []Subscription{{Endpoint: "d", Types: []string{"label.*"}, Pos: Pos{"Caddyfile", 14}}},
	})
}

func TestCheckComparesWhatIsDecided(t *testing.T) {
	t.Parallel()
	const lost = "event: {event: lost, data: {carrier: USPS}}\n  "
	for name, tt := range map[string]struct {
		test      string
		want      []string // differences
		concerned []string
	}{
		"as expected":                      {test: lost + "expect: [{endpoint: c, backups: [d], route: usps}, {endpoint: a, backups: [b], route: usps}]"},
		"what is left out is not compared": {test: lost + "expect: [{endpoint: a}, {endpoint: c}]"},
		"nobody": {
			test: "event: {event: lost, data: {carrier: USPS, weight: 3}}\n  expect: []",
			want: []string{"a gets the event, from usps", "c gets the event, from usps"}, concerned: []string{"usps"},
		},
		"an endpoint that gets nothing, with its route": {
			test: "event: {event: x, data: {}}\n  expect: [{endpoint: a, route: usps}, {endpoint: e}]",
			want: []string{"a does not get the event"}, concerned: []string{"usps"},
		},
		"an endpoint that gets nothing, without its route": {
			test: "event: {event: x, data: {}}\n  expect: [{endpoint: d}, {endpoint: e}]",
			want: []string{"d does not get the event"}, concerned: []string{"endpoint:d"},
		},
		"another route": {
			test: "event: {event: label.a, data: {}}\n  expect: [{endpoint: d, route: usps}]",
			want: []string{"d gets the event from endpoint:d, not from usps"}, concerned: []string{"usps", "endpoint:d"},
		},
		"other backups": {
			test: lost + "expect: [{endpoint: a, backups: []}, {endpoint: c, backups: [e, d]}]",
			want: []string{"the backups of a are b, not none", "the backups of c are d, not e, d"}, concerned: []string{"usps"},
		},
		"an undecided event": {
			test: "event: {event: x, data: {weight: much}}\n  expect: []",
			want: []string{"heavy leaves the event undecided"}, concerned: []string{"heavy"},
		},
		"an event that must be undecided and is": {test: "event: {event: x, data: {weight: much}}\n  expect: []\n  held: [heavy]"},
		"an event that must be undecided and is not": {
			test: "event: {event: x, data: {weight: 1}}\n  expect: [{endpoint: e}]\n  held: [heavy]",
			want: []string{"heavy does not leave the event undecided"}, concerned: []string{"heavy"},
		},
		"a route that does not exist": {
			test: "event: {event: x, data: {}}\n  expect: [{endpoint: e, route: remainder}]",
			want: []string{"e gets the event from rest, not from remainder"}, concerned: []string{"rest"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tests, err := ReadTests("tests.yaml", []byte("- name: x\n  "+tt.test+"\n"), readEvent)
			if err != nil {
				t.Fatal(err)
			}
			r := checked(t).Check(tests, false)
			if got := r.Results[0].Differences; !slices.Equal(got, tt.want) {
				t.Errorf("differences %q, want %q", got, tt.want)
			}
			var concerned []string
			if x := r.Results[0].Explanation; x != nil {
				for _, rule := range x.Rules {
					concerned = append(concerned, rule.Rule)
				}
			}
			if !slices.Equal(concerned, tt.concerned) {
				t.Errorf("explained %v, want %v", concerned, tt.concerned)
			}
			if r.Passed+r.Failed != 1 || (r.Failed == 1) != (tt.want != nil) {
				t.Errorf("%d passed, %d failed", r.Passed, r.Failed)
			}
		})
	}
}

func TestReadTestsReportsEveryMistake(t *testing.T) {
	t.Parallel()
	_, err := ReadTests("tests.yaml", []byte(`
- name: one
  evnet: {event: x}
  expect: []
- name: [two]
  event: {event: x, data: .nan}
  expect: {endpoint: a}
- three
- name: four
  event: {event: x, data: !!binary aGk=}
- name: five
  event: {data: 1}
  expect: [{route: a}, a, {endpoint: a, backup: b}]
`), readEvent)
	if err == nil {
		t.Fatal("accepted")
	}
	want := `tests.yaml:3: unknown member evnet; did you mean event?
tests.yaml:2: the test has no event
tests.yaml:5: this must be a text
tests.yaml:6: JSON has no number .nan
tests.yaml:7: this must be a list
tests.yaml:8: a test is an object with name, event, expect, held
tests.yaml:10: binary data cannot be JSON
tests.yaml:9: the test does not say what to expect; nobody is []
tests.yaml:12: the event: event is missing
tests.yaml:13: an expected delivery names its endpoint
tests.yaml:13: an expected delivery is an object with endpoint, backups, route
tests.yaml:13: unknown member backup; did you mean backups?`
	if err.Error() != want {
		t.Errorf("got:\n%s", err)
	}
	for _, text := range []string{"", "name: x", "- name: 'x", "[]: {"} {
		if _, err := ReadTests("tests.yaml", []byte(text), readEvent); err == nil || !strings.HasPrefix(err.Error(), "tests.yaml") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestYAMLBecomesTheJSONItLooksLike(t *testing.T) {
	t.Parallel()
	for yaml, want := range map[string]string{
		"{b: 1, a: 2.50}":            `{"b":1,"a":2.50}`,
		"[0x1F, 1_000, +5, .5, 1e3]": `[31,1000,5,0.5,1e3]`,
		"[yes, true, null, ~, '']":   `["yes",true,null,null,""]`,
		"2024-01-15T10:30:00Z":       `"2024-01-15T10:30:00Z"`,
		"[&x {a: 1}, *x]":            `[{"a":1},{"a":1}]`,
		"{1: a, true: b}":            `{"1":"a","true":"b"}`,
		"9007199254740993":           `9007199254740993`,
	} {
		var got string
		_, err := ReadTests("f", []byte("- name: x\n  expect: []\n  event: "+yaml), func(src []byte) (*Event, error) {
			got = string(src)
			return &Event{}, nil
		})
		if err != nil || got != want {
			t.Errorf("%s became %s, want %s (%v)", yaml, got, want, err)
		}
	}
	bomb := "- name: x\n  expect: []\n  event:\n    a: &a [1,1,1,1,1,1,1,1,1,1]\n"
	for c := 'b'; c < 'k'; c++ {
		bomb += "    " + string(c) + ": &" + string(c) + " [" + strings.TrimSuffix(strings.Repeat("*"+string(c-1)+",", 10), ",") + "]\n"
	}
	if _, err := ReadTests("f", []byte(bomb), readEvent); err == nil {
		t.Error("a bomb of aliases was accepted")
	}
}

func TestCoverageCountsParts(t *testing.T) {
	t.Parallel()
	tests, err := ReadTests("tests.yaml", []byte(`
- name: one
  event: {event: lost, data: {carrier: USPS, weight: 1}}
  expect: [{endpoint: a}, {endpoint: c}]
- name: two
  event: {event: lost, data: {carrier: DHL}}
  expect: [{endpoint: e}]
- name: three
  event: {event: label.x, data: {carrier: DHL, weight: much}}
  expect: [{endpoint: d}]
  held: [heavy]
`), readEvent)
	if err != nil {
		t.Fatal(err)
	}
	r := checked(t).Check(tests, true)
	var b strings.Builder
	if err := r.Draw(&b); err != nil {
		t.Fatal(err)
	}
	want := `coverage: 80.0 %, 8 of 10 outcomes of parts
  usps  (Caddyfile:3)
    data.carrier == "USPS"                              never missing
  heavy  (Caddyfile:7)
    data.weight > 30                                    never true

3 passed, 0 failed
`
	if b.String() != want {
		t.Errorf("got\n%s", b.String())
	}
	heavy := r.Coverage.Rules[1].Parts[0]
	if heavy.False != 1 || heavy.Missing != 1 || heavy.Error != 1 || heavy.True != 0 {
		t.Errorf("%+v", heavy)
	}
}

func TestReportAsJUnit(t *testing.T) {
	t.Parallel()
	one, err := ReadTests("one.yaml", []byte("- name: a \"<name>\"\n  event: {event: lost, data: {}}\n  expect: [{endpoint: e}]\n"), readEvent)
	if err != nil {
		t.Fatal(err)
	}
	two, err := ReadTests("two.yaml", []byte("- name: second\n  event: {event: lost, data: {}}\n  expect: []\n"), readEvent)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := checked(t).Check(slices.Concat(one, two), false).JUnit(&b); err != nil {
		t.Fatal(err)
	}
	var got junitSuites
	if err := xml.Unmarshal([]byte(b.String()), &got); err != nil {
		t.Fatalf("%v\n%s", err, b.String())
	}
	if got.Tests != 2 || got.Failures != 1 || len(got.Suites) != 2 || got.Suites[0].Cases[0].Name != `a "<name>"` ||
		got.Suites[0].Failures != 0 || got.Suites[1].Cases[0].Failure == nil ||
		got.Suites[1].Cases[0].Failure.Message != "e gets the event, from rest" || got.Suites[1].Cases[0].File != "two.yaml:1" {
		t.Errorf("got\n%s", b.String())
	}
}
