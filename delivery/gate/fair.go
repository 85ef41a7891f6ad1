package gate

import (
	"sync"
	"time"
)

// Fair shares out what all lanes need and there is too little of: a bounded
// number of attempts in flight, and the tokens of one rate limit. An attempt
// needs one of each, and gets both in one turn.
//
// While nobody waits, whoever asks gets. Else there is a line: first come,
// first served, one place per lane. A turn is one attempt; who wants another
// goes to the back. So with k lanes in line each gets one attempt in k,
// however busy the others are. A lane that cannot use its turn loses it, and
// the next one has it at once.
//
// The caller does the waking, because a Fair holds no timer, starts no
// goroutine and calls nobody. Two duties keep a turn from getting lost:
//
//  1. Whoever called Release, GiveBack or Set then serves the line: ask Next;
//     if it names a lane, let that lane look at what it may do (it will Take
//     if it can), then say Done, and ask Next again, until it names none. No
//     lock that a lane's look needs may be held meanwhile; who holds one has
//     it done right after, by a timer of zero or by another goroutine.
//  2. Whoever is told a time, by Next or by Take, sees to it that the line is
//     served then. The earliest of all that were told and have not come yet
//     is enough, so one timer will do: serving the line early does no harm,
//     and tells a time again.
//
// Nothing follows from a Take without a time, from Use and from Done. A lane
// that was held by something else and lost its place must look again, as
// always, when that other thing changes.
//
// So at any moment when a lane waits, and an attempt in flight more is
// allowed, one of these is true: one lane has been named and is not Done,
// somebody is about to serve the line, or a time was told at which the line
// will be served and no token is free before it.
//
// W names a lane, by pointer for instance. The line has at most one entry for
// each. A Fair may be used from several goroutines; Take, Use, GiveBack and
// Release may be called under a lane's lock.
type Fair[W comparable] struct {
	mu    sync.Mutex
	limit int
	used  int // attempts in flight, and those taken but not yet begun
	rate  Rate
	line  line[W]

	named bool   // the head was told that it is its turn, and has not asked since
	turn  uint64 // counts the namings: the present one
}

// Turn is a lane whose turn it is. The zero Turn is nobody's.
type Turn[W comparable] struct {
	Lane W
	id   uint64
}

// NewFair shares limit attempts in flight, at least 1, and valid rate settings.
func NewFair[W comparable](limit int, rate RateSettings) *Fair[W] {
	f := &Fair[W]{}
	f.line.places = make(map[W]struct{})
	f.Set(limit, rate)
	return f
}

// Set changes how much there is to share. Attempts beyond a lower limit
// finish, what passed before counts for the new rate (see [Rate.Set]), and
// the line stays. Then serve the line.
func (f *Fair[W]) Set(limit int, rate RateSettings) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.limit = max(limit, 1)
	f.rate.Set(rate)
}

// Take gives the lane one attempt; it answers no hold, and exactly one Use or
// GiveBack must follow. Or it puts the lane in line, unless it is there.
// Then the hold's reason is what is short, ReasonSlots if only the turn of
// others; its time, when there is one, is when to serve the line.
func (f *Fair[W]) Take(w W, now time.Time) Hold {
	f.mu.Lock()
	defer f.mu.Unlock()
	first := f.line.n == 0 || f.line.head() == w
	if !first {
		f.line.join(w)
		if f.used < f.limit {
			if ok, _ := f.rate.Peek(now); !ok {
				return Hold{Reason: ReasonRate}
			}
		}
		return Hold{Reason: ReasonSlots}
	}
	f.named = false // it has asked
	if f.used >= f.limit {
		f.line.join(w)
		return Hold{Reason: ReasonSlots}
	}
	if ok, until := f.rate.Take(now); !ok {
		f.line.join(w)
		return Hold{Reason: ReasonRate, Until: until}
	}
	f.used++
	if f.line.n > 0 {
		f.line.leave()
	}
	return Hold{}
}

// Use says that the attempt begins now. Release must follow when it ends.
func (f *Fair[W]) Use(now time.Time) { f.rate.Use(now) }

// GiveBack returns an attempt that was not begun, because another gate
// refused it: it burns no token. Then serve the line.
func (f *Fair[W]) GiveBack() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.used = max(f.used-1, 0)
	f.rate.GiveBack()
}

// Release ends an attempt that was begun. Then serve the line; the lane
// itself may Take before that, which gives it nothing while others wait.
func (f *Fair[W]) Release() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.used = max(f.used-1, 0)
}

// Next names the lane whose turn it is, if there is something to share and no
// other turn is still open: whoever was named that one goes on here. Done must
// follow. Without a lane, wake tells when the next token is there if a lane
// waits for nothing else; it is zero if not.
func (f *Fair[W]) Next(now time.Time) (turn Turn[W], wake time.Time, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.line.n == 0 || f.named || f.used >= f.limit {
		return Turn[W]{}, time.Time{}, false
	}
	if ok, wake = f.rate.Peek(now); !ok {
		return Turn[W]{}, wake, false
	}
	f.named = true
	f.turn++
	return Turn[W]{Lane: f.line.head(), id: f.turn}, time.Time{}, true
}

// Done says that the lane has looked. If it did not ask for what was offered,
// it loses its place.
func (f *Fair[W]) Done(t Turn[W]) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.named && f.turn == t.id {
		f.named = false
		f.line.leave()
	}
}

// line is a queue in which each has one place at most. Its memory is as large
// as the line once was, and is used over.
type line[W comparable] struct {
	ring   []W // of a length that is a power of two
	first  int // where in ring the head is
	n      int
	places map[W]struct{}
}

func (l *line[W]) head() W { return l.ring[l.first] }

func (l *line[W]) join(w W) {
	if _, ok := l.places[w]; ok {
		return
	}
	l.places[w] = struct{}{}
	if l.n == len(l.ring) {
		ring := make([]W, max(2*l.n, 16))
		copied := copy(ring, l.ring[l.first:])
		copy(ring[copied:], l.ring[:l.first])
		l.ring, l.first = ring, 0
	}
	l.ring[(l.first+l.n)&(len(l.ring)-1)] = w
	l.n++
}

// leave takes out the head.
func (l *line[W]) leave() {
	var none W
	delete(l.places, l.ring[l.first])
	l.ring[l.first] = none
	l.first = (l.first + 1) & (len(l.ring) - 1)
	l.n--
}
