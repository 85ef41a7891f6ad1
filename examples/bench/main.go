// Command bench measures what a delivered event costs, and sets it beside what Caddy's plain reverse_proxy hop costs in
// the same run: README.md beside it says how, and what the figures mean.
//
//	go run ./examples/bench
//	go run ./examples/bench -case all
//	go run ./examples/bench -case isolation
//	go run ./examples/bench -case hostile
//	go run ./examples/bench -case tracing
//	go run ./examples/bench -case backlog
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"github.com/atoship/caddy-webhooks/examples/internal/rig"
)

type options struct {
	Case        string        `json:"case"`
	Rounds      int           `json:"rounds"`
	Length      time.Duration `json:"round_ns"`
	Connections int           `json:"connections"`
	Size        int           `json:"event_bytes"`
	Batch       int           `json:"batch"`
	Ahead       int           `json:"ahead,omitempty"`
	Endpoints   int           `json:"endpoints"`
	Spread      int           `json:"spread,omitempty"`
	Failing     bool          `json:"failing,omitempty"`
	HTTPS       bool          `json:"https"`
	Rate        float64       `json:"rate,omitempty"`
	Hostile     int           `json:"hostile,omitempty"`
	Backlog     int           `json:"backlog,omitempty"`
	dir, out    string
	against     string
	solo, json  bool
	proxyOnly   bool // set by the suite
}

