package httpapi

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/httpapi/client"
	"github.com/atoship/caddy-webhooks/delivery/retry"
	"github.com/atoship/caddy-webhooks/delivery/store/memory"
)

// streaming is the API of a real engine behind a real server.
type streaming struct {
	t   *testing.T
	e   *delivery.Engine
	api *API
	url string
}

func startStreaming(t *testing.T) *streaming {
	t.Helper()
	e, err := delivery.Open(t.Context(), delivery.Config{Store: memory.New(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	err = e.Apply(&delivery.Plan{
		Router: oneRoute{}, Dedupe: time.Hour, Expire: delivery.DefaultExpire, Retention: delivery.DefaultRetention,
		Drain: time.Second, MaxInFlight: 16,
		Endpoints: map[string]*delivery.Endpoint{"orders": {
			Name: "orders", URL: &url.URL{Scheme: "https", Host: "orders"}, Signer: noSignature{}, Retry: retry.Schedule{},
			Timeout: time.Second, Concurrency: 1, Transport: &flaky{bodies: []string{""}},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	s := &streaming{t: t, e: e, api: NewAPI(func() Gateway { return e }, nil)}
	server := httptest.NewServer(s.api)
	s.url = server.URL
	t.Cleanup(func() {
		_ = e.Shutdown(context.Background())
		server.Close()
	})
	return s
}

// follow opens a stream and waits until it follows.
func (s *streaming) follow(query string) (*bufio.Reader, int) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.url+"/stream"+query, http.NoBody)
	if err != nil {
		s.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = resp.Body.Close() })
	r := bufio.NewReader(resp.Body)
	if resp.StatusCode == http.StatusOK {
		if line, err := r.ReadString('\n'); err != nil || line != ": following\n" || resp.Header.Get("Content-Type") != "text/event-stream" {
			s.t.Fatalf("%q of %s (%v)", line, resp.Header.Get("Content-Type"), err)
		}
	}
	return r, resp.StatusCode
}

func (s *streaming) publish(id, tenant string) {
	s.t.Helper()
	ev := &delivery.Event{
		ID: id, GivenID: true, Type: "label.created", Environment: "production", Tenant: tenant, Accepted: time.Now(),
		ContentType: "application/json", Body: []byte(`{"data":"secret payload"}`),
	}
	if _, err := s.e.Accept(s.t.Context(), []*delivery.Event{ev}); err != nil {
		s.t.Fatal(err)
	}
}

// next reads one event of a stream.
func next(t *testing.T, r *bufio.Reader) (name string, v feedView) {
	t.Helper()
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if text, ok := strings.CutPrefix(line, "event: "); ok {
			name = strings.TrimSpace(text)
		}
		if text, ok := strings.CutPrefix(line, "data: "); ok {
			if err := json.Unmarshal([]byte(text), &v); err != nil || strings.Contains(text, "secret payload") {
				t.Fatalf("%s (%v)", text, err)
			}
			return name, v
		}
	}
}

func TestStreamTellsWhatHappensNarrowedByItsQuery(t *testing.T) {
	t.Parallel()
	s := startStreaming(t)
	all, _ := s.follow("")
	acme, _ := s.follow("?tenant=acme&endpoint=orders")
	s.publish("evt_1", "other")
	s.publish("evt_2", "acme")
	seen := map[string]int{}
	for range 6 { // the order between acceptance and attempt is not promised
		name, v := next(t, all)
		seen[name+" "+v.EventID]++
		if name == "attempted" && (v.Status != 200 || v.Outcome != "delivered" || v.Endpoint != "orders" || v.Delivery == "") {
			t.Errorf("%+v", v)
		}
	}
	for _, id := range []string{"evt_1", "evt_2"} {
		for _, kind := range []string{"accepted", "attempted", "ended"} {
			if seen[kind+" "+id] != 1 {
				t.Errorf("%s of %s came %d times: %v", kind, id, seen[kind+" "+id], seen)
			}
		}
	}
	for range 2 {
		if name, v := next(t, acme); v.EventID != "evt_2" || v.Tenant != "acme" || name == "accepted" {
			t.Errorf("%s %+v", name, v)
		}
	}
}

func TestStreamsEndWhenTheServerOrTheEngineStops(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*streaming){
		"the server": func(s *streaming) { s.api.EndStreams(); s.api.EndStreams() },
		"the engine": func(s *streaming) { _ = s.e.Shutdown(context.Background()) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startStreaming(t)
			r, _ := s.follow("")
			end(s)
			if _, err := r.ReadString('x'); err == nil || strings.Contains(err.Error(), "deadline") {
				t.Errorf("the stream goes on: %v", err)
			}
		})
	}
}

func TestAReaderThatWasCutOffGoesOnBehindItsLastItem(t *testing.T) {
	t.Parallel()
	s := startStreaming(t)
	c, err := client.New(s.url, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	other, _ := s.follow("")
	there := make(chan struct{})
	go func() {
		for n := 0; ; n++ {
			select {
			case <-there:
				return
			case <-time.After(time.Millisecond):
				s.publish(fmt.Sprint("hello_", n), "acme")
			}
		}
	}()
	var got []string
	met := false
	for item, err := range c.Follow(t.Context(), client.StreamFilter{Tenant: new("acme")}, nil) {
		switch {
		case err != nil:
			t.Fatal(err)
		case strings.HasPrefix(item.EventID, "hello") && !met:
			close(there)
			met = true
		case strings.HasPrefix(item.EventID, "hello"):
			continue
		default:
			got = append(got, item.Kind+" "+item.EventID)
		}
		if len(got) == 9 {
			break
		}
		if len(got)%3 == 0 { // its connection breaks, and more happens before it is back
			s.api.BreakStreams()
			s.publish(fmt.Sprint("evt_", len(got)), "acme")
		}
	}
	slices.Sort(got)
	want := []string{
		"accepted evt_0", "accepted evt_3", "accepted evt_6", "attempted evt_0", "attempted evt_3", "attempted evt_6",
		"ended evt_0", "ended evt_3", "ended evt_6",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	if _, err := io.ReadAll(other); err != nil {
		t.Errorf("another reader: %v", err)
	}
	_, status := s.follow("") // to come
	if status != http.StatusOK {
		t.Errorf("a stream after those that were broken: %d", status)
	}
}

func TestAFollowerDoesNotComeBackToWhereItIsNotWanted(t *testing.T) {
	t.Parallel()
	for what, answer := range map[string]http.HandlerFunc{
		"no gateway":         func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) },
		"a token that ended": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "", http.StatusUnauthorized) },
	} {
		var asked atomic.Int32
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if asked.Add(1) == 1 && what != "no gateway" {
				_, _ = io.WriteString(w, ": following\nid: x\n\n")
				return
			}
			answer(w, r)
		}))
		c, err := client.New(server.URL, client.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var last error
		for _, last = range c.Follow(t.Context(), client.StreamFilter{}, nil) {
		}
		if n := asked.Load(); (last != nil) != (what != "no gateway") || n > 2 {
			t.Errorf("%s: asked %d times, %v", what, n, last)
		}
		server.Close()
	}
}

