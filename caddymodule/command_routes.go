package caddymodule

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/atoship/caddy-webhooks/rules"
)

// routesCommand is `caddy webhooks routes`: the rules of a configuration, offline.
func routesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "routes <command>",
		Short: "Tells what the routing rules of a configuration do",
		Long: `
Tells what the routes and subscriptions of a configuration do with an event,
without running it.`,
	}
	group(cmd)
	cmd.AddCommand(explainCommand(), testCommand(), lintCommand(), diffCommand())
	return cmd
}

// configFlags are how the configuration is named, as in Caddy's own commands.
func configFlags(cmd *cobra.Command) {
	cmd.Flags().StringP("config", "c", "", "Configuration file (default \"Caddyfile\")")
	cmd.Flags().StringP("adapter", "a", "", "Name of the config adapter (default: by the file's name, else caddyfile)")
}

// offlineOf loads the configuration that the flags name.
func offlineOf(cmd *cobra.Command) (*offline, error) {
	file, _ := cmd.Flags().GetString("config")     // defined by configFlags
	adapter, _ := cmd.Flags().GetString("adapter") // likewise
	return loadOffline(file, adapter)
}

func explainCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "explain --event <JSON|@file|-> [--route <name>]… [--config <file> [--adapter <name>]] [--json]",
		Short: "Says who gets an event, and why",
		Long: `
Says who gets an event, and why: for every rule that could apply, the tree of
its condition with the outcome of each part and the values it read.

The event is written as for ingest. Members left out get the values they would
get there.

Outcomes are true (✓), false (✗), missing (?) and error (!). A rule applies on
true alone. Missing means that the event has no value where the rule looks, and
is a quiet no; an error is what on_error is about.`,
		Example: `  $ caddy webhooks routes explain --event '{"event":"label.created","data":{}}'
  $ caddy webhooks routes explain --config Caddyfile --event @event.json --route labels
  $ caddy webhooks routes explain --route endpoint:audit --json --event - < event.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o, err := offlineOf(cmd)
			if err != nil {
				return err
			}
			text, _ := cmd.Flags().GetString("event") // required
			src, err := argument(cmd, text)
			if err != nil {
				return err
			}
			ev, err := o.event(src)
			if err != nil {
				return fmt.Errorf("the event: %w", err)
			}
			names, _ := cmd.Flags().GetStringArray("route")
			if err := o.set.Known(names...); err != nil {
				return err
			}
			if note := o.unknownType(ev.Type); note != "" {
				cmd.PrintErrln(note)
			}
			return show(cmd, o.set.Explain(ev, names...))
		},
	}
	configFlags(cmd)
	cmd.Flags().StringP("event", "e", "", "The event: its JSON, @file, or - for standard input")
	cmd.Flags().StringArrayP("route", "r", nil, "Explain this route only, or endpoint:<name> for a subscription; repeatable")
	jsonFlag(cmd)
	_ = cmd.MarkFlagRequired("event") // fails for undefined flags only
	return cmd
}

func jsonFlag(cmd *cobra.Command) {
	cmd.Flags().Bool("json", false, "Print JSON")
}

// drawing is something to show, in words or as JSON.
type drawing interface{ Draw(w io.Writer) error }

var _ drawing = (*rules.Explanation)(nil)

// show prints v as --json asks.
func show(cmd *cobra.Command, v drawing) error {
	if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
		enc := json.NewEncoder(cmd.OutOrStdout())
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(v)
	}
	return v.Draw(cmd.OutOrStdout())
}
