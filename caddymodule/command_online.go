package caddymodule

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/atoship/caddy-webhooks/delivery/httpapi/client"
)

// onlineFlags are how a running gateway is named, as in Caddy's own commands; a dashboard's API does as well.
func onlineFlags(cmd *cobra.Command) {
	cmd.Flags().String("address", "", "Address of the admin endpoint, or a dashboard's URL with api/ behind it (default \"localhost:2019\")")
	cmd.Flags().StringP("config", "c", "", "Configuration file to read the admin endpoint's address from")
	cmd.Flags().StringP("adapter", "a", "", "Name of the config adapter")
	cmd.Flags().String("token", "", "Bearer token for a dashboard's URL, or @file (default: "+tokenVariable+")")
	jsonFlag(cmd)
}

// online makes a command that asks a running gateway. What that answers to a mistake is explained.
func online(cmd *cobra.Command, run func(cmd *cobra.Command, c *client.Client, args []string) error) *cobra.Command {
	onlineFlags(cmd)
	completeEndpoints(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := connect(cmd)
		if err != nil {
			return err
		}
		return explained(cmd, run(cmd, c, args))
	}
	return cmd
}

// connect makes a client for the gateway that the flags name.
func connect(cmd *cobra.Command) (*client.Client, error) {
	flag := func(name string) string { s, _ := cmd.Flags().GetString(name); return s }
	token, err := argument(cmd, cmp.Or(flag("token"), os.Getenv(tokenVariable)))
	if err != nil {
		return nil, err
	}
	o := client.Options{Token: strings.TrimSpace(string(token))}
	address := flag("address")
	if strings.HasPrefix(address, "http://") || strings.HasPrefix(address, "https://") {
		return client.New(address, o)
	}
	o.Token = "" // the admin endpoint asks for none: it is not told
	address, err = caddycmd.DetermineAdminAPIAddress(address, nil, flag("config"), flag("adapter"))
	if err != nil {
		return nil, fmt.Errorf("finding the admin endpoint: %w", err)
	}
	parsed, err := caddy.ParseNetworkAddress(address)
	if err != nil || parsed.PortRangeSize() > 1 {
		return nil, fmt.Errorf("'%s' is no address of an admin endpoint", address)
	}
	if parsed.IsUnixNetwork() {
		socket, _, _ := strings.Cut(parsed.Host, "|") // permissions may follow
		return client.New("unix/"+socket+"|"+adminPath+"/", o)
	}
	origin := "http://" + parsed.JoinHostPort(0)
	o.Header = http.Header{"Origin": {origin}}
	return client.New(origin+adminPath+"/", o)
}

// moment reads a flag that is a time, or how long ago: 2024-01-15T10:30:00Z, 2h, 7d.
func moment(cmd *cobra.Command, name string, now time.Time) (time.Time, error) {
	text, _ := cmd.Flags().GetString(name)
	if text == "" {
		return time.Time{}, nil
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	if ago, err := caddy.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	return time.Time{}, fmt.Errorf("--%s is a time such as 2024-01-15T10:30:00Z, or how long ago: 2h, 7d", name)
}

// window reads --since and --until.
func window(cmd *cobra.Command) (since, until time.Time, err error) {
	now := time.Now()
	since, err = moment(cmd, "since", now)
	if err != nil {
		return since, until, err
	}
	until, err = moment(cmd, "until", now)
	return since, until, err
}

// noEndpoint is how the API says so.
const noEndpoint = "there is no such endpoint"

// explained adds what to do to what the gateway answers.
func explained(cmd *cobra.Command, err error) error {
	dial, unreached := errors.AsType[*net.OpError](err)
	p, ok := errors.AsType[*client.Problem](err)
	switch {
	case unreached && dial.Op == "dial":
		return fmt.Errorf("%w; does Caddy run? --address or --config says where its admin endpoint is", err)
	case !ok:
		return err
	case cmd.Flags().Lookup(p.Parameter) != nil:
		return fmt.Errorf("--%s %s", p.Parameter, p.Detail)
	case p.RetryAfter > 0:
		return fmt.Errorf("%w; try again in %s", err, p.RetryAfter)
	case p.Status == http.StatusNotFound && p.Detail == noEndpoint:
		return fmt.Errorf("%w: 'caddy webhooks endpoints list' shows those there are", err)
	case p.Status == http.StatusNotFound && p.Detail == "":
		return errors.New("what answers there is no gateway: does its configuration have the global option webhooks?")
	case p.Status == http.StatusUnauthorized:
		return fmt.Errorf("%w; give the token with --token or %s", err, tokenVariable)
	}
	return err
}

func status(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// printLine prints one JSON object on a line of its own.
func printLine(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
