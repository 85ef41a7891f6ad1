package embedded

import (
	"encoding/binary"
	"math"
	"slices"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/egress"
)

// encodeTransition encodes what happened, the progress first: listings need only that.
func encodeTransition(t *delivery.Transition) []byte {
	size := 64 + len(t.Note)
	if a := t.Attempt; a != nil {
		size += 112 + len(a.Detail) + len(a.Excerpt) + len(a.ResponseFields)
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
	return appendExtras(b, a)
}

// What not every attempt has; a flag each. A first try over a kept connection has its head and the wait for the answer.
const (
	hasHash = 1 << iota
	hasDNS
	hasConnect
	hasTLS
	hasFirstByte
	hasFields
	hasRequest
	extrasKnown = 1<<iota - 1
)

// phases are the parts of a timing in the order of their flags, from hasDNS on.
func phases(t *egress.Timing) [4]*time.Duration {
	return [...]*time.Duration{&t.DNS, &t.Connect, &t.TLS, &t.FirstByte}
}

// appendExtras keeps times in microseconds. Of the request's head it keeps the id; see heads.go.
func appendExtras(b []byte, a *delivery.Attempt) []byte {
	at, flags := len(b), byte(0)
	b = append(b, 0)
	if len(a.BodyHash) > 0 {
		flags |= hasHash
		b = putString(b, a.BodyHash)
	}
	for i, d := range phases(&a.Timing) {
		if us := d.Microseconds(); us > 0 {
			flags |= hasDNS << i
			b = binary.AppendUvarint(b, uint64(us))
		}
	}
	if len(a.ResponseFields) > 0 {
		flags |= hasFields
		b = putString(b, a.ResponseFields)
	}
	if a.Request != nil {
		flags |= hasRequest
		b = binary.BigEndian.AppendUint64(b, a.Request.ID)
	}
	b[at] = flags
	return b
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
	switch {
	case d.version > 1:
		d.extras(a)
	case len(d.b) > 0:
		a.BodyHash = slices.Clone(d.bytes())
	}
	return a
}

// extras is the inverse of appendExtras, but that of the request's head it has the id alone.
func (d *decoder) extras(a *delivery.Attempt) {
	flags := d.byte()
	if flags&hasHash != 0 {
		a.BodyHash = slices.Clone(d.bytes())
	}
	for i, t := range phases(&a.Timing) {
		if flags&(hasDNS<<i) != 0 {
			*t = time.Duration(min(d.uint(), math.MaxInt64/1000)) * time.Microsecond
		}
	}
	if flags&hasFields != 0 {
		a.ResponseFields = slices.Clone(d.bytes())
	}
	if flags&hasRequest != 0 {
		if id := d.take(8); id != nil {
			a.Request = &delivery.RequestHead{ID: binary.BigEndian.Uint64(id)}
		}
	}
	if flags > extrasKnown {
		d.fail()
	}
}
