package caddymodule

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/atoship/caddy-webhooks/delivery/httpapi/client"
)

func replayCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "replay --endpoint <name> --since <time> [--until <time>] [--state <state>] [--type <type>] [--rate <n>/s] [--dry-run]",
		Short: "Sends many deliveries again",
		Long: `
Sends the deliveries of an endpoint again, with the same event ids: those in
one state, dead letters by default, whose events were accepted in a time. With
--state missing it sends what the endpoint matches now but never got, such as
events from before it was there.

The gateway does the work, at the rate given, behind live traffic, and goes on
with it after a restart; this command shows how far it is. Interrupted, it
leaves the replay running: --stop <id> ends one.`,
		Example: `  $ caddy webhooks replay --endpoint orders --since 2h --dry-run
  $ caddy webhooks replay --endpoint orders --since 2024-01-15T10:00:00Z --rate 20/s
  $ caddy webhooks replay --endpoint audit --state missing --since 30d`,
		Args: cobra.NoArgs,
	}
	for _, f := range []string{
		"endpoint: Endpoint to send to", "since: Events accepted from then on: a time, or how long ago", "until: Events accepted before then",
		"type: Only of this event type", "rate: At most so many, such as 20/s or 1000/m", "stop: Stop the replay with this id instead",
	} {
		name, help, _ := strings.Cut(f, ": ")
		cmd.Flags().String(name, "", help)
	}
	cmd.Flags().String("state", "exhausted", "exhausted, delivered, cancelled or missing")
	choices(cmd, "state", "exhausted", "delivered", "cancelled", "missing")
	cmd.Flags().Bool("dry-run", false, "Count, and send nothing")
	return online(cmd, runReplay)
}

func runReplay(cmd *cobra.Command, c *client.Client, _ []string) error {
	flag := func(name string) string { s, _ := cmd.Flags().GetString(name); return s }
	if id := flag("stop"); id != "" {
		r, err := c.CancelReplay(cmd.Context(), id)
		if err != nil {
			return err
		}
		return show(cmd, shownReplay{r})
	}
	if flag("endpoint") == "" || flag("since") == "" {
		return fmt.Errorf("a replay needs --endpoint and --since: it does not send everything again by mistake")
	}
	q := client.NewReplay{Endpoint: flag("endpoint"), Type: flag("type"), State: flag("state"), Rate: flag("rate")}
	q.DryRun, _ = cmd.Flags().GetBool("dry-run")
	var err error
	if q.Since, q.Until, err = window(cmd); err != nil {
		return err
	}
	r, err := c.StartReplay(cmd.Context(), q)
	if err != nil {
		return err
	}
	if r, err = watchReplay(cmd.Context(), c, r, progressTo(cmd)); err != nil {
		return err
	}
	return show(cmd, shownReplay{r})
}

// progressTo is where progress is drawn: a terminal, or nowhere.
func progressTo(cmd *cobra.Command) io.Writer {
	f, ok := cmd.ErrOrStderr().(*os.File)
	if !ok {
		return io.Discard
	}
	if info, err := f.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return io.Discard
	}
	return f
}

// replayPoll is how often a replay is asked how far it is.
const replayPoll = 300 * time.Millisecond

// watchReplay draws how far a replay is until it is over.
func watchReplay(ctx context.Context, c *client.Client, r client.Replay, w io.Writer) (client.Replay, error) {
	tick := time.NewTicker(replayPoll)
	defer tick.Stop()
	for r.Status == "running" {
		_, _ = fmt.Fprintf(w, "\r%s %3.0f %%  %d of %d", bar(r.Progress), 100*r.Progress, r.Replayed, r.Matched)
		select {
		case <-tick.C:
		case <-ctx.Done():
			_, _ = fmt.Fprintln(w)
			return r, fmt.Errorf("the replay %s goes on: `caddy webhooks replay --stop %s` ends it", r.ID, r.ID)
		}
		next, err := c.Replay(ctx, r.ID)
		if err != nil && ctx.Err() == nil {
			return r, err
		}
		if err == nil {
			r = next
		}
	}
	_, _ = fmt.Fprint(w, "\r\x1b[K")
	return r, nil
}

func bar(part float64) string {
	const width = 30
	n := min(max(int(part*width), 0), width)
	return "[" + strings.Repeat("█", n) + strings.Repeat(" ", width-n) + "]"
}

// shownReplay draws a replay.
type shownReplay struct{ client.Replay }

// Draw implements drawing.
func (s shownReplay) Draw(w io.Writer) error {
	text := fmt.Sprintf("replay %s %s: %d matched, %d sent again, %d skipped", s.ID, s.Status, s.Matched, s.Replayed, s.Skipped)
	if s.DryRun {
		text = fmt.Sprintf("%s would be sent again to %s", plural(s.Matched, "delivery", "deliveries"), s.Endpoint)
	}
	_, err := fmt.Fprintln(w, text)
	return err
}

// plural says how many there are of something.
func plural(n uint64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func eventsReplay() *cobra.Command {
	cmd := &cobra.Command{Use: "replay <event> [--endpoint <name>]", Short: "Sends an event again, with the same id", Args: takes("<event>")}
	cmd.Flags().String("endpoint", "", "Only to this endpoint (default: to those it went to)")
	cmd.Flags().String("tenant", "", "Whose event it is, where ids are not unique")
	return online(cmd, func(cmd *cobra.Command, c *client.Client, args []string) error {
		endpoint, _ := cmd.Flags().GetString("endpoint")
		e, err := c.ReplayEvent(cmd.Context(), args[0], tenantFlag(cmd), endpoint)
		if err != nil {
			return err
		}
		return show(cmd, shownEvent{e})
	})
}

func deliveriesRedeliver() *cobra.Command {
	cmd := &cobra.Command{Use: "redeliver <delivery>", Short: "Sends a delivery once more, with the same event id", Args: takes("<delivery>")}
	return online(cmd, func(cmd *cobra.Command, c *client.Client, args []string) error {
		d, err := c.Redeliver(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		return show(cmd, said{fmt.Sprintf("delivery %s to %s is on its way", d.ID, d.Endpoint), d})
	})
}

func deliveriesCancel() *cobra.Command {
	cmd := &cobra.Command{Use: "cancel <delivery>", Short: "Ends a pending delivery", Args: takes("<delivery>")}
	return online(cmd, func(cmd *cobra.Command, c *client.Client, args []string) error {
		d, err := c.CancelDelivery(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		text := "cancelled"
		if d.State == "pending" {
			text = "an attempt is under way; it is cancelled after that, unless it is accepted"
		}
		return show(cmd, said{text, d})
	})
}

// shownEgress draws the addresses that deliveries come from.
type shownEgress struct{ client.Egress }

// Draw implements drawing.
func (s shownEgress) Draw(w io.Writer) error {
	all := append(append([]client.Prefix{}, s.Prefixes...), s.Prefixes6...)
	return rows[client.Prefix]{
		items: all, none: "the gateway is not told which addresses it sends from; its operator sets them by egress { address … }",
		head: []string{"ADDRESS", "PROFILE", "STATUS", "FROM"},
		line: func(p client.Prefix) []string { return []string{p.IPv4 + p.IPv6, p.Profile, p.Status, p.NotBefore} },
	}.Draw(w)
}

func egressCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "egress", Short: "Lists the addresses that deliveries come from", Args: cobra.NoArgs}
	return online(cmd, func(cmd *cobra.Command, c *client.Client, _ []string) error {
		e, err := c.Egress(cmd.Context())
		if err != nil {
			return err
		}
		return show(cmd, shownEgress{e})
	})
}
