package httpapi

import (
	"bytes"
	"net/http"
	"strconv"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/payload"
)

// events reads what the body holds. batch tells whether it came as one: then the answer is a list, and problems carry an
// index. One bad event refuses all, so that a publisher never has to find out which half was taken.
func (in *intake) events(m media, contentType string, body []byte) (evs []*delivery.Event, batch bool, p *Problem) {
	read := in.event
	switch m {
	case mediaCEBinary:
		return one(in.ceBinary(contentType, body))
	case mediaWrapped:
		return one(in.wrapped(body))
	case mediaCEStructured:
		return one(in.ceStructured(body))
	case mediaJSON:
		if !startsArray(body) {
			return one(in.event(body))
		}
	case mediaCEBatch:
		read = in.ceStructured
	case mediaNDJSON:
	}
	pieces, p := split(m, body)
	if p != nil {
		return nil, true, p
	}
	in.verified = "" // it vouches for the request; several events cannot share one id
	evs = make([]*delivery.Event, len(pieces))
	for i, piece := range pieces {
		if int64(len(piece)) > in.maxBody {
			return nil, true, tooLarge("event", in.maxBody).at(i)
		}
		if evs[i], p = read(piece); p != nil {
			return nil, true, p.at(i)
		}
	}
	return evs, true, nil
}

func one(ev *delivery.Event, p *Problem) ([]*delivery.Event, bool, *Problem) {
	if p != nil {
		return nil, false, p
	}
	return []*delivery.Event{ev}, false, nil
}

// split cuts a batch into its events, at least one and at most maxBatch.
func split(m media, body []byte) (pieces [][]byte, p *Problem) {
	if m == mediaNDJSON {
		pieces = splitLines(body)
	} else {
		var err error
		if pieces, err = payload.SplitArray(body, maxBatch); err != nil {
			return nil, inputProblem(err)
		}
	}
	switch {
	case len(pieces) == 0:
		return nil, &Problem{Status: http.StatusUnprocessableEntity, Detail: "a batch holds at least one event"}
	case len(pieces) > maxBatch:
		return nil, &Problem{
			Status: http.StatusRequestEntityTooLarge,
			Detail: "a batch is at most " + strconv.Itoa(maxBatch) + " events: send several requests",
		}
	}
	return pieces, nil
}

// splitLines returns the lines that are not blank, and stops after maxBatch+1 of them.
func splitLines(body []byte) (lines [][]byte) {
	for line := range bytes.Lines(body) {
		if line = bytes.Trim(line, " \t\r\n"); len(line) == 0 {
			continue
		}
		if lines = append(lines, line); len(lines) > maxBatch {
			break
		}
	}
	return lines
}
