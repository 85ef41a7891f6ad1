package caddymodule

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/atoship/caddy-webhooks/delivery/httpapi/client"
)

// eventsCommand is `caddy webhooks events`.
func eventsCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "events <command>", Short: "Looks events up and replays them"}
	group(cmd)
	cmd.AddCommand(eventsList(), eventsShow(), eventsReplay())
	return cmd
}

func eventsList() *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Short: "Lists events, newest first", Args: cobra.NoArgs,
		Example: "  $ caddy webhooks events list --routing unrouted --since 1h",
	}
	pageFlags(cmd, "type: Only of this type", "environment: Only of this environment", "tenant: Only of this tenant",
		"routing: routed, unrouted or undecided", "since: From then on: a time, or how long ago", "until: Before then")
	choices(cmd, "routing", "routed", "unrouted", "undecided")
	return online(cmd, func(cmd *cobra.Command, c *client.Client, _ []string) error {
		flag := func(name string) string { s, _ := cmd.Flags().GetString(name); return s }
		f := client.EventFilter{Type: flag("type"), Environment: flag("environment"), Routing: flag("routing"), Tenant: tenantFlag(cmd)}
		var err error
		if f.Since, f.Until, err = window(cmd); err != nil {
			return err
		}
		return list(cmd, rows[client.ListedEvent]{
			none: "no event matches",
			head: []string{"ACCEPTED", "EVENT", "TYPE", "ENVIRONMENT", "TENANT", "ROUTING", "DELIVERIES"},
			line: func(e client.ListedEvent) []string {
				d := e.Deliveries
				return []string{clock(e.Accepted), e.ID, e.Type, e.Environment, e.Tenant, e.Routing, fmt.Sprintf("%d of %d delivered", d.Delivered, d.Total)}
			},
		}, func(p client.Page) (client.List[client.ListedEvent], error) { return c.Events(cmd.Context(), f, p) })
	})
}

// tenantFlag is nil when the flag is not given.
func tenantFlag(cmd *cobra.Command) *string {
	if !cmd.Flags().Changed("tenant") {
		return nil
	}
	tenant, _ := cmd.Flags().GetString("tenant")
	return &tenant
}

// shownEvent draws an event.
type shownEvent struct{ client.EventRecord }

// Draw implements drawing.
func (s shownEvent) Draw(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "event %s  %s  %s\n", s.ID, s.Type, clock(s.Accepted))
	fmt.Fprintf(&b, "environment %s  tenant %s  %s\n", s.Environment, cell(s.Tenant), s.Routing)
	for _, d := range s.Deliveries {
		fmt.Fprintf(&b, "  %s  %-10s %s  by %s\n", d.ID, d.State, d.Endpoint, d.Route)
	}
	if len(s.Payload) > 0 {
		fmt.Fprintf(&b, "%s\n", s.Payload)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func eventsShow() *cobra.Command {
	cmd := &cobra.Command{Use: "show <event>", Short: "Shows an event, its payload and its deliveries", Args: takes("<event>")}
	cmd.Flags().String("tenant", "", "Whose event it is, where ids are not unique")
	return online(cmd, func(cmd *cobra.Command, c *client.Client, args []string) error {
		e, err := c.Event(cmd.Context(), args[0], tenantFlag(cmd))
		if err != nil {
			return err
		}
		return show(cmd, shownEvent{e})
	})
}

// deliveriesCommand is `caddy webhooks deliveries`.
func deliveriesCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "deliveries <command>", Short: "Looks deliveries up, sends them again or ends them"}
	group(cmd)
	cmd.AddCommand(deliveriesList(), deliveriesShow(), deliveriesRedeliver(), deliveriesCancel())
	return cmd
}

