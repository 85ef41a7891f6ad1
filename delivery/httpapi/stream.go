package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
)

// Watcher is what watching needs of *delivery.Engine.
type Watcher interface {
	// Follow passes on what happens from now on, or since a cursor.
	Follow(cursor string, wants func(*delivery.FeedItem) bool) (*delivery.Follower, error)
	// Pulse tells what happened in the last hour, by the minute.
	Pulse() []delivery.PulseMinute
	// Activity tells what the endpoints of which of answers true did and have before them.
	Activity(ctx context.Context, of func(endpoint string) bool) (delivery.Activity, error)
	// RouteUse tells what a route did since the gateway started.
	RouteUse(name string) delivery.RouteUse
}

// heartbeat is how often a quiet stream says that it lives: proxies close what says nothing for a minute.
const heartbeat = 15 * time.Second

// streamWrite bounds one write to a reader that does not read.
const streamWrite = 10 * time.Second

type feedView struct {
	At          moment `json:"at"`
	EventID     string `json:"event_id,omitempty"`
	EventType   string `json:"event_type"`
	Environment string `json:"environment,omitempty"`
	Tenant      string `json:"tenant,omitempty"`
	Delivery    string `json:"delivery,omitempty"`
	Endpoint    string `json:"endpoint,omitempty"`
	N           int    `json:"n,omitempty"`
	Status      int    `json:"status,omitempty"`
	Outcome     string `json:"outcome,omitempty"`
	DurationMS  int64  `json:"duration_ms,omitempty"`
	State       string `json:"state,omitempty"`
	Deliveries  int    `json:"deliveries,omitempty"`
	Test        bool   `json:"test,omitempty"`
}

type pulseView struct {
	Minutes []minuteView `json:"minutes"`
}

type minuteView struct {
	At        moment  `json:"at"`
	Events    uint64  `json:"events"`
	Succeeded uint64  `json:"succeeded"`
	Failed    uint64  `json:"failed"`
	P50MS     float64 `json:"p50_ms"`
	P95MS     float64 `json:"p95_ms"`
}

// viewPulse shows the last hour.
func viewPulse(all []delivery.PulseMinute) *pulseView {
	v := &pulseView{Minutes: make([]minuteView, len(all))}
	ms := func(d time.Duration) float64 {
		return float64(d.Round(100*time.Microsecond)) / float64(time.Millisecond)
	}
	for i, m := range all {
		v.Minutes[i] = minuteView{moment{m.At}, m.Events, m.Succeeded, m.Failed, ms(m.P50), ms(m.P95)}
	}
	return v
}

func (*API) pulse(_ context.Context, g Gateway, r *http.Request) (any, error) {
	if _, p := parseQuery(r); p != nil {
		return nil, p
	}
	return viewPulse(g.Pulse()), nil
}

// streams are those under way.
type streams struct {
	mu    sync.Mutex
	end   chan struct{} // closed to end them; nil: there were none yet
	ended bool          // for good
}

// begin is closed when the stream that begins is to end.
func (s *streams) begin() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end == nil {
		s.end = make(chan struct{})
	}
	return s.end
}

// stop ends those under way and, if for good, those to come.
func (s *streams) stop(forGood bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	if s.end != nil {
		close(s.end)
		s.end = nil
	}
	if s.ended = forGood; forGood {
		s.end = make(chan struct{})
		close(s.end)
	}
}

// EndStreams ends the streams under way and to come: a server that stops waits for its requests.
func (a *API) EndStreams() { a.streams.stop(true) }

// BreakStreams ends the streams under way; their readers come back to whatever serves the address then, with their cursors.
func (a *API) BreakStreams() { a.streams.stop(false) }

// stream sends what happens as server-sent events (WHATWG HTML, section 9.2) until the reader leaves or the gateway stops.
// The event is named accepted, attempted, ended or notice; missed tells how many a slow reader lost, or 0 when nobody knows.
// A reader that was cut off names the last id it got in Last-Event-ID.
func (a *API) stream(_ context.Context, c *call) (any, error) {
	q, p := parseQuery(c.Request, "endpoint", "type", "tenant")
	if p != nil {
		return nil, p
	}
	end := a.streams.begin()
	f, err := c.gateway.Follow(c.Header.Get("Last-Event-ID"), wanted(q))
	switch {
	case errors.Is(err, delivery.ErrBusy):
		return nil, &Problem{Status: http.StatusTooManyRequests, RetryAfter: retryBusy, Detail: "too many streams are open"}
	case err != nil:
		return nil, notReady()
	}
	defer f.Close()
	h := c.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h["X-Content-Type-Options"], h["Cache-Control"] = nosniff, noStore
	h.Set("X-Accel-Buffering", "no") // proxies that buffer answers would hold every event back
	out := &eventStream{w: c.w, c: http.NewResponseController(c.w)}
	if out.send(": following\nretry: 1000\nid: "+f.Start+"\n\n") && (!f.Gap || out.missed(0)) {
		follow(c.Request, out, f, end)
	}
	return answered, nil
}

// wanted is the filter that a query asks for.
func wanted(q map[string]string) func(*delivery.FeedItem) bool {
	is := func(name, value string) bool {
		v, given := q[name]
		return !given || v == value
	}
	return func(i *delivery.FeedItem) bool {
		return is("endpoint", i.Endpoint) && is("type", i.EventType) && is("tenant", i.Tenant)
	}
}

// follow passes on what f gets until the reader leaves, end is closed or the gateway stops.
func follow(r *http.Request, out *eventStream, f *delivery.Follower, end <-chan struct{}) {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		select {
		case <-r.Context().Done():
			return
		case <-end:
			return
		case <-beat.C:
			if !out.send(": \n\n") {
				return
			}
		case item, open := <-f.Items:
			if !open || !out.item(f.Cursor(&item), &item) {
				return
			}
			if n := f.Missed(); n > 0 && !out.missed(n) {
				return
			}
		}
	}
}

// eventStream writes server-sent events.
type eventStream struct {
	w http.ResponseWriter
	c *http.ResponseController
}

func (s *eventStream) item(id string, i *delivery.FeedItem) bool {
	return s.event(i.Kind, id, feedView{
		moment{i.At},
		i.EventID, i.EventType, i.Environment, i.Tenant, i.Delivery, i.Endpoint, i.N, i.Status, i.Outcome,
		i.Took.Milliseconds(), i.State, i.Deliveries, i.Test,
	})
}

// missed tells that the reader lost items; 0: nobody knows how many.
func (s *eventStream) missed(items uint64) bool {
	return s.event("missed", "", map[string]uint64{"items": items})
}

// event sends one, and tells whether the reader is still there. JSON has no line breaks, which would end it early.
func (s *eventStream) event(name, id string, v any) bool {
	data, err := json.Marshal(v)
	if id != "" {
		id = "id: " + id + "\n"
	}
	return err == nil && s.send("event: "+name+"\n"+id+"data: "+string(data)+"\n\n")
}

func (s *eventStream) send(text string) bool {
	_ = s.c.SetWriteDeadline(time.Now().Add(streamWrite)) // a writer without deadlines is a test's
	if _, err := s.w.Write([]byte(text)); err != nil {
		return false
	}
	return s.c.Flush() == nil
}
