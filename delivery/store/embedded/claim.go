package embedded

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/atoship/caddy-webhooks/delivery"
)

// Claim implements delivery.Lane. It looks in the caller's goroutine; the committer then moves what was found from
// waiting to handed over, in one synced commit shared with whatever else waits. Once asked, it waits for that commit even
// when ctx ends: an answer that nobody takes would leave the deliveries in nobody's hands.
func (l *lane) Claim(ctx context.Context, q delivery.Claim) (delivery.Claimed, error) {
	l.claiming.Lock()
	defer l.claiming.Unlock()
	c, done, err := l.s.view(ctx, "claim")
	if err != nil {
		return delivery.Claimed{}, err
	}
	defer done()
	f := &finder{s: l.s, c: c, lane: l, q: q, expired: l.s.expired.Load()}
	defer f.tellLane()
	if err := f.find(); err != nil {
		return delivery.Claimed{}, c.readError("claim from "+l.name, err)
	}
	if len(f.found) > 0 || len(f.lost) > 0 {
		o := &claimOp{call: newCall(), finder: f}
		if err := l.s.submit(ctx, o); err != nil {
			return delivery.Claimed{}, fmt.Errorf("claim from %s: %w", l.name, err)
		}
		if err := l.s.await(context.WithoutCancel(ctx), &o.call); err != nil {
			return delivery.Claimed{}, fmt.Errorf("claim from %s: %w", l.name, err)
		}
	}
	f.taken = true
	for i := range f.found {
		if d := f.found[i].d; d != nil {
			f.out.Deliveries = append(f.out.Deliveries, d)
		}
	}
	return f.out, nil
}

// finder looks for due deliveries of a lane.
type finder struct {
	s       *Store
	c       *conn
	lane    *lane
	q       delivery.Claim
	expired uint64 // Store.expired before looking

	lines []*line
	found []foundRow
	lost  []foundRow // waiting rows whose event is gone or corrupt
	bytes int
	event *delivery.Event // the last one read: fan-out puts several deliveries of one event into a window
	// events reads all but the first. While much is written there is no cache to speak of, and each Get would read and
	// unpack a block of some dozen events for one of them: that was half of what delivering a backlog cost.
	events *pebble.Iterator
	out    delivery.Claimed
	taken  bool // what was found is handed over
}

type foundRow struct {
	key []byte
	t   turn // no chain when it is lost altogether
	k   delivery.Key
	d   *delivery.Delivery // nil when the committer found the row gone
}

// find merges both lines by place.
func (f *finder) find() (err error) {
	defer func() {
		if f.events != nil {
			err = errors.Join(err, f.events.Close())
		}
	}()
	kinds := []bool{true, false}
	if f.q.Movable != nil {
		kinds = kinds[:1]
	}
	for _, movable := range kinds {
		ln := &line{movable: movable, prefix: waitingPrefix(f.lane.name, movable)}
		ln.early, ln.low = f.lane.begin(movable)
		f.lines = append(f.lines, ln)
		if ln.it, err = f.c.scan(ln.prefix, after(ln.prefix)); err != nil {
			return err
		}
		defer ln.it.Close()
		ln.first(f.q.After)
	}
	now := dueMillis(f.q.Now)
	for ln := f.first(); ln != nil; ln = f.first() {
		if dueMillis(ln.at.due()) > now {
			f.out.Next = ln.at.due()
			break
		}
		taken, err := f.take(ln)
		if err != nil {
			return err
		}
		if !taken {
			f.out.More = true
			break
		}
		f.out.Last = delivery.Place{Due: ln.at.due(), Key: ln.at.key()}
		ln.next()
	}
	for _, ln := range f.lines {
		if err := ln.it.Error(); err != nil {
			return err
		}
		ln.end()
	}
	if f.out.More {
		return f.next(now)
	}
	return nil
}

// tellLane tells what is left: all there was, unless what was found from the head on is handed over.
func (f *finder) tellLane() {
	for _, ln := range f.lines {
		if f.taken && f.q.After == (delivery.Place{}) {
			f.lane.finish(ln.movable, ln.stay, ln.rest, f.c)
		} else {
			f.lane.finish(ln.movable, ln.early, ln.low, f.c)
		}
	}
}

// first is the line whose row comes first; nil at the end of all.
func (f *finder) first() (best *line) {
	for _, ln := range f.lines {
		if ln.ok && (best == nil || bytes.Compare(ln.at[:], best.at[:]) < 0) {
			best = ln
		}
	}
	return best
}

// next finds the first due time after now, behind everything that is due already.
func (f *finder) next(now uint64) error {
	p := makePlace(time.UnixMilli(int64(now)+1), delivery.Key{}, 0)
	for _, ln := range f.lines {
		ln.set(ln.it.SeekGE(ln.key(p)))
		if err := ln.it.Error(); err != nil {
			return err
		}
	}
	if ln := f.first(); ln != nil {
		f.out.Next = ln.at.due()
	}
	return nil
}

