package gate

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
)

// RateSettings are a limit of attempts per unit of time. They are comparable,
// so that a reload that changes nothing is seen as such. The zero value is no
// limit.
type RateSettings struct {
	// N attempts at most begin in any span of one Unit, bursts included.
	N int
	// Unit is a second, a minute or an hour.
	Unit time.Duration
	// Burst is how many may begin at once after quiet, from 1 to N; 1 spreads
	// them evenly. 0: a tenth of N, rounded up.
	Burst int
}

// maxRate bounds N: far above what one gateway sends in a second, and low
// enough that the time between two attempts is no rounding error.
const maxRate = 10_000_000

// ParseRate reads a limit as users write it: "50/s", "1000/m" or "20000/h".
func ParseRate(text string) (RateSettings, error) {
	number, unit, _ := strings.Cut(text, "/")
	n, err := strconv.ParseUint(number, 10, 31)
	s := RateSettings{N: int(n)}
	switch unit {
	case "s":
		s.Unit = time.Second
	case "m":
		s.Unit = time.Minute
	case "h":
		s.Unit = time.Hour
	}
	if err != nil || n == 0 || s.Unit == 0 {
		return RateSettings{}, fmt.Errorf("rate limit %q is not a number per s, m or h, as in 1000/m", text)
	}
	return s, s.Validate()
}

// Validate says what is wrong with the settings, naming the option.
func (s RateSettings) Validate() error {
	switch {
	case s == RateSettings{}:
		return nil
	case s.N < 1 || s.N > maxRate:
		return fmt.Errorf("rate limit of %d is not between 1 and %d", s.N, maxRate)
	case s.Unit != time.Second && s.Unit != time.Minute && s.Unit != time.Hour:
		return errors.New("rate limit is not per second, minute or hour")
	case s.Burst < 0 || s.Burst > s.N:
		return fmt.Errorf("rate limit burst %d is not between 1 and the limit of %d", s.Burst, s.N)
	}
	return nil
}

// String returns the limit as users write it, with its burst spelled out.
func (s RateSettings) String() string {
	if s.N == 0 {
		return "off"
	}
	unit := map[time.Duration]string{time.Second: "s", time.Minute: "m", time.Hour: "h"}[s.Unit]
	return fmt.Sprintf("%d/%s burst %d", s.N, unit, s.burst())
}

func (s RateSettings) burst() int {
	if s.Burst > 0 {
		return s.Burst
	}
	return (s.N + 9) / 10
}

const (
	// rateLog is how many times a Rate remembers at most: 8 KiB.
	rateLog = 1024
	// lateness that is made up for even without a burst. Timers fire up to a
	// few milliseconds late; at 10/s those would cost some percent.
	lateness = 10 * time.Millisecond
	// clockJitter is how far apart clock readings of goroutines may reach us
	// in the wrong order. What goes back further was a step of the clock.
	clockJitter = time.Second
)

// Rate lets N attempts pass per unit: never more in any closed-open span of
// that length, wherever it begins, and in the long run no fewer either.
//
// A token bucket alone cannot do both. One that holds Burst and refills N a
// unit, as golang.org/x/time/rate does, passes Burst + N in some span; one
// that refills N − Burst keeps the promise, gives up Burst of every N, and
// stands still when Burst is N. So two rules must agree here:
//
//   - The window. An attempt passes one unit after the one N places before
//     it. That takes the times of the last N, which are kept exactly up to
//     1,024; above, ⌈N/1024⌉ neighbors share one entry, the time of the last
//     of them, which errs by being strict and costs less than 0.3 % of N.
//   - The pace. A token bucket holds Burst and refills N a unit. It only
//     smooths. A bucket that refilled while the window was full would empty
//     at once when the window opens, and so again in every unit; it therefore
//     starts empty from there when someone waited: a backlog begins with a
//     burst and goes on evenly at N a unit.
//
// Taking has two steps, so that an attempt which another gate refuses burns
// no token: each Take that passes is followed by exactly one Use or GiveBack,
// and soon, as those in between count as used.
//
// Times come from the caller and should carry Go's monotonic reading, which
// takes no steps. Without it a clock that is set back makes it stricter and
// never stops it for more than a second; one that is set forward is believed.
//
// A Rate may be used from several goroutines. It starts none, never sleeps,
// and answers in constant time without allocating, except to grow its memory
// with use. The zero value limits nothing; see Set.
type Rate struct {
	mu       sync.Mutex
	settings RateSettings
	unit     int64 // like all times below, in nanoseconds
	interval int64 // between two attempts at an even pace; rounded down, the window is exact
	ahead    int64 // how much earlier than an even pace one may pass: the burst
	group    int64 // attempts that share an entry of latest
	groups   int64 // entries that make up a window

	base   time.Time // where our time begins: the first reading
	clock  int64     // the highest reading so far; our time never goes back
	passed int64     // attempts used
	taken  int64     // and those neither used nor given back yet
	latest []int64   // when the last of each group was used; group g is at g modulo groups
	due    int64     // when the next one is due at an even pace
}

