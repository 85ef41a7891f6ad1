package crash

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"testing"
	"time"
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
		answer, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return fmt.Errorf("reload %d: %s: %s", n, res.Status, answer)
		}
	}
	return nil
}
