package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/atoship/caddy-webhooks/examples/internal/rig"
)

// hosts are hostile receivers over TLS, each at a port of its own, so that to the gateway they are hosts of their own. They
// run in a process of their own (`bench hosts`) that gets only the processor time which nobody else wants: elsewhere they
// would have machines of their own, and a thousand handshakes at once on the gateway's two processors would be measured
// as the gateway's.
type hosts struct {
	held  atomic.Int64 // requests that wait for an answer, or for the rest of one
	taken atomic.Int64 // requests so far
}

// holds is what the hosts tell at /stats of their control page.
type holds struct {
	Held  int64 `json:"held"`
	Taken int64 `json:"taken"`
}

// serveHosts runs the subcommand until it is killed: `hosts <n> <certificate> <key>`. It prints the address of its plain
// control page and those of the hosts on a line. Every second host takes each request and never answers; the others answer
// 200 and then drip their body, a byte a second.
func serveHosts(args []string) error {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return fmt.Errorf("how many hosts: %w", err)
	}
	cert, err := tls.LoadX509KeyPair(args[1], args[2])
	if err != nil {
		return fmt.Errorf("loading the hosts' certificate: %w", err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	h := new(hosts)
	addrs := make([]string, n+1)
	for i := range addrs {
		ln, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // returns at once
		if err != nil {
			return fmt.Errorf("listening as a hostile host: %w", err)
		}
		addrs[i] = ln.Addr().String()
		switch {
		case i == 0:
			go h.accept(ln, h.control)
		case i%2 == 1:
			go h.accept(tls.NewListener(ln, config), h.serving(hang))
		default:
			go h.accept(tls.NewListener(ln, config), h.serving(drip))
		}
	}
	fmt.Println(strings.Join(addrs, " "))
	select {}
}

func (h *hosts) accept(ln net.Listener, serve func(net.Conn)) {
	for {
		conn, err := ln.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // no descriptor left: one is free again when an attempt has timed out
			time.Sleep(10 * time.Millisecond)
		default:
			go serve(conn)
		}
	}
}

// control answers any request with the numbers.
func (h *hosts) control(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	var request head
	for readHead(in, &request) == nil {
		answer, err := json.Marshal(holds{h.held.Load(), h.taken.Load()})
		if err != nil {
			return
		}
		if _, err := fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(answer), answer); err != nil {
			return
		}
	}
}

func (h *hosts) serving(answer func(net.Conn)) func(net.Conn) {
	return func(conn net.Conn) {
		defer conn.Close()
		in := bufio.NewReader(conn)
		var request head
		if readHead(in, &request) != nil {
			return
		}
		if _, err := readBody(in, &request, nil); err != nil {
			return
		}
		h.taken.Add(1)
		h.held.Add(1)
		defer h.held.Add(-1)
		answer(conn)
	}
}

// hang says nothing until the other side gives up.
func hang(conn net.Conn) { _, _ = conn.Read(make([]byte, 1)) }

// drip answers and then sends a byte a second until the other side gives up. The first byte comes within a second: hosts that
// know nothing of each other do not keep step.
func drip(conn net.Conn) {
	next := []byte("HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n")
	for pause := rand.N(time.Second); ; pause = time.Second { //nolint:gosec // no secret
		if _, err := conn.Write(next); err != nil {
			return
		}
		next = []byte(".")
		time.Sleep(pause)
	}
}

// startHosts runs the subcommand in a process of its own, which ends with ctx, at the lowest priority.
func startHosts(ctx context.Context, n int, cert rig.Certificate) (control string, addrs []string, err error) {
	self, err := os.Executable()
	if err != nil {
		return "", nil, fmt.Errorf("finding this program: %w", err)
	}
	return start(ctx, []string{"nice", "-n", "19", self, "hosts", strconv.Itoa(n), cert.CertFile, cert.KeyFile})
}

// askHosts asks the hosts at a control page for their numbers.
func askHosts(ctx context.Context, control string) (h holds, err error) {
	err = ask(ctx, control+"/stats", &h)
	return h, err
}
