package httpapi

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
)

// patient is an engine whose health a test decides.
type patient struct {
	Gateway

	healthy bool
	due     map[string]time.Time
}

func (p *patient) Healthy() bool                                        { return p.healthy }
func (p *patient) Oldest(context.Context) (map[string]time.Time, error) { return p.due, nil }
func (*patient) Stats(context.Context) (delivery.Stats, error) {
	return delivery.Stats{Counts: delivery.Counts{Pending: 4}, Audit: &delivery.Audit{Pending: 4, Found: 4}}, nil
}

func TestHealthIsForLoadBalancersAndForSupervisors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name        string
		engine      Gateway
		ready, live int
		status      string
	}{
		{"a gateway that works", &patient{healthy: true}, 200, 200, `"status":"ready","live":true,"store_writable":true`},
		{"a store that failed is opened again: no restart mends it", &patient{}, 503, 200, `"status":"unavailable","live":true,"store_writable":false`},
		{"no engine runs", nil, 503, 503, `"status":"unavailable","live":false,"store_writable":false`},
	} {
		api := NewAPI(func() Gateway { return c.engine }, nil)
		terse := &Health{Engine: func() Gateway { return c.engine }, Terse: true}
		for path, want := range map[string]int{"/health": c.ready, "/health/ready": c.ready, "/health/live": c.live} {
			for _, h := range []http.Handler{api, terse} {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, get(path))
				if w.Code != want || !strings.Contains(w.Body.String(), c.status) || w.Header().Get("Cache-Control") != "no-store" {
					t.Errorf("%s: %s: %d %s", c.name, path, w.Code, w.Body)
				}
			}
		}
	}
}

func TestHealthTellsHowFarBehindTheGatewayIs(t *testing.T) {
	t.Parallel()
	now := time.Now()
	p := &patient{healthy: true, due: map[string]time.Time{"a": now.Add(-time.Minute), "b": now.Add(-time.Hour), "c": now.Add(-time.Second)}}
	h := &Health{Engine: func() Gateway { return p }}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, get("/"))
	body := w.Body.String()
	if !strings.Contains(body, `"oldest_due":{"endpoint":"b","since":"`) || !strings.Contains(body, `"pending":4,"lost":0`) ||
		!strings.Contains(body, `"seconds":3600`) {
		t.Errorf("%s", body)
	}
	h.Terse = true
	w = httptest.NewRecorder()
	h.ServeHTTP(w, get("/"))
	if body := w.Body.String(); strings.Contains(body, "pending") || strings.Contains(body, `"b"`) {
		t.Errorf("a stranger is told %s", body)
	}
	w = httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodHead, "/", http.NoBody))
	if w.Code != 200 || w.Body.Len() > 0 {
		t.Errorf("HEAD: %d %s", w.Code, w.Body)
	}
	w = httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", http.NoBody))
	if w.Code != 405 || w.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %d %v", w.Code, w.Header())
	}
}
