package rules

import (
	"fmt"
	"math"
	"strings"
	"testing"
)

// shares makes the shares of a split: "a 90 b 10".
func shares(text string) []Share {
	var out []Share
	words := strings.Fields(text)
	for i := 0; i+1 < len(words); i += 2 {
		s := Share{Endpoint: words[i]}
		_, _ = fmt.Sscan(words[i+1], &s.Weight)
		out = append(out, s)
	}
	return out
}

// splitOf compiles a split by event.id.
func splitOf(t *testing.T, text string) *split {
	t.Helper()
	return mustCompile(t, Config{Routes: []Route{{Name: "r", Split: shares(text)}}}).routes[0].split
}

func TestSplitSendsEachKeyToOneEndpoint(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		split string
		by    string
		data  string
		want  string
		fails string
	}{
		// The hashes of evt_1, k7, k1 and 12, as fractions: 0.49, 0.98, 0.42, 0.42.
		"by the id of the event when nothing else is said": {split: "a 10 b 90", want: "r>b"},
		"by a key":                   {split: "a 90 b 10", by: "data.k", data: `{"k":"k7"}`, want: "r>b"},
		"by another key":             {split: "a 90 b 10", by: "data.k", data: `{"k":"k1"}`, want: "r>a"},
		"by an integer":              {split: "a 50 b 50", by: "data.k", data: `{"k":12}`, want: "r>a"},
		"by the same as text":        {split: "a 50 b 50", by: "data.k", data: `{"k":"12"}`, want: "r>a"},
		"without the key, by the id": {split: "a 10 b 90", by: "data.k", data: `{}`, want: "r>b"},
		"with a key that fails for want of a value, by the id": {split: "a 10 b 90", by: "lower(data.k)", data: `{}`, want: "r>b"},
		"nothing goes to a weight of 0":                        {split: "a 0 b 1 c 0", want: "r>b"},
		"a key of another type is an error":                    {split: "a 1 b 1", by: "data.k", data: `{"k":1.5}`, fails: "by must give a string or an integer, got float"},
		"a key that fails is an error":                         {split: "a 1 b 1", by: "lower(data.k)", data: `{"k":1}`, fails: "expected string, got int"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := mustCompile(t, Config{Routes: []Route{{Name: "r", Split: shares(tt.split), By: when(tt.by)}}})
			d := s.Match(&Event{ID: "evt_1", Data: []byte(tt.data)})
			if got := show(d); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if tt.fails != "" && (len(d.Errors) != 1 || d.Errors[0].Field != "by" || !strings.HasPrefix(d.Errors[0].Text, tt.fails)) {
				t.Errorf("errors: %+v", d.Errors)
			}
			if tt.fails == "" && len(d.Errors) > 0 {
				t.Errorf("errors: %+v", d.Errors)
			}
		})
	}
}

// TestSplitIsForEver pins where keys go, as computed outside of this package:
// a change would send customers elsewhere.
func TestSplitIsForEver(t *testing.T) {
	t.Parallel()
	s := splitOf(t, "a 1 b 1 c 1")
	var got strings.Builder
	for i := range 30 {
		got.WriteString(s.of(fmt.Sprintf("key-%d", i)).Endpoint)
	}
	if want := "ccbccacbaabaabbaaabbbbcbacbcca"; got.String() != want {
		t.Errorf("got %s, want %s", got.String(), want)
	}
}

func TestSplitIsInProportion(t *testing.T) {
	t.Parallel()
	const keys = 100_000
	s := splitOf(t, "a 90 b 9 c 1")
	count := map[string]float64{}
	for i := range keys {
		count[s.of(fmt.Sprintf("evt_%d", i)).Endpoint]++
	}
	for endpoint, part := range map[string]float64{"a": 0.9, "b": 0.09, "c": 0.01} {
		// Four standard deviations: the keys are always the same ones.
		if want, off := keys*part, 4*math.Sqrt(keys*part*(1-part)); math.Abs(count[endpoint]-want) > off {
			t.Errorf("%s got %v of %d, want %v within %.0f", endpoint, count[endpoint], keys, want, off)
		}
	}
}

func TestMovingWeightMovesNoKeyTheOtherWay(t *testing.T) {
	t.Parallel()
	before, after := splitOf(t, "a 90 b 10"), splitOf(t, "a 8 b 2")
	moved := 0
	for i := range 10_000 {
		key := fmt.Sprintf("evt_%d", i)
		was, is := before.of(key).Endpoint, after.of(key).Endpoint
		if was == "b" && is == "a" {
			t.Fatalf("%s went back", key)
		}
		if was != is {
			moved++
		}
	}
	if moved < 900 || moved > 1100 {
		t.Errorf("%d of 10000 moved, want a tenth", moved)
	}
}

func TestMistakesInSplits(t *testing.T) {
	t.Parallel()
	at := func(line int) Pos { return Pos{"Caddyfile", line} }
	for name, tt := range map[string]struct {
		route Route
		want  string
	}{
		"an unknown endpoint":       {Route{Split: shares("orders 90 b 10")}, `split: unknown endpoint "orders"`},
		"an endpoint twice":         {Route{Split: shares("a 90 a 10")}, `split: "a" stands in the split twice`},
		"one endpoint":              {Route{Split: shares("a 90")}, "split: a split has 2 to 100 endpoints, this has 1"},
		"a negative weight":         {Route{Split: shares("a -1 b 10")}, `split: the weight of "a" must be from 0 to 1000000`},
		"no weight at all":          {Route{Split: shares("a 0 b 0")}, "split: all weights are 0: nobody would get anything"},
		"by without split":          {Route{To: to("a"), By: Expr{"data.k", at(4)}}, "by: by says how to split, but there is no split"},
		"by that gives a condition": {Route{Split: shares("a 1 b 1"), By: Expr{"data.k == 1", at(3)}}, "by: by must give a string or an integer; this gives bool\n    data.k == 1\n           ^"},
		"by that is misspelt":       {Route{Split: shares("a 1 b 1"), By: Expr{"event.di", at(3)}}, "by: unknown field event.di; did you mean event.id?"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt.route.Name, tt.route.Pos = "r", at(3)
			_, err := Compile(Config{Endpoints: []string{"a", "b"}, Routes: []Route{tt.route}})
			if err == nil || !strings.Contains(err.Error(), `Caddyfile:`) || !strings.Contains(err.Error(), `route "r", `+tt.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}
