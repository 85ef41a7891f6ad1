package crash

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/atoship/caddy-webhooks/examples/internal/rig"
)

const caddyfile = `{
	admin 127.0.0.1:%[1]d
	auto_https off
	skip_install_trust
	webhooks {
		store embedded %[3]s/store
		egress {
			allow 127.0.0.1
			ports any
		}
		endpoint receiver {
			url https://%[4]s/
			secret whsec_Y3Jhc2ggdGVzdCBzZWNyZXQgMDAwMDAwMDAwMDAwMDE=
			events *
			concurrency 16
			retry 1s 2s 4s 8s 16s
			tls {
				trust_pool file %[5]s
			}
		}
	}
}
http://127.0.0.1:%[2]d {
	webhooks_ingest /events {
		auth none
	}
	respond 404
}
`

// fixture is one data directory that several lives of the gateway share.
type fixture struct {
	bin, config, dir string
	certFile         string // of the receiver
	admin, ingest    string // addresses
	receiver         *receiver
	publisher        *publisher
}

func setup(t *testing.T) *fixture {
	t.Helper()
	dir := t.TempDir()
	bin, err := rig.Build(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := rig.NewCertificate(dir)
	if err != nil {
		t.Fatal(err)
	}
	ports, err := rig.Ports(2)
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{bin: bin, dir: dir, certFile: cert.CertFile, config: filepath.Join(dir, "Caddyfile"), receiver: startReceiver(t, cert)}
	f.admin, f.ingest = fmt.Sprintf("127.0.0.1:%d", ports[0]), fmt.Sprintf("127.0.0.1:%d", ports[1])
	f.publisher = newPublisher("http://" + f.ingest + "/events")
	text := fmt.Sprintf(caddyfile, ports[0], ports[1], dir, f.receiver.addr, cert.CertFile)
	if err := os.WriteFile(f.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fixture) start(t *testing.T) *rig.Gateway {
	t.Helper()
	if err := f.receiver.nextLife(t.Context()); err != nil {
		t.Fatal(err)
	}
	gateway, err := rig.Start(f.bin, f.config, f.dir)
	if err != nil {
		t.Fatal(err)
	}
	return gateway
}

// gateways share the rounds, each with a store of its own: most of a round is waiting.
const gateways = 4

func TestKillLosesNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIP: kills the real gateway for seconds; run without -short")
	}
	t.Parallel()
	rounds, seed := int(number(t, "KILL_ROUNDS", 5)), number(t, "KILL_SEED", rand.Uint64()>>1)
	t.Logf("KILL_ROUNDS=%d KILL_SEED=%d", rounds, seed)
	for n := range gateways {
		share := (rounds + n) / gateways
		if share == 0 {
			continue
		}
		t.Run(fmt.Sprintf("gateway %d, killed %d times", n, share), func(t *testing.T) {
			t.Parallel()
			f := setup(t)
			rng := rand.New(rand.NewPCG(seed, uint64(n))) //nolint:gosec // a repeatable test needs a weak source
			for round := range share {
				f.round(t, round, rng)
			}
			f.allIsWell(t, share)
		})
	}
}

// allIsWell lets the gateway live, and counts.
func (f *fixture) allIsWell(t *testing.T, rounds int) {
	t.Helper()
	gateway := f.start(t)
	defer func() {
		if err := gateway.Stop(); err != nil {
			t.Errorf("stopping the gateway: %v\n%s", err, gateway.LogTail())
		}
	}()
	if err := gateway.Ready(t.Context(), f.ingest, f.admin); err != nil {
		t.Fatal(err)
	}
	f.publisher.load(t.Context(), rounds)
	f.nothingLost(t)
	f.fewRepeats(t)
	f.everythingLogged(t)
}

