package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/atoship/caddy-webhooks/delivery/httpapi/client"
)

// endpointsCommand is `caddy webhooks endpoints`.
func endpointsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "endpoints <command>",
		Short: "Lists, makes, tries and ends endpoints",
		Long: `
Lists, makes, tries and ends the endpoints of a running gateway. Those of the
configuration are changed there; pause, resume, test and check work for all.`,
	}
	group(cmd)
	cmd.AddCommand(endpointsList(), endpointsShow(), endpointsAdd(), endpointsDelete(), endpointsTest(), endpointsCheck(), endpointsRotate(),
		endpointsDo("pause", "Holds an endpoint until it is resumed", "%s is paused: what comes for it waits", (*client.Client).PauseEndpoint),
		endpointsDo("resume", "Ends a pause, or puts a disabled endpoint back into service", "%s is back: what waited goes out in order", (*client.Client).ResumeEndpoint))
	return cmd
}

func endpointsList() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "Lists endpoints and what holds them", Args: cobra.NoArgs, Example: "  $ caddy webhooks endpoints list --json"}
	pageFlags(cmd)
	return online(cmd, func(cmd *cobra.Command, c *client.Client, _ []string) error {
		return list(cmd, rows[client.Endpoint]{
			none: "there are no endpoints; 'caddy webhooks endpoints add' makes one, or the configuration by `endpoint`",
			head: []string{"ENDPOINT", "STATE", "HELD BY", "BREAKER", "IN FLIGHT", "FROM", "URL"},
			line: func(e client.Endpoint) []string {
				return []string{e.ID, e.State, heldBy(&e), e.Breaker.State, fmt.Sprint(e.Concurrency.InFlight), e.Source, e.URL}
			},
		}, func(p client.Page) (client.List[client.Endpoint], error) { return c.Endpoints(cmd.Context(), p) })
	})
}

func heldBy(e *client.Endpoint) string {
	if e.Hold == nil {
		return ""
	}
	if e.Hold.Until.IsZero() {
		return e.Hold.Reason
	}
	return e.Hold.Reason + " until " + clock(e.Hold.Until)
}

// shownEndpoint draws one endpoint.
type shownEndpoint struct{ client.Endpoint }

// Draw implements drawing.
func (s shownEndpoint) Draw(w io.Writer) error {
	e := s.Endpoint
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	put := func(name, value string) {
		if value != "" && value != "-" {
			_, _ = fmt.Fprintf(t, "%s\t%s\n", name, value)
		}
	}
	put("endpoint", e.ID)
	put("description", cell(e.Description))
	put("url", e.URL)
	put("state", e.State)
	put("held by", heldBy(&e))
	put("problem", e.Problem)
	put("breaker", e.Breaker.State)
	put("failing since", clock(e.FailingSince))
	put("tenant", e.Tenant)
	put("backups", strings.Join(e.Backups, " → "))
	put("rate limit", e.RateLimit)
	put("attempts at once", fmt.Sprintf("%d in flight, %d of %d open to it", e.Concurrency.InFlight, e.Concurrency.Now, e.Concurrency.Limit))
	put("next due", clock(e.NextDue))
	put("comes from", e.Source)
	if len(e.Settings) > 0 {
		put("settings", string(e.Settings))
	}
	return t.Flush()
}

