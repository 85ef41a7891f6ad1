package rules

import "slices"

// Change makes the set in which the subscriptions of the endpoints named in
// remove are gone and those in add have come, after all others. An endpoint
// named in both has its subscriptions replaced. Routes, and the names that they
// may pick, stay as they are; names in remove that subscribe to nothing are
// passed over.
//
// s is not changed and goes on working: publish the new set with an atomic
// pointer. Change is safe for concurrent use, but of two changes made from the
// same set each knows only itself, so let whoever publishes hold a lock around
// Change and the publishing.
//
// The error is of type Diagnostics, and then there is no new set: all or
// nothing.
func (s *Set) Change(remove []string, add []Subscription) (*Set, error) {
	c := s.config
	c.Subscriptions = slices.Clone(c.Subscriptions)
	c.Subscriptions = slices.DeleteFunc(c.Subscriptions, func(sub Subscription) bool {
		return slices.Contains(remove, sub.Endpoint)
	})
	c.Subscriptions = append(c.Subscriptions, add...)
	return Compile(c)
}
