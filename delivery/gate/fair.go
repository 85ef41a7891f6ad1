package gate

import (
	"sync"
	"time"
)

// Fair shares out what all lanes need and there is too little of: a bounded
// number of attempts in flight, and the tokens of one rate limit. An attempt
// needs one of each, and gets both in one turn. Of the attempts in flight
// only a part is for lanes whose endpoint does not answer, or did not yet:
// the quiet ones. A thousand endpoints that hang leave room for those that
// work.
//
// While nobody waits, whoever asks gets. Else there is a line: first come,
// first served, one place per lane. A turn is one attempt; who wants another
// goes to the back. So with k lanes in line each gets one attempt in k,
// however busy the others are. A lane that cannot use its turn loses it, and
// the next one has it at once. Only one thing lets a lane be passed: it is
// quiet, and the part for quiet ones is used up. It keeps its place.
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
// So at any moment when a lane waits, and an attempt of it more is allowed,
// one of these is true: one lane has been named and is not Done, somebody is
// about to serve the line, or a time was told at which the line will be
// served and no token is free before it.
//
// W names a lane, by pointer for instance. The line has at most one entry for
// each. A Fair may be used from several goroutines; Take, Use, GiveBack and
// Release may be called under a lane's lock.
type Fair[W comparable] struct {
	mu         sync.Mutex
	limit      int
	quietLimit int
	used       int // attempts in flight, and those taken but not yet begun
	quietUsed  int // those of them that were taken as quiet
	rate       Rate
	line       line[W]

	named bool   // a lane was told that it is its turn, and has not asked since
	whose W      // that lane
	turn  uint64 // counts the namings: the present one
}

// Turn is a lane whose turn it is. The zero Turn is nobody's.
type Turn[W comparable] struct {
	Lane W
	id   uint64
}

// NewFair shares limit attempts in flight, quietLimit of them for quiet lanes, each at least 1, and valid rate settings.
func NewFair[W comparable](limit, quietLimit int, rate RateSettings) *Fair[W] {
	f := &Fair[W]{}
	f.line.places = make(map[W]*place[W])
	f.Set(limit, quietLimit, rate)
	return f
}

// Set changes how much there is to share. Attempts beyond a lower limit
// finish, what passed before counts for the new rate (see [Rate.Set]), and
// the line stays. Then serve the line.
func (f *Fair[W]) Set(limit, quietLimit int, rate RateSettings) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.limit, f.quietLimit = max(limit, 1), max(quietLimit, 1)
	f.rate.Set(rate)
}

// Take gives the lane one attempt; it answers no hold, and exactly one Use or
// GiveBack must follow. Or it puts the lane in line, unless it is there.
// Then the hold's reason is what is short, ReasonSlots if only the turn of
// others; its time, when there is one, is when to serve the line.
//
// A lane may be quiet at one call and not at the next; it keeps its place.
func (f *Fair[W]) Take(w W, quiet bool, now time.Time) Hold {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.named && f.whose == w {
		f.named = false // it has asked
	}
	f.line.regard(w, quiet)
	if first := f.first(); first != nil && first.lane != w {
		f.line.join(w, quiet)
		if f.room(quiet) {
			if ok, _ := f.rate.Peek(now); !ok {
				return Hold{Reason: ReasonRate}
			}
		}
		return Hold{Reason: ReasonSlots}
	}
	if !f.room(quiet) {
		f.line.join(w, quiet)
		return Hold{Reason: ReasonSlots}
	}
	if ok, until := f.rate.Take(now); !ok {
		f.line.join(w, quiet)
		return Hold{Reason: ReasonRate, Until: until}
	}
	f.used++
	if quiet {
		f.quietUsed++
	}
	f.line.leave(w)
	return Hold{}
}

// Use says that the attempt begins now. Release must follow when it ends.
func (f *Fair[W]) Use(now time.Time) { f.rate.Use(now) }

// GiveBack returns an attempt that was not begun, because another gate
// refused it: it burns no token. Quiet is as it was at Take. Then serve the
// line.
func (f *Fair[W]) GiveBack(quiet bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.free(quiet)
	f.rate.GiveBack()
}

// Release ends an attempt that was begun. Quiet is as it was at Take. Then
// serve the line; the lane itself may Take before that, which gives it
// nothing while others wait.
func (f *Fair[W]) Release(quiet bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.free(quiet)
}

// Next names the lane whose turn it is, if there is something to share and no
// other turn is still open: whoever was named that one goes on here. Done must
// follow. Without a lane, wake tells when the next token is there if a lane
// waits for nothing else; it is zero if not.
func (f *Fair[W]) Next(now time.Time) (turn Turn[W], wake time.Time, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	first := f.first()
	if first == nil || f.named || f.used >= f.limit {
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

// first is whose turn it is as soon as there is something to share: the head of the line, without the quiet ones while
// their part is used up. Nil: nobody's.
func (f *Fair[W]) first() *place[W] {
	lively, quiet := f.line.lively.first, f.line.quiet.first
	switch {
	case quiet == nil || f.quietUsed >= f.quietLimit:
		return lively
	case lively == nil || quiet.ticket < lively.ticket:
		return quiet
	default:
		return lively
	}
}

func (f *Fair[W]) room(quiet bool) bool {
	return f.used < f.limit && (!quiet || f.quietUsed < f.quietLimit)
}

func (f *Fair[W]) free(quiet bool) {
	f.used = max(f.used-1, 0)
	if quiet {
		f.quietUsed = max(f.quietUsed-1, 0)
	}
}
