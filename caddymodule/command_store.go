package caddymodule

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/atoship/caddy-webhooks/delivery/httpapi/client"
)

// storeCommand is `caddy webhooks store`.
func storeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "store <command>", Short: "Backs the store up, erases payloads, and tells what it holds",
		Long: `
Backs the store of a running gateway up, erases payloads, and tells what it
holds. To restore a backup, stop Caddy, put a copy of it where 'store embedded'
points, and start: what was pending is delivered, and what was in hand at that
moment is tried again.`,
	}
	group(cmd)
	cmd.AddCommand(storeBackup(), storeErase(), storeStats())
	return cmd
}

func storeBackup() *cobra.Command {
	cmd := &cobra.Command{
		Use: "backup <directory>", Short: "Copies the store, at work, to a directory that does not exist yet", Args: takes("<directory>"),
		Long: `
Copies the store, at work, to a directory of the gateway's machine that does not
exist yet: everything that was accepted before. On the same disk files are
linked, which takes moments; copy it elsewhere from there. Caddy's admin
endpoint does this, a dashboard does not.`,
		Example: "  $ caddy webhooks store backup /var/backups/webhooks-monday",
	}
	return online(cmd, func(cmd *cobra.Command, c *client.Client, args []string) error {
		dir, err := filepath.Abs(args[0])
		if err != nil {
			return fmt.Errorf("finding the directory: %w", err)
		}
		if err := c.Backup(cmd.Context(), dir); err != nil {
			return err
		}
		return show(cmd, said{"backed up to " + dir, map[string]string{"directory": dir}})
	})
}

func storeErase() *cobra.Command {
	cmd := &cobra.Command{
		Use: "erase --tenant <name> | --event <id>", Short: "Erases payloads from the log and from the disk", Args: cobra.NoArgs,
		Long: `
Erases the payloads of a tenant's events, or of one: the bodies, the ordering
keys made of them, and what endpoints answered. Who got what and when stays on
record. Events with pending deliveries are left as they are, unless
--cancel-pending says to cancel these.`,
		Example: "  $ caddy webhooks store erase --tenant acme --cancel-pending",
	}
	cmd.Flags().String("tenant", "", "All events of this tenant; with --event, whose it is")
	cmd.Flags().String("event", "", "This event alone")
	cmd.Flags().Bool("cancel-pending", false, "Cancel pending deliveries, and erase their events too")
	return online(cmd, func(cmd *cobra.Command, c *client.Client, _ []string) error {
		event, _ := cmd.Flags().GetString("event")
		tenant, _ := cmd.Flags().GetString("tenant")
		cancel, _ := cmd.Flags().GetBool("cancel-pending")
		if event == "" && tenant == "" {
			return errors.New("say what to erase: --tenant <name> or --event <id>")
		}
		all, err := erase(cmd, c, event, tenant, cancel)
		if err != nil {
			return err
		}
		text := fmt.Sprintf("erased %s, cancelled %s", plural(uint64(all.Erased), "payload", "payloads"), plural(uint64(all.Cancelled), "delivery", "deliveries"))
		if all.Pending > 0 {
			text += fmt.Sprintf("; left what has pending deliveries, %s: --cancel-pending erases that too", plural(uint64(all.Pending), "event", "events"))
		}
		return show(cmd, said{text, all})
	})
}

// erase repeats the erasure of a tenant until there is nothing left to look at.
func erase(cmd *cobra.Command, c *client.Client, event, tenant string, cancel bool) (all client.Erasure, err error) {
	if event != "" {
		return c.EraseEvent(cmd.Context(), event, tenantFlag(cmd), cancel)
	}
	for {
		some, err := c.EraseTenant(cmd.Context(), tenant, cancel, all.Next)
		all.Erased, all.Cancelled, all.Pending, all.Next = all.Erased+some.Erased, all.Cancelled+some.Cancelled, all.Pending+some.Pending, some.Next
		if err != nil || some.Next == "" {
			return all, err
		}
	}
}

// shownStats draws what the store holds.
type shownStats struct {
	client.Stats

	Endpoints []client.EndpointStats `json:"endpoints"`
	total     int
}

// Draw implements drawing.
func (s shownStats) Draw(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%d events, the oldest of %s\n", s.Events, clock(s.OldestEvent))
	for _, state := range []string{"pending", "delivered", "exhausted", "cancelled"} {
		fmt.Fprintf(&b, "%-10s %d\n", state, s.Deliveries[state])
	}
	if s.Store != nil {
		fmt.Fprintf(&b, "%s store of %.1f MB\n", s.Store.Kind, float64(s.Store.Size)/1e6)
	}
	if !s.OldestDue.IsZero() {
		fmt.Fprintf(&b, "the first delivery that is due waits since %s\n", clock(s.OldestDue))
	}
	if s.Lost != nil && *s.Lost != 0 {
		fmt.Fprintf(&b, "lost       %d: a fault of the gateway, please report it\n", *s.Lost)
	}
	if n := len(s.Endpoints); n < s.total {
		fmt.Fprintf(&b, "the %d of %d endpoints with the most pending:\n", n, s.total)
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return err
	}
	return rows[client.EndpointStats]{
		items: s.Endpoints, none: "no endpoint has deliveries",
		head: []string{"ENDPOINT", "PENDING", "DELIVERED", "EXHAUSTED", "CANCELLED", "DUE SINCE"},
		line: func(e client.EndpointStats) []string {
			return []string{e.Endpoint, fmt.Sprint(e.Pending), fmt.Sprint(e.Delivered), fmt.Sprint(e.Exhausted), fmt.Sprint(e.Cancelled), clock(e.OldestDue)}
		},
	}.Draw(w)
}

func storeStats() *cobra.Command {
	cmd := &cobra.Command{Use: "stats", Short: "Counts events and deliveries, by state and by endpoint", Args: cobra.NoArgs}
	cmd.Flags().Int("limit", 20, "At most so many endpoints, those with the most pending")
	return online(cmd, func(cmd *cobra.Command, c *client.Client, _ []string) error {
		limit, _ := cmd.Flags().GetInt("limit")
		s, err := c.Stats(cmd.Context())
		if err != nil {
			return err
		}
		by, total, err := c.StatsByEndpoint(cmd.Context(), limit)
		if err != nil {
			return err
		}
		return show(cmd, shownStats{s, by, total})
	})
}
