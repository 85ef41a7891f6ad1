package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"
)

// hosts are hostile receivers over TLS, each at a port of its own, so that to the gateway they are hosts of their own. They
// run in the load generator's process, out of the way of the receiver whose latencies are measured.
type hosts struct {
	addrs []string
	held  atomic.Int64 // requests that wait for an answer, or for the rest of one
	taken atomic.Int64 // requests so far
}

// startHosts listens at n ports until ctx ends. Every second host takes each request and never answers; the others answer
// 200 and then drip their body, a byte a second.
func startHosts(ctx context.Context, n int, cert tls.Certificate) (*hosts, error) {
	h := &hosts{addrs: make([]string, n)}
	config := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	for i := range n {
		ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("listening as a hostile host: %w", err)
		}
		h.addrs[i] = ln.Addr().String()
		context.AfterFunc(ctx, func() { _ = ln.Close() })
		answer := hang
		if i%2 == 1 {
			answer = drip
		}
		go h.accept(tls.NewListener(ln, config), answer)
	}
	return h, nil
}

func (h *hosts) accept(ln net.Listener, answer func(net.Conn)) {
	for {
		conn, err := ln.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // no descriptor left: one is free again when an attempt has timed out
			time.Sleep(10 * time.Millisecond)
		default:
			go h.serve(conn, answer)
		}
	}
}

func (h *hosts) serve(conn net.Conn, answer func(net.Conn)) {
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

// hang says nothing until the other side gives up.
func hang(conn net.Conn) { _, _ = conn.Read(make([]byte, 1)) }

// drip answers and then sends a byte a second until the other side gives up.
func drip(conn net.Conn) {
	next := []byte("HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n")
	for {
		if _, err := conn.Write(next); err != nil {
			return
		}
		next = []byte(".")
		time.Sleep(time.Second)
	}
}
