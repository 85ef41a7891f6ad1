package embedded

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/retry"
)

// Attempts are found by time in four ways: at one endpoint, of one tenant, and failures by their class, each by rows of their
// own; all others through the rows of kindActive, which tell at which endpoints there were attempts in a slice of time:
// these endpoints' rows are merged. So a listing of all attempts costs no row per attempt.
const (
	// activeShift makes slices of 2^11 ms: short enough that one slice of a busy gateway is a few thousand rows, long enough
	// that a busy endpoint costs one row in thousands of attempts.
	activeShift = 11
	// examineRows bounds the index rows one page looks at, beyond the slice of time it is in.
	examineRows = 8192
	rowSeekCost = 16 // a look-up beside reading the next row
)

// attemptHint is the value of an index row: enough to pass over most attempts that a search does not want without reading
// them. It promises nothing, since it is hashed, and rows of earlier programs have none.
type attemptHint struct {
	outcome byte
	tenant  uint16
	status  uint16
}

const hintBytes = 5

func hintOf(a *delivery.Attempt, tenant string) attemptHint {
	return attemptHint{outcome: byte(shortHash(a.Outcome)), tenant: shortHash(tenant), status: uint16(a.Status)} //nolint:gosec // three digits
}

func shortHash(s string) uint16 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(s)) // never fails
	sum := h.Sum32()
	return uint16(sum ^ sum>>16) //nolint:gosec // folded
}

func (h attemptHint) encode() []byte {
	b := []byte{h.outcome}
	b = binary.BigEndian.AppendUint16(b, h.tenant)
	return binary.BigEndian.AppendUint16(b, h.status)
}

// hintFilter is what a query wants of hints.
type hintFilter struct {
	q       *delivery.AttemptQuery
	outcome byte
	tenant  uint16
}

func newHintFilter(q *delivery.AttemptQuery) hintFilter {
	f := hintFilter{q: q, outcome: byte(shortHash(q.Outcome))}
	if q.Tenant != nil {
		f.tenant = shortHash(*q.Tenant)
	}
	return f
}

func (f *hintFilter) mayWant(val []byte) bool {
	if len(val) != hintBytes {
		return true
	}
	return (f.q.Outcome == "" || f.outcome == val[0]) &&
		(f.q.Tenant == nil || f.tenant == binary.BigEndian.Uint16(val[1:])) &&
		f.q.WantsStatus(int(binary.BigEndian.Uint16(val[3:])))
}

// failureClasses are the outcomes an answer with a status beyond 2xx can have.
func failureClasses() (names []string) {
	for _, o := range retry.Outcomes() {
		if o != retry.Delivered {
			names = append(names, o.String())
		}
	}
	return names
}

// tenantHash names a tenant in a key: it may hold any byte, and be long. Two of one hash are told apart by their events.
func tenantHash(tenant string) string {
	sum := sha256.Sum256([]byte(tenant))
	return hex.EncodeToString(sum[:4])
}

// activeKey is the row of an endpoint that had attempts in a slice of time.
func activeKey(slice uint64, lane string) []byte {
	return append(binary.BigEndian.AppendUint64([]byte{kindActive}, slice), lane...)
}

func sliceOf(p place) uint64 { return binary.BigEndian.Uint64(p[:]) >> activeShift }

// Attempts implements delivery.Search. A cursor is the place of the last attempt looked at.
func (s *Store) Attempts(ctx context.Context, q delivery.AttemptQuery) (delivery.AttemptPage, error) {
	l := &attemptListing{s: s, q: &q, limit: pageSize(q.Limit), filter: newHintFilter(&q), below: lastPlace}
	if !q.Until.IsZero() {
		l.below = makePlace(q.Until, delivery.Key{}, 0)
	}
	if q.Cursor != "" {
		b, err := base64.RawURLEncoding.DecodeString(q.Cursor)
		if err != nil || len(b) != len(l.below) {
			return l.page, fmt.Errorf("attempts: cursor %.40q: %w", q.Cursor, delivery.ErrCursor)
		}
		if at := place(b); at.before(l.below) {
			l.below = at
		}
	}
	if !q.Since.IsZero() {
		l.least = makePlace(q.Since, delivery.Key{}, 0)
	}
	c, done, err := s.view(ctx, "attempts")
	if err != nil {
		return l.page, err
	}
	defer done()
	l.c = c
	switch {
	case q.Endpoint != "":
		err = l.byName(ctx, kindByEndpoint, q.Endpoint)
	case q.Outcome != "" && q.Outcome != outcomeDelivered:
		err = l.byName(ctx, kindByOutcome, q.Outcome)
	case q.Tenant != nil && *q.Tenant != "":
		err = l.byName(ctx, kindByTenant, tenantHash(*q.Tenant))
	case q.StatusFrom >= 300:
		err = l.byName(ctx, kindByOutcome, failureClasses()...)
	default:
		err = l.byTime(ctx)
	}
	return l.page, c.readError("attempts", err)
}

