package rules

import (
	"cmp"
	"maps"
	"slices"
)

// Recompile makes the set of another configuration. Of the rules that s has
// too, nothing is done again: they are neither parsed nor checked, hashed or
// filed in the index, so that of 10,000 rules one can be changed in some
// milliseconds. What differs in more than a tenth of the rules is filed anew,
// and taken over only as far as it has been compiled. s is not changed; errors
// are those of [Compile].
func (s *Set) Recompile(c Config) (*Set, error) {
	f := s.family
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.compiler.paths.slots) > 2*s.plan.places+manySlots {
		return Compile(c) // too many numbers have been given to what is no longer read
	}
	if next := s.renew(&c); next != nil {
		return next, nil
	}
	return compile(c, f, s.known(c.Endpoints))
}

// manySlots is how many places nobody reads may pile up: 72 KiB of each matcher.
const manySlots = 1 << 10

// Rules are ordered by numbers with room between them, so that a rule can come
// between two others without touching any. Subscriptions come after routes.
const (
	routeStep         = 1 << 32
	subscriptionStep  = 1 << 24
	firstSubscription = 1 << 63
)

// renewal is a set being made out of another one.
type renewal struct {
	old, set *Set
	config   *Config
	compiler *setCompiler

	routes, subs []*rule // those of old that stay, at their places in config; else nil
	gone         []*rule
}

// renew makes the set of a configuration that differs little from this one. It
// returns nil when it differs in too much, or holds a mistake.
func (s *Set) renew(c *Config) *Set {
	if c.Mode != s.mode || !slices.Equal(c.Environments, s.environments) {
		return nil
	}
	set := *s
	w := renewal{old: s, set: &set, config: c, compiler: newSetCompiler(c.Mode, s.family.compiler)}
	w.compiler.environments, w.compiler.old.conditions = c.Environments, map[string]compiled{}
	for _, name := range c.Endpoints {
		w.compiler.endpoints[name] = name
	}
	w.keepRoutes()
	w.keepSubscriptions()
	if changes := len(w.gone) + missing(w.routes) + missing(w.subs); changes > manyChanges+(len(w.routes)+len(w.subs))/10 {
		return nil
	}
	set.endpoints, set.backups, set.catalog = w.compiler.endpoints, c.Backups, catalogOf(c)
	if !w.change() {
		return nil
	}
	return &set
}

// manyChanges is up to how many rules are filed one by one, whatever their share
// of the set.
const manyChanges = 64

func missing(rules []*rule) (n int) {
	for _, r := range rules {
		if r == nil {
			n++
		}
	}
	return n
}

// keepRoutes finds the routes that stay.
func (w *renewal) keepRoutes() {
	same := maps.Equal(w.compiler.endpoints, w.old.endpoints)
	place := make(map[string]int, len(w.old.routes))
	for i, r := range w.old.routes {
		place[r.name] = i
	}
	w.routes = make([]*rule, len(w.config.Routes))
	stays := make([]bool, len(w.old.routes))
	for i := range w.config.Routes {
		r := &w.config.Routes[i]
		if at, ok := place[r.Name]; ok && !stays[at] && w.old.routes[at].is(r) && (same || w.knows(r)) {
			w.routes[i], stays[at] = &w.old.routes[at].rule, true
		}
	}
	for i, r := range w.old.routes {
		if !stays[i] {
			w.gone = append(w.gone, &r.rule)
		}
	}
	w.gone = append(w.gone, outOfOrder(w.routes)...)
}

// knows reports whether all endpoints that a route names are there, and it picks
// none at run time.
func (w *renewal) knows(r *Route) bool {
	unknown := func(name string) bool { return w.compiler.endpoints[name] == "" }
	for _, c := range r.To {
		if unknown(c.Primary) || slices.ContainsFunc(c.Backups, unknown) {
			return false
		}
	}
	return r.Pick.Text == "" && !slices.ContainsFunc(r.Split, func(sh Share) bool { return unknown(sh.Endpoint) })
}

