package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"

	"github.com/atoship/caddy-webhooks/examples/internal/rig"
)

// moment is what the gateway holds at one time.
type moment struct {
	When       string `json:"when"`
	Goroutines int    `json:"goroutines"`
	Sockets    int    `json:"sockets"`
	RSS        int64  `json:"rss_bytes"`
	Peak       int64  `json:"peak_rss_bytes"` // since the process began
	Held       int64  `json:"held"`           // attempts that hostile hosts keep waiting
	Taken      int64  `json:"taken"`          // requests that hostile hosts have had, all rounds together
}

func (m moment) line() string {
	return fmt.Sprintf("  %-8s %6d goroutines %6d sockets  %4d MB (peak %d MB)  %d attempts held by hostile hosts, which took %d",
		m.When, m.Goroutines, m.Sockets, m.RSS>>20, m.Peak>>20, m.Held, m.Taken)
}

// watch looks at a gateway before and after it is measured: a look stops the gateway for milliseconds and lists a thousand
// descriptors, and would be measured.
type watch struct {
	gateway *rig.Gateway
	admin   *http.Client
	hosts   string   // their control page
	seen    []moment // written by look; read after stop
}

func newWatch(gateway *rig.Gateway, dir string, hosts string) *watch {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", adminSocket(dir))
	}
	return &watch{gateway: gateway, hosts: hosts, admin: &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// look notes what the gateway holds now, and says so.
func (w *watch) look(ctx context.Context, when string) error {
	goroutines, err := w.goroutines(ctx)
	if ctx.Err() != nil {
		return nil // the round is over
	}
	sockets, err2 := w.gateway.Sockets()
	rss, peak, err3 := w.gateway.Memory()
	hosts, err4 := askHosts(ctx, w.hosts)
	if err := errors.Join(err, err2, err3, err4); err != nil {
		return err
	}
	m := moment{when, goroutines, sockets, rss, peak, hosts.Held, hosts.Taken}
	w.seen = append(w.seen, m)
	fmt.Fprintln(os.Stderr, m.line())
	return nil
}

// goroutines asks the metrics of Caddy's admin endpoint.
func (w *watch) goroutines(ctx context.Context) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://gateway/metrics", http.NoBody)
	if err != nil {
		return 0, fmt.Errorf("asking for the gateway's metrics: %w", err)
	}
	res, err := w.admin.Do(req)
	if err != nil {
		return 0, fmt.Errorf("asking for the gateway's metrics: %w", err)
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		if value, found := strings.CutPrefix(lines.Text(), "go_goroutines "); found {
			return strconv.Atoi(value) //nolint:wrapcheck // says it all
		}
	}
	return 0, errors.Join(errors.New("no go_goroutines in the gateway's metrics"), lines.Err())
}