func main() {
	if len(os.Args) > 1 {
		if serve := map[string]func([]string) error{"receiver": serveReceiver, "hosts": serveHosts}[os.Args[1]]; serve != nil {
			if err := serve(os.Args[2:]); err != nil {
				fmt.Fprintln(os.Stderr, "bench", os.Args[1]+":", err)
				os.Exit(1)
			}
			return
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	o, err := parse()
	if err == nil {
		err = run(ctx, o)
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func parse() (options, error) {
	var o options
	flag.StringVar(&o.Case, "case", "cost", "cost: the gateway beside reverse_proxy; isolation: an endpoint beside one that never answers; hostile: ten beside a thousand such; tracing: a gateway that exports no traces, some, all; all, or some of "+strings.Join(presetNames(), ",")+": the suite")
	flag.IntVar(&o.Rounds, "rounds", 3, "rounds of each, in turn; the median counts")
	flag.DurationVar(&o.Length, "round", 0, "length of a round, without the drain; default 8s, and 30s in the hostile case: then every hostile attempt times out once in it")
	flag.IntVar(&o.Connections, "connections", 64, "keep-alive connections of the publisher")
	flag.IntVar(&o.Size, "size", 250, "bytes of an event")
	flag.IntVar(&o.Batch, "batch", 1, "events in one publishing request")
	flag.IntVar(&o.Ahead, "ahead", 0, "events that publishing may be ahead of delivering; 0: any number")
	flag.IntVar(&o.Endpoints, "endpoints", 1, "endpoints that each event goes to")
	flag.IntVar(&o.Spread, "spread", 0, "endpoints, each a host of its own, that share the events; 0: one gets them all")
	flag.BoolVar(&o.Failing, "failing", false, "the last three endpoints of -spread fail: one hangs, one answers 503, one refuses; what goes there is not counted")
	flag.BoolVar(&o.HTTPS, "https", false, "deliver and proxy over TLS")
	flag.Float64Var(&o.Rate, "rate", 0, "events per second to each endpoint in the isolation case, to the healthy ones together in the hostile case, to both subjects in the cost case (default there: as fast as answers come)")
	flag.IntVar(&o.Hostile, "hostile", 1000, "hostile endpoints in the hostile case")
	flag.IntVar(&o.Backlog, "backlog", 1_000_000, "deliveries waiting in the backlog case")
	flag.StringVar(&o.dir, "dir", "", "where the gateway's store lies; default: a temporary directory. Put it on the disk you mean")
	flag.StringVar(&o.out, "out", "", "directory for the suite's results.json and ratio.svg; cases that are in the file and not run now are kept")
	flag.StringVar(&o.against, "against", "", "another gateway's binary, to be measured beside in the tracing case: one without a change, say")
	flag.BoolVar(&o.solo, "solo", false, "leave reverse_proxy out of the cost case")
	flag.BoolVar(&o.json, "json", false, "print JSON")
	flag.Parse()
	if flag.NArg() > 0 {
		return o, fmt.Errorf("surplus arguments %q", flag.Args())
	}
	return o, o.check()
}

// check completes the options and refuses those that make no sense.
func (o *options) check() error {
	suite, err := o.suiteNames()
	if err != nil {
		return err
	}
	length := 8 * time.Second
	switch {
	case suite != nil, o.Case == "cost", o.Case == "tracing":
		o.Hostile = 1
	case o.Case == "isolation":
		o.Rate = cmp.Or(o.Rate, 500)
	case o.Case == "hostile":
		o.Rate, o.HTTPS, length = cmp.Or(o.Rate, 500), true, 30*time.Second
	}
	o.Length = cmp.Or(o.Length, length)
	switch {
	case o.Rounds < 1 || o.Length < 0 || o.Connections < 2 || o.Batch < 1 || o.Endpoints < 1 || o.Rate < 0 || o.Hostile < 1 || o.Backlog < backlogBatch:
		return fmt.Errorf("rounds, round, batch, endpoints, rate and hostile must be positive, connections at least 2, backlog at least %d", backlogBatch)
	case o.Batch > 1000:
		return fmt.Errorf("batch %d: ingest takes at most 1000 events in one request", o.Batch)
	case o.Hostile > 1000:
		return fmt.Errorf("hostile %d: at most 1000, since one batch brings an event to each", o.Hostile)
	case o.Spread < 0 || o.Spread > 1000 || o.Spread > 0 && o.Endpoints > 1:
		return fmt.Errorf("spread %d: at most 1000, and not together with endpoints", o.Spread)
	case o.Failing && o.Spread < 4:
		return errors.New("failing needs a spread of at least 4: three of them fail")
	}
	if o.out == "" {
		return nil
	}
	if err := os.MkdirAll(o.out, 0o750); err != nil { // now, and not after minutes of measuring
		return fmt.Errorf("making the directory for the results: %w", err)
	}
	return nil
}

// suiteNames are the presets that the case stands for; none for the other cases.
func (o *options) suiteNames() ([]string, error) {
	switch o.Case {
	case "cost", "isolation", "hostile", "tracing":
		return nil, nil
	case "all":
		return presetNames(), nil
	}
	names := strings.Split(o.Case, ",")
	for _, name := range names {
		if !slices.Contains(presetNames(), name) {
			return nil, fmt.Errorf("unknown case %q: cost, isolation, hostile, tracing, all, or of %s", name, strings.Join(presetNames(), ", "))
		}
	}
	return names, nil
}

// field is what a case is measured on.
type field struct {
	bin, dir string
	control  string   // the receiver's control page
	targets  []string // where it takes deliveries; several: each is a host of its own
	cert     rig.Certificate
}

// field starts the receiver.
func (o options) field(ctx context.Context, bin, dir string) (f *field, err error) {
	f = &field{bin: bin, dir: dir}
	var files []string
	if o.HTTPS {
		if f.cert, err = rig.NewCertificate(dir); err != nil {
			return nil, err //nolint:wrapcheck // says it all
		}
		files = []string{f.cert.CertFile, f.cert.KeyFile}
	}
	f.control, f.targets, err = startReceiver(ctx, max(o.Spread, 1), files...)
	return f, err
}

// run starts everything, measures in turn and prints.
func run(ctx context.Context, o options) error {
	dir, err := os.MkdirTemp(o.dir, "caddy-webhooks-bench-")
	if err != nil {
		return fmt.Errorf("making a directory: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	bin, err := rig.Build(ctx, dir)
	if err != nil {
		return err
	}
	if names, _ := o.suiteNames(); names != nil { // checked already
		return o.suite(ctx, bin, dir, names)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the receiver
	f, err := o.field(ctx, bin, dir)
	if err != nil {
		return err
	}
	launchAll := o.subjects
	switch o.Case {
	case "hostile":
		return o.besideHostile(ctx, &hostile{o: o, bin: bin, dir: dir, control: f.control, healthy: f.targets[0], trust: f.cert.CertFile}, f.cert)
	case "isolation":
		launchAll = o.neighbours
	case "tracing":
		launchAll = o.tracingSubjects
	}
	measured, err := launchAll(ctx, f)
	defer func() {
		for _, s := range measured {
			s.gateway.Kill() // their directory goes too
		}
	}()
	if err != nil {
		return err
	}
	rounds, err := o.measureAll(ctx, measured, f.control)
	if err != nil {
		return err
	}
	r := o.report()
	for i, s := range measured {
		r.add(s.name, rounds[i]...)
	}
	return r.print()
}

// measureAll runs the rounds in turn, so that a machine which slows down slows all subjects. A short first round of each
// warms connections and code up and is not counted.
func (o options) measureAll(ctx context.Context, measured []*subject, receiver string) ([][]sample, error) {
	rounds := make([][]sample, len(measured))
	for n := range o.Rounds + 1 {
		for i, s := range measured {
			length := o.Length
			if n == 0 {
				length /= 4
			}
			got, err := measure(ctx, s, receiver, length)
			if err != nil {
				return nil, err
			}
			if n == 0 {
				continue
			}
			rounds[i] = append(rounds[i], got)
			fmt.Fprintf(os.Stderr, "round %d  %s\n", n, got.line(s.name))
		}
	}
	return rounds, nil
}
