package httpapi

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/gate"
)

// operated is a gateway with endpoints and nothing else.
type operated struct {
	Gateway

	all   []delivery.EndpointStatus
	calls []string
	err   error
}

func (o *operated) Endpoints() []delivery.EndpointStatus { return o.all }

func (o *operated) Endpoint(name string) (delivery.EndpointStatus, error) {
	for _, s := range o.all {
		if s.Name == name {
			return s, nil
		}
	}
	return delivery.EndpointStatus{}, delivery.ErrNotFound
}

func (o *operated) Pause(_ context.Context, name string) error {
	o.calls = append(o.calls, "pause "+name)
	return o.err
}

func (o *operated) Resume(_ context.Context, name string) error {
	o.calls = append(o.calls, "resume "+name)
	return o.err
}

func (*operated) Test(context.Context, string, *delivery.Event) (*delivery.DeliveryRecord, error) {
	return nil, delivery.ErrNotFound
}

func (*operated) Check(context.Context, string, *delivery.Event) (*delivery.Check, error) {
	return nil, delivery.ErrNotFound
}

func (*operated) Stats(context.Context) (delivery.Stats, error) {
	return delivery.Stats{
		Counts: delivery.Counts{Events: 9, Pending: 4, Delivered: 3, Exhausted: 2, Cancelled: 1},
		Store:  &delivery.StoreUse{Kind: "embedded", Size: 5000, Written: 700, Syncs: 6},
	}, nil
}

func (*operated) Oldest(context.Context) (map[string]time.Time, error) {
	return map[string]time.Time{"a": clock("2026-01-02T00:00:00Z"), "b": clock("2026-01-03T00:00:00Z")}, nil
}

func (*operated) Journal() delivery.Journal { return operatedJournal{} }

type operatedJournal struct{ delivery.Journal }

func (operatedJournal) Events(_ context.Context, q delivery.EventQuery) (page delivery.EventPage, _ error) {
	if q.Oldest {
		page.Items = []*delivery.EventRecord{{Event: &delivery.Event{Accepted: clock("2026-01-01T00:00:00Z")}}}
	}
	return page, nil
}

func (operatedJournal) LaneCounts(context.Context) (map[string]delivery.Counts, error) {
	return map[string]delivery.Counts{"a": {Pending: 1}, "b": {Pending: 5, Exhausted: 2}, "c": {Delivered: 3}}, nil
}

func (o *operated) api() *API {
	return NewAPI(func() Gateway { return o }, slog.New(slog.DiscardHandler))
}

func statusOf(name string) delivery.EndpointStatus {
	return delivery.EndpointStatus{
		Name: name, Slots: 2,
		Endpoint: &delivery.Endpoint{
			Name: name, URL: &url.URL{Scheme: "https", Host: "h.example", Path: "/in", RawQuery: "token=t0ps3cret&v=1"},
			Concurrency: 16, Backups: []string{"spare"}, Rate: gate.RateSettings{N: 10, Unit: time.Second, Burst: 3},
		},
	}
}

func TestEndpointsAreListedByNamePageByPageWithoutSecrets(t *testing.T) {
	t.Parallel()
	o := &operated{all: []delivery.EndpointStatus{statusOf("a"), statusOf("b"), {Name: "c", InFlight: 1}}}
	o.all[1].State.Paused = true
	o.all[1].Hold = gate.Hold{Reason: gate.ReasonPaused}
	code, _, body := do(o.api(), get("/endpoints?limit=2"))
	want := `{"items":[{"id":"a","source":"config","url":"https://h.example/in?token=…&v=…","state":"active","breaker":{"state":"closed"},` +
		`"concurrency":{"limit":16,"now":2,"in_flight":0},"rate_limit":"10/s burst 3","backups":["spare"],"pending":0},` +
		`{"id":"b","source":"config","url":"https://h.example/in?token=…&v=…","state":"paused","hold":{"reason":"paused"},"breaker":{"state":"closed"},` +
		`"concurrency":{"limit":16,"now":2,"in_flight":0},"rate_limit":"10/s burst 3","backups":["spare"],"pending":0}],"next":"b"}` + "\n"
	if code != http.StatusOK || body != want {
		t.Errorf("status %d\n got %s\nwant %s", code, body, want)
	}
	_, _, body = do(o.api(), get("/endpoints?limit=2&cursor=b"))
	var page struct {
		Items []struct{ ID, State string }
		Next  string
	}
	if err := json.Unmarshal([]byte(body), &page); err != nil || len(page.Items) != 1 || page.Items[0].ID != "c" || page.Items[0].State != "removed" || page.Next != "" {
		t.Errorf("the second page is %s, %v", body, err)
	}
}

