package rules

import (
	"fmt"
	"slices"
)

// covered finds an earlier rule that leaves this one nothing to do.
func (l *linter) covered(r *linted) *Finding {
	for _, by := range l.before(r.term) {
		if !r.term.implies(by.term) {
			continue
		}
		var why string
		switch {
		case r.rule.route != nil && l.takes(by):
			why = "takes every event that this one would match"
		case l.sendsAll(by, r):
			why = "sends every event that this one matches to the same endpoints"
		default:
			continue
		}
		f := &Finding{Kind: FindingShadowed, By: by.rule.name, Advice: "remove this one, or narrow " + by.rule.name}
		if by.term.implies(r.term) {
			f.Kind, f.Advice = FindingDuplicate, "remove one of the two"
		}
		f.Message = by.rule.name + placed(by.rule.pos) + " " + why
		return f
	}
	return nil
}

// takes reports that no route after this one is tried once its condition is
// true.
func (l *linter) takes(by *linted) bool {
	route := by.rule.route
	return route != nil && (l.set.mode == MatchFirst || route.stop) && route.pick == nil && (route.split == nil || route.split.by == nil)
}

// sendsAll reports that every delivery r can ask for is made by an earlier rule
// whose condition is true.
func (l *linter) sendsAll(by, r *linted) bool {
	if by.rule.route != nil && r.rule.route == nil && l.stops {
		return false // the route may not be tried, the subscription is
	}
	var made []string
	switch route := by.rule.route; {
	case route == nil:
		made = []string{by.rule.sub.target.Endpoint}
	case route.pick != nil || route.split != nil && route.split.by != nil:
		return false // these can fail
	default:
		for _, t := range route.to {
			made = append(made, t.Endpoint)
		}
	}
	asks := func(t Target) bool { return !slices.Contains(made, t.Endpoint) }
	route := r.rule.route
	if route == nil {
		return !asks(r.rule.sub.target)
	}
	return route.pick == nil && !route.stop && l.set.mode == MatchAll && !slices.ContainsFunc(route.to, asks) &&
		(route.split == nil || !slices.ContainsFunc(route.split.shares, func(s share) bool { return asks(s.target) }))
}

// needs lists keys of values of which the term needs one to be true, the rarest
// that there are; nil when there are none.
func (l *linter) needs(t *term) []string {
	switch {
	case t == nil || t.op == not:
		return nil
	case t.op == and:
		var best []string
		for _, k := range t.kids {
			if n := l.needs(k); n != nil && (best == nil || l.usesOf(n) < l.usesOf(best)) {
				best = n
			}
		}
		return best
	case t.op == or:
		var all []string
		for _, k := range t.kids {
			n := l.needs(k)
			if n == nil {
				return nil
			}
			all = append(all, n...)
		}
		return all
	case t.fact == nil:
		return nil
	}
	return t.fact.keys()
}

func (l *linter) usesOf(keys []string) (n int) {
	for _, k := range keys {
		n += l.uses[k]
	}
	return n
}

// keys names the values of which one must be there; nil when there are no such.
func (f *fact) keys() []string {
	if f.kind != factAmong || len(f.values) == 0 {
		return nil
	}
	keys := make([]string, len(f.values))
	for i, v := range f.values {
		keys[i] = f.path + fmt.Sprint("=", v)
	}
	return keys
}

// maxCompared bounds the earlier rules that one is compared with.
const maxCompared = 2000

// before returns the earlier rules that a term may imply. One that needs one of
// several values is implied only by a term that needs one of these.
func (l *linter) before(t *term) []*linted {
	var out []*linted
	add := func(some []*linted) {
		out = append(out, some[:min(len(some), maxCompared)]...)
	}
	add(l.loose)
	seen := map[string]bool{}
	var values func(t *term)
	values = func(t *term) {
		switch {
		case t == nil || t.op == not:
		case t.op == leaf:
			if t.fact != nil && t.fact.kind == factAmong && len(t.fact.values) > 0 {
				// What it implies needs all of its values: any one will do.
				if key := t.fact.keys()[0]; !seen[key] {
					seen[key] = true
					add(l.byNeed[key])
				}
			}
		default:
			for _, k := range t.kids {
				values(k)
			}
		}
	}
	values(t)
	slices.SortFunc(out, func(a, b *linted) int { return a.place - b.place })
	return slices.Compact(out)
}

// remember notes a rule for those after it.
func (l *linter) remember(r *linted) {
	if route := r.rule.route; route != nil {
		l.stops = l.stops || route.stop || l.set.mode == MatchFirst
		if r.term == nil && l.always == nil && route.pick == nil && (route.split == nil || route.split.by == nil) {
			l.always = r.rule
		}
	}
	needs := l.needs(r.term)
	if needs == nil {
		l.loose = append(l.loose, r)
	}
	for _, key := range needs {
		l.byNeed[key] = append(l.byNeed[key], r)
	}
}
