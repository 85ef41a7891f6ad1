package dashboard_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/atoship/caddy-webhooks/delivery"
	"github.com/atoship/caddy-webhooks/delivery/store/embedded"
)

// The store that the pages are opened over: endpoints of which every second belongs to a tenant, and a past of pastDays.
const (
	pastEndpoints = 60
	pastTenants   = 10
	pastDays      = 20
	// pastDeliveries is for everyday runs, which show that the program works; the figures are those of a million.
	pastDeliveries = 20_000
)

// TestEveryPageOverAFullStore fills a store with deliveries in every state, opens every page in Chromium and says how long each
// took until its content stood there, with the API's part of it. The bar is 300 ms over a million deliveries:
//
//	DASHBOARD_DELIVERIES=1000000 DASHBOARD_BAR=300ms go test -count=1 -v -run FullStore ./examples/dashboard
//
// DASHBOARD_BAR makes a slower page a failure. Without it the times are only told: a busy machine is no mistake.
//
// On 2026-11-30, over a million deliveries filled in 76 s, with gateway and browser on two cores of an Intel Xeon virtual machine
// that other programs kept busy, the median of seven was 100 to 271 ms for each of the 27 pages, each loaded anew with the whole
// dashboard (31.5 kB); the overview took 125 ms. Of that the API's longest call was 4 to 36 ms: the rest is the browser's.
func TestEveryPageOverAFullStore(t *testing.T) {
	t.Parallel()
	chromium := needBrowser(t)
	n := pastDeliveries
	if text := os.Getenv("DASHBOARD_DELIVERIES"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	} else {
		t.Logf("over %d deliveries only: DASHBOARD_DELIVERIES=1000000 is what the bar is about", n)
	}
	bar := ""
	if text := os.Getenv("DASHBOARD_BAR"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil {
			t.Fatal(err)
		}
		bar = strconv.FormatInt(d.Milliseconds(), 10)
	}
	dir := t.TempDir()
	began := time.Now()
	p := newPast(t, filepath.Join(dir, "store"))
	p.live(n)
	t.Logf("%d deliveries of %d events, filled in %s", p.deliveries, p.events, time.Since(began).Round(time.Second))

	site := startOver(t, dir)
	options, err := json.Marshal(map[string]string{
		"base": site + "/webhooks/", "token": token, "chromium": chromium, "tenant": "tenant-3", "bar": bar,
		"delivery": p.shown, "event": p.shownEvent, "endpoint": "e07",
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "node", "pages.mjs", string(options)).CombinedOutput() //nolint:gosec // our own script
	t.Logf("\n%s", out)
	if err != nil {
		t.Fatal(err)
	}
}

// past makes what a gateway has behind it after some weeks, by the store alone: publishing a million events would take longer.
type past struct {
	t                  testing.TB
	store              *embedded.Store
	r, outcomes        *rand.Rand
	took               []*delivery.Delivery // handed over by the last Append
	events, deliveries int
	shown, shownEvent  string // a dead letter after several attempts, and its event
}

func newPast(t testing.TB, dir string) *past {
	t.Helper()
	store, err := embedded.Open(t.Context(), embedded.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	p := &past{t: t, store: store, r: rand.New(rand.NewPCG(1, 1)), outcomes: rand.New(rand.NewPCG(2, 2))} //nolint:gosec // the same past every time
	if err := store.Attach(p); err != nil {
		t.Fatal(err)
	}
	return p
}

// Reserve takes what is tried in the past; the others wait for what is to come.
func (p *past) Reserve(d *delivery.Delivery) bool { return d.Due.Before(time.Now()) }

// Committed implements delivery.Handover.
func (p *past) Committed(d *delivery.Delivery, handed bool, err error) {
	if handed && err == nil {
		p.took = append(p.took, d) // Append waits for the committer, so there is one of us at a time
	}
}

// Queued implements delivery.Handover.
func (*past) Queued(string, time.Time) {}

// Lost implements delivery.Handover.
func (*past) Lost(string) {}

// live accepts events with two deliveries each, tries these once, and the failed ones again, then closes the store.
func (p *past) live(n int) {
	p.t.Helper()
	step := pastDays * 24 * time.Hour / time.Duration(n/2)
	at := time.Now().Add(-pastDays * 24 * time.Hour)
	tried := make(chan []*delivery.Delivery, 4)
	var settling sync.WaitGroup
	settling.Go(func() {
		for ds := range tried {
			p.settle(ds)
		}
	})
	for p.deliveries < n {
		batch := make([]delivery.Accept, min(2500, (n-p.deliveries+1)/2))
		for i := range batch {
			batch[i] = p.accept(at)
			at = at.Add(step)
		}
		if _, err := p.store.Append(p.t.Context(), batch); err != nil {
			p.t.Error(err)
			break
		}
		tried <- p.took
		p.took = nil
		p.deliveries += 2 * len(batch)
	}
	close(tried)
	settling.Wait()
	for i := range pastEndpoints {
		p.again(endpointName(i))
	}
	if err := p.store.Close(); err != nil {
		p.t.Fatal(err)
	}
}

func endpointName(i int) string { return fmt.Sprintf("e%02d", i) }

// tenantOf is whose an endpoint is.
func tenantOf(i int) string {
	if i%2 == 0 {
		return ""
	}
	return fmt.Sprint("tenant-", i/2%pastTenants)
}

func (p *past) accept(at time.Time) delivery.Accept {
	first := p.r.IntN(pastEndpoints)
	typ := []string{"label.created", "order.imported", "shipment.exception", "tracking.updated"}[p.r.IntN(4)]
	data := fmt.Sprintf(`{"order_id":"ord_%d","carrier":"USPS","note":%q}`, p.events, strings.Repeat("x", 200))
	head := `{"event":"` + typ + `","timestamp":"` + at.UTC().Format(time.RFC3339) + `","data":`
	ev := &delivery.Event{
		ID: fmt.Sprint("evt_past_", p.events), Type: typ, Environment: "production", Tenant: tenantOf(first),
		Timestamp: at.UTC().Format(time.RFC3339), Accepted: at.UTC().Truncate(time.Millisecond), ContentType: "application/json",
		Body: []byte(head + data + "}"), DataStart: uint32(len(head)), DataEnd: uint32(len(head + data)), //nolint:gosec // some hundred bytes
	}
	p.events++
	a := delivery.Accept{Event: ev, Dedupe: time.Hour}
	for ord, endpoint := range []int{first, (first + 2) % pastEndpoints} {
		due := ev.Accepted
		if p.r.IntN(100) == 0 {
			due = time.Now().Add(time.Duration(p.r.IntN(1000)) * time.Minute).UTC().Truncate(time.Millisecond)
			due = due.Add(time.Hour)
		}
		a.Deliveries = append(a.Deliveries, &delivery.Delivery{
			Event: ev, Ord: uint16(ord), Route: "all", Chain: []string{endpointName(endpoint)}, Progress: delivery.Progress{Due: due}, //nolint:gosec // 0 or 1
		})
	}
	return a
}

// settle tries deliveries: nine of ten succeed, and what fails is to be tried again at once.
func (p *past) settle(ds []*delivery.Delivery) {
	p.t.Helper()
	batch := make([]delivery.Settlement, len(ds))
	for i, d := range ds {
		end := d.Event.Accepted.Add(time.Duration(d.Attempts)*time.Minute + time.Second)
		a := &delivery.Attempt{
			N: d.Attempts + 1, Endpoint: d.Lane(), Address: "192.0.2.1:443", Started: end.Add(-80 * time.Millisecond), Duration: 80 * time.Millisecond,
			Status: 200, Outcome: "delivered", Excerpt: []byte("ok"), ResponseBytes: 2,
		}
		next := d.Progress
		next.Step, next.Attempts, next.State = d.Step+1, d.Attempts+1, delivery.Delivered
		if p.outcomes.IntN(10) == 0 || d.Attempts > 0 && p.outcomes.IntN(2) == 0 {
			a.Status, a.Outcome, a.Excerpt = 503, "server_error", []byte("try later")
			next.State, next.Due = delivery.Pending, end.UTC().Truncate(time.Millisecond)
			switch {
			case next.Attempts == 4:
				next.State, next.Reason = delivery.Exhausted, delivery.ReasonSchedule
				p.shown, p.shownEvent = d.ID, d.Event.ID
			case p.outcomes.IntN(8) == 0:
				next.Due = time.Now().Add(time.Hour + time.Duration(p.outcomes.IntN(1000))*time.Minute).UTC().Truncate(time.Millisecond)
			}
		}
		batch[i] = delivery.Settlement{Delivery: d, Step: d.Step, Transition: delivery.Transition{At: end, Attempt: a, Progress: next}}
	}
	for _, err := range p.store.Settle(p.t.Context(), batch) {
		if err != nil {
			p.t.Error(err)
			return
		}
	}
}

// again tries what failed at an endpoint until nothing is due.
func (p *past) again(endpoint string) {
	p.t.Helper()
	lane, err := p.store.Lease(p.t.Context(), endpoint)
	if err != nil {
		p.t.Fatal(err)
	}
	for {
		claimed, err := lane.Claim(p.t.Context(), delivery.Claim{Now: time.Now(), Max: 1000, MaxBytes: 8 << 20})
		if err != nil {
			p.t.Fatal(err)
		}
		if len(claimed.Deliveries) == 0 {
			break
		}
		p.settle(claimed.Deliveries)
	}
	if err := lane.Release(p.t.Context()); err != nil {
		p.t.Fatal(err)
	}
}

// startOver runs the gateway over the store in dir.
func startOver(t *testing.T, dir string) string {
	t.Helper()
	var endpoints strings.Builder
	for i := range pastEndpoints {
		tenant := ""
		if name := tenantOf(i); name != "" {
			tenant = "\t\t\tevents label.*\n\t\t\ttenant " + name + "\n"
		}
		fmt.Fprintf(&endpoints, "\t\tendpoint %s {\n\t\t\turl http://127.0.0.1:9/%[1]s\n\t\t\tsecret {env.PAST_SECRET}\n%s\t\t}\n", endpointName(i), tenant)
	}
	text := `{
	admin off
	auto_https off
	skip_install_trust
	webhooks {
		store embedded ` + dir + `/store
		secret_key {env.WEBHOOKS_KEY}
		expire 29d
		egress {
			allow 127.0.0.1
			ports any
			plain_http
		}
` + endpoints.String() + `		route all {
			to e00
			to e02
		}
	}
}
http://127.0.0.1:%[1]d {
	webhooks_dashboard /webhooks/* {
		auth token {env.DASHBOARD_TOKEN}
	}
	respond 404
}
`
	return runGateway(t, dir, text)
}
