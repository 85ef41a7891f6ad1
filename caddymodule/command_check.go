package caddymodule

import (
	"bytes"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/atoship/caddy-webhooks/rules"
)

func testCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "test [--config <file> [--adapter <name>]] [--coverage [--min <percent>]] [--junit <file>] [--json] <tests.yaml>…",
		Short: "Checks that events go where tests say",
		Long: `
Checks that events go where tests say. A test file is a list of events, each
with the deliveries it must lead to and no others:

  - name: USPS exceptions go to orders, then to its backup
    event: {event: shipment.exception, data: {carrier: USPS}}
    expect: [{endpoint: orders, backups: [orders-dr], route: by-carrier}]
  - name: what nobody wants goes nowhere
    event: {event: price.changed, data: {}}
    expect: []

The event is written as for ingest. Of an expected delivery, backups and route
may be left out and are then not compared. An event that rules must leave
undecided lists them under held.

The exit status is 1 when any test fails; the explanation of the rules concerned
is printed. Coverage counts parts of conditions, not only routes: each has to be
seen true and false and, when it reads the payload, with the value missing.`,
		Example: `  $ caddy webhooks routes test tests.yaml
  $ caddy webhooks routes test --config Caddyfile --coverage --min 90 --junit report.xml tests/*.yaml`,
		Args: cobra.MinimumNArgs(1),
		RunE: runTests,
	}
	configFlags(cmd)
	cmd.Flags().Bool("coverage", false, "Tell which outcomes of which parts no test saw")
	cmd.Flags().Float64("min", 0, "Fail below this coverage, in percent")
	cmd.Flags().String("junit", "", "Write a JUnit report to this file")
	jsonFlag(cmd)
	return cmd
}

func runTests(cmd *cobra.Command, files []string) error {
	o, err := offlineOf(cmd)
	if err != nil {
		return err
	}
	var tests []rules.Test
	for _, name := range files {
		text, err := os.ReadFile(name) //nolint:gosec // whoever runs the command names the file
		if err != nil {
			return fmt.Errorf("reading tests: %w", err)
		}
		more, err := rules.ReadTests(name, text, o.event)
		if err != nil {
			return err
		}
		tests = append(tests, more...)
	}
	coverage, _ := cmd.Flags().GetBool("coverage") // defined by testCommand, like those below
	least, _ := cmd.Flags().GetFloat64("min")
	report := o.set.Check(tests, coverage || least > 0)
	if name, _ := cmd.Flags().GetString("junit"); name != "" {
		var b bytes.Buffer
		if err := report.JUnit(&b); err != nil {
			return err
		}
		if err := os.WriteFile(name, b.Bytes(), 0o644); err != nil { //nolint:gosec // a report for everybody
			return fmt.Errorf("writing the JUnit report: %w", err)
		}
	}
	if err := show(cmd, report); err != nil {
		return err
	}
	switch {
	case report.Failed > 0:
		return fmt.Errorf("%d of %d tests failed", report.Failed, len(tests))
	case report.Coverage != nil && report.Coverage.Percent < least:
		return fmt.Errorf("the coverage is %.1f %%, less than %v %%", report.Coverage.Percent, least)
	}
	return nil
}
