package httpapi

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"
)

// maxBatch bounds the events of one request, and maxBatchBody their size in units of max_body: a batch is held in memory
// until it is durable, and becomes one commit.
const (
	maxBatch     = 1000
	maxBatchBody = 16
)

// scratch is the memory of one request: the body as it came in, and the answer. Nothing of an accepted event points into
// it.
type scratch struct{ body, out []byte }

var scratches = sync.Pool{New: func() any { return &scratch{body: make([]byte, 0, 4<<10), out: make([]byte, 0, 1<<10)} }}

// maxPooled is the largest buffer kept for the next request; one 4 MiB batch must not stay in memory for good.
const maxPooled = 128 << 10

func (s *scratch) release() {
	if cap(s.body) > maxPooled || cap(s.out) > maxPooled {
		return
	}
	s.body, s.out = s.body[:0], s.out[:0]
	scratches.Put(s)
}

// readBody reads the request body into buf. One event may have maxBody bytes, a batch maxBatchBody times as many; whether
// a JSON body is a batch shows in its first character, so a single event that is too large is refused as soon as it is.
func readBody(w http.ResponseWriter, r *http.Request, m media, maxBody int64, buf []byte) ([]byte, *Problem) {
	limit := maxBody
	if m.batched() || m == mediaJSON {
		limit *= maxBatchBody
	}
	if r.ContentLength > limit {
		return buf, tooLarge("body", limit)
	}
	body := http.MaxBytesReader(w, r.Body, limit)
	single := !m.batched()
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := body.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if single && int64(len(buf)) > maxBody && (m != mediaJSON || !startsArray(buf)) {
			return buf, tooLarge("body", maxBody)
		}
		if err == nil {
			continue
		}
		if err == io.EOF {
			return buf, nil
		}
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return buf, tooLarge("body", limit)
		}
		// The publisher stopped sending or broke the framing; it rarely reads this.
		return buf, &Problem{Status: http.StatusBadRequest, Detail: "the body could not be read to its end"}
	}
}

func tooLarge(what string, limit int64) *Problem {
	return &Problem{
		Status: http.StatusRequestEntityTooLarge,
		Detail: "the " + what + " is larger than the " + strconv.FormatInt(limit, 10) + " bytes taken here",
	}
}

// startsArray tells whether the first character that is not JSON white space opens an array.
func startsArray(b []byte) bool {
	for _, c := range b {
		if c != ' ' && c != '\t' && c != '\n' && c != '\r' {
			return c == '['
		}
	}
	return false
}
