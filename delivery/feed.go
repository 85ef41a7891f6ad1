package delivery

import (
	"sync"
	"sync/atomic"
	"time"
)

// maxFollowers bounds how many follow the feed at once: each is an open connection and a copy of everything.
const maxFollowers = 64

// followerBacklog is how many items may wait for one follower: some 100 ms of a busy gateway. A slower one loses items and is
// told how many.
const followerBacklog = 1024

// FeedItem is something that happened, for whoever watches: plain values, nothing of the event's payload.
type FeedItem struct {
	// Kind is accepted, attempted, ended or notice.
	Kind string
	At   time.Time
	// EventID, EventType, Environment and Tenant of the event; of a notice its type alone.
	EventID, EventType, Environment, Tenant string
	// Delivery is its id; Endpoint the one that was tried, or the delivery's home for what ended.
	Delivery, Endpoint string
	// N, Status, Outcome and Took are the attempt's.
	N       int
	Status  int
	Outcome string
	Took    time.Duration
	// State is what the delivery ended in.
	State string
	// Deliveries were planned for what was accepted.
	Deliveries int
	// Test marks what an operator sent.
	Test bool
}

// feed is an Observer that passes on what happens to those who follow it. Without any it costs a look at a counter.
type feed struct {
	NopObserver
	following atomic.Int32

	mu        sync.Mutex
	followers map[*Follower]struct{}
}

// Follower gets what happens from the moment it was made on.
type Follower struct {
	// Items arrive here, oldest first. It is closed by Close, or when the engine stops.
	Items <-chan FeedItem

	feed   *feed
	items  chan FeedItem
	wants  func(*FeedItem) bool
	missed atomic.Uint64
	closed bool // guarded by feed.mu
}

// Follow lets the caller see what happens from now on: what wants answers true for (nil: everything), which is called on the
// hot path and must be quick. Errors: ErrBusy when too many follow, ErrStopping. Close the Follower in the end.
func (e *Engine) Follow(wants func(*FeedItem) bool) (*Follower, error) {
	f := &Follower{feed: &e.feed, items: make(chan FeedItem, followerBacklog), wants: wants}
	f.Items = f.items
	e.feed.mu.Lock()
	defer e.feed.mu.Unlock()
	switch {
	case e.work.Err() != nil:
		return nil, ErrStopping
	case len(e.feed.followers) >= maxFollowers:
		return nil, ErrBusy
	case e.feed.followers == nil:
		e.feed.followers = make(map[*Follower]struct{})
	}
	e.feed.followers[f] = struct{}{}
	e.feed.following.Add(1)
	return f, nil
}

// Missed counts the items that came while the follower was too slow, since it was last asked.
func (f *Follower) Missed() uint64 { return f.missed.Swap(0) }

// Close ends it. It may be called more than once.
func (f *Follower) Close() {
	f.feed.mu.Lock()
	defer f.feed.mu.Unlock()
	f.closeLocked()
}

func (f *Follower) closeLocked() {
	if f.closed {
		return
	}
	f.closed = true
	delete(f.feed.followers, f)
	f.feed.following.Add(-1)
	close(f.items)
}

// end closes all followers: the engine stops.
func (f *feed) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for follower := range f.followers {
		follower.closeLocked()
	}
}

func (f *feed) pass(item *FeedItem) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for follower := range f.followers {
		if follower.wants != nil && !follower.wants(item) {
			continue
		}
		select {
		case follower.items <- *item:
		default:
			follower.missed.Add(1)
		}
	}
}

func itemOf(kind string, ev *Event, at time.Time) FeedItem {
	return FeedItem{
		Kind: kind, At: at, EventID: ev.ID, EventType: ev.Type, Environment: ev.Environment, Tenant: ev.Tenant, Test: ev.Test,
	}
}

// Accepted implements Observer.
func (f *feed) Accepted(ev *Event, ds []*Delivery) {
	if f.following.Load() == 0 {
		return
	}
	item := itemOf("accepted", ev, ev.Accepted)
	item.Deliveries = len(ds)
	f.pass(&item)
}

// Attempted implements Observer.
func (f *feed) Attempted(d *Delivery, a *Attempt) {
	if f.following.Load() == 0 {
		return
	}
	item := itemOf("attempted", d.Event, a.Started)
	item.Delivery, item.Endpoint, item.N = d.ID, a.Endpoint, int(a.N)
	item.Status, item.Outcome, item.Took = a.Status, a.Outcome, a.Duration
	f.pass(&item)
}

// Settled implements Observer.
func (f *feed) Settled(d *Delivery, t *Transition) {
	if f.following.Load() == 0 || !t.Progress.State.Final() {
		return
	}
	item := itemOf("ended", d.Event, t.At)
	item.Delivery, item.Endpoint, item.State = d.ID, d.Chain[0], t.Progress.State.String()
	f.pass(&item)
}

// Noticed implements Observer.
func (f *feed) Noticed(n Notice) {
	if f.following.Load() == 0 {
		return
	}
	f.pass(&FeedItem{Kind: "notice", At: n.At, EventType: n.Type, Endpoint: n.Endpoint})
}

var _ Observer = (*feed)(nil)
