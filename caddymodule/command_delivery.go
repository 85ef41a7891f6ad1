package caddymodule

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/atoship/caddy-webhooks/delivery/httpapi/client"
)

// shownDelivery draws a delivery with what happened to it.
type shownDelivery struct {
	client.DeliveryRecord

	headers bool // those of requests and answers, too
}

// Draw implements drawing.
func (s shownDelivery) Draw(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "delivery %s  %s", s.ID, s.State)
	if s.Reason != "" {
		fmt.Fprintf(&b, " (%s)", s.Reason)
	}
	fmt.Fprintf(&b, "\nto %s by %s\n", strings.Join(append([]string{s.Endpoint}, s.Backups...), " → "), s.Route)
	if s.Event != nil {
		fmt.Fprintf(&b, "event %s  %s  accepted %s\n", s.Event.ID, s.Event.Type, clock(s.Event.Accepted))
	}
	byNumber := make(map[int]client.Attempt, len(s.Attempts))
	for _, a := range s.Attempts {
		byNumber[a.N] = a
	}
	for _, t := range s.Transitions {
		a, tried := byNumber[t.Attempt]
		if !tried {
			fmt.Fprintf(&b, "  %s  %s at %s %s\n", clock(t.At), t.Kind, t.Target, t.Note)
			continue
		}
		fmt.Fprintf(&b, "  %s  attempt %d at %s: %s (%s)\n", clock(a.Started), a.N, a.Endpoint,
			strings.Join(strings.Fields(status(a.Status)+" "+a.Outcome+" "+a.Detail), " "), took(a.DurationMS))
		if split := phases(a.Timing); split != "" {
			fmt.Fprintf(&b, "      %s\n", split)
		}
		if s.headers {
			drawHeaders(&b, a)
		}
		if a.Response.Excerpt != "" && !a.Response.Base64 {
			fmt.Fprintf(&b, "      %s\n", cell(a.Response.Excerpt))
		}
	}
	if !s.Due.IsZero() {
		fmt.Fprintf(&b, "  next attempt %s\n", clock(s.Due))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// phases says where an attempt's time went, "dns 2ms, first byte 340ms"; empty when nothing was sent.
func phases(t client.Timing) string {
	var parts []string
	for _, p := range []struct {
		name string
		ms   float64
	}{{"dns", t.DNS}, {"connect", t.Connect}, {"tls", t.TLS}, {"first byte", t.FirstByte}} {
		if d := time.Duration(p.ms * float64(time.Millisecond)).Round(10 * time.Microsecond); d > 0 {
			parts = append(parts, p.name+" "+d.String())
		}
	}
	return strings.Join(parts, ", ")
}

// drawHeaders draws an attempt's request and the header of its answer as they go over the wire, > and < before them.
func drawHeaders(b *strings.Builder, a client.Attempt) {
	if a.Request != nil {
		fmt.Fprintf(b, "      > %s %s\n", a.Request.Method, cell(a.Request.URL))
		drawFields(b, ">", a.Request.Headers)
	}
	if a.Status != 0 {
		fmt.Fprintf(b, "      < %d\n", a.Status)
	}
	drawFields(b, "<", a.Response.Headers)
	if a.Response.HeadersTruncated {
		b.WriteString("      < …\n")
	}
}

func drawFields(b *strings.Builder, mark string, header http.Header) {
	for _, name := range slices.Sorted(maps.Keys(header)) {
		for _, value := range header[name] {
			fmt.Fprintf(b, "      %s %s: %s\n", mark, name, cell(value))
		}
	}
}

func deliveriesShow() *cobra.Command {
	cmd := &cobra.Command{Use: "show <delivery>", Short: "Shows a delivery and everything that happened to it", Args: takes("<delivery>")}
	headers := cmd.Flags().Bool("headers", false, "Show the headers of each attempt's request and answer, too")
	return online(cmd, func(cmd *cobra.Command, c *client.Client, args []string) error {
		d, err := c.Delivery(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		return show(cmd, shownDelivery{d, *headers})
	})
}
