package httpapi

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/store/memory"
)

// FuzzIngest: whatever comes in, the handler neither panics nor answers with anything but JSON; and it never accepts text
// that the standard library does not take for JSON, unless it came as bytes.
func FuzzIngest(f *testing.F) {
	types := []string{"application/json", "application/x-ndjson", ceJSON, ceBatch, "application/json; charset=utf-8", "text/plain"}
	for i, body := range []string{
		sent, sent + "\n" + sent, `{"specversion":"1.0","id":"a","source":"/s","type":"x","datacontenttype":"text/plain","data":"x"}`,
		`[{"specversion":"1.0","id":"a","source":"/s","type":"x","data_base64":"AA=="}]`, "[" + sent + "]", "\xff",
	} {
		f.Add(uint8(i), body, "")
		f.Add(uint8(i), body, `"a%20\"`)
	}
	f.Fuzz(func(t *testing.T, kind uint8, body, attribute string) {
		e := newFake(t)
		contentType := types[int(kind)%len(types)]
		r := post(contentType, body)
		if attribute != "" {
			for _, name := range []string{"Ce-Specversion", "Ce-Id", "Ce-Source", "Ce-Type"} {
				r.Header.Set(name, strings.Map(func(c rune) rune { return max(c, ' ') }, attribute))
			}
			r.Header.Set("Ce-Specversion", "1.0")
		}
		status, _, answer := do(e.ingest(), r)
		if !json.Valid([]byte(answer)) {
			t.Fatalf("%d with %q", status, answer)
		}
		if status >= 500 || (status < 300) != (len(e.taken) > 0) {
			t.Fatalf("%d with %d events: %s", status, len(e.taken), answer)
		}
		if status >= 300 || contentType == "text/plain" {
			return
		}
		lines := []string{body}
		if contentType == "application/x-ndjson" && attribute == "" {
			lines = strings.Split(body, "\n")
		}
		for _, line := range lines {
			binaryWithoutBody := attribute != "" && line == ""
			if !json.Valid([]byte(line)) && strings.TrimSpace(line) != "" && !binaryWithoutBody && !isRaw(e) {
				t.Fatalf("accepted %q", line)
			}
		}
		for _, ev := range e.taken {
			if ev.DataEnd > 0 && (!json.Valid(ev.Body) || !json.Valid(ev.Data())) || !validID(ev.ID) || ev.Environment == "" {
				t.Fatalf("event %s", summary(ev))
			}
		}
	})
}

// isRaw tells whether the one event taken is sent byte for byte: then its body need not be JSON.
func isRaw(e *fakeEngine) bool { return len(e.taken) == 1 && e.taken[0].DataEnd == 0 }

// FuzzOperate: whatever an operator asks for, the answer is JSON and no fault of the gateway.
func FuzzOperate(f *testing.F) {
	methods := []string{"GET", "POST"}
	for _, path := range []string{
		"/events?type=x&routing=lost&since=1", "/attempts?status=5xx&tenant=", "/deliveries?cursor=zz&limit=5", "/replays?limit=9",
		"/events/e1/replay?tenant=", "/events/e1/route", "/deliveries/dlv_x/redeliver", "/deliveries/dlv_x/cancel", "/replays/rpl_x",
	} {
		f.Add(uint8(0), path, "")
		f.Add(uint8(1), path, `{"endpoint":"orders"}`)
	}
	f.Add(uint8(1), "/replays", `{"state":"missing","rate":"5/s","until":"2024-01-15T10:30:00Z","tenant":null,"dry_run":true}`)
	e, err := delivery.Open(f.Context(), delivery.Config{Store: memory.New(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = e.Shutdown(context.Background()) })
	if err := e.Apply(&delivery.Plan{Router: oneRoute{}, Expire: time.Hour, Retention: time.Hour, MaxInFlight: 1}); err != nil {
		f.Fatal(err)
	}
	api := NewAPI(func() Gateway { return e }, slog.New(slog.DiscardHandler))
	f.Fuzz(func(t *testing.T, method uint8, path, body string) {
		target, err := url.Parse(path)
		if err != nil || target.Path == "/stream" || strings.HasPrefix(target.Path, "/health") || strings.HasSuffix(target.Path, "/check") {
			t.Skip()
		}
		r := httptest.NewRequest(methods[int(method)%len(methods)], "/", strings.NewReader(body))
		r.URL = target
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		api.ServeHTTP(w, r)
		if w.Code >= 500 || !json.Valid(w.Body.Bytes()) {
			t.Fatalf("%s %q: %d %s", r.Method, path, w.Code, w.Body)
		}
	})
}
