package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/atoship/caddy-webhooks/examples/internal/rig"
)

const (
	// healthyEndpoints are those whose latency is measured.
	healthyEndpoints = 10
	// hostileBacklog events wait for each hostile endpoint before a round is measured, and hostileEvery one more comes: an
	// attempt takes its whole timeout of 30 s, so none of them is ever without work.
	hostileBacklog = 5
	hostileEvery   = 10 * time.Second
	// settling is how long a round may take to begin: until the healthy endpoints get their events at the measured rate.
	settling = 2 * time.Minute
)

// hostile is the case of 10 healthy endpoints, alone and beside many that take every request over TLS and never answer it, or
// never to its end.
type hostile struct {
	o                       options
	bin, dir                string
	control, healthy, trust string // the receiver's addresses, and the authority of all receivers
	hosts                   string // the control page of the hostile hosts
	addrs                   []string
}

// besideHostile runs the rounds alone and beside the hostile endpoints in turn.
func (o options) besideHostile(ctx context.Context, h *hostile, cert rig.Certificate) error {
	var err error
	if h.hosts, h.addrs, err = startHosts(ctx, o.Hostile, cert); err != nil {
		return err
	}
	r := o.report()
	for n := range o.Rounds {
		for _, name := range []string{"alone", "beside"} {
			fmt.Fprintf(os.Stderr, "round %d  %s\n", n+1, name)
			got, moments, err := h.round(ctx, name, o.Length)
			if err != nil {
				return err
			}
			r.add(name, got)
			r.Moments[name] = append(r.Moments[name], moments...)
			fmt.Fprintf(os.Stderr, "round %d  %s\n", n+1, got.line(name))
		}
	}
	return r.print()
}

// round starts a gateway of its own, so that what an earlier one left undone costs this one nothing, and measures. Both
// kinds of round have the same configuration and the same load on the healthy endpoints.
func (h *hostile) round(ctx context.Context, name string, length time.Duration) (sample, []moment, error) {
	gateway, addr, err := launch(ctx, h.bin, h.dir, name, h.config)
	if err != nil {
		return sample{}, nil, err
	}
	defer func() {
		gateway.Kill()
		_ = os.RemoveAll(filepath.Join(h.dir, name))
	}()
	s := &subject{name: name, gateway: gateway, fanout: 1, load: stream{
		addr: addr, path: "/events", connections: h.o.Connections / 2, batch: 1, size: h.o.Size,
		eventType: "bench.tick", kinds: healthyEndpoints, rate: h.o.Rate,
	}}
	w := newWatch(gateway, filepath.Join(h.dir, name), h.hosts)
	if err := w.look(ctx, "started"); err != nil {
		return sample{}, nil, err
	}
	others := s.load // what is published costs the same in both kinds of round
	others.eventType, others.kinds = "bench.nobody", h.o.Hostile
	others.rate = float64(h.o.Hostile) / hostileEvery.Seconds()
	s.beside = &others
	if name == "beside" {
		if err := h.attack(ctx, addr); err != nil {
			return sample{}, nil, fmt.Errorf("%w\n%s", err, gateway.LogTail())
		}
		others.eventType = "bench.hostile"
	}
	if err := h.settle(ctx, s); err != nil {
		return sample{}, nil, err
	}
	if err := w.look(ctx, "before"); err != nil {
		return sample{}, nil, err
	}
	got, err := measure(ctx, s, h.control, length)
	return got, w.seen, errors.Join(err, w.look(ctx, "after"))
}

// settle lets connections, slots and code warm up. Right after its start the gateway cannot know the healthy endpoints from
// the others, and those may have to wait for the first timeouts.
func (h *hostile) settle(ctx context.Context, s *subject) error {
	warm := *s
	deadline := time.Now().Add(settling)
	for {
		got, err := measure(ctx, &warm, h.control, time.Second)
		switch {
		case err != nil:
			return err
		case got.P99 < 1000:
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("%s: the healthy endpoints' p99 is still %.0f ms after %s", s.name, got.P99, settling)
		}
	}
}

// attack gives every hostile endpoint its backlog and waits until as many attempts hang as the gateway lets.
func (h *hostile) attack(ctx context.Context, addr string) error {
	backlog := stream{batch: h.o.Hostile, size: h.o.Size, eventType: "bench.hostile", kinds: h.o.Hostile}
	for range hostileBacklog {
		status, answer, err := rig.Post(ctx, http.DefaultClient, "http://"+addr+"/events", backlog.body(nil, 0))
		if err != nil {
			return err //nolint:wrapcheck // says it all
		}
		if status != http.StatusAccepted {
			return fmt.Errorf("publishing for the hostile endpoints: %d %s", status, answer)
		}
	}
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for before := int64(-1); ; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err() //nolint:wrapcheck // the user's interrupt
		}
		now, err := askHosts(ctx, h.hosts)
		if err != nil {
			return err
		}
		if now.Held > 0 && now.Held == before {
			return nil
		}
		before = now.Held
	}
}

// config has everything as users have it by default, but for the hostile endpoints' breakers, which are off: theirs would
// open after five timeouts and end the attack.
func (h *hostile) config(addr, dir string) string {
	var endpoints strings.Builder
	for i := range healthyEndpoints {
		name := fmt.Sprintf("healthy%d", i)
		endpoints.WriteString(endpointConfig(name, "http://"+h.healthy+"/"+name, fmt.Sprintf("bench.tick%d", i), h.trust))
	}
	for i, host := range h.addrs {
		fmt.Fprintf(&endpoints, `		endpoint hostile%[1]d {
			url https://%[2]s/
			secret whsec_YmVuY2htYXJrIHNlY3JldCAwMDAwMDAwMDAwMDAwMDE=
			events bench.hostile%[1]d
			breaker off
			tls {
				trust_pool file %[3]s
			}
		}
`, i, host, h.trust)
	}
	return gatewayConfig("unix/"+adminSocket(dir), addr, filepath.Join(dir, "store"), endpoints.String())
}

func adminSocket(dir string) string { return filepath.Join(dir, "admin.sock") }
