package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/atoship/caddy-webhooks/examples/internal/rig"
)

// backlogBatch is the events of one publishing request while the backlog is filled.
const backlogBatch = 1000

// pages of the log are asked for this often, and the median counts.
const pages = 21

// backlogged is what the backlog case says.
type backlogged struct {
	Pending      int     `json:"pending"`
	FillPerS     float64 `json:"accepted_per_s"` // in batches of a thousand
	FillBytes    float64 `json:"written_bytes_per_accepted"`
	RSS          int64   `json:"rss_bytes"`         // with all of them pending
	PeakRSS      int64   `json:"peak_rss_bytes"`    // until then
	Listening    float64 `json:"listening_ms"`      // from the start after a kill -9 until it takes events
	FirstMS      float64 `json:"first_delivery_ms"` // from that start until the first delivery arrived
	RestartRSS   int64   `json:"restart_rss_bytes"`
	DrainPerS    float64 `json:"delivered_per_s"`
	DrainCPU     float64 `json:"cpu_us_per_delivery"`
	DrainBytes   float64 `json:"written_bytes_per_delivery"`
	DrainPeakRSS int64   `json:"drain_peak_rss_bytes"`
	StoreBytes   int64   `json:"store_bytes"` // on disk, all delivered
	PageMS       float64 `json:"log_page_ms"` // 50 of the newest deliveries, all of them in the log
}

func (b *backlogged) print() {
	fmt.Printf("%d pending: %.0f accepted/s in batches of %d, %.0f bytes written each; %d MB of memory (peak %d MB)\n",
		b.Pending, b.FillPerS, backlogBatch, b.FillBytes, b.RSS>>20, b.PeakRSS>>20)
	fmt.Printf("after kill -9: listens after %.0f ms, first delivery after %.0f ms, %d MB then\n", b.Listening, b.FirstMS, b.RestartRSS>>20)
	fmt.Printf("drained at %.0f/s, %.1f µs CPU and %.0f bytes written each, peak %d MB\n", b.DrainPerS, b.DrainCPU, b.DrainBytes, b.DrainPeakRSS>>20)
	fmt.Printf("a page of 50 of the log: %.2f ms; the store has %d MB\n", b.PageMS, b.StoreBytes>>20)
}

// drained is what delivering the backlog cost, as a sample. When an event was published tells nothing there.
func (b *backlogged) drained() sample {
	return sample{Delivered: b.Pending, PerSecond: b.DrainPerS, CPU: b.DrainCPU, Written: b.DrainBytes, PeakRSS: b.DrainPeakRSS}
}

// backlog fills an endpoint's lane while it is paused, kills the gateway, starts it again, resumes and drains.
func (o options) backlog(ctx context.Context, f *field) (*backlogged, error) {
	endpoint := strings.Replace(endpointConfig("e1", "http://"+f.targets[0]+"/e1", "bench.tick", f.cert.CertFile), "events bench.tick",
		"events bench.tick\n\t\t\tpaused", 1)
	gateway, addr, err := launch(ctx, f.bin, f.dir, "gateway", func(addr, dir string) string {
		return gatewayConfig("unix/"+adminSocket(dir), addr, filepath.Join(dir, "store"), "\t\tmax_pending off\n"+endpoint)
	})
	defer func() {
		if gateway != nil {
			gateway.Kill()
		}
	}()
	if err != nil {
		return nil, err
	}
	dir, control := filepath.Join(f.dir, "gateway"), f.control
	admin := adminClient(dir)
	b := &backlogged{Pending: o.Backlog}
	if err := o.fill(ctx, gateway, addr, b); err != nil {
		return b, fmt.Errorf("%w\n%s", err, gateway.LogTail())
	}
	gateway.Kill()

	if err := ask(ctx, control+"/reset", nil); err != nil {
		return b, err
	}
	start := time.Now()
	if gateway, err = rig.Start(f.bin, filepath.Join(dir, "Caddyfile"), dir); err != nil {
		return b, err //nolint:wrapcheck // says it all
	}
	if err := b.restarted(ctx, gateway, admin, addr, control, start); err != nil {
		return b, fmt.Errorf("%w\n%s", err, gateway.LogTail())
	}
	if err := b.drain(ctx, gateway, control); err != nil {
		return b, fmt.Errorf("%w\n%s", err, gateway.LogTail())
	}
	if b.PageMS, err = page(ctx, admin); err != nil {
		return b, err
	}
	b.StoreBytes = sized(filepath.Join(dir, "store"))
	return b, nil
}

