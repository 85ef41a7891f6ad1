package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/atoship/caddy-webhooks/delivery/httpapi/client"
)

// TestTheClientCallsEveryRowOfARealGateway goes through an endpoint's life, and through all that is asked beside it.
func TestTheClientCallsEveryRowOfARealGateway(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	ctx, c := t.Context(), b.as(tokenAdmin)
	acme := "acme"
	want := func(row string, err error, refused ...int) {
		t.Helper()
		if s := status(err); s != 0 && (len(refused) == 0 || s != refused[0]) {
			t.Errorf("%s: %v", row, err)
		}
	}
	e := b.create(tokenAdmin, acme)
	_, err := c.PatchEndpoint(ctx, e.ID, e.ETag, map[string]any{"events": []string{"label.*"}})
	want("patch", err)
	one, err := c.Endpoint(ctx, e.ID)
	want("endpoint", err)
	if one.Version != 2 || !strings.Contains(string(one.Settings), "label.*") {
		t.Errorf("the patch changed nothing: %+v", one)
	}
	_, err = c.Endpoints(ctx, client.Page{Limit: 1})
	want("endpoints", err)
	_, err = c.TestEndpoint(ctx, e.ID, client.TestEvent{Event: "label.created", Data: json.RawMessage(`{"label_id":"lbl_2"}`)})
	want("test", err)
	check, err := c.CheckEndpoint(ctx, e.ID, client.TestEvent{})
	want("check", err)
	if len(check.Steps) == 0 {
		t.Error("the check found nothing")
	}
	rotated, err := c.RotateSecret(ctx, e.ID, "", client.Rotation{Overlap: "1h"})
	want("rotate-secret", err)
	secrets, err := c.RevealSecret(ctx, e.ID)
	want("reveal-secret", err)
	if len(secrets) != 2 || secrets[0].Value != rotated.Secret.Value {
		t.Errorf("%d secrets after a rotation", len(secrets))
	}
	_, err = c.PauseEndpoint(ctx, e.ID)
	want("pause", err)

	waiting := b.publish("evt_1", acme).Deliveries[0].ID
	_, err = c.CancelDelivery(ctx, waiting)
	want("cancel", err)
	again, err := c.Redeliver(ctx, waiting)
	want("redeliver", err)
	page, err := c.Deliveries(ctx, client.DeliveryFilter{State: "pending", Endpoint: e.ID, Since: time.Now().Add(-time.Hour)}, client.Page{})
	want("deliveries", err)
	if len(page.Items) != 1 || page.Items[0].ID != again.ID {
		t.Errorf("pending: %+v", page.Items)
	}
	_, err = c.Delivery(ctx, waiting)
	want("delivery", err)
	_, err = c.ReplayEvent(ctx, "evt_1", &acme, e.ID)
	want("replay of an event", err)
	b.publish("evt_nobody", "nobody's")
	_, err = c.RouteEvent(ctx, "evt_nobody", nil)
	want("route", err)
	_, err = c.Events(ctx, client.EventFilter{Routing: "unrouted"}, client.Page{})
	want("events", err)
	_, err = c.Event(ctx, "evt_1", &acme)
	want("event", err)
	_, err = c.Attempts(ctx, client.AttemptFilter{Endpoint: e.ID}, client.Page{})
	want("attempts", err)
	r, err := c.StartReplay(ctx, client.NewReplay{Endpoint: e.ID, State: "cancelled", Since: time.Now().Add(-time.Hour), Rate: "1/m"})
	want("replays", err)
	_, err = c.Replays(ctx, client.Page{})
	want("list of replays", err)
	_, err = c.Replay(ctx, r.ID)
	want("replay", err)
	_, err = c.CancelReplay(ctx, r.ID)
	want("cancel of a replay", err, http.StatusConflict) // it may be done already
	_, err = c.ResumeEndpoint(ctx, e.ID)
	want("resume", err)

	followed := make(chan error, 1)
	go func() {
		for _, err := range c.Stream(ctx, client.StreamFilter{}) {
			followed <- err
			return
		}
		followed <- errors.New("the stream ended")
	}()
	for i, following := 0, true; following; i++ {
		select {
		case err := <-followed:
			want("stream", err)
			following = false
		case <-time.After(10 * time.Millisecond): // there is something to follow once it has begun
			b.publish(fmt.Sprint("evt_stream", i), "other")
		}
	}
	for row, ask := range map[string]func() error{
		"routes": func() error { _, err := c.Routes(ctx, client.Page{}); return err },
		"explain": func() error {
			_, err := c.Explain(ctx, json.RawMessage(`{"event":"label.created","data":{}}`), "")
			return err
		},
		"catalog":         func() error { _, err := c.Catalog(ctx); return err },
		"egress":          func() error { _, err := c.Egress(ctx); return err },
		"stats":           func() error { _, err := c.Stats(ctx); return err },
		"stats/endpoints": func() error { _, _, err := c.StatsByEndpoint(ctx, 5); return err },
		"pulse":           func() error { _, err := c.Pulse(ctx); return err },
		"activity":        func() error { _, err := c.Activity(ctx, e.ID); return err },
		"health":          func() error { _, err := c.Health(ctx); return err },
		"openapi.json":    func() error { _, err := c.OpenAPI(ctx); return err },
		"portal-links":    func() error { _, err := c.CreatePortalLink(ctx, acme, "viewer", time.Now().Add(time.Hour)); return err },
	} {
		want(row, ask())
	}
	token, err := c.CreateToken(ctx, acme, client.NewToken{})
	want("tokens", err)
	_, err = c.Tokens(ctx, acme, client.Page{})
	want("list of tokens", err)
	want("end of a token", c.DeleteToken(ctx, acme, token.ID))
	_, err = c.EraseEvent(ctx, "evt_1", &acme, true)
	want("erase", err)
	_, err = c.EraseTenant(ctx, acme, true, "")
	want("erase of a tenant", err)
	want("backup", c.Backup(ctx, t.TempDir()+"/copy"), http.StatusForbidden)
	_, err = c.DeleteEndpoint(ctx, e.ID, "*", 100)
	want("delete", err)

	// Every row of the table was asked for.
	var asked string
	mux := http.NewServeMux()
	for _, rt := range NewAPI(nil, nil).routes() {
		mux.HandleFunc(rt.pattern, func(http.ResponseWriter, *http.Request) { asked += rt.pattern + "\n" })
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, answer := range b.answers {
		what, _, _ := strings.Cut(answer, "\n")
		method, path, _ := strings.Cut(what, " ")
		req, err := http.NewRequestWithContext(ctx, method, path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		mux.ServeHTTP(nil, req)
	}
	for _, rt := range NewAPI(nil, nil).routes() {
		if !strings.Contains(asked, rt.pattern+"\n") && !strings.HasPrefix(rt.pattern, "GET /health/") { // the same as /health, for others
			t.Errorf("the client did not ask for %s", rt.pattern)
		}
	}
}
