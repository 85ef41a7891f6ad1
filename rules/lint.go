package rules

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// FindingKind says what is wrong with a rule.
type FindingKind string

// The kinds of findings.
const (
	// FindingNever: no event can match the rule.
	FindingNever FindingKind = "never"
	// FindingDuplicate: an earlier rule has the same condition and leaves it
	// nothing to do.
	FindingDuplicate FindingKind = "duplicate"
	// FindingShadowed: whenever the rule matches, an earlier one leaves it
	// nothing to do.
	FindingShadowed FindingKind = "shadowed"
	// FindingUnindexable: the rule is evaluated for every event.
	FindingUnindexable FindingKind = "unindexable"
	// FindingUnknownType: the rule names an event type that does not exist.
	FindingUnknownType FindingKind = "unknown_type"
)

// Finding is something that is allowed and hardly meant.
type Finding struct {
	Kind FindingKind `json:"kind"`
	// Rule is the rule's name, as in Target.Route.
	Rule string `json:"rule"`
	Pos  string `json:"pos,omitempty"`
	// By is the earlier rule of a duplicate or shadowed one.
	By string `json:"by,omitempty"`
	// Message says what is so, Advice what to do about it.
	Message string `json:"message"`
	Advice  string `json:"advice"`
}

// Findings are what lint has to say, in the order of the rules.
type Findings []Finding

// Draw writes the findings for a terminal.
func (fs Findings) Draw(w io.Writer) error {
	var b strings.Builder
	for _, f := range fs {
		if f.Pos != "" {
			b.WriteString(f.Pos + ": ")
		}
		b.WriteString(f.Rule + ": " + f.Message + " [" + string(f.Kind) + "]\n    " + f.Advice + "\n")
	}
	if len(fs) == 0 {
		b.WriteString("nothing found\n")
	}
	return write(w, b.String())
}

// Lint looks for rules that cannot have been meant. types are the event types
// that exist; none: any may. It is sound, so that what it says of a rule is so
// for every event, and does not find everything.
func (s *Set) Lint(types []string) Findings {
	l := linter{set: s, types: types, uses: map[string]int{}, byNeed: map[string][]*linted{}}
	b := newBench()
	var all []*linted
	for i := range s.routes {
		r := s.route(i)
		all = append(all, &linted{rule: &r.rule, place: i, term: termOf(b.parts(r.when.Text))})
	}
	for i, sub := range s.subscriptions() {
		all = append(all, &linted{rule: &sub.rule, place: len(s.routes) + i, term: allOf(sub.term(), termOf(b.parts(sub.when.Text)))})
	}
	for _, r := range all {
		r.term.facts(func(t *term) {
			for _, key := range t.fact.keys() {
				l.uses[key]++
			}
		})
	}
	found := Findings{}
	for _, r := range all {
		if f := l.look(r); f != nil {
			found = append(found, *f)
		}
	}
	return found
}

// linted is a rule being looked at.
type linted struct {
	rule  *rule
	place int
	term  *term // with what a subscription asks beside its when; nil: always true
}

type linter struct {
	set   *Set
	types []string

	// The rules before, by a value that each needs, the rarest one, so that not
	// every pair has to be compared: 10,000 rules are 50 million pairs.
	uses   map[string]int // how often a value is named
	byNeed map[string][]*linted
	loose  []*linted // those that need none
	stops  bool      // a route before takes events away from those after it
	always *rule     // a route that matches every event
}

// look returns the first finding about a rule: others would follow from it.
func (l *linter) look(r *linted) *Finding {
	if f := l.unknownType(r); f != nil {
		return f
	}
	if f := l.never(r); f != nil {
		return f
	}
	if route := r.rule.route; route != nil && route.otherwise {
		return nil
	}
	f := l.covered(r)
	if f == nil && r.rule.condition != nil && len(r.rule.clues()) == 0 {
		f = &Finding{
			Kind: FindingUnindexable, Pos: r.rule.when.Pos.String(),
			Message: "nothing in the condition can be looked up, so that it is evaluated for every event",
			Advice:  "join by `and` what decides for most events: event.type with ==, in or startsWith is best",
		}
	}
	l.remember(r)
	if f != nil {
		f.Rule = r.rule.name
		if f.Pos == "" {
			f.Pos = r.rule.pos.String()
		}
	}
	return f
}

// never finds conditions that contradict themselves, the declared environments
// or the event types.
func (l *linter) never(r *linted) *Finding {
	f := &Finding{Kind: FindingNever, Rule: r.rule.name, Pos: r.rule.pos.String(), Advice: "correct the condition, or remove the rule"}
	if route := r.rule.route; route != nil && route.otherwise && l.always != nil {
		f.By = l.always.name
		f.Message = fmt.Sprintf("%s%s matches every event, so that none is left over", l.always.name, placed(l.always.pos))
		f.Advice = "give " + l.always.name + " a condition, or remove this one"
		return f
	}
	bad, why := r.term.never()
	switch {
	case bad && why[0] != nil:
		f.Message = "no event can match: " + why[0].String() + " excludes " + why[1].String()
	case bad:
		f.Message = "no event can match"
	case r.term.rulesOut("event.environment", l.set.environments):
		f.Message = "no event can match: it wants none of the environments " + strings.Join(l.set.environments, ", ")
	case r.term.rulesOut("event.type", l.types) && r.term.excludes(notices):
		f.Message = "no event can match: it wants none of the event types in the catalog"
	default:
		return nil
	}
	if p := r.rule.when.Pos.String(); p != "" {
		f.Pos = p
	}
	return f
}