func TestEndpointsThatFailAreListedByThemselves(t *testing.T) {
	t.Parallel()
	o := &operated{}
	for i, ail := range []func(*delivery.EndpointStatus){
		func(*delivery.EndpointStatus) {},
		func(s *delivery.EndpointStatus) { s.State.Paused = true },
		func(s *delivery.EndpointStatus) { s.State.Disabled = delivery.DisabledFailing },
		func(s *delivery.EndpointStatus) { s.Breaker = gate.StateOpen },
		func(s *delivery.EndpointStatus) { s.Breaker = gate.StateHalfOpen },
		func(s *delivery.EndpointStatus) { s.State.FailingSince = time.Now() },
		func(s *delivery.EndpointStatus) {
			s.Endpoint, s.Managed = nil, &delivery.Managed{Problem: "no such egress"}
		},
		func(s *delivery.EndpointStatus) { s.Endpoint = nil }, // removed, as somebody wanted
	} {
		s := statusOf(strconv.Itoa(i))
		ail(&s)
		o.all = append(o.all, s)
	}
	_, _, body := do(o.api(), get("/endpoints?failing=true"))
	var page struct {
		Items []struct{ ID string }
	}
	if err := json.Unmarshal([]byte(body), &page); err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, e := range page.Items {
		ids = append(ids, e.ID)
	}
	if !slices.Equal(ids, []string{"2", "3", "4", "5", "6"}) {
		t.Errorf("failing are %v: %s", ids, body)
	}
}

func TestAnEndpointShowsWhyItIsHeld(t *testing.T) {
	t.Parallel()
	s := statusOf("a")
	at := clock("2026-11-23T08:00:00Z")
	s.State.Disabled, s.State.DisabledAt, s.State.FailingSince = delivery.DisabledFailing, at, at.Add(-time.Hour)
	s.Breaker, s.Probe = gate.StateOpen, at.Add(30*time.Second)
	s.Hold = gate.Hold{Reason: gate.ReasonDisabled}
	o := &operated{all: []delivery.EndpointStatus{s}}
	_, _, body := do(o.api(), get("/endpoints/a"))
	want := `{"id":"a","source":"config","url":"https://h.example/in?token=…&v=…","state":"disabled","hold":{"reason":"disabled"},` +
		`"disabled":{"reason":"failing","at":"2026-11-23T08:00:00.000Z"},"failing_since":"2026-11-23T07:00:00.000Z",` +
		`"breaker":{"state":"open","probe_at":"2026-11-23T08:00:30.000Z"},"concurrency":{"limit":16,"now":2,"in_flight":0},` +
		`"rate_limit":"10/s burst 3","backups":["spare"],"pending":0}` + "\n"
	if body != want {
		t.Errorf("got  %s\nwant %s", body, want)
	}
}

func TestAnOperatorPausesAndResumes(t *testing.T) {
	t.Parallel()
	o := &operated{all: []delivery.EndpointStatus{statusOf("a")}}
	for _, step := range []string{"pause", "resume"} {
		code, _, body := do(o.api(), httptest.NewRequest(http.MethodPost, "/endpoints/a/"+step, http.NoBody))
		if code != http.StatusOK || len(o.calls) == 0 || o.calls[len(o.calls)-1] != step+" a" {
			t.Errorf("%s: status %d, calls %v, %s", step, code, o.calls, body)
		}
	}
}

func TestOperatingIsRefused(t *testing.T) {
	t.Parallel()
	foreign := httptest.NewRequest(http.MethodPost, "/endpoints/a/pause", http.NoBody)
	foreign.Header.Set("Sec-Fetch-Site", "cross-site")
	for name, c := range map[string]struct {
		r      *http.Request
		err    error
		status int
	}{
		"an endpoint that does not exist":    {httptest.NewRequest(http.MethodPost, "/endpoints/b/pause", http.NoBody), delivery.ErrNotFound, http.StatusNotFound},
		"a store that cannot write":          {httptest.NewRequest(http.MethodPost, "/endpoints/a/pause", http.NoBody), delivery.ErrUnavailable, http.StatusServiceUnavailable},
		"a GET":                              {get("/endpoints/a/pause"), nil, http.StatusMethodNotAllowed},
		"a page of another origin":           {foreign, nil, http.StatusForbidden},
		"a limit that is no number":          {get("/endpoints?limit=many"), nil, http.StatusBadRequest},
		"failing that is neither":            {get("/endpoints?failing=maybe"), nil, http.StatusBadRequest},
		"a parameter that there is not":      {get("/endpoints/a?verbose=1"), nil, http.StatusBadRequest},
		"an endpoint to be shown that isn't": {get("/endpoints/b"), nil, http.StatusNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := &operated{all: []delivery.EndpointStatus{statusOf("a")}, err: c.err}
			code, header, body := do(o.api(), c.r)
			if code != c.status || header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("status %d, %s", code, body)
			}
		})
	}
}
