package rules

import "strings"

// clue is something that an event can hold, found by looking into the index
// instead of evaluating a rule.
type clue struct {
	on   *path
	kind clueKind
	text string
	num  float64
	each *each // for hasText
}

type clueKind uint8

const (
	isText     clueKind = iota // the value is this text
	startsText                 // it is a text that starts with this one
	endsText                   // it is a text that ends with this one
	hasText                    // it is a list, and each collects this text of it
	isNumber                   // it is this number
	isBool                     // it is true (num 1) or false (num 0)
	isSet                      // it is true, or no bool at all
	isNothing                  // it is nil
	holdsText                  // it is a text that contains this one
	isAbove                    // it is this number or a greater one
	isBelow                    // it is this number or a smaller one
	isThere                    // it is not nil
)

// weak clues tell little, as most events hold them, or are dear to look for. They
// serve when a rule has no others.
func (k clueKind) weak() bool { return k >= holdsText }

// clues are alternatives: while an event holds none of them, a condition is
// false or missing. No clues at all, as opposed to nil, mean that it never is
// anything else.
type clues []clue

// The most clues that are kept of one condition, and sets of clues of one rule.
const (
	maxClues = 256
	maxSets  = 64
)

// cluesOf returns the clues of a condition, or nil when it has none: it can be
// true or fail whatever the event holds.
func cluesOf(c *condition) clues {
	if c.negated {
		return cluesUnlessTrue(c)
	}
	switch c.op {
	case leaf:
		return c.atom.clues()
	case or:
		all := clues{}
		for i := range c.parts {
			more := cluesOf(&c.parts[i])
			if more == nil || len(all)+len(more) > maxClues {
				return nil
			}
			all = append(all, more...)
		}
		return all
	default: // and: any part's will do
		var best clues
		for i := range c.parts {
			if cs := cluesOf(&c.parts[i]); cs != nil && (best == nil || cs.vagueness() < best.vagueness()) {
				best = cs
			}
		}
		return best
	}
}

// cluesUnlessTrue returns clues of the negation of a condition: while an event
// holds none of them, what is negated is true, and so the negation is false.
// That it is missing would not do: in an or, a failure beside it counts.
func cluesUnlessTrue(c *condition) clues {
	switch c.op {
	case leaf:
		return c.atom.cluesUnlessTrue()
	case and: // true when all parts are
		all := clues{}
		for i := range c.parts {
			if c.parts[i].negated {
				return nil
			}
			more := cluesUnlessTrue(&c.parts[i])
			if more == nil || len(all)+len(more) > maxClues {
				return nil
			}
			all = append(all, more...)
		}
		return all
	default: // true when any part is
		var best clues
		for i := range c.parts {
			if c.parts[i].negated {
				continue
			}
			if cs := cluesUnlessTrue(&c.parts[i]); cs != nil && (best == nil || cs.vagueness() < best.vagueness()) {
				best = cs
			}
		}
		return best
	}
}

// cluesUnlessTrue returns what an event must hold for the atom to be anything
// else than true. Most values do that to most atoms; those listed exclude each
// other.
func (a *atom) cluesUnlessTrue() clues {
	nothing := clue{on: a.path, kind: isNothing}
	switch a.kind {
	case less, lessOrEqual:
		return clues{{on: a.path, kind: isAbove, num: a.num.f}, nothing}
	case greater, greaterOrEqual:
		return clues{{on: a.path, kind: isBelow, num: a.num.f}, nothing}
	case isPresent:
		if a.path.field == fieldNone {
			return clues{nothing}
		}
	case isNil:
		return a.presence()
	default: // equalities, above all, are false for nearly every value
	}
	return nil
}

// vagueness orders sets of clues by how many events may hold one of them.
func (cs clues) vagueness() int {
	sum := 0
	for i := range cs {
		switch cs[i].kind {
		case isText, hasText, isNumber:
			sum++
		case startsText, endsText:
			sum += 4
		case isBool, isSet, isNothing:
			sum += 50
		case holdsText:
			sum += 100
		case isAbove, isBelow:
			sum += 500
		case isThere:
			sum += 1000
		}
	}
	return sum
}