// keepSubscriptions finds the subscriptions that stay.
func (w *renewal) keepSubscriptions() {
	w.subs = make([]*rule, len(w.config.Subscriptions))
	stays := make(map[*subscription]bool, len(w.subs))
	for i := range w.config.Subscriptions {
		sub := &w.config.Subscriptions[i]
		for _, old := range w.old.subs.get(sub.Endpoint) {
			if !stays[old] && old.is(sub) {
				w.subs[i], stays[old] = &old.rule, true
				break
			}
		}
	}
	w.old.subs.all(func(_ string, subs []*subscription) bool {
		for _, old := range subs {
			if !stays[old] {
				w.gone = append(w.gone, &old.rule)
			}
		}
		return true
	})
	w.gone = append(w.gone, outOfOrder(w.subs)...)
}

// outOfOrder takes out of a list the fewest rules without which all others stand
// in their order, and returns them.
func outOfOrder(rules []*rule) (out []*rule) {
	// tails are the ends, by place, of the best rising sequence of each length;
	// before is the place before each in its sequence (patience sorting).
	tails, before, stays := make([]int, 0, len(rules)), make([]int, len(rules)), make([]bool, len(rules))
	for i, r := range rules {
		if r == nil {
			continue
		}
		n := len(tails)
		if n > 0 && rules[tails[n-1]].order > r.order {
			n, _ = slices.BinarySearchFunc(tails, r.order, func(at int, order uint64) int { return cmp.Compare(rules[at].order, order) })
		}
		before[i] = -1
		if n > 0 {
			before[i] = tails[n-1]
		}
		if n == len(tails) {
			tails = append(tails, i)
		} else {
			tails[n] = i
		}
	}
	if len(tails) > 0 {
		for i := tails[len(tails)-1]; i >= 0; i = before[i] {
			stays[i] = true
		}
	}
	for i, r := range rules {
		if r != nil && !stays[i] {
			out, rules[i] = append(out, r), nil
		}
	}
	return out
}

// change takes out what is gone and puts in what has come. It reports false when
// there is a mistake, or no room between two rules.
func (w *renewal) change() bool {
	for _, r := range w.gone {
		w.compiler.old.conditions[r.when.Text] = compiled{r.condition, r.reads}
		w.takeOut(r)
	}
	routeOrders, ok := orders(w.routes, 0)
	subOrders, alsoOK := orders(w.subs, firstSubscription)
	if !ok || !alsoOK || len(routeOrders) > 0 && routeOrders[len(routeOrders)-1] >= firstSubscription {
		return false
	}
	come := renewed{}
	w.changeRoutes(routeOrders, &come)
	w.changeSubscriptions(subOrders, &come)
	if w.compiler.found != nil || len(w.mistakesOfShape(&come)) > 0 {
		return false
	}
	s := w.set
	s.sums.routes = digestRoutes(s.mode, s.routes)
	s.digest = s.sums.String()
	s.plan = planOfRules(s.family.compiler.paths, s.routes, w.subs)
	return true
}

// renewed are the parts of a configuration that the set before did not have.
type renewed struct {
	routes []Route
	subs   []Subscription
}

// mistakesOfShape looks at what has come or, when the catalog has changed, at
// everything.
func (w *renewal) mistakesOfShape(come *renewed) Diagnostics {
	if w.set.catalog.same(w.old.catalog) {
		return checkShapes(w.set.catalog, come.routes, come.subs)
	}
	return checkShapes(w.set.catalog, w.config.Routes, w.config.Subscriptions)
}

func (w *renewal) takeOut(r *rule) {
	s := w.set
	if r.route != nil {
		if !r.route.otherwise {
			s.unfile(r)
		}
		return
	}
	s.remove(r.sub)
	left := slices.DeleteFunc(slices.Clone(s.subs.get(r.sub.target.Endpoint)), func(sub *subscription) bool { return sub == r.sub })
	if len(left) == 0 {
		s.subs = s.subs.without(r.sub.target.Endpoint)
	} else {
		s.subs = s.subs.with(r.sub.target.Endpoint, left)
	}
}

