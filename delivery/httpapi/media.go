package httpapi

import (
	"mime"
	"net/http"
	"strings"
)

// media says what a request body claims to be.
type media uint8

const (
	mediaJSON         media = iota // one event, or an array of them
	mediaNDJSON                    // one event per line
	mediaWrapped                   // JSON that becomes the data of one event
	mediaCEStructured              // one CloudEvent, attributes and data in one object
	mediaCEBatch                   // an array of those
	mediaCEBinary                  // one CloudEvent, attributes in headers, the body is the data
)

// batched tells whether the body may hold several events for sure; a mediaJSON body may too, if it is an array.
func (m media) batched() bool { return m == mediaNDJSON || m == mediaCEBatch }

const (
	typeJSON    = "application/json"
	typeNDJSON  = "application/x-ndjson"
	typeCE      = "application/cloudevents+json"
	typeCEBatch = "application/cloudevents-batch+json"
)

// acceptPost is what a 415 offers instead (RFC 9110 §15.5.16, W3C Accept-Post).
const acceptPost = typeJSON + ", " + typeNDJSON + ", " + typeCE + ", " + typeCEBatch

// mediaOf decides by headers alone what the body is. contentType is the media type of a binary CloudEvent's data, as sent.
func (h *Ingest) mediaOf(w http.ResponseWriter, header http.Header) (m media, contentType string, p *Problem) {
	if enc := header["Content-Encoding"]; len(enc) > 0 && (len(enc) > 1 || !strings.EqualFold(enc[0], "identity")) {
		// A few KB of gzip can hold a GB: the body cap would have to be enforced on both sides, for a body of 256 KiB.
		w.Header().Set("Accept-Encoding", "identity")
		return 0, "", &Problem{Status: http.StatusUnsupportedMediaType, Detail: "send the body without Content-Encoding"}
	}
	ct := header["Content-Type"]
	if len(ct) > 1 {
		return 0, "", unsupported(w, "Content-Type is given twice")
	}
	value := ""
	if len(ct) == 1 {
		value = ct[0]
	}
	// What nearly every publisher sends needs no parsing.
	base := value
	if value != typeJSON {
		var ok bool
		if base, ok = baseType(value); !ok {
			return 0, "", unsupported(w, "charset must be utf-8")
		}
	}
	switch {
	case h.Wrap != "":
		if !isJSON(base) {
			return 0, "", unsupported(w, "this route wraps JSON bodies: send application/json")
		}
		return mediaWrapped, "", nil
	case base == typeCE:
		return mediaCEStructured, "", nil
	case base == typeCEBatch:
		return mediaCEBatch, "", nil
	case strings.HasPrefix(base, "application/cloudevents"):
		return 0, "", unsupported(w, "CloudEvents are taken in the JSON format only")
	case len(header["Ce-Specversion"]) > 0 || len(header["Ce-Type"]) > 0:
		return mediaCEBinary, value, nil
	case base == typeJSON:
		return mediaJSON, "", nil
	case base == typeNDJSON:
		return mediaNDJSON, "", nil
	case base == "":
		return 0, "", unsupported(w, "Content-Type is missing or malformed: send application/json")
	default:
		return 0, "", unsupported(w, "this media type is not taken here: send application/json, or this body as a binary CloudEvent")
	}
}

func unsupported(w http.ResponseWriter, detail string) *Problem {
	w.Header().Set("Accept-Post", acceptPost)
	return &Problem{Status: http.StatusUnsupportedMediaType, Detail: detail}
}

// baseType is the media type in lower case without parameters, "" when it is malformed. It is not ok for JSON in another
// charset than UTF-8: RFC 8259 knows no other, and reading one as the other would change the data silently.
func baseType(value string) (base string, ok bool) {
	base, params, err := mime.ParseMediaType(value)
	if err != nil {
		return "", true
	}
	charset := params["charset"]
	if charset == "" || strings.EqualFold(charset, "utf-8") || strings.EqualFold(charset, "utf8") {
		return base, true
	}
	return base, !isJSON(base) && base != typeNDJSON
}

// isJSON tells whether a media type in lower case means JSON (RFC 6839 §3.1: the suffix does too).
func isJSON(base string) bool {
	return base == typeJSON || base == "text/json" || strings.HasSuffix(base, "+json")
}
