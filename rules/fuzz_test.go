package rules

import (
	"reflect"
	"strings"
	"testing"
)

// FuzzCompile looks for texts that end the process, that are refused without
// a readable reason, or whose decision is not a function of the event.
func FuzzCompile(f *testing.F) {
	for _, text := range mistakes {
		f.Add(text)
	}
	for _, texts := range byOutcome {
		for _, text := range texts {
			f.Add(text)
		}
	}
	for _, text := range []string{
		`event.type startsWith "label." && data.items[0].sku in ["a", "b"] || not (data.n > 3)`,
		`any(data.items, .qty > 3 and #.sku matches "^a") ? ["a", "b"] : {"x": "c"}[data.text] ?? "d"`,
		`let x = data.items; x[1:] | filter(has(.qty)) | map(.sku) | first()`,
		`hash(data.text, 10) < 5 and cidr(data.ip, "10.0.0.0/8") and semver(data.version, ">=1.2")`,
		"if data?.yes { `a` } else { join(keys(data.obj), trim(' - ')) }",
	} {
		f.Add(text)
	}
	ev := testEvent()
	f.Fuzz(func(t *testing.T, text string) {
		for _, r := range []Route{{Name: "r", When: when(text), To: to("a")}, {Name: "r", Pick: when(text)}} {
			s, err := Compile(Config{Endpoints: []string{"a", "b", "c", "d"}, Routes: []Route{r}})
			if err != nil {
				if strings.Contains(err.Error(), "goroutine") || strings.Contains(err.Error(), "cannot be understood") {
					t.Fatalf("not a reason for a person: %s", err)
				}
				continue
			}
			first := s.Match(ev)
			for _, e := range first.Errors {
				if strings.Contains(e.Text, "hunter2") && !strings.Contains(text, "hunter2") {
					t.Fatalf("shows a value of the event: %s", e.Text)
				}
			}
			if second := s.Match(ev); !reflect.DeepEqual(first, second) {
				t.Fatalf("decided %+v, then %+v", first, second)
			}
		}
	})
}
