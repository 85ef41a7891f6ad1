package caddymodule

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// tokenVariable is where commands find the token of an ingest route unless they are given one.
const tokenVariable = "WEBHOOKS_TOKEN"

func sendCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "send <event type> --to <ingest url> [--data <JSON|@file|->] [--env <name>] [--tenant <name>] [--id <id>] [--json]",
		Short: "Publishes an event",
		Long: `
Publishes one event at an ingest URL and prints who gets it. It is accepted,
durably, when this command succeeds. Sending it again with the same --id is
safe: a duplicate is answered with the first receipt.

The token of the ingest route comes from --token or the environment variable
` + tokenVariable + `.`,
		Example: `  $ caddy webhooks send label.created --data '{"label_id":"lbl_abc123"}' --to http://localhost:8080/events
  $ caddy webhooks send order.imported --data @order.json --env sandbox --to https://gateway.example.com/events`,
		Args: takes("<event type>"),
		RunE: runSend,
	}
	cmd.Flags().String("to", "", "URL of the ingest route")
	cmd.Flags().StringP("data", "d", "{}", "The event's data: its JSON, @file, or - for standard input")
	cmd.Flags().String("env", "", "Environment (default: the gateway's)")
	cmd.Flags().String("tenant", "", "Tenant")
	cmd.Flags().String("id", "", "Event id (default: the gateway makes one)")
	cmd.Flags().String("token", "", "Bearer token of the ingest route, or @file")
	jsonFlag(cmd)
	_ = cmd.MarkFlagRequired("to") // fails for undefined flags only
	return cmd
}

func runSend(cmd *cobra.Command, args []string) error {
	flag := func(name string) string { s, _ := cmd.Flags().GetString(name); return s }
	data, err := argument(cmd, flag("data"))
	if err != nil {
		return err
	}
	if !json.Valid(data) {
		return errors.New("--data is not JSON; text needs quotes of its own: '\"text\"'")
	}
	body, err := json.Marshal(struct {
		ID          string          `json:"id,omitempty"`
		Event       string          `json:"event"`
		Environment string          `json:"environment,omitempty"`
		Tenant      string          `json:"tenant,omitempty"`
		Data        json.RawMessage `json:"data"`
	}{flag("id"), args[0], flag("env"), flag("tenant"), data})
	if err != nil {
		return fmt.Errorf("putting the event together: %w", err)
	}
	req, err := http.NewRequestWithContext(cmd.Context(), http.MethodPost, flag("to"), bytes.NewReader(body))
	if err != nil || req.URL.Host == "" || req.URL.Scheme != "http" && req.URL.Scheme != "https" {
		return errors.New("--to is not a URL such as http://localhost:8080/events")
	}
	req.Header.Set("Content-Type", "application/json")
	token, err := argument(cmd, cmp.Or(flag("token"), os.Getenv(tokenVariable)))
	if err != nil {
		return err
	}
	if t := strings.TrimSpace(string(token)); t != "" {
		req.Header.Set("Authorization", "Bearer "+t)
	}
	receipt, err := publish(req)
	if err != nil {
		return err
	}
	return show(cmd, receipt)
}

// sendTimeout outlasts a gateway that waits for its disk.
const sendTimeout = 30 * time.Second

// receipt is the answer of ingest to one event.
type receipt struct {
	ID         string            `json:"id"`
	Duplicate  bool              `json:"duplicate"`
	Deliveries []receiptDelivery `json:"deliveries"`
}

type receiptDelivery struct {
	ID       string   `json:"id"`
	Endpoint string   `json:"endpoint"`
	Backups  []string `json:"backups"`
	Route    string   `json:"route"`
}

// publish sends an event and reads the receipt. An answer without an id is not one: Caddy answers 200 to a path that nothing
// handles.
func publish(req *http.Request) (*receipt, error) {
	client := &http.Client{Timeout: sendTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("publishing: %w; does the gateway run, and is --to its ingest route?", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("reading the answer: %w; whether the event was accepted is not known: send it again with the same --id", err)
	}
	var r receipt
	if resp.StatusCode == http.StatusAccepted || resp.StatusCode == http.StatusOK {
		if json.Unmarshal(answer, &r) == nil && r.ID != "" {
			return &r, nil
		}
		return nil, noIngest(req, resp)
	}
	var problem struct{ Detail, Pointer string }
	if json.Unmarshal(answer, &problem) != nil || problem.Detail == "" {
		return nil, noIngest(req, resp)
	}
	if problem.Pointer != "" {
		problem.Detail += " (at " + problem.Pointer + ")"
	}
	return nil, fmt.Errorf("refused with %d: %s", resp.StatusCode, problem.Detail)
}

func noIngest(req *http.Request, resp *http.Response) error {
	return fmt.Errorf("%s answered %d, but not as an ingest route does: is the path right?", req.URL.Redacted(), resp.StatusCode)
}

// Draw implements drawing.
func (r *receipt) Draw(w io.Writer) error {
	what := "accepted"
	if r.Duplicate {
		what = "known already"
	}
	if _, err := fmt.Fprintf(w, "event %s %s\n", r.ID, what); err != nil {
		return err
	}
	return rows[receiptDelivery]{
		items: r.Deliveries, none: "nobody gets it: no route and no subscription wants it",
		head: []string{"DELIVERY", "ENDPOINT", "BACKUPS", "ROUTE"},
		line: func(d receiptDelivery) []string {
			return []string{d.ID, d.Endpoint, strings.Join(d.Backups, " "), d.Route}
		},
	}.Draw(w)
}
