package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// preset is a case of the suite: the cost case with flags set for it.
type preset struct {
	name, title string
	set         func(*options)
}

// backlogCase is the one preset that is not the cost case.
const backlogCase = "backlog"

// presets are the suite, in the order of the report. Where publishing is faster than delivering it is held to 1,000 events
// ahead, so that what is measured is the way of an event and not the length of a queue.
var presets = []preset{
	{"single", "one event per request", func(*options) {}},
	{"batch", "100 events per request", func(o *options) { o.Batch, o.Ahead = 100, 1000 }},
	{"endpoints10", "10 endpoints, each with its share of the events", func(o *options) { o.Spread = 10 }},
	{"endpoints1000", "1,000 endpoints, each with its share", func(o *options) { o.Spread = 1000 }},
	{"https", "deliveries over TLS", func(o *options) { o.HTTPS = true }},
	{"failures", "10 endpoints: one hangs, one answers 503, one refuses", func(o *options) { o.Spread, o.Failing = 10, true }},
	{"paced", "100 events a second", func(o *options) { o.Rate = 100 }},
	{backlogCase, "a million waiting, after a kill -9", func(*options) {}},
}

// outcome is what one case of the suite says.
type outcome struct {
	Case    string  `json:"case"`
	Title   string  `json:"title"`
	Options options `json:"options"`
	// Gateway and Proxy are the medians; of the backlog case, the gateway while it delivers the backlog.
	Gateway sample `json:"gateway"`
	Proxy   sample `json:"reverse_proxy"`
	// Ratio is the gateway's CPU time per delivery over reverse_proxy's per request.
	Ratio   float64     `json:"cpu_ratio"`
	Backlog *backlogged `json:"backlog,omitempty"`
}

// results are what the suite leaves in a file.
type results struct {
	Machine string    `json:"machine"`
	Date    string    `json:"date"`
	Cases   []outcome `json:"cases"`
}

// names of the presets, of which the suite runs some or all.
func presetNames() []string {
	names := make([]string, len(presets))
	for i, p := range presets {
		names[i] = p.name
	}
	return names
}

// suite runs the presets of the given names, one after another, prints their table and leaves it in o.out.
func (o options) suite(ctx context.Context, bin, dir string, names []string) error {
	r := results{Machine: machine(), Date: time.Now().UTC().Format(time.DateOnly)}
	if err := r.load(o.out); err != nil {
		return err
	}
	for _, p := range presets {
		if !slices.Contains(names, p.name) {
			continue
		}
		fmt.Fprintf(os.Stderr, "%s: %s\n", p.name, p.title)
		own := o
		own.Case = p.name
		p.set(&own)
		place := filepath.Join(dir, p.name)
		if err := os.Mkdir(place, 0o700); err != nil {
			return fmt.Errorf("making a directory for %s: %w", p.name, err)
		}
		got, err := own.measureCase(ctx, bin, place)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		got.Case, got.Title, got.Options = p.name, p.title, own
		r.put(got)
		_ = os.RemoveAll(place)
	}
	if err := r.save(o.out); err != nil {
		return err
	}
	if o.json {
		return r.write(os.Stdout)
	}
	r.print()
	return nil
}

// measureCase runs one preset beside the plain hop.
func (o options) measureCase(ctx context.Context, bin, dir string) (outcome, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the receiver
	f, err := o.field(ctx, bin, dir)
	if err != nil {
		return outcome{}, err
	}
	var got outcome
	if o.Case == backlogCase {
		if got.Backlog, err = o.backlog(ctx, f); err != nil {
			return got, err
		}
		got.Gateway = got.Backlog.drained()
		o.proxyOnly = true
	}
	measured, err := o.subjects(ctx, f)
	defer func() {
		for _, s := range measured {
			s.gateway.Kill()
		}
	}()
	if err != nil {
		return got, err
	}
	rounds, err := o.measureAll(ctx, measured, f.control)
	if err != nil {
		return got, err
	}
	got.Proxy = median(rounds[len(rounds)-1])
	if got.Backlog == nil {
		got.Gateway = median(rounds[0])
	}
	got.Ratio = got.Gateway.CPU / got.Proxy.CPU
	return got, nil
}

// put notes an outcome, in the place of an earlier one of the same case, in the suite's order.
func (r *results) put(got outcome) {
	r.Cases = append(slices.DeleteFunc(r.Cases, func(have outcome) bool { return have.Case == got.Case }), got)
	names := presetNames()
	slices.SortFunc(r.Cases, func(a, b outcome) int { return slices.Index(names, a.Case) - slices.Index(names, b.Case) })
}

// The files of the suite's results.
const (
	resultsFile = "results.json"
	plotFile    = "ratio.svg"
)

// load keeps what another run on a machine like this one found, so that cases can be run one by one.
func (r *results) load(dir string) error {
	if dir == "" {
		return nil
	}
	text, err := os.ReadFile(filepath.Join(dir, resultsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var before results
	if err == nil {
		err = json.Unmarshal(text, &before)
	}
	if err != nil {
		return fmt.Errorf("reading earlier results: %w", err)
	}
	if before.Machine == r.Machine {
		r.Cases = before.Cases
	}
	return nil
}

func (r *results) save(dir string) error {
	if dir == "" {
		return nil
	}
	for name, write := range map[string]func(io.Writer) error{resultsFile: r.write, plotFile: r.plot} {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			return fmt.Errorf("writing results: %w", err)
		}
		if err := errors.Join(write(f), f.Close()); err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
	}
	return nil
}

func (r *results) write(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "\t")
	return enc.Encode(r) //nolint:wrapcheck // the callers say what it was
}

// print shows the table that README.md has, and what the backlog case says beside it.
func (r *results) print() {
	fmt.Printf("%s, %s\n\n", r.Date, r.Machine)
	fmt.Println("| case | delivered/s | µs CPU each | reverse_proxy µs | ratio | p50 / p99 ms | syncs each | bytes written each | peak MB |")
	fmt.Println("|---|---|---|---|---|---|---|---|---|")
	for _, c := range r.Cases {
		g := c.Gateway
		fmt.Printf("| %s: %s | %.0f | %.1f | %.1f | %.2f | %.1f / %.1f | %.3f | %.0f | %d |\n",
			c.Case, c.Title, g.PerSecond, g.CPU, c.Proxy.CPU, c.Ratio, g.P50, g.P99, g.Syncs, g.Written, g.PeakRSS>>20)
	}
	for _, c := range r.Cases {
		if c.Backlog != nil {
			fmt.Println()
			c.Backlog.print()
		}
	}
}
