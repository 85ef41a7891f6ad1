package crash

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/atoship/caddy-webhooks/delivery/httpapi/client"
)

// So many configurations are loaded one after another under load, ten times as fast as one hundred a minute.
const (
	reloads     = 100
	reloadEvery = 60 * time.Millisecond
)

// TestReloadsUnderLoadLoseAndRepeatNothing changes the configuration again and again while events are published. Each event
// must arrive, and once: nobody crashed.
func TestReloadsUnderLoadLoseAndRepeatNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIP: reloads the real gateway for seconds; run without -short")
	}
	t.Parallel()
	f := setup(t)
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

// load loads the n-th configuration.
func (f *fixture) load(ctx context.Context, text []byte, n int) error {
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
