package httpapi

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/atoship/caddy-webhooks/delivery"
)

func TestPayloadsAreErasedOverHTTP(t *testing.T) {
	t.Parallel()
	operating(t, func(t *testing.T, ask func(string, string, string) (int, map[string]any), _ *endpointOf) {
		publishOne(t, ask, "x", "e1")
		if status, v := ask("POST", "/events/e1/erase", ""); status != http.StatusOK || v["erased"] != 1.0 {
			t.Errorf("erased: %d %v", status, v)
		}
		if _, v := ask("GET", "/events/e1", ""); v["erased"] != true || v["payload"] != nil || v["payload_base64"] != nil {
			t.Errorf("then it is %v", v)
		}
		if status, v := ask("POST", "/events/e1/replay", ""); status != http.StatusConflict {
			t.Errorf("replaying it: %d %v", status, v)
		}
		ask("POST", "/endpoints/orders/pause", "")
		publishOne(t, ask, "x", "e2")
		if status, v := ask("POST", "/events/e2/erase", "{}"); status != http.StatusConflict || !strings.Contains(fmt.Sprint(v["detail"]), "cancel_pending") {
			t.Errorf("a pending one: %d %v", status, v)
		}
		if status, v := ask("POST", "/events/e2/erase", `{"cancel_pending":true}`); status != http.StatusOK || v["cancelled"] != 1.0 {
			t.Errorf("with consent: %d %v", status, v)
		}
		for i := range 150 {
			ask("POST", "/ingest", fmt.Sprintf(`{"event":"lost","id":"t%d","tenant":"acme","data":{}}`, i))
		}
		if status, v := ask("POST", "/store/erase", `{"tenant":"acme"}`); status != http.StatusOK || v["erased"] != 150.0 || v["next"] != nil {
			t.Errorf("a tenant: %d %v", status, v)
		}
		for path, body := range map[string]string{
			"/store/erase": `{"tenant":""}`, "/store/erase?": `{"tenants":["a"]}`, "/events/e1/erase": `{"cancel_pending":1}`,
		} {
			if status, v := ask("POST", path, body); status != http.StatusUnprocessableEntity {
				t.Errorf("%s %s: %d %v", path, body, status, v)
			}
		}
	})
}

func TestEndpointsAreCountedMostPendingFirst(t *testing.T) {
	t.Parallel()
	_, _, body := do(new(operated).api(), get("/stats/endpoints?limit=2"))
	want := `{"items":[{"endpoint":"b","pending":5,"delivered":0,"exhausted":2,"cancelled":0,"oldest_due":"2026-01-03T00:00:00.000Z"},` +
		`{"endpoint":"a","pending":1,"delivered":0,"exhausted":0,"cancelled":0,"oldest_due":"2026-01-02T00:00:00.000Z"}],"total":3}` + "\n"
	if body != want {
		t.Errorf("got  %s\nwant %s", body, want)
	}
}

// kept is a gateway that makes backups, or says why not.
type kept struct {
	Gateway

	dir string
	err error
}

func (k *kept) Backup(_ context.Context, dir string) error {
	k.dir = dir
	return k.err
}

func TestBackupIsForThoseWhoMayWriteToTheMachine(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, body string
		allowed    bool
		err        error
		want       int
	}{
		{"allowed", `{"directory":"/backups/./monday"}`, true, nil, 200},
		{"not allowed", `{"directory":"/backups/monday"}`, false, nil, 403},
		{"a relative directory", `{"directory":"monday"}`, true, nil, 422},
		{"no directory", ``, true, nil, 422},
		{"one that exists", `{"directory":"/backups/monday"}`, true, fmt.Errorf("x: %w", fs.ErrExist), 409},
		{"a store that cannot", `{"directory":"/backups/monday"}`, true, delivery.ErrUnsupported, 501},
		{"a store that is down", `{"directory":"/backups/monday"}`, true, delivery.ErrUnavailable, 503},
		{"a disk that cannot", `{"directory":"/backups/monday"}`, true, fs.ErrPermission, 422},
	} {
		k := &kept{err: c.err}
		a := NewAPI(func() Gateway { return k }, slog.New(slog.DiscardHandler))
		if c.allowed {
			a.AllowBackup()
		}
		r := post("application/json", c.body)
		r.URL.Path = "/store/backup"
		status, _, body := do(a, r)
		if status != c.want || (status == 200) != (body == `{"directory":"/backups/monday"}`+"\n") || (k.dir != "") != (c.err != nil || status == 200) {
			t.Errorf("%s: %d %s", c.name, status, body)
		}
	}
}
