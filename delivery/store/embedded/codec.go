package embedded

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"sync"
	"time"
)

// Every value is a record:
//
//	┌─────────┬───────────┬────────────────────────┐
//	│ version │ payload   │ crc32c, 4 bytes, LE    │  checksum over key, version and payload: a record that a bug or a
//	│ 1 byte  │ …         │ of key ‖ version ‖ …   │  disk put under another key is as corrupt as a flipped bit
//	└─────────┴───────────┴────────────────────────┘
//
// Inside a payload: numbers are varints, strings and byte slices are preceded by their length, a time is Unix milliseconds
// with 0 for "none".
//
// Version 1 is that of a store of format 1, and differs in what an attempt has behind its excerpt.
const (
	recordVersion = 2
	overhead      = 1 + 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// CorruptError tells of a record that cannot be read. It is copied to the key space of set-aside records, logged once,
// and stops nothing but the delivery it belongs to.
type CorruptError struct {
	Record string // kind and sequence number
	Why    string
}

func (e *CorruptError) Error() string { return fmt.Sprintf("corrupt record (%s): %s", e.Record, e.Why) }

// newRecord begins a record of about size payload bytes.
func newRecord(size int) []byte {
	return append(make([]byte, 0, size+overhead), recordVersion)
}

// records holds the memory of events' records: one in twelve bytes that an accepted event leaves to the garbage collector.
var records sync.Pool // of *[pooledRecord]byte

// pooledRecord is the largest record whose memory is kept, in bytes.
const pooledRecord = 1 << 10

// borrowRecord is newRecord, for a record that returnRecord may have back.
func borrowRecord(size int) []byte {
	if size+overhead > pooledRecord {
		return newRecord(size)
	}
	if b, ok := records.Get().(*[pooledRecord]byte); ok {
		return append(b[:0], recordVersion)
	}
	return append(new([pooledRecord]byte)[:0], recordVersion)
}

// returnRecord gives a record's memory up for others. Nothing may use it afterwards.
func returnRecord(rec []byte) {
	if cap(rec) == pooledRecord {
		records.Put((*[pooledRecord]byte)(rec[:pooledRecord]))
	}
}

// seal ends a record with the checksum for its key.
func seal(key, rec []byte) []byte {
	return binary.LittleEndian.AppendUint32(rec, checksum(key, rec))
}

func checksum(key, rec []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, rec)
}

// open checks a record and returns a decoder of its payload, which aliases val.
func open(key, val []byte) (decoder, error) {
	if len(val) < overhead {
		return decoder{}, &CorruptError{describe(key), fmt.Sprintf("%d bytes are too few", len(val))}
	}
	rec, sum := val[:len(val)-4], binary.LittleEndian.Uint32(val[len(val)-4:])
	if checksum(key, rec) != sum {
		return decoder{}, &CorruptError{describe(key), "wrong checksum"}
	}
	if rec[0] < 1 || rec[0] > recordVersion {
		return decoder{}, &CorruptError{describe(key), fmt.Sprintf("record version %d, this program knows those up to %d", rec[0], recordVersion)}
	}
	return decoder{b: rec[1:], key: key, version: rec[0]}, nil
}

func putString[T string | []byte](b []byte, s T) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

func putTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(b, 0)
	}
	return binary.AppendVarint(b, t.UnixMilli())
}

// decoder reads a payload. The first thing that does not fit makes it bad, and everything after that zero; err says so
// at the end, so that callers need not ask at each step.
type decoder struct {
	b       []byte
	key     []byte
	version byte
	bad     bool
}

func (d *decoder) uint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) int() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.fail()
		return 0
	}
	v := d.b[0]
	d.b = d.b[1:]
	return v
}

func (d *decoder) take(n uint64) []byte {
	if n > uint64(len(d.b)) {
		d.fail()
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

// bytes aliases the record; string copies.
func (d *decoder) bytes() []byte  { return d.take(d.uint()) }
func (d *decoder) string() string { return string(d.bytes()) }

func (d *decoder) time() time.Time {
	if ms := d.int(); ms != 0 {
		return time.UnixMilli(ms).UTC()
	}
	return time.Time{}
}

// count reads how many things follow, each at least one byte, so that a wild number cannot make us allocate.
func (d *decoder) count() int {
	n := d.uint()
	if n > uint64(len(d.b)) {
		d.fail()
		return 0
	}
	return int(n)
}

func (d *decoder) fail() { d.bad, d.b = true, nil }

// err tells whether the payload was read to its end, and no further.
func (d *decoder) err() error {
	if d.bad || len(d.b) > 0 {
		return &CorruptError{describe(d.key), "its fields do not fit"}
	}
	return nil
}
