package rules

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// marks stand for outcomes in drawings.
var marks = map[string]string{"true": "✓", "false": "✗", "missing": "?", "error": "!"}

// Draw writes the explanation for a terminal: per rule a tree of its parts,
// each with its outcome and the values it read.
//
//	✓ true   ✗ false   ? missing   ! error   - had no say
func (x *Explanation) Draw(w io.Writer) error {
	var b strings.Builder
	b.WriteString("event " + x.Event.Type)
	for _, s := range []string{x.Event.ID, x.Event.Environment, x.Event.Tenant} {
		if s != "" {
			b.WriteString(", " + s)
		}
	}
	fmt.Fprintf(&b, "\n%d of %s could apply, %s evaluated; rule set %s\n",
		x.Eligible, counted(x.Total, "rule"), counted(x.Candidates, "candidate"), x.Digest)
	for i := range x.Rules {
		x.Rules[i].draw(&b)
	}
	if x.Omitted > 0 {
		fmt.Fprintf(&b, "\n(%s more, not shown: ask for them by name)\n", counted(x.Omitted, "rule"))
	}
	b.WriteString("\n")
	for _, t := range x.Targets {
		b.WriteString("-> " + t.String() + "\n")
	}
	switch {
	case x.Undecided:
		b.WriteString("the event is undecided, held by " + strings.Join(x.Held, ", ") + "\n")
	case len(x.Targets) == 0:
		b.WriteString("nobody gets the event\n")
	}
	return write(w, b.String())
}

func write(w io.Writer, text string) error {
	if _, err := io.WriteString(w, text); err != nil {
		return fmt.Errorf("writing: %w", err)
	}
	return nil
}

// String returns the drawing.
func (x *Explanation) String() string {
	var b strings.Builder
	_ = x.Draw(&b) // a Builder does not fail
	return b.String()
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func (r *RuleExplanation) draw(b *strings.Builder) {
	mark := marks[r.Outcome]
	if r.Skipped != "" {
		mark = "-"
	}
	b.WriteString("\n" + mark + " " + r.Rule)
	if r.Pos != "" {
		b.WriteString("  (" + r.Pos + ")")
	}
	switch {
	case r.Skipped != "":
		b.WriteString(": " + r.Skipped)
	case r.Held:
		b.WriteString(": held")
	}
	b.WriteString("\n")
	if r.When != nil {
		r.When.draw(b, "  ", "  ")
	}
	r.Pick.drawValue(b, "pick")
	r.By.drawValue(b, "split by")
	if r.Error != "" {
		b.WriteString("  " + strings.ReplaceAll(r.Error, "\n", "\n  ") + "\n")
	}
	for _, t := range r.Targets {
		b.WriteString("  -> " + t.Endpoint)
		if len(t.Backups) > 0 {
			b.WriteString(", then " + strings.Join(t.Backups, ", then "))
		}
		if t.Dropped != "" {
			b.WriteString(": dropped, " + t.Dropped + " has it already")
		}
		b.WriteString("\n")
	}
}

// draw writes a part and, indented, its parts.
func (p *PartExplanation) draw(b *strings.Builder, first, rest string) {
	text := p.Text
	if p.Op != "" {
		text = map[string]string{"and": "all of", "or": "any of", "not": "not"}[p.Op]
	}
	b.WriteString(p.shownValues(first+marks[p.Outcome]+" "+text) + "\n")
	for i := range p.Parts {
		if i < len(p.Parts)-1 {
			p.Parts[i].draw(b, rest+"├─ ", rest+"│  ")
		} else {
			p.Parts[i].draw(b, rest+"└─ ", rest+"   ")
		}
	}
}

// drawValue writes an expression that gives a value.
func (p *PartExplanation) drawValue(b *strings.Builder, what string) {
	if p != nil {
		b.WriteString("  " + what + " " + p.Text + "\n" + p.shownValues("    = "+p.Outcome) + "\n")
	}
}

// valueColumn is where values begin, unless what stands before is longer.
const valueColumn = 56

// shownValues is a line followed by the values of the part.
func (p *PartExplanation) shownValues(line string) string {
	var b strings.Builder
	b.WriteString(line)
	for i, v := range p.Values {
		if i == 0 {
			b.WriteString(strings.Repeat(" ", max(3, valueColumn-utf8.RuneCountInString(line))))
		} else {
			b.WriteString(", ")
		}
		switch {
		case v.Missing:
			b.WriteString(v.Path + " is missing")
		default:
			b.WriteString(v.Path + " is " + string(v.Value))
		}
	}
	return b.String()
}

// String names the delivery and the rule that asks for it.
func (t *ExplainedTarget) String() string {
	s := t.Endpoint
	if len(t.Backups) > 0 {
		s += ", then " + strings.Join(t.Backups, ", then ")
	}
	return s + " (" + t.Route + ")"
}
