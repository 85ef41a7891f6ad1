package rules

import (
	"fmt"
	"strings"
	"testing"
)

// TestListsBelowLists has an event with two long lists of texts, and rules that
// ask for one of each: the index goes through the second list for every text of
// the first.
func TestListsBelowLists(t *testing.T) {
	t.Parallel()
	const n = 12
	var c Config
	var as, bs []string
	for i := range n {
		as, bs = append(as, fmt.Sprintf(`"t%02d"`, i)), append(bs, fmt.Sprintf(`"u%02d"`, i))
		for j := range n {
			name := fmt.Sprintf("r%d-%d", i, j)
			c.Endpoints = append(c.Endpoints, name)
			c.Routes = append(c.Routes, Route{
				Name: name, When: when(fmt.Sprintf(`any(data.a, # == "t%02d") and "u%02d" in data.b`, i, j)), To: to(name),
			})
		}
	}
	d := mustCompile(t, c).Match(&Event{Data: fmt.Appendf(nil, `{"a":[%s],"b":[%s]}`, strings.Join(as, ","), strings.Join(bs, ","))})
	if len(d.Targets) != n*n || len(d.Errors) > 0 {
		t.Errorf("%d targets and %d errors, want %d targets", len(d.Targets), len(d.Errors), n*n)
	}
}