func endpointsShow() *cobra.Command {
	cmd := &cobra.Command{Use: "show <endpoint>", Short: "Shows one endpoint", Args: takes("<endpoint>")}
	return online(cmd, func(cmd *cobra.Command, c *client.Client, args []string) error {
		e, err := c.Endpoint(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		return show(cmd, shownEndpoint{e})
	})
}

// endpointsDo is a command that changes how an endpoint is.
func endpointsDo(name, short, done string, do func(*client.Client, context.Context, string) (client.Endpoint, error)) *cobra.Command {
	cmd := &cobra.Command{Use: name + " <endpoint>", Short: short, Args: takes("<endpoint>")}
	return online(cmd, func(cmd *cobra.Command, c *client.Client, args []string) error {
		e, err := do(c, cmd.Context(), args[0])
		if err != nil {
			return err
		}
		return show(cmd, said{fmt.Sprintf(done, args[0]), e})
	})
}

func endpointsAdd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "add <url> --events <types> [--description <text>] [--environment <names>] [--tenant <name>] [--set <JSON|@file>]",
		Short: "Makes an endpoint and shows its signing secret, this once",
		Long: `
Makes an endpoint that the running gateway keeps in its store, and shows its
signing secret: keep it, it is shown this once. The configuration needs a
secret_key, by which such secrets are encrypted.

--set takes any option of an endpoint as the JSON configuration has it.`,
		Example: `  $ caddy webhooks endpoints add https://example.com/hooks --events 'label.*,shipment.exception'
  $ caddy webhooks endpoints add https://example.com/hooks --events '*' --set '{"rate_limit":{"rate":"1000/m"}}'`,
		Args: takes("<url>"),
	}
	cmd.Flags().StringSlice("events", nil, "Event types, prefix.* or *")
	cmd.Flags().String("description", "", "Name, to find it again")
	cmd.Flags().StringSlice("environment", nil, "Only events of these environments")
	cmd.Flags().String("tenant", "", "Only events of this tenant")
	cmd.Flags().String("set", "", "Further options: their JSON, @file, or - for standard input")
	return online(cmd, func(cmd *cobra.Command, c *client.Client, args []string) error {
		settings, err := settingsOf(cmd, args[0])
		if err != nil {
			return err
		}
		e, err := c.CreateEndpoint(cmd.Context(), settings)
		if err != nil {
			return err
		}
		secret := e.Secrets[0].Value
		return show(cmd, said{fmt.Sprintf("endpoint %s\nsecret   %s", e.ID, secret), e})
	})
}

// settingsOf puts the settings of a new endpoint together.
func settingsOf(cmd *cobra.Command, url string) (map[string]any, error) {
	settings := map[string]any{}
	text, _ := cmd.Flags().GetString("set")
	if text != "" {
		given, err := argument(cmd, text)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(given, &settings); err != nil {
			return nil, errors.New("--set is not a JSON object")
		}
	}
	settings["url"] = url
	for _, name := range []string{"events", "environment"} {
		if words, _ := cmd.Flags().GetStringSlice(name); len(words) > 0 {
			settings[name] = words
		}
	}
	for _, name := range []string{"description", "tenant"} {
		if word, _ := cmd.Flags().GetString(name); word != "" {
			settings[name] = word
		}
	}
	return settings, nil
}

func endpointsDelete() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "delete <endpoint> [--yes]",
		Short: "Ends an endpoint made at run time; what waits for it is cancelled",
		Args:  takes("<endpoint>"),
	}
	cmd.Flags().Bool("yes", false, "Cancel what waits for it, too")
	return online(cmd, func(cmd *cobra.Command, c *client.Client, args []string) error {
		yes, _ := cmd.Flags().GetBool("yes")
		var confirm uint64
		for {
			cancelled, err := c.DeleteEndpoint(cmd.Context(), args[0], "*", confirm)
			p, refused := errors.AsType[*client.Problem](err)
			switch {
			case err == nil:
				return show(cmd, said{fmt.Sprintf("%s is deleted, %d deliveries were cancelled", args[0], cancelled), map[string]any{"id": args[0], "cancelled": cancelled}})
			case refused && p.Pending != nil && yes && *p.Pending > confirm:
				confirm = *p.Pending
			case refused && p.Pending != nil:
				return fmt.Errorf("%d deliveries wait for %s and would be cancelled: confirm that with --yes", *p.Pending, args[0])
			default:
				return err
			}
		}
	})
}

// endpointsTry is a command that sends an endpoint events of one kind. try says what came of it and, unless all is well, what
// is wrong with the endpoint.
func endpointsTry(name, short, long string, try func(*client.Client, context.Context, string, client.TestEvent) (drawing, string, error)) *cobra.Command {
	cmd := &cobra.Command{Use: name + " <endpoint> [--event <type>] [--data <JSON|@file|->]", Short: short, Long: long, Args: takes("<endpoint>")}
	cmd.Flags().String("event", "", "Event type (default: the catalog's first with an example)")
	cmd.Flags().StringP("data", "d", "", "The event's data: its JSON, @file, or - for standard input (default: the catalog's example)")
	return online(cmd, func(cmd *cobra.Command, c *client.Client, args []string) error {
		ev, err := testOf(cmd)
		if err != nil {
			return err
		}
		v, wrong, err := try(c, cmd.Context(), args[0], ev)
		if err != nil {
			return err
		}
		if err := show(cmd, v); err != nil || wrong == "" {
			return err
		}
		return fmt.Errorf(wrong, args[0])
	})
}

