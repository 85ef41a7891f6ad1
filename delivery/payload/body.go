package payload

import (
	"crypto/sha256"
	"encoding/binary"
)

// AppendBody appends the body that is sent for an event,
//
//	{"event":…,"timestamp":…,"data":…}
//
// to dst. stableData is one JSON value in stable form; then the body is in
// stable form too: JSON.stringify(JSON.parse(body)) gives the same bytes.
// Bytes of typ or timestamp that are not UTF-8 become U+FFFD.
func AppendBody(dst []byte, typ, timestamp string, stableData []byte) []byte {
	dst = append(dst, `{"event":`...)
	dst = appendQuoted(dst, typ)
	dst = append(dst, `,"timestamp":`...)
	dst = appendQuoted(dst, timestamp)
	dst = append(dst, `,"data":`...)
	dst = append(dst, stableData...)
	return append(dst, '}')
}

// Member is a member of an event as it was sent, for [HashContent].
type Member struct{ Name, Value string }

// ContentHash tells whether two events with the same id are the same event:
// it covers the members as they were sent (so that a timestamp we fill in does
// not turn an honest repeat into a conflict) and the stable form of the data
// (so that white space, member order among array indices and other spellings
// of the same value do not either). The id itself is not covered.
func (e *Envelope) ContentHash() [16]byte {
	return HashContent(
		e.Data,
		Member{"event", e.Type},
		Member{"timestamp", e.Timestamp},
		Member{"environment", e.Environment},
		Member{"tenant", e.Tenant},
		Member{"source", e.Source},
	)
}

// HashContent is the first 16 bytes of SHA-256 over data and those members
// that are not empty, in the order given. Its input is
//
//	data | length name | length value | … | length of data
//
// with lengths as big-endian 64-bit numbers: read from the end it falls apart
// in one way only, so no two different contents have the same input. Callers
// that hash other things than an [Envelope], such as binary content with its
// media type, use it with members of their own.
func HashContent(data []byte, members ...Member) [16]byte {
	var buf [512]byte
	tail := buf[:0]
	for _, m := range members {
		if m.Value == "" {
			continue
		}
		for _, text := range [...]string{m.Name, m.Value} {
			tail = binary.BigEndian.AppendUint64(tail, uint64(len(text)))
			tail = append(tail, text...)
		}
	}
	tail = binary.BigEndian.AppendUint64(tail, uint64(len(data)))
	h := sha256.New()
	h.Write(data)
	h.Write(tail)
	var sum [sha256.Size]byte
	return [16]byte(h.Sum(sum[:0])[:16])
}
