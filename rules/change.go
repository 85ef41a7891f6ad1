package rules

import (
	"maps"
	"slices"
)

// Change makes the set in which the subscriptions of the endpoints named in
// remove are gone and those in add have come, after all others. An endpoint
// named in both has its subscriptions replaced. Routes, and the names that they
// may pick, stay as they are; names in remove that subscribe to nothing are
// passed over.
//
// s is not changed and goes on working: publish the new set with an atomic
// pointer. The two share all but what differs, so one change costs some ten
// microseconds, however many subscriptions there are, and longer only for what
// it compiles. Change is safe for concurrent use, but of two changes made from
// the same set each knows only itself, so let whoever publishes hold a lock
// around Change and the publishing.
//
// The error is of type Diagnostics, and then there is no new set: all or
// nothing. What only removed conditions read is still looked for in payloads
// until the next Compile or Recompile.
func (s *Set) Change(remove []string, add []Subscription) (*Set, error) {
	s.family.mu.Lock()
	defer s.family.mu.Unlock()
	out := *s
	k := newSetCompiler(s.mode, s.family.compiler)
	k.environments = s.environments
	k.old.conditions = map[string]compiled{}
	for _, name := range remove {
		for _, sub := range out.subs.get(name) {
			out.remove(sub)
			k.old.conditions[sub.when.Text] = compiled{sub.condition, sub.reads}
		}
		out.subs = out.subs.without(name)
	}
	for i := range add {
		sub := k.subscription(&add[i])
		if k.found == nil {
			out.add(sub)
		}
	}
	if k.found != nil {
		return nil, k.found
	}
	out.digest = out.sums.String()
	return &out, nil
}

// remove takes a subscription out of a set that is being made.
func (s *Set) remove(sub *subscription) {
	f := newFiling(&sub.rule)
	if s.root, _ = s.root.without(&f); s.root == nil {
		s.root = newIndex(nil)
	}
	s.sums.subtract(sub.sum())
}

// add puts a subscription into a set that is being made.
func (s *Set) add(sub *subscription) {
	sub.order = s.nextSub
	s.nextSub++
	name := sub.target.Endpoint
	s.subs = s.subs.with(name, append(slices.Clip(s.subs.get(name)), sub))
	s.sums.add(sub.sum())
	if f := newFiling(&sub.rule); !f.never() {
		s.root = s.root.with(&f, 0)
	}
	s.plan = s.plan.with(s.family.compiler.paths, sub.reads)
}

// Recompile makes the set of another configuration. What s has compiled of it
// is taken over; else it is [Compile]. s is not changed.
func (s *Set) Recompile(c Config) (*Set, error) {
	f := s.family
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.compiler.paths.slots) > 2*s.plan.places+manySlots {
		return Compile(c) // too many numbers have been given to what is no longer read
	}
	return compile(c, f, s.known(c.Endpoints))
}

// manySlots is how many places nobody reads may pile up: 72 KiB of each matcher.
const manySlots = 1 << 10

// known returns what a set has compiled. Picks name endpoints, so they are good
// for the same ones only.
func (s *Set) known(endpoints []string) known {
	k := known{conditions: make(map[string]compiled, len(s.routes)+s.subs.size)}
	for i := range s.routes {
		k.conditions[s.routes[i].when.Text] = compiled{s.routes[i].condition, s.routes[i].reads}
	}
	s.subs.all(func(_ string, subs []*subscription) bool {
		for _, sub := range subs {
			k.conditions[sub.when.Text] = compiled{sub.condition, sub.reads}
		}
		return true
	})
	same := map[string]string{}
	for _, name := range endpoints {
		same[name] = name
	}
	if !maps.Equal(same, s.endpoints) {
		return k
	}
	k.picks = map[string]*route{}
	for i := range s.routes {
		if r := &s.routes[i]; r.pick != nil {
			k.picks[r.pickExpr.Text] = r
		}
	}
	return k
}

// subscriptions returns the subscriptions of a set in their order.
func (s *Set) subscriptions() []*subscription {
	out := make([]*subscription, 0, s.subs.size)
	s.subs.all(func(_ string, subs []*subscription) bool {
		out = append(out, subs...)
		return true
	})
	slices.SortFunc(out, func(a, b *subscription) int { return int(a.order) - int(b.order) })
	return out
}
