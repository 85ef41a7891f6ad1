package rules

import (
	"cmp"
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
	k.found = append(k.found, checkShapes(s.catalog, nil, add)...)
	if k.found != nil {
		return nil, k.found
	}
	out.digest = out.sums.String()
	return &out, nil
}

// remove takes a subscription out of a set that is being made.
func (s *Set) remove(sub *subscription) {
	s.unfile(&sub.rule)
	s.sums.subtract(sub.sum())
}

// add puts a subscription into a set that is being made, after all others.
func (s *Set) add(sub *subscription) {
	sub.order = s.nextSub
	s.nextSub += subscriptionStep
	s.put(sub)
	s.plan = s.plan.with(s.family.compiler.paths, sub.reads)
}

// put puts a subscription at its place.
func (s *Set) put(sub *subscription) {
	name := sub.target.Endpoint
	s.subs = s.subs.with(name, append(slices.Clip(s.subs.get(name)), sub))
	s.sums.add(sub.sum())
	s.file(&sub.rule)
}

// file puts a rule into the index of a set that is being made.
func (s *Set) file(r *rule) {
	if f := newFiling(r); !f.never() {
		s.root = s.root.with(&f, 0)
	}
}

// unfile takes a rule out of the index of a set that is being made.
func (s *Set) unfile(r *rule) {
	f := newFiling(r)
	if s.root, _ = s.root.without(&f); s.root == nil {
		s.root = newIndex(nil)
	}
}

// subscriptions returns the subscriptions of a set in their order.
func (s *Set) subscriptions() []*subscription {
	out := make([]*subscription, 0, s.subs.size)
	s.subs.all(func(_ string, subs []*subscription) bool {
		for _, sub := range subs {
			out = append(out, s.standing(&sub.rule).sub)
		}
		return true
	})
	slices.SortFunc(out, func(a, b *subscription) int { return cmp.Compare(a.order, b.order) })
	return out
}
