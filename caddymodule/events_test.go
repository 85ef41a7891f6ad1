package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"

	"github.com/atoship/caddy-webhooks/delivery"
)

// emit raises an event in the running Caddy, as a module of this id would.
func emit(t *testing.T, name string, data map[string]any) {
	t.Helper()
	ctx := caddy.ActiveContext()
	app, err := ctx.App("events")
	if err != nil {
		t.Fatal(err)
	}
	app.(*caddyevents.App).Emit(ctx, name, data)
}

// withEvents is a Caddyfile with an events block.
func (g *gateway) withEvents(block, app string) string {
	return strings.Replace(g.caddyfile(app, ""), "\twebhooks {", "\tevents {\n"+block+"\n\t}\n\twebhooks {", 1)
}

func TestCaddysEventsBecomeWebhooks(t *testing.T) {
	g := newGateway(t)
	g.mustLoad(g.withEvents("\t\ton cert_obtained webhooks\n\t\ton * webhooks {\n\t\t\tenvironment ops\n\t\t}", everything))
	emit(t, "cert_obtained", map[string]any{
		"identifier": "shop.example.com", "renewal": true, "remaining": 36 * time.Hour, "handle": make(chan int),
	})
	r := g.nextBut("caddy.started")
	var got struct {
		Event string
		Data  struct {
			Origin string
			Data   map[string]any
		}
	}
	if err := json.Unmarshal([]byte(r.body), &got); err != nil {
		t.Fatal(err)
	}
	data := got.Data.Data
	if got.Event != "caddy.cert_obtained" || data["identifier"] != "shop.example.com" || data["renewal"] != true ||
		data["remaining"] != "36h0m0s" || len(data) != 3 || !strings.HasPrefix(r.header.Get("X-AtoShip-Event-Id"), "caddy_") {
		t.Errorf("%s %v", r.body, r.header)
	}

	emit(t, "unhealthy", map[string]any{"host": "10.0.0.1:80"}) // and cert_obtained came once, though two handlers took it
	if r := g.nextBut("caddy.started"); !strings.Contains(r.body, `"event":"caddy.unhealthy"`) {
		t.Errorf("then came %s", r.body)
	}
}

// nextBut waits for a delivery of another type of event.
func (g *gateway) nextBut(eventType string) received {
	g.t.Helper()
	for {
		if r := g.next(); r.header.Get("X-AtoShip-Event") != eventType {
			return r
		}
	}
}

func TestWhatTheGatewayOrAHandshakeRaisesMakesNoWebhook(t *testing.T) {
	g := newGateway(t)
	g.mustLoad(g.withEvents("\t\ton * webhooks", failingAtOnce))
	emit(t, "tls_get_certificate", nil)
	emit(t, delivery.NoticeBreakerOpened, nil)
	e, _ := caddy.NewEvent(caddy.ActiveContext(), "of_ours", nil)
	own, cancel := caddy.NewContext(caddy.ActiveContext())
	defer cancel()
	h := &Events{log: slog.New(slog.DiscardHandler)}
	if err := h.Handle(own, e); err != nil {
		t.Error(err)
	}
	emit(t, "last", nil)
	seen := []string{}
	for len(seen) == 0 || !strings.Contains(seen[len(seen)-1], "caddy.last") {
		seen = append(seen, g.next().body)
	}
	for _, body := range seen {
		if strings.Contains(body, "handshake") || strings.Contains(body, "tls_get_certificate") || strings.Contains(body, "webhooks.") {
			t.Errorf("delivered %s", body)
		}
	}
}

// failingAtOnce has an endpoint whose deliveries of Caddy's events are exhausted at once, which is an event of ours and must
// not become another one.
var failingAtOnce = strings.NewReplacer("URL/all", "URL/fail", "events *", "events caddy.*\n\t\t\tretry off").Replace(everything)

// testEar is a handler that hears every event of the running Caddy.
type testEar struct{}

var heard struct {
	sync.Mutex
	by map[string]int // name
}

func init() { caddy.RegisterModule(testEar{}) }

func (testEar) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "events.handlers.webhooks_test_ear", New: func() caddy.Module { return new(testEar) }}
}
func (testEar) UnmarshalCaddyfile(d *caddyfile.Dispenser) error { d.Next(); return nil }

func (testEar) Handle(_ context.Context, e caddy.Event) error {
	heard.Lock()
	defer heard.Unlock()
	name := e.Name()
	if delivery.IsNotice(name) && string(e.Origin().CaddyModule().ID) != appID {
		name += " of another module"
	}
	heard.by[name]++
	return nil
}