// notices are the gateway's own operational events, which are in no catalog.
var notices = &term{fact: &fact{kind: factPrefix, path: "event.type", field: true, text: noticePrefix}}

// rulesOut reports that a term is true for none of the values a field can have.
func (t *term) rulesOut(field string, values []string) bool {
	return t != nil && len(values) > 0 && !slices.ContainsFunc(values, func(v string) bool { return !t.refuses(field, textLiteral(v)) })
}

func amongTexts(field string, values []string) *term {
	f := &fact{kind: factAmong, path: field, field: true}
	for _, v := range values {
		f.values = append(f.values, textLiteral(v))
	}
	return &term{key: field + " in [" + strings.Join(values, ", ") + "]", fact: f}
}

// allOf joins terms by and; nil is true.
func allOf(ts ...*term) *term {
	out := &term{op: and}
	for _, t := range ts {
		switch {
		case t == nil:
		case t.op == and:
			out.kids = append(out.kids, t.kids...)
		default:
			out.kids = append(out.kids, t)
		}
	}
	switch len(out.kids) {
	case 0:
		return nil
	case 1:
		return out.kids[0]
	}
	return out
}

// term is what a subscription asks beside its when.
func (s *subscription) term() *term {
	types := &term{op: or}
	for _, t := range s.types {
		switch {
		case t.prefix && t.text == "":
			types = nil
		case t.prefix && types != nil:
			types.kids = append(types.kids, &term{
				key:  "event.type startsWith " + t.text,
				fact: &fact{kind: factPrefix, path: "event.type", field: true, text: t.text},
			})
		case types != nil:
			types.kids = append(types.kids, amongTexts("event.type", []string{t.text}))
		}
	}
	if types != nil && len(types.kids) == 1 {
		types = types.kids[0]
	}
	var tenant, environments *term
	if s.tenant != "" {
		tenant = amongTexts("event.tenant", []string{s.tenant})
	}
	if len(s.environments) > 0 {
		environments = amongTexts("event.environment", s.environments)
	}
	return allOf(types, tenant, environments)
}

// String is the term for messages.
func (t *term) String() string {
	if t.part != nil {
		return t.part.text
	}
	return t.key
}

// unknownType finds event types, and prefixes of some, that do not exist.
func (l *linter) unknownType(r *linted) *Finding {
	if len(l.types) == 0 {
		return nil
	}
	f := &Finding{Kind: FindingUnknownType, Rule: r.rule.name, Pos: r.rule.pos.String()}
	look := func(p *part, name string, known bool) {
		if known || f.Message != "" {
			return
		}
		f.Message = fmt.Sprintf("there is no event type %s in the catalog", name)
		f.Advice = "correct the type, or add it to the catalog"
		if c := closest(name, l.types); c != "" {
			f.Advice = "did you mean " + c + "?"
		}
		if p != nil {
			if pos := r.rule.when.placeOf(p.at); pos != "" {
				f.Pos = pos
			}
		}
	}
	if sub := r.rule.sub; sub != nil {
		for _, t := range sub.types {
			name := t.text
			if t.prefix {
				name += "*"
			}
			// The gateway's own operational events are in no catalog.
			look(nil, name, strings.HasPrefix(t.text, noticePrefix) || slices.ContainsFunc(l.types, t.has))
		}
	}
	r.term.facts(func(t *term) {
		if t.fact.path != "event.type" {
			return
		}
		switch t.fact.kind {
		case factAmong:
			for _, v := range t.fact.values {
				look(t.part, v.text, v.kind != literalText || t.part == nil || slices.Contains(l.types, v.text) || strings.HasPrefix(v.text, noticePrefix))
			}
		case factPrefix:
			look(t.part, t.fact.text+"*", t.part == nil || strings.HasPrefix(t.fact.text, noticePrefix) ||
				slices.ContainsFunc(l.types, func(s string) bool { return strings.HasPrefix(s, t.fact.text) }))
		default: // nothing is named
		}
	})
	if f.Message == "" {
		return nil
	}
	return f
}

// noticePrefix begins the types of the gateway's own operational events.
const noticePrefix = "webhooks."

// facts calls yield for every leaf with a fact.
func (t *term) facts(yield func(*term)) {
	if t == nil {
		return
	}
	if t.fact != nil {
		yield(t)
	}
	for _, k := range t.kids {
		k.facts(yield)
	}
}

// placed is " (place)", or "".
func placed(p Pos) string {
	if s := p.String(); s != "" {
		return " (" + s + ")"
	}
	return ""
}
