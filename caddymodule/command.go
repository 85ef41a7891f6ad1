package caddymodule

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  appID,
		Usage: "<command>",
		Short: "Works with the webhook delivery gateway",
		Long: `
Works with the webhook delivery gateway.

Most commands ask a running gateway, at Caddy's admin endpoint or at a
dashboard's URL: they list endpoints, events, deliveries and attempts, try an
endpoint out and find out why it fails, and send again what nobody took. 'send'
publishes an event; 'listen' and 'verify' are the other side of a delivery, for
a developer's desk: 'listen --help' has a Caddyfile to begin with.

  $ caddy webhooks endpoints check orders
  $ caddy webhooks deliveries list --state exhausted --since 7d
  $ caddy webhooks replay --endpoint orders --since 7d --dry-run

The commands under 'routes' tell what the routing rules of a configuration do
with an event, before it runs anywhere: they read a Caddyfile, start nothing,
open no store and need none of its secrets.`,
		CobraFunc: func(cmd *cobra.Command) {
			group(cmd)
			cmd.AddCommand(routesCommand(), sendCommand(), listenCommand(), verifyCommand(),
				endpointsCommand(), eventsCommand(), deliveriesCommand(), attemptsCommand(), replayCommand(), egressCommand(), storeCommand())
		},
	})
}

// group makes a command that only has others below it: alone it shows its help, and with a word that is none of them it
// fails, where cobra would show the help and succeed.
func group(cmd *cobra.Command) {
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		msg := fmt.Sprintf("%s has no command %q", cmd.CommandPath(), args[0])
		cmd.SuggestionsMinimumDistance = 2
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			msg += "; did you mean " + strings.Join(near, " or ") + "?"
		}
		return errors.New(msg)
	}
}

// takes makes a command ask for one word, by its name in the usage.
func takes(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 1 {
			return nil
		}
		return fmt.Errorf("%s takes one %s, not %d; --help shows how", cmd.CommandPath(), what, len(args))
	}
}

// maxArgument bounds what is read for one argument: a batch of events, not a disk.
const maxArgument = 256 << 20

// argument is the value of a flag: itself, a file's content for @file, or standard input for a dash.
func argument(cmd *cobra.Command, value string) ([]byte, error) {
	if value == "-" {
		return readAll(cmd.InOrStdin(), "standard input")
	}
	name, isFile := strings.CutPrefix(value, "@")
	if !isFile {
		return []byte(value), nil
	}
	f, err := os.Open(name) //nolint:gosec // whoever runs the command names the file
	if err != nil {
		return nil, fmt.Errorf("reading an argument: %w", err)
	}
	defer f.Close()
	return readAll(f, name)
}

func readAll(r io.Reader, name string) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxArgument+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if len(b) > maxArgument {
		return nil, fmt.Errorf("%s is larger than %d MiB", name, maxArgument>>20)
	}
	return b, nil
}