// testOf reads the flags of endpointsTry.
func testOf(cmd *cobra.Command) (client.TestEvent, error) {
	var ev client.TestEvent
	ev.Event, _ = cmd.Flags().GetString("event")
	text, _ := cmd.Flags().GetString("data")
	if text == "" {
		return ev, nil
	}
	data, err := argument(cmd, text)
	if err == nil && !json.Valid(data) {
		err = errors.New("--data is not JSON")
	}
	ev.Data = data
	return ev, err
}

func endpointsTest() *cobra.Command {
	return endpointsTry("test", "Sends one event now, and shows the answer", `
Sends an endpoint one signed event now, whatever holds it, and shows what it
answered. The request is marked by X-AtoShip-Test: true and tried once. Exits 1
if it was not accepted.`,
		func(c *client.Client, ctx context.Context, name string, ev client.TestEvent) (drawing, string, error) {
			rec, err := c.TestEndpoint(ctx, name, ev)
			if rec.State != "delivered" {
				return shownDelivery{DeliveryRecord: rec}, "%s did not accept the test event", err
			}
			return shownDelivery{DeliveryRecord: rec}, "", err
		})
}

func endpointsCheck() *cobra.Command {
	return endpointsTry("check", "Finds out why an endpoint fails, and what to do next", `
Looks at everything between the gateway and an endpoint, by the way that
deliveries take: DNS, connections over IPv4 and IPv6, the certificate, a signed
test event, a wrongly signed one, a repeated one. Each step says what was found
and what to do next. Exits 1 if deliveries do not arrive.`,
		func(c *client.Client, ctx context.Context, name string, ev client.TestEvent) (drawing, string, error) {
			check, err := c.CheckEndpoint(ctx, name, ev)
			if slices.ContainsFunc(check.Steps, func(s client.CheckStep) bool { return s.Result == "fail" }) {
				return shownCheck{check}, "deliveries do not arrive at %s", err
			}
			return shownCheck{check}, "", err
		})
}

// shownCheck draws a check.
type shownCheck struct{ client.Check }

var marks = map[string]string{"ok": "✓", "warn": "!", "fail": "✗"}

// Draw implements drawing.
func (s shownCheck) Draw(w io.Writer) error {
	var b strings.Builder
	for _, step := range s.Steps {
		fmt.Fprintf(&b, "%s %-15s %s", marks[step.Result], strings.ReplaceAll(step.Name, "_", " "), step.Summary)
		if step.TookMS > 0 {
			fmt.Fprintf(&b, " (%s)", time.Duration(step.TookMS)*time.Millisecond)
		}
		if step.Advice != "" {
			fmt.Fprintf(&b, "\n  next: %s", step.Advice)
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func endpointsRotate() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rotate-secret <endpoint> [--secret <secret|@file|$NAME>] [--overlap <duration>]",
		Short: "Gives an endpoint a new signing secret, and shows it this once",
		Args:  takes("<endpoint>"),
	}
	cmd.Flags().StringArray("secret", nil, "The new secret, @file, or $NAME of an environment variable (default: one is made)")
	cmd.Flags().String("overlap", "", "How long the old secret signs beside the new one (default \"24h\")")
	return online(cmd, func(cmd *cobra.Command, c *client.Client, args []string) error {
		overlap, _ := cmd.Flags().GetString("overlap")
		given, err := secretsOf(cmd)
		if err == nil && len(given) > 1 {
			err = errors.New("--secret is given more than once")
		}
		if err != nil {
			return err
		}
		r, err := c.RotateSecret(cmd.Context(), args[0], "", client.Rotation{Secret: strings.Join(given, ""), Overlap: overlap})
		if err != nil {
			return err
		}
		return show(cmd, said{fmt.Sprintf("secret    %s\nold until %s", r.Secret.Value, clock(r.OldUntil)), r})
	})
}
