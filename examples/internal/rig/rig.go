// Package rig runs the real gateway for the examples: it builds the binary, starts it as a process of its own with its
// own data directory, waits until it answers, and ends it by its process id. Everything stays on loopback.
package rig

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
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

// Ports finds n free loopback ports. None is of those that systems give to outgoing connections and to listeners that ask
// for any (Linux: from 32768, others: from 49152): between this and its use another process would often get it. Of the
// programs that choose here, two choose the same once in some thousand times.
func Ports(n int) ([]int, error) {
	ports := make([]int, 0, n)
	for tries := 0; len(ports) < n; tries++ {
		port := 10_000 + rand.N(22_000) //nolint:gosec // no secret
		// Held until all are chosen, so that none is given twice.
		ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))) //nolint:noctx // returns at once
		switch {
		case err == nil:
			defer ln.Close()
			ports = append(ports, port)
		case tries > 100*n:
			return nil, fmt.Errorf("looking for a free port: %w", err)
		}
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
