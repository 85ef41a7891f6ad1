// Package rig runs the real gateway for the examples: it builds the binary, starts it as a process of its own with its
// own data directory, waits until it answers, and ends it by its process id. Everything stays on loopback.
package rig

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// mainPackage is what a user starts with `go run ./caddymodule/caddy`.
const mainPackage = "github.com/atoship/caddy-webhooks/caddymodule/caddy"

// Build compiles the gateway into dir and returns the binary's path. GATEWAY_BINARY names a ready one instead, so that a
// run over all examples links only once.
func Build(ctx context.Context, dir string) (string, error) {
	if ready := os.Getenv("GATEWAY_BINARY"); ready != "" {
		return ready, nil
	}
	bin := filepath.Join(dir, "gateway-binary") // not "caddy": Caddy keeps its data in a folder of that name
	out, err := exec.CommandContext(ctx, "go", "build", "-o", bin, mainPackage).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("building the gateway: %w\n%s", err, out)
	}
	return bin, nil
}

// Ports finds n free loopback ports. Another process may take one before it is used: no caller needs more certainty than
// the few milliseconds between.
func Ports(n int) ([]int, error) {
	ports := make([]int, n)
	for i := range ports {
		// Held until all are chosen, so that none is given twice.
		ln, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // returns at once
		if err != nil {
			return nil, fmt.Errorf("looking for a free port: %w", err)
		}
		defer ln.Close()
		ports[i] = ln.Addr().(*net.TCPAddr).Port
	}
	return ports, nil
}

// WaitListening returns when something accepts connections at addr: host:port, or https://host:port for one that has a
// certificate too. Caddy makes its own certificates in the first moments after it listens, and a delivery in those moments
// fails. Whose certificate it is does not matter here: the gateway verifies it.
func WaitListening(ctx context.Context, addr string) error {
	dial := (&net.Dialer{}).DialContext
	addr, secure := strings.CutPrefix(addr, "https://")
	if secure {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			return fmt.Errorf("waiting for a certificate: %w", err)
		}
		dial = (&tls.Dialer{Config: &tls.Config{ServerName: host, InsecureSkipVerify: true}}).DialContext //nolint:gosec // as said
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := dial(ctx, "tcp", addr)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s to listen: %w", addr, errors.Join(ctx.Err(), err))
		case <-tick.C:
		}
	}
}
