package gate

import (
	"sync"
	"time"
)

// Fair shares out what all lanes need and there is too little of: a bounded
// number of attempts in flight, and the tokens of one rate limit. An attempt
// needs one of each, and gets both in one turn. Of the attempts in flight
// only parts are for lanes whose endpoint does not answer, or was not tried
// yet; see [Limits]. A thousand endpoints that hang leave room for those that
// work, and for those that may.
//
// While nobody waits, whoever asks gets. Else there is a line: first come,
// first served, one place per lane. A turn is one attempt; who wants another
// goes to the back. So with k lanes in line each gets one attempt in k,
// however busy the others are. A lane that cannot use its turn loses it, and
// the next one has it at once. Only one thing lets a lane be passed: the part
// for its class is used up. It keeps its place.
//
// The caller does the waking, because a Fair holds no timer, starts no
// goroutine and calls nobody. Two duties keep a turn from getting lost:
//
//  1. Whoever called Release, Rest, Rested, GiveBack or Set then serves the line: ask Next;
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
// So at any moment when a lane waits, and an attempt of it more is allowed,
// one of these is true: one lane has been named and is not Done, somebody is
// about to serve the line, or a time was told at which the line will be
// served and no token is free before it.
//
// W names a lane, by pointer for instance. The line has at most one entry for
// each. A Fair may be used from several goroutines; Take, Use, GiveBack and
// Release may be called under a lane's lock.
type Fair[W comparable] struct {
	mu     sync.Mutex
	limits [classes]int // of a class and those above it
	used   [classes]int // attempts in flight, and those taken but not yet begun: of a class and those above it
	rests  int          // those that ended by Rest and are not Rested: to silent lanes they are in flight
	rate   Rate
	line   line[W]

	named bool   // a lane was told that it is its turn, and has not asked since
	whose W      // that lane
	turn  uint64 // counts the namings: the present one
}

// Class is what is known of a lane's endpoint, from the best to the worst.
type Class uint8

// The classes.
const (
	ClassLively Class = iota // it answers
	ClassFresh               // nothing is known of it yet
	ClassSilent              // it does not answer
	classes     = iota
)

// Limits bound attempts in flight; each is at least 1.
type Limits struct {
	All    int // of all lanes together
	Unsure int // of the fresh and the silent ones
	Silent int // of the silent ones: what it leaves of Unsure is for those not tried yet
}

func (l Limits) byClass() [classes]int {
	return [classes]int{ClassLively: max(l.All, 1), ClassFresh: max(l.Unsure, 1), ClassSilent: max(l.Silent, 1)}
}

// Turn is a lane whose turn it is. The zero Turn is nobody's.
type Turn[W comparable] struct {
	Lane W
	id   uint64
}

// NewFair shares attempts in flight and the tokens of a valid rate.
func NewFair[W comparable](limits Limits, rate RateSettings) *Fair[W] {
	f := &Fair[W]{}
	f.line.places = make(map[W]*place[W])
	f.Set(limits, rate)
	return f
}

// Set changes how much there is to share. Attempts beyond a lower limit
// finish, what passed before counts for the new rate (see [Rate.Set]), and
// the line stays. Then serve the line.
func (f *Fair[W]) Set(limits Limits, rate RateSettings) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.limits = limits.byClass()
	f.rate.Set(rate)
}

// Take gives the lane one attempt; it answers no hold, and exactly one Use or
// GiveBack must follow. Or it puts the lane in line, unless it is there.
// Then the hold's reason is what is short, ReasonSlots if only the turn of
// others; its time, when there is one, is when to serve the line.
//
// A lane may be of one class at one call and of another at the next; it keeps
// its place.
func (f *Fair[W]) Take(w W, class Class, now time.Time) Hold {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.named && f.whose == w {
		f.named = false // it has asked
	}
	f.line.regard(w, class)
	if first := f.first(); first != nil && first.lane != w {
		f.line.join(w, class)
		if f.room(class) {
			if ok, _ := f.rate.Peek(now); !ok {
				return Hold{Reason: ReasonRate}
			}
		}
		return Hold{Reason: ReasonSlots}
	}
	if !f.room(class) {
		f.line.join(w, class)
		return Hold{Reason: ReasonSlots}
	}
	if ok, until := f.rate.Take(now); !ok {
		f.line.join(w, class)
		return Hold{Reason: ReasonRate, Until: until}
	}
	f.count(class, 1)
	f.line.leave(w)
	return Hold{}
}

// Use says that the attempt begins now. Release must follow when it ends.
func (f *Fair[W]) Use(now time.Time) { f.rate.Use(now) }

// GiveBack returns an attempt that was not begun, because another gate
// refused it: it burns no token. The class is that of Take. Then serve the
// line.
func (f *Fair[W]) GiveBack(class Class) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count(class, -1)
	f.rate.GiveBack()
}

// Release ends an attempt that was begun. The class is that of Take. Then
// serve the line; the lane itself may Take before that, which gives it
// nothing while others wait.
func (f *Fair[W]) Release(class Class) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count(class, -1)
}

// Rest is Release for an attempt that had no answer: silent lanes get nothing
// of what it leaves until Rested, which must follow. Then serve the line, both
// times.
func (f *Fair[W]) Rest(class Class) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count(class, -1)
	f.rests++
}

// Rested ends what Rest began.
func (f *Fair[W]) Rested() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rests = max(f.rests-1, 0)
}

// Next names the lane whose turn it is, if there is something to share and no
// other turn is still open: whoever was named that one goes on here. Done must
// follow. Without a lane, wake tells when the next token is there if a lane
// waits for nothing else; it is zero if not.
func (f *Fair[W]) Next(now time.Time) (turn Turn[W], wake time.Time, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	first := f.first()
	if first == nil || f.named || f.used[ClassLively] >= f.limits[ClassLively] {
		return Turn[W]{}, time.Time{}, false
	}
	if ok, wake = f.rate.Peek(now); !ok {
		return Turn[W]{}, wake, false
	}
	f.named, f.whose = true, first.lane
	f.turn++
	return Turn[W]{Lane: first.lane, id: f.turn}, time.Time{}, true
}

// Done says that the lane has looked. If it did not ask for what was offered,
// it loses its place.
func (f *Fair[W]) Done(t Turn[W]) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.named && f.turn == t.id {
		f.named = false
		f.line.leave(t.Lane)
	}
}

// first is whose turn it is as soon as there is something to share: the head of the line, without the classes whose part is
// used up. Nil: nobody's.
func (f *Fair[W]) first() *place[W] {
	var first *place[W]
	for c := range Class(classes) {
		if head := f.line.queues[c].first; head != nil && f.fits(c) && (first == nil || head.ticket < first.ticket) {
			first = head
		}
	}
	return first
}

func (f *Fair[W]) room(class Class) bool {
	return f.used[ClassLively] < f.limits[ClassLively] && f.fits(class)
}

// fits tells whether an attempt more is within the part for a class, and the part that that one is part of.
func (f *Fair[W]) fits(class Class) bool {
	rests := 0
	if class == ClassSilent {
		rests = f.rests
	}
	for c := ClassFresh; c <= class; c++ {
		if f.used[c]+rests >= f.limits[c] {
			return false
		}
	}
	return true
}

func (f *Fair[W]) count(class Class, by int) {
	for c := range class + 1 {
		f.used[c] = max(f.used[c]+by, 0)
	}
}
