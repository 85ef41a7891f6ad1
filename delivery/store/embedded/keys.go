package embedded

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
)

// One key space. Numbers are big-endian, so that keys sort as the numbers do; a lane's name ends with a 0x00, which no
// name contains. Times are Unix milliseconds.
//
//	e seq                             event: header, plan, body                    written once; again by Decide
//	i id 0 len(tenant) tenant source  who has the id: seq, accepted, hash          overwritten by a newer generation
//	q lane 0 m due seq ord step       waiting; m is 1 for a movable delivery       set once, single-deleted
//	h seq ord step                    handed over to the engine                    set once, single-deleted
//	k seq ord                         handed over and cancelled: ends on return    no value
//	o home 0 hash                     who heads the line of an ordering key        overwritten; see order.go
//	s home 0 hash joined seq ord      successor in that line                       set once, single-deleted
//	d seq ord step                    transition: what happened and the state after it
//	r seq ord                         pending delivery that a replay planned       no value
//	x lane 0 at seq ord step          attempts by endpoint and time                attemptHint
//	f outcome 0 at seq ord step       failed attempts by class and time            attemptHint
//	y tenant 0 at seq ord step        attempts by tenant (hashed) and time         attemptHint
//	t slice lane                      endpoints with attempts in a slice of time   no value; see list_attempts.go
//	b term block                      blocks of events with a term                 no value; see blocks.go
//	w period id                       head of requests; see heads.go
//	l lane                            LaneState
//	u seq                             undecided event                              no value
//	c lane                            counts by home lane; c alone: last seq and events accepted
//	n kind 0 name                     document: revision, body                      overwritten
//	m name                            meta: the id key, the marks of the sweeps
//	! key                             a corrupt record, set aside as found
const (
	kindEvent      = 'e'
	kindID         = 'i'
	kindWaiting    = 'q'
	kindHanded     = 'h'
	kindCancelled  = 'k'
	kindHead       = 'o'
	kindSuccessor  = 's'
	kindReplayed   = 'r'
	kindTransition = 'd'
	kindByEndpoint = 'x'
	kindByOutcome  = 'f'
	kindByTenant   = 'y'
	kindActive     = 't'
	kindBlock      = 'b'
	kindRequest    = 'w'
	kindLane       = 'l'
	kindUndecided  = 'u'
	kindCount      = 'c'
	kindDocument   = 'n'
	kindMeta       = 'm'
	kindBad        = '!'
)

var kindNames = map[byte]string{
	kindEvent: "event", kindID: "event id", kindWaiting: "waiting", kindHanded: "handed over",
	kindHead: "head of an ordering key", kindSuccessor: "successor",
	kindTransition: "transition", kindLane: "lane state", kindCount: "count",
	kindDocument: "document", kindMeta: "meta", kindRequest: "head of requests",
}

// place is where a waiting delivery stands in its lane: due, seq, ord, step. Places compare as bytes.
type place [20]byte

var lastPlace = place{
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
}

func makePlace(due time.Time, k delivery.Key, step uint16) (p place) {
	binary.BigEndian.PutUint64(p[0:], dueMillis(due))
	binary.BigEndian.PutUint64(p[8:], k.Seq)
	binary.BigEndian.PutUint16(p[16:], k.Ord)
	binary.BigEndian.PutUint16(p[18:], step)
	return p
}

func (p place) due() time.Time {
	return time.UnixMilli(int64(min(binary.BigEndian.Uint64(p[0:]), math.MaxInt64))).UTC()
}

func (p place) key() delivery.Key {
	return delivery.Key{Seq: binary.BigEndian.Uint64(p[8:]), Ord: binary.BigEndian.Uint16(p[16:])}
}

// dueMillis puts times before 1970, the zero time among them, at 0: due at once.
func dueMillis(t time.Time) uint64 { return uint64(max(t.UnixMilli(), 0)) }

func eventKey(seq uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{kindEvent}, seq)
}

func undecidedKey(seq uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{kindUndecided}, seq)
}

// seqOf reads the sequence number of an e or u key.
func seqOf(key []byte) uint64 { return binary.BigEndian.Uint64(key[1:]) }

// idPrefix precedes the keys of an event id in every tenant and source. An id has no 0x00 (see Append), a tenant may
// hold any byte and so goes by its length.
func idPrefix(id string) []byte {
	b := make([]byte, 0, len(id)+2)
	b = append(b, kindID)
	b = append(b, id...)
	return append(b, 0)
}

func tenantPrefix(id, tenant string) []byte {
	b := binary.AppendUvarint(idPrefix(id), uint64(len(tenant)))
	return append(b, tenant...)
}

func idKey(ev *delivery.Event) []byte {
	return append(tenantPrefix(ev.ID, ev.Tenant), ev.Source...)
}

