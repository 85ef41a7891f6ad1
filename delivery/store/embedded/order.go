package embedded

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/atoship/caddy-webhooks/delivery"
)

// Deliveries with one home and one ordering key form a line. On disk it has an o row that names its head while it has one,
// and an s row for each successor, which holds what the successor's waiting row will say. So whether a new delivery is a
// head is one look-up of a key, and the next successor is found by one seek to behind the head's place: neither steps over
// the tombstones of those that went before, however many they are.

// lineID names a line: home 0 hash. The hash is SHA-256, cut to 16 bytes, because publishers choose the keys: who could
// make two keys collide could make one wait for the other.
type lineID string

func lineOf(home, order string) lineID {
	sum := sha256.Sum256([]byte(order))
	b := make([]byte, 0, len(home)+17)
	b = append(b, home...)
	b = append(b, 0)
	return lineID(append(b, sum[:16]...))
}

// spot is a delivery's place in its line.
type spot struct {
	joined uint64
	k      delivery.Key
}

func (s spot) encode() []byte { return encodeNumbers(s.joined, s.k.Seq, uint64(s.k.Ord)) }

func decodeSpot(key, val []byte) (s spot, err error) {
	var ord uint64
	err = decodeNumbers(key, val, &s.joined, &s.k.Seq, &ord)
	s.k.Ord = uint16(ord)
	return s, err
}

// orderLine is what one commit does to a line.
type orderLine struct {
	id      lineID
	live    bool // it has a head, as of this commit
	head    spot
	known   bool // head is: false when its row is corrupt
	stored  bool // there is an o row on disk
	changed bool // the o row is to be written or removed

	promoted *turn             // of the head, when it was a successor before this commit; it is placed at the end
	added    []successor       // joined in this commit, and so behind all on disk
	gone     map[spot]struct{} // successors on disk that this commit ended
}

type successor struct {
	at spot
	t  turn
}

// line reads a line as the commits before left it, once.
func (tx *tx) line(id lineID) (*orderLine, error) {
	if ln := tx.lines[id]; ln != nil {
		return ln, nil
	}
	ln := &orderLine{id: id}
	key := headKey(id)
	head, err := getRow(tx.conn, key, decodeSpot)
	var corrupt *CorruptError
	switch {
	case err == nil:
		ln.live, ln.stored, ln.head, ln.known = true, true, head, true
	case errors.As(err, &corrupt):
		tx.bad.noteKey(tx.Store, tx.conn, key, err)
		ln.live, ln.stored = true, true
	case !errors.Is(err, pebble.ErrNotFound):
		return nil, err
	}
	if tx.lines == nil {
		tx.lines = map[lineID]*orderLine{}
	}
	tx.lines[id] = ln
	tx.lineOrder = append(tx.lineOrder, ln)
	return ln, nil
}

// join puts a new delivery at the end of a line, and tells whether it is the head. A successor's row is written here.
func (tx *tx) join(ln *orderLine, k delivery.Key, t turn) (head bool) {
	at := spot{t.joined, k}
	if !ln.live {
		ln.live, ln.changed, ln.head, ln.known = true, true, at, true
		return true
	}
	put(tx.b, successorKey(ln.id, at), t.encode())
	ln.added = append(ln.added, successor{at, t})
	return false
}

// headEnded promotes the next of a line when k was its head. After an error nothing was written.
func (tx *tx) headEnded(home, order string, k delivery.Key) error {
	if order == "" {
		return nil
	}
	ln, err := tx.line(lineOf(home, order))
	if err != nil {
		return err
	}
	return tx.promote(ln, k)
}

func (tx *tx) promote(ln *orderLine, k delivery.Key) error {
	if !ln.live || (ln.known && ln.head.k != k) {
		return nil // it had left the line before: its records could not be read
	}
	next, bad, err := tx.next(ln)
	if err != nil {
		return err
	}
	for _, key := range bad {
		singleDelete(tx.b, key)
	}
	ln.changed, ln.promoted = true, nil
	if ln.live = next != nil; ln.live {
		singleDelete(tx.b, successorKey(ln.id, next.at))
		ln.head, ln.known, ln.promoted = next.at, true, &next.t
	}
	return nil
}

