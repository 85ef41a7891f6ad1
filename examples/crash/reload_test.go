package crash

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/atoship/caddy-webhooks/delivery/httpapi/client"
	"github.com/atoship/caddy-webhooks/examples/internal/rig"
)

// So many configurations are loaded one after another under load, ten times as fast as one hundred a minute.
const (
	reloads     = 100
	reloadEvery = 60 * time.Millisecond
)

// besides are two endpoints that no reload changes: one is down, with a breaker that opens for an hour, and one may get ten
// requests at once and ten more in an hour.
const besides = `
		endpoint down {
			url https://%[1]s/broken
			secret whsec_Y3Jhc2ggdGVzdCBzZWNyZXQgMDAwMDAwMDAwMDAwMDE=
			events down.*
			concurrency 1
			retry 1m
			breaker {
				failures 3
				open 1h
			}
			tls {
				trust_pool file %[2]s
			}
		}
		endpoint limited {
			url https://%[1]s/limited
			secret whsec_Y3Jhc2ggdGVzdCBzZWNyZXQgMDAwMDAwMDAwMDAwMDE=
			events limited.*
			rate_limit 20/h burst 10
			tls {
				trust_pool file %[2]s
			}
		}
`

const (
	burst   = 10 // of the limited endpoint
	refills = 6 * time.Minute
)

// TestReloadsUnderLoadLoseAndRepeatNothing changes the configuration again and again while events are published. Each event
// must arrive, and once: nobody crashed. What no reload changes keeps its state.
func TestReloadsUnderLoadLoseAndRepeatNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIP: reloads the real gateway for seconds; run without -short")
	}
	t.Parallel()
	f := setup(t)
	f.addBesides(t)
	began := time.Now()
	gateway := f.start(t)
	defer func() {
		if err := gateway.Stop(); err != nil {
			t.Errorf("stopping the gateway: %v\n%s", err, gateway.LogTail())
		}
	}()
	if err := gateway.Ready(t.Context(), f.ingest, f.admin); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(f.config)
	if err != nil {
		t.Fatal(err)
	}
	probe := f.useUp(t)
	tries := f.receiver.broken503.Load()
	done := make(chan error, 1)
	go func() { done <- f.reload(t.Context(), text) }()
	for round := 0; ; round++ {
		f.publisher.load(t.Context(), round)
		select {
		case err := <-done:
			if err != nil {
				t.Fatalf("%v\n%s", err, gateway.LogTail())
			}
		default:
			continue
		}
		break
	}
	f.publisher.load(t.Context(), 9999) // what a listener that closed did not take is sent again
	f.nothingLost(t)
	f.fewRepeats(t)
	f.everythingLogged(t)
	if now := f.breaker(t); now != probe {
		t.Errorf("the breaker of an endpoint that no reload changed is %+v, was %+v", now, probe)
	}
	if n := f.receiver.broken503.Load() - tries; n > 0 {
		t.Errorf("%d requests to an endpoint whose breaker is open", n)
	}
	if n, most := f.receiver.limited.Load(), burst+int64(time.Since(began)/refills); n > most {
		t.Errorf("%d requests to an endpoint that may get %d: reloads refill its rate limit", n, most)
	}
}

