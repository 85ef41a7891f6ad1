package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The receiver is a process of its own (`bench receiver`), so that its work is not on the gateway's account. It answers
// 200 at once, except under /hang, where it never answers, and /fail, where it answers 503. GET /stats tells what arrived
// since GET /reset, /count only how many.

// seen is what the receiver tells: how many events came, and how long after they were published.
type seen struct {
	Count int   `json:"count"`
	P50   int64 `json:"p50_us"`
	P99   int64 `json:"p99_us"`
}

type receiver struct {
	mu        sync.Mutex // guards latencies
	latencies []int64    // microseconds
}

// serveReceiver runs the subcommand until it is killed: `receiver <n> [<certificate> <key>]`. It takes deliveries at n free
// ports, over TLS if it has a certificate, and prints their addresses on a line, behind that of its plain control page.
func serveReceiver(args []string) error {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return fmt.Errorf("how many ports: %w", err)
	}
	var config *tls.Config
	if len(args) == 3 {
		cert, err := tls.LoadX509KeyPair(args[1], args[2])
		if err != nil {
			return fmt.Errorf("loading the receiver's certificate: %w", err)
		}
		config = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	}
	r, failed := new(receiver), make(chan error, n+1)
	addrs := make([]string, n+1)
	for i := range addrs {
		ln, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // returns at once
		if err != nil {
			return fmt.Errorf("listening: %w", err)
		}
		addrs[i] = ln.Addr().String()
		if i > 0 && config != nil {
			ln = tls.NewListener(ln, config)
		}
		go func() { failed <- r.accept(ln) }()
	}
	fmt.Println(strings.Join(addrs, " "))
	return <-failed
}

func (r *receiver) accept(ln net.Listener) error {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return fmt.Errorf("accepting: %w", err)
		}
		go r.serve(conn)
	}
}

func (r *receiver) serve(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReaderSize(conn, 16<<10)
	var h head
	var body []byte
	for {
		err := readHead(in, &h)
		if err != nil {
			return
		}
		if body, err = readBody(in, &h, body); err != nil {
			return
		}
		_, target, _ := bytes.Cut(h.first, []byte(" "))
		path, _, _ := bytes.Cut(target, []byte(" "))
		var answer []byte
		switch string(path) {
		case "/stats":
			answer, err = json.Marshal(r.stats())
		case "/count":
			r.mu.Lock()
			answer = fmt.Appendf(nil, `{"count":%d}`, len(r.latencies))
			r.mu.Unlock()
		case "/reset":
			r.mu.Lock()
			r.latencies = r.latencies[:0]
			r.mu.Unlock()
		case "/fail":
			if _, err := io.WriteString(conn, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"); err != nil {
				return
			}
			continue
		case "/hang":
			_, _ = io.Copy(io.Discard, conn) // until the other side gives up
			return
		default:
			err = r.note(body)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "receiver:", err)
			return
		}
		if _, err := fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(answer), answer); err != nil {
			return
		}
	}
}

func (r *receiver) note(body []byte) error {
	sent, err := sentAt(body)
	if err != nil {
		return err
	}
	us := (time.Now().UnixNano() - sent) / 1000
	r.mu.Lock()
	r.latencies = append(r.latencies, us)
	r.mu.Unlock()
	return nil
}

func (r *receiver) stats() seen {
	r.mu.Lock()
	sorted := slices.Clone(r.latencies)
	r.mu.Unlock()
	if len(sorted) == 0 {
		return seen{}
	}
	slices.Sort(sorted)
	return seen{Count: len(sorted), P50: sorted[len(sorted)/2], P99: sorted[len(sorted)*99/100]}
}

// startReceiver runs the subcommand in a process of its own, which ends with ctx. control answers /stats and /reset, the
// targets take deliveries.
func startReceiver(ctx context.Context, n int, files ...string) (control string, targets []string, err error) {
	self, err := os.Executable()
	if err != nil {
		return "", nil, fmt.Errorf("finding this program: %w", err)
	}
	return start(ctx, append([]string{self, "receiver", strconv.Itoa(n)}, files...))
}

// start runs a subcommand of this program, which ends with ctx, and reads the addresses it prints: that of its control page
// and the others.
func start(ctx context.Context, command []string) (control string, others []string, err error) {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...) //nolint:gosec // this program itself
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, fmt.Errorf("preparing %s: %w", command, err)
	}
	if err := cmd.Start(); err != nil {
		return "", nil, fmt.Errorf("starting %s: %w", command, err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return "", nil, fmt.Errorf("reading the addresses of %s: %w", command, err)
	}
	go func() { _ = cmd.Wait() }() // killed with ctx: its error says only that
	addrs := strings.Fields(line)
	return addrs[0], addrs[1:], nil
}
