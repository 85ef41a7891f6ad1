package rules

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/bits"
	"strconv"
)

// sums are what a digest is made of: the SHA-256 of the mode and of those of the routes,
// and the sum, modulo 2^256, of the SHA-256 of every subscription, to and from
// which one can be added and taken without looking at the others.
type sums struct {
	routes        [sha256.Size]byte
	subscriptions [4]uint64 // the lowest 64 bits first
}

// String returns 16 hexadecimal digits. "rules 3" is the version of this form.
func (s *sums) String() string {
	b := append([]byte("rules 3\n"), s.routes[:]...)
	for _, word := range s.subscriptions {
		b = binary.LittleEndian.AppendUint64(b, word)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

// digestRoutes returns the SHA-256 of the mode and of the sums of the routes.
func digestRoutes(mode Mode, routes []*route) [sha256.Size]byte {
	sum := sha256.New()
	_, _ = sum.Write([]byte{byte(mode)}) // a hash does not fail
	for _, r := range routes {
		_, _ = sum.Write(r.sum[:])
	}
	return [sha256.Size]byte(sum.Sum(nil))
}

// sum returns the SHA-256 of what a route says, each text preceded by its
// length, so that no two read the same.
func (r *Route) sum() [sha256.Size]byte {
	b := appendTexts(nil, r.Name, r.When.Text, r.Pick.Text, strconv.FormatBool(r.Otherwise), strconv.FormatBool(r.Stop), strconv.Itoa(int(r.OnError)))
	for _, t := range r.To {
		b = appendTexts(b, "to", t.Primary)
		b = appendTexts(b, t.Backups...)
	}
	if len(r.Split) > 0 {
		b = appendTexts(b, "split", r.By.Text, fmt.Sprint(r.Split))
	}
	return sha256.Sum256(b)
}

// sum returns the SHA-256 of what a subscription says, as a number.
func (s *subscription) sum() (out [4]uint64) {
	b := appendTexts(nil, s.target.Endpoint, s.when.Text, s.tenant)
	b = appendTexts(b, s.patterns()...)
	b = appendTexts(b, s.environments...)
	sum := sha256.Sum256(b)
	for i := range out {
		out[i] = binary.LittleEndian.Uint64(sum[8*i:])
	}
	return out
}

func (s *sums) add(n [4]uint64) {
	var carry uint64
	for i := range n {
		s.subscriptions[i], carry = bits.Add64(s.subscriptions[i], n[i], carry)
	}
}

func (s *sums) subtract(n [4]uint64) {
	var borrow uint64
	for i := range n {
		s.subscriptions[i], borrow = bits.Sub64(s.subscriptions[i], n[i], borrow)
	}
}

// appendTexts appends a list, preceded by its number.
func appendTexts(b []byte, list ...string) []byte {
	b = append(strconv.AppendInt(b, int64(len(list)), 10), '\n')
	for _, t := range list {
		b = append(strconv.AppendInt(b, int64(len(t)), 10), ':')
		b = append(append(b, t...), '\n')
	}
	return b
}
