package delivery

import (
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/atoship/caddy-webhooks/delivery/egress"
)

// RequestHead is how the requests of an endpoint looked under one configuration: the URL and the header, with places for what
// differs from attempt to attempt, and nothing that is secret. Attempts under one configuration share one.
//
// Written out, a header is half of what an attempt has on disk, and nearly all of it is the same each time. Made up from the
// configuration when somebody looks, it would tell of requests that were never made: an endpoint's URL, headers and
// signatures may have changed since. So each attempt names the head that it was made by, and a store keeps each head once.
type RequestHead struct {
	// ID names the Text: eight bytes of its SHA-256.
	ID uint64
	// Text is the URL and then the fields by name, one a line, "Name: value". Control characters are places.
	Text string
}

// The places, by what belongs there. None of them can be in a header.
const (
	placeTime   = "\x01" // Unix seconds of the attempt
	placeID     = "\x02" // the event's id
	placeType   = "\x03" // and its type
	placeMedia  = "\x04" // Content-Type of the body
	placeLength = "\x05" // its length
	placeName   = "\x06" // the delivery's id
	placeNumber = "\x07" // the attempt's number
	placeTrace  = "\x08" // the trace's id
)

// Of is the request of an attempt: where it went, and its header. The values of what the endpoint's settings add to each
// request are hidden, as in the settings, and signatures cut off. The Content-Length of a body that a transform made, or that
// was erased, is not known any more.
func (h *RequestHead) Of(d *Delivery, a *Attempt) (url string, header http.Header) {
	media, length := d.Event.ContentType, ""
	if n := len(d.Event.Body); n > 0 {
		length = strconv.Itoa(n)
	}
	if a.BodyHash != nil {
		media, length = transformedType, ""
	}
	fill := strings.NewReplacer(
		placeTime, strconv.FormatInt(a.Started.Unix(), 10), placeID, d.Event.ID, placeType, d.Event.Type, placeMedia, media,
		placeLength, length, placeName, d.ID, placeNumber, strconv.Itoa(int(a.N)), placeTrace, a.TraceID,
	)
	url, fields, _ := strings.Cut(h.Text, "\n")
	header = make(http.Header)
	for field := range strings.Lines(fields) {
		name, value, _ := strings.Cut(strings.TrimSuffix(field, "\n"), ": ")
		if value = fill.Replace(value); value != "" {
			header[name] = append(header[name], value)
		}
	}
	return url, header
}

// ShownURL is a URL without the values of its query, which may let somebody in.
func ShownURL(u *url.URL) string {
	shown := *u
	if q := shown.Query(); len(q) > 0 {
		for name := range q {
			q[name] = []string{egress.Hidden}
		}
		shown.RawQuery = strings.ReplaceAll(q.Encode(), url.QueryEscape(egress.Hidden), egress.Hidden)
	}
	return shown.String()
}

// requestHead makes the head of a request that is about to be sent with this header.
func requestHead(p *Plan, d *Delivery, ep *Endpoint, a *Attempt, header http.Header) *RequestHead {
	var b strings.Builder
	b.WriteString(ShownURL(ep.URL) + "\n")
	fields := http.Header{"Host": {ep.URL.Host}, "Content-Length": {placeLength}}
	if _, ok := ep.Transport.(*egress.Bearer); ok {
		fields["Authorization"] = []string{"Bearer " + egress.Hidden}
	}
	places := p.places()
	for name, values := range header {
		switch place, ours := places[name]; {
		case ours && place != "":
			fields[name] = []string{place}
		case ours || len(values) == 0:
			fields[name] = values
		case ep.Header[name] != nil:
			fields[name] = slices.Repeat([]string{egress.Hidden}, len(values))
		default:
			fields[name] = []string{signed(values[0], d, a)}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		for _, value := range fields[name] {
			b.WriteString(name + ": " + value + "\n")
		}
	}
	sum := sha256.Sum256([]byte(b.String()))
	return &RequestHead{ID: binary.BigEndian.Uint64(sum[:]), Text: b.String()}
}

// places are the fields that the gateway sets itself, with what differs between attempts; empty: nothing.
func (p *Plan) places() map[string]string {
	n := p.headers()
	return map[string]string{
		"Content-Type": placeMedia, "User-Agent": "", LoopHeader: "", n.event: placeType, n.eventID: placeID,
		n.delivery: placeName, n.attempt: placeNumber, n.test: "",
		"Traceparent": "00-" + placeTrace + "-" + egress.Hidden, "Tracestate": egress.Hidden,
	}
}

// signatureStart is what of a signature says which it is: "sha256=", "v1,", "t=1700000000,v1=", "sig1=:".
var signatureStart = regexp.MustCompile(`^(?:[a-z]{1,9}=` + placeTime + `,)?(?:[a-zA-Z0-9-]{1,20}[=,]:?)?`)

// signed is what is shown of a value that a signer set: all of it that is no signature. A signer of somebody else's may put
// a secret there, so whatever is not known is not shown.
func signed(value string, d *Delivery, a *Attempt) string {
	at := strconv.FormatInt(a.Started.Unix(), 10)
	switch value {
	case d.Event.ID:
		return placeID
	case at:
		return placeTime
	}
	return signatureStart.FindString(strings.ReplaceAll(value, at, placeTime)) + egress.Hidden
}

// maxHeads bounds the endpoints whose heads a plan keeps at hand, half a kilobyte each; making one anew takes microseconds.
const maxHeads = 4096

// headCache has the heads of a plan's endpoints. The zero value is ready.
type headCache struct {
	heads sync.Map // *Endpoint -> *endpointHeads
	n     atomic.Int32
}

// endpointHeads are those of one: with and without the fields that not every request has.
type endpointHeads [8]atomic.Pointer[RequestHead]

// of is the head of a request that is about to be sent with this header.
func (c *headCache) of(p *Plan, d *Delivery, ep *Endpoint, a *Attempt, header http.Header) *RequestHead {
	known, ok := c.heads.Load(ep)
	if !ok {
		if c.n.Add(1) > maxHeads {
			c.heads.Clear()
			c.n.Store(1)
		}
		known, _ = c.heads.LoadOrStore(ep, new(endpointHeads))
	}
	which := 0
	if d.Event.Test {
		which |= 1
	}
	if a.trace != nil && a.trace.Parent != "" {
		which |= 2
		if a.trace.State != "" {
			which |= 4
		}
	}
	at := &known.(*endpointHeads)[which]
	h := at.Load()
	if h == nil {
		h = requestHead(p, d, ep, a, header)
		at.Store(h)
	}
	return h
}
