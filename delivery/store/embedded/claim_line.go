package embedded

import (
	"bytes"
	"math"

	"github.com/cockroachdb/pebble/v2"

	"github.com/atoship/caddy-webhooks/delivery"
)

// line is a lane's waiting rows of one kind: those that could go elsewhere, or those that could not. It goes over the early
// places first, which may be outdated, and then over all rows from low on.
type line struct {
	movable bool
	prefix  []byte
	early   []place // as the lane has them
	low     place
	it      *pebble.Iterator
	ahead   []place // early ones not looked at yet
	main    bool    // it is at low or behind
	ok      bool
	at      place // of the row under it

	// What stays waiting: at these early places, and nothing else below rest.
	stay []place
	rest place
	left bool // the caller did not want the row at rest
}

// first puts the line on its first row behind a place.
func (ln *line) first(behind delivery.Place) {
	ln.ahead = ln.early
	from := ln.low
	if behind != (delivery.Place{}) {
		skip := makePlace(behind.Due, behind.Key, math.MaxUint16) // steps of one delivery: it waits once only
		for len(ln.ahead) > 0 && bytes.Compare(ln.ahead[0][:], skip[:]) <= 0 {
			ln.ahead = ln.ahead[1:]
		}
		if bytes.Compare(skip[:], from[:]) > 0 {
			from = skip
		}
	}
	ln.rest = from
	ln.next()
}

// next goes to the next row. The look at an early place ends there: behind it are the tombstones it was remembered for.
func (ln *line) next() {
	if ln.main {
		ln.set(ln.it.Next())
		return
	}
	for len(ln.ahead) > 0 {
		at := ln.ahead[0]
		ln.ahead = ln.ahead[1:]
		key := ln.key(at)
		if ln.it.SeekGEWithLimit(key, append(key, 0)) == pebble.IterValid {
			ln.ok, ln.at = true, at
			return
		}
	}
	ln.main = true
	ln.set(ln.it.SeekGE(ln.key(ln.rest)))
}

// key leaves room for one byte more.
func (ln *line) key(at place) []byte {
	return append(append(make([]byte, 0, len(ln.prefix)+len(at)+1), ln.prefix...), at[:]...)
}

// leave notes that the row under the line stays, though the claim goes on behind it.
func (ln *line) leave() {
	switch {
	case !ln.main:
		ln.stay = append(ln.stay, ln.at)
	case !ln.left:
		ln.left, ln.rest = true, ln.at
	}
}

// end notes that the row under the line stays, and all behind it.
func (ln *line) end() {
	switch {
	case !ln.main:
		ln.stay = append(append(ln.stay, ln.at), ln.ahead...)
		ln.rest = ln.low
	case !ln.left:
		ln.rest = ln.at
	}
}

func (ln *line) set(ok bool) {
	ln.ok, ln.at = ok, lastPlace
	if ok {
		_, _, ln.at, _ = parseWaiting(ln.it.Key())
	}
}