// NewRate makes a rate with these settings, which must be valid.
func NewRate(s RateSettings) *Rate {
	r := new(Rate)
	r.Set(s)
	return r
}

// Set puts valid settings in force. What passed before counts on, as far as
// the settings before made it remember: a reload does not open the window
// again. Only the pace starts afresh. Equal settings change nothing.
func (r *Rate) Set(s RateSettings) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s == r.settings {
		return
	}
	before, passed, group, groups, latest := int64(r.settings.N), r.passed, r.group, r.groups, r.latest
	r.settings, r.passed, r.latest, r.due = s, 0, nil, r.clock
	if s.N == 0 {
		return
	}
	n := int64(s.N)
	r.unit = int64(s.Unit)
	r.interval = r.unit / n
	r.ahead = int64(s.burst()-1)*r.interval + min(r.interval/2, int64(lateness))
	r.group = (n + rateLog - 1) / rateLog
	r.groups = n / r.group
	if len(latest) == 0 {
		return
	}
	// What the log no longer has of the last N is taken for as late as the
	// oldest it has.
	first := max(passed-min(n, before), 0)
	for g := max((passed-1)/group-groups+1, 0); g*group < passed; g++ {
		end := min((g+1)*group, passed)
		r.passLocked(end-first, latest[g%groups])
		first = max(first, end)
	}
	// A group is asked about when it begins, and nobody asked here: none may
	// be under way.
	r.passed = (r.passed + r.group - 1) / r.group * r.group
}

// Settings are those in force.
func (r *Rate) Settings() RateSettings {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.settings
}

// Peek answers as Take would, and takes nothing.
func (r *Rate) Peek(now time.Time) (ok bool, until time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	ok, until, _ = r.askLocked(now)
	return ok, until
}

// Take lets one attempt pass, which must then be used or given back. Or it
// tells when to ask again: at that time one will pass unless others came
// first, and earlier only if something is given back.
func (r *Rate) Take(now time.Time) (ok bool, until time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	ok, until, at := r.askLocked(now)
	if ok {
		r.taken++
		r.due = max(r.due, at) + r.interval
	}
	return ok, until
}

// Use makes the attempt that Take let pass; it begins now.
func (r *Rate) Use(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.taken = max(r.taken-1, 0)
	if r.settings.N > 0 {
		_, at := r.readLocked(now)
		r.passLocked(1, at)
	}
}

// GiveBack undoes a Take whose attempt is not made.
func (r *Rate) GiveBack() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.taken = max(r.taken-1, 0)
	r.due -= r.interval
}

// askLocked tells whether one more may pass, at what time that is by our
// clock, and else when.
func (r *Rate) askLocked(now time.Time) (ok bool, until time.Time, at int64) {
	if r.settings.N == 0 {
		return true, time.Time{}, 0
	}
	read, at := r.readLocked(now)
	opens := r.opensLocked(at)
	if opens > at && r.taken == 0 { // else a GiveBack may open it earlier
		r.due = max(r.due, opens+r.ahead)
	}
	opens = max(opens, r.due-r.ahead)
	if opens <= at {
		return true, time.Time{}, at
	}
	return false, now.Add(time.Duration(opens - read)), at
}

// readLocked turns a reading of the caller's clock into ours. read is what it
// says, at is the time we go by: never before an earlier one, since attempts
// would seem further apart than they are.
func (r *Rate) readLocked(now time.Time) (read, at int64) {
	if r.base.IsZero() {
		r.base = now
	}
	read = int64(now.Sub(r.base))
	if read < r.clock-int64(clockJitter) { // set back: go on from here
		r.base = now.Add(-time.Duration(r.clock))
		read = r.clock
	}
	r.clock = max(r.clock, read)
	return read, r.clock
}

// opensLocked is when the window lets one more pass.
//
// Why this keeps the promise: attempt number i belongs to group i/group. A
// group begins one unit after the last member of the one `groups` before it
// was used. Numbers i and i+N are at least `groups` groups apart, since
// groups × group ≤ N; so they are at least one unit apart. Attempts not yet
// used count as the next numbers. If some are given back, the others get
// lower numbers than they asked for, and those were free earlier.
func (r *Rate) opensLocked(at int64) int64 {
	g := (r.passed + r.taken) / r.group
	old := g - r.groups
	switch {
	case old < 0 || g*r.group < r.passed: // nothing to wait for, or the group has begun
		return at
	case (old+1)*r.group > r.passed: // it waits for attempts not yet used: at best they begin now
		return at + r.unit
	}
	return r.latest[g%r.groups] + r.unit
}

// passLocked notes n attempts at one time, no earlier than those before.
func (r *Rate) passLocked(n, at int64) {
	for n > 0 {
		g := r.passed / r.group
		if i := int(g % r.groups); i < len(r.latest) {
			r.latest[i] = at
		} else {
			r.latest = append(r.latest, at)
		}
		members := min(n, (g+1)*r.group-r.passed)
		r.passed += members
		n -= members
	}
}