func deliveriesList() *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Short: "Lists deliveries, newest event first", Args: cobra.NoArgs,
		Example: "  $ caddy webhooks deliveries list --state exhausted --endpoint orders --since 7d",
	}
	pageFlags(cmd, "state: pending, delivered, exhausted or cancelled", "endpoint: Only to this endpoint", "type: Only of this event type",
		"event: Only of this event", "tenant: Only of this tenant", "since: Accepted from then on: a time, or how long ago", "until: Accepted before then")
	choices(cmd, "state", "pending", "delivered", "exhausted", "cancelled")
	return online(cmd, func(cmd *cobra.Command, c *client.Client, _ []string) error {
		flag := func(name string) string { s, _ := cmd.Flags().GetString(name); return s }
		f := client.DeliveryFilter{State: flag("state"), Endpoint: flag("endpoint"), Type: flag("type"), Event: flag("event"), Tenant: tenantFlag(cmd)}
		var err error
		if f.Since, f.Until, err = window(cmd); err != nil {
			return err
		}
		return list(cmd, rows[client.Delivery]{
			none: "no delivery matches",
			head: []string{"ACCEPTED", "DELIVERY", "TYPE", "ENDPOINT", "STATE", "TRIES", "NEXT"},
			line: func(d client.Delivery) []string {
				accepted, eventType := "", ""
				if d.Event != nil {
					accepted, eventType = clock(d.Event.Accepted), d.Event.Type
				}
				if d.Event != nil && d.Event.Test {
					eventType += " (test)"
				}
				state := d.State
				if d.Replay != "" {
					state += " (again)" // beside the delivery that it repeats, which stays as it is
				}
				return []string{accepted, d.ID, eventType, d.Target, state, fmt.Sprint(d.AttemptsCount), clock(d.Due)}
			},
		}, func(p client.Page) (client.List[client.Delivery], error) { return c.Deliveries(cmd.Context(), f, p) })
	})
}

// attemptsCommand is `caddy webhooks attempts`.
func attemptsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "attempts [--follow]", Short: "Lists attempts, the newest first, or shows them as they are made", Args: cobra.NoArgs,
		Example: `  $ caddy webhooks attempts --endpoint orders --status 5xx --since 1h
  $ caddy webhooks attempts --follow`,
	}
	pageFlags(cmd, "endpoint: Only at this endpoint", "outcome: Only of this outcome, such as timeout", "status: Only of this status, such as 503 or 5xx",
		"tenant: Only of this tenant", "since: Ended from then on: a time, or how long ago", "until: Ended before then")
	cmd.Flags().BoolP("follow", "f", false, "Show attempts as they are made, until interrupted")
	return online(cmd, func(cmd *cobra.Command, c *client.Client, _ []string) error {
		if follow, _ := cmd.Flags().GetBool("follow"); follow {
			return followAttempts(cmd, c)
		}
		flag := func(name string) string { s, _ := cmd.Flags().GetString(name); return s }
		f := client.AttemptFilter{Endpoint: flag("endpoint"), Outcome: flag("outcome"), Status: flag("status"), Tenant: tenantFlag(cmd)}
		var err error
		if f.Since, f.Until, err = window(cmd); err != nil {
			return err
		}
		return list(cmd, rows[client.ListedAttempt]{
			none: "no attempt matches",
			head: []string{"STARTED", "DELIVERY", "TYPE", "ENDPOINT", "TRY", "STATUS", "OUTCOME", "TOOK"},
			line: func(a client.ListedAttempt) []string {
				return []string{
					clock(a.Started), a.Delivery, a.Event.Type, a.Endpoint, fmt.Sprint(a.N), status(a.Status), a.Outcome,
					took(a.DurationMS),
				}
			},
		}, func(p client.Page) (client.List[client.ListedAttempt], error) { return c.Attempts(cmd.Context(), f, p) })
	})
}

// followAttempts prints attempts as they are made.
func followAttempts(cmd *cobra.Command, c *client.Client) error {
	asJSON, _ := cmd.Flags().GetBool("json")
	endpoint, _ := cmd.Flags().GetString("endpoint")
	for _, name := range []string{"outcome", "status", "since", "until"} {
		if cmd.Flags().Changed(name) {
			return errors.New("--follow is narrowed by --endpoint and --tenant alone")
		}
	}
	away := false
	broken := func(err error) {
		if !away {
			cmd.PrintErrf("waiting for the gateway: %v\n", explained(cmd, err))
		}
		away = true
	}
	for item, err := range c.Follow(cmd.Context(), client.StreamFilter{Endpoint: endpoint, Tenant: tenantFlag(cmd)}, broken) {
		away = false
		switch {
		case cmd.Context().Err() != nil:
			return nil
		case err != nil:
			return err
		case item.Kind == "missed" && item.Items == 0:
			cmd.PrintErrln("the gateway was away: what happened meanwhile is in 'caddy webhooks attempts'")
		case item.Kind == "missed":
			cmd.PrintErrf("%d items were missed: they came faster than this could print\n", item.Items)
		case item.Kind != "attempted":
		case asJSON:
			err = printLine(cmd.OutOrStdout(), item)
		default:
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s  %s  %s → %s  try %d  %s %s  %s\n", clock(item.At), item.Delivery, cell(item.EventType), item.Endpoint,
				item.N, status(item.Status), item.Outcome, took(item.DurationMS))
		}
		if err != nil {
			return err
		}
	}
	return nil
}
