package rules

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// Difference says what becomes of one event under two rule sets.
type Difference struct {
	// Line is where the event stands in the sample.
	Line  int            `json:"line"`
	Event ExplainedEvent `json:"event"`
	// Changes are the deliveries that are not the same, by endpoint.
	Changes []Change `json:"changes"`
	// HeldBefore and HeldAfter name the rules that leave it undecided, when
	// these are not the same.
	HeldBefore []string `json:"held_before,omitempty"`
	HeldAfter  []string `json:"held_after,omitempty"`
}

// Change is what becomes of an event at one endpoint. A side is nil where the
// endpoint does not get the event.
type Change struct {
	Endpoint string           `json:"endpoint"`
	Before   *ExplainedTarget `json:"before,omitempty"`
	After    *ExplainedTarget `json:"after,omitempty"`
}

// Comparison is what two rule sets make of a sample of events.
type Comparison struct {
	Events      int          `json:"events"`
	Changed     int          `json:"changed"`
	Differences []Difference `json:"differences"`
	// Omitted counts the changed events left out of Differences.
	Omitted int `json:"omitted,omitempty"`

	before, after *Set
}

// maxDifferences bounds the events that a comparison tells about one by one.
const maxDifferences = 1000

// Compare starts a comparison of two rule sets.
func Compare(before, after *Set) *Comparison {
	return &Comparison{before: before, after: after, Differences: []Difference{}}
}

// Add compares what the sets make of one event, which stands in this line.
func (c *Comparison) Add(line int, ev *Event) {
	c.Events++
	d := Difference{Line: line, Event: ExplainedEvent{ID: ev.ID, Type: ev.Type, Environment: ev.Environment, Tenant: ev.Tenant}}
	was, is := c.before.Match(ev), c.after.Match(ev)
	if !slices.Equal(was.Held, is.Held) {
		d.HeldBefore, d.HeldAfter = was.Held, is.Held
	}
	old, fresh := c.before.byEndpoint(&was), c.after.byEndpoint(&is)
	for _, endpoint := range sortedNames(union(old, fresh)) {
		x, had := old[endpoint]
		y, has := fresh[endpoint]
		if had && has && x.Route == y.Route && slices.Equal(x.Backups, y.Backups) {
			continue
		}
		change := Change{Endpoint: endpoint}
		if had {
			change.Before = &x
		}
		if has {
			change.After = &y
		}
		d.Changes = append(d.Changes, change)
	}
	if len(d.Changes) == 0 && slices.Equal(was.Held, is.Held) {
		return
	}
	if c.Changed++; len(c.Differences) < maxDifferences {
		c.Differences = append(c.Differences, d)
	} else {
		c.Omitted++
	}
}

func (s *Set) byEndpoint(d *Decision) map[string]ExplainedTarget {
	out := make(map[string]ExplainedTarget, len(d.Targets))
	for i := range d.Targets {
		out[d.Targets[i].Endpoint] = s.explainedTarget(&d.Targets[i])
	}
	return out
}

func union[V any](a, b map[string]V) map[string]bool {
	out := make(map[string]bool, len(a)+len(b))
	for k := range a {
		out[k] = true
	}
	for k := range b {
		out[k] = true
	}
	return out
}

// Draw writes the comparison for a terminal: - for what is no more, + for what
// is new, ~ for what has changed.
func (c *Comparison) Draw(w io.Writer) error {
	var b strings.Builder
	for i := range c.Differences {
		c.Differences[i].draw(&b)
	}
	if c.Omitted > 0 {
		fmt.Fprintf(&b, "(%s more)\n", counted(c.Omitted, "event"))
	}
	fmt.Fprintf(&b, "%d of %s change their route\n", c.Changed, counted(c.Events, "event"))
	return write(w, b.String())
}

func (d *Difference) draw(b *strings.Builder) {
	fmt.Fprintf(b, "line %d: %s", d.Line, d.Event.Type)
	for _, s := range []string{d.Event.ID, d.Event.Environment, d.Event.Tenant} {
		if s != "" {
			b.WriteString(", " + s)
		}
	}
	b.WriteString("\n")
	for i := range d.Changes {
		x := &d.Changes[i]
		switch {
		case x.After == nil:
			b.WriteString("  - " + x.Before.String() + "\n")
		case x.Before == nil:
			b.WriteString("  + " + x.After.String() + "\n")
		default:
			b.WriteString("  ~ " + x.Before.String() + " => " + x.After.String() + "\n")
		}
	}
	if d.HeldBefore != nil || d.HeldAfter != nil {
		b.WriteString("  held by " + listed(d.HeldBefore) + " => " + listed(d.HeldAfter) + "\n")
	}
	b.WriteString("\n")
}
