package caddymodule

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/egress"
	"github.com/atoship/caddy-webhooks/delivery/store/embedded"
	"github.com/atoship/caddy-webhooks/rules"
)

// dirStore is an embedded store without a Caddy config around it.
type dirStore string

func (d dirStore) Identity() string { return string(d) }

func (d dirStore) Open(ctx context.Context, _ *slog.Logger) (delivery.Store, error) {
	return embedded.Open(ctx, embedded.Options{Dir: string(d)})
}

// provisioned is an app as Provision leaves it.
func provisioned(t *testing.T, dir string) *App {
	t.Helper()
	router, err := new(ExprRouter).Router(rules.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return &App{
		store: dirStore(dir), logHandler: slog.DiscardHandler,
		plan: &delivery.Plan{
			Router: router, Expire: delivery.DefaultExpire, Retention: delivery.DefaultRetention,
			MaxInFlight: delivery.DefaultMaxInFlight, Drain: delivery.DefaultDrain,
		},
	}
}

func start(t *testing.T, a *App) {
	t.Helper()
	if err := a.Start(); err != nil {
		t.Fatal(err)
	}
}

func stop(t *testing.T, a *App) {
	t.Helper()
	if err := errors.Join(a.Stop(), a.Cleanup()); err != nil {
		t.Fatal(err)
	}
}

// inForce checks which plan the engine that a's requests get works by.
func inForce(t *testing.T, a *App, want *delivery.Plan) {
	t.Helper()
	e, err := a.engine()
	if err != nil {
		t.Fatal(err)
	}
	if e.Plan() != want {
		t.Error("another config's plan is in force")
	}
}

func TestNewestLivingConfigDecides(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, b, c := provisioned(t, dir), provisioned(t, dir), provisioned(t, dir)
	start(t, a)
	start(t, b)
	inForce(t, a, b.plan)
	stop(t, a)
	inForce(t, a, b.plan) // a request that outlived its config is served by the one that followed
	start(t, c)
	inForce(t, b, c.plan)
	stop(t, c) // rolled back
	inForce(t, b, b.plan)
	stop(t, b)
	for _, app := range []*App{a, b, c} {
		if _, err := app.engine(); !errors.Is(err, errNotRunning) {
			t.Errorf("after the last stop: %v", err)
		}
	}
}

func TestAListThatAReloadChangesIsNews(t *testing.T) {
	t.Parallel()
	heard := make(chan map[string]any, 10)
	listing := func(dir string, listed ...egress.Listed) *App {
		a := provisioned(t, dir)
		a.profiles = map[string]*egressProfile{"eu": {name: "eu", listed: listed}}
		a.emit = func(name string, data map[string]any) {
			delete(data, "at")
			data["type"] = name
			heard <- data
		}
		return a
	}
	addr := func(s string, from time.Time) egress.Listed {
		return egress.Listed{Profile: "eu", Source: egress.Source{Addr: netip.MustParseAddr(s), From: from}}
	}
	day := time.Date(2126, 12, 24, 0, 0, 0, 0, time.UTC)
	dir := t.TempDir()
	a := listing(dir, addr("203.0.113.10", time.Time{}), addr("203.0.113.11", time.Time{}))
	b := listing(dir, addr("203.0.113.10", time.Time{}), addr("203.0.113.12", day))
	c := listing(dir, addr("203.0.113.10", time.Time{}), addr("203.0.113.12", day.AddDate(0, 0, 7)))
	want := func(step string, news ...map[string]any) {
		t.Helper()
		for _, w := range news {
			w["type"], w["profile"] = "webhooks.egress_changed", "eu"
			if got := <-heard; !maps.Equal(got, w) {
				t.Errorf("%s: heard %v, want %v", step, got, w)
			}
		}
	}
	start(t, a)
	start(t, b)
	want("the second config",
		map[string]any{"change": "unlisted", "address": "203.0.113.11"},
		map[string]any{"change": "listed", "address": "203.0.113.12", "not_before": "2126-12-24"})
	start(t, c)
	want("another day", map[string]any{"change": "listed", "address": "203.0.113.12", "not_before": "2126-12-31"})
	stop(t, c)
	want("rolled back", map[string]any{"change": "listed", "address": "203.0.113.12", "not_before": "2126-12-24"})
	stop(t, a)
	stop(t, b)
	if len(heard) > 0 {
		t.Errorf("%v is no news", <-heard)
	}
}

func TestFirstRequestMayComeBeforeStart(t *testing.T) {
	t.Parallel()
	a := provisioned(t, t.TempDir())
	var requests sync.WaitGroup
	for range 8 {
		requests.Go(func() {
			if _, err := a.engine(); err != nil {
				t.Error(err)
			}
		})
	}
	requests.Wait()
	start(t, a)
	inForce(t, a, a.plan)
	stop(t, a)
	stop(t, a) // twice is fine
}

func TestStoppedConfigOpensNothingAnyMore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a := provisioned(t, dir)
	stop(t, a) // validated only
	if err := a.Start(); !errors.Is(err, errNotRunning) {
		t.Errorf("starting after the stop: %v", err)
	}
	if refs, ok := engines.References(dir); ok {
		t.Errorf("%d references are left", refs)
	}
}

func TestPlanThatCannotBeAppliedLeavesTheOneBefore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, bad := provisioned(t, dir), provisioned(t, dir)
	bad.plan = &delivery.Plan{}
	if err := bad.Start(); err == nil {
		t.Fatal("a plan without a router was applied")
	}
	stop(t, bad)
	start(t, a) // the store was closed, or this could not open it

	bad = provisioned(t, dir)
	bad.plan = &delivery.Plan{}
	if err := bad.Start(); err == nil {
		t.Fatal("a plan without a router was applied")
	}
	stop(t, bad)
	inForce(t, a, a.plan)
	stop(t, a)
	if refs, ok := engines.References(dir); ok {
		t.Errorf("%d references are left", refs)
	}
}

func TestStartingAndStoppingMayRace(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for range 20 {
		a, b := provisioned(t, dir), provisioned(t, dir)
		var both sync.WaitGroup
		for _, app := range []*App{a, b} {
			both.Go(func() { _, _ = app.engine() })
			both.Go(func() {
				if err := errors.Join(app.Stop(), app.Cleanup()); err != nil {
					t.Error(err)
				}
			})
		}
		both.Wait()
	}
	if refs, ok := engines.References(dir); ok {
		t.Errorf("%d references are left", refs)
	}
}