// clues returns what an event must hold for the atom to be true or to fail.
func (a *atom) clues() clues {
	switch a.kind {
	case constantly:
		if !a.truth {
			return clues{}
		}
	case equalsText:
		return clues{{on: a.path, kind: isText, text: a.text}}
	case inList:
		return a.listClues()
	case equalsNumber:
		return clues{{on: a.path, kind: isNumber, num: a.num.f}}
	case equalsBool:
		c := clue{on: a.path, kind: isBool}
		if a.truth {
			c.num = 1
		}
		return clues{c}
	case isNil:
		return clues{{on: a.path, kind: isNothing}}
	case isFlag:
		if a.path.field == fieldNone {
			return clues{{on: a.path, kind: isSet}}
		}
	case hasPrefix, hasSuffix, contains, matchesGlob, matchesRegexp:
		return a.textClues()
	case anyText, anyGuarded, hasElement:
		cs := clues{}
		for _, t := range a.texts {
			cs = append(cs, clue{on: a.path, kind: hasText, text: t, each: a.each})
		}
		return cs
	case less, lessOrEqual:
		return clues{{on: a.path, kind: isBelow, num: a.num.f}}
	case greater, greaterOrEqual:
		return clues{{on: a.path, kind: isAbove, num: a.num.f}}
	case isPresent:
		return a.presence()
	case onMachine:
	}
	return nil
}

func (a *atom) listClues() clues {
	cs := clues{}
	for _, t := range a.texts {
		cs = append(cs, clue{on: a.path, kind: isText, text: t})
	}
	for _, n := range a.nums {
		cs = append(cs, clue{on: a.path, kind: isNumber, num: n.f})
	}
	if len(cs) > maxClues {
		return a.presence()
	}
	return cs
}

// presence is the weakest clue. The fields of an event are always there.
func (a *atom) presence() clues {
	if a.path.field != fieldNone {
		return nil
	}
	return clues{{on: a.path, kind: isThere}}
}

// textClues returns what a text must start with, end with or contain.
func (a *atom) textClues() clues {
	start, end, inside := "", "", ""
	switch a.kind {
	case hasPrefix:
		start = a.text
	case hasSuffix:
		end = a.text
	case matchesGlob:
		start, end = a.glob.start, a.glob.end
	case matchesRegexp:
		start = a.regexp.start
	default:
		inside = a.text
	}
	switch {
	case start != "":
		return clues{{on: a.path, kind: startsText, text: start}}
	case end != "":
		return clues{{on: a.path, kind: endsText, text: end}}
	case inside != "":
		return clues{{on: a.path, kind: holdsText, text: inside}}
	}
	return a.presence()
}

// globStart returns the text that everything the pattern matches starts with.
func globStart(pattern string) string {
	if i := strings.IndexAny(pattern, `*?\`); i >= 0 {
		return pattern[:i]
	}
	return pattern
}

// globEnd returns the text that everything the pattern matches ends with.
func globEnd(pattern string) string {
	if strings.Contains(pattern, `\`) {
		return ""
	}
	return pattern[strings.LastIndexAny(pattern, `*?`)+1:]
}

// clues returns the sets of clues of a rule: an event for which it is true or
// fails holds a clue of every set.
func (r *rule) clues() []clues {
	var sets []clues
	if r.sub != nil {
		sets = r.sub.clues()
	}
	if r.condition == nil {
		return sets
	}
	parts := []condition{*r.condition}
	if r.condition.op == and && !r.condition.negated {
		parts = r.condition.parts
	}
	for i := range parts {
		if cs := cluesOf(&parts[i]); cs != nil && len(sets) < maxSets {
			sets = append(sets, cs)
		}
	}
	return sets
}

// clues returns those of what a subscription asks of the event's fields.
func (s *subscription) clues() (sets []clues) {
	if s.tenant != "" {
		sets = append(sets, clues{{on: &fieldPaths[fieldTenant], kind: isText, text: s.tenant}})
	}
	types := clues{}
	for _, t := range s.types {
		c := clue{on: &fieldPaths[fieldType], kind: isText, text: t.text}
		if t.prefix {
			c.kind = startsText
		}
		if t.prefix && t.text == "" || len(types) == maxClues {
			types = nil
			break
		}
		types = append(types, c)
	}
	if types != nil {
		sets = append(sets, types)
	}
	if n := len(s.environments); n > 0 && n <= maxClues {
		envs := clues{}
		for _, e := range s.environments {
			envs = append(envs, clue{on: &fieldPaths[fieldEnvironment], kind: isText, text: e})
		}
		sets = append(sets, envs)
	}
	return sets
}
