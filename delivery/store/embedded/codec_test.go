package embedded

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/egress"
)

var aSpan = delivery.SpanContext{TraceID: [16]byte{1, 15: 2}, SpanID: [8]byte{3, 7: 4}, Flags: 1}

func sampleRecords() map[string]struct {
	key    []byte
	rec    []byte
	decode func(key, val []byte) error
} {
	type sample = struct {
		key    []byte
		rec    []byte
		decode func(key, val []byte) error
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	k := delivery.Key{Seq: 7, Ord: 3}
	ev := &delivery.Event{ID: "one", Tenant: "t", Accepted: now, Body: []byte(`{"data":1}`), DataStart: 8, DataEnd: 9, Held: []string{"r"}, Span: aSpan}
	p := delivery.Progress{Step: 300, Target: 1, Spent: 1, Attempts: 2, Due: now, Tries: [8]uint8{1, 0, 2}, Span: aSpan}
	d := &delivery.Delivery{Event: ev, Route: "r", Chain: []string{"a", "b"}, Progress: p}
	t := turn{handed: now, origin: origin{route: "r"}, chain: d.Chain, progress: p}
	tr := &delivery.Transition{At: now, Note: "n", Progress: p, Attempt: &delivery.Attempt{
		N: 2, Endpoint: "a", Excerpt: []byte("x"), Timing: egress.Timing{TLS: time.Second, FirstByte: time.Millisecond},
		ResponseFields: []byte("a: b\n"), Request: &delivery.RequestHead{ID: 1 << 60},
	}}
	seqKey, turnKey, transKey, idk, laneKey := eventKey(7), stepKey(kindHanded, k, 300), stepKey(kindTransition, k, 300), idKey(ev), namedKey(kindLane, "a")
	return map[string]sample{
		"event": {seqKey, appendEvent(newRecord(0), ev, []*delivery.Delivery{d}), func(key, val []byte) error {
			_, _, err := decodeEvent(key, val, true)
			return err
		}},
		"turn":       {turnKey, t.encode(), func(key, val []byte) error { _, err := decodeTurn(key, val); return err }},
		"transition": {transKey, encodeTransition(tr), func(key, val []byte) error { _, err := decodeTransition(key, val); return err }},
		"known":      {idk, (&known{seq: 7, accepted: now}).encode(), func(key, val []byte) error { _, err := decodeKnown(key, val); return err }},
		"lane": {laneKey, encodeLaneState(&delivery.LaneState{URL: "https://a", HoldUntil: now}), func(key, val []byte) error {
			_, err := decodeLaneState(key, val)
			return err
		}},
		"document": {documentKey("k", "n"), encodeDocument(&delivery.Document{Revision: 7, Body: []byte("body")}), func(key, val []byte) error {
			_, err := decodeDocument(key, val)
			return err
		}},
	}
}

func TestEveryFlippedBitOfARecordIsFound(t *testing.T) {
	t.Parallel()
	for name, s := range sampleRecords() {
		val := seal(s.key, s.rec)
		if err := s.decode(s.key, val); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for i := range len(val) * 8 {
			bad := slices.Clone(val)
			bad[i/8] ^= 1 << (i % 8)
			var corrupt *CorruptError
			if err := s.decode(s.key, bad); !errors.As(err, &corrupt) {
				t.Errorf("%s: bit %d: %v", name, i, err)
			}
		}
		other := slices.Clone(s.key)
		other[len(other)-1]++
		if err := s.decode(other, val); err == nil {
			t.Errorf("%s: read under another key", name)
		}
	}
}

// TestARecordOfNonsenseIsRefused gives nonsense a good checksum, as a bug of ours would.
func TestARecordOfNonsenseIsRefused(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 1))
	for name, s := range sampleRecords() {
		for n := range len(s.rec) - 1 { // cut off anywhere
			if err := s.decode(s.key, seal(s.key, slices.Clone(s.rec[:n+1]))); err == nil && name != "event" {
				t.Errorf("%s: %d of %d bytes pass", name, n+1, len(s.rec))
			}
		}
		for range 2000 { // a byte or two different: must not panic or allocate without bound
			bad := slices.Clone(s.rec)
			bad[1+rng.IntN(len(bad)-1)] = byte(rng.IntN(256))
			bad[1+rng.IntN(len(bad)-1)] = byte(rng.IntN(256))
			_ = s.decode(s.key, seal(s.key, bad))
		}
		newer := slices.Clone(s.rec)
		newer[0] = recordVersion + 1
		if err := s.decode(s.key, seal(s.key, newer)); err == nil {
			t.Errorf("%s: a newer version is read", name)
		}
	}
}

func TestProgressIsReadAsWritten(t *testing.T) {
	t.Parallel()
	for _, p := range []delivery.Progress{
		{},
		{Step: 65535, State: delivery.Cancelled, Target: 7, Spent: 255, Attempts: 65535, Unknowns: 255, LocalFaults: 255},
		{Tries: [8]uint8{1}, Span: aSpan},
		{Tries: [8]uint8{7: 1}, Span: delivery.SpanContext{Flags: 1}},
		{Due: time.UnixMilli(1).UTC(), Reason: delivery.ReasonExpired, Tries: [8]uint8{0, 0, 0, 0, 0, 0, 0, 9}},
	} {
		d := decoder{b: appendProgress(nil, &p)}
		if got := d.progress(); !reflect.DeepEqual(got, p) || d.err() != nil {
			t.Errorf("got %+v, want %+v (%v)", got, p, d.err())
		}
	}
}

func TestPlacesSortByDueTimeThenSequence(t *testing.T) {
	t.Parallel()
	at := time.UnixMilli(1_700_000_000_000)
	places := []place{
		makePlace(time.Time{}, delivery.Key{Seq: 9}, 0), // the zero time is due at once
		makePlace(at, delivery.Key{Seq: 1}, 5),
		makePlace(at, delivery.Key{Seq: 1, Ord: 2}, 0),
		makePlace(at, delivery.Key{Seq: 256}, 0),
		makePlace(at.Add(time.Millisecond), delivery.Key{}, 0),
	}
	for i := 1; i < len(places); i++ {
		if bytes.Compare(places[i-1][:], places[i][:]) >= 0 {
			t.Errorf("place %d does not come before %d", i-1, i)
		}
	}
	if lane, movable, p, ok := parseWaiting(waitingKey("orders", true, places[1])); !ok || lane != "orders" || !movable || p != places[1] {
		t.Errorf("parsed %q %v %v %v", lane, movable, p, ok)
	}
}

func TestDeliveryIDsAreFoundAndGiveNothingAway(t *testing.T) {
	t.Parallel()
	c, err := newIDCipher(bytes.Repeat([]byte{7}, 16))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for seq := range uint64(1000) {
		k := delivery.Key{Seq: seq, Ord: uint16(seq % 7)}
		id := c.encode(k)
		if got, ok := c.decode(id); !ok || got != k {
			t.Fatalf("%s is %v, want %v", id, got, k)
		}
		if seen[id[:16]] {
			t.Errorf("%s begins like another", id)
		}
		seen[id[:16]] = true
	}
	other, _ := newIDCipher(bytes.Repeat([]byte{8}, 16))
	if _, ok := other.decode(c.encode(delivery.Key{Seq: 1})); ok {
		t.Error("another store's id is taken")
	}
}
