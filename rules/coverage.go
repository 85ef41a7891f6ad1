package rules

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Coverage says what tests saw of the parts of the rules. A part has to be
// seen true and false and, when it reads the payload, with a value missing; a
// rule without a condition has to apply once, and so have pick and split.
type Coverage struct {
	// Seen of Wanted outcomes were seen; Percent is their share.
	Seen    int     `json:"seen"`
	Wanted  int     `json:"wanted"`
	Percent float64 `json:"percent"`
	// Rules are all of the set, in its order.
	Rules []RuleCoverage `json:"rules"`
}

// RuleCoverage is the coverage of one rule.
type RuleCoverage struct {
	Rule string `json:"rule"`
	Pos  string `json:"pos,omitempty"`
	// Applied counts the tests whose event the rule matched.
	Applied int            `json:"applied"`
	Parts   []PartCoverage `json:"parts,omitempty"`

	bare bool // without a condition, or with pick or split: Applied is wanted
}

// PartCoverage counts what one part of a condition was seen to be.
type PartCoverage struct {
	Text  string `json:"text"`
	Pos   string `json:"pos,omitempty"`
	True  int    `json:"true"`
	False int    `json:"false"`
	// Missing counts events that lacked a value the part reads, whatever the
	// part made of that.
	Missing int `json:"missing"`
	// Error counts failures. None are wanted.
	Error int `json:"error"`
	// Unseen lists what is wanted and was not seen: true, false, missing.
	Unseen []string `json:"unseen,omitempty"`

	data bool // it reads the payload
}

// counter gathers coverage.
type counter struct {
	set   *Set
	bench *bench
	rules []tally
	place map[string]int // of a rule in rules
}

// tally is a rule whose parts are counted.
type tally struct {
	RuleCoverage
	leaves []*part
}

func newCounter(s *Set) *counter {
	c := &counter{set: s, bench: newBench(), place: map[string]int{}}
	for i := range s.routes {
		r := s.route(i)
		c.add(&r.rule, r.pick != nil || r.split != nil)
	}
	for _, sub := range s.subscriptions() {
		c.add(&sub.rule, false)
	}
	return c
}

func (c *counter) add(r *rule, chooses bool) {
	x := tally{RuleCoverage: RuleCoverage{Rule: r.name, Pos: r.pos.String(), bare: chooses}}
	if p := c.bench.parts(r.when.Text); p != nil {
		p.leaves(func(l *part) {
			x.leaves = append(x.leaves, l)
			x.Parts = append(x.Parts, PartCoverage{Text: l.text, Pos: r.when.placeOf(l.at), data: readsData(l.node)})
		})
	} else {
		x.bare = true
	}
	c.place[r.name] = len(c.rules)
	c.rules = append(c.rules, x)
}

// count evaluates the rules that have a say about an event, all their parts.
func (c *counter) count(ev *Event) {
	e := explainer{set: c.set, ev: ev, held: c.set.Match(ev).Held, makers: map[string]string{}}
	e.judge(nil)
	m := c.bench.machine(ev)
	for i := range e.verdicts {
		v := &e.verdicts[i]
		if v.skipped != "" {
			continue
		}
		r := &c.rules[c.place[v.rule.name]]
		if v.outcome == isTrue {
			r.Applied++
		}
		for n, l := range r.leaves {
			r.Parts[n].count(l, m)
		}
	}
}

func (x *PartCoverage) count(l *part, m *machine) {
	switch l.eval(m).outcome {
	case isTrue:
		x.True++
	case isFalse:
		x.False++
	case isError:
		x.Error++
	case isMissing:
	}
	for _, r := range l.reads {
		if r.path.field == fieldNone && m.read(r.path) == nil {
			x.Missing++
			break
		}
	}
}

// report sums up.
func (c *counter) report() *Coverage {
	out := &Coverage{}
	want := func(seen bool) bool {
		out.Wanted++
		if seen {
			out.Seen++
		}
		return seen
	}
	for i := range c.rules {
		r := &c.rules[i]
		if r.bare {
			want(r.Applied > 0)
		}
		for n := range r.Parts {
			p := &r.Parts[n]
			if !want(p.True > 0) {
				p.Unseen = append(p.Unseen, "true")
			}
			if !want(p.False > 0) {
				p.Unseen = append(p.Unseen, "false")
			}
			if p.data && !want(p.Missing > 0) {
				p.Unseen = append(p.Unseen, "missing")
			}
		}
		out.Rules = append(out.Rules, r.RuleCoverage)
	}
	out.Percent = 100
	if out.Wanted > 0 {
		out.Percent = 100 * float64(out.Seen) / float64(out.Wanted)
	}
	return out
}

// draw writes the share, and what was not seen.
func (c *Coverage) draw(b *strings.Builder) {
	fmt.Fprintf(b, "coverage: %.1f %%, %d of %d outcomes of parts\n", c.Percent, c.Seen, c.Wanted)
	for i := range c.Rules {
		c.Rules[i].draw(b)
	}
}

func (r *RuleCoverage) draw(b *strings.Builder) {
	header := "  " + r.Rule
	if r.Pos != "" {
		header += "  (" + r.Pos + ")"
	}
	if r.bare && r.Applied == 0 {
		b.WriteString(header + ": never applied\n")
		header = ""
	}
	for i := range r.Parts {
		p := &r.Parts[i]
		if len(p.Unseen) == 0 {
			continue
		}
		if header != "" {
			b.WriteString(header + "\n")
			header = ""
		}
		line := "    " + p.Text
		b.WriteString(line + strings.Repeat(" ", max(3, valueColumn-utf8.RuneCountInString(line))) +
			"never " + strings.Join(p.Unseen, ", never ") + "\n")
	}
}
