// Command bench measures what a delivered event costs, and sets it beside what Caddy's plain reverse_proxy hop costs in
// the same run: README.md beside it says how, and what the figures mean.
//
//	go run ./examples/bench
//	go run ./examples/bench -case isolation
//	go run ./examples/bench -case hostile
//	go run ./examples/bench -case backlog
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
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
	Endpoints   int           `json:"endpoints"`
	HTTPS       bool          `json:"https"`
	Rate        float64       `json:"rate,omitempty"`
	Hostile     int           `json:"hostile,omitempty"`
	Backlog     int           `json:"backlog,omitempty"`
	dir         string
	solo, json  bool
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "receiver" {
		args := append(os.Args[2:], "", "")
		if err := serveReceiver(args[0], args[1]); err != nil {
			fmt.Fprintln(os.Stderr, "bench receiver:", err)
			os.Exit(1)
		}
		return
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
	flag.StringVar(&o.Case, "case", "cost", "cost: the gateway beside reverse_proxy; isolation: an endpoint beside one that never answers; hostile: ten beside a thousand such; backlog: a million waiting, through a kill -9")
	flag.IntVar(&o.Rounds, "rounds", 3, "rounds of each, in turn; the median counts")
	flag.DurationVar(&o.Length, "round", 0, "length of a round, without the drain; default 8s, and 30s in the hostile case: then every hostile attempt times out once in it")
	flag.IntVar(&o.Connections, "connections", 64, "keep-alive connections of the publisher")
	flag.IntVar(&o.Size, "size", 250, "bytes of an event")
	flag.IntVar(&o.Batch, "batch", 1, "events in one publishing request")
	flag.IntVar(&o.Endpoints, "endpoints", 1, "endpoints that each event goes to")
	flag.BoolVar(&o.HTTPS, "https", false, "deliver and proxy over TLS")
	flag.Float64Var(&o.Rate, "rate", 500, "events per second to each endpoint in the isolation case, to the healthy ones together in the hostile case")
	flag.IntVar(&o.Hostile, "hostile", 1000, "hostile endpoints in the hostile case")
	flag.IntVar(&o.Backlog, "backlog", 1_000_000, "deliveries waiting in the backlog case")
	flag.StringVar(&o.dir, "dir", "", "where the gateway's store lies; default: a temporary directory. Put it on the disk you mean")
	flag.BoolVar(&o.solo, "solo", false, "leave reverse_proxy out of the cost case")
	flag.BoolVar(&o.json, "json", false, "print JSON")
	flag.Parse()
	switch {
	case flag.NArg() > 0:
		return o, fmt.Errorf("surplus arguments %q", flag.Args())
	case o.Case != "cost" && o.Case != "isolation" && o.Case != "hostile" && o.Case != "backlog":
		return o, fmt.Errorf("unknown case %q: cost, isolation, hostile or backlog", o.Case)
	case o.Rounds < 1 || o.Length < 0 || o.Connections < 2 || o.Batch < 1 || o.Endpoints < 1 || o.Rate <= 0 || o.Hostile < 1 || o.Backlog < backlogBatch:
		return o, fmt.Errorf("rounds, round, batch, endpoints, rate and hostile must be positive, connections at least 2, backlog at least %d", backlogBatch)
	case o.Batch > 1000:
		return o, fmt.Errorf("batch %d: ingest takes at most 1000 events in one request", o.Batch)
	case o.Hostile > 1000:
		return o, fmt.Errorf("hostile %d: at most 1000, since one batch brings an event to each", o.Hostile)
	}
	length := 8 * time.Second
	switch o.Case {
	case "cost":
		o.Rate, o.Hostile, o.Backlog = 0, 0, 0
	case "isolation":
		o.Hostile, o.Backlog = 0, 0
	case "backlog":
		o.Rate, o.Hostile, o.Rounds = 0, 0, 1
	case "hostile":
		o.Backlog, o.HTTPS, length = 0, true, 30*time.Second
	}
	if o.Length == 0 {
		o.Length = length
	}
	return o, nil
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
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the receiver
	var cert rig.Certificate
	var files []string
	if o.HTTPS {
		if cert, err = rig.NewCertificate(dir); err != nil {
			return err //nolint:wrapcheck // says it all
		}
		files = []string{cert.CertFile, cert.KeyFile}
	}
	control, target, err := startReceiver(ctx, files...)
	if err != nil {
		return err
	}
	switch o.Case {
	case "backlog":
		return o.backlog(ctx, bin, dir, target, cert.CertFile, control)
	case "hostile":
		return o.besideHostile(ctx, &hostile{o: o, bin: bin, dir: dir, control: control, healthy: target, trust: cert.CertFile}, cert.TLS)
	}
	launchAll := o.subjects
	if o.Case == "isolation" {
		launchAll = o.neighbours
	}
	measured, err := launchAll(ctx, bin, dir, target, cert.CertFile)
	defer func() {
		for _, s := range measured {
			s.gateway.Kill() // their directory goes too
		}
	}()
	if err != nil {
		return err
	}
	rounds, err := o.measureAll(ctx, measured, control)
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