// take adds the row under the line to what is found, or leaves it if the caller does not want it; false when it would be
// too much.
func (f *finder) take(ln *line) (bool, error) {
	if len(f.found) >= f.q.Max || f.out.Left >= delivery.MaxScan {
		return false, nil
	}
	key, k := slices.Clone(ln.it.Key()), ln.at.key()
	val, err := value(ln.it)
	if err != nil {
		return false, err
	}
	t, err := decodeTurn(key, val)
	if err != nil {
		f.s.bad.note(f.s, key, val, err)
		if t, err = f.s.rebuildTurn(f.c, k); err != nil {
			return f.lose(foundRow{key: key, k: k}, err)
		}
	}
	if f.q.Movable != nil && !f.q.Movable(t.delivery(nil, k.Ord, "")) {
		f.out.Left++
		ln.leave()
		return true, nil
	}
	if err := f.read(k.Seq); err != nil {
		return f.lose(foundRow{key: key, t: t, k: k}, err)
	}
	size := len(f.event.Body)
	if len(f.found) > 0 && f.bytes+size > f.q.MaxBytes {
		return false, nil
	}
	f.bytes += size
	f.found = append(f.found, foundRow{key: key, t: t, k: k, d: t.delivery(f.event, k.Ord, f.s.ids.encode(k))})
	return true, nil
}

// read makes event the one with this sequence number.
func (f *finder) read(seq uint64) (err error) {
	if f.event == nil {
		f.event, _, err = f.c.event(seq, false)
		return err
	}
	if f.event.Seq == seq {
		return nil
	}
	if f.events == nil {
		if f.events, err = f.c.scan([]byte{kindEvent}, []byte{kindEvent + 1}); err != nil {
			return err
		}
	}
	key := eventKey(seq)
	if !f.events.SeekGE(key) || !bytes.Equal(f.events.Key(), key) {
		return cmp.Or(f.events.Error(), delivery.ErrNotFound)
	}
	val, err := value(f.events)
	if err != nil {
		return err
	}
	ev, _, err := decodeEvent(key, val, false)
	if err == nil {
		f.event = ev
	}
	return err
}

// lose takes a delivery out of its lane whose event is corrupt or gone: it can never be sent, and must not stop those
// behind it. It stays on record as pending.
func (f *finder) lose(r foundRow, err error) (bool, error) {
	var corrupt *CorruptError
	if !errors.As(err, &corrupt) && !errors.Is(err, delivery.ErrNotFound) {
		return false, err
	}
	f.s.bad.noteKey(f.s, f.c, eventKey(r.k.Seq), err)
	f.lost = append(f.lost, r)
	return true, nil
}

// claimOp moves what a finder found.
type claimOp struct {
	call
	*finder
}

func (o *claimOp) size() (rows, bytes int) {
	return len(o.found) + len(o.lost), 256 * (len(o.found) + len(o.lost))
}
func (*claimOp) lazy() bool { return false }

// build moves each row from waiting to handed over. Between the look and now only Prune and Cancel can have taken a row, so
// rows are looked up again only when they have taken any.
func (o *claimOp) build(tx *tx) error {
	if tx.conn != o.c {
		return delivery.ErrUnavailable // found in an earlier opening
	}
	check := tx.expired.Load() != o.expired
	for i := range o.found {
		r := &o.found[i]
		if check {
			there, err := tx.conn.has(r.key)
			if err != nil {
				return tx.conn.readError("check a waiting delivery", err)
			}
			if !there {
				r.d = nil
			}
		}
	}
	for i := range o.found {
		if r := &o.found[i]; r.d != nil {
			singleDelete(tx.b, r.key)
			tx.handOver(r.k, r.t)
		}
	}
	for i := range o.lost {
		tx.dropLost(&o.lost[i], check)
	}
	return nil
}

// dropLost removes a waiting row whose event cannot be read; if that fails, the next claim finds it again. When the row itself
// could not be read either, nobody knows whether the delivery was ordered.
func (tx *tx) dropLost(r *foundRow, check bool) {
	if check {
		if there, err := tx.conn.has(r.key); err != nil || !there {
			return
		}
	}
	var err error
	if r.t.chain == nil {
		err = tx.abandon(r.k)
	} else {
		err = tx.headEnded(r.t.home(), r.t.order, r.k)
	}
	if err != nil {
		lane, movable, at, _ := parseWaiting(r.key)
		tx.lanes.inserted(queuedRow{lane: lane, movable: movable, at: at})
		return
	}
	singleDelete(tx.b, r.key)
}

func (o *claimOp) done(err error) { o.finish(err) }

// Due implements delivery.Queue: for each lane it reads the first row of each of its two lines.
func (s *Store) Due(ctx context.Context) (map[string]time.Time, error) {
	c, done, err := s.view(ctx, "due")
	if err != nil {
		return nil, err
	}
	defer done()
	due, err := s.due(ctx, c)
	return due, c.readError("due", err)
}

func (s *Store) due(ctx context.Context, c *conn) (map[string]time.Time, error) {
	it, err := c.scan([]byte{kindWaiting}, []byte{kindWaiting + 1})
	if err != nil {
		return nil, err
	}
	defer it.Close()
	due := map[string]time.Time{}
	for ok := it.First(); ok; {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		name, movable, at, valid := parseWaiting(it.Key())
		if !valid {
			ok = it.Next()
			continue
		}
		if t, seen := due[name]; !seen || at.due().Before(t) {
			due[name] = at.due()
		}
		ok = it.SeekGE(after(waitingPrefix(name, movable)))
	}
	return due, it.Error()
}