func waitingPrefix(lane string, movable bool) []byte {
	b := make([]byte, 0, len(lane)+3+len(place{}))
	b = append(b, kindWaiting)
	b = append(b, lane...)
	if movable {
		return append(b, 0, 1)
	}
	return append(b, 0, 0)
}

func waitingKey(lane string, movable bool, p place) []byte {
	return append(waitingPrefix(lane, movable), p[:]...)
}

// parseWaiting is the inverse of waitingKey.
func parseWaiting(key []byte) (lane string, movable bool, p place, ok bool) {
	n := len(key) - len(p)
	if n < 4 || key[0] != kindWaiting || key[n-2] != 0 {
		return "", false, p, false
	}
	copy(p[:], key[n:])
	return string(key[1 : n-2]), key[n-1] == 1, p, true
}

// stepKey is the key of a handed-over delivery or of a transition.
func stepKey(kind byte, k delivery.Key, step uint16) []byte {
	b := make([]byte, 0, 13)
	b = append(b, kind)
	b = binary.BigEndian.AppendUint64(b, k.Seq)
	b = binary.BigEndian.AppendUint16(b, k.Ord)
	return binary.BigEndian.AppendUint16(b, step)
}

func parseStep(key []byte) (k delivery.Key, step uint16, ok bool) {
	if len(key) != 13 {
		return k, 0, false
	}
	k = delivery.Key{Seq: binary.BigEndian.Uint64(key[1:]), Ord: binary.BigEndian.Uint16(key[9:])}
	return k, binary.BigEndian.Uint16(key[11:]), true
}

func cancelledKey(k delivery.Key) []byte {
	b := binary.BigEndian.AppendUint64([]byte{kindCancelled}, k.Seq)
	return binary.BigEndian.AppendUint16(b, k.Ord)
}

func replayedKey(k delivery.Key) []byte {
	b := binary.BigEndian.AppendUint64([]byte{kindReplayed}, k.Seq)
	return binary.BigEndian.AppendUint16(b, k.Ord)
}

func headKey(id lineID) []byte { return namedKey(kindHead, string(id)) }

func successorPrefix(id lineID) []byte {
	b := make([]byte, 0, len(id)+1+18)
	b = append(b, kindSuccessor)
	return append(b, id...)
}

func successorKey(id lineID, at spot) []byte {
	b := binary.BigEndian.AppendUint64(successorPrefix(id), at.joined)
	b = binary.BigEndian.AppendUint64(b, at.k.Seq)
	return binary.BigEndian.AppendUint16(b, at.k.Ord)
}

// parseSuccessor is the inverse of successorKey.
func parseSuccessor(key []byte) (id lineID, at spot, ok bool) {
	n := len(key) - 18
	if n < 1+1+1+16 || key[0] != kindSuccessor {
		return "", at, false
	}
	at.joined = binary.BigEndian.Uint64(key[n:])
	at.k = delivery.Key{Seq: binary.BigEndian.Uint64(key[n+8:]), Ord: binary.BigEndian.Uint16(key[n+16:])}
	return lineID(key[1:n]), at, true
}

// timeKey is a key of the indexes by endpoint (x) and by outcome (f).
func timeKey(kind byte, name string, at time.Time, k delivery.Key, step uint16) []byte {
	p := makePlace(at, k, step)
	b := make([]byte, 0, len(name)+2+len(p))
	b = append(b, kind)
	b = append(b, name...)
	b = append(b, 0)
	return append(b, p[:]...)
}

func namedKey(kind byte, name string) []byte {
	return append([]byte{kind}, name...)
}

// after returns the first key behind all keys that begin with prefix.
func after(prefix []byte) []byte {
	b := append([]byte(nil), prefix...)
	for i := len(b) - 1; i >= 0; i-- {
		if b[i]++; b[i] != 0 {
			return b[:i+1]
		}
	}
	return nil // all 0xff: no key space of ours
}

// describe names a key for people: its kind and, where it has one, its sequence number.
func describe(key []byte) string {
	if len(key) == 0 {
		return "empty key"
	}
	name := kindNames[key[0]]
	if name == "" {
		name = fmt.Sprintf("kind %q", key[0])
	}
	switch key[0] {
	case kindEvent, kindHanded, kindTransition:
		if len(key) >= 9 {
			return fmt.Sprintf("%s seq %d", name, seqOf(key))
		}
	case kindWaiting:
		if lane, _, p, ok := parseWaiting(key); ok {
			return fmt.Sprintf("%s seq %d at %s", name, p.key().Seq, lane)
		}
	case kindSuccessor:
		if _, at, ok := parseSuccessor(key); ok {
			return fmt.Sprintf("%s seq %d", name, at.k.Seq)
		}
	case kindLane, kindMeta, kindCount, kindDocument:
		return fmt.Sprintf("%s %q", name, key[1:])
	}
	return name
}
