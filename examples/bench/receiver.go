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
	"sync"
	"time"
)

// The receiver is a process of its own (`bench receiver`), so that its work is not on the gateway's account. It answers
// 200 at once, except under /hang, where it never answers. GET /stats tells what arrived since GET /reset.

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

// serveReceiver runs the subcommand until it is killed. It listens on two free ports, plain and, with a certificate, TLS,
// and prints both addresses on one line.
func serveReceiver(certFile, keyFile string) error {
	plain, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // returns at once
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	r, failed := new(receiver), make(chan error, 2)
	go func() { failed <- r.accept(plain) }()
	target := plain
	if certFile != "" {
		cert, err := tls.LoadX509KeyPair(certFile, keyFile)
		if err != nil {
			return fmt.Errorf("loading the receiver's certificate: %w", err)
		}
		target, err = tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
			Certificates: []tls.Certificate{cert},
			MinVersion:   tls.VersionTLS12,
		})
		if err != nil {
			return fmt.Errorf("listening: %w", err)
		}
		go func() { failed <- r.accept(target) }()
	}
	fmt.Println(plain.Addr(), target.Addr())
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
		case "/reset":
			r.mu.Lock()
			r.latencies = r.latencies[:0]
			r.mu.Unlock()
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

// startReceiver runs the subcommand in a process of its own, which ends with ctx. control answers /stats and /reset,
// target takes deliveries.
func startReceiver(ctx context.Context, files ...string) (control, target string, err error) {
	self, err := os.Executable()
	if err != nil {
		return "", "", fmt.Errorf("finding this program: %w", err)
	}
	cmd := exec.CommandContext(ctx, self, append([]string{"receiver"}, files...)...) //nolint:gosec // this program itself
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", "", fmt.Errorf("preparing the receiver: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return "", "", fmt.Errorf("starting the receiver: %w", err)
	}
	if _, err := fmt.Fscanln(out, &control, &target); err != nil {
		return "", "", fmt.Errorf("reading the receiver's addresses: %w", err)
	}
	go func() { _ = cmd.Wait() }() // killed with ctx: its error says only that
	return control, target, nil
}
