package delivery

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// RouteUse is what a route did since the engine was opened. An event that is routed again, since its publisher was in doubt or a
// rule could not decide, counts again.
type RouteUse struct {
	// Matched counts the events that the route matched, and Failed those on which it could not be evaluated.
	Matched, Failed uint64
	// LastMatched is when the last of them was accepted; zero when none was.
	LastMatched time.Time
}

// maxRouteUses bounds the names that are counted over the life of the engine: a configuration may have so many routes, and one
// that renames its routes with every reload does not fill memory.
const maxRouteUses = 10_000

// routeUses counts what routes do, by name, so that the counts go on over changes of the configuration. It costs an event two
// atomic writes for each route that matched. Safe for concurrent use.
type routeUses struct {
	known sync.Map // name -> *routeUse
	n     atomic.Int64
}

type routeUse struct {
	matched, failed atomic.Uint64
	last            atomic.Int64 // Unix milliseconds; 0: never
}

// of finds what is counted for a route; nil for a name beyond the bound, and for subscriptions, which are endpoints' own.
func (u *routeUses) of(name string) *routeUse {
	if v, ok := u.known.Load(name); ok {
		return v.(*routeUse)
	}
	if name == "" || strings.HasPrefix(name, SubscriptionPrefix) || u.n.Load() >= maxRouteUses {
		return nil
	}
	v, known := u.known.LoadOrStore(name, new(routeUse))
	if !known {
		u.n.Add(1)
	}
	return v.(*routeUse)
}

// decided counts the routes that matched an event, each once: the targets of a route follow one another.
func (u *routeUses) decided(d *Decision, accepted time.Time) {
	last := ""
	for i := range d.Targets {
		if name := d.Targets[i].Route; name != last {
			u.matched(name, accepted)
			last = name
		}
	}
	for _, name := range d.Idle {
		u.matched(name, accepted)
	}
}

func (u *routeUses) matched(name string, at time.Time) {
	if c := u.of(name); c != nil {
		c.matched.Add(1)
		c.last.Store(at.UnixMilli())
	}
}

func (u *routeUses) failed(name string) {
	if c := u.of(name); c != nil {
		c.failed.Add(1)
	}
}

// RouteUse tells what a route did; all zero for one that did nothing.
func (e *Engine) RouteUse(name string) RouteUse {
	v, ok := e.uses.known.Load(name)
	if !ok {
		return RouteUse{}
	}
	c := v.(*routeUse)
	use := RouteUse{Matched: c.matched.Load(), Failed: c.failed.Load()}
	if at := c.last.Load(); at != 0 {
		use.LastMatched = time.UnixMilli(at).UTC()
	}
	return use
}