// addBesides adds two endpoints to the configuration, and leaves their events to them.
func (f *fixture) addBesides(t *testing.T) {
	t.Helper()
	text, err := os.ReadFile(f.config)
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.Replace(text, []byte("events *"), []byte("events load.*"), 1)
	more := fmt.Sprintf(besides, f.receiver.addr, f.certFile)
	text = bytes.Replace(text, []byte("		endpoint receiver"), []byte(more+"		endpoint receiver"), 1)
	if err := os.WriteFile(f.config, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// breakerView is what the API shows of a breaker.
type breakerView struct {
	State   string `json:"state"`
	ProbeAt string `json:"probe_at"`
}

func (f *fixture) breaker(t *testing.T) breakerView {
	t.Helper()
	var ep struct {
		Breaker breakerView `json:"breaker"`
	}
	if err := rig.Get(t.Context(), f.publisher.client, "http://"+f.admin+"/webhooks/endpoints/down", &ep); err != nil {
		t.Fatal(err)
	}
	return ep.Breaker
}

// useUp publishes to both until one's breaker is open and the other's burst is used up.
func (f *fixture) useUp(t *testing.T) breakerView {
	t.Helper()
	for i := range 40 {
		for _, kind := range []string{"down", "limited"} {
			body := fmt.Appendf(nil, `{"event":"%s.tick","id":"evt_%s_%d","timestamp":"2024-01-15T10:30:00Z","data":{}}`, kind, kind, i)
			if status, answer, err := rig.Post(t.Context(), f.publisher.client, f.publisher.url, body); err != nil || status != http.StatusAccepted {
				t.Fatalf("%d %s, %v", status, answer, err)
			}
		}
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		b := f.breaker(t)
		if b.State == "open" && b.ProbeAt != "" && f.receiver.limited.Load() >= burst {
			return b
		}
		if time.Now().After(deadline) {
			t.Fatalf("breaker %+v, %d requests to the limited endpoint", b, f.receiver.limited.Load())
		}
	}
}

// reload loads configurations that each differ from the one before.
func (f *fixture) reload(ctx context.Context, text []byte) error {
	tick := time.NewTicker(reloadEvery)
	defer tick.Stop()
	for n := range reloads {
		<-tick.C
		if err := f.load(ctx, text, n); err != nil {
			return err
		}
	}
	return nil
}

// load loads the n-th configuration. The one before may have closed the connection with the request unserved; loading a
// configuration twice changes nothing.
func (f *fixture) load(ctx context.Context, text []byte, n int) (err error) {
	for range 5 {
		if err = f.loadOnce(ctx, text, n); !errors.As(err, new(*url.Error)) {
			break
		}
	}
	return err
}

func (f *fixture) loadOnce(ctx context.Context, text []byte, n int) error {
	changed := bytes.Replace(text, []byte("concurrency 16"), fmt.Appendf(nil, "concurrency %d", 8+n%8), 1)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+f.admin+"/load", bytes.NewReader(changed))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "text/caddyfile")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("reload %d: %w", n, err)
	}
	defer res.Body.Close()
	if answer, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusOK {
		return fmt.Errorf("reload %d: %s: %s", n, res.Status, answer)
	}
	return nil
}

// TestAFollowerSeesEveryAttemptOverReloads follows the attempts while configurations are loaded, which ends its connection each
// time, and looks that Caddy waited for none: it gives its requests ten seconds, and then complains.
func TestAFollowerSeesEveryAttemptOverReloads(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIP: reloads the real gateway for seconds; run without -short")
	}
	t.Parallel()
	f := setup(t)
	gateway := f.start(t)
	if err := gateway.Ready(t.Context(), f.ingest, f.admin); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(f.config)
	if err != nil {
		t.Fatal(err)
	}
	seen := f.follow(t)
	for round := 1000; len(seen()) == 0 && !t.Failed(); round++ { // until the follower is there
		f.publisher.load(t.Context(), round)
	}
	before := len(f.publisher.accepted)
	for round := range 5 {
		f.publisher.load(t.Context(), round)
		if err := f.load(t.Context(), text, round); err != nil {
			t.Fatal(err)
		}
	}
	f.publisher.load(t.Context(), 9999) // what a listener that closed did not take is sent again
	f.nothingLost(t)
	missing := func() (n int, example string) {
		now := seen()
		for _, id := range f.publisher.accepted[before:] {
			if now[id] == 0 {
				n, example = n+1, id
			}
		}
		return n, example
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		n, example := missing()
		if n == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d attempts were not seen, such as that of %s", n, len(f.publisher.accepted)-before, example)
		}
	}
	for id, n := range seen() {
		if n != 1 {
			t.Errorf("%s was seen %d times", id, n)
		}
	}
	if err := gateway.Stop(); err != nil {
		t.Errorf("stopping the gateway: %v", err)
	}
	if log := gateway.LogTail(); strings.Contains(log, "stopping current admin endpoint") {
		t.Errorf("the admin endpoint was held up:\n%s", log)
	}
}

// follow counts the attempts that a follower sees, by event.
func (f *fixture) follow(t *testing.T) (seen func() map[string]int) {
	t.Helper()
	c, err := client.New("http://"+f.admin+"/webhooks/", client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	counts := map[string]int{}
	for { // the API serves a moment after the ingest does
		if _, err := c.Health(t.Context()); err == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	go func() {
		for item, err := range c.Follow(t.Context(), client.StreamFilter{}, nil) {
			if err != nil || item.Kind == "missed" {
				t.Errorf("%v %+v", err, item)
				return
			}
			if item.Kind == "attempted" {
				mu.Lock()
				counts[item.EventID]++
				mu.Unlock()
			}
		}
	}()
	return func() map[string]int {
		mu.Lock()
		defer mu.Unlock()
		return maps.Clone(counts)
	}
}
