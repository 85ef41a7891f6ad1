package embedded

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/atoship/caddy-webhooks/delivery"
)

// rebuild makes anew what events and transitions say of the other rows: each pending delivery is waiting, handed over or a
// successor; each line has its head; each event its id and its mark when undecided; the counts are exact. It goes over all
// events once, some microseconds each, and holds one entry per pending delivery.
func (m *mender) rebuild() error {
	b := &rebuilder{
		mender: m, shell: &Store{o: m.s.o}, homes: map[delivery.Key]string{}, lines: map[lineID][]successor{},
		tallies: map[string]tally{}, doubtful: map[delivery.Key][][]byte{},
	}
	b.shell.conn = m.c
	b.shell.forgetMarks()
	b.tx = b.shell.newTx(0)
	for _, step := range []func() error{b.placed, b.events, b.lost, b.order, b.counts, b.flush} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

type rebuilder struct {
	*mender

	shell   *Store // what a commit in the making needs of a store
	tx      *tx
	homes   map[delivery.Key]string // deliveries that stand somewhere, by home
	lines   map[lineID][]successor  // pending ordered deliveries
	tallies map[string]tally
	seq     uint64
	// Rows that say where a delivery stands, out of a hole: of them at most one is true.
	doubtful map[delivery.Key][][]byte
}

func (b *rebuilder) inHole(key []byte) bool {
	return slices.ContainsFunc(b.holes, func(h hole) bool {
		return bytes.Compare(key, h.from) >= 0 && bytes.Compare(key, h.to) < 0
	})
}

// doubt removes the rows of a delivery that are not true any more, and tells whether it still stands somewhere.
func (b *rebuilder) doubt(d *delivery.Delivery) (stands bool) {
	k := d.Key()
	_, stands = b.homes[k]
	delete(b.homes, k)
	for _, key := range b.doubtful[k] {
		step := d.Step
		switch key[0] {
		case kindWaiting, kindHanded:
			step = binary.BigEndian.Uint16(key[len(key)-2:])
		}
		if d.State.Final() || step != d.Step {
			remove(b.tx.b, key)
			stands = false
		}
	}
	return stands
}

// flush commits what was made so far.
func (b *rebuilder) flush() error {
	if b.tx.b.Empty() {
		return b.tx.b.Close()
	}
	if err := b.c.commit(b.tx.b); err != nil {
		return err
	}
	b.tx = b.shell.newTx(0)
	return nil
}

func (b *rebuilder) hit(kinds ...byte) bool {
	for i := range b.holes {
		if slices.ContainsFunc(kinds, b.holes[i].hits) {
			return true
		}
	}
	return len(b.holes) == 0 // of an earlier attempt, which nobody remembers
}

// placed notes all deliveries that stand somewhere.
func (b *rebuilder) placed() error {
	for _, kind := range []byte{kindWaiting, kindHanded, kindSuccessor} {
		it, err := b.c.scan([]byte{kind}, []byte{kind + 1})
		if err != nil {
			return err
		}
		for ok := it.First(); ok; ok = it.Next() {
			var k delivery.Key
			switch kind {
			case kindWaiting:
				_, _, at, _ := parseWaiting(it.Key())
				k = at.key()
			case kindHanded:
				k, _, _ = parseStep(it.Key())
			case kindSuccessor:
				_, at, _ := parseSuccessor(it.Key())
				k = at.k
			}
			if b.inHole(it.Key()) { // it may have been deleted by what was damaged
				b.doubtful[k] = append(b.doubtful[k], slices.Clone(it.Key()))
			}
			b.homes[k] = ""
			if val, err := value(it); err == nil {
				if t, err := decodeTurn(it.Key(), val); err == nil {
					b.homes[k] = t.home()
				}
			}
		}
		if err := errors.Join(it.Error(), it.Close()); err != nil {
			return err
		}
	}
	return nil
}

// events goes over all events.
func (b *rebuilder) events() error {
	events, err := b.c.scan([]byte{kindEvent}, []byte{kindEvent + 1})
	if err != nil {
		return err
	}
	defer events.Close()
	trans, err := b.c.scan([]byte{kindTransition}, []byte{kindTransition + 1})
	if err != nil {
		return err
	}
	defer trans.Close()
	for ok := events.First(); ok; ok = events.Next() {
		b.seq = max(b.seq, seqOf(events.Key()))
		e, err := b.shell.sweptEvent(events, trans)
		if err != nil {
			return err
		}
		if e == nil { // a corrupt record: it is reported by who needs it
			continue
		}
		if err := b.event(e.ev); err != nil {
			return err
		}
		for _, d := range e.ds {
			b.delivery(d)
		}
		if b.tx.b.Len() > 1<<20 {
			if err := b.flush(); err != nil {
				return err
			}
		}
	}
	return events.Error()
}

func (b *rebuilder) event(ev *delivery.Event) error {
	if b.hit(kindID) {
		there, err := b.c.has(idKey(ev))
		if err != nil {
			return err
		}
		if !there {
			k := known{ev.Seq, ev.Accepted, ev.Hash}
			b.put(idKey(ev), k.encode())
		}
	}
	if ev.Routing == delivery.Undecided && b.hit(kindUndecided) {
		putKey(b.tx.b, undecidedKey(ev.Seq))
	}
	return nil
}

func (b *rebuilder) put(key, rec []byte) {
	put(b.tx.b, key, rec)
	b.made++
}

// delivery counts one, and puts it into its lane when it is pending and stands nowhere.
func (b *rebuilder) delivery(d *delivery.Delivery) {
	b.seq = max(b.seq, d.Joined)
	t := b.tallies[d.Chain[0]]
	t[d.State]++
	b.tallies[d.Chain[0]] = t
	k := d.Key()
	stands := b.doubt(d)
	if d.State.Final() {
		return
	}
	turn := turnOf(d)
	if d.OrderKey != "" {
		id := lineOf(d.Chain[0], d.OrderKey)
		s := successor{spot{d.Joined, k}, turn}
		if stands {
			s.t.chain = nil
		}
		b.lines[id] = append(b.lines[id], s)
		return
	}
	if !stands {
		b.put(turn.waitingKey(k), turn.encode())
	}
}

// lost counts what stands somewhere and has no event any more: it counted as pending, and whoever meets it takes it out.
func (b *rebuilder) lost() error {
	for _, home := range b.homes {
		if home != "" {
			t := b.tallies[home]
			t[delivery.Pending]++
			b.tallies[home] = t
		}
	}
	return nil
}

// order gives each line its head. One whose end was lost with its transition goes out again beside the head: it is a
// repetition, and those behind it have gone.
func (b *rebuilder) order() error {
	for id, line := range b.lines {
		slices.SortFunc(line, func(x, y successor) int { return cmp.Compare(x.at.joined, y.at.joined) })
		head, err := getRow(b.c, headKey(id), decodeSpot)
		at := slices.IndexFunc(line, func(s successor) bool { return s.at == head })
		if err != nil || at < 0 {
			at = 0
			b.put(headKey(id), line[0].at.encode())
		}
		for i := range line {
			s := &line[i]
			if i == at { // it must wait in its lane or be in hand, not be a successor
				if err := b.seat(id, s); err != nil {
					return err
				}
				continue
			}
			if s.t.chain == nil {
				continue
			}
			if i < at {
				b.put(s.t.waitingKey(s.at.k), s.t.encode())
			} else {
				b.put(successorKey(id, s.at), s.t.encode())
			}
		}
	}
	return nil
}

// seat makes sure that a head waits or is in hand.
func (b *rebuilder) seat(id lineID, s *successor) error {
	key := successorKey(id, s.at)
	t, err := getRow(b.c, key, decodeTurn)
	switch {
	case err == nil: // it was one; its head was cut out with the row that named it
		singleDelete(b.tx.b, key)
		b.put(t.waitingKey(s.at.k), t.encode())
	case !errors.Is(err, pebble.ErrNotFound):
		return err
	case s.t.chain != nil:
		b.put(s.t.waitingKey(s.at.k), s.t.encode())
	}
	return nil
}

// counts writes all counts.
func (b *rebuilder) counts() error {
	var seq, events uint64
	_, err := getRow(b.c, totalsKey(), func(key, val []byte) (struct{}, error) {
		return struct{}{}, decodeNumbers(key, val, &seq, &events)
	})
	if err != nil {
		seq, events = 0, b.seq
	}
	put(b.tx.b, totalsKey(), encodeNumbers(max(seq, b.seq), events))
	must(b.tx.b.DeleteRange([]byte{kindCount, 0}, []byte{kindCount + 1}, nil))
	for home, t := range b.tallies {
		put(b.tx.b, namedKey(kindCount, home), t.encode())
	}
	if b.hit(kindBlock) { // searches look at all events that the index may not know
		put(b.tx.b, indexedKey(), encodeNumbers(max(seq, b.seq)+1))
	}
	return nil
}
