package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/atoship/caddy-webhooks/examples/internal/rig"
)

// journey is the tracking flow of the guide with each of its exceptions between.
var journey = []string{
	"accepted", "package_held", "in_transit", "returned_to_sender", "in_transit",
	"address_issue", "out_for_delivery", "delivery_attempted", "out_for_delivery", "delivered",
}

const parcels = 20

// stubborn is the package one of whose updates fails and fails, and failing that update.
const (
	stubborn = "9400000000000"
	failing  = "address_issue"
)

func number(i int) string { return fmt.Sprintf("94%011d", i) }

// customer is the board behind a door that does not always let through.
type customer struct {
	board *Board

	mu       sync.Mutex
	patience bool     // the failing update fails
	down     bool     // the first site answers nothing but 503
	tried    []string // the stubborn package's updates as they came, however they were answered
	sites    map[string]int
}

func (c *customer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	c.mu.Lock()
	c.sites[r.URL.Path]++
	refused := 0
	step := c.step(body)
	if step != "" {
		c.tried = append(c.tried, step)
	}
	switch {
	case c.down && r.URL.Path == "/board":
		refused = http.StatusServiceUnavailable
	case c.patience && step == failing:
		refused = http.StatusLocked // the endpoint lives, so its breaker stays closed
	}
	c.mu.Unlock()
	if refused != 0 {
		http.Error(w, "later", refused)
		return
	}
	c.board.ServeHTTP(w, r)
}

// step is which update of the stubborn package it is; "" for another's.
func (c *customer) step(body []byte) string {
	if !bytes.Contains(body, []byte(stubborn)) {
		return ""
	}
	for _, s := range journey {
		if bytes.Contains(body, []byte(`"`+s+`"`)) {
			return s
		}
	}
	return ""
}

func (c *customer) set(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

func (c *customer) triedSteps() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.tried)
}

// until waits for something that the gateway brings about by itself, and shows what there is when it does not.
func until(ctx context.Context, t *testing.T, what string, holds func() bool, show func() any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waited in vain until %s: %v", what, show())
		}
	}
}

