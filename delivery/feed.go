package delivery

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"sync"
	"sync/atomic"
	"time"
)

// maxFollowers bounds how many follow the feed at once: each is an open connection and a copy of everything.
const maxFollowers = 64

// followerBacklog is how many items may wait for one follower: some 100 ms of a busy gateway. A slower one loses items and is
// told how many.
const followerBacklog = 1024

// remembered is how many items are kept for followers that come back: a third of a second of a busy gateway, in some 2 MiB that
// are taken when somebody follows.
const remembered = 8192

// lingers is for how long the feed remembers after the last follower left: a reload of the configuration breaks their
// connections, and they are back in a moment.
const lingers = 30 * time.Second

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

	number uint64 // counts the items passed on
}

// feed is an Observer that passes on what happens to those who follow it. Without any it costs a look at two counters.
type feed struct {
	NopObserver
	following atomic.Int32
	until     atomic.Int64 // without followers, items are kept until then; nanoseconds since born, 0: they are not
	born      time.Time
	seal      cipher.Block // makes cursors: how much others do is none of a tenant's business, and no cursor is another engine's

	mu        sync.Mutex
	followers map[*Follower]struct{}
	last      uint64     // number of the last item
	recent    []FeedItem // the last items, up to remembered: item n stands at n modulo that
	kept      uint64     // number of the first item that recent holds, if any
}

// newFeed makes one with a key of its own.
func newFeed() feed {
	var key [16]byte
	_, _ = rand.Read(key[:]) // never fails, says its documentation
	seal, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err) // 16 bytes are a key
	}
	return feed{born: time.Now(), seal: seal, kept: 1}
}

// Follower gets what happens from the moment it was made on.
type Follower struct {
	// Items arrive here, oldest first. It is closed by Close, or when the engine stops.
	Items <-chan FeedItem
	// Gap tells that not all of what happened since the cursor is known any more: it was too long ago, or before a restart.
	Gap bool
	// Start is the cursor of a follower that has got nothing yet.
	Start string

	feed   *feed
	items  chan FeedItem
	wants  func(*FeedItem) bool
	missed atomic.Uint64
	closed bool // guarded by feed.mu
}

// Follow lets the caller see what happens from now on, or from a cursor on that it got before: what wants answers true for (nil:
// everything), which is called on the hot path and must be quick. Errors: ErrBusy when too many follow, ErrStopping. Close the
// Follower in the end.
func (e *Engine) Follow(cursor string, wants func(*FeedItem) bool) (*Follower, error) {
	f := &Follower{feed: &e.feed, wants: wants}
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
	if e.feed.idle() {
		e.feed.forgetLocked()
	}
	e.feed.following.Add(1)
	e.feed.followers[f] = struct{}{}
	f.Start = e.feed.cursor(e.feed.last)
	missed := e.feed.sinceLocked(f, cursor)
	f.items = make(chan FeedItem, followerBacklog+len(missed))
	f.Items = f.items
	for _, item := range missed {
		f.items <- *item
	}
	return f, nil
}

// sinceLocked are the items that a follower wants of those since its cursor.
func (f *feed) sinceLocked(to *Follower, cursor string) (missed []*FeedItem) {
	if cursor == "" {
		return nil
	}
	from, known := f.number(cursor)
	if to.Gap = !known || from+1 < f.kept; !known {
		return nil
	}
	for n := max(from+1, f.kept); n <= f.last; n++ {
		if item := &f.recent[n%remembered]; to.wants == nil || to.wants(item) {
			missed = append(missed, item)
		}
	}
	return missed
}

// cursor is the place behind an item, unreadable to others.
func (f *feed) cursor(number uint64) string {
	var block [aes.BlockSize]byte
	binary.BigEndian.PutUint64(block[8:], number)
	f.seal.Encrypt(block[:], block[:])
	return hex.EncodeToString(block[:])
}

// number is the item of a cursor; false: this feed did not give it out.
func (f *feed) number(cursor string) (uint64, bool) {
	block, err := hex.DecodeString(cursor)
	if err != nil || len(block) != aes.BlockSize {
		return 0, false
	}
	f.seal.Decrypt(block, block)
	n := binary.BigEndian.Uint64(block[8:])
	return n, binary.BigEndian.Uint64(block) == 0 && n <= f.last
}

// idle tells that nobody follows, and nobody did a moment ago.
func (f *feed) idle() bool {
	if f.following.Load() > 0 {
		return false
	}
	until := f.until.Load()
	return until == 0 || int64(time.Since(f.born)) > until
}

// forgetLocked drops what is kept. What happened since then was not numbered: a cursor from before has a gap behind it.
func (f *feed) forgetLocked() {
	f.recent = nil
	f.last++
	f.kept = f.last + 1
}

// Cursor is the place behind an item, for Follow.
func (f *Follower) Cursor(i *FeedItem) string { return f.feed.cursor(i.number) }

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
	f.feed.until.Store(int64(time.Since(f.feed.born) + lingers))
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
	if f.recent == nil {
		f.recent = make([]FeedItem, remembered)
	}
	f.last++
	item.number = f.last
	f.recent[f.last%remembered] = *item
	f.kept = max(f.kept, f.last+1-min(f.last, remembered))
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
	if f.idle() {
		return
	}
	item := itemOf("accepted", ev, ev.Accepted)
	item.Deliveries = len(ds)
	f.pass(&item)
}

// Attempted implements Observer.
func (f *feed) Attempted(d *Delivery, a *Attempt) {
	if f.idle() {
		return
	}
	item := itemOf("attempted", d.Event, a.Started)
	item.Delivery, item.Endpoint, item.N = d.ID, a.Endpoint, int(a.N)
	item.Status, item.Outcome, item.Took = a.Status, a.Outcome, a.Duration
	f.pass(&item)
}

// Settled implements Observer.
func (f *feed) Settled(d *Delivery, t *Transition) {
	if f.idle() || !t.Progress.State.Final() {
		return
	}
	item := itemOf("ended", d.Event, t.At)
	item.Delivery, item.Endpoint, item.State = d.ID, d.Chain[0], t.Progress.State.String()
	f.pass(&item)
}

// Noticed implements Observer.
func (f *feed) Noticed(n Notice) {
	if f.idle() {
		return
	}
	f.pass(&FeedItem{Kind: "notice", At: n.At, EventType: n.Type, Endpoint: n.Endpoint})
}

var _ Observer = (*feed)(nil)
