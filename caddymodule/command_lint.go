package caddymodule

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/atoship/caddy-webhooks/rules"
)

func lintCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "lint [--config <file> [--adapter <name>]] [--json]",
		Short: "Finds rules that cannot have been meant",
		Long: `
Finds rules that are allowed and cannot have been meant: those that no event can
match, that repeat an earlier one, that an earlier one leaves nothing to do,
that have to be evaluated for every event, and that name event types which the
catalog does not have. Each is told with its place and what to do.

What it says of a rule is so for every event; it does not find everything. The
exit status is 1 when something was found.`,
		Example: `  $ caddy webhooks routes lint
  $ caddy webhooks routes lint --config Caddyfile --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o, err := offlineOf(cmd)
			if err != nil {
				return err
			}
			found := o.set.Lint(o.types)
			if err := show(cmd, found); err != nil {
				return err
			}
			if len(found) > 0 {
				return fmt.Errorf("%d rules should be looked at", len(found))
			}
			return nil
		},
	}
	configFlags(cmd)
	jsonFlag(cmd)
	return cmd
}

func diffCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "diff --config <old> --config <new> [--adapter <name>] --events <@file|-> [--json]",
		Short: "Shows which events change their route between two configurations",
		Long: `
Shows which events of a sample change their route between two configurations:
deliveries that are no more (-), new ones (+), and ones that another route asks
for or whose backups are others (~).

The sample holds one event on each line, written as for ingest.`,
		Example: `  $ caddy webhooks routes diff --config Caddyfile --config Caddyfile.new --events @sample.ndjson`,
		Args:    cobra.NoArgs,
		RunE:    runDiff,
	}
	cmd.Flags().StringArrayP("config", "c", nil, "Configuration file: first the old one, then the new one")
	cmd.Flags().StringP("adapter", "a", "", "Name of the config adapter (default: by the file's name, else caddyfile)")
	cmd.Flags().StringP("events", "e", "", "The sample: @file, or - for standard input")
	jsonFlag(cmd)
	_ = cmd.MarkFlagRequired("events") // fails for undefined flags only
	return cmd
}

func runDiff(cmd *cobra.Command, _ []string) error {
	files, _ := cmd.Flags().GetStringArray("config") // defined by diffCommand, like those below
	adapter, _ := cmd.Flags().GetString("adapter")
	sample, _ := cmd.Flags().GetString("events")
	if len(files) != 2 {
		return errors.New("two configurations are compared: --config <old> --config <new>")
	}
	before, err := loadOffline(files[0], adapter)
	if err != nil {
		return err
	}
	after, err := loadOffline(files[1], adapter)
	if err != nil {
		return err
	}
	text, err := argument(cmd, sample)
	if err != nil {
		return err
	}
	c := rules.Compare(before.set, after.set)
	line := 0
	for src := range bytes.Lines(text) {
		if line++; len(bytes.TrimSpace(src)) == 0 {
			continue
		}
		ev, err := after.event(src)
		if err != nil {
			return fmt.Errorf("line %d of the events: %w", line, err)
		}
		c.Add(line, ev)
	}
	return show(cmd, c)
}

// What the commands show.
var (
	_ drawing = rules.Findings(nil)
	_ drawing = (*rules.Comparison)(nil)
	_ drawing = (*rules.TestReport)(nil)
)