// fill publishes the backlog over two connections.
func (o options) fill(ctx context.Context, gateway *rig.Gateway, addr string, b *backlogged) error {
	var left atomic.Int64
	left.Store(int64(o.Backlog))
	failed := make(chan error, 2)
	var wg sync.WaitGroup
	start := time.Now()
	for range cap(failed) {
		wg.Go(func() {
			var body []byte
			for ctx.Err() == nil {
				n := min(left.Add(-backlogBatch)+backlogBatch, backlogBatch)
				if n <= 0 {
					return
				}
				batch := stream{batch: max(int(n), 2), size: o.Size, eventType: "bench.tick"}
				body = batch.body(body[:0], 0)
				status, answer, err := rig.Post(ctx, http.DefaultClient, "http://"+addr+"/events", body)
				if err == nil && status != http.StatusAccepted {
					err = fmt.Errorf("publishing answered %d %s", status, bytes.TrimSpace(answer))
				}
				if err != nil {
					failed <- err
					return
				}
			}
		})
	}
	wg.Wait()
	select {
	case err := <-failed:
		return err
	default:
	}
	b.FillPerS = float64(o.Backlog) / time.Since(start).Seconds()
	written, err := gateway.Written()
	b.FillBytes = float64(written) / float64(o.Backlog)
	var err2 error
	b.RSS, b.PeakRSS, err2 = gateway.Memory()
	return errors.Join(err, err2)
}

// restarted resumes the endpoint as soon as the gateway listens, and waits for the first delivery.
func (b *backlogged) restarted(ctx context.Context, gateway *rig.Gateway, admin *http.Client, addr, control string, start time.Time) error {
	if err := gateway.Ready(ctx, addr); err != nil {
		return err //nolint:wrapcheck // says it all
	}
	b.Listening = float64(time.Since(start).Microseconds()) / 1000
	for { // 503 while it starts
		status, answer, err := rig.Post(ctx, admin, "http://gateway/webhooks/endpoints/e1/resume", []byte("{}"))
		if err != nil {
			return err //nolint:wrapcheck // says it all
		}
		if status == http.StatusOK {
			break
		}
		if status != http.StatusServiceUnavailable || time.Since(start) > drainLimit {
			return fmt.Errorf("resuming answered %d %s", status, answer)
		}
		time.Sleep(time.Millisecond)
	}
	var got seen
	for got.Count == 0 {
		if err := ask(ctx, control+"/stats", &got); err != nil {
			return err
		}
		if time.Since(start) > drainLimit {
			return fmt.Errorf("no delivery within %s of the restart", drainLimit)
		}
	}
	b.FirstMS = float64(time.Since(start).Microseconds()) / 1000
	var err error
	b.RestartRSS, _, err = gateway.Memory()
	return err //nolint:wrapcheck // says it all
}

// drain waits until the backlog has arrived and the last outcomes are on disk.
func (b *backlogged) drain(ctx context.Context, gateway *rig.Gateway, control string) error {
	start := time.Now()
	before, err := gateway.CPU()
	if err != nil {
		return err //nolint:wrapcheck // says it all
	}
	var got seen
	for arrived, since := 0, start; got.Count < b.Pending; {
		if err := ask(ctx, control+"/stats", &got); err != nil {
			return err
		}
		if got.Count > arrived {
			arrived, since = got.Count, time.Now()
		} else if time.Since(since) > drainLimit {
			return fmt.Errorf("only %d of %d deliveries arrived", got.Count, b.Pending)
		}
		time.Sleep(50 * time.Millisecond)
	}
	b.DrainPerS = float64(b.Pending) / time.Since(start).Seconds()
	time.Sleep(500 * time.Millisecond)
	after, err := gateway.CPU()
	if err != nil {
		return err //nolint:wrapcheck // says it all
	}
	b.DrainCPU = float64((after - before).Microseconds()) / float64(b.Pending)
	written, err := gateway.Written()
	b.DrainBytes = float64(written) / float64(b.Pending)
	var err2 error
	_, b.DrainPeakRSS, err2 = gateway.Memory()
	return errors.Join(err, err2)
}

// page times the newest page of an endpoint's log.
func page(ctx context.Context, admin *http.Client) (float64, error) {
	took := make([]float64, pages)
	for i := range took {
		start := time.Now()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://gateway/webhooks/deliveries?endpoint=e1&limit=50", http.NoBody)
		if err != nil {
			return 0, fmt.Errorf("asking for the log: %w", err)
		}
		res, err := admin.Do(req)
		if err != nil {
			return 0, fmt.Errorf("asking for the log: %w", err)
		}
		body, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if n := bytes.Count(body, []byte(`"endpoint"`)); err != nil || res.StatusCode != http.StatusOK || n < 50 {
			return 0, errors.Join(fmt.Errorf("the log answered %d with %d deliveries", res.StatusCode, n), err)
		}
		took[i] = float64(time.Since(start).Microseconds()) / 1000
	}
	slices.Sort(took)
	return took[len(took)/2], nil
}

// adminClient speaks to the admin endpoint of a gateway that launch started in dir.
func adminClient(dir string) *http.Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", adminSocket(dir))
	}
	return &http.Client{Transport: &http.Transport{DialContext: dial}}
}

// sized tells how large a store is on disk.
func sized(dir string) (total int64) {
	_ = filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			if info, err := d.Info(); err == nil {
				total += info.Size()
			}
		}
		return nil
	})
	return total
}