func TestStreamsThatCannotBeAreRefused(t *testing.T) {
	t.Parallel()
	s := startStreaming(t)
	if _, status := s.follow("?kind=x"); status != 400 {
		t.Errorf("an unknown parameter: %d", status)
	}
	for range 64 {
		if _, status := s.follow(""); status != 200 {
			t.Fatal(status)
		}
	}
	if _, status := s.follow(""); status != 429 {
		t.Errorf("one too many: %d", status)
	}
	w := httptest.NewRecorder()
	NewAPI(func() Gateway { return nil }, nil).ServeHTTP(w, httptest.NewRequest("GET", "/stream", nil))
	if w.Code != 503 {
		t.Errorf("without an engine: %d", w.Code)
	}
}

func TestPulseShowsAnHourOfMinutes(t *testing.T) {
	t.Parallel()
	s := startStreaming(t)
	all, _ := s.follow("")
	s.publish("evt_1", "")
	for range 3 {
		next(t, all)
	}
	w := httptest.NewRecorder()
	s.api.ServeHTTP(w, httptest.NewRequest("GET", "/pulse", nil))
	var v struct {
		Minutes []struct {
			Events, Succeeded, Failed int
			P95MS                     float64 `json:"p95_ms"`
		}
	}
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil || len(v.Minutes) != 60 {
		t.Fatalf("%v: %s", err, w.Body)
	}
	events, succeeded := 0, 0
	for _, m := range v.Minutes {
		events, succeeded = events+m.Events, succeeded+m.Succeeded
	}
	if events != 1 || succeeded != 1 {
		t.Errorf("%d events, %d successes: %s", events, succeeded, fmt.Sprint(v))
	}
}
