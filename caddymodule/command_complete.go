package caddymodule

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/atoship/caddy-webhooks/delivery/httpapi/client"
)

// completeEndpoints lets a shell complete the endpoints that a command asks a gateway about: its argument, and --endpoint.
func completeEndpoints(cmd *cobra.Command) {
	if strings.Contains(cmd.Use, " <endpoint>") {
		cmd.ValidArgsFunction = endpointNames
	}
	if cmd.Flags().Lookup("endpoint") != nil {
		_ = cmd.RegisterFlagCompletionFunc("endpoint", // fails for undefined flags only
			func(cmd *cobra.Command, _ []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
				return endpointNames(cmd, nil, begun)
			})
	}
}

// choices lets a shell complete a flag that takes one of these.
func choices(cmd *cobra.Command, flag string, words ...string) {
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)) // likewise
}

const (
	// completionWait is how long whoever pressed Tab waits for a gateway that does not answer.
	completionWait = time.Second
	// maxCompletions is a page: past it nobody chooses from a list.
	maxCompletions = 500
)

// endpointNames asks the gateway for its endpoints. Where there is none, there is nothing to complete.
func endpointNames(cmd *cobra.Command, args []string, begun string) (found []cobra.Completion, _ cobra.ShellCompDirective) {
	const done = cobra.ShellCompDirectiveNoFileComp
	if len(args) > 0 {
		return nil, done
	}
	c, err := connect(cmd)
	if err != nil {
		return nil, done
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(cmd.Context()), completionWait)
	defer cancel()
	page, err := c.Endpoints(ctx, client.Page{Limit: maxCompletions})
	if err != nil {
		return nil, done
	}
	for _, e := range page.Items {
		if strings.HasPrefix(e.ID, begun) {
			found = append(found, cobra.CompletionWithDesc(e.ID, cell(e.URL)))
		}
	}
	return found, done
}
