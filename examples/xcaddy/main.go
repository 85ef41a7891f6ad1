// Command xcaddy builds a Caddy binary from an xcaddy.json alone.
//
// The file is a strict xcaddy.Builder document: the fields are those of the type in github.com/caddyserver/xcaddy, and an
// unknown one is an error, because a misspelt "pluggins" would otherwise build a Caddy without them and say nothing.
// It is a module of its own, so that xcaddy stays out of the product's dependency graph.
//
//	go run -C examples/xcaddy . -config ../../xcaddy.json -output /usr/local/bin/caddy
//
// Relative paths in the file (replacements, embedded directories) are taken from the file's own directory, wherever the
// command is run. Outside a checkout drop "replacements" and name a released version.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
)

func main() {
	config := flag.String("config", "../../xcaddy.json", "the xcaddy.Builder document")
	output := flag.String("output", "caddy", "where the binary goes")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *config, *output, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "xcaddy:", err)
		os.Exit(1)
	}
}

// run builds output from config and from nothing else: no environment variable and no flag changes what is in the binary.
func run(ctx context.Context, config, output string, surplus []string) error {
	if len(surplus) > 0 {
		return fmt.Errorf("surplus arguments %q", surplus)
	}
	builder, err := load(config)
	if err != nil {
		return err
	}
	if builder.CaddyVersion == "" {
		return errors.New(config + ": caddy_version is missing: a build is repeatable only when it is pinned")
	}
	if err := builder.Build(ctx, output); err != nil {
		return fmt.Errorf("building from %s: %w", config, err)
	}
	return nil
}