func TestOurEventsAreHeardInCaddyOnTransitionsAndMakeNoWebhooks(t *testing.T) {
	heard.by = map[string]int{}
	g := newGateway(t)
	g.mustLoad(g.withEvents("\t\ton * webhooks\n\t\ton * webhooks_test_ear", failingAtOnce))
	hears := func(name string) int {
		heard.Lock()
		defer heard.Unlock()
		return heard.by[name]
	}
	for i := range 20 { // the breaker opens at five failures in a row; then they wait
		emit(t, fmt.Sprint("failing_", i), nil)
	}
	if err := settled(func() bool { return hears(delivery.NoticeBreakerOpened) > 0 }); err != nil {
		t.Fatalf("no breaker opened: %v", heard.by)
	}
	emit(t, "last", nil)

	e := runningEngine(caddy.ActiveContext())
	var stored []string
	var exhausted uint64
	if err := settled(func() bool { // events are stored one after another
		page, err := e.Journal().Events(t.Context(), delivery.EventQuery{Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		stored = nil
		for _, item := range page.Items {
			stored = append(stored, item.Event.Type)
		}
		stats, err := e.Stats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		exhausted = stats.Exhausted
		return slices.Contains(stored, "caddy.last") && uint64(hears(delivery.NoticeDeliveryExhausted)) == exhausted
	}); err != nil {
		t.Errorf("stored %v, %d exhausted, heard %v", stored, exhausted, heard.by)
	}
	for _, kind := range stored {
		if kind != "caddy.started" && kind != "caddy.last" && !strings.HasPrefix(kind, "caddy.failing_") {
			t.Errorf("an event of ours became %s", kind)
		}
	}
	if exhausted < 5 || hears(delivery.NoticeBreakerOpened) != 1 {
		t.Errorf("%d exhausted, heard %v", exhausted, heard.by)
	}
}

func TestAHandlerDoesNotWaitForAStoreThatIsBusy(t *testing.T) {
	t.Parallel()
	s := &sharedEngine{logs: newLiveLogs(slog.DiscardHandler)}
	s.inbox.running = true // as if one were being stored all the time
	for range inboxSize + 100 {
		s.inbox.put(s, caddyEvent{kind: "caddy.x"})
	}
	if len(s.inbox.waiting) != inboxSize || s.inbox.dropped != 100 {
		t.Errorf("%d wait, %d dropped", len(s.inbox.waiting), s.inbox.dropped)
	}
	s.inbox.close()
	s.inbox.put(s, caddyEvent{kind: "caddy.x"})
	if len(s.inbox.waiting) != 0 {
		t.Error("taken after the end")
	}
}

func TestOnlyWhatCanBeShownIsCopied(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 2*maxField)
	got := copied(map[string]any{
		"text": long, "half": strings.Repeat("x", maxField-1) + "ä", "list": []string{"a", long}, "number": 1.5, "nan": math.NaN(),
		"error": errors.New("broken"), "at": time.Unix(0, 0), "func": func() {}, "map": map[string]any{"secret": "x"}, "nothing": nil,
	})
	if len(got) != 7 || len(got["text"].(string)) != maxField || len(got["half"].(string)) != maxField-1 || got["error"] != "broken" ||
		got["at"] != "1970-01-01T00:00:00Z" || got["number"] != 1.5 || len(got["list"].([]string)[1]) != maxField {
		t.Errorf("copied %v", got)
	}
	if _, err := json.Marshal(got); err != nil {
		t.Error(err)
	}
	many := map[string]any{}
	for i := range 2 * maxFields {
		many[strings.Repeat("n", i+1)] = i
	}
	if n := len(copied(many)); n != maxFields {
		t.Errorf("%d fields", n)
	}
}

func TestAnEventWithoutAGatewayIsDropped(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	h := &Events{log: slog.New(slog.NewTextHandler(&log, nil))}
	e, err := caddy.NewEvent(caddy.Context{Context: context.Background()}, "cert_failed", nil)
	if err != nil {
		t.Fatal(err)
	}
	if runningEngine(t.Context()) != nil {
		t.Skip("another test's gateway runs")
	}
	if err := h.Handle(t.Context(), e); err != nil || !strings.Contains(log.String(), "event=cert_failed") {
		t.Errorf("%v, log %q", err, log.String())
	}
}
