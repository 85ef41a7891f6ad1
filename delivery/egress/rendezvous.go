package egress

import (
	"bytes"
	"crypto/sha256"
	"slices"
)

// order returns the members of the pool as an endpoint prefers them, by
// rendezvous hashing: every pair of endpoint and address has a score, and the
// highest wins. So the choice is the same on every machine and after every
// restart, and if one of n addresses joins or leaves, only one in n endpoints
// moves.
func (p *Pool) order(endpoint string) []int {
	scores := make([][sha256.Size]byte, len(p.sources))
	order := make([]int, len(p.sources))
	for i, s := range p.sources {
		// No name contains a zero byte, so that no two pairs read the same.
		scores[i] = sha256.Sum256(append([]byte(endpoint+"\x00"), s.Addr.AsSlice()...))
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return bytes.Compare(scores[b][:], scores[a][:]) })
	return order
}