func TestEachPackagesUpdatesArriveInOrder(t *testing.T) {
	t.Parallel()
	c := &customer{board: NewBoard(), patience: true, sites: map[string]int{}}
	upstream := httptest.NewServer(c)
	t.Cleanup(upstream.Close)
	g := start(t, strings.TrimPrefix(upstream.URL, "http://"))

	// The first seven updates of all packages. One of the stubborn package fails, and only its later ones wait.
	for _, step := range journey[:7] {
		for i := range parcels {
			g.publish(t, number(i), step)
		}
	}
	others := func() bool {
		for i := 1; i < parcels; i++ {
			if len(c.board.Parcel(number(i)).Steps) < 7 {
				return false
			}
		}
		return true
	}
	shown := func() any { return c.board.Parcel(number(1)) }
	until(t.Context(), t, "the other packages are out for delivery", others, shown)
	failures := func() int { return len(c.triedSteps()) - 5 }
	until(t.Context(), t, "the failing update was tried again", func() bool { return failures() >= 2 }, func() any { return c.triedSteps() })

	g.restart(t) // what waits, waits on disk
	c.set(func() { c.patience = false })
	inOrder(t, c, g, 0, 7)
	tried := c.triedSteps()
	if want := slices.Concat(journey[:5], slices.Repeat([]string{failing}, len(tried)-6), journey[6:7]); !slices.Equal(tried, want) {
		t.Errorf("the stubborn package's updates were tried in the order %v", tried)
	}

	// The rest, while the first site is down: the backup takes over, in order too.
	c.set(func() { c.down = true })
	for _, step := range journey[7:] {
		for i := range parcels {
			g.publish(t, number(i), step)
		}
	}
	for i := range parcels {
		inOrder(t, c, g, i, len(journey))
	}
	for i := range parcels {
		p := c.board.Parcel(number(i))
		if len(p.Exceptions) != 4 || p.Status != "delivered" {
			t.Errorf("package %d: %+v", i, p)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sites["/board-backup"] < 3*parcels {
		t.Errorf("who was asked how often: %v", c.sites)
	}
}

// inOrder waits until the board shows the first n updates of a package, and nothing else.
func inOrder(t *testing.T, c *customer, g *gateway, i, n int) {
	t.Helper()
	steps := func() []string { return c.board.Parcel(number(i)).Steps }
	until(t.Context(), t, fmt.Sprintf("%d updates of package %d have arrived", n, i), func() bool { return len(steps()) >= n }, func() any {
		return fmt.Sprintf("%v\n%s", steps(), g.running.LogTail())
	})
	if got := steps(); !slices.Equal(got, journey[:n]) {
		t.Errorf("package %d: %v, want %v", i, got, journey[:n])
	}
}

// gateway is the example's, on free ports.
type gateway struct {
	bin, config, dir string
	ports            []int // of the admin API, ingest, the receiver
	running          *rig.Gateway
	client           *http.Client
}

// start runs the Caddyfile on free ports, with the given program behind its receiver; nothing else is changed.
func start(t *testing.T, upstream string) *gateway {
	t.Helper()
	g := &gateway{dir: t.TempDir(), client: &http.Client{Timeout: 10 * time.Second}}
	var err error
	if g.bin, err = rig.Build(t.Context(), g.dir); err != nil {
		t.Fatal(err)
	}
	if g.ports, err = rig.Ports(3); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("Caddyfile")
	if err != nil {
		t.Fatal(err)
	}
	catalog, err := filepath.Abs("../atoship/events.json")
	if err != nil {
		t.Fatal(err)
	}
	config := string(text)
	for _, change := range [][2]string{
		{"\tskip_install_trust\n", fmt.Sprintf("\tskip_install_trust\n\tadmin 127.0.0.1:%d\n", g.ports[0])},
		{":8080", fmt.Sprintf(":%d", g.ports[1])},
		{":8443", fmt.Sprintf(":%d", g.ports[2])},
		{"ports 8443", fmt.Sprintf("ports %d", g.ports[2])},
		{"127.0.0.1:9000", upstream},
		{"../atoship/events.json", catalog},
	} {
		if !strings.Contains(config, change[0]) {
			t.Fatalf("the Caddyfile does not say %q", change[0])
		}
		config = strings.ReplaceAll(config, change[0], change[1])
	}
	g.config = filepath.Join(g.dir, "Caddyfile")
	if err := os.WriteFile(g.config, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	g.run(t)
	t.Cleanup(func() { g.stop(t) })
	return g
}

func (g *gateway) run(t *testing.T) {
	t.Helper()
	running, err := rig.Start(g.bin, g.config, g.dir)
	if err != nil {
		t.Fatal(err)
	}
	g.running = running
	err = running.Ready(t.Context(), fmt.Sprintf("127.0.0.1:%d", g.ports[0]), fmt.Sprintf("127.0.0.1:%d", g.ports[1]),
		fmt.Sprintf("https://localhost:%d", g.ports[2]))
	if err != nil {
		t.Fatal(err)
	}
}

func (g *gateway) stop(t *testing.T) {
	t.Helper()
	if err := g.running.Stop(); err != nil {
		t.Errorf("stopping: %v\n%s", err, g.running.LogTail())
	}
}

func (g *gateway) restart(t *testing.T) {
	t.Helper()
	g.stop(t)
	g.run(t)
}

// publish posts one update of a package and fails the test unless it is accepted for the board.
func (g *gateway) publish(t *testing.T, number, step string) {
	t.Helper()
	event := map[string]any{"event": "shipment.in_transit", "data": map[string]string{"tracking_number": number, "status": step}}
	switch step {
	case "delivered":
		event["event"] = "shipment.delivered"
	case "delivery_attempted", "address_issue", "package_held", "returned_to_sender":
		event["event"] = "shipment.exception"
		event["data"] = map[string]string{"tracking_number": number, "reason": step}
	}
	body, err := json.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	status, answer, err := rig.Post(t.Context(), g.client, fmt.Sprintf("http://127.0.0.1:%d/events", g.ports[1]), body)
	var receipt rig.Receipt
	if err != nil || status != http.StatusAccepted || json.Unmarshal(answer, &receipt) != nil ||
		len(receipt.Deliveries) != 1 || receipt.Deliveries[0].Endpoint != "board" {
		t.Fatalf("%s of %s: %d %s (%v)", step, number, status, answer, err)
	}
}

func TestTheBoardTakesEachUpdateOnceAndRefusesWhatCannotBe(t *testing.T) {
	t.Parallel()
	b := NewBoard()
	for _, c := range []struct {
		name, id, body string
		want           int
	}{
		{"a package that nobody picked up is not in transit", "evt_1", `{"data":{"tracking_number":"94","status":"in_transit"}}`, 409},
		{"nor has it a problem", "evt_1", `{"data":{"tracking_number":"94","reason":"package_held"}}`, 409},
		{"it is picked up", "evt_1", `{"data":{"tracking_number":"94","status":"accepted"}}`, 204},
		{"which is said again", "evt_1", `{"data":{"tracking_number":"94","status":"accepted"}}`, 204},
		{"but not by another event", "evt_2", `{"data":{"tracking_number":"94","status":"accepted"}}`, 409},
		{"an update has an id", "", `{"data":{"tracking_number":"94","status":"in_transit"}}`, 400},
		{"and tells of a status or a reason", "evt_3", `{"data":{"tracking_number":"94"}}`, 400},
		{"not of both", "evt_3", `{"data":{"tracking_number":"94","status":"in_transit","reason":"package_held"}}`, 400},
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodPost, "/board", strings.NewReader(c.body))
		r.Header.Set("X-AtoShip-Event-Id", c.id)
		if b.ServeHTTP(w, r); w.Code != c.want {
			t.Errorf("%s: %d %s", c.name, w.Code, w.Body)
		}
	}
	if p := b.Parcel("94"); !slices.Equal(p.Steps, []string{"accepted"}) {
		t.Errorf("%+v", p)
	}
}
