package caddymodule

import (
	"sync"
	"time"
)

// maxKnownIDs bounds the ids that one handler remembers: about 15 MB with ids of 30 bytes, 40 MB with the longest. A sender
// with a valid secret could otherwise fill the memory with fresh ids.
const maxKnownIDs = 100_000

// maxKnownID is the longest id kept; longer ones are the senders' own invention and would break the bound in bytes. They
// are let through each time.
const maxKnownID = 256

// idState is what begin found.
type idState uint8

const (
	idNew idState = iota
	idKnown
	idUnderWay
)

// knownIDs remembers ids for a time, in bounded memory. It may be used from several goroutines.
type knownIDs struct {
	most int
	life time.Duration

	mu       sync.Mutex
	until    map[string]time.Time // of known ids
	order    []string             // the known ids in the order they became known; a ring once it has most of them
	oldest   int                  // index in order of the oldest, once it is a ring
	underWay map[string]struct{}  // as many as there are requests
}

func newKnownIDs(most int, life time.Duration) *knownIDs {
	return &knownIDs{most: most, life: life, until: make(map[string]time.Time), underWay: make(map[string]struct{})}
}

// begin says whether the id is known or under way; if neither, it is under way from now until end is called.
func (k *knownIDs) begin(id string, now time.Time) idState {
	k.mu.Lock()
	defer k.mu.Unlock()
	if until, ok := k.until[id]; ok && now.Before(until) {
		return idKnown
	}
	if _, ok := k.underWay[id]; ok {
		return idUnderWay
	}
	k.underWay[id] = struct{}{}
	return idNew
}

// end follows each begin that answered idNew; known makes the id a known one.
func (k *knownIDs) end(id string, known bool, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.underWay, id)
	if !known || len(id) > maxKnownID {
		return
	}
	_, again := k.until[id] // known before and outlived: it keeps its place in the ring
	k.until[id] = now.Add(k.life)
	switch {
	case again:
	case len(k.order) < k.most:
		k.order = append(k.order, id)
	default:
		delete(k.until, k.order[k.oldest])
		k.order[k.oldest] = id
		k.oldest = (k.oldest + 1) % len(k.order)
	}
}
