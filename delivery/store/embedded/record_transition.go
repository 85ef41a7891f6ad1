package embedded

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
)

// encodeTransition encodes what happened, the progress first: listings need only that.
func encodeTransition(t *delivery.Transition) []byte {
	size := 64 + len(t.Note)
	if a := t.Attempt; a != nil {
		size += 96 + len(a.Detail) + len(a.Excerpt)
	}
	b := appendProgress(newRecord(size), &t.Progress)
	b = putTime(b, t.At)
	b = append(b, byte(t.Kind))
	b = putString(b, t.Note)
	if t.Attempt == nil {
		return append(b, 0)
	}
	return appendAttempt(append(b, 1), t.Attempt)
}

// appendAttempt keeps the start in nanoseconds: attempts of one delivery are compared with traces and logs of others.
func appendAttempt(b []byte, a *delivery.Attempt) []byte {
	b = binary.AppendUvarint(b, uint64(a.N))
	for _, s := range [...]string{a.Endpoint, a.Address, a.Outcome, a.Detail, a.TraceID} {
		b = putString(b, s)
	}
	started := int64(0)
	if !a.Started.IsZero() {
		started = a.Started.UnixNano()
	}
	for _, n := range [...]int64{started, int64(a.Duration), int64(a.Status), int64(a.ResponseBytes)} {
		b = binary.AppendVarint(b, n)
	}
	b = putTime(b, a.RetryAfter)
	b = putString(b, a.Excerpt)
	if len(a.BodyHash) == 0 {
		return b
	}
	return putString(b, a.BodyHash)
}

// decodeProgress reads only the progress of a transition, after checking the whole record.
func decodeProgress(key, val []byte) (p delivery.Progress, at time.Time, err error) {
	d, err := open(key, val)
	if err != nil {
		return p, at, err
	}
	p, at = d.progress(), d.time()
	if d.bad {
		return p, at, d.err()
	}
	return p, at, nil
}

func decodeTransition(key, val []byte) (t delivery.Transition, err error) {
	d, err := open(key, val)
	if err != nil {
		return t, err
	}
	t.Progress = d.progress()
	t.At = d.time()
	t.Kind = delivery.Kind(d.byte())
	t.Note = d.string()
	if d.byte() == 1 {
		t.Attempt = d.attempt()
	}
	if t.Kind > delivery.Ended {
		d.fail()
	}
	return t, d.err()
}

func (d *decoder) attempt() *delivery.Attempt {
	a := &delivery.Attempt{N: uint16(d.uint())}
	for _, s := range [...]*string{&a.Endpoint, &a.Address, &a.Outcome, &a.Detail, &a.TraceID} {
		*s = d.string()
	}
	if ns := d.int(); ns != 0 {
		a.Started = time.Unix(0, ns).UTC()
	}
	a.Duration = time.Duration(d.int())
	a.Status, a.ResponseBytes = int(d.int()), int(d.int())
	a.RetryAfter = d.time()
	if excerpt := d.bytes(); len(excerpt) > 0 {
		a.Excerpt = slices.Clone(excerpt)
	}
	if len(d.b) > 0 {
		a.BodyHash = slices.Clone(d.bytes())
	}
	return a
}
