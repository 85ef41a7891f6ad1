package rules

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// Test is one rule test: an event and who must get it.
type Test struct {
	// Name says what should be so.
	Name string
	// Pos is where the test stands.
	Pos   Pos
	Event *Event
	// Expect are the deliveries that must be made, in any order, and no others.
	Expect []Expectation
	// Held are the rules that must leave the event undecided, and no others.
	Held []string
}

// Expectation is one delivery that must be made. What it leaves out is not
// compared.
type Expectation struct {
	Endpoint string
	// Backups must be the chain after the endpoint; nil: whatever it is.
	Backups []string
	// Route must be the rule that asked for it; "": whichever did.
	Route string
}

// TestReport is what came out of rule tests.
type TestReport struct {
	Passed  int          `json:"passed"`
	Failed  int          `json:"failed"`
	Results []TestResult `json:"results"`
	// Coverage is set when it was asked for.
	Coverage *Coverage `json:"coverage,omitempty"`
}

// TestResult is what came out of one test.
type TestResult struct {
	Name string `json:"name"`
	Pos  string `json:"pos,omitempty"`
	// Differences say what is not as expected; none: the test passed.
	Differences []string `json:"differences,omitempty"`
	// Explanation is of the rules concerned by the differences.
	Explanation *Explanation `json:"explanation,omitempty"`

	file string
}

// Check runs tests, and counts what they saw of the rules when coverage is
// asked for.
func (s *Set) Check(tests []Test, coverage bool) *TestReport {
	out := &TestReport{Results: make([]TestResult, len(tests))}
	var c *counter
	if coverage {
		c = newCounter(s)
	}
	for i := range tests {
		t := &tests[i]
		r := TestResult{Name: t.Name, Pos: t.Pos.String(), file: t.Pos.File}
		var concerned []string
		if r.Differences, concerned = s.differences(t); len(r.Differences) == 0 {
			out.Passed++
		} else {
			out.Failed++
			if len(concerned) > 0 {
				r.Explanation = s.Explain(t.Event, concerned...)
			}
		}
		out.Results[i] = r
		if c != nil {
			c.count(t.Event)
		}
	}
	if c != nil {
		out.Coverage = c.report()
	}
	return out
}

// differences compares what a test expects with what is decided. concerned are
// the rules that have to do with it.
func (s *Set) differences(t *Test) (found, concerned []string) {
	d := s.Match(t.Event)
	differ := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	concern := func(rules ...string) {
		for _, r := range rules {
			if r != "" && !slices.Contains(concerned, r) && s.Known(r) == nil {
				concerned = append(concerned, r)
			}
		}
	}
	made := make([]ExplainedTarget, len(d.Targets))
	for i := range d.Targets {
		made[i] = s.explainedTarget(&d.Targets[i])
	}
	for _, want := range t.Expect {
		i := slices.IndexFunc(made, func(t ExplainedTarget) bool { return t.Endpoint == want.Endpoint })
		if i < 0 {
			differ("%s does not get the event", want.Endpoint)
			concern(want.Route)
			if want.Route == "" {
				concern(s.rulesTo(want.Endpoint)...)
			}
			continue
		}
		got := made[i]
		made = slices.Delete(made, i, i+1)
		if want.Route != "" && want.Route != got.Route {
			differ("%s gets the event from %s, not from %s", got.Endpoint, got.Route, want.Route)
			concern(want.Route, got.Route)
		}
		if want.Backups != nil && !slices.Equal(want.Backups, got.Backups) {
			differ("the backups of %s are %s, not %s", got.Endpoint, listed(got.Backups), listed(want.Backups))
			concern(got.Route)
		}
	}
	for i := range made {
		differ("%s gets the event, from %s", made[i].Endpoint, made[i].Route)
		concern(made[i].Route)
	}
	for _, r := range d.Held {
		if !slices.Contains(t.Held, r) {
			differ("%s leaves the event undecided", r)
			concern(r)
		}
	}
	for _, r := range t.Held {
		if !slices.Contains(d.Held, r) {
			differ("%s does not leave the event undecided", r)
			concern(r)
		}
	}
	if len(found) > 0 {
		for i := range d.Errors {
			concern(d.Errors[i].Route)
		}
	}
	return found, concerned
}

// listed writes names for a message.
func listed(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// rulesTo lists the rules that can make a delivery to an endpoint, as far as
// they name it.
func (s *Set) rulesTo(endpoint string) []string {
	var out []string
	to := func(t Target) bool { return t.Endpoint == endpoint }
	for i := range s.routes {
		r := s.routes[i]
		named := r.pick != nil || slices.ContainsFunc(r.to, to)
		if r.split != nil {
			named = named || slices.ContainsFunc(r.split.shares, func(sh share) bool { return to(sh.target) })
		}
		if named {
			out = append(out, r.name)
		}
	}
	for _, sub := range s.subscriptions() {
		if to(sub.target) {
			out = append(out, sub.name)
		}
	}
	return out
}

// Draw writes the report for a terminal: the failures, each with the
// explanation of the rules concerned, then the coverage and the count.
func (r *TestReport) Draw(w io.Writer) error {
	var b strings.Builder
	for i := range r.Results {
		t := &r.Results[i]
		if len(t.Differences) == 0 {
			continue
		}
		b.WriteString("FAILED " + t.Name)
		if t.Pos != "" {
			b.WriteString("  (" + t.Pos + ")")
		}
		b.WriteString("\n")
		for _, d := range t.Differences {
			b.WriteString("  " + d + "\n")
		}
		if t.Explanation != nil {
			b.WriteString("\n")
			for line := range strings.Lines(t.Explanation.String()) {
				if strings.TrimSpace(line) != "" {
					line = "  " + line
				}
				b.WriteString(line)
			}
		}
		b.WriteString("\n")
	}
	if r.Coverage != nil {
		r.Coverage.draw(&b)
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "%d passed, %d failed\n", r.Passed, r.Failed)
	return write(w, b.String())
}
