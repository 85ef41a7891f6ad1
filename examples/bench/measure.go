package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/atoship/caddy-webhooks/examples/internal/rig"
)

// subject is one Caddy process under one kind of load.
type subject struct {
	name    string
	gateway *rig.Gateway
	load    stream
	beside  *stream      // load that is not counted, such as that for an endpoint which never answers
	fanout  int          // deliveries of one event
	admin   *http.Client // of the gateway's admin endpoint; nil: it has none
}

// sample is what one round, or the median over rounds, says of a subject.
type sample struct {
	Delivered int     `json:"delivered"`
	PerSecond float64 `json:"delivered_per_s"` // from the first request until the last delivery
	CPU       float64 `json:"cpu_us_per_delivery"`
	P50       float64 `json:"p50_ms"` // from publishing to arrival at the receiver
	P99       float64 `json:"p99_ms"`
	// Of the gateway only; the proxy keeps nothing.
	Syncs   float64 `json:"syncs_per_delivery,omitempty"`
	Written float64 `json:"written_bytes_per_delivery,omitempty"` // by the store, rewriting by flushes and compactions included
	PeakRSS int64   `json:"peak_rss_bytes"`                       // since the process began
}

// drainLimit bounds the wait for deliveries after the load has ended.
const drainLimit = 60 * time.Second

// measure runs one round: load for a while, then wait until all of it has arrived. The process's CPU time includes the
// wait and the writing of the last outcomes.
func measure(ctx context.Context, s *subject, receiver string, length time.Duration) (sample, error) {
	if err := ask(ctx, receiver+"/reset", nil); err != nil {
		return sample{}, err
	}
	before, err := s.costs(ctx)
	if err != nil {
		return sample{}, err
	}
	start := time.Now()
	sent, err := publish(ctx, s, length)
	if err != nil {
		return sample{}, fmt.Errorf("%s: %w\n%s", s.name, err, s.gateway.LogTail())
	}
	got, end, err := drained(ctx, receiver, sent*s.fanout)
	if err != nil {
		return sample{}, fmt.Errorf("%s: %w\n%s", s.name, err, s.gateway.LogTail())
	}
	after, err := s.costs(ctx)
	if err != nil {
		return sample{}, err
	}
	each := 1 / float64(got.Count)
	return sample{
		Delivered: got.Count,
		PerSecond: float64(got.Count) / end.Sub(start).Seconds(),
		CPU:       float64((after.cpu - before.cpu).Microseconds()) * each,
		P50:       float64(got.P50) / 1000,
		P99:       float64(got.P99) / 1000,
		Syncs:     float64(after.store.Syncs-before.store.Syncs) * each,
		Written:   float64(after.store.Written-before.store.Written) * each,
		PeakRSS:   after.peak,
	}, nil
}

// costs are what a process has used since it began.
type costs struct {
	cpu   time.Duration
	peak  int64 // bytes of memory, at most
	store storeUse
}

// storeUse is what the gateway's own figures say of its store.
type storeUse struct {
	Written int64 `json:"written_bytes"`
	Syncs   int64 `json:"syncs"`
}

func (s *subject) costs(ctx context.Context) (c costs, err error) {
	if s.admin != nil {
		var stats struct{ Store storeUse }
		if err := rig.Get(ctx, s.admin, "http://gateway/webhooks/stats", &stats); err != nil {
			return c, err //nolint:wrapcheck // says it all
		}
		c.store = stats.Store
	}
	if _, c.peak, err = s.gateway.Memory(); err != nil {
		return c, err //nolint:wrapcheck // says it all
	}
	c.cpu, err = s.gateway.CPU()
	return c, err //nolint:wrapcheck // says it all
}

func publish(ctx context.Context, s *subject, length time.Duration) (sent int, err error) {
	ctx, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	var wg sync.WaitGroup
	var besideErr error
	if s.beside != nil {
		wg.Go(func() { _, besideErr = s.beside.run(ctx) })
	}
	sent, err = s.load.run(ctx)
	wg.Wait()
	if err == nil {
		err = besideErr
	}
	if err == nil && sent == 0 {
		err = fmt.Errorf("nothing was accepted in %s", length)
	}
	return sent, err
}

// drained waits until want deliveries have arrived; end is when that was first seen. It returns 200 ms later, when the
// last outcomes are on disk too (the gateway writes them within 50 ms).
func drained(ctx context.Context, receiver string, want int) (got seen, end time.Time, err error) {
	deadline := time.Now().Add(drainLimit)
	for {
		if err := ask(ctx, receiver+"/stats", &got); err != nil {
			return got, end, err
		}
		switch {
		case got.Count >= want && end.IsZero():
			end = time.Now()
			deadline = end.Add(200 * time.Millisecond)
		case !end.IsZero() && time.Now().After(deadline):
			return got, end, nil
		case time.Now().After(deadline):
			return got, end, fmt.Errorf("%d of %d deliveries arrived within %s", got.Count, want, drainLimit)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return got, end, ctx.Err() //nolint:wrapcheck // the user's interrupt
		}
	}
}

// ask reads a receiver's control page. The transport is the default one: loopback, no proxy for 127.0.0.1.
func ask(ctx context.Context, url string, v any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+url, http.NoBody)
	if err != nil {
		return fmt.Errorf("asking the receiver: %w", err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("asking the receiver: %w", err)
	}
	defer res.Body.Close()
	if v == nil {
		_, err = io.Copy(io.Discard, res.Body)
	} else {
		err = json.NewDecoder(res.Body).Decode(v)
	}
	if err != nil {
		return fmt.Errorf("reading the receiver's answer: %w", err)
	}
	return nil
}

// median of each figure on its own over the rounds.
func median(rounds []sample) sample {
	of := func(figure func(sample) float64) float64 {
		all := make([]float64, len(rounds))
		for i, r := range rounds {
			all[i] = figure(r)
		}
		slices.Sort(all)
		return all[len(all)/2]
	}
	return sample{
		Delivered: int(of(func(s sample) float64 { return float64(s.Delivered) })),
		PerSecond: of(func(s sample) float64 { return s.PerSecond }),
		CPU:       of(func(s sample) float64 { return s.CPU }),
		P50:       of(func(s sample) float64 { return s.P50 }),
		P99:       of(func(s sample) float64 { return s.P99 }),
		Syncs:     of(func(s sample) float64 { return s.Syncs }),
		Written:   of(func(s sample) float64 { return s.Written }),
		PeakRSS:   int64(of(func(s sample) float64 { return float64(s.PeakRSS) })),
	}
}