// round is one life of the gateway: it starts, takes load, and is killed at a moment that rng chooses; in one round of
// five that moment may come before it listens.
func (f *fixture) round(t *testing.T, round int, rng *rand.Rand) {
	t.Helper()
	gateway := f.start(t)
	early, moment := rng.IntN(5) == 0, time.Duration(rng.IntN(400))*time.Millisecond
	if !early {
		if err := gateway.Ready(t.Context(), f.ingest); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	kill := time.AfterFunc(moment, func() {
		gateway.Kill()
		cancel() // after it: a request must not be given up while the gateway lives
	})
	f.publisher.load(ctx, round)
	<-ctx.Done()
	kill.Stop()
}

func (f *fixture) nothingLost(t *testing.T) {
	t.Helper()
	p := f.publisher
	if len(p.open) > 0 || len(p.refused) > 0 {
		t.Fatalf("%d events not taken by a healthy gateway, %d refused: %q", len(p.open), len(p.refused), p.refused)
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(90 * time.Second)
	for {
		n, example := f.receiver.missing(p.accepted)
		if n == 0 {
			t.Logf("%d events accepted, %d of them when sent again; all arrived", len(p.accepted), p.known)
			break
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("LOST: %d of %d accepted events have not arrived after 90s, such as %s", n, len(p.accepted), example)
		}
	}
	for {
		var pending rig.Page[rig.Delivery]
		if err := rig.Get(t.Context(), p.client, "http://"+f.admin+"/webhooks/deliveries?state=pending&endpoint=receiver", &pending); err != nil {
			t.Fatal(err)
		}
		if len(pending.Items) == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("still pending: %+v", pending.Items[0])
		}
	}
}

func (f *fixture) fewRepeats(t *testing.T) {
	t.Helper()
	perLife, unexplained := f.receiver.repeats()
	if len(unexplained) > 0 {
		t.Errorf("%d events came again with no crash between, such as %s", len(unexplained), unexplained[0])
	}
	total, worst := 0, 0
	for life, n := range perLife {
		total, worst = total+n, max(worst, n)
		if n > Repeats {
			t.Errorf("%d repeats after crash %d, at most %d may be", n, life-1, Repeats)
		}
	}
	t.Logf("%d repeats, at most %d after one crash", total, worst)
}

// everythingLogged compares each arrival with the log. The arrivals are read without a lock: all is settled.
func (f *fixture) everythingLogged(t *testing.T) {
	t.Helper()
	if len(f.receiver.broken) > 0 {
		t.Errorf("requests without attempt headers came from %q", f.receiver.broken)
	}
	known := map[string]bool{}
	for _, id := range f.publisher.accepted {
		known[id] = true
	}
	ids := make(chan string)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for id := range ids {
				f.logged(t, id, f.receiver.arrivals[id])
			}
		})
	}
	for id := range f.receiver.arrivals {
		if !known[id] {
			t.Errorf("%s arrived and was never published", id)
		}
		ids <- id
	}
	close(ids)
	wg.Wait()
}

// logged checks one event: one delivery, delivered, and each arrival under a number of its own.
func (f *fixture) logged(t *testing.T, id string, arrivals []arrival) {
	t.Helper()
	base := "http://" + f.admin + "/webhooks/deliveries"
	var page rig.Page[rig.Delivery]
	if err := rig.Get(t.Context(), f.publisher.client, base+"?event="+id, &page); err != nil {
		t.Error(err)
		return
	}
	if len(page.Items) != 1 {
		t.Errorf("%s has %d deliveries, want one", id, len(page.Items))
		return
	}
	var d rig.Delivery
	if err := rig.Get(t.Context(), f.publisher.client, base+"/"+page.Items[0].ID, &d); err != nil {
		t.Error(err)
		return
	}
	if d.State != "delivered" {
		t.Errorf("%s arrived and is %s in the log", id, d.State)
	}
	outcomes := map[int]string{}
	for _, a := range d.Attempts {
		outcomes[a.N] = a.Outcome
	}
	for _, a := range arrivals {
		outcome := outcomes[a.attempt]
		if a.delivery != d.ID || outcome != "delivered" && outcome != "unknown" {
			t.Errorf("UNLOGGED: %s arrived as attempt %d of %s, which is %q in the log of %s: %+v",
				id, a.attempt, a.delivery, outcome, d.ID, d.Attempts)
		}
		outcomes[a.attempt] = "seen already" // two requests with one number would hide one of them
	}
}

func number(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}