func (p place) before(q place) bool { return slices.Compare(p[:], q[:]) < 0 }

// attemptListing collects one page.
type attemptListing struct {
	s      *Store
	c      *conn
	q      *delivery.AttemptQuery
	limit  int
	filter hintFilter
	// below and least bound the places to look at: least ≤ place < below. below falls as the listing goes on.
	below, least place
	examined     int
	page         delivery.AttemptPage
}

// byName lists the rows of one name of an index, or of several names, merged.
func (l *attemptListing) byName(ctx context.Context, kind byte, names ...string) (err error) {
	var its []*pebble.Iterator
	defer func() {
		for _, it := range its {
			err = errors.Join(err, it.Close())
		}
	}()
	for _, name := range names {
		prefix := append(namedKey(kind, name), 0)
		it, err := l.c.scan(append(slices.Clone(prefix), l.least[:]...), append(slices.Clone(prefix), l.below[:]...))
		if err != nil {
			return err
		}
		its = append(its, it)
		it.Last()
	}
	for {
		it := latest(its)
		if it == nil {
			return nil // Close tells of errors
		}
		at := placeOf(it.Key())
		if l.examined++; l.examined > examineRows {
			l.pause()
			return nil
		}
		if wanted, err := l.wanted(it); err != nil {
			return err
		} else if wanted {
			if more, err := l.add(ctx, at); err != nil || !more {
				return err
			}
		}
		l.below = at
		it.Prev()
	}
}

// latest of the iterators, by place; nil when none is left.
func latest(its []*pebble.Iterator) (last *pebble.Iterator) {
	for _, it := range its {
		if it.Valid() && (last == nil || placeOf(last.Key()).before(placeOf(it.Key()))) {
			last = it
		}
	}
	return last
}

func placeOf(key []byte) place { return place(key[len(key)-len(place{}):]) }

func (l *attemptListing) wanted(it *pebble.Iterator) (bool, error) {
	val, err := value(it)
	return err == nil && l.filter.mayWant(val), err
}

// pause ends the page before its time: what is at or above below was looked at.
func (l *attemptListing) pause() {
	l.page.Next = base64.RawURLEncoding.EncodeToString(l.below[:])
}

// byTime goes back slice by slice and merges the rows of the endpoints that had attempts in it.
func (l *attemptListing) byTime(ctx context.Context) error {
	slicesIt, err := l.c.scan([]byte{kindActive}, []byte{kindActive + 1})
	if err != nil {
		return err
	}
	defer slicesIt.Close()
	rows, err := l.c.scan([]byte{kindByEndpoint}, []byte{kindByEndpoint + 1})
	if err != nil {
		return err
	}
	defer rows.Close()
	for {
		end := sliceOf(l.below)
		if sliceStart(end).before(l.below) {
			end++
		}
		if !slicesIt.SeekLT(activeKey(end, "")) {
			return slicesIt.Error()
		}
		slice := binary.BigEndian.Uint64(slicesIt.Key()[1:])
		if slice < sliceOf(l.least) {
			return nil
		}
		if l.examined > examineRows {
			l.below = sliceStart(slice + 1)
			l.pause()
			return nil
		}
		found, whole, err := l.inSlice(slicesIt, rows, slice)
		if err != nil {
			return err
		}
		for _, at := range found {
			if more, err := l.add(ctx, at); err != nil || !more {
				return err
			}
			l.below = at
		}
		if whole { // else what was found was not enough after all, and there is more below
			l.below = sliceStart(slice)
		}
		l.examined++
	}
}

