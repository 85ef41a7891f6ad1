package rules

import (
	"encoding/json"
	"strconv"
	"unicode/utf8"
)

// teller describes parts for one event.
type teller struct {
	m     *machine
	shown map[string]ValueExplanation // by path: many parts read the same
}

// condition describes a part of a condition with what it gave.
func (t *teller) condition(p *part, r *result, e Expr) PartExplanation {
	x := PartExplanation{Text: p.text, Pos: e.placeOf(p.at), Outcome: r.outcome.String()}
	switch p.op {
	case leaf:
		x.Values = t.values(p)
		if r.why != nil {
			x.Error = r.why.msg
		}
		return x
	case and:
		x.Op = "and"
	case or:
		x.Op = "or"
	case not:
		x.Op = "not"
	}
	x.Parts = make([]PartExplanation, len(p.parts))
	for i, c := range p.parts {
		x.Parts[i] = t.condition(c, r.parts[i], e)
	}
	return x
}

// value describes an expression that gives a value, such as a pick; nil for nil.
func (t *teller) value(p *part, e Expr) *PartExplanation {
	if p == nil {
		return nil
	}
	x := &PartExplanation{Text: p.text, Pos: e.placeOf(p.at), Values: t.values(p)}
	t.m.begin()
	v, why := t.m.run(p.leaf.atom.program)
	switch {
	case why != nil && why.missing:
		x.Outcome = isMissing.String()
	case why != nil:
		x.Outcome, x.Error = isError.String(), why.msg
	case v == nil:
		x.Outcome = isMissing.String()
	default:
		x.Outcome = string(shownValue("", v).Value)
	}
	return x
}

// placeOf is the line of a place in the expression; "" when unknown.
func (e Expr) placeOf(at int) string {
	line, _ := caret(e.Text, at)
	return e.Pos.down(line).String()
}

// values are what a part reads of the event.
func (t *teller) values(p *part) []ValueExplanation {
	if len(p.reads) == 0 {
		return nil
	}
	out := make([]ValueExplanation, len(p.reads))
	for i, r := range p.reads {
		v, known := t.shown[r.name]
		if !known {
			v = shownValue(r.name, t.m.read(r.path))
			t.shown[r.name] = v
		}
		out[i] = v
	}
	return out
}

// shownValue shows a value, or its beginning when it is long.
func shownValue(path string, v any) ValueExplanation {
	x := ValueExplanation{Path: path, Missing: v == nil}
	if v == nil {
		return x
	}
	b, err := json.Marshal(shortened(v, maxShown))
	if err != nil {
		b = []byte(strconv.Quote(unspeakable))
	}
	if len(b) <= maxShown {
		x.Value = b
		return x
	}
	b = b[:maxShown]
	for !utf8.Valid(b) {
		b = b[:len(b)-1]
	}
	x.Truncated = true
	x.Value, _ = json.Marshal(string(b) + "…") // a string cannot fail
	return x
}

// shortened cuts a value to about as much as is shown, so that showing the
// beginning of a large payload does not cost the whole of it.
func shortened(v any, room int) any {
	switch x := v.(type) {
	case string:
		if len(x) > 2*maxShown {
			x = x[:2*maxShown]
		}
		return x
	case []any:
		out := []any{}
		for _, e := range x {
			if room -= deepSize(e, room) + 1; room < 0 {
				return append(out, shortened(e, 1))
			}
			out = append(out, shortened(e, room))
		}
		return out
	}
	return v
}

// count returns the number of parts.
func (p *part) count() int {
	n := 1
	for _, c := range p.parts {
		n += c.count()
	}
	return n
}