// next finds the successor behind the head, and the rows before it of which nothing can be read: their deliveries leave the
// line and stay on record as pending. Each row is passed once, so that a line costs the same however long it is.
func (tx *tx) next(ln *orderLine) (next *successor, bad [][]byte, err error) {
	prefix := successorPrefix(ln.id)
	from := prefix
	if ln.known {
		from = successorKey(ln.id, ln.head)
	}
	it, err := tx.conn.scan(from, after(prefix))
	if err != nil {
		return nil, nil, err
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		_, at, valid := parseSuccessor(it.Key())
		if _, gone := ln.gone[at]; gone || !valid || (ln.known && at == ln.head) {
			continue
		}
		t, lost, err := tx.successorTurn(it, at.k)
		if err != nil {
			return nil, nil, err
		}
		if lost {
			bad = append(bad, slices.Clone(it.Key()))
			continue
		}
		return &successor{at, t}, bad, nil
	}
	if err := it.Error(); err != nil {
		return nil, nil, err
	}
	if len(ln.added) > 0 {
		next = &ln.added[0]
		ln.added = ln.added[1:]
	}
	return next, bad, nil
}

// successorTurn reads the row under the iterator; lost when neither it nor the event's plan can be read.
func (tx *tx) successorTurn(it *pebble.Iterator, k delivery.Key) (t turn, lost bool, err error) {
	val, err := value(it)
	if err != nil {
		return t, false, err
	}
	t, err = decodeTurn(it.Key(), val)
	if err == nil {
		return t, false, nil
	}
	tx.bad.note(tx.Store, it.Key(), val, err)
	t, err = tx.rebuildTurn(tx.conn, k)
	if tx.bad.skip(tx.Store, tx.conn, eventKey(k.Seq), err) {
		return t, true, nil
	}
	return t, false, err
}

// leave takes a pending delivery that nobody holds out of its line, and tells whether it waits in a lane. After an error
// nothing was written.
func (tx *tx) leave(k delivery.Key, t turn) (waits bool, err error) {
	if t.order == "" {
		return true, nil
	}
	ln, err := tx.line(lineOf(t.home(), t.order))
	if err != nil {
		return false, err
	}
	at := spot{t.joined, k}
	if ln.promoted != nil && ln.head == at { // by this commit, and not placed yet
		return false, tx.promote(ln, k)
	}
	key := successorKey(ln.id, at)
	if behind, err := tx.conn.has(key); err != nil || !behind {
		if err == nil {
			err = tx.promote(ln, k)
		}
		return true, err
	}
	if ln.gone == nil {
		ln.gone = map[spot]struct{}{}
	}
	ln.gone[at] = struct{}{}
	singleDelete(tx.b, key)
	return false, nil
}

// abandon promotes behind a delivery of which no record can be read any more, so that nobody knows its line: it looks at
// the heads of all lines. Two corrupt records of one delivery are rare enough for that.
func (tx *tx) abandon(k delivery.Key) error {
	it, err := tx.conn.scan([]byte{kindHead}, []byte{kindHead + 1})
	if err != nil {
		return err
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		val, err := value(it)
		if err != nil {
			return err
		}
		head, err := decodeSpot(it.Key(), val)
		if err != nil {
			tx.bad.note(tx.Store, it.Key(), val, err)
			continue
		}
		if head.k == k {
			ln, err := tx.line(lineID(it.Key()[1:]))
			if err != nil {
				return err
			}
			return tx.promote(ln, k)
		}
	}
	return it.Error()
}

// awaited tells whether a settlement of the batch ends a head that has successors: if each of a line's ends waited for
// company, the line would go no faster than 20 a second. It is a guess, made in the caller's goroutine; when it is wrong,
// a settlement is synced sooner or later than it might be.
func (s *Store) awaited(batch []delivery.Settlement) bool {
	for i := range batch {
		b := &batch[i]
		if d := b.Delivery; d.OrderKey != "" && !b.Return && b.Transition.Progress.State.Final() && s.followed(d) {
			return true
		}
	}
	return false
}

// followed tells whether there are rows behind a head's place.
func (s *Store) followed(d *delivery.Delivery) bool {
	c, done, err := s.view(context.Background(), "look for a successor")
	if err != nil {
		return false
	}
	defer done()
	id := lineOf(d.Chain[0], d.OrderKey)
	it, err := c.scan(successorKey(id, spot{d.Joined, d.Key()}), after(successorPrefix(id)))
	if err != nil {
		return false
	}
	defer it.Close()
	return it.First()
}

// placeHeads writes who heads the lines now. A promoted delivery waits in its lane only here, so that one that this very
// commit ended again never did.
func (tx *tx) placeHeads() {
	for _, ln := range tx.lineOrder {
		switch {
		case !ln.changed:
		case ln.live:
			put(tx.b, headKey(ln.id), ln.head.encode())
			if ln.promoted != nil {
				tx.enqueue(ln.head.k, *ln.promoted, true)
			}
		case ln.stored:
			remove(tx.b, headKey(ln.id))
		}
	}
}