func sliceStart(slice uint64) (p place) {
	if slice > math.MaxUint64>>activeShift {
		return lastPlace
	}
	binary.BigEndian.PutUint64(p[:], slice<<activeShift)
	return p
}

// inSlice finds the newest places of a slice that the hints do not rule out, newest first: one more than the page still takes,
// since no more can be shown. So the more endpoints there are, the sooner each is passed: 1,000 of them cost 1,000 look-ups and
// not 50,000 rows. whole tells that there are no others in the slice.
func (l *attemptListing) inSlice(actives, rows *pebble.Iterator, slice uint64) (found []place, whole bool, err error) {
	from, to := sliceStart(slice), sliceStart(slice+1)
	if from.before(l.least) {
		from = l.least
	}
	if l.below.before(to) {
		to = l.below
	}
	room := l.limit - len(l.page.Items) + 1
	newest := func() {
		slices.SortFunc(found, func(a, b place) int { return slices.Compare(b[:], a[:]) })
		if len(found) > room {
			found, whole, from = found[:room], false, found[room-1]
		}
	}
	whole = true
	prefix := activeKey(slice, "")
	for ok := actives.SeekGE(prefix); ok && slices.Equal(actives.Key()[:len(prefix)], prefix); ok = actives.Next() {
		n, err := l.ofLane(rows, string(actives.Key()[len(prefix):]), from, to, room, &found)
		if err != nil {
			return nil, false, err
		}
		whole = whole && n < room
		if len(found) > 2*room {
			newest()
		}
	}
	newest()
	return found, whole, actives.Error()
}

// ofLane adds the newest places of one endpoint that the hints do not rule out, at most room, and counts them.
func (l *attemptListing) ofLane(rows *pebble.Iterator, lane string, from, to place, room int, found *[]place) (n int, err error) {
	lower := append(append(namedKey(kindByEndpoint, lane), 0), from[:]...)
	upper := append(append(namedKey(kindByEndpoint, lane), 0), to[:]...)
	l.examined += rowSeekCost
	for ok := rows.SeekLT(upper); ok && n < room && slices.Compare(rows.Key(), lower) >= 0; ok = rows.Prev() {
		l.examined++
		wanted, err := l.wanted(rows)
		if err != nil {
			return n, err
		}
		if wanted {
			*found = append(*found, placeOf(rows.Key()))
			n++
		}
	}
	return n, rows.Error()
}

// add reads an attempt and shows it if it is wanted; false when the page was full before.
func (l *attemptListing) add(ctx context.Context, at place) (more bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	if len(l.page.Items) == l.limit {
		l.pause()
		return false, nil
	}
	k, step := at.key(), binary.BigEndian.Uint16(at[18:])
	l.examined += rowSeekCost
	t, err := getRow(l.c, stepKey(kindTransition, k, step), decodeTransition)
	if l.s.bad.skip(l.s, l.c, stepKey(kindTransition, k, step), err) || errors.Is(err, pebble.ErrNotFound) {
		return true, nil // deleted since, or corrupt
	}
	if err != nil {
		return false, err
	}
	if t.Attempt == nil || !l.q.Wants(t.Attempt) {
		return true, nil
	}
	ev, err := getRow(l.c, eventKey(k.Seq), decodeHeadOnly)
	if l.s.bad.skip(l.s, l.c, eventKey(k.Seq), err) || errors.Is(err, pebble.ErrNotFound) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	if l.q.Tenant != nil && *l.q.Tenant != ev.Tenant || !within(t.At, l.q.Since, l.q.Until) {
		return true, nil
	}
	t.Attempt.Request = nil // of which the head was not read
	l.page.Items = append(l.page.Items, &delivery.AttemptRecord{
		DeliveryID: l.s.ids.encode(k), Event: ev, At: t.At, State: t.Progress.State, Attempt: t.Attempt,
	})
	return true, nil
}

func within(at, since, until time.Time) bool {
	return (since.IsZero() || !at.Before(since)) && (until.IsZero() || at.Before(until))
}
