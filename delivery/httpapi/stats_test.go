package httpapi

import (
	"net/http/httptest"
	"strings"
	"testing"
)

func TestStatsTellWhatIsKeptAndWhatItCosts(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	new(operated).api().ServeHTTP(w, httptest.NewRequest("GET", "/stats", nil))
	want := `{"events":9,"deliveries":{"cancelled":1,"delivered":3,"exhausted":2,"pending":4},` +
		`"store":{"kind":"embedded","size_bytes":5000,"written_bytes":700,"syncs":6},"oldest_event":"2026-01-01T00:00:00.000Z","oldest_due":"2026-01-02T00:00:00.000Z"}`
	if got := strings.TrimSpace(w.Body.String()); w.Code != 200 || got != want {
		t.Errorf("%d %s", w.Code, got)
	}
	w = httptest.NewRecorder()
	new(operated).api().ServeHTTP(w, httptest.NewRequest("GET", "/stats?since=yesterday", nil))
	if w.Code != 400 {
		t.Errorf("a parameter that it does not have: %d %s", w.Code, w.Body)
	}
}
