package rules

import (
	"cmp"
	"slices"
)

// placement is where a rule and its expressions stand in the configuration.
type placement struct {
	rule, when, pick, by Pos
}

// moved is the placement of a rule that another configuration has too, in which
// it stands elsewhere: a line that comes above it does not make it another rule.
type moved struct {
	order uint64
	to    placement
}

func (r *Route) placement() placement {
	return placement{r.Pos, r.When.Pos, r.Pick.Pos, r.By.Pos}
}

func (s *Subscription) placement() placement {
	return placement{rule: s.Pos, when: s.When.Pos}
}

// placement is where the rule stood when it was compiled.
func (r *rule) placement() placement {
	p := placement{rule: r.pos, when: r.when.Pos}
	if r.route != nil {
		p.pick = r.route.pickExpr.Pos
		if r.route.split != nil {
			p.by = r.route.split.expr.Pos
		}
	}
	return p
}

// noteMoved notes where a rule of a set that is being made stands. Rules come in
// their order.
func (s *Set) noteMoved(r *rule, to placement) {
	if r.placement() != to {
		s.moved = append(s.moved, moved{r.order, to})
	}
}

// standing returns a rule as it stands in the configuration of this set, for
// messages and for people to look at.
func (s *Set) standing(r *rule) *rule {
	i, found := slices.BinarySearchFunc(s.moved, r.order, func(m moved, order uint64) int { return cmp.Compare(m.order, order) })
	if !found {
		return r
	}
	to := s.moved[i].to
	var out *rule
	if r.route != nil {
		c := *r.route
		out, c.rule.route, c.pickExpr.Pos = &c.rule, &c, to.pick
		if c.split != nil {
			split := *c.split
			split.expr.Pos, c.split = to.by, &split
		}
	} else {
		c := *r.sub
		out, c.rule.sub = &c.rule, &c
	}
	out.pos, out.when.Pos = to.rule, to.when
	return out
}

// route returns a route as it stands.
func (s *Set) route(i int) *route { return s.standing(&s.routes[i].rule).route }