func (w *renewal) changeRoutes(order []uint64, come *renewed) {
	s := w.set
	s.routes, s.otherwise, s.moved = make([]*route, len(w.routes)), nil, nil
	names := map[string]bool{} // of those that are new
	for i, stays := range w.routes {
		r := &w.config.Routes[i]
		if stays != nil {
			s.routes[i] = stays.route
			s.noteMoved(stays, r.placement())
		} else {
			s.routes[i] = w.compiler.route(r)
			s.routes[i].rule.order = order[i]
			come.routes = append(come.routes, *r)
			if names[r.Name] || w.stays(r.Name) {
				w.compiler.refuse("", r.Pos, "", "another route has this name already")
			}
			names[r.Name] = true
			if w.compiler.found == nil && !s.routes[i].otherwise {
				s.file(&s.routes[i].rule)
			}
		}
		if s.routes[i].otherwise {
			s.otherwise = append(s.otherwise, s.routes[i])
		}
	}
}

// stays reports whether a route of this name has stayed.
func (w *renewal) stays(name string) bool {
	return slices.ContainsFunc(w.routes, func(r *rule) bool { return r != nil && r.name == name })
}

func (w *renewal) changeSubscriptions(order []uint64, come *renewed) {
	s := w.set
	s.nextSub = firstSubscription
	for i, stays := range w.subs {
		sub := &w.config.Subscriptions[i]
		if stays != nil {
			s.noteMoved(stays, sub.placement())
		} else {
			made := w.compiler.subscription(sub)
			made.order = order[i]
			w.subs[i] = &made.rule
			come.subs = append(come.subs, *sub)
			if w.compiler.found == nil {
				s.put(made)
			}
		}
		s.nextSub = order[i] + subscriptionStep
	}
}

// orders gives numbers to the rules that are nil: between those of their
// neighbours, or a step each after the last. ok is false when there is no room.
func orders(rules []*rule, after uint64) (out []uint64, ok bool) {
	out = make([]uint64, len(rules))
	step := uint64(routeStep)
	if after >= firstSubscription {
		step = subscriptionStep
	}
	for i := 0; i < len(rules); {
		if rules[i] != nil {
			after = rules[i].order
			out[i] = after
			i++
			continue
		}
		next, gap := i, step
		for next < len(rules) && rules[next] == nil {
			next++
		}
		if next < len(rules) {
			if gap = (rules[next].order - after) / uint64(next-i+1); gap == 0 {
				return nil, false
			}
		}
		for ; i < next; i++ {
			after += gap
			out[i] = after
		}
	}
	return out, true
}

// is reports whether the route is what a configuration says, wherever it stands.
func (r *route) is(c *Route) bool {
	return r.onError == c.OnError && r.name == c.Name && r.when.Text == c.When.Text && r.pickExpr.Text == c.Pick.Text &&
		r.otherwise == c.Otherwise && r.stop == c.Stop && r.split.is(c) &&
		slices.EqualFunc(r.to, c.To, func(t Target, c Chain) bool { return t.Endpoint == c.Primary && slices.Equal(t.Backups, c.Backups) })
}

func (s *split) is(c *Route) bool {
	if s == nil {
		return len(c.Split) == 0 && c.By.Text == ""
	}
	before := uint64(0)
	return s.expr.Text == c.By.Text && slices.EqualFunc(s.shares, c.Split, func(sh share, c Share) bool {
		weight := sh.until - before
		before = sh.until
		return sh.target.Endpoint == c.Endpoint && c.Weight >= 0 && weight == uint64(c.Weight)
	})
}

// is reports whether the subscription is what a configuration says, wherever it
// stands.
func (s *subscription) is(c *Subscription) bool {
	return s.target.Endpoint == c.Endpoint && s.tenant == c.Tenant && s.when.Text == c.When.Text &&
		slices.Equal(s.environments, c.Environments) && slices.EqualFunc(s.types, c.Types, eventTypes.is)
}

// known returns what a set has compiled. Picks name endpoints, so they are good
// for the same ones only.
func (s *Set) known(endpoints []string) known {
	k := known{conditions: make(map[string]compiled, len(s.routes)+s.subs.size)}
	for _, r := range s.routes {
		k.conditions[r.when.Text] = compiled{r.condition, r.reads}
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
	for _, r := range s.routes {
		if r.pick != nil {
			k.picks[r.pickExpr.Text] = r
		}
	}
	return k
}
